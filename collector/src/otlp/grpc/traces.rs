//! The trace service of OTLP over gRPC. Its messages are read as they are, without making structures of them first.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::SERVICE_NAME;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::server::NamedService;
use tower::Service;

use super::unary;
use crate::otlp::BLOCKING_BYTES_MIN;
use crate::otlp::admission::Admitted;
use crate::traces::SpanSink;

/// The service's only method.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Takes traces.
#[derive(Clone)]
pub(super) struct TraceReceiver(pub Arc<SpanSink>);

impl NamedService for TraceReceiver {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<Request<Body>> for TraceReceiver {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let sink = Arc::clone(&self.0);
        Box::pin(async move {
            if request.uri().path() != EXPORT {
                return Ok(Status::unimplemented("this service only exports").into_http());
            }
            let taking = |message, admitted| take(Arc::clone(&sink), message, admitted);
            Ok(unary::serve(sink.admission(), request, taking).await)
        })
    }
}

/// Takes a message, on a thread of its own if it is long.
async fn take(
    sink: Arc<SpanSink>,
    message: Bytes,
    admitted: Arc<Admitted>,
) -> Result<ExportTraceServiceResponse, Status> {
    let is_long = message.len() >= BLOCKING_BYTES_MIN;
    let taking = move || {
        let taken = crate::otlp::receive(&sink, &message);
        // Counted until here: a thread goes on when its client has broken off.
        drop(admitted);
        taken
    };
    let taken = if is_long {
        tokio::task::spawn_blocking(taking).await.map_err(|stopped| Status::unavailable(stopped.to_string()))?
    } else {
        taking()
    };
    taken.map_err(|error| Status::invalid_argument(error.to_string()))
}
