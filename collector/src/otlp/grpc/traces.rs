//! The trace service of OTLP over gRPC. Its messages are read as they are, without making structures of them first.

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::SERVICE_NAME;
use tonic::Status;

use super::unary::Export;
use crate::otlp::BLOCKING_BYTES_MIN;
use crate::otlp::admission::{Admission, Admitted};
use crate::traces::SpanSink;

/// Takes traces.
#[derive(Clone)]
pub(super) struct TraceReceiver(pub Arc<SpanSink>);

impl Export for TraceReceiver {
    const NAME: &'static str = SERVICE_NAME;
    const PATH: &'static str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    type Answer = ExportTraceServiceResponse;

    fn admission(&self) -> Result<&Arc<Admission>, Status> {
        Ok(self.0.admission())
    }

    /// On a thread of its own if it is long.
    async fn take(self, message: Bytes, admitted: Arc<Admitted>) -> Result<ExportTraceServiceResponse, Status> {
        let is_long = message.len() >= BLOCKING_BYTES_MIN;
        let taking = move || {
            let taken = crate::otlp::receive(&self.0, &message);
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
}
