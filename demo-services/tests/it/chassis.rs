//! What every service does around its handlers, tried on the gateway and the user service.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::routing::{get, post};
use axum::{Json, Router};
use demo_services::chassis::Config;
use reqwest::{Client, StatusCode};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::started::{SECRET, Started, eventually, nobody, peers, stand_in};

async fn in_front_of(categories: Router) -> Config {
    Config {
        token_secret: Some(SECRET.to_owned()),
        peers: peers(&[("product", stand_in(categories).await)]).await,
        ..Config::on_loopback("gateway")
    }
}

fn quick() -> Router {
    Router::new().route("/categories", get(|| async { Json(json!(["books"])) }))
}

/// Answers when told to.
fn held(notify: &Arc<Notify>, asked: &Arc<AtomicUsize>) -> Router {
    let (notify, asked) = (Arc::clone(notify), Arc::clone(asked));
    Router::new().route(
        "/categories",
        get(move || async move {
            asked.fetch_add(1, Ordering::SeqCst);
            notify.notified().await;
            Json(json!(["books"]))
        }),
    )
}

#[tokio::test]
async fn faults_strike_until_they_are_cleared_and_spare_the_probes() {
    let gateway = Started::service(in_front_of(quick()).await).await;
    let http = Client::new();
    let categories = gateway.url("/api/categories");
    let set = async |kind: &str, value: Option<&str>| {
        let call = http.put(gateway.admin_url(&format!("/faults/{kind}"))).json(&json!({"value": value}));
        call.send().await.unwrap().status()
    };
    assert_eq!(set("error", Some("1")).await, StatusCode::NO_CONTENT);
    assert_eq!(http.get(&categories).send().await.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(http.get(gateway.url("/readyz")).send().await.unwrap().status(), StatusCode::OK);
    let listed = http.get(gateway.admin_url("/faults")).send().await.unwrap().text().await.unwrap();
    assert!(listed.starts_with(r#"[{"kind":"error","value":"1","since_ms":1"#), "{listed}");
    http.delete(gateway.admin_url("/faults/error")).send().await.unwrap();
    assert_eq!(http.get(&categories).send().await.unwrap().status(), StatusCode::OK);

    assert_eq!(set("hang", None).await, StatusCode::NO_CONTENT);
    let probe = timeout(Duration::from_millis(200), http.get(gateway.url("/healthz")).send()).await;
    assert!(probe.is_err(), "a hanging replica answers no probe");
    http.delete(gateway.admin_url("/faults")).send().await.unwrap();
    assert_eq!(http.get(gateway.url("/healthz")).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(set("fire", None).await, StatusCode::NOT_FOUND);
    assert_eq!(set("error", Some("lots")).await, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn metrics_have_the_conventions_names_and_exemplars() {
    let gateway = Started::service(in_front_of(quick()).await).await;
    reqwest::get(gateway.url("/api/categories")).await.unwrap();
    let metrics = gateway.metrics().await;
    for expected in [
        "http_server_request_duration_seconds_count{http_route=\"/api/categories\",http_request_method=\"GET\",http_response_status_code=\"200\"} 1",
        "http_client_request_duration_seconds_count{server_address=\"product\",http_response_status_code=\"200\"} 1",
        "http_server_active_requests 0",
        "# {trace_id=\"",
        "# EOF",
    ] {
        assert!(metrics.contains(expected), "{expected} is not in\n{metrics}");
    }
    assert!(!metrics.contains("/metrics\""), "scrapes are not measured");
}

#[tokio::test]
async fn a_request_whose_time_is_up_is_answered_504() {
    let (notify, asked) = (Arc::default(), Arc::default());
    let gateway = Started::service(in_front_of(held(&notify, &asked)).await).await;
    let call = Client::new().get(gateway.url("/api/categories")).header("x-request-timeout-ms", "150");
    assert_eq!(call.send().await.unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn more_than_it_can_take_is_shed_with_a_time_to_come_back() {
    let (notify, asked) = (Arc::<Notify>::default(), Arc::<AtomicUsize>::default());
    let config = Config { in_flight_max: 1, ..in_front_of(held(&notify, &asked)).await };
    let gateway = Started::service(config).await;
    let first = tokio::spawn(reqwest::get(gateway.url("/api/categories")));
    eventually("the first request is under way", async || asked.load(Ordering::SeqCst) == 1).await;
    let second = reqwest::get(gateway.url("/api/categories")).await.unwrap();
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(second.headers()["retry-after"], "1");
    assert!(second.text().await.unwrap().contains("overloaded"));
    notify.notify_one();
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
    assert!(gateway.metrics().await.contains("http_server_shed_requests_total{reason=\"in_flight\"} 1"));
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way_and_says_not_ready() {
    let (notify, asked) = (Arc::<Notify>::default(), Arc::<AtomicUsize>::default());
    let gateway = Started::service(in_front_of(held(&notify, &asked)).await).await;
    let under_way = tokio::spawn(reqwest::get(gateway.url("/api/categories")));
    eventually("the request is under way", async || asked.load(Ordering::SeqCst) == 1).await;
    gateway.stop.cancel();
    eventually("it is not ready", async || {
        let ready = reqwest::get(gateway.url("/readyz")).await;
        ready.map_or(true, |answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE)
    })
    .await;
    notify.notify_one();
    assert_eq!(under_way.await.unwrap().unwrap().status(), StatusCode::OK);
    timeout(Duration::from_secs(5), gateway.task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn reads_are_retried_and_writes_without_a_key_are_not() {
    let fail_first = || {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let answer = move || async move {
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                return Err(StatusCode::BAD_GATEWAY);
            }
            Ok(Json(json!(["books"])))
        };
        (count, answer)
    };
    let ((reads, read), (writes, write)) = (fail_first(), fail_first());
    let product = stand_in(Router::new().route("/categories", get(read))).await;
    let user = stand_in(Router::new().route("/users", post(write))).await;
    let gateway = Started::service(Config {
        token_secret: Some(SECRET.to_owned()),
        peers: peers(&[("product", product), ("user", user)]).await,
        ..Config::on_loopback("gateway")
    })
    .await;
    assert_eq!(reqwest::get(gateway.url("/api/categories")).await.unwrap().status(), StatusCode::OK);
    let written = Client::new().post(gateway.url("/api/users")).body("{}").send().await.unwrap();
    assert_eq!(written.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((reads.load(Ordering::SeqCst), writes.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test]
async fn spans_reach_the_collector_also_those_of_the_last_moment() {
    let received = Arc::new(parking_lot::Mutex::new(Vec::<Bytes>::new()));
    let sink = Arc::clone(&received);
    let take = move |body: Bytes| async move { sink.lock().push(body) };
    let collector = stand_in(Router::new().route("/v1/traces", post(take))).await;
    let otlp_endpoint = Some(format!("http://{collector}").parse().unwrap());
    let gateway = Started::service(Config { otlp_endpoint, ..in_front_of(quick()).await }).await;
    reqwest::get(gateway.url("/api/categories")).await.unwrap();
    gateway.stop.cancel();
    timeout(Duration::from_secs(5), gateway.task).await.unwrap().unwrap().unwrap();
    let spans = received.lock().concat();
    for expected in ["gateway-0", "GET /api/categories", "GET product", "http.response.status_code"] {
        assert!(
            spans.windows(expected.len()).any(|window| window == expected.as_bytes()),
            "{expected} was not exported"
        );
    }
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let otlp_endpoint = Some(format!("http://{}", nobody().await).parse().unwrap());
    let gateway = Started::service(Config { otlp_endpoint, ..in_front_of(quick()).await }).await;
    for _ in 0..20 {
        assert_eq!(reqwest::get(gateway.url("/api/categories")).await.unwrap().status(), StatusCode::OK);
    }
    eventually("the loss is counted", async || {
        gateway.metrics().await.contains("otel_spans_dropped_total{reason=\"export_failed\"} 40")
    })
    .await;
}

#[tokio::test]
async fn a_missing_peer_or_secret_is_named_at_the_start() {
    let stop = lifecycle::CancellationToken::new();
    let start = async |config| demo_services::service::start(config, stop.clone()).await.unwrap_err().to_string();
    let without_secret = start(Config::on_loopback("gateway")).await;
    assert!(without_secret.starts_with("the environment variable TOKEN_SECRET is not set"), "{without_secret}");
    let secret = Some(SECRET.to_owned());
    let without_peers = start(Config { token_secret: secret, ..Config::on_loopback("gateway") }).await;
    assert!(without_peers.starts_with("the environment variable PRODUCT_SERVICE_HOST is not set"), "{without_peers}");
    let unknown = start(Config::on_loopback("cart")).await;
    assert!(unknown.starts_with("there is no service \"cart\""), "{unknown}");
}
