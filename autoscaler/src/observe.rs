//! From a workload of the cluster and what was read to the planner's observation. Pure; the planner's words on one side,
//! the cluster's on the other.

pub(crate) mod containers;

use std::time::Duration;

use cluster::{Container, Replica, ReplicaState, Workload};
use protocol::quantity::Quantity;

use crate::planner::observation::{
    ContainerRequest, Demand, Phase, Pod, PodSample, ReadyCondition, Requests, ResourceRequest, Startup, Throughput,
};
use crate::planner::{Gap, Observation, Reading};
use crate::policy::{Aim, Apply, Policy, Resource};
use crate::signal::{ContainerUsage, QueryResult, Readings, ServiceDemand, Usage};

/// What is the same for all workloads of a tick.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// Milliseconds since the epoch.
    pub now_ms: i64,
    /// The window that CPU readings are an average over.
    pub rate_window: Duration,
    /// How long a starting pod's CPU is not believed.
    pub startup: Startup,
}

/// What a workload's containers are to have, and what their manifest says; both empty where their resources are left alone.
#[derive(Debug, Clone, Default)]
pub struct Sizes {
    /// As planned, else as specified.
    pub wanted: Vec<Container>,
    /// As specified.
    pub specified: Vec<Container>,
}

/// Observes one workload. `place` is the policy's position, under which its queries were read.
pub fn observe(
    policy: &Policy,
    place: usize,
    (workload, sizes): (&Workload, &Sizes),
    readings: &Readings,
    circumstances: Circumstances,
    paused: bool,
) -> Observation {
    let seen = containers::containers(policy, workload, &sizes.wanted, readings, circumstances);
    // Signals that read requests read those of the manifest: what is planned of resources must not move replicas.
    let in_place = policy.resources.as_ref().filter(|resources| resources.apply == Apply::InPlace);
    let as_specified = in_place.map(|resources| {
        let mut workload = workload.clone();
        containers::as_specified(&mut workload, resources, &sizes.specified);
        workload
    });
    let workload = as_specified.as_ref().unwrap_or(workload);
    let reading_of = |(index, aim): (usize, &Aim)| match aim {
        Aim::Utilization { resource, container, .. } => {
            let (usage, window) = match resource {
                Resource::Cpu => (&readings.cpu, circumstances.rate_window),
                Resource::Memory => (&readings.memory, Duration::ZERO),
            };
            match usage {
                Ok(usage) => Reading::Pods(samples(workload, usage, container.as_deref(), window)),
                Err(gap) => Reading::Missing(gap.clone()),
            }
        }
        Aim::Query { .. } => total(readings.queries.get(&(place, index, 0)), readings),
        Aim::Expression { queries, .. } => {
            let asked = 0..queries.len();
            Reading::Inputs(asked.map(|input| total(readings.queries.get(&(place, index, input)), readings)).collect())
        }
        Aim::Schedule(_) => Reading::Clock,
        Aim::Demand(_) | Aim::Upstream(_) => match requests(policy, readings) {
            Ok(known) => Reading::Demand(Box::new(demand(workload, known, readings, circumstances))),
            Err(gap) => Reading::Missing(gap),
        },
        Aim::Backlog { throughput, .. } => match readings.queries.get(&(place, index, 0)) {
            Some(Ok(QueryResult { value, at_ms })) => {
                let done = match throughput {
                    Some(_) => match readings.queries.get(&(place, index, 1)) {
                        Some(Ok(QueryResult { value, at_ms })) => Ok(Throughput { rate: *value, at_ms: *at_ms }),
                        Some(Err(gap)) => Err(gap.clone()),
                        None => Err(unasked(readings)),
                    },
                    None => requests(policy, readings)
                        .map(|known| Throughput { rate: known.served, at_ms: Some(known.at_ms) }),
                };
                Reading::Backlog { waiting: *value, at_ms: *at_ms, throughput: done }
            }
            Some(Err(gap)) => Reading::Missing(gap.clone()),
            None => Reading::Missing(unasked(readings)),
        },
    };
    Observation {
        now_ms: circumstances.now_ms,
        desired: i32::try_from(workload.desired.0).unwrap_or(i32::MAX),
        ready: workload.ready().0,
        pods: workload.replicas.iter().map(pod).collect(),
        readings: policy.signals.iter().map(|s| &s.aim).enumerate().map(reading_of).collect(),
        startup: circumstances.startup,
        paused,
        budget: None,
        around: readings.landscape.around(&policy.service),
        containers: seen,
    }
}

/// What the service is asked to do.
fn requests<'r>(policy: &Policy, readings: &'r Readings) -> Result<&'r ServiceDemand, Gap> {
    let demands = readings.demands.as_ref().map_err(Clone::clone)?;
    demands.of(&policy.target.namespace, &policy.service).ok_or_else(|| Gap::NoRequests(policy.service.clone()))
}

fn demand(workload: &Workload, known: &ServiceDemand, readings: &Readings, circumstances: Circumstances) -> Demand {
    let cpu = readings.cpu.as_ref().map(|usage| samples(workload, usage, None, circumstances.rate_window));
    Demand {
        service: *known,
        // Without it nothing new is learnt, and what is known goes on to hold.
        cpu: cpu.unwrap_or_default(),
        cores: cores(workload),
    }
}

/// Cores that one replica may use, on average: limits, or requests where there are none.
pub(crate) fn cores(workload: &Workload) -> Option<f64> {
    let of = |container: &Container| container.resources.cpu_limit.or(container.resources.cpu_request);
    let sum = |replica: &Replica| -> Option<f64> {
        let parts: Option<Vec<f64>> = replica.containers.iter().map(|c| of(c).map(Quantity::as_f64)).collect();
        parts.filter(|parts| !parts.is_empty()).map(|parts| parts.iter().sum())
    };
    let all: Vec<f64> = workload.replicas.iter().filter_map(sum).collect();
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

fn total(result: Option<&Result<QueryResult, Gap>>, readings: &Readings) -> Reading {
    match result {
        Some(Ok(result)) => Reading::Total { millis: thousandths(result.value), at_ms: result.at_ms },
        Some(Err(gap)) => Reading::Missing(gap.clone()),
        None => Reading::Missing(unasked(readings)),
    }
}

/// A query that was not even asked shares the fate of the rest.
fn unasked(readings: &Readings) -> Gap {
    readings.trouble().map_or(Gap::Empty, |reason| Gap::Source(reason.to_owned()))
}

fn samples(workload: &Workload, usage: &Usage, container: Option<&str>, window: Duration) -> Vec<PodSample> {
    let namespace = &workload.reference.namespace;
    let sample = |replica: &Replica| {
        let known = usage.of(namespace, &replica.name);
        let wanted = replica.containers.iter().filter(|c| container.is_none_or(|name| name == c.name));
        let parts: Option<Vec<&ContainerUsage>> =
            wanted.map(|c| known.iter().find(|u| u.container == c.name)).collect();
        let parts = parts.filter(|parts| !parts.is_empty())?;
        Some(PodSample {
            pod: replica.name.clone(),
            millis: parts.iter().fold(0, |sum: i64, part| sum.saturating_add(thousandths(part.value))),
            at_ms: parts.iter().map(|part| part.at_ms).min()?,
            window,
        })
    };
    workload.replicas.iter().filter_map(sample).collect()
}

/// A replica as the planner sees it.
pub(crate) fn pod(replica: &Replica) -> Pod {
    let phase = match replica.state {
        ReplicaState::Pending => Phase::Pending,
        ReplicaState::Failed => Phase::Failed,
        // As on Kubernetes: a pod whose container waits to be started again is still Running, and not ready.
        ReplicaState::Running | ReplicaState::CrashLoopBackOff | ReplicaState::Terminating => Phase::Running,
    };
    let changed_ms = replica.ready_changed_at_ms.or(replica.started_at_ms.filter(|_| replica.ready));
    Pod {
        name: replica.name.clone(),
        phase,
        terminating: replica.state == ReplicaState::Terminating,
        started_ms: replica.started_at_ms,
        ready: changed_ms.map(|changed_ms| ReadyCondition { status: Some(replica.ready), changed_ms }),
        requests: Requests { containers: replica.containers.iter().map(request).collect(), pod: None },
    }
}

fn request(container: &Container) -> ContainerRequest {
    let resources = &container.resources;
    ContainerRequest {
        name: container.name.clone(),
        request: ResourceRequest {
            cpu: resources.cpu_request.map(Quantity::millis),
            memory: resources.memory_request.map(Quantity::millis),
        },
    }
}

/// Rounded up as Kubernetes' quantities are.
pub(crate) fn thousandths(value: f64) -> i64 {
    (value * 1000.0).ceil() as i64
}
