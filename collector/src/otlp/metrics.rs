//! Metrics in: OpenTelemetry's, translated as Prometheus 3.5 does, and stored as samples. Blocks while the store writes. What is not
//! stored is said in `partial_success`, and counted by reason. Start at `MetricSink`.

mod attributes;
mod exponential;
mod names;
mod translate;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use tokio::sync::watch;

use self::translate::{Reason, Row, translate};
use super::admission::Admission;
use crate::config::Config;
use crate::remote::decode::{Series, WireExemplar};
use crate::remote::receiver::{Failed, Writer};

/// Takes metrics in.
pub struct MetricSink {
    writer: Arc<Writer>,
    configs: watch::Receiver<Arc<Config>>,
    admission: Arc<Admission>,
    /// Data points translated.
    points: AtomicU64,
    /// Data points that were not, by `Reason::ALL`.
    rejected: [AtomicU64; Reason::ALL.len()],
}

impl MetricSink {
    /// Stores what comes in, translated as the newest configuration says.
    pub fn new(writer: Arc<Writer>, configs: watch::Receiver<Arc<Config>>, admission: Arc<Admission>) -> Self {
        Self { writer, configs, admission, points: AtomicU64::new(0), rejected: Default::default() }
    }

    /// What bounds requests in flight.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    /// Data points translated since the start.
    pub fn points(&self) -> u64 {
        self.points.load(Ordering::Relaxed)
    }

    /// Data points that were not taken, by reason: first those that could not be translated, then what the store did not take.
    pub fn rejected(&self) -> Vec<(&'static str, u64)> {
        let translated = Reason::ALL.iter().zip(&self.rejected);
        let translated = translated.map(|(reason, count)| (reason.name(), count.load(Ordering::Relaxed)));
        translated.chain(self.writer.counts.refused()).collect()
    }

    /// Stores a request's metrics, and says which it would not take.
    ///
    /// # Errors
    /// If the store failed: the request should be sent again.
    pub fn receive(&self, request: ExportMetricsServiceRequest) -> Result<ExportMetricsServiceResponse, Failed> {
        let options = self.configs.borrow().otlp.clone();
        let translated = translate(&request, &options);
        drop(request);
        self.points.fetch_add(translated.points as u64, Ordering::Relaxed);
        for (counter, count) in self.rejected.iter().zip(translated.rejected) {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
        let outcome = self.writer.write_series(|take| {
            for row in &translated.rows {
                take(&mut series(row));
            }
        })?;
        for (metric, metadata) in &translated.metadata {
            self.writer.note(metric, metadata);
        }
        // The store counts samples, of which a histogram has several: no more are said to be lost than were sent.
        let refused = outcome.rejected_count().min(translated.points);
        let rejected = translated.rejected_count() + refused;
        let problems: Vec<String> = [translated.problem(), outcome.problem()].into_iter().flatten().collect();
        let partial_success = (!problems.is_empty()).then(|| ExportMetricsPartialSuccess {
            rejected_data_points: i64::try_from(rejected).unwrap_or(i64::MAX),
            error_message: problems.join("; "),
        });
        Ok(ExportMetricsServiceResponse { partial_success })
    }
}

fn series(row: &Row) -> Series<'_> {
    Series {
        labels: borrowed(&row.labels),
        samples: row.samples.clone(),
        histograms: row.histograms.iter().cloned().map(Ok).collect(),
        exemplars: (row.exemplars.iter())
            .map(|exemplar| WireExemplar {
                labels: borrowed(&exemplar.labels),
                value: exemplar.value,
                timestamp_ms: exemplar.timestamp_ms,
            })
            .collect(),
        metadata: None,
    }
}

fn borrowed(labels: &attributes::LabelMap) -> Vec<(&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
