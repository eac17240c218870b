//! OTLP over gRPC: tonic's server in front of a `SpanSink` and a `MetricSink`.

mod traces;

use std::sync::Arc;
use std::time::Duration;

use lifecycle::CancellationToken;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use prost::Message;
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use self::traces::TraceReceiver;
use super::admission::Refused;
use super::http::METRICS_OFF;
use super::metrics::MetricSink;
use super::status::RpcStatus;
use super::{REQUEST_BYTES_MAX, RETRY_AFTER};
use crate::traces::SpanSink;

/// Requests at once on one connection; exporters send one or a few.
const STREAMS_MAX: u32 = 16;

/// What a client may send before it hears from us: a batch at once on a stream, some of them on a connection. What is under way at
/// all is bounded by admission.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// A client that does not answer a ping for so long is gone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why the gRPC server ended.
#[derive(Debug, thiserror::Error)]
#[error("the OTLP gRPC server ended: {0}")]
pub struct ServeGrpcError(#[from] tonic::transport::Error);

struct MetricReceiver(Option<Arc<MetricSink>>);

#[tonic::async_trait]
impl MetricsService for MetricReceiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let Some(sink) = self.0.clone() else { return Err(Status::unimplemented(METRICS_OFF.trim_end())) };
        // The extensions hold this request's `Admitted` until it is done.
        let (_metadata, _admitted, message) = request.into_parts();
        // Writing may wait for the disk.
        let storing = tokio::task::spawn_blocking(move || sink.receive(message));
        let stored = storing.await.map_err(|stopped| Status::unavailable(stopped.to_string()))?;
        stored.map(Response::new).map_err(|failed| Status::unavailable(failed.to_string()))
    }
}

fn busy() -> Status {
    let message = "too many requests are in flight";
    let details = RpcStatus::retry_after(message, RETRY_AFTER).encode_to_vec();
    Status::with_details(tonic::Code::ResourceExhausted, message, details.into())
}

/// Serves OTLP's services for traces and metrics until shutdown.
///
/// # Errors
/// If the server fails as a whole; a failing connection only ends itself.
pub async fn serve_grpc(
    listener: TcpListener,
    sink: Arc<SpanSink>,
    metrics: Option<Arc<MetricSink>>,
    shutdown: CancellationToken,
) -> Result<(), ServeGrpcError> {
    let admission = Arc::clone(sink.admission());
    // Runs before the message is read, so that a refused one takes no memory.
    let admit = move |mut request: Request<()>| {
        let Some(admitted) = admission.admit() else {
            admission.refuse(Refused::Busy);
            return Err(busy());
        };
        request.extensions_mut().insert(Arc::new(admitted));
        Ok(request)
    };
    let metrics = MetricsServiceServer::new(MetricReceiver(metrics))
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_TIMEOUT))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(TraceReceiver(sink))
        .add_service(InterceptedService::new(metrics, admit))
        .serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned())
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
