//! Reads signals over PromQL from any Prometheus-compatible server: a few queries a tick for all workloads together,
//! never one a pod. Says how old what it read is; judges nothing. Start at `Source`.

mod prometheus;

use std::collections::HashMap;

use async_trait::async_trait;
pub use prometheus::PrometheusSource;

use crate::planner::Gap;
use crate::policy::PolicySet;

/// Where readings come from.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Reads everything that the policies ask for. What cannot be read is a gap with its reason, never a failure.
    async fn read(&self, policies: &PolicySet) -> Readings;
}

/// What was read for all policies at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Readings {
    /// CPU use of containers in cores.
    pub cpu: Result<Usage, Gap>,
    /// Memory of containers in bytes.
    pub memory: Result<Usage, Gap>,
    /// Results of queries by position of the policy and of the signal.
    pub queries: HashMap<(usize, usize), Result<QueryResult, Gap>>,
}

impl Readings {
    /// Nothing could be read, for one reason.
    pub fn none(reason: &str) -> Self {
        let gap = Gap::Source(reason.to_owned());
        Self { cpu: Err(gap.clone()), memory: Err(gap), queries: HashMap::new() }
    }

    /// The reason why the source did not answer at least one question.
    pub fn trouble(&self) -> Option<&str> {
        let gaps = [self.cpu.as_ref().err(), self.memory.as_ref().err()];
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
