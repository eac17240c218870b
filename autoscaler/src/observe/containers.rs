//! The containers of a workload, as far as their resources are steered. Pure.

use cluster::{Container, Replica, ReplicaState, Resize, Rollout, Workload};
use protocol::quantity::Quantity;

use super::Circumstances;
use crate::planner::Gap;
use crate::planner::vertical::seen::{self, Amounts, Containers, ReplicaUse, Resizing};
use crate::policy::{Apply, MAX_AGE_DEFAULT, Policy, Resource, ResourcePolicy};
use crate::signal::{ContainerUsage, Readings};

/// Sees the containers of a workload; `None` where the policy leaves resources alone. `wanted` is what they are to have.
pub(super) fn containers(
    policy: &Policy,
    workload: &Workload,
    wanted: &[Container],
    readings: &Readings,
    circumstances: Circumstances,
) -> Option<Containers> {
    let resources = policy.resources.as_ref()?;
    let view = View { resources, workload, readings, circumstances };
    let covered = wanted.iter().filter(|container| resources.covers(&container.name));
    let each: Vec<seen::Container> = covered.map(|container| view.container(container)).collect();
    let gap = view.gap(&each);
    Some(Containers { each, gap })
}

struct View<'a> {
    resources: &'a ResourcePolicy,
    workload: &'a Workload,
    readings: &'a Readings,
    circumstances: Circumstances,
}

impl View<'_> {
    fn container(&self, wanted: &Container) -> seen::Container {
        let millis = |amount: Option<Quantity>| amount.map(Quantity::millis);
        let resources = &wanted.resources;
        let replicas = self.workload.replicas.iter().filter(|replica| replica.state != ReplicaState::Terminating);
        seen::Container {
            name: wanted.name.clone(),
            cpu: Amounts { request: millis(resources.cpu_request), limit: millis(resources.cpu_limit) },
            memory: Amounts { request: millis(resources.memory_request), limit: millis(resources.memory_limit) },
            replicas: replicas.clone().map(|replica| self.replica(replica, &wanted.name)).collect(),
            resizing: self
                .rollout()
                .unwrap_or_else(|| resizing(replicas.filter_map(|replica| replica.resize.as_ref()))),
        }
    }

    /// A rolling update that is not over; a resize in place does not wait for that, as it may be what the update waits for.
    fn rollout(&self) -> Option<Resizing> {
        if self.resources.apply != Apply::Rollout {
            return None;
        }
        match &self.workload.rollout {
            Rollout::Complete => None,
            Rollout::Progressing => Some(Resizing::UnderWay("a rolling update is in progress".to_owned())),
            Rollout::Stuck { reason } | Rollout::RolledBack { reason } => Some(Resizing::UnderWay(reason.clone())),
        }
    }

    fn replica(&self, replica: &Replica, container: &str) -> ReplicaUse {
        let Circumstances { now_ms, startup, .. } = self.circumstances;
        let namespace = &self.workload.reference.namespace;
        let oldest_ms = now_ms - MAX_AGE_DEFAULT.as_millis() as i64;
        let fresh = |usage: &ContainerUsage| usage.container == container && usage.at_ms >= oldest_ms;
        let read = |usage: &crate::signal::Usage| {
            let found = usage.of(namespace, &replica.name).iter().find(|usage| fresh(usage))?;
            Some((found.value, found.at_ms))
        };
        let warm_ms = startup.cpu_initialization.as_millis() as i64;
        let given = replica.containers.iter().find(|given| given.name == container);
        let measures = self.readings.measures.as_ref().map(|known| known.of(namespace, &replica.name, container)).ok();
        let count = |value: Option<f64>| value.unwrap_or(0.0) as u64;
        ReplicaUse {
            pod: replica.name.clone(),
            warm: replica.ready && replica.started_at_ms.is_some_and(|started_ms| started_ms + warm_ms <= now_ms),
            cpu: self.readings.cpu.as_ref().ok().and_then(read),
            memory: self.readings.memory.as_ref().ok().and_then(read),
            memory_limit: given.and_then(|given| given.resources.memory_limit).map(Quantity::as_f64),
            throttled: measures.and_then(|measures| measures.throttled),
            cpu_pressure: measures.and_then(|measures| measures.cpu_pressure),
            memory_pressure: measures.and_then(|measures| measures.memory_pressure),
            kills: measures.map(|measures| count(measures.kills).saturating_add(count(measures.killed_restarts))),
        }
    }

    /// Why less must not be thought enough: something was not read, or not of all that serve.
    fn gap(&self, each: &[seen::Container]) -> Option<Gap> {
        let (resources, Readings { cpu, memory, measures, .. }) = (self.resources, self.readings);
        let of = |resource, result: Option<Gap>| result.filter(|_| resources.bounds(resource).is_some());
        let unread = of(Resource::Cpu, cpu.as_ref().err().cloned())
            .or_else(|| of(Resource::Memory, memory.as_ref().err().cloned()))
            .or_else(|| measures.as_ref().err().cloned());
        unread.or_else(|| {
            let serves = |pod: &str| self.workload.replicas.iter().any(|r| r.name == pod && r.ready);
            let lacks = |replica: &&ReplicaUse| {
                (resources.cpu.is_some() && replica.cpu.is_none())
                    || (resources.memory.is_some() && replica.memory.is_none())
            };
            let without = |container: &seen::Container| {
                container.replicas.iter().filter(|replica| serves(&replica.pod)).filter(lacks).count()
            };
            let most = each.iter().map(without).max().unwrap_or(0);
            (most > 0).then_some(Gap::Unread(most))
        })
    }
}

/// The replica that has come least far.
fn resizing<'a>(resizes: impl Iterator<Item = &'a Resize>) -> Resizing {
    let mut found = Resizing::Done;
    for resize in resizes {
        match resize {
            Resize::Infeasible { message } => return Resizing::Infeasible(message.clone()),
            Resize::Deferred { message } | Resize::Error { message } => found = Resizing::UnderWay(message.clone()),
            Resize::InProgress if found == Resizing::Done => found = Resizing::UnderWay("in progress".to_owned()),
            Resize::InProgress => {}
        }
    }
    found
}

/// The workload as its manifest has it: its replicas with what they request there, and the limits that they have.
pub(super) fn as_specified(workload: &mut Workload, policy: &ResourcePolicy, specified: &[Container]) {
    let containers = workload.replicas.iter_mut().flat_map(|replica| &mut replica.containers);
    for container in containers.filter(|container| policy.covers(&container.name)) {
        let Some(own) = specified.iter().find(|own| own.name == container.name) else { continue };
        if policy.cpu.is_some() {
            container.resources.cpu_request = own.resources.cpu_request;
        }
        if policy.memory.is_some() {
            container.resources.memory_request = own.resources.memory_request;
        }
    }
}

/// So many of a resource, for the cluster.
pub(crate) fn quantity(millis: Option<i64>) -> Option<Quantity> {
    millis.map(Quantity::from_millis)
}

#[cfg(test)]
mod tests;
