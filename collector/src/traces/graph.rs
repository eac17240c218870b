//! `/api/v1/graph`: turns what happened in a window into the graph that the screen draws.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use protocol::duration;
use protocol::graph::{Edge, Graph, Node, NodeKind, Red};
use serde::Deserialize;
use serde_json::json;

use super::Core;
use super::pairing::Connection;
use super::span::Text;
use super::window::{Requests, SECONDS_KEPT, Tally, Window};

/// The window of a question that names none.
const WINDOW_DEFAULT: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
pub(super) struct Params {
    window: Option<String>,
}

pub(super) async fn get(State(core): State<Arc<Core>>, Query(params): Query<Params>) -> Response {
    let window = match params.window.as_deref().map(parse_window) {
        None => WINDOW_DEFAULT,
        Some(Ok(window)) => window,
        Some(Err(error)) => {
            let body = json!({ "status": "error", "errorType": "bad_data", "error": error });
            return (StatusCode::BAD_REQUEST, Json(body)).into_response();
        }
    };
    let (now_ms, settle_ms) = (core.clock.now_ms(), core.limits.learner.settle_ms);
    let mut learner = core.learner.lock();
    learner.advance(now_ms);
    let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
    let graph = build(learner.window(), now_ms - settle_ms, window_ms);
    drop(learner);
    Json(graph).into_response()
}

fn parse_window(text: &str) -> Result<Duration, String> {
    let longest = Duration::from_secs(SECONDS_KEPT as u64);
    let window = duration::parse(text).map_err(|error| format!("window: {error}"))?;
    if window < Duration::from_secs(1) || window > longest {
        return Err(format!("window: {text} is not between 1s and {}", duration::Display(longest)));
    }
    Ok(window)
}

/// The graph of the window that ends at `end_ms`, in whole seconds. If spans have arrived only since, it is shorter.
pub(super) fn build(window: &Window, end_ms: i64, window_ms: i64) -> Graph {
    let end_ms = end_ms.div_euclid(1_000) * 1_000;
    let earliest_ms = window.earliest_ms().unwrap_or(end_ms - window_ms).min(end_ms - 1_000);
    let start_ms = (end_ms - window_ms).max(earliest_ms);
    let seconds = (end_ms - start_ms) as f64 / 1_000.0;
    let tally = window.sum(start_ms, end_ms);
    Graph { at_ms: end_ms, window_seconds: seconds, nodes: nodes(&tally, seconds), edges: edges(&tally, seconds) }
}

fn nodes(tally: &Tally, seconds: f64) -> Vec<Node> {
    let mut nodes: BTreeMap<&Text, Node> = BTreeMap::new();
    let mut retries: BTreeMap<&Text, u64> = BTreeMap::new();
    for ((_, server, _), requests) in &tally.edges {
        *retries.entry(server).or_default() += requests.retries;
    }
    for (service, node) in &tally.nodes {
        let own = node.own;
        let mut red = red(&node.requests, seconds);
        // What its callers sent and it never answered is none of its requests.
        red.retry_rate = (retries.get(service).map_or(0.0, |count| *count as f64) / seconds).min(red.rate);
        // Own parts are known some seconds after the requests: only the share is taken from them.
        let own_share = if own.errors > 0 { own.own_errors as f64 / own.errors as f64 } else { 0.0 };
        nodes.insert(
            service,
            Node {
                service: service.to_string(),
                kind: NodeKind::Service,
                red,
                own_error_ratio: red.error_ratio * own_share,
                own_time_ms: (own.count > 0).then(|| own.own_ns as f64 / own.count as f64 / 1e6),
            },
        );
    }
    let mut guessed: BTreeMap<&Text, (Connection, Requests)> = BTreeMap::new();
    for ((_, server, connection), requests) in &tally.edges {
        if !tally.nodes.contains_key(server) {
            guessed.entry(server).or_insert_with(|| (*connection, Requests::default())).1.merge(requests);
        }
    }
    for (server, (connection, requests)) in guessed {
        let kind = match connection {
            Connection::Database => NodeKind::Database,
            Connection::Messaging => NodeKind::MessagingSystem,
            Connection::Virtual | Connection::Direct => NodeKind::Virtual,
        };
        let red = red(&requests, seconds);
        // What is below a peer that sends no spans is unknown: all of it counts as its own.
        let own_time_ms = mean_ms(&requests);
        nodes.insert(
            server,
            Node { service: server.to_string(), kind, red, own_error_ratio: red.error_ratio, own_time_ms },
        );
    }
    nodes.into_values().collect()
}

fn edges(tally: &Tally, seconds: f64) -> Vec<Edge> {
    let mut merged: BTreeMap<(&Text, &Text), Requests> = BTreeMap::new();
    for ((client, server, _), requests) in &tally.edges {
        merged.entry((client, server)).or_default().merge(requests);
    }
    let merged = merged.into_iter();
    merged
        .map(|((client, server), requests)| Edge {
            client: client.to_string(),
            server: server.to_string(),
            red: red(&requests, seconds),
        })
        .collect()
}

fn mean_ms(requests: &Requests) -> Option<f64> {
    let count = requests.durations.count();
    (count > 0).then(|| requests.duration_ns as f64 / count as f64 / 1e6)
}

fn red(requests: &Requests, seconds: f64) -> Red {
    let count = requests.durations.count();
    Red {
        rate: count as f64 / seconds,
        retry_rate: requests.retries as f64 / seconds,
        error_ratio: if count > 0 { requests.errors as f64 / count as f64 } else { 0.0 },
        p50_ms: requests.durations.quantile_ms(0.5),
        p95_ms: requests.durations.quantile_ms(0.95),
        p99_ms: requests.durations.quantile_ms(0.99),
    }
}

#[cfg(test)]
mod tests;
