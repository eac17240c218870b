//! The shapes of a pod's specification as it is written.

use protocol::quantity::Quantity;
use serde::Deserialize;

use super::super::scalar::{Harmless, NumberOrText, Refused, Text};

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
    pub _lifecycle: Option<Lifecycle>,
    #[serde(rename = "workingDir")]
    pub _working_dir: Option<Refused>,
}

/// A sleep before SIGTERM gives balancers time to look away. The proxy here does so at once and waits for what is under way,
/// so a sleep is already honoured; anything else would have to be run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Lifecycle {
    #[serde(rename = "preStop")]
    pub _pre_stop: Option<PreStop>,
    #[serde(rename = "postStart")]
    pub _post_start: Option<Refused>,
    #[serde(rename = "stopSignal")]
    pub _stop_signal: Option<Refused>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PreStop {
    #[serde(rename = "sleep")]
    pub _sleep: Harmless,
    #[serde(rename = "exec")]
    pub _exec: Option<Refused>,
    #[serde(rename = "httpGet")]
    pub _http_get: Option<Refused>,
    #[serde(rename = "tcpSocket")]
    pub _tcp_socket: Option<Refused>,
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
