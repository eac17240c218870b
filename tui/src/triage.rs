//! Puts a picture together to one row a service: numbers, replicas, health with its reason. Pure.

mod names;

use std::collections::{BTreeMap, BTreeSet};

use protocol::faults::Role;
use protocol::graph::{Edge, Node, Red};
use protocol::scaling::{ReplicaStatus, WorkloadStatus};

use crate::health::{self, Assessment, Facts, Health};
use crate::picture::{Breaker, Cpu, Freshness, Metrics, Picture, ReplicaCount, ServiceKey, ServiceMetrics};
use crate::roles;
use crate::triage::names::Names;

/// The state that the local runtime and Kubernetes give a replica that keeps dying.
const CRASH_LOOP: &str = "CrashLoopBackOff";

/// All that the list of services shows of one of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which service.
    pub key: ServiceKey,
    /// What it is called on screen: its name, with the namespace in front where several have that name.
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
    /// Its part in the faults of now, where the collector names any.
    pub role: Option<Role>,
    /// A workload that serves nobody, is called by nobody and steered by no policy.
    pub is_bystander: bool,
}

impl Row {
    /// Whether it is listed: services always, bystanders only while something is wrong with them.
    pub fn is_listed(&self) -> bool {
        let is_unwell = matches!(self.assessment.health, Health::Failing | Health::Victim | Health::Degraded);
        !self.is_bystander || is_unwell || self.assessment.why == health::STARTING
    }
}

/// One row a service or workload, by key.
pub fn rows(picture: &Picture, now_ms: i64) -> Vec<Row> {
    let names = Names::of(picture);
    let index = Index::of(picture, &names, now_ms);
    let keys: Vec<&ServiceKey> = names.keys().collect();
    let facts: Vec<Facts> = keys.iter().map(|key| facts(key, picture, &index)).collect();
    let breakers = match &picture.metrics.data {
        Some(metrics) if !index.is_stale => index.labelled(&metrics.breakers),
        _ => Vec::new(),
    };
    let mut verdicts = health::judge(&facts, &breakers);
    let row = |(key, fact): (&&ServiceKey, &Facts)| {
        let metrics = index.metrics(picture, key);
        let history = picture.history.data.as_ref().and_then(|h| names.get(h, key));
        Row {
            key: (*key).clone(),
            name: fact.name.clone(),
            red: metrics.map(|m| m.red).unwrap_or_default(),
            rate_history: history.map(|h| h.rate.clone()).unwrap_or_default(),
            replicas: fact.replicas,
            cpu: metrics.and_then(|m| m.cpu),
            assessment: verdicts.remove(&fact.name).expect("judge gives a verdict for every fact"),
            role: None,
            is_bystander: fact.is_bystander,
        }
    };
    let mut rows: Vec<Row> = keys.iter().zip(&facts).map(row).collect();
    if let Some(faults) = roles::in_force(picture, now_ms).filter(|_| !index.is_stale) {
        roles::apply(&mut rows, faults);
    }
    rows
}

/// Whether metrics are too old to judge by, or never came.
pub fn is_stale(picture: &Picture, now_ms: i64) -> bool {
    !matches!(picture.metrics.freshness(now_ms), Freshness::Fresh(_))
}

/// A picture by service.
struct Index<'a> {
    names: &'a Names,
    workloads: BTreeMap<(&'a str, &'a str), &'a WorkloadStatus>,
    /// Spans tell no namespace: nodes and edges are by name.
    nodes: BTreeMap<&'a str, &'a Node>,
    callees: BTreeMap<&'a str, Vec<&'a Edge>>,
    /// Who is in the graph, also while it is old.
    in_graph: BTreeSet<&'a str>,
    is_stale: bool,
}

impl<'a> Index<'a> {
    fn of(picture: &'a Picture, names: &'a Names, now_ms: i64) -> Self {
        let workloads = picture.workloads.data.as_deref().map(Vec::as_slice).unwrap_or_default();
        let graph = fresh(picture.graph.data.as_deref(), picture.graph.freshness(now_ms));
        let mut callees: BTreeMap<&str, Vec<&Edge>> = BTreeMap::new();
        for edge in graph.map(|g| g.edges.as_slice()).unwrap_or_default() {
            callees.entry(&edge.client).or_default().push(edge);
        }
        let nodes = graph.map(|g| g.nodes.as_slice()).unwrap_or_default();
        let known = picture.graph.data.as_deref();
        let edges = known.map(|g| g.edges.as_slice()).unwrap_or_default();
        let ends = edges.iter().flat_map(|edge| [edge.client.as_str(), edge.server.as_str()]);
        let serving = known.map(|g| g.nodes.as_slice()).unwrap_or_default().iter().map(|node| node.service.as_str());
        Self {
            names,
            workloads: workloads
                .iter()
                .map(|w| ((w.workload.name.as_str(), w.workload.namespace.as_str()), w))
                .collect(),
            nodes: nodes.iter().map(|n| (n.service.as_str(), n)).collect(),
            callees,
            in_graph: serving.chain(ends).collect(),
            is_stale: is_stale(picture, now_ms),
        }
    }

    fn metrics<'p>(&self, picture: &'p Picture, key: &ServiceKey) -> Option<&'p ServiceMetrics> {
        self.names.get(&picture.metrics.data.as_ref()?.services, key)
    }

    /// Breakers with both ends called as their rows are.
    fn labelled(&self, breakers: &[Breaker]) -> Vec<Breaker> {
        let label = |name: &str, namespace: &str| self.names.near(name, namespace);
        let labelled = |breaker: &Breaker| Breaker {
            service: label(&breaker.service, &breaker.namespace),
            peer: label(&breaker.peer, &breaker.namespace),
            ..breaker.clone()
        };
        breakers.iter().map(labelled).collect()
    }

    /// Whom a service calls, called as their rows are: those of its own namespace where several have the name.
    fn callees(&self, key: &ServiceKey) -> Vec<(String, f64, f64)> {
        let edges = self.callees.get(key.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let callee = |e: &&Edge| (self.names.near(&e.server, &key.namespace), e.red.rate, e.red.error_ratio);
        edges.iter().map(callee).collect()
    }

    /// Nobody asks it for anything, as far as is known, and no policy steers it.
    fn is_bystander(&self, key: &ServiceKey, picture: &Picture, workload: Option<&WorkloadStatus>) -> bool {
        // Before the first metrics nobody can tell.
        let is_untold = picture.metrics.data.is_none();
        let has_served = picture.history.data.as_ref().is_some_and(|h| self.names.get(h, key).is_some());
        let serves = self.metrics(picture, key).is_some_and(|metrics| metrics.serves);
        let is_called = self.names.is_sole(key) && self.in_graph.contains(key.name.as_str());
        let is_steered = workload.is_some_and(|workload| workload.policy.is_some());
        !(is_untold
            || serves
            || has_served
            || is_called
            || is_steered
            || (key.namespace.is_empty() && workload.is_none()))
    }
}

fn facts(key: &ServiceKey, picture: &Picture, index: &Index<'_>) -> Facts {
    let metrics = picture.metrics.data.as_ref();
    let service = index.metrics(picture, key);
    let red = service.map(|s| s.red).unwrap_or_default();
    let workload = index.workloads.get(&(key.name.as_str(), key.namespace.as_str())).copied();
    let counted = workload.map(|w| ReplicaCount { ready: w.ready, desired: w.desired });
    // Of a name that several namespaces have, spans do not tell which one erred.
    let node = index.nodes.get(key.name.as_str()).filter(|_| index.names.is_sole(key));
    Facts {
        name: index.names.label(key),
        requests: red.rate * metrics.map_or(0.0, |m| m.window_seconds),
        rate: red.rate,
        error_ratio: red.error_ratio,
        p50_ms: red.p50_ms,
        p99_ms: red.p99_ms,
        awaits_spans: node.is_some_and(|n| n.red.error_ratio <= 0.0),
        own_error_ratio: node.and_then(|n| own_error_share(n)).map(|share| share * red.error_ratio),
        callees: index.callees(key),
        replicas: counted.or_else(|| service.and_then(|s| s.replicas)),
        crashing: workload.map_or(0, |w| w.replicas.iter().filter(|r| r.state == CRASH_LOOP).count()),
        starting: workload.is_some_and(|w| red.rate <= 0.0 && w.replicas.iter().all(is_starting)),
        is_bystander: index.is_bystander(key, picture, workload),
        refused: metrics.map_or_else(Vec::new, |m| refused(key, m, index)),
        stale: index.is_stale,
    }
}

/// Longer than a replica takes to be ready; one that is older and is not has a reason for it.
const STARTING_SECONDS: f64 = 10.0;

fn is_starting(replica: &ReplicaStatus) -> bool {
    replica.restarts == 0 && replica.age_seconds < STARTING_SECONDS
}

fn refused(key: &ServiceKey, metrics: &Metrics, index: &Index<'_>) -> Vec<String> {
    let all = metrics.breakers.iter().chain(&metrics.breakers_of_late);
    let is_its = |b: &&Breaker| b.service == key.name && (b.namespace.is_empty() || b.namespace == key.namespace);
    let of_it: BTreeSet<&String> = all.filter(is_its).map(|b| &b.peer).collect();
    of_it.into_iter().map(|peer| index.names.near(peer, &key.namespace)).collect()
}

fn fresh<T>(data: Option<&T>, freshness: Freshness) -> Option<&T> {
    data.filter(|_| matches!(freshness, Freshness::Fresh(_)))
}

/// The share of a service's errors that were born in it. Metrics and spans may cover slightly different seconds, so
/// that only the share is taken from the spans.
fn own_error_share(node: &Node) -> Option<f64> {
    (node.red.error_ratio > 0.0).then(|| (node.own_error_ratio / node.red.error_ratio).clamp(0.0, 1.0))
}

/// The workload that runs a service: the one of the same name in its namespace.
pub fn workload<'a>(picture: &'a Picture, key: &ServiceKey) -> Option<&'a WorkloadStatus> {
    picture.workloads.data.as_ref()?.iter().find(|w| key.is(&w.workload))
}

/// The order "worst first": health, then how many fail, then how many there are.
pub fn worst_first(a: &Row, b: &Row) -> std::cmp::Ordering {
    let failed = |row: &Row| row.red.rate * row.red.error_ratio;
    let ranked = a.assessment.health.cmp(&b.assessment.health);
    let suffers = |row: &Row| matches!(row.assessment.health, Health::Failing | Health::Victim | Health::Degraded);
    ranked
        .then_with(|| a.is_bystander.cmp(&b.is_bystander))
        .then_with(|| if suffers(a) { failed(b).total_cmp(&failed(a)) } else { std::cmp::Ordering::Equal })
        .then_with(|| a.key.cmp(&b.key))
}

#[cfg(test)]
mod tests;
