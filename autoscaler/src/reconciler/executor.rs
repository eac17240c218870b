//! Carries out one plan: writes the number of replicas and tells the cluster why. Makes no choice of its own.

use cluster::{Cluster, Event, EventKind, Replicas};

use crate::planner::{Plan, unsigned};
use crate::policy::Policy;

/// What came of a write.
pub struct Written {
    /// Why the cluster did not accept the number; `None` when it did.
    pub refused: Option<String>,
    /// Why it did not record the event; `None` when it did.
    pub event_refused: Option<String>,
}

/// Writes what the plan asks to write; `None` when it asks for nothing. What goes on being refused is an event only when it
/// begins.
pub async fn write(
    cluster: &dyn Cluster,
    policy: &Policy,
    plan: &Plan,
    at_ms: i64,
    was_refused: bool,
) -> Option<Written> {
    let replicas = Replicas(unsigned(plan.write?));
    let refused = in_time(cluster, cluster.set_replicas(&policy.target, replicas)).await;
    if refused.is_some() && was_refused {
        return Some(Written { refused, event_refused: None });
    }
    let (kind, reason) = match refused {
        None => (EventKind::Normal, "SuccessfulRescale"),
        Some(_) => (EventKind::Warning, "FailedRescale"),
    };
    let message = refused.as_ref().map_or_else(|| plan.message.clone(), |why| format!("{}: {why}", plan.message));
    let event = Event { at_ms, workload: policy.target.clone(), kind, reason: reason.to_owned(), message };
    let event_refused = in_time(cluster, cluster.record_event(event)).await;
    Some(Written { refused, event_refused })
}

async fn in_time(
    cluster: &dyn Cluster,
    call: impl Future<Output = Result<(), cluster::ClusterError>>,
) -> Option<String> {
    let patience = cluster.patience();
    match tokio::time::timeout(patience, call).await {
        Ok(answer) => answer.err().map(|error| error.to_string()),
        Err(_) => Some(format!("the cluster did not answer within {} s", patience.as_secs_f64())),
    }
}
