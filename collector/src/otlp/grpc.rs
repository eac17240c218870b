//! OTLP over gRPC: tonic's server in front of a `SpanSink` and a `MetricSink`.

mod metrics;
mod traces;
mod unary;

use std::sync::Arc;
use std::time::Duration;

use lifecycle::CancellationToken;
use prost::Message;
use tokio::net::TcpListener;
use tonic::Status;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use self::metrics::MetricReceiver;
use self::traces::TraceReceiver;
use self::unary::Unary;
use super::RETRY_AFTER;
use super::metrics::MetricSink;
use super::status::RpcStatus;
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
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_TIMEOUT))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(Unary(TraceReceiver(sink)))
        .add_service(Unary(MetricReceiver(metrics)))
        .serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned())
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
