//! Reads signals over PromQL from any Prometheus-compatible server, and from the collector's call graph where there is one: a few
//! questions a tick for all workloads together, never one a pod. Says how old what it read is; judges nothing. Start at `Source`.

mod containers;
mod faults;
pub(crate) mod graph;
mod prometheus;
mod requests;

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use cluster::WorkloadRef;
pub use containers::{Measures, MeasuresOfContainers, Past};
pub use prometheus::PrometheusSource;

use crate::planner::Gap;
use crate::planner::cone::Calls;
pub use crate::planner::observation::ServiceDemand;
use crate::planner::surroundings::{Suffering, Surroundings, Traffic};
use crate::policy::PolicySet;

/// Where readings come from.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Reads everything that the policies ask for. What cannot be read is a gap with its reason, never a failure.
    async fn read(&self, policies: &PolicySet) -> Readings;

    /// What the containers of a workload used in the eight days up to a time, in milliseconds since the epoch; empty where nobody
    /// has recorded it.
    async fn past(&self, workload: &WorkloadRef, until_ms: i64) -> Result<Past, Gap>;

    /// The requests that each pod of these namespaces has under way, as far as that is known: asked before replicas are ended.
    async fn under_way(&self, _: &BTreeSet<&str>) -> UnderWay {
        UnderWay::default()
    }
}

/// Requests that pods have under way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UnderWay {
    namespaces: HashMap<String, HashMap<String, f64>>,
}

impl UnderWay {
    /// Adds what one pod has.
    pub fn insert(&mut self, namespace: &str, pod: &str, requests: f64) {
        self.namespaces.entry(namespace.to_owned()).or_default().insert(pod.to_owned(), requests);
    }

    /// What a pod has; `None` where that is not known.
    pub fn of(&self, namespace: &str, pod: &str) -> Option<f64> {
        self.namespaces.get(namespace)?.get(pod).copied()
    }
}

/// What was read for all policies at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Readings {
    /// CPU use of containers in cores.
    pub cpu: Result<Usage, Gap>,
    /// Memory of containers in bytes.
    pub memory: Result<Usage, Gap>,
    /// Results of queries by position of the policy, of the signal, and of the query within the signal: those of an expression in its
    /// order, a backlog's and then its throughput's, 0 elsewhere.
    pub queries: HashMap<(usize, usize, usize), Result<QueryResult, Gap>>,
    /// What services are asked to do.
    pub demands: Result<Demands, Gap>,
    /// What containers were not let have.
    pub measures: Result<MeasuresOfContainers, Gap>,
    /// What is known of the services around each other.
    pub landscape: Landscape,
}

/// What the collector knows of services, by its call graph and its verdict; nothing where the server is another one, or did not say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Landscape {
    pub(crate) suffering: HashMap<String, Suffering>,
    pub(crate) traffic: HashMap<String, Traffic>,
    /// Who calls whom; `None` where nothing is known of it.
    pub calls: Option<Calls>,
}

impl Landscape {
    /// What is known around a service.
    pub fn around(&self, service: &str) -> Surroundings {
        Surroundings {
            suffering: self.suffering.get(service).cloned(),
            traffic: self.traffic.get(service).copied(),
            ..Surroundings::default()
        }
    }
}

/// What services are asked to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Demands {
    /// By the collector's call graph, which knows services without their namespaces.
    graph: HashMap<String, ServiceDemand>,
    /// By metrics, with the namespace where they have one.
    metrics: HashMap<requests::ServiceKey, ServiceDemand>,
}

impl Demands {
    /// What a service is asked to do: best by the graph, else by span metrics, else by its own histogram.
    pub fn of(&self, namespace: &str, service: &str) -> Option<&ServiceDemand> {
        let metrics = |namespace: Option<&str>| self.metrics.get(&(namespace.map(str::to_owned), service.to_owned()));
        self.graph.get(service).or_else(|| metrics(None)).or_else(|| metrics(Some(namespace)))
    }
}

impl Readings {
    /// Nothing could be read, for one reason.
    pub fn none(reason: &str) -> Self {
        let gap = Gap::Source(reason.to_owned());
        Self {
            cpu: Err(gap.clone()),
            memory: Err(gap.clone()),
            queries: HashMap::new(),
            demands: Err(gap.clone()),
            measures: Err(gap),
            landscape: Landscape::default(),
        }
    }

    /// The reason why the source did not answer at least one question.
    pub fn trouble(&self) -> Option<&str> {
        let gaps = [
            self.cpu.as_ref().err(),
            self.memory.as_ref().err(),
            self.demands.as_ref().err(),
            self.measures.as_ref().err(),
        ];
        let queries = self.queries.values().map(|r| r.as_ref().err());
        gaps.into_iter().chain(queries).flatten().find_map(|gap| match gap {
            Gap::Source(reason) => Some(reason.as_str()),
            _ => None,
        })
    }
}

/// The number that a query gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryResult {
    /// In the query's unit.
    pub value: f64,
    /// Milliseconds since the epoch of the newest sample behind it; `None` when not known.
    pub at_ms: Option<i64>,
}

/// Usage of containers by namespace, then pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    namespaces: HashMap<String, HashMap<String, Vec<ContainerUsage>>>,
}

/// One container's usage.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerUsage {
    /// Name of the container.
    pub container: String,
    /// Cores or bytes.
    pub value: f64,
    /// Milliseconds since the epoch of its newest sample.
    pub at_ms: i64,
}

impl Usage {
    /// Adds one container's usage.
    pub fn insert(&mut self, namespace: &str, pod: &str, usage: ContainerUsage) {
        let pods = match self.namespaces.get_mut(namespace) {
            Some(pods) => pods,
            None => self.namespaces.entry(namespace.to_owned()).or_default(),
        };
        pods.entry(pod.to_owned()).or_default().push(usage);
    }

    /// The containers of a pod; empty when nothing is known of it.
    pub fn of(&self, namespace: &str, pod: &str) -> &[ContainerUsage] {
        self.namespaces.get(namespace).and_then(|pods| pods.get(pod)).map_or(&[], Vec::as_slice)
    }
}

/// Milliseconds since the epoch, from Prometheus' seconds.
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}
