//! Claims about the two autoscalers: when the one that leads dies or goes, the other acts soon, and never both.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use e2e::audit;
use e2e::claims::{Verdict, holds};
use e2e::wait::until;
use protocol::scaling::ScalingClient;
use serde_json::json;

use crate::harness::{PLIMSOLL, READY, SHOP, Stage};
use crate::node;
use crate::scaling::{RATE, SCALED, at_least, by_requests, replicas};

/// From the death of a leader to the first write of the other (issue: 15 s).
const TAKEN_OVER: Duration = Duration::from_secs(15);
/// The same when the leader says goodbye.
const HANDED_OVER: Duration = Duration::from_secs(10);

/// How a leader ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// At once: it cannot say goodbye.
    Killed,
    /// As every update and every drain of a node does it.
    Asked,
}

/// The leader is killed while it scales.
pub async fn killed(stage: &Stage) -> anyhow::Result<Verdict> {
    succession(stage, End::Killed, TAKEN_OVER).await
}

/// The leader is asked to end.
pub async fn handed_over(stage: &Stage) -> anyhow::Result<Verdict> {
    succession(stage, End::Asked, HANDED_OVER).await
}

/// Ends a pod, and says how. Where its node is out of reach, even a forced deletion lets the process say goodbye.
async fn end(stage: &Stage, how: End, pod: &str) -> anyhow::Result<&'static str> {
    let args = ["delete", "pod", "-n", PLIMSOLL, pod];
    match (how, &stage.settings.cgroup_root) {
        (End::Killed, Some(root)) => {
            let object = stage.kubectl.json(&["get", "pod", "-n", PLIMSOLL, pod]).await?;
            node::kill(root, &object).await?;
            stage.kubectl.run(&[&args[..], &["--force", "--grace-period=0"]].concat()).await?;
            Ok("was killed by signal")
        }
        (End::Killed, None) => {
            stage.kubectl.run(&[&args[..], &["--force", "--grace-period=0"]].concat()).await?;
            Ok("was deleted by force")
        }
        (End::Asked, _) => {
            stage.kubectl.run(&[&args[..], &["--wait=false"]].concat()).await?;
            Ok("was asked to end")
        }
    }
}

async fn succession(stage: &Stage, how: End, patience: Duration) -> anyhow::Result<Verdict> {
    until("two autoscalers to be ready", READY, async || {
        let ready = stage.component("autoscaler").await.map_err(|error| format!("{error:#}"))?.len();
        if ready == 2 { Ok(()) } else { Err(format!("{ready} ready")) }
    })
    .await?;
    let from = stage.settings.audit_log.as_deref().map(audit::end).transpose()?;
    stage.policy(SCALED, &by_requests()).await?;
    let load = stage.load("leader", RATE, 60).await?;
    at_least(stage, 2, READY).await?;
    let old = stage.leader().await?;
    let gone = Instant::now();
    let ended = end(stage, how, &old).await?;
    // Something to do for whoever leads: one replica more than the policy has ever let be.
    let patch = json!({"spec": {"replicas": {"min": 5, "max": 5}}}).to_string();
    stage.kubectl.run(&["patch", "scalingpolicy", "-n", SHOP, SCALED, "--type=merge", "-p", &patch]).await?;
    let acted = until("the other to act", patience.mul_f32(2.0), async || {
        let (asked, _) = replicas(stage).await?;
        let leader = stage.leader().await.map_err(|error| format!("{error:#}"))?;
        if asked == 5 && leader != old {
            Ok(gone.elapsed())
        } else {
            Err(format!("{leader} leads, {asked} replicas asked for"))
        }
    })
    .await?;
    let new = stage.leader().await?;
    if acted > patience {
        bail!("{new} acted {:.1} s after {old} {ended}", acted.as_secs_f64());
    }
    go_on(stage).await?;
    let report = load.finish().await?;
    let twice = match (&stage.settings.audit_log, from) {
        (Some(file), Some(from)) => {
            let account = stage.service_account("autoscaler").await?;
            let writes = audit::writes_since(file, from, &account)?;
            let double = audit::double_writes(&writes);
            if !double.is_empty() {
                bail!("{}", double.join("; "));
            }
            let steering = writes.iter().filter(|write| write.accepted() && write.steers()).count();
            format!("{steering} writes in the audit log, none of them twice or by a deposed leader")
        }
        _ => "PLIMSOLL_E2E_AUDIT_LOG is not set, so double writes were NOT looked for".to_owned(),
    };
    holds(format!("{new} acted {:.1} s after {old} {ended}; {twice}; {}", acted.as_secs_f64(), report.words(&[])))
}

/// Decisions go on, under the new leader.
async fn go_on(stage: &Stage) -> anyhow::Result<()> {
    let way = stage.autoscaler().await.context("the new leader")?;
    let client = ScalingClient::new(way.url().clone());
    let first = client.decisions(Some(SCALED), None, 1).await?.first().map_or(0, |record| record.sequence);
    until("decisions to go on", Duration::from_secs(30), async || {
        let last = client.decisions(Some(SCALED), None, 1).await.map_err(|error| error.to_string())?;
        let last = last.first().map_or(0, |record| record.sequence);
        if last > first { Ok(()) } else { Err(format!("record {last} is the newest")) }
    })
    .await
}
