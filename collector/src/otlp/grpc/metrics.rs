//! The metrics service of OTLP over gRPC. Says how to get one where metrics are not taken in.

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::SERVICE_NAME;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use prost::Message;
use tonic::Status;

use super::unary::Export;
use crate::otlp::admission::{Admission, Admitted};
use crate::otlp::http::METRICS_OFF;
use crate::otlp::metrics::MetricSink;

/// Takes metrics, if they may come in.
#[derive(Clone)]
pub(super) struct MetricReceiver(pub Option<Arc<MetricSink>>);

impl MetricReceiver {
    fn sink(&self) -> Result<&Arc<MetricSink>, Status> {
        self.0.as_ref().ok_or_else(|| Status::unimplemented(METRICS_OFF.trim_end()))
    }
}

impl Export for MetricReceiver {
    const NAME: &'static str = SERVICE_NAME;
    const PATH: &'static str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    type Answer = ExportMetricsServiceResponse;

    fn admission(&self) -> Result<&Arc<Admission>, Status> {
        Ok(self.sink()?.admission())
    }

    /// On a thread of its own: writing may wait for the disk.
    async fn take(self, message: Bytes, admitted: Arc<Admitted>) -> Result<ExportMetricsServiceResponse, Status> {
        let sink = Arc::clone(self.sink()?);
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
}
