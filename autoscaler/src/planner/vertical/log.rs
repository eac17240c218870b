//! What is remembered of a workload's containers: their usage, what says that they need more, and when they were changed last. Only
//! the reconciler writes it; the planner reads.

use std::collections::BTreeMap;
use std::time::Duration;

use super::evidence::{Kill, Push};
use super::seen::{Container, Containers, ReplicaUse};
use super::usage::Usage;
use crate::policy::{Resource, ResourcePolicy};

/// A change shows in what is read after so long at the earliest: rates are averages over a window, and scrapes come late.
pub const SETTLES: Duration = Duration::from_secs(180);

/// What is remembered of a workload's containers, by their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerLogs {
    each: BTreeMap<String, ContainerLog>,
}

/// What is remembered of one container. Takes less than 12 KiB, and a few bytes for each replica.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerLog {
    cpu: ResourceLog,
    memory: ResourceLog,
    /// The last kill.
    pub kill: Option<Kill>,
    /// Kills counted so far, by pod.
    kills: BTreeMap<String, u64>,
}

/// What is remembered of one resource of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceLog {
    /// What was used.
    pub usage: Usage,
    /// What says that more was needed.
    pub push: Option<Push>,
    /// Milliseconds since the epoch of the last change, whoever made it; `None` if none was seen.
    pub changed_ms: Option<i64>,
    request: Option<i64>,
    was_seen: bool,
}

impl ResourceLog {
    fn new(resource: Resource) -> Self {
        Self { usage: Usage::new(resource), push: None, changed_ms: None, request: None, was_seen: false }
    }

    fn see(&mut self, now_ms: i64, request: Option<i64>) {
        if self.was_seen && self.request != request {
            self.changed_ms = Some(now_ms);
        }
        (self.request, self.was_seen) = (request, true);
    }

    /// Whether what is read now was used with what it has now.
    pub fn has_settled(&self, now_ms: i64) -> bool {
        self.changed_ms.is_none_or(|changed_ms| now_ms - changed_ms >= SETTLES.as_millis() as i64)
    }
}

impl ContainerLog {
    fn new() -> Self {
        let (cpu, memory) = (ResourceLog::new(Resource::Cpu), ResourceLog::new(Resource::Memory));
        Self { cpu, memory, kill: None, kills: BTreeMap::new() }
    }

    /// What is remembered of one resource.
    pub fn of(&self, resource: Resource) -> &ResourceLog {
        match resource {
            Resource::Cpu => &self.cpu,
            Resource::Memory => &self.memory,
        }
    }

    fn learn(&mut self, container: &Container, now_ms: i64) {
        self.cpu.see(now_ms, container.cpu.request);
        self.memory.see(now_ms, container.memory.request);
        for replica in &container.replicas {
            if let Some((cores, at_ms)) = replica.cpu.filter(|_| replica.warm) {
                self.cpu.usage.add(at_ms, cores);
            }
            if let Some((bytes, at_ms)) = replica.memory {
                self.memory.usage.add(at_ms, bytes);
            }
        }
        self.count_kills(&container.replicas, now_ms);
        self.feel(container, now_ms);
    }

    /// A pod that is seen for the first time begins with what is counted then: that may be long ago.
    fn count_kills(&mut self, replicas: &[ReplicaUse], now_ms: i64) {
        for replica in replicas {
            let Some(counted) = replica.kills else { continue };
            if self.kills.insert(replica.pod.clone(), counted).is_some_and(|before| counted > before) {
                let seen = self.memory.usage.latest_peak(now_ms);
                self.kill = Kill::after(self.kill, now_ms, replica.memory_limit, seen);
            }
        }
        self.kills.retain(|pod, _| replicas.iter().any(|replica| replica.pod == *pod));
    }

    /// What says that more is needed than was used; on average over the replicas, as all get the same.
    fn feel(&mut self, container: &Container, now_ms: i64) {
        let warm = || container.replicas.iter().filter(|replica| replica.warm);
        let most = |used: fn(&ReplicaUse) -> Option<(f64, i64)>| {
            warm().filter_map(used).map(|(amount, _)| amount).reduce(f64::max)
        };
        if self.cpu.has_settled(now_ms) {
            let requested = container.cpu.request.map(|millis| millis as f64 / 1000.0);
            let throttled = mean(warm().map(|replica| replica.throttled))
                .zip(requested)
                .and_then(|(share, requested)| Push::throttled(now_ms, share, requested));
            let pressure = mean(warm().map(|replica| replica.cpu_pressure))
                .zip(most(|replica| replica.cpu))
                .and_then(|(share, used)| Push::cpu_pressure(now_ms, share, used));
            for push in throttled.into_iter().chain(pressure) {
                self.cpu.push = Some(Push::and(self.cpu.push, push));
            }
        }
        if self.memory.has_settled(now_ms) {
            let pressure = mean(warm().map(|replica| replica.memory_pressure))
                .zip(most(|replica| replica.memory))
                .and_then(|(share, used)| Push::memory_pressure(now_ms, share, used));
            if let Some(push) = pressure {
                self.memory.push = Some(Push::and(self.memory.push, push));
            }
        }
    }
}

impl ContainerLogs {
    /// What is remembered of a container.
    pub fn of(&self, container: &str) -> Option<&ContainerLog> {
        self.each.get(container)
    }

    /// Learns from what is seen. Containers that are gone are forgotten.
    pub fn learn(&mut self, policy: &ResourcePolicy, seen: &Containers, now_ms: i64) {
        let covered = || seen.each.iter().filter(|container| policy.covers(&container.name));
        for container in covered() {
            let log = self.each.entry(container.name.clone()).or_insert_with(ContainerLog::new);
            log.learn(container, now_ms);
        }
        if covered().next().is_some() {
            self.each.retain(|name, _| covered().any(|container| container.name == *name));
        }
    }

    /// Begins a container's usage anew with what another had recorded: levels by the number of their slot, oldest first.
    pub fn restore(&mut self, container: &str, cpu: &[(i64, f64)], memory: &[(i64, f64)]) {
        let log = self.each.entry(container.to_owned()).or_insert_with(ContainerLog::new);
        log.cpu.usage.restore(cpu);
        log.memory.usage.restore(memory);
    }
}

fn mean(shares: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = shares.flatten().fold((0.0, 0u32), |(sum, count), share| (sum + share, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
