//! The shapes of Kubernetes' objects as they are written, unknown fields refused. Nothing is checked across fields
//! here: `check` turns these into the types of `model`.

use std::collections::BTreeMap;

use protocol::quantity::Quantity;
use serde::Deserialize;

use super::scalar::{Harmless, NumberOrText, Refused, Share, Text};

/// What every object begins with; the only shape that ignores fields, as it serves to choose the right one.
#[derive(Debug, Deserialize)]
pub struct Header {
    #[serde(rename = "apiVersion")]
    pub api_version: Option<String>,
    pub kind: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Metadata {
    pub name: Text,
    pub namespace: Option<Text>,
    #[serde(default, rename = "labels")]
    pub _labels: BTreeMap<String, Text>,
    #[serde(default, rename = "annotations")]
    pub _annotations: BTreeMap<String, Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Object<S> {
    #[serde(rename = "apiVersion")]
    pub _api_version: String,
    #[serde(rename = "kind")]
    pub _kind: String,
    pub metadata: Metadata,
    pub spec: S,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Namespace {
    #[serde(rename = "apiVersion")]
    pub _api_version: String,
    #[serde(rename = "kind")]
    pub _kind: String,
    #[serde(rename = "metadata")]
    pub _metadata: Metadata,
    #[serde(rename = "spec")]
    pub _spec: Harmless,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ConfigMap {
    #[serde(rename = "apiVersion")]
    pub _api_version: String,
    #[serde(rename = "kind")]
    pub _kind: String,
    pub metadata: Metadata,
    #[serde(default)]
    pub data: BTreeMap<String, Text>,
    #[serde(rename = "immutable")]
    pub _immutable: Harmless,
    #[serde(rename = "binaryData")]
    pub _binary_data: Option<Refused>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Secret {
    #[serde(rename = "apiVersion")]
    pub _api_version: String,
    #[serde(rename = "kind")]
    pub _kind: String,
    pub metadata: Metadata,
    #[serde(rename = "type")]
    pub _type: Harmless,
    #[serde(default)]
    pub data: BTreeMap<String, Text>,
    #[serde(default)]
    pub string_data: BTreeMap<String, Text>,
    #[serde(rename = "immutable")]
    pub _immutable: Harmless,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClaimSpec {
    #[serde(rename = "accessModes")]
    pub _access_modes: Harmless,
    #[serde(rename = "resources")]
    pub _resources: Harmless,
    #[serde(rename = "storageClassName")]
    pub _storage_class_name: Harmless,
    #[serde(rename = "volumeMode")]
    pub _volume_mode: Harmless,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ServiceSpec {
    #[serde(default)]
    pub selector: BTreeMap<String, Text>,
    pub ports: Vec<ServicePort>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    #[serde(rename = "sessionAffinity")]
    pub _session_affinity: Option<Refused>,
    #[serde(rename = "externalName")]
    pub _external_name: Option<Refused>,
    #[serde(rename = "ipFamilyPolicy")]
    pub _ip_family_policy: Harmless,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ServicePort {
    pub name: Option<Text>,
    pub port: u16,
    pub target_port: Option<NumberOrText>,
    pub protocol: Option<String>,
    #[serde(rename = "appProtocol")]
    pub _app_protocol: Harmless,
    #[serde(rename = "nodePort")]
    pub _node_port: Harmless,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DeploymentSpec {
    pub replicas: Option<u32>,
    pub selector: LabelSelector,
    #[serde(default)]
    pub strategy: Strategy,
    #[serde(default)]
    pub min_ready_seconds: u32,
    pub progress_deadline_seconds: Option<u32>,
    #[serde(rename = "revisionHistoryLimit")]
    pub _revision_history_limit: Option<u32>,
    pub template: PodTemplate,
    #[serde(rename = "paused")]
    pub _paused: Option<Refused>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LabelSelector {
    #[serde(default)]
    pub match_labels: BTreeMap<String, Text>,
    #[serde(rename = "matchExpressions")]
    pub _match_expressions: Option<Refused>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Strategy {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub rolling_update: Option<RollingUpdate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RollingUpdate {
    pub max_surge: Option<Share>,
    pub max_unavailable: Option<Share>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PodTemplate {
    pub metadata: TemplateMetadata,
    pub spec: PodSpec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TemplateMetadata {
    #[serde(default)]
    pub labels: BTreeMap<String, Text>,
    #[serde(default)]
    pub annotations: BTreeMap<String, Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PodSpec {
    pub containers: Vec<Container>,
    #[serde(default)]
    pub volumes: Vec<Volume>,
    pub termination_grace_period_seconds: Option<u32>,
    pub enable_service_links: Option<bool>,
    pub restart_policy: Option<String>,
    #[serde(rename = "securityContext")]
    pub _security_context: Harmless,
    #[serde(rename = "automountServiceAccountToken")]
    pub _automount_service_account_token: Harmless,
    #[serde(rename = "serviceAccountName")]
    pub _service_account_name: Harmless,
    #[serde(rename = "imagePullSecrets")]
    pub _image_pull_secrets: Harmless,
    #[serde(rename = "affinity")]
    pub _affinity: Harmless,
    #[serde(rename = "tolerations")]
    pub _tolerations: Harmless,
    #[serde(rename = "nodeSelector")]
    pub _node_selector: Harmless,
    #[serde(rename = "topologySpreadConstraints")]
    pub _topology_spread_constraints: Harmless,
    #[serde(rename = "priorityClassName")]
    pub _priority_class_name: Harmless,
    #[serde(rename = "dnsPolicy")]
    pub _dns_policy: Harmless,
    #[serde(rename = "initContainers")]
    pub _init_containers: Option<Refused>,
    #[serde(rename = "hostNetwork")]
    pub _host_network: Option<Refused>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Container {
    pub name: Text,
    pub image: Text,
    #[serde(rename = "imagePullPolicy")]
    pub _image_pull_policy: Harmless,
    #[serde(default)]
    pub command: Vec<Text>,
    #[serde(default)]
    pub args: Vec<Text>,
    #[serde(default)]
    pub env: Vec<EnvVar>,
    #[serde(default)]
    pub env_from: Vec<EnvFrom>,
    #[serde(default)]
    pub ports: Vec<ContainerPort>,
    #[serde(default)]
    pub resources: ResourceRequirements,
    pub readiness_probe: Option<Probe>,
    pub liveness_probe: Option<Probe>,
    pub startup_probe: Option<Probe>,
    #[serde(default)]
    pub volume_mounts: Vec<VolumeMount>,
    #[serde(rename = "securityContext")]
    pub _security_context: Harmless,
    #[serde(rename = "resizePolicy")]
    pub _resize_policy: Harmless,
    #[serde(rename = "terminationMessagePolicy")]
    pub _termination_message_policy: Harmless,
    #[serde(rename = "terminationMessagePath")]
    pub _termination_message_path: Harmless,
    #[serde(rename = "lifecycle")]
    pub _lifecycle: Option<Refused>,
    #[serde(rename = "workingDir")]
    pub _working_dir: Option<Refused>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EnvVar {
    pub name: Text,
    pub value: Option<Text>,
    pub value_from: Option<EnvSource>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EnvSource {
    pub config_map_key_ref: Option<KeyRef>,
    pub secret_key_ref: Option<KeyRef>,
    pub field_ref: Option<FieldRef>,
    pub resource_field_ref: Option<ResourceFieldRef>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRef {
    pub name: Text,
    pub key: Text,
    #[serde(default)]
    pub optional: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FieldRef {
    pub field_path: Text,
    #[serde(rename = "apiVersion")]
    pub _api_version: Harmless,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ResourceFieldRef {
    pub resource: Text,
    pub divisor: Option<Quantity>,
    #[serde(rename = "containerName")]
    pub _container_name: Harmless,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EnvFrom {
    #[serde(default)]
    pub prefix: Text,
    pub config_map_ref: Option<NameRef>,
    pub secret_ref: Option<NameRef>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameRef {
    pub name: Text,
    #[serde(default)]
    pub optional: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ContainerPort {
    pub name: Option<Text>,
    pub container_port: u16,
    pub protocol: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceRequirements {
    #[serde(default)]
    pub requests: ResourceList,
    #[serde(default)]
    pub limits: ResourceList,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceList {
    pub cpu: Option<Quantity>,
    pub memory: Option<Quantity>,
    #[serde(rename = "ephemeral-storage")]
    pub _ephemeral_storage: Harmless,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Probe {
    pub http_get: Option<HttpGet>,
    pub tcp_socket: Option<TcpSocket>,
    pub initial_delay_seconds: Option<u32>,
    pub period_seconds: Option<u32>,
    pub timeout_seconds: Option<u32>,
    pub failure_threshold: Option<u32>,
    pub success_threshold: Option<u32>,
    #[serde(rename = "exec")]
    pub _exec: Option<Refused>,
    #[serde(rename = "grpc")]
    pub _grpc: Option<Refused>,
    #[serde(rename = "terminationGracePeriodSeconds")]
    pub _termination_grace_period_seconds: Option<Refused>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HttpGet {
    pub path: Option<Text>,
    pub port: NumberOrText,
    pub scheme: Option<String>,
    #[serde(rename = "host")]
    pub _host: Option<Refused>,
    #[serde(rename = "httpHeaders")]
    pub _http_headers: Option<Refused>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TcpSocket {
    pub port: NumberOrText,
    #[serde(rename = "host")]
    pub _host: Option<Refused>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct VolumeMount {
    pub name: Text,
    pub mount_path: Text,
    #[serde(rename = "readOnly")]
    pub _read_only: Harmless,
    #[serde(rename = "subPath")]
    pub _sub_path: Option<Refused>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Volume {
    pub name: Text,
    #[serde(default, deserialize_with = "present")]
    pub empty_dir: bool,
    pub persistent_volume_claim: Option<ClaimRef>,
    #[serde(rename = "configMap")]
    pub _config_map: Option<Refused>,
    #[serde(rename = "secret")]
    pub _secret: Option<Refused>,
    #[serde(rename = "hostPath")]
    pub _host_path: Option<Refused>,
    #[serde(rename = "projected")]
    pub _projected: Option<Refused>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClaimRef {
    pub claim_name: Text,
    #[serde(rename = "readOnly")]
    pub _read_only: Harmless,
}

/// The part of kustomize that the local runtime understands: which files, and which namespace.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Kustomization {
    #[serde(rename = "apiVersion")]
    pub _api_version: String,
    #[serde(rename = "kind")]
    pub _kind: String,
    pub namespace: Option<Text>,
    #[serde(default)]
    pub resources: Vec<Text>,
}
