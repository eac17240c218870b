//! What the loop needs beside readings to steer resources: what containers are to have, what they used before this process began, and
//! how a plan is brought to the cluster. Makes no choice of its own.

use std::collections::{HashMap, HashSet};

use cluster::{Cluster, ClusterError, Event, EventKind, Resources, Workload, WorkloadRef};
use futures::stream::{self, StreamExt};
use protocol::scaling::{ObjectName, ResourceRecord};

use super::SOURCE_PATIENCE;
use super::executor::in_time;
use crate::observe::Sizes;
use crate::observe::containers::quantity;
use crate::planner::ContainerPlan;
use crate::planner::vertical::ContainerAmounts;
use crate::policy::{Apply, Policy, PolicySet};
use crate::signal::{Past, Source};

/// Workloads whose past is asked for in one tick: each is two queries over eight days.
const PASTS_AT_ONCE: usize = 8;

/// A past that was not told is asked for again after so long.
const PAST_AGAIN_MS: i64 = 300_000;

/// What each workload's containers are to have, by the place of its policy; or why that is not known.
pub(super) async fn sizes(
    cluster: &dyn Cluster,
    policies: &PolicySet,
    workloads: &HashMap<WorkloadRef, Workload>,
) -> HashMap<usize, Result<Sizes, String>> {
    let mut known = HashMap::new();
    let steers = |policy: &Policy| policy.resources.is_some() && workloads.contains_key(&policy.target);
    for (place, policy) in policies.iter().enumerate().filter(|(_, policy)| steers(policy)) {
        let both = async {
            let wanted = cluster.wanted(&policy.target).await?;
            Ok::<_, ClusterError>(Sizes { wanted, specified: cluster.specified(&policy.target).await? })
        };
        let answer = tokio::time::timeout(cluster.patience(), both).await;
        let late = |_| Err(ClusterError::Unavailable { reason: "no answer in time".to_owned() });
        let sizes: Result<Sizes, ClusterError> = answer.unwrap_or_else(late);
        let is_down = matches!(sizes, Err(ClusterError::Unavailable { .. }));
        known.insert(place, sizes.map_err(|error| error.to_string()));
        if is_down {
            // Nor would it answer for the others.
            break;
        }
    }
    known
}

/// Whose past is known, and when it was asked for in vain.
#[derive(Debug, Default)]
pub(super) struct Pasts {
    told: HashSet<(ObjectName, WorkloadRef)>,
    asked_ms: HashMap<ObjectName, i64>,
}

impl Pasts {
    /// Asks for the past of some of the workloads of which it is not known yet; by the place of their policies.
    pub async fn ask(&mut self, source: &dyn Source, policies: &PolicySet, now_ms: i64) -> HashMap<usize, Past> {
        let key = |policy: &Policy| (policy.name.clone(), policy.target.clone());
        self.told.retain(|(name, _)| policies.named(name).is_some());
        self.asked_ms.retain(|name, _| policies.named(name).is_some());
        let is_due = |policy: &Policy| {
            policy.resources.is_some()
                && !self.told.contains(&key(policy))
                && self.asked_ms.get(&policy.name).is_none_or(|asked_ms| now_ms - asked_ms >= PAST_AGAIN_MS)
        };
        let due: Vec<_> =
            policies.iter().enumerate().filter(|(_, policy)| is_due(policy)).take(PASTS_AT_ONCE).collect();
        let mut asking = Vec::with_capacity(due.len());
        for (place, policy) in &due {
            let past = source.past(&policy.target, now_ms);
            asking.push(async move { (*place, tokio::time::timeout(SOURCE_PATIENCE, past).await) });
        }
        let answers: Vec<_> = stream::iter(asking).buffer_unordered(PASTS_AT_ONCE).collect().await;
        for (_, policy) in &due {
            self.asked_ms.insert(policy.name.clone(), now_ms);
        }
        let mut pasts = HashMap::new();
        for (place, answer) in answers {
            match answer {
                Ok(Ok(past)) => {
                    self.told.insert(key(&policies[place]));
                    pasts.insert(place, past);
                }
                Ok(Err(gap)) => tracing::warn!(
                    workload = %policies[place].target, reason = %gap, "what it used before is not known; it is asked again"
                ),
                Err(_) => tracing::warn!(
                    workload = %policies[place].target, "what it used before was not told in time; it is asked again"
                ),
            }
        }
        pasts
    }
}

/// What came of a change of resources.
pub(super) struct Resized {
    pub container: String,
    /// Why the cluster did not accept it; `None` when it did.
    pub refused: Option<String>,
    /// Why it did not record the event; `None` when it did.
    pub event_refused: Option<String>,
}

/// Brings what is planned of resources to the cluster. What goes on being refused is an event only when it begins: `before` are the
/// records of the last tick.
pub(super) async fn resize(
    cluster: &dyn Cluster,
    policy: &Policy,
    plans: &[ContainerPlan],
    at_ms: i64,
    before: &[ResourceRecord],
) -> Vec<Resized> {
    let mut done = Vec::new();
    for plan in plans {
        let Some(amounts) = plan.write else { continue };
        let (workload, container) = (&policy.target, plan.container.as_str());
        let (how, call) = match plan.apply {
            Apply::InPlace => ("in place", cluster.resize(workload, container, resources(amounts))),
            Apply::Rollout => ("by a rolling update", cluster.roll_out(workload, container, resources(amounts))),
            Apply::Recommend => continue,
        };
        let refused = in_time(cluster, workload, call).await.err().map(|error| error.to_string());
        let was_refused = before.iter().any(|record| record.container == container && !record.refused.is_empty());
        let mut resized = Resized { container: container.to_owned(), refused, event_refused: None };
        if resized.refused.is_none() || !was_refused {
            let changed = plan.records.iter().filter(|record| record.wish != record.from);
            let said: Vec<&str> = changed.map(|record| record.message.as_str()).collect();
            let message = format!("{} of {workload}, {how}", said.join("; "));
            let (kind, reason, message) = match &resized.refused {
                None => (EventKind::Normal, "ResizeRequested", message),
                Some(why) => (EventKind::Warning, "FailedResize", format!("{message}: {why}")),
            };
            tracing::info!(change = %message, outcome = reason, "resources changed");
            let event = Event { at_ms, workload: workload.clone(), kind, reason: reason.to_owned(), message };
            let recorded = in_time(cluster, workload, cluster.record_event(event)).await;
            resized.event_refused = recorded.err().map(|error| error.to_string());
        }
        done.push(resized);
    }
    done
}

fn resources(amounts: ContainerAmounts) -> Resources {
    Resources {
        cpu_request: quantity(amounts.cpu.request),
        cpu_limit: quantity(amounts.cpu.limit),
        memory_request: quantity(amounts.memory.request),
        memory_limit: quantity(amounts.memory.limit),
    }
}

/// The records of a plan, with what came of it.
pub(super) fn records(plans: Vec<ContainerPlan>, done: &[Resized]) -> Vec<ResourceRecord> {
    let mut records: Vec<ResourceRecord> = plans.into_iter().flat_map(|plan| plan.records).collect();
    for record in records.iter_mut().filter(|record| record.wish != record.from) {
        let Some(resized) = done.iter().find(|resized| resized.container == record.container) else { continue };
        match &resized.refused {
            None => record.applied = true,
            Some(why) => {
                record.refused = why.clone();
                record.message.push_str(&format!(" (not carried out: {why})"));
            }
        }
    }
    records
}
