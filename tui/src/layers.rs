//! The service graph as lines: callers above, callees below them, each service unfolded once. Pure layout, no style.

use std::collections::{BTreeMap, BTreeSet};

use protocol::graph::{Edge, Graph, Red};

/// One line: a service as called by the one above it.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Unique among the lines: `caller>service`, as every call is on one line only.
    pub id: String,
    /// Who calls it here; empty at the top.
    pub caller: String,
    /// The service.
    pub service: String,
    /// Lines that lead to it.
    pub stem: String,
    /// How far below the top, 0 for those whom nobody calls.
    pub layer: usize,
    /// How its caller sees the calls; `None` at the top.
    pub edge: Option<Red>,
    /// It is unfolded elsewhere.
    pub is_repeated: bool,
}

/// The lines of a graph. Every edge is on exactly one line.
pub fn branches(graph: &Graph) -> Vec<Branch> {
    let mut callees: BTreeMap<&str, Vec<&Edge>> = BTreeMap::new();
    let mut called: BTreeSet<&str> = BTreeSet::new();
    let mut names: BTreeSet<&str> = graph.nodes.iter().map(|n| n.service.as_str()).collect();
    for edge in &graph.edges {
        callees.entry(&edge.client).or_default().push(edge);
        names.extend([edge.client.as_str(), edge.server.as_str()]);
        if edge.client != edge.server {
            called.insert(&edge.server);
        }
    }
    let mut lines = Vec::new();
    let mut unfolded: BTreeSet<&str> = BTreeSet::new();
    let tops: Vec<&str> = names.iter().copied().filter(|name| !called.contains(name)).collect();
    for top in tops {
        unfold(top, &callees, &mut unfolded, &mut lines);
    }
    // What is left lies on circles that nobody outside enters.
    for name in names {
        if !unfolded.contains(name) {
            unfold(name, &callees, &mut unfolded, &mut lines);
        }
    }
    lines
}

/// A line still to be written, with what its place among its siblings gives it.
struct Pending<'a> {
    service: &'a str,
    edge: Option<Red>,
    caller: &'a str,
    /// What stands under the parent: bars of the ancestors that go on.
    margin: String,
    is_last: bool,
    layer: usize,
}

/// Bars of so many layers are drawn; of deeper ones the outermost are left away, as no screen is wide enough.
const LAYERS_DRAWN: usize = 8;

fn shortened(margin: String) -> String {
    let surplus = margin.chars().count().saturating_sub(LAYERS_DRAWN * 3);
    if surplus == 0 { margin } else { margin.chars().skip(surplus).collect() }
}

fn unfold<'a>(
    top: &'a str,
    callees: &BTreeMap<&'a str, Vec<&'a Edge>>,
    unfolded: &mut BTreeSet<&'a str>,
    lines: &mut Vec<Branch>,
) {
    let first = Pending { service: top, edge: None, caller: "", margin: String::new(), is_last: true, layer: 0 };
    let mut pending = vec![first];
    while let Some(next) = pending.pop() {
        let (stem, margin) = match (next.layer, next.is_last) {
            (0, _) => (String::new(), String::new()),
            (_, true) => (format!("{}└─ ", next.margin), format!("{}   ", next.margin)),
            (_, false) => (format!("{}├─ ", next.margin), format!("{}│  ", next.margin)),
        };
        let margin = shortened(margin);
        let is_new = unfolded.insert(next.service);
        let below = callees.get(next.service).map(Vec::as_slice).unwrap_or_default();
        if is_new {
            for (at, edge) in below.iter().enumerate().rev() {
                pending.push(Pending {
                    service: &edge.server,
                    edge: Some(edge.red),
                    caller: next.service,
                    margin: margin.clone(),
                    is_last: at + 1 == below.len(),
                    layer: next.layer + 1,
                });
            }
        }
        lines.push(Branch {
            id: format!("{}>{}", next.caller, next.service),
            caller: next.caller.to_owned(),
            service: next.service.to_owned(),
            stem,
            layer: next.layer,
            edge: next.edge,
            is_repeated: !is_new && !below.is_empty(),
        });
    }
}

#[cfg(test)]
mod tests;
