//! The parts of Kubernetes' objects that are read here, and nothing else: managedFields, volumes and the like are skipped while
//! reading, so that they never take memory. What is absent or odd becomes a default; one odd value never costs an object.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use protocol::quantity::Quantity;
use serde::{Deserialize, Deserializer};

use crate::Resources;

/// The annotation in which planned sizes are kept: container → resources, as JSON.
pub(super) const PLANNED_ANNOTATION: &str = "plimsoll.dev/resources";

/// Kubernetes' annotation that says which pods to end first.
pub(super) const DELETION_COST_ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    #[serde(default)]
    pub metadata: ListMeta,
    // `null` is an empty list to some servers.
    #[serde(default = "none")]
    pub items: Option<Vec<T>>,
}

fn none<T>() -> Option<T> {
    None
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListMeta {
    pub resource_version: String,
    #[serde(rename = "continue")]
    pub next: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub generation: i64,
    pub deletion_timestamp: Option<Time>,
    pub annotations: Annotations,
    pub owner_references: Vec<Owner>,
}

impl Meta {
    /// The controller that made it.
    pub fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

/// Those annotations that are read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Annotations {
    #[serde(rename = "plimsoll.dev/resources")]
    pub planned: Option<String>,
    #[serde(rename = "controller.kubernetes.io/pod-deletion-cost")]
    pub deletion_cost: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Owner {
    pub kind: String,
    pub uid: String,
    pub controller: bool,
}

/// An object of which only the metadata is wanted.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Bare {
    #[serde(default)]
    pub metadata: Meta,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub metadata: Meta,
    pub spec: PodSpec,
    pub status: PodStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    pub node_name: String,
    pub containers: Vec<ContainerSpec>,
    pub init_containers: Vec<ContainerSpec>,
    /// Resources of the pod as a whole.
    pub resources: Option<Requirements>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerSpec {
    pub name: String,
    pub resources: Requirements,
    pub resize_policy: Vec<ResizePolicy>,
    /// `Always` makes a sidecar of an init container.
    pub restart_policy: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ResizePolicy {
    pub resource_name: String,
    pub restart_policy: String,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Requirements {
    pub requests: Amounts,
    pub limits: Amounts,
}

impl Requirements {
    pub fn resources(&self) -> Resources {
        Resources {
            cpu_request: self.requests.cpu,
            cpu_limit: self.limits.cpu,
            memory_request: self.requests.memory,
            memory_limit: self.limits.memory,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Amounts {
    #[serde(deserialize_with = "lenient_quantity")]
    pub cpu: Option<Quantity>,
    #[serde(deserialize_with = "lenient_quantity")]
    pub memory: Option<Quantity>,
}

/// An amount that cannot be read is taken as not set, rather than losing the whole object.
fn lenient_quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Quantity>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Quantity::parse(&text).ok(),
        serde_json::Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    })
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    pub phase: String,
    pub reason: String,
    pub message: String,
    pub start_time: Option<Time>,
    pub observed_generation: i64,
    pub conditions: Vec<Condition>,
    pub container_statuses: Vec<ContainerStatus>,
    pub init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    pub last_transition_time: Option<Time>,
}

impl Condition {
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerStatus {
    pub name: String,
    pub restart_count: u32,
    pub state: ContainerState,
    pub last_state: ContainerState,
    /// What it has now.
    pub resources: Option<Requirements>,
    /// What the node has set aside for it.
    pub allocated_resources: Option<Amounts>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerState {
    pub waiting: Option<Waiting>,
    pub terminated: Option<Terminated>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Waiting {
    pub reason: String,
    pub message: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Terminated {
    pub reason: String,
    pub message: String,
    pub exit_code: i32,
}

/// A Deployment or StatefulSet.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Deployed {
    pub metadata: Meta,
    pub spec: DeployedSpec,
    pub status: DeployedStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DeployedSpec {
    /// One if it is absent.
    pub replicas: Option<u32>,
    pub template: Template,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Template {
    pub spec: PodSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DeployedStatus {
    pub observed_generation: i64,
    pub replicas: u32,
    pub updated_replicas: u32,
    pub conditions: Vec<Condition>,
    /// Of a StatefulSet.
    pub current_revision: String,
    /// Of a StatefulSet.
    pub update_revision: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    pub metadata: Meta,
    pub status: NodeStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeStatus {
    pub allocatable: Amounts,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ResourceQuota {
    pub metadata: Meta,
    pub spec: QuotaSpec,
    pub status: QuotaStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct QuotaSpec {
    pub scopes: Vec<String>,
    pub scope_selector: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct QuotaStatus {
    pub hard: BTreeMap<String, String>,
    pub used: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct HorizontalPodAutoscaler {
    pub metadata: Meta,
    pub spec: HorizontalSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct HorizontalSpec {
    pub scale_target_ref: TargetRef,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct VerticalPodAutoscaler {
    pub metadata: Meta,
    pub spec: VerticalSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct VerticalSpec {
    pub target_ref: Option<TargetRef>,
    pub update_policy: Option<UpdatePolicy>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct UpdatePolicy {
    pub update_mode: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TargetRef {
    pub api_version: String,
    pub kind: String,
    pub name: String,
}

/// A core/v1 Event.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Event {
    pub metadata: Meta,
    pub involved_object: ObjectRef,
    pub related: Option<ObjectRef>,
    pub reason: String,
    pub message: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub event_time: Option<MicroTime>,
    pub first_timestamp: Option<Time>,
    pub last_timestamp: Option<Time>,
    pub count: Option<u32>,
    pub series: Option<Series>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Series {
    pub count: u32,
    pub last_observed_time: Option<MicroTime>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ObjectRef {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// Milliseconds since the epoch.
pub(super) fn millis(time: Option<&Time>) -> Option<i64> {
    time.map(|time| time.0.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_amount_costs_only_itself() {
        let text = r#"{"metadata":{"name":"a","managedFields":[{"fieldsV1":{"f:x":{}}}],"annotations":{"other":"1"}},
            "spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"12Q","memory":"64Mi","gpu":"1"}}}]},
            "status":{"startTime":"2026-11-23T04:00:00Z"}}"#;
        let pod: Pod = serde_json::from_str(text).unwrap();
        let requests = pod.spec.containers[0].resources.requests;
        assert_eq!((requests.cpu, requests.memory.map(Quantity::units)), (None, Some(64 << 20)));
        assert_eq!(millis(pod.status.start_time.as_ref()), Some(1_795_406_400_000));
    }

    #[test]
    fn a_list_may_be_null() {
        let list: List<Pod> = serde_json::from_str(r#"{"metadata":{"resourceVersion":"7"},"items":null}"#).unwrap();
        assert_eq!((list.metadata.resource_version.as_str(), list.items.is_none()), ("7", true));
    }
}
