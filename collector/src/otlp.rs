//! Takes in traces and metrics over OTLP: gRPC and HTTP, protobuf and JSON.
//! Decides nothing about spans: it checks, decodes and hands them to a `SpanSink`; metrics go to a `MetricSink`.

pub mod admission;
mod convert;
mod grpc;
mod http;
pub mod metrics;
mod status;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};

use crate::traces::SpanSink;
use crate::traces::interner::Interner;
use crate::traces::span::{Span, TraceId};
use crate::wire::Malformed;

pub use self::grpc::{ServeGrpcError, serve_grpc};
pub use self::http::{http_routes, prometheus_routes};

/// The largest request, also after decompression: what OTLP's specification recommends.
pub const REQUEST_BYTES_MAX: usize = 64 << 20;

/// Bodies from this length on are decoded on a thread of their own, so that other requests do not wait.
const BLOCKING_BYTES_MIN: usize = 256 << 10;

/// When a client that was refused for pressure should come back: a batch is decoded in far less.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Hands the spans of a request, as protobuf, to the sink, and says which ones it would not take.
fn receive(sink: &SpanSink, request: &[u8]) -> Result<ExportTraceServiceResponse, Malformed> {
    let converted = convert::convert(request, &mut sink.interner())?;
    let invalid = converted.invalid;
    sink.log(request);
    sink.count_cut(converted.cut);
    sink.accept(converted.spans, invalid);
    let partial_success = (invalid > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(invalid).unwrap_or(i64::MAX),
        error_message: format!("{invalid} spans have a trace id that is not 16 bytes or a span id that is not 8"),
    });
    Ok(ExportTraceServiceResponse { partial_success })
}

/// The spans of a request that was received before.
pub(crate) fn spans_of(request: &[u8], interner: &mut Interner) -> Vec<(TraceId, Arc<Span>)> {
    match convert::convert(request, interner) {
        Ok(converted) => converted.spans,
        Err(error) => {
            tracing::warn!(%error, "a request that was received before cannot be read; it is left out");
            Vec::new()
        }
    }
}
