//! What the reconciler writes and the API reads: the policies with their latest record, and who has been paused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster::Cluster;
use parking_lot::Mutex;
use protocol::scaling::{DecisionRecord, PolicyStatus};

use crate::decisions::Ring;
use crate::planner::unsigned;
use crate::policy::{Policy, PolicySet};

/// Shared between the reconciler and the API; no lock is ever held across an await.
pub struct State {
    /// The policies.
    pub policies: PolicySet,
    /// Where workloads run.
    pub cluster: Arc<dyn Cluster>,
    /// Decisions made.
    pub ring: Ring,
    standings: Vec<Standing>,
}

#[derive(Default)]
struct Standing {
    paused: AtomicBool,
    last: Mutex<Option<Arc<DecisionRecord>>>,
}

impl State {
    /// Nothing decided, nobody paused.
    pub fn new(policies: PolicySet, cluster: Arc<dyn Cluster>) -> Self {
        let standings = policies.iter().map(|_| Standing::default()).collect();
        Self { policies, cluster, ring: Ring::default(), standings }
    }

    /// Whether an operator has paused the policy at this position.
    pub fn is_paused(&self, place: usize) -> bool {
        self.standings[place].paused.load(Ordering::SeqCst)
    }

    /// Pauses or resumes the policy at this position.
    pub fn pause(&self, place: usize, paused: bool) {
        self.standings[place].paused.store(paused, Ordering::SeqCst);
    }

    /// Publishes a record of the policy at this position.
    pub fn publish(&self, place: usize, record: &Arc<DecisionRecord>) {
        *self.standings[place].last.lock() = Some(Arc::clone(record));
        self.ring.push(Arc::clone(record));
    }

    /// Replicas asked for as far as known from the latest record.
    pub fn last_known(&self, place: usize) -> Option<u32> {
        self.standings[place].last.lock().as_ref().map(|record| record.to)
    }

    /// The status of the policy at this position.
    pub fn status(&self, place: usize, policy: &Policy) -> PolicyStatus {
        PolicyStatus {
            policy: policy.name.clone(),
            kind: policy.target.kind.to_string(),
            workload: protocol::scaling::ObjectName {
                namespace: policy.target.namespace.clone(),
                name: policy.target.name.clone(),
            },
            mode: policy.mode,
            paused: self.is_paused(place),
            min: unsigned(policy.bounds.min),
            max: unsigned(policy.bounds.max),
            last: self.standings[place].last.lock().as_deref().cloned(),
        }
    }
}
