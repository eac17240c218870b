//! Claims about OTLP over gRPC, with a real client.

use lifecycle::ManualClock;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::*;
use crate::otlp::admission::REQUESTS_INFLIGHT_MAX;
use crate::traces::{Limits, Traces};

struct Served {
    traces: Arc<Traces>,
    client: TraceServiceClient<Channel>,
    shutdown: CancellationToken,
    server: JoinSet<Result<(), ServeGrpcError>>,
}

async fn serve() -> Served {
    let traces = Traces::new(Limits::default(), Arc::new(ManualClock::at(1_000)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (mut server, shutdown) = (JoinSet::new(), CancellationToken::new());
    server.spawn(serve_grpc(listener, traces.sink(), None, shutdown.clone()));
    let client = TraceServiceClient::connect(format!("http://{address}")).await.unwrap();
    Served { traces, client, shutdown, server }
}

fn request(span_ids: &[Vec<u8>]) -> ExportTraceServiceRequest {
    let spans =
        span_ids.iter().map(|span_id| Span { trace_id: vec![1; 16], span_id: span_id.clone(), ..Span::default() });
    let scope_spans = vec![ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

#[tokio::test]
async fn spans_arrive_plain_and_packed() {
    let mut served = serve().await;
    let answer = served.client.export(request(&[vec![1; 8]])).await.unwrap();
    assert_eq!(answer.into_inner().partial_success, None);
    let mut packed = served.client.clone().send_compressed(CompressionEncoding::Gzip);
    let answer = packed.export(request(&[vec![2; 8], vec![3; 4]])).await.unwrap();
    assert_eq!(answer.into_inner().partial_success.map(|partial| partial.rejected_spans), Some(1));
    assert_eq!(served.traces.stats().spans_stored, 2);
}

#[tokio::test]
async fn a_busy_collector_says_when_to_come_back() {
    let mut served = serve().await;
    let sink = served.traces.sink();
    let held: Vec<_> = (0..REQUESTS_INFLIGHT_MAX).filter_map(|_| sink.admission().admit()).collect();
    let refused = served.client.export(request(&[vec![1; 8]])).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    let details = RpcStatus::decode(refused.details()).unwrap();
    assert!(details.details[0].type_url.ends_with("google.rpc.RetryInfo"));
    drop(held);
    // As many again as may be in flight: each one leaves when it is done.
    for _ in 0..=REQUESTS_INFLIGHT_MAX {
        served.client.export(request(&[vec![1; 8]])).await.unwrap();
    }
}

/// A span with this many bytes that pack very well.
fn large(bytes: usize) -> ExportTraceServiceRequest {
    let mut request = request(&[vec![1; 8]]);
    request.resource_spans[0].scope_spans[0].spans[0].name = "x".repeat(bytes);
    request
}

fn refusals(traces: &Traces, reason: &str) -> String {
    let metrics = lifecycle::metrics::Metrics::default();
    traces.register(&metrics);
    let text = metrics.encode().unwrap();
    let line = format!("plimsoll_collector_otlp_requests_refused_total{{reason=\"{reason}\"}} ");
    text.lines().find_map(|found| found.strip_prefix(&line)).unwrap().to_owned()
}

#[tokio::test]
async fn what_is_too_large_is_refused_packed_or_not_and_nothing_else_is_disturbed() {
    let mut served = serve().await;
    let mut packed = served.client.clone().send_compressed(CompressionEncoding::Gzip);
    let refused = packed.export(large(REQUEST_BYTES_MAX)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "a bomb: {refused}");
    let refused = served.client.export(large(100 << 20)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange, "{refused}");
    assert_eq!(refusals(&served.traces, "too_large"), "2");
    served.client.export(request(&[vec![1; 8]])).await.unwrap();
    assert_eq!(served.traces.stats().spans_stored, 1);
}

#[tokio::test]
async fn ends_when_asked() {
    let mut served = serve().await;
    served.shutdown.cancel();
    drop(served.client);
    let ended = tokio::time::timeout(Duration::from_secs(5), served.server.join_next()).await;
    assert!(matches!(ended, Ok(Some(Ok(Ok(()))))), "{ended:?}");
}
