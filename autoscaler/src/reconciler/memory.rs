//! What the loop remembers of each policy between ticks, by the policy's name: its history, and the number of replicas that
//! was asked for. A changed spec keeps its history; another target begins anew. Reads no clock.

use std::collections::HashMap;

use cluster::WorkloadRef;
use protocol::scaling::ObjectName;

use crate::planner::{History, Observation, Plan, plan};
use crate::policy::{Policy, PolicySet};
use crate::signal::Past;

/// What is remembered of all policies.
#[derive(Debug, Default)]
pub struct Memory {
    known: HashMap<ObjectName, Remembered>,
}

/// What is remembered of one policy.
#[derive(Debug)]
pub struct Remembered {
    history: History,
    target: WorkloadRef,
    desired: i32,
    /// A change of one's own may have been made since.
    doubtful: bool,
}

impl Remembered {
    /// Begins anew what is known of its containers with what was recorded elsewhere.
    pub fn restore(&mut self, past: &Past) {
        for (container, [cpu, memory]) in &past.each {
            self.history.containers.restore(container, cpu, memory);
        }
    }

    /// Learns from what is seen, plans, and remembers of it what the next plan must know.
    pub fn plan(&mut self, policy: &Policy, observation: &Observation) -> Plan {
        let (now_ms, history) = (observation.now_ms, &mut self.history);
        history.learn(policy, observation);
        let plan = plan(policy, observation, history);
        if let Some(wish) = plan.recommendation {
            history.remember(now_ms, wish, policy.behavior.as_ref());
        }
        history.blind_since_ms = plan.blind.then(|| history.blind_since_ms.unwrap_or(now_ms));
        plan
    }
}

impl Memory {
    /// Forgets everybody who is not among these policies.
    pub fn retain(&mut self, policies: &PolicySet) {
        self.known.retain(|name, _| policies.named(name).is_some());
    }

    /// What is remembered of a policy whose workload now asks for `desired` replicas. With `by_others` a change of that number
    /// since the last tick was made by the leader, and counts for the rate policies as a change of one's own; so does one that
    /// may have been made by a write without an answer.
    pub fn recall(&mut self, policy: &Policy, now_ms: i64, desired: i32, by_others: bool) -> &mut Remembered {
        let begin = || Remembered {
            history: History::begin(now_ms, desired),
            target: policy.target.clone(),
            desired,
            doubtful: false,
        };
        let remembered = self.known.entry(policy.name.clone()).or_insert_with(begin);
        if remembered.target != policy.target {
            *remembered = begin();
        }
        let before = std::mem::replace(&mut remembered.desired, desired);
        let doubtful = std::mem::take(&mut remembered.doubtful);
        if (by_others || doubtful) && before != desired {
            remembered.history.changed(now_ms, before, desired, policy.behavior.as_ref());
        }
        remembered
    }

    /// Remembers that a change of one's own may have been made.
    pub fn may_have_changed(&mut self, policy: &Policy) {
        if let Some(remembered) = self.known.get_mut(&policy.name) {
            remembered.doubtful = true;
        }
    }

    /// Remembers a change of one's own.
    pub fn changed(&mut self, policy: &Policy, now_ms: i64, from: i32, to: i32) {
        if let Some(remembered) = self.known.get_mut(&policy.name) {
            remembered.history.changed(now_ms, from, to, policy.behavior.as_ref());
            remembered.desired = to;
        }
    }
}
