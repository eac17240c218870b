//! Claims about OTLP over HTTP, from its specification.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use lifecycle::ManualClock;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use tower::ServiceExt;

use super::*;
use crate::otlp::admission::REQUESTS_INFLIGHT_MAX;
use crate::traces::{Limits, Traces};

const JSON: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"order"}}]},
  "scopeSpans":[{"spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","name":"GET /",
  "startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000010000000","kind":2,"status":{},
  "attributes":[{"key":"n","value":{"intValue":"5"}}],"unknownField":7}]}]}]}"#;

fn traces() -> Arc<Traces> {
    Traces::new(Limits::default(), Arc::new(ManualClock::at(1_700_000_001_000)))
}

fn protobuf() -> Vec<u8> {
    serde_json::from_str::<ExportTraceServiceRequest>(JSON).unwrap().encode_to_vec()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

async fn post(traces: &Traces, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, HeaderMap, Bytes) {
    let mut request = Request::post("/v1/traces");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = http_routes(traces.sink(), None).oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    (head.status.as_u16(), head.headers, body.collect().await.unwrap().to_bytes())
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const AS_JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

#[tokio::test]
async fn answers_as_the_specification_says() {
    let zeros = vec![0; REQUEST_BYTES_MAX + 1];
    type Case<'c> = (&'c str, &'c [(&'c str, &'c str)], Vec<u8>, u16, &'c str);
    let cases: Vec<Case<'_>> = vec![
        ("protobuf", &[PROTOBUF], protobuf(), 200, "application/x-protobuf"),
        ("json", &[AS_JSON], JSON.into(), 200, "application/json"),
        (
            "json with charset",
            &[("content-type", "application/json; charset=utf-8")],
            JSON.into(),
            200,
            "application/json",
        ),
        ("gzip", &[PROTOBUF, GZIP], gzip(&protobuf()), 200, "application/x-protobuf"),
        ("gzip json", &[AS_JSON, GZIP], gzip(JSON.as_bytes()), 200, "application/json"),
        ("identity", &[PROTOBUF, ("content-encoding", "identity")], protobuf(), 200, "application/x-protobuf"),
        ("nothing", &[PROTOBUF], vec![], 200, "application/x-protobuf"),
        ("no content type", &[], protobuf(), 415, "application/json"),
        ("text", &[("content-type", "text/plain")], protobuf(), 415, "application/json"),
        ("brotli", &[PROTOBUF, ("content-encoding", "br")], protobuf(), 415, "application/x-protobuf"),
        ("no gzip", &[PROTOBUF, GZIP], protobuf(), 400, "application/x-protobuf"),
        ("cut gzip", &[PROTOBUF, GZIP], gzip(&protobuf())[..40].into(), 400, "application/x-protobuf"),
        ("no protobuf", &[PROTOBUF], JSON.into(), 400, "application/x-protobuf"),
        ("no json", &[AS_JSON], b"{".to_vec(), 400, "application/json"),
        ("bomb", &[PROTOBUF, GZIP], gzip(&zeros), 413, "application/x-protobuf"),
        ("too large", &[PROTOBUF], zeros, 413, "application/x-protobuf"),
    ];
    for (name, headers, body, status, content_type) in cases {
        let (found, found_headers, body) = post(&traces(), headers, body).await;
        assert_eq!((found, &found_headers["content-type"]), (status, &content_type.parse().unwrap()), "{name}");
        if status != 200 {
            let message = match content_type {
                "application/json" => {
                    serde_json::from_slice::<serde_json::Value>(&body).unwrap()["message"].to_string()
                }
                _ => RpcStatus::decode(body).unwrap().message,
            };
            assert!(!message.is_empty(), "{name}");
        }
    }
}

#[tokio::test]
async fn full_success_leaves_partial_success_unset() {
    let traces = traces();
    assert_eq!(&post(&traces, &[AS_JSON], JSON.into()).await.2[..], b"{}");
    assert!(post(&traces, &[PROTOBUF], protobuf()).await.2.is_empty());
    assert_eq!((traces.stats().spans_received, traces.stats().spans_stored), (2, 1));
}

#[tokio::test]
async fn refused_spans_are_told() {
    let traces = traces();
    let broken = JSON.replace("EEE19B7EC3C1B174", "EE");
    let (status, _, body) = post(&traces, &[AS_JSON], broken.into_bytes()).await;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &body["partialSuccess"]["rejectedSpans"]), (200, &json!("1")));
    assert!(body["partialSuccess"]["errorMessage"].as_str().unwrap().contains("1 spans"));
    assert_eq!(traces.stats().spans_dropped, 1);
}

#[tokio::test]
async fn a_busy_collector_says_when_to_come_back() {
    let traces = traces();
    let sink = traces.sink();
    let held: Vec<_> = (0..REQUESTS_INFLIGHT_MAX).filter_map(|_| sink.admission().admit()).collect();
    let (status, headers, body) = post(&traces, &[AS_JSON], JSON.into()).await;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, headers["retry-after"].as_bytes(), &body["code"]), (503, &b"1"[..], &json!(8)));
    assert_eq!(body["details"][0]["retryDelay"], "1.000s");
    drop(held);
    assert_eq!(post(&traces, &[AS_JSON], JSON.into()).await.0, 200);
}

#[tokio::test]
async fn what_is_refused_is_counted_by_reason() {
    let traces = traces();
    post(&traces, &[AS_JSON], b"{".to_vec()).await;
    post(&traces, &[PROTOBUF, GZIP], gzip(&vec![0; REQUEST_BYTES_MAX + 1])).await;
    let sink = traces.sink();
    let held: Vec<_> = (0..REQUESTS_INFLIGHT_MAX).filter_map(|_| sink.admission().admit()).collect();
    post(&traces, &[AS_JSON], JSON.into()).await;
    drop(held);
    let metrics = lifecycle::metrics::Metrics::default();
    traces.register(&metrics);
    let text = metrics.encode().unwrap();
    for reason in ["malformed", "too_large", "busy"] {
        let line = format!("plimsoll_collector_otlp_requests_refused_total{{reason=\"{reason}\"}} 1");
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}
