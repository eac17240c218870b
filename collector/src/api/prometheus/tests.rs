//! Tests of the API: what is asked, and what is answered, as in Prometheus.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use lifecycle::ManualClock;
use parking_lot::Mutex;
use protocol::prometheus::{ActiveTarget, DroppedTarget, LabelMap, Targets};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::api::views::{Alertmanagers, Exemplar, LastReload, SeriesExemplars};
use crate::promql::EngineOptions;
use crate::promql::memory::MemoryStore;
use crate::rules::report::GroupReport;
use crate::series::{
    Histogram, HistogramSample, Labels, Matcher, Meter, MetricMetadata, Sample, SelectError, SeriesSamples, Span,
};

struct Scene;

impl RulesView for Scene {
    fn groups(&self) -> Arc<Vec<Arc<GroupReport>>> {
        Arc::default()
    }

    fn alertmanagers(&self) -> Alertmanagers {
        Alertmanagers { active: vec!["http://a:9093/api/v2/alerts".to_owned()], dropped: Vec::new() }
    }
}

impl TargetsView for Scene {
    fn targets(&self) -> Targets {
        let active =
            ActiveTarget { scrape_pool: "shop".to_owned(), health: "up".to_owned(), ..ActiveTarget::default() };
        let discovered = LabelMap::from([("job".to_owned(), "other".to_owned())]);
        Targets {
            active_targets: vec![active],
            dropped_targets: vec![DroppedTarget { discovered_labels: discovered, reason: "relabelling".to_owned() }],
            dropped_target_counts: [("other".to_owned(), 1)].into(),
        }
    }

    fn last_reload(&self) -> LastReload {
        LastReload { successful: true, succeeded_ms: 0 }
    }

    fn metadata(&self) -> Vec<(String, MetricMetadata)> {
        let metadata =
            |help: &str| MetricMetadata { kind: "counter".to_owned(), help: help.to_owned(), unit: String::new() };
        vec![
            ("orders_total".to_owned(), metadata("Orders.")),
            ("orders_total".to_owned(), metadata("Orders.")),
            ("orders_total".to_owned(), metadata("All orders.")),
            ("up".to_owned(), metadata("")),
        ]
    }

    fn config_yaml(&self) -> String {
        "scrape_configs: []\n".to_owned()
    }
}

impl ExemplarSource for Scene {
    fn exemplars(&self, selectors: &[Vec<Matcher>], _: i64, end_ms: i64) -> Vec<SeriesExemplars> {
        let labels = Labels::new([("__name__", "orders_total")]);
        let fits = selectors.iter().any(|matchers| matchers.iter().all(|matcher| matcher.fits(&labels)));
        let exemplar = Exemplar { labels: Labels::new([("trace_id", "abc")]), value: 6.0, timestamp_ms: end_ms };
        if fits { vec![SeriesExemplars { labels, exemplars: vec![exemplar] }] } else { Vec::new() }
    }
}

fn store() -> MemoryStore {
    let mut store = MemoryStore::default();
    for (route, factor) in [("/pay", 1.0), ("/list", 2.0), ("/big", 1e300)] {
        let labels = Labels::new([("__name__", "orders_total"), ("route", route)]);
        for step in 0..=10i32 {
            let sample = Sample { timestamp_ms: i64::from(step) * 10_000, value: factor * f64::from(step) };
            store.add(&labels, sample);
        }
    }
    let sizes = Labels::new([("__name__", "sizes")]);
    store.add(&sizes, Sample { timestamp_ms: 10_000, value: 1.0 });
    store.add_histogram(&sizes, HistogramSample { timestamp_ms: 20_000, histogram: Arc::new(sizes_histogram()) });
    store
}

/// A histogram with buckets on both sides, one of them empty.
fn sizes_histogram() -> Histogram {
    Histogram {
        schema: 1,
        count: 12.0,
        sum: 1.5,
        zero_threshold: 0.001,
        zero_count: 2.0,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_buckets: vec![1.0, 0.0, 5.0],
        negative_spans: vec![Span { offset: 1, length: 1 }],
        negative_buckets: vec![4.0],
        ..Histogram::default()
    }
}

fn api(store: impl Queryable) -> PrometheusApi {
    PrometheusApi {
        store: Arc::new(store),
        engine: Engine::new(EngineOptions { timeout: Duration::from_secs(10), ..EngineOptions::default() }),
        targets: Arc::new(Scene),
        rules: Arc::new(Scene),
        exemplars: Some(Arc::new(Scene)),
        clock: Arc::new(ManualClock::at(100_000)),
        server: ServerFacts {
            started_ms: 1_000,
            retention: "15d".to_owned(),
            flags: vec![("listen".to_owned(), "127.0.0.1:9090".to_owned())],
        },
    }
}

async fn send(request: Request<Body>) -> (StatusCode, Value) {
    let response = routes(api(store())).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn ask(path: &str) -> (StatusCode, Value) {
    send(Request::get(format!("/api/v1/{path}")).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn an_instant_query_is_answered_as_prometheus_does() {
    let (status, body) = ask("query?query=orders_total{route!=%22/list%22}&time=20.5").await;
    assert_eq!(status, StatusCode::OK);
    let expected = json!({"status": "success", "data": {"resultType": "vector", "result": [
        {"metric": {"__name__": "orders_total", "route": "/big"}, "value": [20.5, "2e+300"]},
        {"metric": {"__name__": "orders_total", "route": "/pay"}, "value": [20.5, "2"]},
    ]}});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn histograms_are_written_as_prometheus_does() {
    let (_, body) = ask("query?query=sizes&time=20").await;
    let expected = json!([{"metric": {"__name__": "sizes"}, "histogram": [20, {
        "count": "12", "sum": "1.5", "buckets": [
            [1, "-1.414213562373095", "-1", "4"], [3, "-0.001", "0.001", "2"],
            [0, "0.7071067811865475", "1", "1"], [0, "1.414213562373095", "2", "5"],
        ],
    }]}]);
    assert_eq!(body["data"]["result"], expected);
    let (_, body) = ask("query_range?query=sizes&start=10&end=20&step=10").await;
    assert_eq!(body["data"]["result"][0]["values"], json!([[10, "1"]]));
    assert_eq!(body["data"]["result"][0]["histograms"].as_array().map(Vec::len), Some(1));
    let (_, body) = ask("query?query=histogram_count(sizes)&time=20").await;
    assert_eq!(body["data"]["result"][0]["value"], json!([20, "12"]));
}

#[tokio::test]
async fn all_types_of_values_are_written() {
    for (query, data) in [
        ("1/0", json!({"resultType": "scalar", "result": [100, "+Inf"]})),
        ("%22text%22", json!({"resultType": "string", "result": [100, "text"]})),
        (
            "orders_total{route=%22/pay%22}[20s]",
            json!({"resultType": "matrix", "result": [
                {"metric": {"__name__": "orders_total", "route": "/pay"}, "values": [[90, "9"], [100, "10"]]}]}),
        ),
    ] {
        assert_eq!(ask(&format!("query?query={query}")).await.1["data"], data, "{query}");
    }
}

#[tokio::test]
async fn a_form_is_read_as_the_url_is() {
    let body = "query=sum(orders_total%7Broute%3D~%22%2Fpay%7C%2Flist%22%7D)&start=0&end=1970-01-01T00:00:20Z&step=10s";
    let request = Request::post("/api/v1/query_range")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap();
    let (status, body) = send(request).await;
    assert_eq!(status, StatusCode::OK);
    let result = json!([{"metric": {}, "values": [[0, "0"], [10, "3"], [20, "6"]]}]);
    assert_eq!(body["data"], json!({"resultType": "matrix", "result": result}));
}

#[tokio::test]
async fn what_is_wrong_is_said_in_prometheus_words_and_classes() {
    let cases = [
        ("query?query=up{", 400, "bad_data", "invalid parameter \"query\": parse error"),
        ("query", 400, "bad_data", "invalid parameter \"query\""),
        (
            "query?query=1&time=noon",
            400,
            "bad_data",
            "invalid parameter \"time\": cannot parse \"noon\" to a valid timestamp",
        ),
        ("query?query=1&timeout=x", 400, "bad_data", "invalid parameter \"timeout\""),
        ("query?query=1&limit=-1", 400, "bad_data", "invalid parameter \"limit\": limit must be non-negative"),
        (
            "query?query=label_replace(orders_total,%22route%22,%22%22,%22%22,%22%22)",
            422,
            "execution",
            "vector cannot contain metrics with the same labelset",
        ),
        ("query?query=orders_total&timeout=0", 503, "timeout", "query timed out"),
        ("query_range?query=1&start=0&end=10", 400, "bad_data", "invalid parameter \"step\""),
        ("query_range?query=1&start=0&end=10&step=0", 400, "bad_data", "invalid parameter \"step\": zero or negative"),
        (
            "query_range?query=1&start=10&end=0&step=1",
            400,
            "bad_data",
            "invalid parameter \"end\": end timestamp must not be before start",
        ),
        (
            "query_range?query=1&start=0&end=11001&step=1",
            400,
            "bad_data",
            "exceeded maximum resolution of 11,000 points",
        ),
        (
            "query_range?query=up[1m]&start=0&end=1&step=1",
            400,
            "bad_data",
            "invalid parameter \"query\": invalid expression type \"range vector\" for range query",
        ),
        ("series", 400, "bad_data", "no match[] parameter provided"),
        ("series?match[]=sum(up)", 400, "bad_data", "invalid parameter \"match[]\""),
        ("labels?match[]={}", 400, "bad_data", "invalid parameter \"match[]\""),
        ("query_exemplars?query=(", 400, "bad_data", "invalid parameter \"query\""),
    ];
    for (path, status, kind, error) in cases {
        let (found, body) = ask(path).await;
        assert_eq!((found.as_u16(), body["errorType"].as_str()), (status, Some(kind)), "{path}: {body}");
        assert_eq!(body["status"], "error");
        assert!(body["error"].as_str().unwrap().starts_with(error), "{path}: {body}");
    }
    let largest = "query_range?query=1&start=0&end=11000&step=1";
    assert_eq!(ask(largest).await.0, StatusCode::OK);
}

#[tokio::test]
async fn limits_cut_and_say_so() {
    for path in ["query?query=orders_total&limit=1", "query_range?query=orders_total&start=0&end=9&step=1&limit=1"] {
        let (_, body) = ask(path).await;
        assert_eq!(body["data"]["result"].as_array().unwrap().len(), 1, "{path}");
        assert_eq!(body["warnings"], json!(["results truncated due to limit"]), "{path}");
    }
    let (_, body) = ask("label/route/values?limit=2").await;
    assert_eq!(
        (&body["data"], &body["warnings"]),
        (&json!(["/big", "/list"]), &json!(["results truncated due to limit"]))
    );
}

#[tokio::test]
async fn notes_come_with_the_answer() {
    let (_, body) = ask("query?query=quantile(2,orders_total)").await;
    assert_eq!(body["warnings"], json!(["PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)"]));
}

#[tokio::test]
async fn series_and_labels_are_found() {
    let all = json!(["__name__", "route"]);
    for (path, data) in [
        ("labels", all.clone()),
        ("labels?match[]=orders_total&start=0&end=100", all),
        ("labels?start=1000", json!([])),
        ("label/route/values", json!(["/big", "/list", "/pay"])),
        ("label/route/values?match[]=orders_total{route=~%22./.%2A|/p.%2A%22}", json!(["/pay"])),
        ("label/U__route/values?match[]=orders_total{route=%22/pay%22}", json!(["/pay"])),
        ("label/none/values", json!([])),
        (
            "series?match[]=orders_total{route=%22/pay%22}&match[]={route=~%22/p.%2A%22}",
            json!([{"__name__": "orders_total", "route": "/pay"}]),
        ),
    ] {
        let (status, body) = ask(path).await;
        assert_eq!((status, &body["data"]), (StatusCode::OK, &data), "{path}: {body}");
    }
}

#[tokio::test]
async fn the_server_tells_about_itself() {
    let (_, build) = ask("status/buildinfo").await;
    assert!(build["data"]["version"].is_string() && build["data"].get("features").is_none());
    let (_, runtime) = ask("status/runtimeinfo").await;
    assert_eq!(runtime["data"]["startTime"], "1970-01-01T00:00:01Z");
    assert_eq!(ask("status/config").await.1["data"]["yaml"], "scrape_configs: []\n");
    assert_eq!(ask("status/flags").await.1["data"], json!({"listen": "127.0.0.1:9090"}));
    assert_eq!(ask("rules").await.1["data"], json!({"groups": []}));
    assert_eq!(ask("alerts").await.1["data"], json!({"alerts": []}));
    assert_eq!(ask("scrape_pools").await.1["data"], json!({"scrapePools": ["other", "shop"]}));
    assert_eq!(ask("format_query?query=sum(x)by(a)").await.1["data"], "sum by (a) (x)");
    assert_eq!(ask("format_query?query=h%3C/2").await.1["data"], "h</2");
    assert_eq!(ask("label/%FF/values").await.1["errorType"], "bad_data");
}

#[tokio::test]
async fn targets_are_filtered() {
    for (path, active, dropped) in [
        ("targets", 1, 1),
        ("targets?state=active", 1, 0),
        ("targets?state=dropped", 0, 1),
        ("targets?scrapePool=other", 0, 1),
    ] {
        let (_, body) = ask(path).await;
        let count = |name: &str| body["data"][name].as_array().unwrap().len();
        assert_eq!((count("activeTargets"), count("droppedTargets")), (active, dropped), "{path}");
    }
}

#[tokio::test]
async fn metadata_comes_once_and_within_limits() {
    let (_, body) = ask("metadata").await;
    assert_eq!(body["data"]["orders_total"].as_array().unwrap().len(), 2);
    assert_eq!(body["data"]["up"][0], json!({"type": "counter", "help": "", "unit": ""}));
    assert_eq!(ask("metadata?limit=1").await.1["data"].as_object().unwrap().len(), 1);
    assert_eq!(ask("metadata?metric=up").await.1["data"].as_object().unwrap().len(), 1);
    let (_, body) = ask("metadata?limit_per_metric=1").await;
    assert_eq!(body["data"]["orders_total"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn exemplars_are_found_by_the_selectors_of_a_query() {
    let (_, body) = ask("query_exemplars?query=rate(orders_total[1m])&start=0&end=9.5").await;
    let exemplar = json!({"labels": {"trace_id": "abc"}, "value": "6", "timestamp": 9.5});
    assert_eq!(body["data"], json!([{"seriesLabels": {"__name__": "orders_total"}, "exemplars": [exemplar]}]));
    assert_eq!(ask("query_exemplars?query=up").await.1["data"], json!([]));
}

#[tokio::test]
async fn answers_are_compressed_for_who_wants_it() {
    let request = Request::builder()
        .method(Method::GET)
        .uri("/api/v1/query?query=orders_total")
        .header(header::ACCEPT_ENCODING, "gzip")
        .body(Body::empty())
        .unwrap();
    let response = routes(api(store())).oneshot(request).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
}

/// Blocks in `select` until it is let go, and tells when it has begun.
struct Gate {
    begun: Sender<()>,
    open: Mutex<Receiver<()>>,
}

impl Queryable for Gate {
    fn select(&self, _: &[Matcher], _: i64, _: i64, meter: &dyn Meter) -> Result<Vec<SeriesSamples>, SelectError> {
        let _ = self.begun.send(());
        let _ = self.open.lock().recv_timeout(Duration::from_secs(10));
        let sample = Sample { timestamp_ms: 0, value: 1.0 };
        meter.take(0)?;
        Ok(vec![SeriesSamples::floats(Labels::new([("__name__", "x")]), vec![sample])])
    }

    fn series(&self, _: &[Matcher], _: i64, _: i64, _: &dyn Meter) -> Result<Vec<Labels>, SelectError> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn a_query_is_cancelled_when_the_client_goes() {
    let (begun, has_begun) = channel();
    let (opened, open) = channel();
    let shared = Shared { api: api(Gate { begun, open: Mutex::new(open) }), permits: Arc::new(Semaphore::new(1)) };
    let (finished, outcome) = channel();
    let engine = shared.api.engine.clone();
    let work = move |store: &dyn Queryable, stop: &crate::promql::Stop| {
        let result = engine.instant_until(store, "x", 0, stop);
        let _ = finished.send(result.map(|_| ()));
        answer::success(())
    };
    let request = shared.on_thread(Duration::from_secs(10), work);
    let waited = tokio::time::timeout(Duration::from_millis(50), request).await;
    assert!(waited.is_err(), "the query cannot have ended");
    has_begun.recv_timeout(Duration::from_secs(10)).unwrap();
    opened.send(()).unwrap();
    let ended = tokio::task::spawn_blocking(move || outcome.recv_timeout(Duration::from_secs(10)).unwrap()).await;
    assert_eq!(ended.unwrap(), Err(crate::promql::QueryError::Cancelled));
}

#[tokio::test]
async fn more_queries_than_allowed_wait_and_time_out() {
    let shared = Shared { api: api(store()), permits: Arc::new(Semaphore::new(0)) };
    let waited = shared.on_thread(Duration::from_millis(20), |_, _| answer::success(())).await;
    assert!(matches!(waited, Err(answer::ApiError::Timeout(text)) if text.contains("queue")));
}
