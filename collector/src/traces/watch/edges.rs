//! Reads a service graph's counters from the store: `traces_service_graph_*` that somebody else made of spans and pushed, or is
//! scraped for. Judges nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::facts::Few;
use crate::blame::counters::{EdgeCount, Spent};
use crate::blame::work::{PeerKind, Text};
use crate::series::{Labels, METRIC_NAME, Matcher, Point, Queryable, SelectError, is_stale};

/// A sample so old, milliseconds, is an edge that is gone: twice the longest interval at which Tempo's are usually written.
const LOOKBACK_MS: i64 = 120_000;

/// What an edge is: who calls whom, and through what.
type Key = (Text, Text, Option<PeerKind>);

/// Takes a value into an edge.
type Take = fn(&mut EdgeCount, &Labels, f64);

/// The series, and what each says. Of durations those that the server saw come first: others may not be there.
const SOURCES: [(&str, Take); 8] = [
    ("traces_service_graph_request_total", |edge, _, value| edge.calls += value),
    ("traces_service_graph_request_failed_total", |edge, _, value| edge.failed += value),
    ("traces_service_graph_request_server_seconds_sum", |edge, _, value| edge.server_spent.sum += value),
    ("traces_service_graph_request_server_seconds_count", |edge, _, value| edge.server_spent.count += value),
    ("traces_service_graph_request_server_seconds_bucket", |edge, labels, value| {
        bucket(&mut edge.server_spent, labels, value);
    }),
    ("traces_service_graph_request_client_seconds_sum", |edge, _, value| edge.client_spent.sum += value),
    ("traces_service_graph_request_client_seconds_count", |edge, _, value| edge.client_spent.count += value),
    ("traces_service_graph_request_client_seconds_bucket", |edge, labels, value| {
        bucket(&mut edge.client_spent, labels, value);
    }),
];

/// What the counters of each edge stand at; none if nobody tells.
///
/// # Errors
/// If there are more series than are read, or a block cannot be.
pub fn read(store: &dyn Queryable, now_ms: i64) -> Result<Vec<EdgeCount>, SelectError> {
    let few = Few::default();
    let mut edges: BTreeMap<Key, EdgeCount> = BTreeMap::new();
    for (number, (name, take)) in SOURCES.into_iter().enumerate() {
        let matchers = [Matcher::equal(METRIC_NAME, name)];
        for (labels, point) in store.latest(&matchers, now_ms - LOOKBACK_MS, now_ms, &few)? {
            let Point::Float(sample) = point else { continue };
            let Some(key) = key(&labels).filter(|_| !is_stale(sample.value) && sample.value.is_finite()) else {
                continue;
            };
            // Calls come first; what is told of an edge without calls means nothing.
            if number == 0 {
                edges.entry(key.clone()).or_insert_with(|| empty(&key)).at_ms = sample.timestamp_ms;
            }
            if let Some(edge) = edges.get_mut(&key) {
                take(edge, &labels, sample.value);
            }
        }
        if edges.is_empty() {
            return Ok(Vec::new());
        }
    }
    Ok(edges
        .into_values()
        .map(|mut edge| {
            for spent in [&mut edge.server_spent, &mut edge.client_spent] {
                spent.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            }
            edge
        })
        .collect())
}

fn key(labels: &Labels) -> Option<Key> {
    let kind = match labels.get("connection_type").unwrap_or_default() {
        "" => None,
        "database" => Some(PeerKind::Database),
        "messaging_system" => Some(PeerKind::Queue),
        _ => Some(PeerKind::Service),
    };
    Some((Arc::from(labels.get("client")?), Arc::from(labels.get("server")?), kind))
}

fn empty((client, server, kind): &Key) -> EdgeCount {
    EdgeCount {
        client: client.clone(),
        server: server.clone(),
        kind: *kind,
        at_ms: 0,
        calls: 0.0,
        failed: 0.0,
        client_spent: Spent::default(),
        server_spent: Spent::default(),
    }
}

fn bucket(spent: &mut Spent, labels: &Labels, value: f64) {
    let Some(bound) = labels.get("le").and_then(|le| le.parse::<f64>().ok()) else { return };
    match spent.buckets.iter_mut().find(|(known, _)| *known == bound) {
        Some((_, count)) => *count += value,
        None => spent.buckets.push((bound, value)),
    }
}
