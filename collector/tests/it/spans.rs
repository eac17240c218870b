//! Spans into a running collector over both protocols; traces, series and graph out of it.

use std::time::Duration;

use lifecycle::{Clock, SystemClock};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use protocol::graph::GraphClient;
use protocol::http_client::CallError;
use protocol::jaeger::{JaegerClient, TraceSearch};
use tokio::task::JoinSet;

use super::running::Running;

const REQUESTS: u8 = 10;

fn batch(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let name = AnyValue { value: Some(Value::StringValue(service.to_owned())) };
    let attributes = vec![KeyValue { key: "service.name".into(), value: Some(name), ..KeyValue::default() }];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource, scope_spans, ..Default::default() }] }
}

/// Twenty seconds ago, so that the graph, which waits for late spans, has it at once.
fn span(trace: u8, id: u8, parent: u8, kind: SpanKind) -> Span {
    let start_ms = SystemClock.now_ms().unsigned_abs() - 20_000;
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { vec![] } else { vec![parent; 8] },
        name: "POST /orders".into(),
        kind: kind.into(),
        start_time_unix_nano: start_ms * 1_000_000,
        end_time_unix_nano: (start_ms + 40) * 1_000_000,
        ..Span::default()
    }
}

async fn send(running: &Running) {
    let grpc = TraceServiceClient::connect(format!("http://{}", running.endpoints.otlp_grpc)).await;
    let mut grpc = grpc.expect("the collector listens");
    for trace in 1..=REQUESTS {
        let failed = Some(Status { code: if trace <= 2 { 2 } else { 0 }, ..Status::default() });
        // The server's spans come first, and by the other protocol.
        let server = Span { status: failed.clone(), ..span(trace, 3, 2, SpanKind::Server) };
        grpc.export(batch("order", vec![server])).await.expect("the collector takes spans");
        let spans = vec![
            Span { status: failed.clone(), ..span(trace, 2, 1, SpanKind::Client) },
            Span { status: failed, ..span(trace, 1, 0, SpanKind::Server) },
        ];
        let answer = reqwest::Client::new()
            .post(format!("http://{}/v1/traces", running.endpoints.otlp_http))
            .header("content-type", "application/x-protobuf")
            .body(batch("gateway", spans).encode_to_vec());
        let answer = answer.send().await.expect("the collector answers");
        assert!(answer.status().is_success());
    }
}

#[tokio::test]
async fn spans_become_traces_series_and_a_graph() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let running = Running::start(&mut tasks, folder.path(), "scrape_configs: []\n").await;
    send(&running).await;
    let stats = running.stats.stats();
    assert_eq!((stats.spans, stats.traces), (30, u64::from(REQUESTS)));

    let base = || format!("http://{}", running.endpoints.http).parse().unwrap();
    let jaeger = JaegerClient::new(base());
    assert_eq!(jaeger.services().await.unwrap(), ["gateway", "order"]);
    let tags = [("error".to_owned(), "true".to_owned())].into();
    let failing =
        jaeger.search(&TraceSearch { service: "order".into(), tags, ..TraceSearch::default() }).await.unwrap();
    assert_eq!(failing.len(), 2);
    let trace = jaeger.trace(&failing[0].trace_id).await.unwrap().unwrap();
    assert_eq!(trace.spans.len(), 3);
    let unknown = jaeger.trace("abc").await.unwrap_err();
    assert!(matches!(unknown, CallError::Refused { status: 404, .. }), "{unknown}");

    let graph = GraphClient::new(base()).graph(60).await.unwrap();
    let edges: Vec<_> = graph.edges.iter().map(|e| (e.client.as_str(), e.server.as_str(), e.red.error_ratio)).collect();
    assert_eq!(edges, [("gateway", "order", 0.2)]);

    let edge = r#"{client="gateway", server="order"}"#;
    running.becomes(&format!("traces_service_graph_request_total{edge}"), f64::from(REQUESTS)).await;
    running.becomes(&format!("traces_service_graph_request_failed_total{edge}"), 2.0).await;
    running.becomes(r#"sum(traces_spanmetrics_calls_total{service="order"})"#, f64::from(REQUESTS)).await;
    running.becomes(r#"count(traces_spanmetrics_latency_bucket{service="order", le="+Inf"})"#, 2.0).await;
    running.stop();
    let ended = tokio::time::timeout(Duration::from_secs(15), tasks.join_next()).await;
    assert!(matches!(ended, Ok(Some(Ok(())))), "{ended:?}");
}
