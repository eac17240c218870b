//! Guards in the whole autoscaler: the collector's verdict holds a victim, its call graph tells retries from demand, and a collector
//! that no longer says anything holds nobody.

use std::sync::atomic::AtomicBool;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use protocol::scaling::{GuardFacts, GuardRecord};

use super::*;

/// A collector whose verdict and graph can be changed.
#[derive(Default)]
struct Collector {
    load: Load,
    /// Whether payment is said to be slow.
    accuses: AtomicBool,
    /// Whether `/api/v1/faults` and `/api/v1/graph` answer.
    hangs: AtomicBool,
    /// Of 100 requests a second so many had been sent before.
    retried: AtomicU64,
}

fn at_ms() -> i64 {
    (now() * 1000.0) as i64 - 5_000
}

async fn faults(State(collector): State<Arc<Collector>>) -> Response {
    if collector.hangs.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let accuses = collector.accuses.load(Ordering::SeqCst);
    let suspect = json!({"service": "payment", "node": "service", "fault": "slow", "score": 0.9, "since_ms": at_ms() - 10_000,
        "evidence": [], "blast_radius": {"callers": [], "front_door_share": 0.2, "journeys": []}});
    let role = if accuses { "victim" } else { "unaffected" };
    let order = json!({"service": "order", "node": "service", "role": role, "because_of": if accuses { "payment" } else { "" },
        "why": "", "since_ms": null});
    let suspects = if accuses { vec![suspect] } else { Vec::new() };
    let answer = json!({"at_ms": at_ms(), "window_seconds": 10.0, "watch": "watching", "watched_seconds": 100.0, "verdict": "",
        "suspects": suspects, "services": [order], "journeys": []});
    Json(answer).into_response()
}

async fn graph(State(collector): State<Arc<Collector>>) -> Response {
    if collector.hangs.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let retried = collector.retried.load(Ordering::SeqCst) as f64;
    let red = json!({"rate": 100.0, "retry_rate": retried, "error_ratio": 0.0, "p50_ms": 20.0, "p95_ms": 30.0, "p99_ms": 40.0});
    let with = |more: Value| {
        let mut all = red.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let node =
        |name: &str| with(json!({"service": name, "kind": "service", "own_error_ratio": 0.0, "own_time_ms": 12.0}));
    let edge = with(json!({"client": "gateway", "server": "order"}));
    Json(json!({"at_ms": at_ms(), "window_seconds": 10.0, "nodes": [node("gateway"), node("order")], "edges": [edge]}))
        .into_response()
}

async fn metrics(State(collector): State<Arc<Collector>>, form: Form<HashMap<String, String>>) -> Json<Value> {
    query(State(Arc::clone(&collector.load)), form).await
}

/// The autoscaler over two replicas at their target.
async fn start(collector: &Arc<Collector>) -> Running {
    collector.load.store(65, Ordering::SeqCst);
    let mut tasks = tokio::task::JoinSet::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let prometheus = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let router = Router::new()
        .route("/api/v1/query", post(metrics))
        .route("/api/v1/faults", get(faults))
        .route("/api/v1/graph", get(graph))
        .with_state(Arc::clone(collector));
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let mut options = Options::new(prometheus, policies());
    options.listen = "127.0.0.1:0".parse().unwrap();
    options.interval = Duration::from_millis(50);
    options.rate_window = Duration::from_secs(10);
    let cluster = Arc::new(FakeCluster::with(2));
    let autoscaler = Autoscaler::bind(options, Arc::clone(&cluster) as Arc<dyn cluster::Cluster>).await.unwrap();
    let base = format!("http://{}", autoscaler.address());
    let client = ScalingClient::new(Url::parse(&base).unwrap());
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tasks.spawn(async move { autoscaler.run(stop).await.unwrap() });
    let data = tempfile::tempdir().unwrap();
    Running { cluster, load: Arc::clone(&collector.load), client, base, shutdown, tasks, data }
}

fn guard<'r>(record: &'r DecisionRecord, name: &str) -> Option<&'r GuardRecord> {
    record.guards.iter().find(|guard| guard.guard == name)
}

#[tokio::test]
async fn a_victim_is_held_until_the_collector_says_nothing_any_more() {
    let collector = Arc::new(Collector { accuses: AtomicBool::new(true), ..Collector::default() });
    let running = start(&collector).await;
    running.record(|record| guard(record, "culprit").is_some()).await;
    running.load.store(120, Ordering::SeqCst);
    let held = running.record(|record| record.reason == "VictimOfCulprit").await;
    assert_eq!((held.from, held.wish), (2, 2));
    assert!(
        held.message.starts_with("order stays at 2: 4 are wished, but it suffers from payment, which is slow since "),
        "{}",
        held.message
    );
    let explained = running.client.explanation(&held.policy).await.unwrap();
    assert!(explained.up_note.contains("it suffers from payment"), "{}", explained.up_note);
    assert!(matches!(guard(&held, "culprit").unwrap().facts, Some(GuardFacts::Culprit { trusted: 0, .. })));
    collector.hangs.store(true, Ordering::SeqCst);
    let raised = running.record(|record| record.applied).await;
    assert_eq!((raised.from, raised.to), (2, 4), "{}", raised.message);
    running.end().await;
}

#[tokio::test]
async fn a_storm_of_retries_is_not_scaled_for() {
    let collector = Arc::new(Collector { retried: 75.into(), ..Collector::default() });
    let running = start(&collector).await;
    running.record(|record| guard(record, "retries").is_some()).await;
    running.load.store(260, Ordering::SeqCst);
    let held = running.record(|record| record.reason == "RetriesNotDemand").await;
    assert_eq!((held.from, held.wish), (2, 2), "{}", held.message);
    assert!(held.message.contains("75 of 100 requests/s were sent before"), "{}", held.message);
    assert!(running.cluster.writes.lock().unwrap().is_empty());
    running.end().await;
}
