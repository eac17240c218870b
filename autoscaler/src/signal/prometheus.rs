//! The PromQL behind the signals. One query for CPU, one for memory if a policy asks for it, one a `query` signal, and for
//! each its companion that asks when the newest sample was taken.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use protocol::http_client::CallError;
use protocol::prometheus::{InstantSeries, PrometheusClient, QueryData};
use url::Url;

use super::{ContainerUsage, QueryResult, Readings, Source, Usage};
use crate::planner::Gap;
use crate::policy::{Aim, PolicySet, Resource};

/// Queries under way at once: a server answers a handful in parallel, and more only queue there.
const QUERIES_AT_ONCE: usize = 8;

/// A Prometheus-compatible server.
#[derive(Debug, Clone)]
pub struct PrometheusSource {
    client: PrometheusClient,
    rate_window: Duration,
}

impl PrometheusSource {
    /// Reads from the server at `base`; CPU is averaged over `rate_window`.
    pub fn new(base: Url, rate_window: Duration) -> Self {
        Self { client: PrometheusClient::new(base), rate_window }
    }

    async fn usage(&self, wanted: bool, value: &str, selector: &str) -> Result<Usage, Gap> {
        if !wanted {
            return Ok(Usage::default());
        }
        let values = format!("sum by (namespace, pod, container) ({value})");
        let times = format!("max by (namespace, pod, container) (timestamp({selector}))");
        let (values, times) = tokio::join!(self.vector(&values), self.vector(&times));
        Ok(join(&values?, &times?))
    }

    async fn query(&self, promql: &str, selectors: &[String]) -> Result<QueryResult, Gap> {
        let (value, at_ms) = tokio::join!(self.number(promql), self.newest(selectors));
        Ok(QueryResult { value: value?, at_ms: at_ms? })
    }

    /// The sum of a query's series.
    async fn number(&self, promql: &str) -> Result<f64, Gap> {
        let value = match self.client.query(promql, None).await.map_err(|error| gap(&error))? {
            QueryData::Scalar(point) => point.value(),
            QueryData::Vector(series) if series.is_empty() => return Err(Gap::Empty),
            QueryData::Vector(series) => series.iter().map(|s| s.value.value()).sum(),
            QueryData::Matrix(_) => return Err(Gap::Source("the query gave a range, expected one value".to_owned())),
            QueryData::String(_) => return Err(Gap::Source("the query gave a text, expected a number".to_owned())),
        };
        if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(Gap::NotAnAmount(value.to_string())) }
    }

    /// When the newest sample of the selectors was taken: of several, that of the one which is furthest behind.
    async fn newest(&self, selectors: &[String]) -> Result<Option<i64>, Gap> {
        let numbered: Vec<String> = selectors
            .iter()
            .enumerate()
            .map(|(n, selector)| format!(r#"label_replace(max(timestamp({selector})), "selector", "{n}", "", "")"#))
            .collect();
        let series = self.vector(&numbered.join(" or ")).await?;
        Ok(series.iter().map(|s| millis(s.value.value())).min())
    }

    async fn vector(&self, promql: &str) -> Result<Vec<InstantSeries>, Gap> {
        match self.client.query(promql, None).await.map_err(|error| gap(&error))? {
            QueryData::Vector(series) => Ok(series),
            _ => Err(Gap::Source("it answered with something else than series".to_owned())),
        }
    }
}

#[async_trait]
impl Source for PrometheusSource {
    async fn read(&self, policies: &PolicySet) -> Readings {
        let reads = |wanted: Resource| {
            policies
                .iter()
                .flat_map(|p| &p.signals)
                .any(|s| matches!(&s.aim, Aim::Utilization { resource, .. } if *resource == wanted))
        };
        let only = namespaces(policies);
        let cpu = format!("container_cpu_usage_seconds_total{{{only}}}");
        let cpu_rate = format!("rate({cpu}[{}])", protocol::duration::Display(self.rate_window));
        let memory = format!("container_memory_working_set_bytes{{{only}}}");
        let asked: Vec<_> = policies
            .iter()
            .enumerate()
            .flat_map(|(p, policy)| policy.signals.iter().enumerate().map(move |(s, signal)| ((p, s), &signal.aim)))
            .filter_map(|(place, aim)| match aim {
                Aim::Query { promql, selectors, .. } => Some((place, promql, selectors)),
                Aim::Utilization { .. } => None,
            })
            .collect();
        let mut asking = Vec::with_capacity(asked.len());
        for (place, promql, selectors) in asked {
            asking.push(async move { (place, self.query(promql, selectors).await) });
        }
        let queries = stream::iter(asking).buffer_unordered(QUERIES_AT_ONCE).collect::<HashMap<_, _>>();
        let (cpu, memory, queries) = tokio::join!(
            self.usage(reads(Resource::Cpu), &cpu_rate, &cpu),
            self.usage(reads(Resource::Memory), &memory, &memory),
            queries,
        );
        Readings { cpu, memory, queries }
    }
}

/// Matchers for the containers of the policies' namespaces: neither the pod's pause container nor the pod's own total.
fn namespaces(policies: &PolicySet) -> String {
    let names: BTreeSet<&str> = policies.iter().map(|p| p.target.namespace.as_str()).collect();
    let names: Vec<String> = names.into_iter().map(|n| n.replace('.', "\\\\.")).collect();
    format!(r#"namespace=~"{}", container!="", container!="POD""#, names.join("|"))
}

fn join(values: &[InstantSeries], times: &[InstantSeries]) -> Usage {
    let text = |series: &InstantSeries, label: &str| series.metric.get(label).cloned().unwrap_or_default();
    let key = |series: &InstantSeries| (text(series, "namespace"), text(series, "pod"), text(series, "container"));
    let times: HashMap<_, _> = times.iter().map(|s| (key(s), s.value.value())).collect();
    let mut usage = Usage::default();
    for series in values {
        let (namespace, pod, container) = key(series);
        let key = (namespace, pod, container);
        let value = series.value.value();
        // Without a time its age is not known, and a value that is no amount is none: the pod then counts as unread.
        let Some(seconds) = times.get(&key).filter(|_| value.is_finite() && value >= 0.0) else { continue };
        let (namespace, pod, container) = key;
        usage.insert(&namespace, &pod, ContainerUsage { container, value, at_ms: millis(*seconds) });
    }
    usage
}

fn gap(error: &CallError) -> Gap {
    Gap::Source(error.to_string())
}

fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}
