//! Claims about new versions of the shop under load: good ones lose no request, bad ones never take traffic.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use e2e::claims::{Verdict, holds};
use e2e::kubectl::{name, text};
use e2e::wait::{throughout, until};
use serde_json::json;

use crate::harness::{READY, SERVICES, SHOP, Stage, is_ready};
use crate::shop::RATE;

/// One load covers as many services as are rolled within this time of its minute.
const LOAD_SECONDS: u64 = 60;
const LAST_START: Duration = Duration::from_secs(35);
/// How long a bad version is looked at.
const BAD_FOR: Duration = Duration::from_secs(15);

/// Every service is replaced under load; no journey fails.
pub async fn every_service(stage: &Stage) -> anyhow::Result<Verdict> {
    let (mut waiting, mut requests, mut slowest) = (SERVICES.to_vec(), 0, Duration::ZERO);
    waiting.reverse();
    while !waiting.is_empty() {
        let load = stage.load("rollout", RATE, LOAD_SECONDS).await?;
        let begun = Instant::now();
        let mut rolled = Vec::new();
        while begun.elapsed() < LAST_START {
            let Some(service) = waiting.pop() else { break };
            let started = Instant::now();
            roll(stage, &service).await?;
            slowest = slowest.max(started.elapsed());
            rolled.push(service);
        }
        let over = begun.elapsed();
        let report = load.finish().await?;
        if over > Duration::from_secs(LOAD_SECONDS) {
            bail!("rolling {rolled:?} took {} s, longer than the load", over.as_secs());
        }
        let (ended, failed) = report.counts(&[]);
        if failed > 0 || ended == 0 {
            bail!("while {} were replaced: {}", rolled.join(", "), report.words(&[]));
        }
        requests += ended;
    }
    holds(format!(
        "{} services replaced, 0 of {requests} journeys failed, slowest took {:.0} s",
        SERVICES.len(),
        slowest.as_secs_f64()
    ))
}

async fn roll(stage: &Stage, service: &str) -> anyhow::Result<()> {
    let deployment = format!("deployment/{service}");
    stage.kubectl.run(&["rollout", "restart", "-n", SHOP, &deployment]).await?;
    stage.kubectl.run(&["rollout", "status", "-n", SHOP, &deployment, "--timeout=120s"]).await?;
    Ok(())
}

/// An image that does not exist.
pub async fn bad_image(stage: &Stage) -> anyhow::Result<Verdict> {
    // RFC 2606: no such registry will ever exist.
    let patch = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "registry.invalid/plimsoll:bad"}]);
    bad_version(stage, "search", &patch.to_string(), &["ErrImagePull", "ImagePullBackOff"]).await
}

/// A version that starts and ends.
pub async fn never_ready(stage: &Stage) -> anyhow::Result<Verdict> {
    let patch = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": ["shop", "serve", "no-such-service"]}]);
    bad_version(stage, "gateway", &patch.to_string(), &["CrashLoopBackOff", "Error"]).await
}

/// While a bad version is stuck, the good one serves; `kubectl rollout undo` puts it back.
async fn bad_version(stage: &Stage, service: &str, patch: &str, stuck: &[&str]) -> anyhow::Result<Verdict> {
    let deployment = format!("deployment/{service}");
    let good = stage.service(service).await?["spec"]["template"]["spec"]["containers"][0].clone();
    let load = stage.load("bad", RATE, LOAD_SECONDS).await?;
    stage.kubectl.run(&["patch", "-n", SHOP, &deployment, "--type=json", "-p", patch]).await?;
    let tried = async {
        let seen = until(&format!("the bad version of {service} to be stuck"), READY, async || {
            let pods = stage.pods(service).await.map_err(|error| format!("{error:#}"))?;
            let states: Vec<String> = pods.iter().map(|pod| format!("{}: {}", name(pod), state(pod))).collect();
            let found = pods.iter().map(state).find(|state| stuck.contains(&state.as_str()));
            found.ok_or_else(|| states.join(", "))
        })
        .await?;
        throughout(&format!("the good version of {service} serves alone"), BAD_FOR, async || {
            let pods = stage.pods(service).await.map_err(|error| format!("{error:#}"))?;
            let ready: Vec<&str> = pods.iter().filter(|pod| is_ready(pod)).map(image).collect();
            let good_ones = pods.iter().filter(|pod| is_ready(pod) && same_version(pod, &good)).count();
            if ready.len() == 1 && good_ones == 1 { Ok(()) } else { Err(format!("ready: {ready:?}")) }
        })
        .await?;
        Ok::<String, anyhow::Error>(seen)
    };
    let tried = tried.await;
    stage.kubectl.run(&["rollout", "undo", "-n", SHOP, &deployment]).await?;
    stage
        .kubectl
        .run(&["rollout", "status", "-n", SHOP, &deployment, "--timeout=120s"])
        .await
        .context("after the undo")?;
    let seen = tried?;
    let restored = stage.service(service).await?["spec"]["template"]["spec"]["containers"][0].clone();
    if restored != good {
        bail!("kubectl rollout undo did not restore {service}: {restored}");
    }
    let report = load.finish().await?;
    if report.counts(&[]).1 > 0 {
        bail!("{}", report.words(&[]));
    }
    holds(format!("{service}: the new pod is stuck ({seen}), the old one serves, undo restores; {}", report.words(&[])))
}

fn same_version(pod: &serde_json::Value, container: &serde_json::Value) -> bool {
    let own = &pod["spec"]["containers"][0];
    own["image"] == container["image"] && own["args"] == container["args"]
}

fn image(pod: &serde_json::Value) -> &str {
    text(pod, "/spec/containers/0/image")
}

/// Why a pod's container waits or ended.
fn state(pod: &serde_json::Value) -> String {
    let status = &pod["status"]["containerStatuses"][0]["state"];
    let reason = status["waiting"]["reason"].as_str().or(status["terminated"]["reason"].as_str());
    reason.unwrap_or("running").to_owned()
}
