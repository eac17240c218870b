//! From the collector's call graph to what each service is asked to do, and what comes in at the front doors behind which it is.
//! Pure. A front door is where requests come from outside: more than the services that it knows of send there.

use std::collections::{BTreeSet, HashMap};

use protocol::graph::{Graph, NodeKind, Red};

use super::ServiceDemand;

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
