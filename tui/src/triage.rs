//! Puts a picture together to one row a service: numbers, replicas, health with its reason. Pure.

use std::collections::{BTreeMap, BTreeSet};

use protocol::graph::{Edge, Node, NodeKind, Red};
use protocol::scaling::{ReplicaStatus, WorkloadStatus};

use crate::health::{self, Assessment, Facts, Health};
use crate::picture::{Cpu, Freshness, Metrics, Picture, ReplicaCount};

/// The state that the local runtime and Kubernetes give a replica that keeps dying.
const CRASH_LOOP: &str = "CrashLoopBackOff";

/// All that the list of services shows of one of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name.
    pub name: String,
    /// Of the requests it served.
    pub red: Red,
    /// Requests a second, oldest first.
    pub rate_history: Vec<f64>,
    /// Replicas, where they are known.
    pub replicas: Option<ReplicaCount>,
    /// Processor use, where it is known.
    pub cpu: Option<Cpu>,
    /// How it is, and why.
    pub assessment: Assessment,
}

/// One row a service, by name.
pub fn rows(picture: &Picture, now_ms: i64) -> Vec<Row> {
    let names = names(picture);
    let index = Index::of(picture, now_ms);
    let facts: Vec<Facts> = names.iter().map(|name| facts(name, picture, &index)).collect();
    let breakers = match &picture.metrics.data {
        Some(metrics) if !index.is_stale => metrics.breakers.as_slice(),
        _ => &[],
    };
    let mut verdicts = health::judge(&facts, breakers);
    let row = |fact: &Facts| {
        let metrics = picture.metrics.data.as_ref().and_then(|m| m.services.get(&fact.name));
        let history = picture.history.data.as_ref().and_then(|h| h.get(&fact.name));
        Row {
            name: fact.name.clone(),
            red: metrics.map(|m| m.red).unwrap_or_default(),
            rate_history: history.map(|h| h.rate.clone()).unwrap_or_default(),
            replicas: fact.replicas,
            cpu: metrics.and_then(|m| m.cpu),
            assessment: verdicts.remove(&fact.name).expect("judge gives a verdict for every fact"),
        }
    };
    facts.iter().map(row).collect()
}

/// Whether metrics are too old to judge by, or never came.
pub fn is_stale(picture: &Picture, now_ms: i64) -> bool {
    !matches!(picture.metrics.freshness(now_ms), Freshness::Fresh(_))
}

fn names(picture: &Picture) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if let Some(metrics) = &picture.metrics.data {
        names.extend(metrics.services.keys().cloned());
    }
    if let Some(workloads) = &picture.workloads.data {
        names.extend(workloads.iter().map(|w| w.workload.name.clone()));
    }
    if let Some(graph) = &picture.graph.data {
        let serves = |node: &&Node| node.kind == NodeKind::Service && node.red.rate > 0.0;
        names.extend(graph.nodes.iter().filter(serves).map(|node| node.service.clone()));
    }
    names
}

/// A picture by service.
struct Index<'a> {
    workloads: BTreeMap<&'a str, &'a WorkloadStatus>,
    nodes: BTreeMap<&'a str, &'a Node>,
    callees: BTreeMap<&'a str, Vec<&'a Edge>>,
    is_stale: bool,
}

impl<'a> Index<'a> {
    fn of(picture: &'a Picture, now_ms: i64) -> Self {
        let workloads = picture.workloads.data.as_deref().map(Vec::as_slice).unwrap_or_default();
        let graph = fresh(picture.graph.data.as_deref(), picture.graph.freshness(now_ms));
        let mut callees: BTreeMap<&str, Vec<&Edge>> = BTreeMap::new();
        for edge in graph.map(|g| g.edges.as_slice()).unwrap_or_default() {
            callees.entry(&edge.client).or_default().push(edge);
        }
        let nodes = graph.map(|g| g.nodes.as_slice()).unwrap_or_default();
        Self {
            workloads: workloads.iter().map(|w| (w.workload.name.as_str(), w)).collect(),
            nodes: nodes.iter().map(|n| (n.service.as_str(), n)).collect(),
            callees,
            is_stale: is_stale(picture, now_ms),
        }
    }
}

fn facts(name: &str, picture: &Picture, index: &Index<'_>) -> Facts {
    let metrics = picture.metrics.data.as_ref();
    let service = metrics.and_then(|m| m.services.get(name));
    let red = service.map(|s| s.red).unwrap_or_default();
    let workload = index.workloads.get(name);
    let counted = workload.map(|w| ReplicaCount { ready: w.ready, desired: w.desired });
    let edges = index.callees.get(name).map(Vec::as_slice).unwrap_or_default();
    Facts {
        name: name.to_owned(),
        requests: red.rate * metrics.map_or(0.0, |m| m.window_seconds),
        rate: red.rate,
        error_ratio: red.error_ratio,
        p50_ms: red.p50_ms,
        p99_ms: red.p99_ms,
        own_error_ratio: index.nodes.get(name).and_then(|n| own_error_share(n)).map(|share| share * red.error_ratio),
        callees: edges.iter().map(|e| (e.server.clone(), e.red.rate, e.red.error_ratio)).collect(),
        replicas: counted.or_else(|| service.and_then(|s| s.replicas)),
        crashing: workload.map_or(0, |w| w.replicas.iter().filter(|r| r.state == CRASH_LOOP).count()),
        starting: workload.is_some_and(|w| red.rate <= 0.0 && w.replicas.iter().all(is_starting)),
        refused: metrics.map_or_else(Vec::new, |m| refused(name, m)),
        stale: index.is_stale,
    }
}

/// Longer than a replica takes to be ready; one that is older and is not has a reason for it.
const STARTING_SECONDS: f64 = 10.0;

fn is_starting(replica: &ReplicaStatus) -> bool {
    replica.restarts == 0 && replica.age_seconds < STARTING_SECONDS
}

fn refused(name: &str, metrics: &Metrics) -> Vec<String> {
    let all = metrics.breakers.iter().chain(&metrics.breakers_of_late);
    let of_it: BTreeSet<&String> = all.filter(|b| b.service == name).map(|b| &b.peer).collect();
    of_it.into_iter().cloned().collect()
}

fn fresh<T>(data: Option<&T>, freshness: Freshness) -> Option<&T> {
    data.filter(|_| matches!(freshness, Freshness::Fresh(_)))
}

/// The share of a service's errors that were born in it. Metrics and spans may cover slightly different seconds, so
/// that only the share is taken from the spans.
fn own_error_share(node: &Node) -> Option<f64> {
    (node.red.error_ratio > 0.0).then(|| (node.own_error_ratio / node.red.error_ratio).clamp(0.0, 1.0))
}

/// The workload that runs a service: the one of the same name.
pub fn workload<'a>(picture: &'a Picture, name: &str) -> Option<&'a WorkloadStatus> {
    picture.workloads.data.as_ref()?.iter().find(|w| w.workload.name == name)
}

/// The order "worst first": health, then how many fail, then how many there are.
pub fn worst_first(a: &Row, b: &Row) -> std::cmp::Ordering {
    let failed = |row: &Row| row.red.rate * row.red.error_ratio;
    let ranked = a.assessment.health.cmp(&b.assessment.health);
    let suffers = |row: &Row| matches!(row.assessment.health, Health::Failing | Health::Victim | Health::Degraded);
    ranked
        .then_with(|| if suffers(a) { failed(b).total_cmp(&failed(a)) } else { std::cmp::Ordering::Equal })
        .then_with(|| a.name.cmp(&b.name))
}
