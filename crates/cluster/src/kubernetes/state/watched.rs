//! Which kinds of object are watched, and how each is taken into the state.

use super::{Key, State, quota, reference, room};
use crate::WorkloadKind;
use crate::kubernetes::watching::{Resource, Watched};
use crate::kubernetes::wire::{
    Bare, Deployed, Event, HorizontalPodAutoscaler, Meta, Node, Pod, ResourceQuota, VerticalPodAutoscaler,
};

const fn required(group: &'static str, plural: &'static str) -> Resource {
    Resource { group, version: "v1", plural, namespaced: true, required: true, metadata_only: false }
}

const fn optional(group: &'static str, version: &'static str, plural: &'static str) -> Resource {
    Resource { group, version, plural, namespaced: true, required: false, metadata_only: false }
}

/// Keys of a map, of one namespace or of all.
fn keys_of<'a>(keys: impl Iterator<Item = &'a Key>, namespace: Option<&str>) -> Vec<Key> {
    keys.filter(|key| namespace.is_none_or(|namespace| key.namespace() == namespace)).cloned().collect()
}

impl Watched for Pod {
    const RESOURCE: Resource = required("", "pods");

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn apply(self, state: &mut State) -> bool {
        state.apply_pod(&self)
    }

    fn remove(key: &Key, state: &mut State) -> bool {
        state.remove_pod(key)
    }

    fn known(state: &State, namespace: Option<&str>) -> Vec<Key> {
        keys_of(state.pods.keys(), namespace)
    }
}

/// A ReplicaSet: only whose it is.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(transparent)]
pub(in crate::kubernetes) struct ReplicaSet(Bare);

impl Watched for ReplicaSet {
    const RESOURCE: Resource = Resource { metadata_only: true, ..required("apps", "replicasets") };

    fn meta(&self) -> &Meta {
        &self.0.metadata
    }

    fn apply(self, state: &mut State) -> bool {
        state.apply_set(&self.0.metadata)
    }

    fn remove(key: &Key, state: &mut State) -> bool {
        state.remove_set(key)
    }

    fn known(state: &State, namespace: Option<&str>) -> Vec<Key> {
        keys_of(state.sets.keys(), namespace)
    }
}

fn known_workloads(state: &State, kind: WorkloadKind, namespace: Option<&str>) -> Vec<Key> {
    let wanted = state.workloads.keys().filter(|reference| reference.kind == kind);
    let wanted = wanted.filter(|reference| namespace.is_none_or(|namespace| reference.namespace == namespace));
    wanted.map(|reference| Key::new(&reference.namespace, &reference.name)).collect()
}

fn remove_workload(state: &mut State, kind: &str, key: &Key) -> bool {
    reference(kind, key.namespace(), key.name()).is_some_and(|reference| state.remove_workload(&reference))
}

#[derive(Debug, Clone, serde::Deserialize)]
#[serde(transparent)]
pub(in crate::kubernetes) struct Deployment(Deployed);

impl Watched for Deployment {
    const RESOURCE: Resource = required("apps", "deployments");

    fn meta(&self) -> &Meta {
        &self.0.metadata
    }

    fn apply(self, state: &mut State) -> bool {
        state.apply_workload(WorkloadKind::Deployment, &self.0)
    }

    fn remove(key: &Key, state: &mut State) -> bool {
        remove_workload(state, "Deployment", key)
    }

    fn known(state: &State, namespace: Option<&str>) -> Vec<Key> {
        known_workloads(state, WorkloadKind::Deployment, namespace)
    }
}

#[derive(Debug, Clone, serde::Deserialize)]
#[serde(transparent)]
pub(in crate::kubernetes) struct StatefulSet(Deployed);

impl Watched for StatefulSet {
    const RESOURCE: Resource = required("apps", "statefulsets");

    fn meta(&self) -> &Meta {
        &self.0.metadata
    }

    fn apply(self, state: &mut State) -> bool {
        state.apply_workload(WorkloadKind::StatefulSet, &self.0)
    }

    fn remove(key: &Key, state: &mut State) -> bool {
        remove_workload(state, "StatefulSet", key)
    }

    fn known(state: &State, namespace: Option<&str>) -> Vec<Key> {
        known_workloads(state, WorkloadKind::StatefulSet, namespace)
    }
}

impl Watched for Node {
    const RESOURCE: Resource = Resource { namespaced: false, ..optional("", "v1", "nodes") };

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn apply(self, state: &mut State) -> bool {
        let room = room(self.status.allocatable);
        state.nodes.insert(self.metadata.name.as_str().into(), room) != Some(room)
    }

    fn remove(key: &Key, state: &mut State) -> bool {
        state.nodes.remove(key.name()).is_some()
    }

    fn known(state: &State, _: Option<&str>) -> Vec<Key> {
        state.nodes.keys().map(|name| Key::new("", name)).collect()
    }
}

impl Watched for ResourceQuota {
    const RESOURCE: Resource = optional("", "v1", "resourcequotas");

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn apply(self, state: &mut State) -> bool {
        state.quotas.insert(Key::of(&self.metadata), quota(&self));
        // Changes with every pod, and nobody waits for it.
        false
    }

    fn remove(key: &Key, state: &mut State) -> bool {
        state.quotas.remove(key).is_some()
    }

    fn known(state: &State, namespace: Option<&str>) -> Vec<Key> {
        keys_of(state.quotas.keys(), namespace)
    }
}

const HORIZONTAL: &str = "HorizontalPodAutoscaler";
pub(super) const VERTICAL: &str = "VerticalPodAutoscaler";

fn known_steerers(state: &State, kind: &str, namespace: Option<&str>) -> Vec<Key> {
    let of_kind = state.steerers.keys().filter(|(found, _)| *found == kind).map(|(_, key)| key);
    keys_of(of_kind, namespace)
}

impl Watched for HorizontalPodAutoscaler {
    const RESOURCE: Resource = optional("autoscaling", "v2", "horizontalpodautoscalers");

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn apply(self, state: &mut State) -> bool {
        state.steers(HORIZONTAL, &self.metadata, Some(&self.spec.scale_target_ref))
    }

    fn remove(key: &Key, state: &mut State) -> bool {
        state.stops_steering(HORIZONTAL, key)
    }

    fn known(state: &State, namespace: Option<&str>) -> Vec<Key> {
        known_steerers(state, HORIZONTAL, namespace)
    }
}

impl Watched for VerticalPodAutoscaler {
    const RESOURCE: Resource = optional("autoscaling.k8s.io", "v1", "verticalpodautoscalers");

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn apply(self, state: &mut State) -> bool {
        let mode = self.spec.update_policy.as_ref().and_then(|policy| policy.update_mode.as_deref());
        let steers = mode != Some("Off");
        state.steers(VERTICAL, &self.metadata, self.spec.target_ref.as_ref().filter(|_| steers))
    }

    fn remove(key: &Key, state: &mut State) -> bool {
        state.stops_steering(VERTICAL, key)
    }

    fn known(state: &State, namespace: Option<&str>) -> Vec<Key> {
        known_steerers(state, VERTICAL, namespace)
    }
}

impl Watched for Event {
    const RESOURCE: Resource = optional("", "v1", "events");

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn apply(self, state: &mut State) -> bool {
        state.take_event(self);
        false
    }

    fn remove(key: &Key, state: &mut State) -> bool {
        state.events.forget(key);
        false
    }

    fn known(state: &State, namespace: Option<&str>) -> Vec<Key> {
        keys_of(state.events.keys(), namespace)
    }
}
