//! Manifests after checking: what the rest of the local runtime works with. Holds no rule of its own.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::scalar::{NumberOrText, Share};
use crate::{Resources, WorkloadRef};

/// Namespace and name.
pub type Key = (String, String);

/// Everything that was read, checked against each other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifests {
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) services: Vec<Service>,
    pub(crate) config_maps: BTreeMap<Key, BTreeMap<String, String>>,
    pub(crate) secrets: BTreeMap<Key, BTreeMap<String, String>>,
}

impl Manifests {
    /// References of all workloads, in the order in which they were read.
    pub fn workloads(&self) -> impl Iterator<Item = &WorkloadRef> {
        self.deployments.iter().map(|deployment| &deployment.reference)
    }

    /// Names of all Services, in the order in which they were read.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(|service| service.name.as_str())
    }
}

/// A Deployment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deployment {
    pub reference: WorkloadRef,
    pub replicas: u32,
    pub max_surge: Share,
    pub max_unavailable: Share,
    pub min_ready: Duration,
    pub progress_deadline: Duration,
    pub template: Template,
}

/// What a replica is made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Template {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub container: Container,
    pub mounts: Vec<Mount>,
    pub grace: Duration,
    pub service_links: bool,
}

impl Template {
    /// Tells versions apart; the same template has the same revision.
    pub fn revision(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// The one container of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Container {
    pub name: String,
    /// Arguments after the executable's name.
    pub args: Vec<String>,
    pub env: Vec<Env>,
    pub ports: Vec<Port>,
    pub resources: ContainerResources,
    pub readiness: Option<Probe>,
    pub liveness: Option<Probe>,
    pub startup: Option<Probe>,
}

/// `Resources` in a form that can be hashed: thousandths of the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ContainerResources([Option<protocol::quantity::Quantity>; 4]);

impl From<Resources> for ContainerResources {
    fn from(r: Resources) -> Self {
        Self([r.cpu_request, r.cpu_limit, r.memory_request, r.memory_limit])
    }
}

impl From<ContainerResources> for Resources {
    fn from(ContainerResources([cpu_request, cpu_limit, memory_request, memory_limit]): ContainerResources) -> Self {
        Self { cpu_request, cpu_limit, memory_request, memory_limit }
    }
}

/// One step in building the environment, in Kubernetes' order: all of `envFrom`, then `env`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Env {
    /// All keys of a ConfigMap or Secret.
    All { prefix: String, source: Source, name: String },
    /// A text in which `$(NAME)` is expanded.
    Value { name: String, value: String },
    /// One key of a ConfigMap or Secret.
    Key { name: String, source: Source, object: String, key: String },
    /// A field of the pod.
    Field { name: String, field: PodField },
}

/// Where a key is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    ConfigMap,
    Secret,
}

/// Fields of a pod that its environment may name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum PodField {
    Name,
    Namespace,
    Ip,
    Label(String),
    Annotation(String),
    /// A fixed text, from `resourceFieldRef`.
    Fixed(String),
}

/// A port on which a replica listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Port {
    pub name: Option<String>,
    pub number: u16,
}

/// How to find out whether a replica is well.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Probe {
    pub target: ProbeTarget,
    pub initial_delay: Duration,
    pub period: Duration,
    pub timeout: Duration,
    pub failures: u32,
    pub successes: u32,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ProbeTarget {
    Http { port: u16, path: String },
    Tcp { port: u16 },
}

/// A volume as the container sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Mount {
    pub path: String,
    pub volume: Volume,
}

/// What stands behind a mount.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Volume {
    /// A directory of this replica alone.
    Empty { name: String },
    /// A directory shared by all that claim it.
    Claim { name: String },
}

/// A Service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Service {
    pub namespace: String,
    pub name: String,
    pub selector: BTreeMap<String, String>,
    pub ports: Vec<ServicePort>,
}

impl Service {
    /// Whether traffic of this Service goes to replicas with these labels.
    pub fn selects(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.namespace == namespace && self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServicePort {
    pub name: Option<String>,
    pub port: u16,
    pub target: NumberOrText,
}

impl ServicePort {
    /// The port of a replica to which this one leads.
    pub fn resolve(&self, ports: &[Port]) -> Option<u16> {
        resolve_port(&self.target, ports)
    }
}

/// The number behind a port's number or name.
pub(crate) fn resolve_port(wanted: &NumberOrText, ports: &[Port]) -> Option<u16> {
    match wanted {
        NumberOrText::Number(number) => u16::try_from(*number).ok().filter(|port| *port > 0),
        NumberOrText::Text(name) => {
            ports.iter().find(|port| port.name.as_deref() == Some(name.as_str())).map(|port| port.number)
        }
    }
}
