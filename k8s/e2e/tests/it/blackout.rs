//! Claims about blindness: without the collector, and without the API server, nothing is scaled in, nothing crashes, and what is
//! wrong is said.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use e2e::claims::{Verdict, holds, skipped};
use e2e::kubectl::{name, text};
use e2e::wait::{throughout, until};
use serde_json::Value;

use crate::harness::{PLIMSOLL, READY, SHOP, Stage, shell};
use crate::scaling::{RATE, SCALED, at_least, back_to_one, by_requests, replicas};

/// How long the collector stays away: several times what the policy needs to scale in.
const AWAY: Duration = Duration::from_secs(45);
/// How long the API server stays away (issue: 60 s).
const CUT: Duration = Duration::from_secs(60);

/// Without readings, replicas stay as they are although the load has gone, and the policy's status says why.
pub async fn of_the_collector(stage: &Stage) -> anyhow::Result<Verdict> {
    stage.policy(SCALED, &by_requests()).await?;
    let load = stage.load("blackout", RATE, 40).await?;
    at_least(stage, 3, READY).await?;
    let collector = collector_set(stage).await?;
    let scale = |to: &'static str| ["scale", "statefulset", "-n", PLIMSOLL, collector.as_str(), to].map(str::to_owned);
    stage.kubectl.run(&scale("--replicas=0").each_ref().map(String::as_str)).await?;
    let frozen = async {
        load.finish().await?;
        let said =
            until("the policy to say that it is blind", Duration::from_secs(60), async || blind(stage).await).await?;
        let (before, _) = replicas(stage).await.map_err(anyhow::Error::msg)?;
        throughout("no scale-in without readings", AWAY, async || {
            let (asked, _) = replicas(stage).await?;
            if asked == before { Ok(()) } else { Err(format!("{before} replicas became {asked}")) }
        })
        .await?;
        Ok::<(String, u64), anyhow::Error>((said, before))
    };
    let frozen = frozen.await;
    stage.kubectl.run(&scale("--replicas=1").each_ref().map(String::as_str)).await?;
    until("the collector to be back", READY, async || {
        let ready = stage.component("collector").await.map_err(|error| format!("{error:#}"))?.len();
        if ready == 1 { Ok(()) } else { Err(format!("{ready} ready")) }
    })
    .await?;
    let back = Instant::now();
    let (said, kept) = frozen?;
    back_to_one(stage, READY).await.context("with the collector back")?;
    holds(format!(
        "{kept} replicas kept for {} s; {said}; back to 1 {:.0} s after the collector was",
        AWAY.as_secs(),
        back.elapsed().as_secs_f64()
    ))
}

async fn collector_set(stage: &Stage) -> anyhow::Result<String> {
    let sets = stage
        .kubectl
        .items(&["get", "statefulsets", "-n", PLIMSOLL, "-l", "app.kubernetes.io/component=collector"])
        .await?;
    Ok(name(sets.first().context("the chart has no collector")?).to_owned())
}

/// The condition and the reason that tell of missing readings.
async fn blind(stage: &Stage) -> Result<String, String> {
    let policy =
        stage.kubectl.json(&["get", "scalingpolicy", "-n", SHOP, SCALED]).await.map_err(|e| format!("{e:#}"))?;
    let conditions = policy["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let told = conditions.iter().find(|c| c["status"] != "True" && tells_of_readings(c));
    told.map(|c| format!("{}={} {}: {}", text(c, "/type"), text(c, "/status"), text(c, "/reason"), text(c, "/message")))
        .ok_or_else(|| policy["status"].to_string())
}

fn tells_of_readings(condition: &Value) -> bool {
    let words = format!("{}{}", text(condition, "/reason"), text(condition, "/message")).to_lowercase();
    ["metric", "signal", "reading", "stale", "collector", "did not answer"].iter().any(|word| words.contains(word))
}

/// Without the API server for a minute: nothing of ours restarts, nothing is scaled in, and it goes on by itself.
pub async fn of_the_api_server(stage: &Stage) -> anyhow::Result<Verdict> {
    let (Some(cut), Some(mend)) = (&stage.settings.cut, &stage.settings.mend) else {
        return skipped("PLIMSOLL_E2E_CUT and PLIMSOLL_E2E_MEND are not set, so the API server was NOT cut");
    };
    stage.policy(SCALED, &by_requests()).await?;
    let load = stage.load("cut", RATE, CUT.as_secs() + 60).await?;
    let before = at_least(stage, 3, READY).await?;
    let restarts = stage.restarts().await?;
    shell(cut, &[]).await?;
    tokio::time::sleep(CUT).await;
    shell(mend, &[]).await?;
    let mended = Instant::now();
    let (asked, _) = until("the API server to answer", READY, async || replicas(stage).await).await?;
    if asked < before {
        bail!("{before} replicas became {asked} while nothing could be seen");
    }
    let changed: Vec<String> = stage
        .restarts()
        .await?
        .into_iter()
        .filter(|(pod, count)| restarts.get(pod).is_some_and(|before| before != count))
        .map(|(pod, count)| format!("{pod}: {count} restarts"))
        .collect();
    if !changed.is_empty() {
        bail!("{}", changed.join(", "));
    }
    let resumed = resumes(stage, mended).await?;
    let report = load.finish().await?;
    back_to_one(stage, READY).await.context("after the cut")?;
    holds(format!(
        "{asked} replicas kept, no restart, decisions go on {:.1} s after the API server; {}",
        resumed.as_secs_f64(),
        report.words(&[])
    ))
}

/// Waits for a decision made after the mend.
async fn resumes(stage: &Stage, mended: Instant) -> anyhow::Result<Duration> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let mended_at = i64::try_from(now.as_millis())? - i64::try_from(mended.elapsed().as_millis())?;
    until("decisions to go on", Duration::from_secs(60), async || {
        let way = stage.autoscaler().await.map_err(|error| format!("{error:#}"))?;
        let client = protocol::scaling::ScalingClient::new(way.url().clone());
        let last = client.decisions(Some(SCALED), None, 1).await.map_err(|error| error.to_string())?;
        let last = last.first().map_or(0, |record| record.at_ms);
        if last > mended_at {
            Ok(mended.elapsed())
        } else {
            Err(format!("the last decision is of {last}, the mend of {mended_at}"))
        }
    })
    .await
}
