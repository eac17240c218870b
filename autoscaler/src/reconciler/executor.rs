//! Carries out one plan: writes the number of replicas and tells the cluster why. Makes no choice of its own.

use cluster::{Cluster, ClusterError, Event, EventKind, Replicas, WorkloadRef};

use crate::planner::{Plan, unsigned};
use crate::policy::Policy;

/// What came of a write.
pub struct Written {
    /// Why the cluster did not accept the number; `None` when it did.
    pub refused: Option<String>,
    /// Nor did it say that it does not: the number may have been written.
    pub unknown: bool,
    /// Why it did not record the event; `None` when it did.
    pub event_refused: Option<String>,
    /// Why it did not take which replicas are to go first; `None` when it did, or was not told.
    pub costs_refused: Option<String>,
}

/// Writes what the plan asks to write; `None` when it asks for nothing. `costs` says which replicas are to go first, where any are. What
/// goes on being refused is an event only when it begins.
pub async fn write(
    cluster: &dyn Cluster,
    policy: &Policy,
    plan: &Plan,
    costs: &[(String, i32)],
    at_ms: i64,
    was_refused: bool,
) -> Option<Written> {
    let replicas = Replicas(unsigned(plan.write?));
    let costs_refused = match costs {
        [] => None,
        costs => in_time(cluster, &policy.target, cluster.set_deletion_costs(&policy.target, costs)).await.err(),
    };
    let costs_refused = costs_refused.map(|error| error.to_string());
    let outcome = in_time(cluster, &policy.target, cluster.set_replicas(&policy.target, replicas)).await;
    let unknown = matches!(outcome, Err(ClusterError::Unknown { .. }));
    let refused = outcome.err().map(|error| error.to_string());
    if refused.is_some() && was_refused {
        return Some(Written { refused, unknown, event_refused: None, costs_refused });
    }
    let (kind, reason) = match refused {
        None => (EventKind::Normal, "SuccessfulRescale"),
        Some(_) => (EventKind::Warning, "FailedRescale"),
    };
    let message = refused.as_ref().map_or_else(|| plan.message.clone(), |why| format!("{}: {why}", plan.message));
    let event = Event { at_ms, workload: policy.target.clone(), kind, reason: reason.to_owned(), message };
    let recorded = in_time(cluster, &policy.target, cluster.record_event(event)).await;
    let event_refused = recorded.err().map(|error| error.to_string());
    Some(Written { refused, unknown, event_refused, costs_refused })
}

/// Gives a call as long as the cluster says that it may take.
pub(super) async fn in_time(
    cluster: &dyn Cluster,
    workload: &WorkloadRef,
    call: impl Future<Output = Result<(), ClusterError>>,
) -> Result<(), ClusterError> {
    let patience = cluster.patience();
    tokio::time::timeout(patience, call).await.unwrap_or_else(|_| {
        let reason = format!("the cluster did not answer within {} s", patience.as_secs_f64());
        Err(ClusterError::Unknown { workload: workload.clone(), reason })
    })
}
