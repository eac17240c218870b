//! What an exporter may send to hurt: refused or bounded, counted, and nothing else is disturbed.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tokio::task::JoinSet;

use super::running::Running;

/// What a request may be at most.
const LIMIT: usize = 64 << 20;

/// Operations of the exporter that names each request anew.
const OPERATIONS: u64 = 30_000;

async fn post(running: &Running, headers: &[(&str, &str)], body: Vec<u8>) -> Option<u16> {
    let mut post = reqwest::Client::new().post(format!("http://{}/v1/traces", running.endpoints.otlp_http));
    for (name, value) in headers {
        post = post.header(*name, *value);
    }
    // Who is refused before all is sent may find the connection closed.
    post.body(body).send().await.ok().map(|answer| answer.status().as_u16())
}

fn spans(service: &str, spans: impl Iterator<Item = serde_json::Value>) -> Vec<u8> {
    let name = json!({"key": "service.name", "value": {"stringValue": service}});
    let spans: Vec<_> = spans.collect();
    json!({"resourceSpans": [{"resource": {"attributes": [name]}, "scopeSpans": [{"spans": spans}]}]})
        .to_string()
        .into()
}

fn span(trace: u64, id: u64, parent: u64, name: &str) -> serde_json::Value {
    let end = u64::try_from(lifecycle::Clock::now_ms(&lifecycle::SystemClock)).unwrap() * 1_000_000;
    json!({
        "traceId": format!("{trace:032x}"), "spanId": format!("{id:016x}"), "parentSpanId": format!("{parent:016x}"),
        "name": name, "kind": 2, "startTimeUnixNano": (end - 1_000_000).to_string(), "endTimeUnixNano": end.to_string(),
    })
}

async fn counted(running: &Running, series: &str) -> f64 {
    let page = running.get("/metrics").await.1;
    let found = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("{series} is not in\n{page}"))
}

const JSON: (&str, &str) = ("content-type", "application/json");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

#[tokio::test]
async fn hostile_spans_disturb_nothing() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let running = Running::start(&mut tasks, folder.path(), "scrape_configs: []\n").await;
    let ordinary = spans("shop", std::iter::once(span(1, 1, 0, "GET /")));
    assert_eq!(post(&running, &[JSON], ordinary).await, Some(200));

    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    bomb.write_all(&vec![0; LIMIT + 1]).unwrap();
    assert_eq!(post(&running, &[PROTOBUF, GZIP], bomb.finish().unwrap()).await, Some(413));
    assert!(post(&running, &[PROTOBUF], vec![b'x'; 100 << 20]).await.is_none_or(|status| status == 413));
    let refused = "plimsoll_collector_otlp_requests_refused_total{reason=\"too_large\"}";
    assert_eq!(counted(&running, refused).await, 2.0);

    // As large as it may be, and far larger than a span may be.
    let name = "x".repeat(LIMIT / 4);
    assert_eq!(post(&running, &[JSON], spans("shop", std::iter::once(span(2, 1, 0, &name)))).await, Some(200));
    assert!(counted(&running, "plimsoll_collector_spans_stored_bytes").await < 100_000.0);

    // Two that are each other's parent, and one that is its own.
    let circle = [span(3, 1, 2, "a"), span(3, 2, 1, "b"), span(3, 3, 3, "c")];
    assert_eq!(post(&running, &[JSON], spans("circle", circle.into_iter())).await, Some(200));
    let (status, body) = running.get("/api/traces/3").await;
    assert_eq!((status.as_u16(), body.matches("\"operationName\"").count()), (200, 3));

    for from in (0..OPERATIONS).step_by(10_000) {
        let many = (from..from + 10_000).map(|id| span(id + 10, 1, 0, &format!("GET /{id}")));
        assert_eq!(post(&running, &[JSON], spans("many", many)).await, Some(200));
    }
    assert!(counted(&running, "plimsoll_collector_spans_unlearnt_total").await >= 20_000.0);
    let named = running.get("/api/services/many/operations").await.1.matches("GET /").count();
    assert!(named <= 10_000, "{named}");

    let (status, body) = running.get("/api/traces/1").await;
    assert!(status.is_success() && body.contains("\"serviceName\":\"shop\""), "{body}");
    let received = counted(&running, "plimsoll_collector_spans_received_total").await;
    assert_eq!(received, 5.0 + OPERATIONS as f64);
}
