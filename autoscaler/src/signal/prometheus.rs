//! The PromQL behind the signals. One query for CPU, one for memory if a policy asks for it, one a `query` signal, and for
//! each its companion that asks when the newest sample was taken. For all policies together one request for the call graph and one for
//! the verdict on faults; and for those that size by requests three queries where the graph does not know a service.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use cluster::WorkloadRef;
use futures::stream::{self, StreamExt};
use protocol::faults::FaultsClient;
use protocol::graph::{Graph, GraphClient};
use protocol::http_client::CallError;
use protocol::prometheus::{InstantSeries, PrometheusClient, QueryData, RangeSeries};
use url::Url;

use super::{
    ContainerUsage, Demands, Landscape, MeasuresOfContainers, Past, QueryResult, Readings, Source, UnderWay, Usage,
    containers, faults, graph, millis, requests,
};
use crate::planner::Gap;
use crate::policy::{Aim, Policy, PolicySet, Resource, Signal};

/// Queries under way at once: a server answers a handful in parallel, and more only queue there.
const QUERIES_AT_ONCE: usize = 8;

/// What only the collector has may take so long: without it the rest still counts.
const COLLECTOR_PATIENCE: Duration = Duration::from_secs(2);

/// A Prometheus-compatible server.
#[derive(Debug, Clone)]
pub struct PrometheusSource {
    client: PrometheusClient,
    graph: GraphClient,
    faults: FaultsClient,
    rate_window: Duration,
}

impl PrometheusSource {
    /// Reads from the server at `base`; CPU is averaged over `rate_window`.
    pub fn new(base: Url, rate_window: Duration) -> Self {
        Self {
            client: PrometheusClient::new(base.clone()),
            graph: GraphClient::new(base.clone()),
            faults: FaultsClient::new(base),
            rate_window,
        }
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

    /// The call graph; `None` from any other server than the collector, which is no trouble, but how it is.
    async fn graph(&self) -> Option<Graph> {
        let asked = self.graph.graph(self.rate_window.as_secs().max(1));
        tokio::time::timeout(COLLECTOR_PATIENCE, asked).await.ok()?.ok()
    }

    /// What is known of the services of all policies, and what those of `sized` are asked to do: by the call graph where the server has
    /// one, else by metrics.
    async fn services(&self, policies: &PolicySet, sized: &[&Policy]) -> (Result<Demands, Gap>, Landscape) {
        if policies.is_empty() {
            return (Ok(Demands::default()), Landscape::default());
        }
        let services: BTreeSet<&str> = policies.iter().map(|policy| &*policy.service).collect();
        let verdict = tokio::time::timeout(COLLECTOR_PATIENCE, self.faults.faults());
        let ((demands, graph), verdict) = tokio::join!(
            async {
                let graph = self.graph().await;
                (self.demands(sized, graph.as_ref()).await, graph)
            },
            verdict,
        );
        let verdict = verdict.ok().and_then(Result::ok);
        let landscape = Landscape {
            suffering: verdict.map(|verdict| faults::victims(&verdict, &services)).unwrap_or_default(),
            traffic: graph.as_ref().map(|graph| graph::traffic(graph, &services)).unwrap_or_default(),
            calls: graph.as_ref().map(graph::calls),
        };
        (demands, landscape)
    }

    async fn demands(&self, sized: &[&Policy], graph: Option<&Graph>) -> Result<Demands, Gap> {
        if sized.is_empty() {
            return Ok(Demands::default());
        }
        let services: BTreeSet<&str> = sized.iter().map(|policy| &*policy.service).collect();
        let graph = graph.map(|graph| graph::demands(graph, &services)).unwrap_or_default();
        let unknown = sized.iter().filter(|policy| !graph.contains_key(&policy.service));
        let wanted: BTreeSet<_> = unknown.map(|policy| (&*policy.target.namespace, &*policy.service)).collect();
        if wanted.is_empty() {
            return Ok(Demands { graph, metrics: HashMap::new() });
        }
        let [rates, seconds, times] = requests::questions(&wanted, self.rate_window);
        let (rates, seconds, times) = tokio::join!(self.vector(&rates), self.vector(&seconds), self.vector(&times));
        let metrics = requests::demands([&rates?, &seconds?, &times?], self.rate_window);
        Ok(Demands { graph, metrics })
    }

    /// What containers were not let have: one query for all of them.
    async fn measures(&self, wanted: bool, only: &str) -> Result<MeasuresOfContainers, Gap> {
        if !wanted {
            return Ok(MeasuresOfContainers::default());
        }
        Ok(containers::measures(&self.vector(&containers::question(only, self.rate_window)).await?))
    }

    async fn matrix(&self, promql: &str, (start, end, step): (f64, f64, f64)) -> Result<Vec<RangeSeries>, Gap> {
        match self.client.query_range(promql, start, end, step).await.map_err(|error| gap(&error))? {
            QueryData::Matrix(series) => Ok(series),
            _ => Err(Gap::Source("it answered with something else than series over time".to_owned())),
        }
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
            let judged = |s: &Signal| matches!(&s.aim, Aim::Utilization { resource, .. } if *resource == wanted);
            let steered = |p: &Policy| p.resources.as_ref().is_some_and(|r| r.bounds(wanted).is_some());
            policies.iter().any(|p| steered(p) || p.signals.iter().any(judged))
        };
        let steers = policies.iter().any(|p| p.resources.is_some());
        let sized: Vec<&Policy> =
            policies.iter().filter(|p| p.signals.iter().any(|s| s.aim.reads_requests())).collect();
        let only = namespaces(policies);
        let cpu = format!("container_cpu_usage_seconds_total{{{only}}}");
        let cpu_rate = format!("rate({cpu}[{}])", protocol::duration::Display(self.rate_window));
        let memory = format!("container_memory_working_set_bytes{{{only}}}");
        let asked: Vec<_> = policies
            .iter()
            .enumerate()
            .flat_map(|(p, policy)| policy.signals.iter().enumerate().map(move |(s, signal)| ((p, s), &signal.aim)))
            .flat_map(|((policy, signal), aim)| {
                let asked = asked(aim).into_iter().enumerate();
                asked.map(move |(n, (promql, selectors))| ((policy, signal, n), promql, selectors))
            })
            .collect();
        let mut asking = Vec::with_capacity(asked.len());
        for (place, promql, selectors) in asked {
            asking.push(async move { (place, self.query(promql, selectors).await) });
        }
        let queries = stream::iter(asking).buffer_unordered(QUERIES_AT_ONCE).collect::<Vec<_>>();
        let (cpu, memory, queries, (demands, landscape), measures) = tokio::join!(
            self.usage(reads(Resource::Cpu) || !sized.is_empty(), &cpu_rate, &cpu),
            self.usage(reads(Resource::Memory), &memory, &memory),
            queries,
            self.services(policies, &sized),
            self.measures(steers, &only),
        );
        Readings { cpu, memory, queries: queries.into_iter().collect(), demands, measures, landscape }
    }

    async fn past(&self, workload: &WorkloadRef, until_ms: i64) -> Result<Past, Gap> {
        let (range, [cpu, memory]) = containers::past_questions(workload, until_ms);
        let (cpu, memory) = tokio::join!(self.matrix(&cpu, range), self.matrix(&memory, range));
        Ok(containers::past(&cpu?, &memory?))
    }

    async fn under_way(&self, namespaces: &BTreeSet<&str>) -> UnderWay {
        let names: Vec<String> = namespaces.iter().map(|name| name.replace('.', "\\\\.")).collect();
        let window = protocol::duration::Display(self.rate_window);
        let selector = format!(r#"http_server_active_requests{{namespace=~"{}", pod!=""}}"#, names.join("|"));
        let promql = format!("sum by (namespace, pod) (avg_over_time({selector}[{window}]))");
        let answer = tokio::time::timeout(COLLECTOR_PATIENCE, self.vector(&promql)).await;
        let mut under_way = UnderWay::default();
        for series in answer.ok().and_then(Result::ok).unwrap_or_default() {
            let label = |name: &str| series.metric.get(name).map(String::as_str).unwrap_or_default();
            if series.value.value().is_finite() {
                under_way.insert(label("namespace"), label("pod"), series.value.value());
            }
        }
        under_way
    }
}

/// The queries of a signal, with their selectors.
fn asked(aim: &Aim) -> Vec<(&str, &[String])> {
    match aim {
        Aim::Query { promql, selectors, .. } => vec![(promql.as_str(), selectors.as_slice())],
        Aim::Expression { queries, .. } => {
            queries.iter().map(|q| (q.promql.as_str(), q.selectors.as_slice())).collect()
        }
        Aim::Backlog { promql, selectors, throughput, .. } => {
            let done = throughput.iter().map(|(promql, selectors)| (promql.as_str(), selectors.as_slice()));
            [(promql.as_str(), selectors.as_slice())].into_iter().chain(done).collect()
        }
        Aim::Utilization { .. } | Aim::Demand(_) | Aim::Upstream(_) | Aim::Schedule(_) => Vec::new(),
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
