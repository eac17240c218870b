//! The metrics service of OTLP over gRPC. Says how to get one where metrics are not taken in.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::SERVICE_NAME;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::server::NamedService;
use tower::Service;

use super::unary;
use crate::otlp::admission::Admitted;
use crate::otlp::http::METRICS_OFF;
use crate::otlp::metrics::MetricSink;

/// The service's only method.
const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// Takes metrics, if they may come in.
#[derive(Clone)]
pub(super) struct MetricReceiver(pub Option<Arc<MetricSink>>);

impl NamedService for MetricReceiver {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<Request<Body>> for MetricReceiver {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let sink = self.0.clone();
        Box::pin(async move {
            if request.uri().path() != EXPORT {
                return Ok(Status::unimplemented("this service only exports").into_http());
            }
            let Some(sink) = sink else { return Ok(Status::unimplemented(METRICS_OFF.trim_end()).into_http()) };
            let taking = |message, admitted| take(Arc::clone(&sink), message, admitted);
            Ok(unary::serve(sink.admission(), request, taking).await)
        })
    }
}

/// Stores a message, on a thread of its own: writing may wait for the disk.
async fn take(
    sink: Arc<MetricSink>,
    message: Bytes,
    admitted: Arc<Admitted>,
) -> Result<ExportMetricsServiceResponse, Status> {
    let storing = tokio::task::spawn_blocking(move || {
        let request = ExportMetricsServiceRequest::decode(message);
        let request = request.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let stored = sink.receive(request).map_err(|failed| Status::unavailable(failed.to_string()));
        // Counted until here: a thread goes on when its client has broken off.
        drop(admitted);
        stored
    });
    storing.await.map_err(|stopped| Status::unavailable(stopped.to_string()))?
}
