//! Who calls whom, and how often: what the callers' and the called services' spans would tell together. Counts only; changes nothing of
//! what becomes of the calls.

use super::graph::Graph;

/// Calls of one service to another, in all so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calls {
    /// The number of the calling service.
    pub client: usize,
    /// The number of the called one.
    pub server: usize,
    /// Calls that were made, repeated ones included.
    pub made: f64,
    /// Those of them that had been made before.
    pub repeated: f64,
}

/// All calls between services.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    pub calls: Vec<Calls>,
    /// By the graph's nodes, the row of their calls; customers' calls have none.
    row_of: Vec<Option<usize>>,
    /// By services, the rows of calls to them.
    rows_to: Vec<Vec<usize>>,
    /// By rows, what came in the latest step.
    came: Vec<f64>,
    /// By rows, what comes again in the next one.
    again: Vec<f64>,
}

impl Ledger {
    pub fn new(graph: &Graph) -> Self {
        let mut calls: Vec<Calls> = Vec::new();
        let mut rows_to = vec![Vec::new(); graph.places.len()];
        let row_of = graph.nodes.iter().map(|node| {
            let (client, server) = (graph.nodes[node.parent?].service, node.service);
            let known = calls.iter().position(|row| (row.client, row.server) == (client, server));
            Some(known.unwrap_or_else(|| {
                rows_to[server].push(calls.len());
                calls.push(Calls { client, server, made: 0.0, repeated: 0.0 });
                calls.len() - 1
            }))
        });
        let row_of = row_of.collect();
        let rows = calls.len();
        Self { calls, row_of, rows_to, came: vec![0.0; rows], again: vec![0.0; rows] }
    }

    /// Counts what came to a service in a step, by its nodes, and what came again.
    pub fn count(&mut self, service: usize, nodes: &[usize], by_node: &[f64]) {
        for row in &self.rows_to[service] {
            let again = std::mem::take(&mut self.again[*row]);
            self.came[*row] = again;
            self.calls[*row].made += again;
            self.calls[*row].repeated += again;
        }
        for node in nodes {
            if let Some(row) = self.row_of[*node] {
                self.came[row] += by_node[*node];
                self.calls[row].made += by_node[*node];
            }
        }
    }

    /// So many calls to a service are made again in the next step: each caller's as often as they came in this one.
    pub fn repeat(&mut self, service: usize, repeated: f64) {
        let rows = &self.rows_to[service];
        let all: f64 = rows.iter().map(|row| self.came[*row]).sum();
        if all > 0.0 {
            rows.iter().for_each(|row| self.again[*row] = repeated * self.came[*row] / all);
        }
    }
}
