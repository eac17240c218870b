//! The replicas of one workload in virtual time: created, started, ready, ended. Knows no load. Which go first when there are
//! to be fewer is Kubernetes' rule (`ActivePodsWithRanks`): those not ready, then the cheapest, then the youngest.

use super::dice::Dice;
use super::graph::{Life, Service};
use crate::{Container, Replica, ReplicaState, Replicas, Resources, Rollout, Workload, WorkloadRef};

/// What a fleet's random numbers are for; see `Dice::of`.
const PURPOSE: u64 = 1;

/// One replica.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its number within the workload, ascending, never used twice.
    pub number: u64,
    /// Its name, never used twice.
    pub name: String,
    /// Milliseconds at which it is started; may lie ahead.
    pub starts_ms: i64,
    /// Milliseconds at which it becomes ready; may lie ahead.
    pub ready_ms: i64,
    /// Milliseconds at which it was asked to end.
    pub ending_ms: Option<i64>,
    /// CPU seconds used so far.
    pub cpu_seconds: f64,
    /// What its container has.
    pub resources: Resources,
    cost: i32,
}

impl Pod {
    /// Whether it serves.
    pub fn serves(&self, now_ms: i64) -> bool {
        self.ending_ms.is_none() && self.ready_ms <= now_ms
    }
}

/// The replicas of one workload.
#[derive(Debug, Clone)]
pub struct Fleet {
    workload: WorkloadRef,
    container: String,
    life: Life,
    resources: Resources,
    seed: [u64; 2],
    created: u64,
    pods: Vec<Pod>,
    /// Changes whenever what is seen of a pod does.
    version: u64,
    /// Milliseconds of the next change that comes by itself.
    next_ms: i64,
}

impl Fleet {
    /// With its replicas at the start ready and warm.
    pub(super) fn new(service: &Service, number: usize, seed: u64, now_ms: i64) -> Self {
        let mut fleet = Self {
            workload: service.workload.clone(),
            container: service.workload.name.clone(),
            life: service.life,
            resources: service.resources,
            seed: [seed, number as u64],
            created: 0,
            pods: Vec::new(),
            version: 0,
            next_ms: i64::MAX,
        };
        let long_ago = now_ms - millis(service.life.warm_up_seconds) - HOUR_MS;
        for _ in 0..service.replicas {
            fleet.create(long_ago);
        }
        fleet.pass(now_ms);
        fleet
    }

    /// Its pods, those that are ending included, the oldest first.
    pub fn pods(&self) -> &[Pod] {
        &self.pods
    }

    /// Replicas asked for.
    pub fn desired(&self) -> u32 {
        u32::try_from(self.pods.iter().filter(|pod| pod.ending_ms.is_none()).count()).unwrap_or(u32::MAX)
    }

    /// A number that is another one whenever what is seen of its pods has changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Which workload it is.
    pub fn workload(&self) -> &WorkloadRef {
        &self.workload
    }

    /// As a cluster shows it.
    pub fn observed(&self, now_ms: i64) -> Workload {
        Workload {
            reference: self.workload.clone(),
            desired: Replicas(self.desired()),
            replicas: self.pods.iter().map(|pod| self.replica(pod, now_ms)).collect(),
            rollout: Rollout::Complete,
            conflicts: Vec::new(),
        }
    }

    fn replica(&self, pod: &Pod, now_ms: i64) -> Replica {
        let started = pod.starts_ms <= now_ms;
        let state = match (pod.ending_ms, started) {
            (Some(_), _) => ReplicaState::Terminating,
            (None, true) => ReplicaState::Running,
            (None, false) => ReplicaState::Pending,
        };
        let changed_ms = match pod.ending_ms {
            Some(ending_ms) => Some(ending_ms),
            None if pod.ready_ms <= now_ms => Some(pod.ready_ms),
            // Not ready since it started.
            None => started.then_some(pod.starts_ms),
        };
        Replica {
            name: pod.name.clone(),
            state,
            ready: pod.serves(now_ms),
            started_at_ms: started.then_some(pod.starts_ms),
            ready_changed_at_ms: changed_ms,
            restarts: 0,
            containers: vec![Container { name: self.container.clone(), resources: pod.resources }],
            resize: None,
            node: if started { NODE.to_owned() } else { String::new() },
            message: String::new(),
        }
    }

    /// Asks for a number of replicas.
    pub(super) fn set(&mut self, replicas: u32, now_ms: i64) {
        while self.desired() < replicas {
            self.create(now_ms);
        }
        let surplus = self.desired().saturating_sub(replicas);
        for _ in 0..surplus {
            self.end_one(now_ms);
        }
        self.pass(now_ms);
    }

    fn create(&mut self, now_ms: i64) {
        self.created += 1;
        // By the pod's own number: whatever else happened, the same pod takes the same time.
        let mut dice = Dice::of([self.seed[0], PURPOSE, self.seed[1], self.created]);
        let factor = 1.0 + self.life.jitter * (2.0 * dice.uniform() - 1.0);
        let starts_ms = now_ms + millis(self.life.start_seconds * factor);
        self.pods.push(Pod {
            number: self.created,
            name: format!("{}-{:05}", self.workload.name, self.created),
            starts_ms,
            ready_ms: starts_ms + millis(self.life.ready_seconds * factor),
            ending_ms: None,
            cpu_seconds: 0.0,
            resources: self.resources,
            cost: 0,
        });
        self.version += 1;
    }

    fn end_one(&mut self, now_ms: i64) {
        let first = (0..self.pods.len())
            .filter(|index| self.pods[*index].ending_ms.is_none())
            .min_by_key(|index| (self.pods[*index].ready_ms <= now_ms, self.pods[*index].cost, usize::MAX - index));
        if let Some(index) = first {
            self.pods[index].ending_ms = Some(now_ms);
            self.version += 1;
        }
    }

    /// Lets time pass: who was to become ready has, who was to end is gone.
    pub(super) fn pass(&mut self, now_ms: i64) {
        let end_ms = millis(self.life.end_seconds);
        let before = self.pods.len();
        self.pods.retain(|pod| pod.ending_ms.is_none_or(|ending_ms| ending_ms + end_ms > now_ms));
        if self.pods.len() != before || self.next_ms <= now_ms {
            self.version += 1;
        }
        let ahead = |at_ms: i64| if at_ms > now_ms { at_ms } else { i64::MAX };
        let next = self.pods.iter().map(|pod| ahead(pod.starts_ms).min(ahead(pod.ready_ms))).min();
        self.next_ms = next.unwrap_or(i64::MAX);
    }

    /// Replicas that serve, and how much CPU their requests cost them, as a multiple of a warm one's.
    pub(super) fn serving(&self, now_ms: i64) -> impl Iterator<Item = f64> {
        self.pods.iter().filter(move |pod| pod.serves(now_ms)).map(move |pod| self.cost_factor(pod, now_ms))
    }

    fn cost_factor(&self, pod: &Pod, now_ms: i64) -> f64 {
        let is_warm = now_ms - pod.ready_ms >= millis(self.life.warm_up_seconds);
        if is_warm { 1.0 } else { self.life.warm_up_factor }
    }

    /// Adds what each pod uses in a step: `idle` while it runs, `full` while it starts, and its share of `requests` CPU
    /// seconds of warm work while it serves; never more than `full`.
    pub(super) fn use_cpu(&mut self, now_ms: i64, idle: f64, full: f64, requests: f64) {
        let (life, serving) = (self.life, self.serving(now_ms).count().max(1) as f64);
        for pod in &mut self.pods {
            let used = if pod.serves(now_ms) {
                let is_warm = now_ms - pod.ready_ms >= millis(life.warm_up_seconds);
                let factor = if is_warm { 1.0 } else { life.warm_up_factor };
                (idle + requests / serving * factor).min(full)
            } else if pod.ending_ms.is_none() && pod.starts_ms <= now_ms {
                full
            } else if pod.starts_ms <= now_ms {
                idle
            } else {
                0.0
            };
            pod.cpu_seconds += used;
        }
    }
}

/// The one node that there is.
const NODE: &str = "simulated";

const HOUR_MS: i64 = 3_600_000;

fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

#[cfg(test)]
mod tests;
