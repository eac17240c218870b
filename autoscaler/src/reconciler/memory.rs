//! What the loop remembers of each policy between ticks, by the policy's name: its history, and the number of replicas that
//! was asked for. A changed spec keeps its history; another target begins anew. Reads no clock.

use std::collections::HashMap;

use cluster::WorkloadRef;
use protocol::scaling::ObjectName;

use crate::planner::cone::Lowered;
use crate::planner::{History, Observation, Plan, plan};
use crate::policy::{Policy, PolicySet};
use crate::signal::Past;

/// What is remembered of all policies.
#[derive(Debug, Default)]
pub struct Memory {
    known: HashMap<ObjectName, Remembered>,
    lowered: Lowered,
}

/// What is remembered of one policy.
#[derive(Debug)]
struct Remembered {
    history: History,
    target: WorkloadRef,
    desired: i32,
    /// A change of one's own may have been made since.
    doubtful: bool,
    /// When so many replicas were asked for, or may have been.
    written: Option<(i64, i32)>,
}

/// What was written so long ago is in what the cluster lists.
const LISTED_MS: i64 = 30_000;

impl Memory {
    /// Begins anew what is known of a workload's containers with what was recorded elsewhere.
    pub fn restore(&mut self, policy: &Policy, past: &Past) {
        if let Some(remembered) = self.known.get_mut(&policy.name) {
            for (container, [cpu, memory]) in &past.each {
                remembered.history.containers.restore(container, cpu, memory);
            }
        }
    }

    /// Learns from what is seen of a workload that was recalled.
    pub fn learn(&mut self, policy: &Policy, observation: &Observation) {
        if let Some(remembered) = self.known.get_mut(&policy.name) {
            remembered.history.learn(policy, observation);
        }
    }

    /// Plans a workload by what is remembered of it.
    pub fn plan(&self, policy: &Policy, observation: &Observation) -> Plan {
        match self.known.get(&policy.name) {
            Some(remembered) => plan(policy, observation, &remembered.history),
            None => plan(policy, observation, &History::begin(observation.now_ms, observation.desired)),
        }
    }

    /// Remembers of a plan what the next one must know.
    pub fn keep(&mut self, policy: &Policy, observation: &Observation, plan: &Plan) {
        if let Some(remembered) = self.known.get_mut(&policy.name) {
            remembered.history.planned(policy, observation, plan);
        }
    }

    /// What was taken of late, from whomever.
    pub fn lowered(&self) -> &Lowered {
        &self.lowered
    }

    /// Forgets everybody who is not among these policies.
    pub fn retain(&mut self, policies: &PolicySet) {
        self.known.retain(|name, _| policies.named(name).is_some());
    }

    /// What is remembered of a policy whose workload now asks for `desired` replicas. With `by_others` a change of that number
    /// since the last tick was made by the leader, and counts for the rate policies as a change of one's own; so does one that
    /// may have been made by a write without an answer.
    pub fn recall(&mut self, policy: &Policy, now_ms: i64, desired: i32, by_others: bool) {
        let begin = || Remembered {
            history: History::begin(now_ms, desired),
            target: policy.target.clone(),
            desired,
            doubtful: false,
            written: None,
        };
        let remembered = self.known.entry(policy.name.clone()).or_insert_with(begin);
        if remembered.target != policy.target {
            *remembered = begin();
        }
        let before = std::mem::replace(&mut remembered.desired, desired);
        let doubtful = std::mem::take(&mut remembered.doubtful);
        if (by_others || doubtful) && before != desired {
            remembered.history.changed(now_ms, before, desired, policy.behavior.as_ref());
            if desired < before {
                self.lowered.add(now_ms, &policy.service, (before - desired).unsigned_abs());
            }
        }
    }

    /// Remembers that a change of one's own may have been made.
    pub fn may_have_changed(&mut self, policy: &Policy, now_ms: i64, to: i32) {
        if let Some(remembered) = self.known.get_mut(&policy.name) {
            remembered.doubtful = true;
            remembered.written = Some((now_ms, to));
        }
    }

    /// Replicas that were asked for, or may have been, so lately that the cluster may not list them yet.
    pub fn written(&self, policy: &Policy, now_ms: i64) -> Option<i32> {
        let (at_ms, to) = self.known.get(&policy.name)?.written?;
        (now_ms - at_ms <= LISTED_MS).then_some(to)
    }

    /// Remembers a change of one's own.
    pub fn changed(&mut self, policy: &Policy, now_ms: i64, from: i32, to: i32) {
        if let Some(remembered) = self.known.get_mut(&policy.name) {
            remembered.history.changed(now_ms, from, to, policy.behavior.as_ref());
            remembered.desired = to;
            remembered.written = Some((now_ms, to));
        }
        if to < from {
            self.lowered.add(now_ms, &policy.service, (from - to).unsigned_abs());
        }
    }
}
