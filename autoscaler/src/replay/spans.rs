//! What a collector's call graph says of a simulated cluster: requests, retries and own times over a window that ends a few seconds ago,
//! as spans come late. What follows from it for a service is worked out by the code that reads the collector's answer.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use cluster::simulated::Simulation;
use protocol::graph::{Edge, Graph, Node, NodeKind, Red};

use crate::planner::observation::ServiceDemand;
use crate::signal::graph::demands;

/// How long the collector waits for spans before a second of its graph is whole (its learner's default).
const SETTLE_MS: i64 = 5_000;

/// What had been counted by a time.
#[derive(Debug, Clone, Default)]
struct Counts {
    at_ms: i64,
    /// By services: requests, and those answered with the seconds they took.
    services: Vec<Served>,
    /// By rows of `Simulation::calls`: calls, and those repeated.
    calls: Vec<(f64, f64)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Served {
    requests: f64,
    answered: f64,
    own_seconds: f64,
}

/// The call graph over a moving window.
#[derive(Debug, Clone)]
pub(super) struct Spans {
    window_ms: i64,
    counts: VecDeque<Counts>,
    graph: Graph,
}

impl Spans {
    /// Of nothing yet; rates are to be over `window`.
    pub fn new(simulated: &cluster::simulated::Graph, window: Duration) -> Self {
        let node = |service: &cluster::simulated::Service| Node {
            service: service.workload.name.clone(),
            kind: NodeKind::Service,
            red: Red::default(),
            own_error_ratio: 0.0,
            own_time_ms: None,
        };
        let graph = Graph { nodes: simulated.services().map(node).collect(), ..Graph::default() };
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX / 4);
        Self { window_ms, counts: VecDeque::new(), graph }
    }

    /// Counts what has come by now.
    pub fn read(&mut self, simulation: &Simulation) {
        let now_ms = simulation.now_ms();
        let keep_ms = now_ms - SETTLE_MS - self.window_ms;
        // One older than the window stays: a window begins at the newest count that is old enough.
        let mut counts = Counts::default();
        while self.counts.get(1).is_some_and(|second| second.at_ms <= keep_ms) {
            counts = self.counts.pop_front().unwrap_or_default();
        }
        counts.at_ms = now_ms;
        counts.services.clear();
        counts.services.extend((0..self.graph.nodes.len()).map(|service| {
            let flow = simulation.flow(service);
            let (answered, own_seconds) = (flow.served, flow.own_seconds);
            Served { requests: answered + flow.refused, answered, own_seconds }
        }));
        counts.calls.clear();
        counts.calls.extend(simulation.calls().iter().map(|calls| (calls.made, calls.repeated)));
        self.counts.push_back(counts);
    }

    /// What services are asked to do, by their names; nothing before a window's first seconds are whole.
    pub fn demands(&mut self, simulation: &Simulation, services: &BTreeSet<&str>) -> HashMap<String, ServiceDemand> {
        let end_ms = simulation.now_ms() - SETTLE_MS;
        let Some(newest) = self.counts.iter().rposition(|counts| counts.at_ms <= end_ms) else { return HashMap::new() };
        let end = &self.counts[newest];
        let is_before = |counts: &&Counts| counts.at_ms <= end.at_ms - self.window_ms;
        let start = self.counts.iter().take(newest).rfind(is_before).or_else(|| self.counts.front());
        let Some(start) = start.filter(|start| start.at_ms < end.at_ms) else { return HashMap::new() };
        let seconds = (end.at_ms - start.at_ms) as f64 / 1000.0;
        (self.graph.at_ms, self.graph.window_seconds) = (end.at_ms, seconds);
        for ((node, from), to) in self.graph.nodes.iter_mut().zip(&start.services).zip(&end.services) {
            let answered = to.answered - from.answered;
            let own_ms = (to.own_seconds - from.own_seconds) / answered * 1000.0;
            node.red = Red { rate: (to.requests - from.requests) / seconds, ..Red::default() };
            node.own_time_ms = (answered > 0.0).then_some(own_ms);
        }
        if self.graph.edges.is_empty() {
            let name = |service: usize| self.graph.nodes[service].service.clone();
            let edge = |(client, server)| Edge { client: name(client), server: name(server), red: Red::default() };
            self.graph.edges = simulation.calls().iter().map(|calls| edge((calls.client, calls.server))).collect();
        }
        let Graph { nodes, edges, .. } = &mut self.graph;
        let rows = edges.iter_mut().zip(simulation.calls());
        for ((edge, calls), (from, to)) in rows.zip(start.calls.iter().zip(&end.calls)) {
            let retry_rate = (to.1 - from.1) / seconds;
            edge.red = Red { rate: (to.0 - from.0) / seconds, retry_rate, ..Red::default() };
            let red = &mut nodes[calls.server].red;
            red.retry_rate = (red.retry_rate + retry_rate).min(red.rate);
        }
        demands(&self.graph, services)
    }
}
