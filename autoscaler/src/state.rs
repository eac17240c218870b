//! What the reconciler writes and the API reads: the policies that hold now, each one's latest record, and who has been
//! paused. All of it is known by the policy's name, so that a policy more or less makes nobody else forget.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use cluster::{Cluster, WorkloadRef};
use parking_lot::Mutex;
use protocol::scaling::{DecisionRecord, ObjectName, PolicyStatus};
use tokio::sync::watch;

use crate::decisions::Ring;
use crate::objectives::Budgets;
use crate::planner::ErrorBudget;
use crate::planner::unsigned;
use crate::policy::{Policy, PolicySet};

/// Records kept until they are told of: one tick of as many policies as one autoscaler is made for.
const CARRIED_OUT_MAX: usize = 5_000;

/// Shared between the reconciler and the API; no lock is ever held across an await.
pub struct State {
    /// Where workloads run.
    pub cluster: Arc<dyn Cluster>,
    /// Decisions made.
    pub ring: Ring,
    policies: watch::Receiver<Arc<PolicySet>>,
    standings: Mutex<HashMap<ObjectName, Standing>>,
    ticks: watch::Sender<Arc<PolicySet>>,
    carried_out: Mutex<VecDeque<Arc<DecisionRecord>>>,
    budgets: Mutex<Arc<Budgets>>,
}

#[derive(Default)]
struct Standing {
    paused: bool,
    /// The version of the policy's object that this process made when it paused or resumed it last.
    written: Option<u64>,
    last: Option<Arc<DecisionRecord>>,
}

impl State {
    /// Nothing decided, nobody paused.
    pub fn new(policies: watch::Receiver<Arc<PolicySet>>, cluster: Arc<dyn Cluster>) -> Self {
        let (ticks, carried_out) = (watch::Sender::default(), Mutex::default());
        let (standings, budgets) = (Mutex::default(), Mutex::default());
        Self { cluster, ring: Ring::default(), policies, standings, ticks, carried_out, budgets }
    }

    /// How the objectives are.
    pub fn budgets(&self) -> Arc<Budgets> {
        Arc::clone(&self.budgets.lock())
    }

    /// Publishes how the objectives are.
    pub fn publish_budgets(&self, budgets: Budgets) {
        *self.budgets.lock() = Arc::new(budgets);
    }

    /// What the objectives of a workload's service say; `None` where it has none.
    pub fn budget_of(&self, workload: &WorkloadRef, now_ms: i64) -> Option<ErrorBudget> {
        self.budgets().of(workload, now_ms)
    }

    /// The policies that hold now.
    pub fn policies(&self) -> Arc<PolicySet> {
        Arc::clone(&self.policies.borrow())
    }

    /// Tells when other policies hold.
    pub fn watch_policies(&self) -> watch::Receiver<Arc<PolicySet>> {
        let mut policies = self.policies.clone();
        policies.mark_unchanged();
        policies
    }

    /// Says that a tick over these policies went through.
    pub fn ticked(&self, policies: Arc<PolicySet>) {
        self.ticks.send_replace(policies);
    }

    /// Changes whenever a tick went through.
    pub fn watch_ticks(&self) -> watch::Receiver<Arc<PolicySet>> {
        self.ticks.subscribe()
    }

    /// The policies of the latest tick.
    pub fn evaluated(&self) -> Arc<PolicySet> {
        Arc::clone(&self.ticks.borrow())
    }

    /// Records that were carried out and not told of yet, oldest first; they are told once.
    pub fn take_carried_out(&self) -> VecDeque<Arc<DecisionRecord>> {
        std::mem::take(&mut self.carried_out.lock())
    }

    /// Forgets the records of everybody who is not among these policies. A pause outlives a spec that is refused for a while.
    pub fn retain(&self, policies: &PolicySet) {
        self.standings.lock().retain(|name, standing| {
            let stays = policies.named(name).is_some();
            if !stays {
                standing.last = None;
            }
            stays || standing.paused
        });
    }

    /// Forgets all latest records, as they may be of long ago; until the next tick nothing counts as evaluated.
    pub fn forget_records(&self) {
        self.standings.lock().values_mut().for_each(|standing| standing.last = None);
        self.ticks.send_replace(Arc::default());
    }

    /// Whether an operator has paused the policy.
    pub fn is_paused(&self, policy: &ObjectName) -> bool {
        self.standings.lock().get(policy).is_some_and(|standing| standing.paused)
    }

    /// Pauses or resumes the policy.
    pub fn pause(&self, policy: &ObjectName, paused: bool) {
        self.standings.lock().entry(policy.clone()).or_default().paused = paused;
        // Its status tells it, and should not wait for a tick.
        self.ticks.send_modify(|_| ());
    }

    /// The same for a policy whose object says so since this version: what a watch brings of older ones is not heeded.
    pub fn pause_written(&self, policy: &ObjectName, paused: bool, version: &str) {
        self.standings.lock().entry(policy.clone()).or_default().written = version.parse().ok();
        self.pause(policy, paused);
    }

    /// Takes over what the object says at this version.
    pub fn pause_seen(&self, policy: &ObjectName, paused: bool, version: &str) {
        let mut standings = self.standings.lock();
        let standing = match standings.get_mut(policy) {
            Some(standing) => standing,
            None if paused => standings.entry(policy.clone()).or_default(),
            None => return,
        };
        // Versions of one object grow; Kubernetes says so since 1.35, and etcd has always made them so.
        let is_older = standing.written.zip(version.parse().ok()).is_some_and(|(own, seen): (u64, u64)| seen < own);
        if !is_older {
            standing.paused = paused;
            standing.written = None;
        }
    }

    /// Publishes a record.
    pub fn publish(&self, record: &Arc<DecisionRecord>) {
        self.standings.lock().entry(record.policy.clone()).or_default().last = Some(Arc::clone(record));
        if record.applied {
            let mut carried_out = self.carried_out.lock();
            if carried_out.len() == CARRIED_OUT_MAX {
                carried_out.pop_front();
            }
            carried_out.push_back(Arc::clone(record));
        }
        self.ring.push(Arc::clone(record));
    }

    /// The latest record of a policy.
    pub fn last(&self, policy: &ObjectName) -> Option<Arc<DecisionRecord>> {
        self.standings.lock().get(policy).and_then(|standing| standing.last.clone())
    }

    /// The status of a policy.
    pub fn status(&self, policy: &Policy) -> PolicyStatus {
        PolicyStatus {
            policy: policy.name.clone(),
            kind: policy.target.kind.to_string(),
            workload: ObjectName { namespace: policy.target.namespace.clone(), name: policy.target.name.clone() },
            mode: policy.mode,
            paused: self.is_paused(&policy.name),
            min: unsigned(policy.bounds.min),
            max: unsigned(policy.bounds.max),
            last: self.last(&policy.name).as_deref().cloned(),
        }
    }
}
