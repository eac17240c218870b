//! From the collector's call graph to what each service is asked to do, what comes in at the front doors behind which it is, and how
//! those who call it fare. Pure. A front door is where requests come from outside: more than the services that it knows of send there.

use std::collections::{BTreeSet, HashMap};

use protocol::graph::{Graph, NodeKind, Red};

use super::ServiceDemand;
use crate::planner::cone::Calls;
use crate::planner::surroundings::Traffic;

/// Of what a service serves, so much may seem to come from outside though it does not: its callers' spans came late or were lost.
const LOST_SHARE_MAX: f64 = 0.05;

/// What each of the services that the graph knows is asked to do. `graph.at_ms` is how old it is.
pub fn demands(graph: &Graph, services: &BTreeSet<&str>) -> HashMap<String, ServiceDemand> {
    let places: HashMap<&str, usize> = graph.nodes.iter().enumerate().map(|(n, node)| (&*node.service, n)).collect();
    let mut callers: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    let mut inside = vec![0.0; graph.nodes.len()];
    for edge in &graph.edges {
        let (Some(client), Some(server)) = (places.get(&*edge.client), places.get(&*edge.server)) else { continue };
        callers[*server].push(*client);
        // Who only calls is a customer of ours: what it sends comes from outside.
        if graph.nodes[*client].red.rate > 0.0 {
            inside[*server] += asked(&edge.red);
        }
    }
    let entries: Vec<f64> = graph
        .nodes
        .iter()
        .zip(inside)
        .map(|(node, inside)| {
            let all = asked(&node.red);
            let outside = all - inside;
            if node.kind == NodeKind::Service && outside > LOST_SHARE_MAX * all { outside } else { 0.0 }
        })
        .collect();
    let known = services.iter().filter_map(|service| {
        let place = *places.get(service)?;
        let node = &graph.nodes[place];
        if node.kind != NodeKind::Service {
            return None;
        }
        let front: f64 = upwards(place, &callers).into_iter().map(|place| entries[place]).sum();
        let demand = ServiceDemand {
            at_ms: graph.at_ms,
            window_seconds: graph.window_seconds,
            served: node.red.rate,
            asked: asked(&node.red),
            front: (front > 0.0).then_some(front),
            own_seconds: node.own_time_ms.map(|ms| ms / 1000.0),
            whole_seconds: None,
        };
        Some(((*service).to_owned(), demand))
    });
    known.collect()
}

/// Who calls whom.
pub fn calls(graph: &Graph) -> Calls {
    Calls::new(graph.edges.iter().map(|edge| (&*edge.client, &*edge.server)))
}

/// The requests that come to each of these services, as its callers see them; those from outside as it sees them itself.
pub fn traffic(graph: &Graph, services: &BTreeSet<&str>) -> HashMap<String, Traffic> {
    let mut inside: HashMap<&str, Inside> = HashMap::new();
    for edge in graph.edges.iter().filter(|edge| edge.client != edge.server) {
        let known = inside.entry(&edge.server).or_default();
        known.attempts += edge.red.rate;
        known.retried += edge.red.retry_rate;
        known.failed += edge.red.rate * edge.red.error_ratio;
    }
    let nodes = graph.nodes.iter().filter_map(|node| Some((*services.get(&*node.service)?, node)));
    let known = nodes.filter(|(_, node)| node.kind == NodeKind::Service).map(|(service, node)| {
        let Inside { attempts, retried, failed } = inside.get(service).copied().unwrap_or_default();
        let outside = (node.red.rate - attempts).max(0.0);
        let all = attempts + outside;
        let failed = failed + outside * node.red.error_ratio;
        let traffic = Traffic {
            at_ms: graph.at_ms,
            window_seconds: graph.window_seconds,
            attempts: all,
            retried: retried.max(node.red.retry_rate).min(all),
            failed_share: if all > 0.0 { (failed / all).clamp(0.0, 1.0) } else { 0.0 },
            seconds: node.red.p50_ms.map(|ms| ms / 1000.0),
            own_seconds: node.own_time_ms.map(|ms| ms / 1000.0),
            has_callers: attempts > 0.0,
        };
        (service.to_owned(), traffic)
    });
    known.collect()
}

/// Requests a second that other services send.
#[derive(Debug, Clone, Copy, Default)]
struct Inside {
    attempts: f64,
    retried: f64,
    failed: f64,
}

/// Requests a second without those that were sent again.
fn asked(red: &Red) -> f64 {
    (red.rate - red.retry_rate).max(0.0)
}

/// A service and all from which requests reach it.
fn upwards(place: usize, callers: &[Vec<usize>]) -> Vec<usize> {
    let mut seen = vec![false; callers.len()];
    let mut found = vec![place];
    seen[place] = true;
    let mut next = 0;
    while next < found.len() {
        for caller in &callers[found[next]] {
            if !std::mem::replace(&mut seen[*caller], true) {
                found.push(*caller);
            }
        }
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests;
