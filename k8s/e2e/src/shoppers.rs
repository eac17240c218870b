//! Load from inside the cluster: `plimsoll shop shoppers` in a pod of its own, and what it reports. A pod, not this machine,
//! because a port-forward ends with the one pod it leads to.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::kubectl::{Kubectl, text};
use crate::wait::until;

/// On top of the load's own time: the pod's start, signing in the regular customers, journeys that finish.
const SLACK: Duration = Duration::from_secs(90);

/// Shoppers under way.
#[derive(Debug)]
pub struct Shoppers {
    kubectl: Kubectl,
    namespace: String,
    pod: String,
    seconds: u64,
}

/// What to load, and how.
#[derive(Debug, Clone)]
pub struct Load<'a> {
    /// The pod's name.
    pub name: &'a str,
    /// The pod's image.
    pub image: &'a str,
    /// The shop's front door.
    pub gateway: &'a str,
    /// Journeys a second.
    pub rate: f64,
    /// How long.
    pub seconds: u64,
}

impl Shoppers {
    /// Starts them, and waits until they run.
    pub async fn start(kubectl: &Kubectl, namespace: &str, load: &Load<'_>) -> anyhow::Result<Self> {
        let shoppers = Self {
            kubectl: kubectl.clone(),
            namespace: namespace.to_owned(),
            pod: load.name.to_owned(),
            seconds: load.seconds,
        };
        kubectl.run(&["delete", "pod", "-n", namespace, load.name, "--ignore-not-found", "--grace-period=1"]).await?;
        kubectl.apply(&[pod(namespace, load)]).await?;
        until(&format!("the load {} to run", load.name), Duration::from_secs(60), async || {
            let phase = shoppers.phase().await?;
            if phase == "Pending" { Err(phase) } else { Ok(()) }
        })
        .await?;
        Ok(shoppers)
    }

    /// Waits for their end and reads their report.
    pub async fn finish(self) -> anyhow::Result<Report> {
        let patience = Duration::from_secs(self.seconds) + SLACK;
        until(&format!("the load {} to end", self.pod), patience, async || {
            let phase = self.phase().await?;
            if ["Succeeded", "Failed"].contains(&phase.as_str()) { Ok(()) } else { Err(phase) }
        })
        .await?;
        let log = self.kubectl.run(&["logs", "-n", &self.namespace, &self.pod]).await?;
        Report::in_log(&log)
    }

    async fn phase(&self) -> Result<String, String> {
        let pod = self.kubectl.json(&["get", "pod", "-n", &self.namespace, &self.pod]).await;
        pod.map(|pod| text(&pod, "/status/phase").to_owned()).map_err(|error| format!("{error:#}"))
    }
}

fn pod(namespace: &str, load: &Load<'_>) -> Value {
    let (rate, seconds) = (load.rate.to_string(), load.seconds.to_string());
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": load.name, "namespace": namespace, "labels": {"app.kubernetes.io/name": "shoppers"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "shoppers", "image": load.image, "imagePullPolicy": "IfNotPresent",
                "args": ["shop", "shoppers", "--gateway", load.gateway, "--rate", rate, "--seconds", seconds],
                "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    })
}

/// What the shoppers saw.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    /// Every kind of journey.
    pub journeys: Vec<Journey>,
    /// Errors by reason.
    pub errors: BTreeMap<String, u64>,
}

/// One kind of journey.
#[derive(Debug, Clone, Deserialize)]
pub struct Journey {
    /// Such as `browse`.
    pub name: String,
    /// Journeys ended.
    pub requests: u64,
    /// Of these, failed.
    pub errors: u64,
    /// Milliseconds; none before the first.
    pub p99_ms: Option<f64>,
}

impl Report {
    /// Finds the report among log lines: the last line that is only `{` begins it.
    pub fn in_log(log: &str) -> anyhow::Result<Self> {
        let begin = if log.starts_with("{\n") { Some(0) } else { log.rfind("\n{\n") };
        let tail = || log.lines().rev().take(5).collect::<Vec<_>>().join(" | ");
        let begin = begin.with_context(|| format!("the shoppers left no report: {}", tail()))?;
        let end = log.rfind("\n}").map_or(log.len(), |at| at + 2);
        serde_json::from_str(&log[begin..end])
            .with_context(|| format!("the shoppers' report does not parse: {}", tail()))
    }

    /// Journeys ended and failed, of some kinds; of all when none is named.
    pub fn counts(&self, kinds: &[&str]) -> (u64, u64) {
        let counted = self.journeys.iter().filter(|j| kinds.is_empty() || kinds.contains(&j.name.as_str()));
        counted.fold((0, 0), |(requests, errors), j| (requests + j.requests, errors + j.errors))
    }

    /// The share of journeys that failed, of some kinds.
    pub fn error_ratio(&self, kinds: &[&str]) -> f64 {
        let (requests, errors) = self.counts(kinds);
        errors as f64 / requests.max(1) as f64
    }

    /// `0 of 600 journeys failed, slowest p99 41 ms`, with reasons where some failed.
    pub fn words(&self, kinds: &[&str]) -> String {
        let (requests, errors) = self.counts(kinds);
        let slowest = self.journeys.iter().filter_map(|journey| journey.p99_ms).fold(0.0, f64::max);
        let reasons: Vec<String> = self.errors.iter().map(|(reason, count)| format!("{count} x {reason}")).collect();
        let of = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
        let why = if errors == 0 { String::new() } else { format!(": {}", reasons.join("; ")) };
        format!("{errors} of {requests} journeys{of} failed{why}, slowest p99 {slowest:.0} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    const LOG: &str = "2026-11-23 WARN a customer had to wait\n{\n  \"seconds\": 60.0,\n  \"journeys\": [\n    {\"name\": \"browse\", \
        \"requests\": 200, \"errors\": 0, \"p50_ms\": 9.0, \"p99_ms\": 41.0},\n    {\"name\": \"checkout\", \"requests\": 100, \
        \"errors\": 3, \"p50_ms\": 9.0, \"p99_ms\": 90.0}\n  ],\n  \"errors\": {\"POST /api/orders: 503\": 3},\n  \
        \"acknowledged_orders\": []\n}\n2026-11-23 INFO bye\n";

    #[test]
    fn the_report_is_found_among_log_lines() {
        let report = Report::in_log(LOG).unwrap();
        assert_eq!(report.counts(&[]), (300, 3));
        assert_eq!(report.counts(&["browse"]), (200, 0));
        assert_eq!(report.words(&[]), "3 of 300 journeys failed: 3 x POST /api/orders: 503, slowest p99 90 ms");
    }

    #[test]
    fn a_log_without_a_report_is_shown() {
        let error = Report::in_log("error: no such host\n").unwrap_err().to_string();
        assert_eq!(error, "the shoppers left no report: error: no such host");
    }
}
