//! Takes in traces and metrics over OTLP: gRPC and HTTP, protobuf and JSON.
//! Decides nothing about spans: it checks, decodes and hands them to a `SpanSink`; metrics go to a `MetricSink`.

pub mod admission;
mod convert;
mod grpc;
mod http;
pub mod metrics;
mod status;

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};

use crate::traces::SpanSink;

pub use self::grpc::{ServeGrpcError, serve_grpc};
pub use self::http::{http_routes, prometheus_routes};

/// The largest request, also after decompression: what OTLP's specification recommends.
pub const REQUEST_BYTES_MAX: usize = 64 << 20;

/// When a client that was refused for pressure should come back: a batch is decoded in far less.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Hands a request's spans to the sink and says which ones it would not take.
fn receive(sink: &SpanSink, request: ExportTraceServiceRequest) -> ExportTraceServiceResponse {
    let converted = convert::convert(request, &mut sink.interner());
    let invalid = converted.invalid;
    sink.accept(converted.spans, invalid);
    let partial_success = (invalid > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(invalid).unwrap_or(i64::MAX),
        error_message: format!("{invalid} spans have a trace id that is not 16 bytes or a span id that is not 8"),
    });
    ExportTraceServiceResponse { partial_success }
}
