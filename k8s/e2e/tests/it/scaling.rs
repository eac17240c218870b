//! Claims about policies: bad ones are refused, good ones scale, and kubectl shows what they do and why.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use e2e::claims::{Verdict, holds};
use e2e::kubectl::{list, number, text};
use e2e::wait::{throughout, until};
use protocol::scaling::{Outcome, ScalingClient};
use serde_json::{Value, json};

use crate::harness::{OTHER, READY, SHOP, Stage, policy};

/// The service that is scaled: every journey but signing in calls it.
pub const SCALED: &str = "product";
/// Journeys a second, at which the service sees about as many requests.
pub const RATE: f64 = 10.0;
/// Requests a second that the policy gives a replica, so that the load asks for three or four.
const PER_REPLICA: u32 = 3;
/// Most replicas of the policy.
const MAX: u64 = 4;
/// Until a policy just made has been evaluated: some ticks.
const EVALUATED: Duration = Duration::from_secs(30);

/// The policy that the claims use: by requests, quick in both directions.
pub fn by_requests() -> Value {
    let promql = format!(
        "sum(rate(http_server_request_duration_seconds_count{{namespace=\"{SHOP}\", service=\"{SCALED}\"}}[15s]))"
    );
    json!({
        "target": {"kind": "Deployment", "name": SCALED},
        "mode": "Auto",
        "replicas": {"min": 1, "max": MAX},
        "signals": [{"query": {"name": "requests", "promql": promql, "perReplica": PER_REPLICA, "maxAge": "15s"}}],
        "behavior": {
            "scaleUp": {"stabilizationWindowSeconds": 0},
            "scaleDown": {"stabilizationWindowSeconds": 10, "policies": [{"type": "Pods", "value": 2, "periodSeconds": 5}]},
        },
    })
}

/// Changes to a good policy that make it bad, and words of the API server's answer.
fn bad_changes() -> Vec<(&'static str, Value, &'static [&'static str])> {
    vec![
        ("/replicas", json!({"min": 5, "max": 2}), &["replicas", "max"]),
        ("/replicas/min", json!(0), &["spec.replicas.min", "greater than or equal to 1"]),
        ("/mode", json!("Automatic"), &["spec.mode", "Unsupported value", "Recommend"]),
        ("/signals", json!([]), &["spec.signals"]),
        (
            "/signals/0",
            json!({"utilization": {"resource": "disk", "target": "60%"}}),
            &["resource", "Unsupported value"],
        ),
        (
            "/signals/0",
            json!({"utilization": {"resource": "cpu", "target": "lots"}}),
            &["spec.signals[0].utilization.target"],
        ),
        ("/signals/0/query/perReplica", json!(-1), &["spec.signals[0].query.perReplica"]),
        ("/target/kind", json!("DaemonSet"), &["spec.target.kind", "Unsupported value", "StatefulSet"]),
        ("/target/namespace", json!("kube-system"), &["unknown field", "spec.target", "namespace"]),
        ("/behaviour", json!({}), &["unknown field", "behaviour"]),
        ("/behavior/scaleDown/policies/0/periodSeconds", json!(0), &["periodSeconds"]),
    ]
}

/// The API server itself refuses bad policies, and says what is wrong where.
pub async fn bad_policies(stage: &Stage) -> anyhow::Result<Verdict> {
    let args = ["apply", "--dry-run=server", "-f", "-"];
    stage
        .kubectl
        .feed(&args, &list(&[policy(SHOP, "bad", &by_requests())]))
        .await
        .context("the good policy is refused")?;
    let changes = bad_changes();
    let mut breaches = Vec::new();
    for (pointer, value, words) in &changes {
        let mut spec = by_requests();
        put(&mut spec, pointer, value.clone());
        let answer = stage.kubectl.ask(&args, &list(&[policy(SHOP, "bad", &spec)])).await?;
        let missing: Vec<&&str> = words.iter().filter(|word| !answer.stderr.contains(**word)).collect();
        if answer.ok {
            breaches.push(format!("{pointer} = {value} is accepted"));
        } else if !missing.is_empty() {
            breaches.push(format!(
                "{pointer} = {value} is refused without the words {missing:?}: {}",
                answer.stderr.trim()
            ));
        }
    }
    if !breaches.is_empty() {
        bail!("{}", breaches.join("\n    "));
    }
    holds(format!("{} bad policies refused, each with the field and what is expected", changes.len()))
}

/// Sets the value at a JSON pointer, making the last step if it is not there.
fn put(value: &mut Value, pointer: &str, new: Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.insert(last.to_owned(), new)),
        Some(Value::Array(items)) => match last.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
            Some(item) => *item = new,
            None => items.push(new),
        },
        _ => {}
    }
}

/// Replicas asked for, and ready.
pub async fn replicas(stage: &Stage) -> Result<(u64, u64), String> {
    let deployment = stage.service(SCALED).await.map_err(|error| format!("{error:#}"))?;
    Ok((number(&deployment, "/spec/replicas"), number(&deployment, "/status/readyReplicas")))
}

/// Waits until at least so many are ready.
pub async fn at_least(stage: &Stage, wanted: u64, patience: Duration) -> anyhow::Result<u64> {
    until(&format!("{wanted} ready replicas of {SCALED}"), patience, async || {
        let (asked, ready) = replicas(stage).await?;
        if ready >= wanted {
            Ok(ready)
        } else {
            Err(format!("{ready} ready of {asked} asked for{}", last_word(stage).await))
        }
    })
    .await
}

/// Waits until one is asked for and one is left.
pub async fn back_to_one(stage: &Stage, patience: Duration) -> anyhow::Result<()> {
    until(&format!("one replica of {SCALED}"), patience, async || {
        let (asked, _) = replicas(stage).await?;
        let left = stage.pods(SCALED).await.map_err(|error| format!("{error:#}"))?.len();
        if (asked, left) == (1, 1) {
            Ok(())
        } else {
            Err(format!("{asked} asked for, {left} pods{}", last_word(stage).await))
        }
    })
    .await
}

/// What the policy's status said last, for messages.
async fn last_word(stage: &Stage) -> String {
    let found = stage.kubectl.ask(&["get", "scalingpolicies", "-n", SHOP, "--no-headers"], "").await;
    found.map(|answer| format!("; policies: {}", answer.stdout.trim())).unwrap_or_default()
}

/// By policy, a service goes from one replica to several under load, and back to one after it; no journey fails.
pub async fn one_many_one(stage: &Stage) -> anyhow::Result<Verdict> {
    stage.policy(SCALED, &by_requests()).await?;
    let load = stage.load("scaling", RATE, 60).await?;
    let begun = Instant::now();
    let (first, _) = until("the first scale-up", Duration::from_secs(60), async || {
        let (asked, ready) = replicas(stage).await?;
        if asked > 1 {
            Ok((begun.elapsed(), ready))
        } else {
            Err(format!("{asked} asked for{}", last_word(stage).await))
        }
    })
    .await?;
    let most = at_least(stage, 3, READY).await?;
    let grown = begun.elapsed();
    let client = ScalingClient::new(stage.autoscaler().await?.url().clone());
    let report = load.finish().await?;
    let ended = Instant::now();
    back_to_one(stage, READY).await?;
    let shrunk = ended.elapsed();
    if report.counts(&[]).1 > 0 {
        bail!("while {SCALED} was scaled: {}", report.words(&[]));
    }
    drop(client);
    let why = explained(stage).await?;
    holds(format!(
        "1 -> {most} in {:.0} s (first write after {:.0} s), back to 1 in {:.0} s after the load; {}; {why}",
        grown.as_secs_f64(),
        first.as_secs_f64(),
        shrunk.as_secs_f64(),
        report.words(&[])
    ))
}

/// Each change of replicas has a record with a reason and a sentence.
async fn explained(stage: &Stage) -> anyhow::Result<String> {
    let way = stage.autoscaler().await?;
    let decisions = ScalingClient::new(way.url().clone()).decisions(Some(SCALED), None, 500).await?;
    let changes: Vec<_> = decisions.iter().filter(|record| record.applied).collect();
    let ups = changes.iter().filter(|record| record.outcome == Outcome::ScaleUp).count();
    let downs = changes.iter().filter(|record| record.outcome == Outcome::ScaleDown).count();
    let mute = changes.iter().find(|record| record.reason.is_empty() || record.message.is_empty());
    if ups == 0 || downs == 0 || mute.is_some() {
        bail!("of {} records {ups} say up and {downs} down; without a reason: {mute:?}", decisions.len());
    }
    Ok(format!("{ups} records say up, {downs} down, of {}", decisions.len()))
}

/// `kubectl get scalingpolicies`: target, mode, replicas, wish, reason.
pub async fn get_shows(stage: &Stage) -> anyhow::Result<Verdict> {
    stage.policy(SCALED, &by_requests()).await?;
    let lines = until("a row with target, mode, replicas, wish and reason", EVALUATED, async || {
        let table = stage.kubectl.run(&["get", "scalingpolicies", "-n", SHOP]).await.map_err(|e| format!("{e:#}"))?;
        let header = table.lines().next().unwrap_or_default().to_owned();
        let row = table.lines().nth(1).unwrap_or_default().to_owned();
        let cells = ["TARGET", "MODE", "REPLICAS", "WISH", "REASON"].map(|column| cell(&header, &row, column));
        let whole = cells.iter().all(|cell| cell.as_deref().is_some_and(|text| !text.is_empty()));
        if whole { Ok(table) } else { Err(format!("{table}{cells:?}")) }
    })
    .await?;
    holds(format!(
        "\n{}",
        lines.trim_end().lines().map(|line| format!("        {line}")).collect::<Vec<_>>().join("\n")
    ))
}

/// The text below a column's title.
fn cell(header: &str, row: &str, column: &str) -> Option<String> {
    let begin = header.split_whitespace().position(|title| title == column).and(header.find(column))?;
    Some(row.get(begin..)?.split("   ").next().unwrap_or_default().trim().to_owned())
}

/// `kubectl describe scalingpolicy`: conditions, and the event of a change.
pub async fn describe_shows(stage: &Stage) -> anyhow::Result<Verdict> {
    let mut spec = by_requests();
    put(&mut spec, "/replicas/min", json!(2));
    stage.policy(SCALED, &spec).await?;
    at_least(stage, 2, READY).await?;
    until("conditions and the event of a scale-up", EVALUATED, async || {
        let args = ["describe", "scalingpolicy", "-n", SHOP, SCALED];
        let words = stage.kubectl.run(&args).await.map_err(|error| format!("{error:#}"))?;
        let (body, events) = words.split_once("Events:").unwrap_or((&words, ""));
        let has_conditions = body.contains("Conditions:") && body.contains("Reason:") && body.contains("Message:");
        let event = events.lines().find(|line| line.contains("SuccessfulRescale"));
        match event {
            Some(event) if has_conditions => Ok(event.split_whitespace().collect::<Vec<_>>().join(" ")),
            _ => Err(words),
        }
    })
    .await
    .map(|event| Verdict::Holds(format!("conditions, and: {event}")))
}

/// A workload that an HPA steers is left alone, and the policy says so.
pub async fn beside_an_hpa(stage: &Stage) -> anyhow::Result<Verdict> {
    let hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": SCALED, "namespace": SHOP},
        "spec": {"minReplicas": 1, "maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": SCALED},
                 "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 90}}}]},
    });
    stage.kubectl.apply(&[hpa]).await?;
    let tried = beside(stage).await;
    stage.kubectl.run(&["delete", "hpa", "-n", SHOP, SCALED]).await?;
    let words = tried?;
    at_least(stage, 3, READY).await.context("after the HPA is gone")?;
    holds(format!("{words}; once the HPA is gone, the policy is carried out"))
}

async fn beside(stage: &Stage) -> anyhow::Result<String> {
    let mut spec = by_requests();
    put(&mut spec, "/replicas/min", json!(3));
    // The HPA must be known before the policy asks for anything.
    until("the HPA to be watched", EVALUATED, async || {
        stage.kubectl.run(&["get", "hpa", "-n", SHOP, SCALED]).await.map_err(|error| format!("{error:#}"))
    })
    .await?;
    stage.policy(SCALED, &spec).await?;
    let words = until("the policy to say what it conflicts with", EVALUATED, async || {
        let policy =
            stage.kubectl.json(&["get", "scalingpolicy", "-n", SHOP, SCALED]).await.map_err(|e| format!("{e:#}"))?;
        let conditions = policy["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let told = conditions.iter().find(|c| text(c, "/message").contains("HorizontalPodAutoscaler"));
        told.map(|c| format!("{}={}: {}", text(c, "/type"), text(c, "/status"), text(c, "/message")))
            .ok_or(policy["status"].to_string())
    })
    .await?;
    throughout("the workload is left alone", Duration::from_secs(10), async || {
        let (asked, _) = replicas(stage).await?;
        if asked == 1 { Ok(()) } else { Err(format!("{asked} replicas asked for")) }
    })
    .await?;
    Ok(words)
}

/// A policy in another namespace that names a service of the shop's.
pub fn foreign() -> Value {
    policy(
        OTHER,
        SCALED,
        &json!({
            "target": {"kind": "Deployment", "name": SCALED},
            "mode": "Auto",
            "replicas": {"min": 3, "max": 4},
            "signals": [{"utilization": {"resource": "cpu", "target": "60%"}}],
        }),
    )
}
