//! The shapes of Kubernetes' objects as they are written, unknown fields refused. Nothing is checked across fields
//! here: `check` turns these into the types of `model`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::scalar::{Harmless, NumberOrText, Refused, Share, Text};

mod pod;

pub use pod::{
    Container, ContainerPort, EnvFrom, EnvVar, KeyRef, PodSpec, Probe, ResourceFieldRef, ResourceRequirements, Volume,
    VolumeMount,
};

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
