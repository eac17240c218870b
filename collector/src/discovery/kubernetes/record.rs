//! What is kept of an object of the API server: its meta labels and, where it is one, its targets, as Prometheus names and
//! fills them. Pure. The whole object, with its managed fields and its history, is forgotten at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::relabel::LabelSet;
use super::super::{ADDRESS, Group};
use super::texts::Texts;
use crate::series::Labels;

/// What each label begins with.
pub(super) const META: &str = "__meta_kubernetes_";

/// The label of a slice that names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Kinds of a node's addresses, the best first.
const NODE_ADDRESSES: [&str; 6] =
    ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];

/// What is kept of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Empty for what has none.
    pub namespace: String,
    /// Unique in its namespace.
    pub name: String,
    /// Its meta labels, and its targets if they need no other object.
    pub group: Arc<Group>,
    /// What else is asked of it.
    pub detail: Detail,
}

/// What is asked of an object besides its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Detail {
    /// A node, a namespace.
    Plain,
    Pod {
        ip: String,
        node: String,
    },
    /// Of a service of two families, the first.
    Service {
        only_family: Option<String>,
    },
    Slice(Slice),
}

/// Addresses behind a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    pub service: Option<String>,
    pub family: String,
    pub endpoints: Vec<SliceEndpoint>,
    pub ports: Vec<SlicePort>,
}

/// One backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SliceEndpoint {
    pub addresses: Vec<String>,
    pub labels: Labels,
    pub target: Option<TargetRef>,
    pub node: Option<String>,
}

/// The object behind a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetRef {
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

/// A port of all backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlicePort {
    pub number: Option<i32>,
    pub labels: Labels,
}

/// Objects that records are made of.
pub(super) trait Recorded {
    fn record(&self, texts: &Texts) -> Record;
}

impl Recorded for Pod {
    fn record(&self, texts: &Texts) -> Record {
        let (spec, status) = (self.spec.as_ref(), self.status.as_ref());
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        let ip = text(status.and_then(|status| status.pod_ip.as_ref()));
        let node = text(spec.and_then(|spec| spec.node_name.as_ref()));
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
        let ready = ready.map_or_else(|| "unknown".to_owned(), |condition| condition.status.to_lowercase());
        let mut labels = object_labels(&self.metadata, "pod");
        set(&mut labels, "namespace", text(self.metadata.namespace.as_ref()));
        set(&mut labels, "pod_ip", ip.clone());
        set(&mut labels, "pod_ready", ready);
        set(&mut labels, "pod_phase", text(status.and_then(|status| status.phase.as_ref())));
        set(&mut labels, "pod_node_name", node.clone());
        set(&mut labels, "pod_host_ip", text(status.and_then(|status| status.host_ip.as_ref())));
        set(&mut labels, "pod_uid", text(self.metadata.uid.as_ref()));
        let owners = self.metadata.owner_references.as_deref().unwrap_or_default();
        if let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)) {
            set(&mut labels, "pod_controller_kind", owner.kind.clone());
            set(&mut labels, "pod_controller_name", owner.name.clone());
        }
        // A pod that is starting or was evicted has no address.
        let targets = if ip.is_empty() { Vec::new() } else { container_targets(self, &ip) };
        record(texts, &self.metadata, labels, targets, Detail::Pod { ip, node })
    }
}

fn container_targets(pod: &Pod, ip: &str) -> Vec<LabelSet> {
    let (Some(spec), status) = (&pod.spec, pod.status.as_ref()) else { return Vec::new() };
    let statuses = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let init_statuses = status.and_then(|status| status.init_container_statuses.as_deref()).unwrap_or_default();
    let usual = spec.containers.iter().map(|container| (container, statuses, false));
    let init = spec.init_containers.iter().flatten().map(|container| (container, init_statuses, true));
    usual.chain(init).flat_map(|(container, statuses, init)| ports_of(container, statuses, init, ip)).collect()
}

/// A target for each port of a container; without ports, one that has only the pod's address.
fn ports_of(container: &Container, statuses: &[ContainerStatus], init: bool, ip: &str) -> Vec<LabelSet> {
    let id = statuses.iter().find(|status| status.name == container.name).and_then(|s| s.container_id.clone());
    let mut labels = LabelSet::new();
    set(&mut labels, "pod_container_name", container.name.clone());
    set(&mut labels, "pod_container_id", id.unwrap_or_default());
    set(&mut labels, "pod_container_image", container.image.clone().unwrap_or_default());
    set(&mut labels, "pod_container_init", init.to_string());
    let ports = container.ports.as_deref().unwrap_or_default();
    if ports.is_empty() {
        labels.insert(ADDRESS.to_owned(), ip.to_owned());
        return vec![labels];
    }
    let with_port = |port: &k8s_openapi::api::core::v1::ContainerPort| {
        let mut labels = labels.clone();
        labels.insert(ADDRESS.to_owned(), join_host_port(ip, port.container_port));
        set(&mut labels, "pod_container_port_number", port.container_port.to_string());
        set(&mut labels, "pod_container_port_name", port.name.clone().unwrap_or_default());
        set(&mut labels, "pod_container_port_protocol", port.protocol.clone().unwrap_or_default());
        labels
    };
    ports.iter().map(with_port).collect()
}

impl Recorded for Node {
    fn record(&self, texts: &Texts) -> Record {
        // What only the node itself gets stands with its target: objects that it is attached to get its name, labels, annotations.
        let labels = object_labels(&self.metadata, "node");
        record(texts, &self.metadata, labels, node_target(self).into_iter().collect(), Detail::Plain)
    }
}

/// The kubelet of a node that has an address.
fn node_target(node: &Node) -> Option<LabelSet> {
    let status = node.status.as_ref()?;
    let mut addresses: BTreeMap<&str, &str> = BTreeMap::new();
    for address in status.addresses.as_deref().unwrap_or_default() {
        addresses.entry(&address.type_).or_insert(&address.address);
    }
    let best = NODE_ADDRESSES.iter().find_map(|kind| addresses.get(kind))?;
    let kubelet = status.daemon_endpoints.as_ref().and_then(|endpoints| endpoints.kubelet_endpoint.as_ref());
    let mut labels = LabelSet::new();
    labels.insert(ADDRESS.to_owned(), join_host_port(best, kubelet.map_or(0, |kubelet| kubelet.port)));
    labels.insert("instance".to_owned(), node.metadata.name.clone().unwrap_or_default());
    let provider = node.spec.as_ref().and_then(|spec| spec.provider_id.clone());
    set(&mut labels, "node_provider_id", provider.unwrap_or_default());
    for condition in status.conditions.as_deref().unwrap_or_default() {
        let name = format!("node_condition_{}", sanitized(&condition.type_.to_lowercase()));
        set(&mut labels, &name, condition.status.to_lowercase());
    }
    for (kind, address) in &addresses {
        set(&mut labels, &format!("node_address_{}", sanitized(kind)), (*address).to_owned());
    }
    Some(labels)
}

impl Recorded for Service {
    fn record(&self, texts: &Texts) -> Record {
        let spec = self.spec.as_ref();
        let (name, namespace) = (self.metadata.name.as_deref(), self.metadata.namespace.as_deref());
        let (name, namespace) = (name.unwrap_or_default(), namespace.unwrap_or_default());
        let mut labels = object_labels(&self.metadata, "service");
        set(&mut labels, "namespace", namespace.to_owned());
        let kind = spec.and_then(|spec| spec.type_.clone()).unwrap_or_default();
        let mut common = LabelSet::new();
        set(&mut common, "service_type", kind.clone());
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        if kind == "ExternalName" {
            set(&mut common, "service_external_name", text(spec.and_then(|spec| spec.external_name.as_ref())));
        } else {
            set(&mut common, "service_cluster_ip", text(spec.and_then(|spec| spec.cluster_ip.as_ref())));
        }
        if kind == "LoadBalancer" {
            set(&mut common, "service_loadbalancer_ip", load_balancer_ips(self));
        }
        let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
        let with_port = |port: &k8s_openapi::api::core::v1::ServicePort| {
            let mut labels = common.clone();
            labels.insert(ADDRESS.to_owned(), join_host_port(&format!("{name}.{namespace}.svc"), port.port));
            set(&mut labels, "service_port_name", text(port.name.as_ref()));
            set(&mut labels, "service_port_number", port.port.to_string());
            set(&mut labels, "service_port_protocol", text(port.protocol.as_ref()));
            labels
        };
        let is_dual =
            spec.and_then(|spec| spec.ip_family_policy.as_deref()).is_some_and(|policy| policy != "SingleStack");
        let families = spec.and_then(|spec| spec.ip_families.as_deref()).unwrap_or_default();
        let only_family = families.first().filter(|_| is_dual).cloned();
        record(texts, &self.metadata, labels, ports.iter().map(with_port).collect(), Detail::Service { only_family })
    }
}

fn load_balancer_ips(service: &Service) -> String {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    let ips: Vec<&str> = ingress.iter().filter_map(|i| i.ip.as_deref()).filter(|ip| !ip.is_empty()).collect();
    if ips.is_empty() {
        return service.spec.as_ref().and_then(|spec| spec.load_balancer_ip.clone()).unwrap_or_default();
    }
    ips.join(",")
}

impl Recorded for Namespace {
    fn record(&self, texts: &Texts) -> Record {
        let mut labels = object_labels(&self.metadata, "namespace");
        // Targets carry it already, as `__meta_kubernetes_namespace`.
        labels.remove(&format!("{META}namespace_name"));
        record(texts, &self.metadata, labels, Vec::new(), Detail::Plain)
    }
}

impl Recorded for EndpointSlice {
    fn record(&self, texts: &Texts) -> Record {
        let mut labels = object_labels(&self.metadata, "endpointslice");
        set(&mut labels, "namespace", self.metadata.namespace.clone().unwrap_or_default());
        set(&mut labels, "endpointslice_address_type", self.address_type.clone());
        let service = self.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME)).cloned();
        let slice = Slice {
            service,
            family: self.address_type.clone(),
            endpoints: self.endpoints.iter().flatten().map(|endpoint| slice_endpoint(texts, endpoint)).collect(),
            ports: self.ports.iter().flatten().map(|port| slice_port(texts, port)).collect(),
        };
        record(texts, &self.metadata, labels, Vec::new(), Detail::Slice(slice))
    }
}

fn slice_endpoint(texts: &Texts, endpoint: &Endpoint) -> SliceEndpoint {
    let mut labels = LabelSet::new();
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string()).unwrap_or_default();
    set(&mut labels, "endpointslice_endpoint_conditions_ready", flag(conditions.ready));
    set(&mut labels, "endpointslice_endpoint_conditions_serving", flag(conditions.serving));
    set(&mut labels, "endpointslice_endpoint_conditions_terminating", flag(conditions.terminating));
    set(&mut labels, "endpointslice_endpoint_hostname", endpoint.hostname.clone().unwrap_or_default());
    set(&mut labels, "endpointslice_endpoint_node_name", endpoint.node_name.clone().unwrap_or_default());
    set(&mut labels, "endpointslice_endpoint_zone", endpoint.zone.clone().unwrap_or_default());
    for (name, value) in endpoint.deprecated_topology.iter().flatten() {
        let name = sanitized(name);
        set(&mut labels, &format!("endpointslice_endpoint_topology_{name}"), value.clone());
        set(&mut labels, &format!("endpointslice_endpoint_topology_present_{name}"), "true".to_owned());
    }
    let target = endpoint.target_ref.as_ref().map(|target| TargetRef {
        kind: target.kind.clone().unwrap_or_default(),
        namespace: target.namespace.clone().unwrap_or_default(),
        name: target.name.clone().unwrap_or_default(),
    });
    if let Some(target) = &target {
        set(&mut labels, "endpointslice_address_target_kind", target.kind.clone());
        set(&mut labels, "endpointslice_address_target_name", target.name.clone());
    }
    let (addresses, node) = (endpoint.addresses.clone(), endpoint.node_name.clone());
    SliceEndpoint { addresses, labels: texts.labels(labels), target, node }
}

fn slice_port(texts: &Texts, port: &EndpointPort) -> SlicePort {
    let mut labels = LabelSet::new();
    set(&mut labels, "endpointslice_port", port.port.map(|port| port.to_string()).unwrap_or_default());
    set(&mut labels, "endpointslice_port_name", port.name.clone().unwrap_or_default());
    set(&mut labels, "endpointslice_port_protocol", port.protocol.clone().unwrap_or_default());
    set(&mut labels, "endpointslice_port_app_protocol", port.app_protocol.clone().unwrap_or_default());
    SlicePort { number: port.port, labels: texts.labels(labels) }
}

fn record(texts: &Texts, metadata: &ObjectMeta, labels: LabelSet, targets: Vec<LabelSet>, detail: Detail) -> Record {
    let targets = targets.into_iter().map(|labels| texts.labels(labels)).collect();
    Record {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        group: Arc::new(Group { labels: texts.labels(labels), targets }),
        detail,
    }
}

/// Name, labels and annotations of an object.
fn object_labels(metadata: &ObjectMeta, kind: &str) -> LabelSet {
    let mut labels = LabelSet::new();
    set(&mut labels, &format!("{kind}_name"), metadata.name.clone().unwrap_or_default());
    for (what, pairs) in [("label", &metadata.labels), ("annotation", &metadata.annotations)] {
        for (name, value) in pairs.iter().flatten() {
            let name = sanitized(name);
            set(&mut labels, &format!("{kind}_{what}_{name}"), value.clone());
            set(&mut labels, &format!("{kind}_{what}present_{name}"), "true".to_owned());
        }
    }
    labels
}

/// Sets a meta label; an empty value is an absent label.
pub(super) fn set(labels: &mut LabelSet, name: &str, value: String) {
    if !value.is_empty() {
        labels.insert(format!("{META}{name}"), value);
    }
}

/// A name in which every character that no label's name may have is an underscore.
fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn join_host_port(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
