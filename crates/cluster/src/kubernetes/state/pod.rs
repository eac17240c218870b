//! A pod as a replica: what it is doing, since when, with which resources, and why it is not well. Pure.

use std::sync::Arc;

use crate::kubernetes::resize::plan::{Part, Role, Shape};
use crate::kubernetes::wire::{self, Condition, ContainerSpec, ContainerStatus, PodSpec, Terminated, millis};
use crate::{Container, Replica, ReplicaState, Resize, Resources};

/// Last words of a container may be long; so much of them is told.
const LAST_WORDS_MAX: usize = 300;

/// The pod as the world sees it.
pub(super) fn replica(pod: &wire::Pod) -> Replica {
    let state = state(pod);
    let ready = condition(pod, "Ready");
    let is_ready = ready.is_some_and(Condition::is_true);
    let statuses = || pod.status.container_statuses.iter().chain(sidecar_statuses(pod));
    Replica {
        name: pod.metadata.name.clone(),
        state,
        ready: is_ready,
        started_at_ms: millis(pod.status.start_time.as_ref()),
        ready_changed_at_ms: ready.and_then(|ready| millis(ready.last_transition_time.as_ref())),
        restarts: statuses().fold(0, |sum, status| sum.saturating_add(status.restart_count)),
        containers: running(&pod.spec).map(|(container, _)| actual(pod, container)).collect(),
        resize: resize(pod),
        node: pod.spec.node_name.clone(),
        message: if is_ready && state == ReplicaState::Running { String::new() } else { message(pod) },
    }
}

/// The pod, or a template, as a resize sees it.
pub(super) fn shape(spec: &PodSpec) -> Arc<Shape> {
    let initial = spec.init_containers.iter().map(|container| match container.restart_policy.as_str() {
        "Always" => (container, Role::Sidecar),
        _ => (container, Role::Init),
    });
    let main = spec.containers.iter().map(|container| (container, Role::Main));
    let parts = main.chain(initial).map(|(container, role)| part(container, role)).collect();
    Arc::new(Shape { parts, whole: spec.resources.as_ref().map(wire::Requirements::resources) })
}

fn part(container: &ContainerSpec, role: Role) -> Part {
    let restarts = |resource: &str| {
        let mut policies = container.resize_policy.iter();
        policies.any(|policy| policy.resource_name == resource && policy.restart_policy == "RestartContainer")
    };
    Part {
        name: container.name.as_str().into(),
        role,
        resources: container.resources.resources(),
        cpu_restarts: restarts("cpu"),
        memory_restarts: restarts("memory"),
    }
}

/// Containers that run as long as the pod does.
fn running(spec: &PodSpec) -> impl Iterator<Item = (&ContainerSpec, Role)> {
    let sidecars = spec.init_containers.iter().filter(|container| container.restart_policy == "Always");
    spec.containers.iter().map(|c| (c, Role::Main)).chain(sidecars.map(|c| (c, Role::Sidecar)))
}

fn sidecar_statuses(pod: &wire::Pod) -> impl Iterator<Item = &ContainerStatus> {
    let is_sidecar = |status: &&ContainerStatus| {
        pod.spec.init_containers.iter().any(|c| c.name == status.name && c.restart_policy == "Always")
    };
    pod.status.init_container_statuses.iter().filter(is_sidecar)
}

fn condition<'a>(pod: &'a wire::Pod, kind: &str) -> Option<&'a Condition> {
    pod.status.conditions.iter().find(|condition| condition.kind == kind)
}

fn state(pod: &wire::Pod) -> ReplicaState {
    if pod.metadata.deletion_timestamp.is_some() {
        return ReplicaState::Terminating;
    }
    let loops = |status: &ContainerStatus| {
        status.state.waiting.as_ref().is_some_and(|waiting| waiting.reason == "CrashLoopBackOff")
    };
    match pod.status.phase.as_str() {
        // A workload's pods never end by themselves; one that did serves nothing any more.
        "Failed" | "Succeeded" => ReplicaState::Failed,
        _ if all_statuses(pod).any(loops) => ReplicaState::CrashLoopBackOff,
        "Running" => ReplicaState::Running,
        _ => ReplicaState::Pending,
    }
}

fn all_statuses(pod: &wire::Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.init_container_statuses.iter().chain(&pod.status.container_statuses)
}

/// What a container has now: what runs, else what the node has set aside, else what was asked for.
fn actual(pod: &wire::Pod, container: &ContainerSpec) -> Container {
    let status = all_statuses(pod).find(|status| status.name == container.name);
    let asked = container.resources.resources();
    let resources = match status {
        Some(ContainerStatus { resources: Some(actual), .. }) => actual.resources(),
        Some(ContainerStatus { allocated_resources: Some(allocated), .. }) => Resources {
            cpu_request: allocated.cpu.or(asked.cpu_request),
            memory_request: allocated.memory.or(asked.memory_request),
            ..asked
        },
        _ => asked,
    };
    Container { name: container.name.clone(), resources }
}

/// How far a change of resources has come, by the kubelet's conditions. Before it has looked at one there is no condition.
fn resize(pod: &wire::Pod) -> Option<Resize> {
    let is_true = |kind: &str| condition(pod, kind).filter(|condition| condition.is_true());
    if let Some(pending) = is_true("PodResizePending") {
        let message = pending.message.clone();
        return Some(match pending.reason.as_str() {
            "Infeasible" => Resize::Infeasible { message },
            _ => Resize::Deferred { message },
        });
    }
    if let Some(progress) = is_true("PodResizeInProgress") {
        return Some(match progress.reason.as_str() {
            "Error" => Resize::Error { message: progress.message.clone() },
            _ => Resize::InProgress,
        });
    }
    let unseen = pod.status.phase == "Running"
        && pod.status.observed_generation > 0
        && pod.metadata.generation > pod.status.observed_generation
        && running(&pod.spec).any(|(c, _)| actual(pod, c).resources != c.resources.resources());
    unseen.then_some(Resize::InProgress)
}

/// Why it is not well: the pod's own words, else why a container waits and how it ended last, else what is not ready.
fn message(pod: &wire::Pod) -> String {
    let mut told: Vec<String> = Vec::new();
    if !pod.status.reason.is_empty() || !pod.status.message.is_empty() {
        told.push(join(&pod.status.reason, &pod.status.message));
    }
    told.extend(all_statuses(pod).filter_map(container_trouble));
    if told.is_empty() {
        let kinds = ["PodScheduled", "Initialized", "ContainersReady"];
        let untrue =
            kinds.iter().filter_map(|kind| condition(pod, kind)).find(|c| !c.is_true() && !c.message.is_empty());
        told.extend(untrue.map(|condition| join(&condition.reason, &condition.message)));
    }
    told.join("; ")
}

fn container_trouble(status: &ContainerStatus) -> Option<String> {
    let waiting = status.state.waiting.as_ref().map(|waiting| join(&waiting.reason, &waiting.message));
    let ended = status.state.terminated.as_ref().or(status.last_state.terminated.as_ref()).filter(|t| !is_done(t));
    let ended = ended.map(|terminated| format!("last ended {}", end_of(terminated)));
    let told: Vec<String> = waiting.into_iter().chain(ended).collect();
    (!told.is_empty()).then(|| format!("{}: {}", status.name, told.join(", ")))
}

fn is_done(terminated: &Terminated) -> bool {
    terminated.exit_code == 0 && terminated.reason == "Completed"
}

fn end_of(terminated: &Terminated) -> String {
    let Terminated { reason, message, exit_code } = terminated;
    let words: String = message.trim().chars().take(LAST_WORDS_MAX).collect();
    let words = if words.is_empty() { words } else { format!("; its last words: {words}") };
    match reason.as_str() {
        "" | "Error" => format!("with code {exit_code}{words}"),
        reason => format!("with code {exit_code} ({reason}){words}"),
    }
}

fn join(reason: &str, message: &str) -> String {
    match (reason, message) {
        (reason, "") => reason.to_owned(),
        ("", message) => message.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}
