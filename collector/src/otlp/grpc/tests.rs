//! Claims about OTLP over gRPC, with a real client.

use std::path::Path;

use lifecycle::{Clock, ManualClock};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;

use super::*;
use crate::config::Config;
use crate::otlp::REQUEST_BYTES_MAX;
use crate::otlp::admission::{Admission, BYTES_INFLIGHT_MAX, REQUESTS_INFLIGHT_MAX};
use crate::remote::receiver::Writer;
use crate::scrape::ScrapeReport;
use crate::store::{Store, StoreOptions};
use crate::traces::{Limits, Traces};

struct Served {
    traces: Arc<Traces>,
    address: String,
    client: TraceServiceClient<Channel>,
    shutdown: CancellationToken,
    server: JoinSet<Result<(), ServeGrpcError>>,
}

async fn serve() -> Served {
    serve_with(|_| None).await
}

async fn serve_with(metrics: impl FnOnce(&Arc<Admission>) -> Option<Arc<MetricSink>>) -> Served {
    let traces = Traces::new(Limits::default(), Arc::new(ManualClock::at(1_000)));
    let metrics = metrics(traces.sink().admission());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (mut server, shutdown) = (JoinSet::new(), CancellationToken::new());
    server.spawn(serve_grpc(listener, traces.sink(), metrics, shutdown.clone()));
    let client = TraceServiceClient::connect(address.clone()).await.unwrap();
    Served { traces, address, client, shutdown, server }
}

/// Where metrics go into a store in this folder.
fn metric_sink(folder: &Path, admission: &Arc<Admission>) -> Arc<MetricSink> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_000));
    let (store, _) = Store::open(folder, StoreOptions::default(), Arc::clone(&clock)).unwrap();
    let report = Arc::new(ScrapeReport::new(String::new(), 1_000));
    let writer = Arc::new(Writer::new(Arc::new(store), report, clock, 86_400_000));
    let (_, config) = watch::channel(Arc::new(Config::default()));
    Arc::new(MetricSink::new(writer, config, Arc::clone(admission)))
}

/// A metric without points whose description has this many bytes that pack very well.
fn described(bytes: usize) -> ExportMetricsServiceRequest {
    let metrics = vec![Metric { name: "orders".into(), description: "x".repeat(bytes), ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }],
    }
}

#[tokio::test]
async fn what_metrics_take_is_counted_packed_and_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve_with(|admission| Some(metric_sink(folder.path(), admission))).await;
    let mut plain = MetricsServiceClient::connect(served.address.clone()).await.unwrap();
    let mut packed = plain.clone().send_compressed(CompressionEncoding::Gzip);
    let sink = served.traces.sink();
    let others = sink.admission().admit().unwrap();
    assert!(others.grow(BYTES_INFLIGHT_MAX - 4_096));
    plain.export(described(1)).await.unwrap();
    for (client, way) in [(&mut plain, "plain"), (&mut packed, "packed")] {
        let refused = client.export(described(8_192)).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{way}: {refused}");
        let details = RpcStatus::decode(refused.details()).unwrap();
        assert!(details.details[0].type_url.ends_with("google.rpc.RetryInfo"), "{way}");
    }
    assert_eq!(refusals(&served.traces, "busy"), "2");
    drop(others);
    packed.export(described(8_192)).await.unwrap();
    // What was taken has been given back.
    assert!(sink.admission().admit().unwrap().grow(BYTES_INFLIGHT_MAX));
}

#[tokio::test]
async fn where_no_metrics_are_taken_in_it_is_said_how_to() {
    let served = serve().await;
    let mut client = MetricsServiceClient::connect(served.address.clone()).await.unwrap();
    let refused = client.export(described(1)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unimplemented);
    assert!(refused.message().contains("--receive-metrics"), "{refused}");
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
