//! Chooses the pod that a connection goes to, or says why there is none. Pure: asks nobody.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use tokio::time::Instant;

use crate::kubernetes::forward::Goal;

/// Pods that are named when none is ready.
const NAMED_MAX: usize = 3;

/// A pod and the number of its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub name: String,
    /// Tells a pod from a later one of the same name, as a StatefulSet makes.
    pub uid: String,
    pub port: u16,
}

/// Among the pods that are ready and did not fail: the last one, else the longest-lived. Where all have failed, the one that did so the
/// longest ago.
pub(super) fn choose(
    pods: &[Pod],
    goal: &Goal,
    last: Option<&Chosen>,
    failed: &HashMap<String, Instant>,
) -> Result<Chosen, String> {
    let Goal { namespace, selector, port } = goal;
    if pods.is_empty() {
        return Err(format!(
            "no pod with {selector} in namespace {namespace}: is it installed there? choose another namespace with --namespace"
        ));
    }
    let mut ready: Vec<&Pod> = pods.iter().filter(|pod| is_ready(pod)).collect();
    if ready.is_empty() {
        let mut words: Vec<String> = pods.iter().take(NAMED_MAX).map(state).collect();
        if pods.len() > NAMED_MAX {
            words.push(format!("{} more", pods.len() - NAMED_MAX));
        }
        return Err(format!("no pod with {selector} in namespace {namespace} is ready: {}", words.join(", ")));
    }
    ready.sort_by_key(|pod| {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let begun = pod.metadata.creation_timestamp.as_ref().map(|at| at.0);
        (failed.get(uid).copied(), last.is_none_or(|last| last.uid != uid), begun, pod.metadata.name.clone())
    });
    let found = ready.iter().find_map(|pod| chosen(pod, port));
    found.ok_or_else(|| {
        format!(
            "pod {} in namespace {namespace} has no container port named {port}: is it what was meant?",
            name(ready[0])
        )
    })
}

fn chosen(pod: &Pod, port: &str) -> Option<Chosen> {
    let containers = &pod.spec.as_ref()?.containers;
    let mut ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
    let number = ports.find(|p| p.name.as_deref() == Some(port))?.container_port;
    Some(Chosen {
        name: name(pod).to_owned(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        port: u16::try_from(number).ok()?,
    })
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

fn is_ready(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    pod.metadata.deletion_timestamp.is_none()
        && status.phase.as_deref() == Some("Running")
        && condition.is_some_and(|condition| condition.status == "True")
}

/// `NAME is Pending (ImagePullBackOff)`.
fn state(pod: &Pod) -> String {
    let name = name(pod);
    if pod.metadata.deletion_timestamp.is_some() {
        return format!("{name} is ending");
    }
    let Some(status) = &pod.status else { return format!("{name} has no state yet") };
    let waits = |container: &ContainerStatus| container.state.as_ref()?.waiting.as_ref()?.reason.clone();
    let condition = || {
        let mut conditions = status.conditions.iter().flatten();
        conditions.find(|condition| condition.status == "False").and_then(|condition| condition.reason.clone())
    };
    let reason = status.container_statuses.iter().flatten().find_map(waits).or_else(condition).unwrap_or_default();
    let phase = status.phase.as_deref().unwrap_or("unknown");
    if reason.is_empty() { format!("{name} is {phase}") } else { format!("{name} is {phase} ({reason})") }
}
