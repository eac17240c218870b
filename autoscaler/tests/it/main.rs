//! The whole autoscaler on port 0: a fake Prometheus over real HTTP, a cluster in memory, and its own API as clients see it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod changes;
mod demand;
mod election;
mod fake;
mod guards;
mod objectives;
mod reload;
mod vertical;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use autoscaler::{Autoscaler, Options, StartError, policy};
use axum::extract::{Form, State};
use axum::routing::post;
use axum::{Json, Router};
use fake::FakeCluster;
use lifecycle::CancellationToken;
use protocol::scaling::{DecisionRecord, ObjectName, ScalingClient};
use serde_json::{Value, json};
use url::Url;

const POLICY: &str = "apiVersion: plimsoll.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: order, namespace: shop}
spec:
  target: {kind: Deployment, name: order}
  replicas: {min: 1, max: 6}
  signals:
    - utilization: {resource: cpu, target: 65%}
    - query: {name: requests, promql: 'sum(rate(requests_total{service=\"order\"}[10s]))', perReplica: 1000}
  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
";

/// Millicores that every replica is said to use.
type Load = Arc<AtomicU64>;

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Answers the autoscaler's queries for up to six replicas.
async fn query(State(load): State<Load>, Form(form): Form<HashMap<String, String>>) -> Json<Value> {
    let query = &form["query"];
    let per_pod = |value: f64| -> Vec<Value> {
        let labels = |i: u32| json!({"namespace": "shop", "pod": format!("order-{i}"), "container": "order"});
        (0..6).map(|i| json!({"metric": labels(i), "value": [now(), value.to_string()]})).collect()
    };
    let millicores = load.load(Ordering::SeqCst) as f64;
    let result = if query.contains("timestamp(requests_total") {
        vec![json!({"metric": {"selector": "0"}, "value": [now(), now().to_string()]})]
    } else if query.contains("requests_total") {
        vec![json!({"metric": {}, "value": [now(), "700"]})]
    } else if query.contains("timestamp(container_cpu_usage_seconds_total") {
        per_pod(now() - 1.0)
    } else {
        assert!(query.contains("rate(container_cpu_usage_seconds_total{namespace=~\"shop\""), "{query}");
        per_pod(millicores / 1000.0)
    };
    Json(json!({"status": "success", "data": {"resultType": "vector", "result": result}}))
}

fn policies() -> policy::PolicySet {
    policy::from_documents(protocol::yaml::split(Path::new("order.yaml"), POLICY)).unwrap()
}

struct Running {
    cluster: Arc<FakeCluster>,
    load: Load,
    client: ScalingClient,
    base: String,
    shutdown: CancellationToken,
    tasks: tokio::task::JoinSet<()>,
    data: tempfile::TempDir,
}

async fn start() -> Running {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut Options)) -> Running {
    let load = Load::new(AtomicU64::new(65));
    let mut tasks = tokio::task::JoinSet::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let prometheus = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let router = Router::new().route("/api/v1/query", post(query)).with_state(Arc::clone(&load));
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });

    let data = tempfile::tempdir().unwrap();
    let mut options = Options::new(prometheus, policies());
    options.listen = "127.0.0.1:0".parse().unwrap();
    options.interval = Duration::from_millis(50);
    options.data = Some(data.path().to_owned());
    change(&mut options);
    let cluster = Arc::new(FakeCluster::with(2));
    let autoscaler = Autoscaler::bind(options, Arc::clone(&cluster) as Arc<dyn cluster::Cluster>).await.unwrap();
    let base = format!("http://{}", autoscaler.address());
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tasks.spawn(async move { autoscaler.run(stop).await.unwrap() });
    let client = ScalingClient::new(Url::parse(&base).unwrap());
    Running { cluster, load, client, base, shutdown, tasks, data }
}

impl Running {
    /// Waits for a record that is as wanted; the first of them, as ticks go on meanwhile.
    async fn record(&self, wanted: impl Fn(&DecisionRecord) -> bool) -> DecisionRecord {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let records = self.client.decisions(Some("order"), None, 1000).await.unwrap();
            if let Some(record) = records.iter().rev().find(|r| wanted(r)) {
                return record.clone();
            }
            assert!(Instant::now() < deadline, "no such record; the latest is {:?}", records.first());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The decisions of a tick are known a moment before the tick has ended, which readiness waits for.
    async fn becomes_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let answer = reqwest::get(format!("{}/readyz", self.base)).await.unwrap();
            let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
            if status == 200 {
                return;
            }
            assert!(Instant::now() < deadline, "{status} {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn status_and_error(&self, method: reqwest::Method, path: &str) -> (u16, String) {
        let response = reqwest::Client::new().request(method, format!("{}{path}", self.base)).send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        (status, body["error"].as_str().unwrap_or_default().to_owned())
    }

    async fn end(mut self) {
        self.shutdown.cancel();
        // The autoscaler ends by itself; the fake server does not.
        self.tasks.join_next().await.unwrap().unwrap();
        self.tasks.shutdown().await;
    }
}

#[tokio::test]
async fn explains_the_latest_decision_and_what_would_have_changed_it() {
    let running = start().await;
    running.record(|r| r.reason == "WithinTolerance").await;
    let order = ObjectName { namespace: "shop".to_owned(), name: "order".to_owned() };
    let explained = running.client.explanation(&order).await.unwrap();
    assert_eq!(explained.record.message, "order stays at 2: within tolerance (cpu utilization 65% of target 65%)");
    let up: Vec<(&str, f64)> = explained.up.iter().map(|point| (point.signal.as_str(), point.value)).collect();
    assert_eq!(up, [("cpu utilization", 72.0), ("requests", 1100.001)]);
    let down: Vec<(&str, f64)> = explained.down.iter().map(|point| (point.signal.as_str(), point.value)).collect();
    assert_eq!(down, [("cpu utilization", 32.0), ("requests", 500.0)]);
    assert_eq!((explained.up_note.as_str(), explained.down_note.as_str()), ("", ""));
    let (status, error) =
        running.status_and_error(reqwest::Method::GET, "/api/v1/policies/shop/cart/explanation").await;
    assert_eq!((status, error.as_str()), (404, "there is no policy shop/cart"));
    running.end().await;
}

#[tokio::test]
async fn follows_the_load_up_and_down_and_serves_the_record_of_each_tick() {
    let running = start().await;
    let held = running.record(|r| r.reason == "WithinTolerance").await;
    assert_eq!(held.message, "order stays at 2: within tolerance (cpu utilization 65% of target 65%)");
    assert_eq!(held.signals[1].value, Some(350.0));
    assert!(held.signals[0].age_seconds.is_some_and(|age| (1.0..5.0).contains(&age)), "{held:?}");

    running.load.store(130, Ordering::SeqCst);
    let up = running.record(|r| r.applied).await;
    assert_eq!((up.from, up.to, up.reason.as_str()), (2, 4, "SignalAboveTarget"));
    assert_eq!(up.message, "order 2 -> 4: cpu utilization 130% is above 65%");

    running.load.store(10, Ordering::SeqCst);
    let down = running.record(|r| r.applied && r.to < r.from).await;
    assert_eq!((down.to, running.cluster.replicas()), (1, 1), "{down:?}");

    let events = running.client.events(10).await.unwrap();
    assert_eq!(events[0].reason, "SuccessfulRescale");
    let workloads = running.client.workloads().await.unwrap();
    assert_eq!((workloads[0].desired, workloads[0].policy.as_deref()), (1, Some("order")));
    let since = running.client.decisions(None, Some(down.sequence), 1000).await.unwrap();
    assert!(since.iter().all(|r| r.sequence > down.sequence));

    let journal = std::fs::read_to_string(running.data.path().join("decisions.jsonl")).unwrap();
    let first: DecisionRecord = serde_json::from_str(journal.lines().next().unwrap()).unwrap();
    assert_eq!(first.sequence, 1);
    running.end().await;
}

#[tokio::test]
async fn pause_goes_on_recommending_and_resume_carries_out() {
    let running = start().await;
    let name = ObjectName { namespace: "shop".to_owned(), name: "order".to_owned() };
    assert!(running.client.pause(&name).await.unwrap().paused);
    running.load.store(130, Ordering::SeqCst);
    let wished = running.record(|r| r.wish > r.from).await;
    assert!(!wished.applied && wished.message.ends_with("(not carried out: paused)"), "{wished:?}");
    assert!(running.cluster.writes.lock().unwrap().is_empty());
    assert!(!running.client.resume(&name).await.unwrap().paused);
    running.record(|r| r.applied).await;
    assert!(running.client.policies().await.unwrap()[0].last.is_some());
    running.end().await;
}

#[tokio::test]
async fn wrong_requests_get_json_that_says_what_is_wrong() {
    use reqwest::Method;
    let running = start().await;
    for (method, path, status, error) in [
        (Method::GET, "/api/v1/nothing", 404, "there is nothing at this path"),
        (Method::POST, "/api/v1/policies/shop/user/pause", 404, "there is no policy shop/user"),
        (Method::GET, "/api/v1/policies/shop/order/pause", 405, "this path has another method"),
        (Method::GET, "/api/v1/decisions?limit=0", 400, "limit: found 0, expected 1 to 10000"),
    ] {
        assert_eq!(running.status_and_error(method, path).await, (status, error.to_owned()), "{path}");
    }
    let (status, error) = running.status_and_error(Method::GET, "/api/v1/decisions?since=yesterday").await;
    assert!(status == 400 && error.contains("since"), "{status} {error}");

    running.record(|_| true).await;
    let text = reqwest::get(format!("{}/metrics", running.base)).await.unwrap().text().await.unwrap();
    for name in ["decisions_total{", "desired_replicas{", "tick_duration_seconds_bucket{", "failures_total{"] {
        assert!(text.contains(&format!("plimsoll_autoscaler_{name}")), "{name} in {text}");
    }
    running.becomes_ready().await;
    running.end().await;
}

#[tokio::test]
async fn a_taken_port_names_itself_and_the_flag() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = Options::new(Url::parse("http://127.0.0.1:9").unwrap(), policy::PolicySet::default());
    options.listen = taken.local_addr().unwrap();
    let error = Autoscaler::bind(options, Arc::new(FakeCluster::with(1))).await.err();
    let message = error.as_ref().map(ToString::to_string).unwrap_or_default();
    assert!(matches!(error, Some(StartError::Listen(_))) && message.contains("--autoscaler"), "{message}");
}

#[tokio::test]
async fn a_resize_is_checked_carried_out_and_told() {
    let running = start().await;
    running.record(|_| true).await;
    // As an earlier command planned it; the replicas are not there yet.
    let memory = protocol::quantity::Quantity::parse("96Mi").ok();
    *running.cluster.wanted.lock().unwrap() = cluster::Resources { memory_request: memory, ..Default::default() };
    let ask = |kind: &str, name: &str, body: Value| {
        let url = format!("{}/api/v1/workloads/shop/{kind}/{name}/resize", running.base);
        async move {
            let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
            let code = answer.status().as_u16();
            (code, serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap())
        }
    };
    let cpu = json!({"container": "order", "resources": {"cpuRequest": "200m"}});
    let (code, answer) = ask("Deployment", "order", cpu.clone()).await;
    let done = "container order of Deployment shop/order is to have CPU request 200m, in place";
    assert_eq!((code, &answer["message"]), (200, &json!(done)));
    let planned = running.cluster.resized.lock().unwrap()[0].to_string();
    assert_eq!(planned, "cpu 200m up to none, memory 96Mi up to none", "what was not asked for stays as planned");
    for (kind, name, body, code, error) in [
        ("Deployment", "user", cpu.clone(), 404, "Deployment shop/user does not exist"),
        ("CronJob", "order", cpu.clone(), 400, "found \"CronJob\", expected Deployment or StatefulSet"),
        ("Deployment", "order", json!({"container": "order", "resources": {}}), 400, "nothing is asked for"),
        ("Deployment", "order", json!({"container": "order", "resources": {"cpu": "1"}}), 400, "unknown field `cpu`"),
        ("Deployment", "order", json!({"container": "order", "resources": {"cpuLimit": "fast"}}), 400, "cpuLimit"),
    ] {
        let (found, answer) = ask(kind, name, body).await;
        let words = answer["error"].as_str().unwrap_or_default();
        assert!(found == code && words.contains(error), "{found}: {words}");
    }
    *running.cluster.conflicts.lock().unwrap() = vec!["VerticalPodAutoscaler shop/order".to_owned()];
    let (code, answer) = ask("Deployment", "order", cpu).await;
    let conflict = "Deployment shop/order: VerticalPodAutoscaler shop/order steers it too; remove one of the two";
    assert_eq!((code, &answer["error"]), (409, &json!(conflict)));
    let events = running.cluster.events.lock().unwrap().clone();
    let told = events.iter().find(|event| event.reason == "ResizeRequested").unwrap();
    assert_eq!(told.message, done);
    running.end().await;
}
