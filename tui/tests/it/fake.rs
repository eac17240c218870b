//! A collector and an autoscaler that answer from a script, fail or hang on demand. For tests and for the example.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

/// What the backend does now.
#[derive(Debug, Default)]
pub struct Switches {
    /// Payment answers errors, and order's breaker is open.
    pub payment_fails: AtomicBool,
    /// Nothing is answered.
    pub hangs: AtomicBool,
    /// `/api/v1/faults` is there.
    pub judges_faults: AtomicBool,
    /// Only the graph is not answered.
    pub graph_hangs: AtomicBool,
    /// Everything answers 503.
    pub fails: AtomicBool,
    /// There is nothing but Prometheus.
    pub is_foreign: AtomicBool,
    /// Calls so far.
    pub calls: AtomicU64,
    /// The policy is paused.
    pub paused: AtomicBool,
    /// A token is asked of whoever changes something.
    pub wants_token: AtomicBool,
    /// Pauses and resumes asked for so far.
    pub changes: AtomicU64,
    /// Explanations asked for so far.
    pub explanations: AtomicU64,
}

type Shared = Arc<Switches>;

const SERVICES: [&str; 10] = [
    "gateway",
    "inventory",
    "notification",
    "order",
    "payment",
    "product",
    "recommendation",
    "review",
    "search",
    "user",
];

/// Starts it on a free port.
pub async fn start() -> (SocketAddr, Shared) {
    let shared = Shared::default();
    let router = Router::new()
        .route("/api/v1/query", post(query))
        .route("/api/v1/query_range", post(query_range))
        .route("/api/v1/graph", get(graph))
        .route("/api/v1/faults", get(faults))
        .route("/api/v1/faults/timeline", get(timeline))
        .route("/api/services", get(services))
        .route("/api/traces", get(traces))
        .route("/api/v1/policies", get(policies))
        .route("/api/v1/policies/shop/order/explanation", get(explanation))
        .route("/api/v1/policies/shop/order/{change}", post(change_policy))
        .route("/api/v1/workloads", get(workloads))
        .route("/api/v1/decisions", get(decisions))
        .route("/api/v1/events", get(events))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), misbehave))
        .with_state(Arc::clone(&shared));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, shared)
}

async fn misbehave(State(switches): State<Shared>, request: Request, next: Next) -> Response {
    switches.calls.fetch_add(1, Ordering::SeqCst);
    let path = request.uri().path();
    let is_prometheus = path.starts_with("/api/v1/query");
    let on = |switch: &AtomicBool| switch.load(Ordering::SeqCst);
    if on(&switches.hangs) || (on(&switches.graph_hangs) && path == "/api/v1/graph") {
        std::future::pending::<()>().await;
    }
    if on(&switches.fails) {
        return (StatusCode::SERVICE_UNAVAILABLE, "no").into_response();
    }
    if on(&switches.is_foreign) && !is_prometheus {
        return (StatusCode::NOT_FOUND, "404 page not found").into_response();
    }
    next.run(request).await
}

#[derive(Deserialize)]
struct Asked {
    query: String,
    #[serde(default)]
    start: f64,
    #[serde(default)]
    end: f64,
    #[serde(default)]
    step: f64,
}

/// Rate and error ratio of a service now.
fn red(name: &str, fails: bool) -> (f64, f64) {
    match name {
        "payment" if fails => (0.5, 1.0),
        "payment" => (3.0, 0.0),
        "gateway" => (40.0, 0.0),
        _ => (8.0, 0.0),
    }
}

/// Every series of a query: its labels and value.
fn series(query: &str, fails: bool) -> Vec<(Value, f64)> {
    let mut all = Vec::new();
    if query.contains("http_server_request_duration_seconds_count") {
        for name in SERVICES {
            let (rate, errors) = red(name, fails);
            all.push((json!({"service": name, "http_response_status_code": "200"}), rate * (1.0 - errors)));
            all.push((json!({"service": name, "http_response_status_code": "500"}), rate * errors));
        }
    } else if query.contains("http_server_request_duration_seconds_bucket") {
        for name in SERVICES {
            let rate = red(name, fails).0;
            for (le, share) in [("0.005", 0.5), ("0.01", 0.9), ("0.1", 1.0), ("+Inf", 1.0)] {
                all.push((json!({"service": name, "le": le}), rate * share));
            }
        }
    } else if query.contains("journeys_total") {
        for journey in ["browse", "search", "sign-in", "checkout", "track"] {
            all.push((json!({"journey": journey, "outcome": "ok"}), 2.0));
        }
    } else if query.contains("circuit_breaker_state") {
        all.push((json!({"service": "order", "peer": "payment"}), if fails { 2.0 } else { 0.0 }));
    } else if query.contains("container_cpu_usage") {
        all.extend(SERVICES.map(|name| (json!({"deployment": name}), 0.05)));
    } else if query.contains("resource_limits") {
        all.extend(SERVICES.map(|name| (json!({"deployment": name}), 0.25)));
    } else if query.contains("traces_spanmetrics_calls_total") {
        all.push((json!({}), 1.5));
    } else if query.contains("count_over_time(up") {
        all.push((json!({}), 60.0));
    }
    all
}

async fn query(State(switches): State<Shared>, Form(asked): Form<Asked>) -> Json<Value> {
    let fails = switches.payment_fails.load(Ordering::SeqCst);
    let result: Vec<Value> = series(&asked.query, fails)
        .into_iter()
        .map(|(metric, value)| json!({"metric": metric, "value": [1.0, value.to_string()]}))
        .collect();
    Json(json!({"status": "success", "data": {"resultType": "vector", "result": result}}))
}

async fn query_range(State(switches): State<Shared>, Form(asked): Form<Asked>) -> Json<Value> {
    let fails = switches.payment_fails.load(Ordering::SeqCst);
    let steps = ((asked.end - asked.start) / asked.step).round() as usize + 1;
    let values = |value: f64| -> Vec<Value> {
        (0..steps).map(|n| json!([asked.start + asked.step * n as f64, (value * (n % 7) as f64).to_string()])).collect()
    };
    let result: Vec<Value> = series(&asked.query, fails)
        .into_iter()
        .map(|(metric, value)| json!({"metric": metric, "values": values(value)}))
        .collect();
    Json(json!({"status": "success", "data": {"resultType": "matrix", "result": result}}))
}

async fn graph(State(switches): State<Shared>) -> Json<Value> {
    let fails = switches.payment_fails.load(Ordering::SeqCst);
    let node = |name: &str| {
        let (rate, errors) = red(name, fails);
        json!({"service": name, "kind": "service", "rate": rate, "error_ratio": errors, "p50_ms": 5.0, "p95_ms": 9.0,
            "p99_ms": 20.0, "own_error_ratio": errors, "own_time_ms": 2.0})
    };
    let edge = |client: &str, server: &str| {
        let (rate, errors) = red(server, fails);
        json!({"client": client, "server": server, "rate": rate, "error_ratio": errors, "p50_ms": 5.0, "p95_ms": 9.0,
            "p99_ms": 20.0})
    };
    let mut edges: Vec<Value> =
        ["order", "product", "review", "search", "user"].iter().map(|name| edge("gateway", name)).collect();
    edges.extend(["inventory", "payment"].iter().map(|name| edge("order", name)));
    Json(json!({"at_ms": 0, "window_seconds": 30.0, "nodes": SERVICES.map(node), "edges": edges}))
}

async fn faults(State(switches): State<Shared>) -> Response {
    if !switches.judges_faults.load(Ordering::SeqCst) {
        return (StatusCode::NOT_FOUND, "404 page not found").into_response();
    }
    let fails = switches.payment_fails.load(Ordering::SeqCst);
    let role = |name: &str| match name {
        "payment" if fails => "culprit",
        "order" if fails => "victim",
        _ => "unaffected",
    };
    let service = |name: &str| json!({"service": name, "node": "service", "role": role(name), "because_of": "", "why": "", "since_ms": null});
    let evidence = json!({"kind": "own_errors", "text": "100 % of its requests fail by themselves", "value": 1.0,
        "usual": 0.0, "since_ms": 1_763_906_530_000i64, "query": "sum(rate(traces_spanmetrics_calls_total[1m]))",
        "traces": "/api/traces?service=payment"});
    let suspect = json!({"service": "payment", "node": "service", "fault": "errors", "score": 0.98,
        "since_ms": 1_763_906_530_000i64, "evidence": [evidence],
        "blast_radius": {"callers": [], "front_door_share": 0.1, "journeys": []}});
    let suspects = if fails { vec![suspect] } else { Vec::new() };
    Json(json!({"at_ms": 0, "window_seconds": 10.0, "watch": "watching", "watched_seconds": 60.0,
        "verdict": "nothing to blame", "suspects": suspects, "services": SERVICES.map(service), "journeys": []}))
    .into_response()
}

async fn timeline(State(switches): State<Shared>) -> Response {
    if !switches.judges_faults.load(Ordering::SeqCst) {
        return (StatusCode::NOT_FOUND, "404 page not found").into_response();
    }
    Json(json!({"events": [{"at_ms": 1_763_906_530_000i64, "kind": "version", "service": "payment",
        "text": "version 1.4.0 -> 1.5.0"}]}))
    .into_response()
}

async fn services() -> Json<Value> {
    Json(json!({"data": SERVICES, "total": 10, "limit": 0, "offset": 0, "errors": null}))
}

#[derive(Deserialize)]
struct Search {
    service: String,
    #[serde(default)]
    tags: String,
}

async fn traces(Query(search): Query<Search>) -> Json<Value> {
    let span = |id: &str, parent: Option<&str>, service: &str, start: u64, duration: u64, error: bool| {
        let references: Vec<Value> =
            parent.iter().map(|p| json!({"refType": "CHILD_OF", "traceID": "t1", "spanID": p})).collect();
        let tags = if error { json!([{"key": "error", "type": "bool", "value": true}]) } else { json!([]) };
        json!({"traceID": "t1", "spanID": id, "operationName": format!("POST /{service}"), "references": references,
            "startTime": 1_763_906_560_000_000u64 + start, "duration": duration, "tags": tags, "logs": [],
            "processID": service, "warnings": null})
    };
    let is_error = search.tags.contains("error");
    let process = |name: &str| json!({"serviceName": name, "tags": []});
    let other = if search.service == "gateway" { "order".to_owned() } else { search.service };
    let trace = json!({"traceID": "t1", "spans": [
        span("a", None, "gateway", 0, 30_000, false), span("b", Some("a"), &other, 2_000, 20_000, is_error)],
        "processes": {"gateway": process("gateway"), other.clone(): process(&other)}, "warnings": null});
    Json(json!({"data": [trace], "total": 1, "limit": 0, "offset": 0, "errors": null}))
}

fn object(name: &str) -> Value {
    json!({"namespace": "shop", "name": name})
}

fn decision(sequence: u64) -> Value {
    json!({"sequence": sequence, "atMs": 1_763_906_560_000i64, "policy": object("order"), "kind": "Deployment",
        "workload": object("order"), "mode": "Auto", "from": 1, "ready": 1, "to": 2, "wish": 2, "outcome": "ScaleUp",
        "applied": true, "reason": "SignalAboveTarget", "message": "cpu utilization 91 % is above 65 %", "signals": [],
        "winner": null, "guards": []})
}

fn policy(switches: &Switches) -> Value {
    let paused = switches.paused.load(Ordering::SeqCst);
    json!({"policy": object("order"), "kind": "Deployment", "workload": object("order"), "mode": "Auto",
        "paused": paused, "min": 1, "max": 4, "last": decision(3)})
}

async fn policies(State(switches): State<Shared>) -> Json<Value> {
    Json(json!([policy(&switches)]))
}

async fn explanation(State(switches): State<Shared>) -> Json<Value> {
    switches.explanations.fetch_add(1, Ordering::SeqCst);
    let point = |value: f64| json!([{"signal": "cpu utilization", "value": value, "now": 91.0}]);
    Json(
        json!({"record": decision(3), "up": point(72.0), "upNote": "", "down": point(32.0), "downNote": "it must last 300 s"}),
    )
}

async fn change_policy(State(switches): State<Shared>, Path(change): Path<String>, headers: HeaderMap) -> Response {
    switches.changes.fetch_add(1, Ordering::SeqCst);
    let sent = headers.get("authorization").and_then(|value| value.to_str().ok());
    if switches.wants_token.load(Ordering::SeqCst) && sent != Some("Bearer a-token") {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "this changes something and needs the token"})))
            .into_response();
    }
    match change.as_str() {
        "pause" => switches.paused.store(true, Ordering::SeqCst),
        "resume" => switches.paused.store(false, Ordering::SeqCst),
        _ => return (StatusCode::NOT_FOUND, "404 page not found").into_response(),
    }
    Json(policy(&switches)).into_response()
}

#[derive(Deserialize)]
struct Since {
    since: Option<u64>,
}

async fn decisions(Query(since): Query<Since>) -> Json<Value> {
    let after = since.since.unwrap_or(0);
    Json((1..=3).rev().filter(|n| *n > after).map(decision).collect())
}

async fn workloads() -> Json<Value> {
    let workload = |name: &str| {
        let replica = json!({"name": format!("{name}-1"), "state": "Running", "ready": true, "restarts": 0,
            "ageSeconds": 12.0, "message": ""});
        json!({"kind": "Deployment", "workload": object(name), "desired": 1, "ready": 1, "rollout": "",
            "policy": null, "replicas": [replica]})
    };
    Json(json!(SERVICES.map(workload)))
}

async fn events() -> Json<Value> {
    Json(
        json!([{"atMs": 1_763_906_560_000i64, "workload": {"kind": "Deployment", "namespace": "shop", "name": "order"},
        "kind": "Warning", "reason": "BackOff", "message": "restarting a replica that died"}]),
    )
}
