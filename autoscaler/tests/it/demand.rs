//! Sizing by load over real HTTP: from the collector's call graph, from span metrics and histograms of any other server, and a whole
//! autoscaler that follows the front door.

use std::sync::atomic::AtomicUsize;

use autoscaler::planner::Gap;
use autoscaler::signal::{PrometheusSource, ServiceDemand, Source};
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::*;

const WINDOW: Duration = Duration::from_secs(10);

const SIZED: &str = "apiVersion: plimsoll.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: order, namespace: shop}
spec:
  target: {kind: Deployment, name: order}
  replicas: {min: 1, max: 6}
  objective: {latency: {quantile: 0.99, below: 250ms}}
  signals: [demand: {}, upstream: {}]
---
apiVersion: plimsoll.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: parcels, namespace: shop}
spec:
  target: {kind: Deployment, name: parcels, service: packing}
  replicas: {min: 1, max: 6}
  signals:
    - backlog: {name: waiting, promql: sum(parcels_waiting), drainWithin: 60s, throughput: 'sum(rate(parcels_packed_total[1m]))'}
    - backlog: {name: asked, promql: sum(parcels_waiting), drainWithin: 60s}
";

fn sized() -> policy::PolicySet {
    policy::from_documents(protocol::yaml::split(Path::new("order.yaml"), SIZED)).unwrap()
}

/// A server whose graph, if it has one, has so many requests a second at the front door; order had twice 40 a second when that was 40.
#[derive(Default)]
struct Server {
    has_graph: bool,
    front: AtomicU64,
    graphs: AtomicUsize,
    questions: AtomicUsize,
}

async fn graph(State(server): State<Arc<Server>>, Query(asked): Query<HashMap<String, String>>) -> Response {
    server.graphs.fetch_add(1, Ordering::SeqCst);
    assert_eq!(asked["window"], "10s");
    if !server.has_graph {
        return (StatusCode::NOT_FOUND, "404 page not found").into_response();
    }
    let front = server.front.load(Ordering::SeqCst) as f64;
    let node = |service: &str, rate: f64| {
        json!({"service": service, "kind": "service", "rate": rate, "retry_rate": 0.0, "error_ratio": 0.0, "p50_ms": 20.0,
               "p95_ms": 30.0, "p99_ms": 40.0, "own_error_ratio": 0.0, "own_time_ms": 12.0})
    };
    let edge = json!({"client": "gateway", "server": "order", "rate": 80.0, "retry_rate": 0.0, "error_ratio": 0.0,
                      "p50_ms": 20.0, "p95_ms": 30.0, "p99_ms": 40.0});
    let at_ms = (now() * 1000.0) as i64 - 5_000;
    let nodes = [node("gateway", front), node("order", 80.0)];
    Json(json!({"at_ms": at_ms, "window_seconds": 10.0, "nodes": nodes, "edges": [edge]})).into_response()
}

async fn metrics(State(server): State<Arc<Server>>, Form(form): Form<HashMap<String, String>>) -> Json<Value> {
    server.questions.fetch_add(1, Ordering::SeqCst);
    let query = &form["query"];
    let (is_time, at) = (query.contains("timestamp("), now() - 1.0);
    let series = |labels: Value, value: f64| json!({"metric": labels, "value": [now(), (if is_time { at } else { value }).to_string()]});
    let result: Vec<Value> = if query.contains("container_cpu") {
        let pod =
            |i: u32| series(json!({"namespace": "shop", "pod": format!("order-{i}"), "container": "order"}), 0.065);
        (0..6).map(pod).collect()
    } else if query.contains("traces_spanmetrics_latency_sum") {
        vec![series(json!({"service": "order"}), 2.0), series(json!({"namespace": "shop", "service": "packing"}), 1.0)]
    } else if query.contains("traces_spanmetrics_latency_count") {
        vec![series(json!({"service": "order"}), 80.0), series(json!({"namespace": "shop", "service": "packing"}), 5.0)]
    } else if query.contains("parcels_packed_total") {
        vec![series(json!({"selector": "0"}), 4.0)]
    } else {
        vec![series(json!({"selector": "0"}), 300.0)]
    };
    Json(json!({"status": "success", "data": {"resultType": "vector", "result": result}}))
}

async fn serve(server: &Arc<Server>, tasks: &mut tokio::task::JoinSet<()>) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let router = Router::new().route("/api/v1/query", post(metrics)).route("/api/v1/graph", get(graph));
    let router = router.with_state(Arc::clone(server));
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    base
}

#[tokio::test]
async fn the_call_graph_is_asked_once_for_all_and_metrics_for_what_it_does_not_know() {
    let server = Arc::new(Server { has_graph: true, front: 40.into(), ..Server::default() });
    let mut tasks = tokio::task::JoinSet::new();
    let source = PrometheusSource::new(serve(&server, &mut tasks).await, WINDOW);
    let readings = source.read(&sized()).await;
    assert_eq!(server.graphs.load(Ordering::SeqCst), 1);
    // CPU, three backlog queries and the metrics of one service, each with its times but for the seconds.
    assert_eq!(server.questions.load(Ordering::SeqCst), 2 + 6 + 3);
    let demands = readings.demands.unwrap();
    let order = demands.of("shop", "order").unwrap();
    assert_eq!((order.served, order.asked, order.front, order.own_seconds), (80.0, 80.0, Some(40.0), Some(0.012)));
    let packing = demands.of("shop", "packing").unwrap();
    assert_eq!((packing.served, packing.whole_seconds, packing.front), (5.0, Some(0.2), None));
    assert_eq!(readings.queries.len(), 3);
    assert_eq!(readings.queries[&(1, 0, 1)].as_ref().map(|done| done.value), Ok(4.0));
}

#[tokio::test]
async fn any_other_server_tells_demand_by_metrics() {
    let server = Arc::new(Server::default());
    let mut tasks = tokio::task::JoinSet::new();
    let source = PrometheusSource::new(serve(&server, &mut tasks).await, WINDOW);
    let readings = source.read(&sized()).await;
    assert_eq!(readings.trouble(), None, "a server without a call graph is none");
    let demands = readings.demands.unwrap();
    let order = demands.of("shop", "order").unwrap();
    let expected = ServiceDemand {
        at_ms: order.at_ms,
        window_seconds: 10.0,
        served: 80.0,
        asked: 80.0,
        front: None,
        own_seconds: None,
        whole_seconds: Some(0.025),
    };
    assert_eq!(*order, expected);
    let nobody = PrometheusSource::new(Url::parse("http://127.0.0.1:9").unwrap(), WINDOW);
    assert!(matches!(nobody.read(&sized()).await.demands, Err(Gap::Source(_))));
}

#[tokio::test]
async fn a_service_is_scaled_before_the_front_doors_requests_reach_it() {
    let server = Arc::new(Server { has_graph: true, front: 40.into(), ..Server::default() });
    let mut tasks = tokio::task::JoinSet::new();
    let mut options = Options::new(serve(&server, &mut tasks).await, sized());
    options.listen = "127.0.0.1:0".parse().unwrap();
    options.interval = Duration::from_millis(50);
    options.rate_window = WINDOW;
    let cluster = Arc::new(FakeCluster::with(2));
    let autoscaler = Autoscaler::bind(options, Arc::clone(&cluster) as Arc<dyn cluster::Cluster>).await.unwrap();
    let base = format!("http://{}", autoscaler.address());
    let client = ScalingClient::new(Url::parse(&base).unwrap());
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tasks.spawn(async move { autoscaler.run(stop).await.unwrap() });
    let data = tempfile::tempdir().unwrap();
    let running = Running { cluster, load: Load::default(), client, base, shutdown, tasks, data };
    let held = running.record(|record| record.signals.iter().all(|signal| signal.wish.is_some())).await;
    assert_eq!((held.from, held.wish), (2, 2), "{}", held.message);
    server.front.store(120, Ordering::SeqCst);
    let up = running.record(|record| record.applied).await;
    assert_eq!(up.winner.as_deref(), Some("upstream"));
    assert!(up.to > 2 && up.message.contains("120 requests/s at the front door x "), "{}", up.message);
    running.end().await;
}
