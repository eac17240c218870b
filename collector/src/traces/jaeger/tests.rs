//! Claims about Jaeger's API: the shapes on the wire and what is found.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use lifecycle::ManualClock;
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use crate::traces::example::{START_MS, START_NS, span};
use crate::traces::span::{Attribute, Detail, Event, Kind, Process, Scope, Value};
use crate::traces::{Limits, Traces};

use super::*;

fn traces() -> Arc<Traces> {
    let traces = Traces::new(Limits::default(), Arc::new(ManualClock::at(START_MS + 1_000)));
    let mut order = span("order", "POST /orders", Kind::Server, 3, 2).during(20, 80).failing();
    order.process = Arc::new(Process {
        service: "order".into(),
        attributes: [Attribute { key: "k8s.pod.name".into(), value: "order-0".into() }].into(),
    });
    order.scope = Some(Arc::new(Scope { name: "shop".into(), version: "".into() }));
    order.detail = Some(Box::new(Detail {
        status_message: Some("no stock".into()),
        events: [Event { at_ns: START_NS + 30_000_000, name: "retry".into(), attributes: Box::default() }].into(),
        ..Detail::default()
    }));
    let order = order.with("http.response.status_code", 500).with("ratio", Value::Double(0.5));
    let spans = [
        span("gateway", "GET /", Kind::Server, 1, 0).during(0, 100),
        span("gateway", "POST", Kind::Client, 2, 1).during(10, 90),
        order,
    ];
    traces.sink().accept(spans.into_iter().map(|span| (0xabc, Arc::new(span))).collect(), 0);
    traces
}

async fn get(traces: &Traces, path: &str) -> (u16, Json) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = traces.routes().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body:?}")))
}

#[tokio::test]
async fn a_trace_has_jaegers_shape() {
    let (status, body) = get(&traces(), "/api/traces/abc").await;
    assert_eq!(status, 200);
    assert_eq!(
        (&body["total"], &body["limit"], &body["offset"], &body["errors"]),
        (&json!(1), &json!(0), &json!(0), &Json::Null)
    );
    let trace = &body["data"][0];
    assert_eq!(trace["traceID"], "00000000000000000000000000000abc");
    assert_eq!(trace["processes"]["p1"], json!({ "serviceName": "gateway", "tags": [] }));
    let start_us = START_NS / 1_000;
    assert_eq!(
        trace["spans"][2],
        json!({
            "traceID": "00000000000000000000000000000abc",
            "spanID": "0000000000000003",
            "operationName": "POST /orders",
            "references": [
                { "refType": "CHILD_OF", "traceID": "00000000000000000000000000000abc", "spanID": "0000000000000002" }
            ],
            "startTime": start_us + 20_000,
            "duration": 60_000,
            "tags": [
                { "key": "http.response.status_code", "type": "int64", "value": 500 },
                { "key": "ratio", "type": "float64", "value": 0.5 },
                { "key": "otel.scope.name", "type": "string", "value": "shop" },
                { "key": "span.kind", "type": "string", "value": "server" },
                { "key": "otel.status_code", "type": "string", "value": "ERROR" },
                { "key": "otel.status_description", "type": "string", "value": "no stock" },
                { "key": "error", "type": "bool", "value": true },
            ],
            "logs": [
                { "timestamp": start_us + 30_000, "fields": [{ "key": "event", "type": "string", "value": "retry" }] }
            ],
            "processID": trace["spans"][2]["processID"],
            "warnings": null,
        })
    );
    let process = trace["spans"][2]["processID"].as_str().unwrap();
    assert_eq!(
        trace["processes"][process],
        json!({ "serviceName": "order", "tags": [{ "key": "k8s.pod.name", "type": "string", "value": "order-0" }] })
    );
}

#[tokio::test]
async fn answers_are_what_grafana_asks_for() {
    let traces = traces();
    let end = START_MS + 1_000;
    let start_us = START_NS / 1_000;
    let found = |path: String, data: Json| (path, 200, data);
    let cases = [
        found("/api/services".into(), json!(["gateway", "order"])),
        found("/api/services/gateway/operations".into(), json!(["GET /", "POST"])),
        found("/api/services/nobody/operations".into(), json!([])),
        found("/api/operations?service=order".into(), json!([{ "name": "POST /orders", "spanKind": "server" }])),
        found(
            "/api/operations?service=gateway&spanKind=client".into(),
            json!([{ "name": "POST", "spanKind": "client" }]),
        ),
        found(
            format!("/api/dependencies?endTs={end}&lookback=60000"),
            json!([{ "parent": "gateway", "child": "order", "callCount": 1 }]),
        ),
        found("/api/dependencies?endTs=1000&lookback=500".into(), json!([])),
        found(format!("/api/traces?service=order&start={}", start_us + 50_000), json!([])),
        found("/api/traces?service=order&minDuration=1s".into(), json!([])),
        found("/api/traces?traceID=def".into(), json!([])),
    ];
    for (path, status, data) in cases {
        let (found_status, body) = get(&traces, &path).await;
        assert_eq!((found_status, &body["data"]), (status, &data), "{path}");
    }
}

#[tokio::test]
async fn searches_find_the_trace() {
    let traces = traces();
    let start_us = START_NS / 1_000;
    for query in [
        "service=order".to_owned(),
        "service=order&operation=POST%20%2Forders&limit=20&lookback=1h".to_owned(),
        "service=order&tags=%7B%22error%22%3A%22true%22%7D".to_owned(),
        "service=order&tag=http.response.status_code:500&tag=k8s.pod.name:order-0".to_owned(),
        "service=gateway&minDuration=100ms&maxDuration=0.1s".to_owned(),
        format!("service=gateway&start={start_us}&end={start_us}"),
        "traceID=abc".to_owned(),
        "traceID=00000000000000000000000000000ABC".to_owned(),
    ] {
        let (status, body) = get(&traces, &format!("/api/traces?{query}")).await;
        assert_eq!((status, &body["total"]), (200, &json!(1)), "{query}");
        assert_eq!(body["data"][0]["spans"].as_array().map(Vec::len), Some(3), "{query}");
    }
}

#[tokio::test]
async fn errors_say_what_is_wrong() {
    for (path, status, message) in [
        ("/api/traces/1", 404, "trace not found"),
        ("/api/traces/xyz", 400, "parameter 'traceID': \"xyz\" is not 1 to 32 hexadecimal digits"),
        ("/api/traces", 400, "parameter 'service' is required"),
        ("/api/operations", 400, "parameter 'service' is required"),
        ("/api/dependencies?endTs=now", 400, "parameter 'endTs': \"now\" is not a whole number"),
    ] {
        let (found_status, body) = get(&traces(), path).await;
        assert_eq!(found_status, status, "{path}");
        assert_eq!(body["errors"], json!([{ "code": status, "msg": message }]), "{path}");
        assert_eq!((&body["data"], &body["total"]), (&Json::Null, &json!(0)), "{path}");
    }
}
