//! Spans: started by the OpenTelemetry SDK, queued, and exported in batches as OTLP over HTTP by one task. The queue is
//! bounded and never waited for: with the collector away spans are dropped and counted, and requests notice nothing.

use std::convert::Infallible;
use std::fmt;
use std::time::{Duration, SystemTime};

use lifecycle::CancellationToken;
use lifecycle::metrics::Metrics;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::config::Config;
use super::faults::Faults;

/// Spans waiting for export; the SDK's own default (`OTEL_BSP_MAX_QUEUE_SIZE`).
const QUEUE_MAX: usize = 2_048;
/// Spans in one export; the SDK's own default (`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`).
const BATCH_MAX: usize = 512;
/// A trace is to be seen while it is news: a second, not the SDK's five.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// One export. Meanwhile the queue holds what comes.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
/// What is left at shutdown gets this long in all.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

type Dropped = Family<Reason, Counter>;

/// The SDK's end of the queue.
struct Queue {
    faults: Faults,
    spans: mpsc::Sender<SpanData>,
    dropped: Dropped,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, mut span: SpanData) {
        // A replica whose clock is wrong has it wrong in its spans too.
        let skew_ms = self.faults.skew_ms();
        if skew_ms != 0 {
            span.start_time = shifted(span.start_time, skew_ms);
            span.end_time = shifted(span.end_time, skew_ms);
        }
        if self.spans.try_send(span).is_err() {
            self.dropped.get_or_create(&Reason { reason: "queue_full" }).inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The task that exports.
#[derive(Debug)]
pub(super) struct Exporting {
    spans: mpsc::Receiver<SpanData>,
    exporter: SpanExporter,
    dropped: Dropped,
    exported: Counter,
    config: Config,
    faults: Faults,
    /// As the exporter says it.
    version: String,
}

/// A moment as a wrong clock has it; the right one where there is no such moment.
fn shifted(time: SystemTime, skew_ms: i64) -> SystemTime {
    let skew = Duration::from_millis(skew_ms.unsigned_abs());
    let moved = if skew_ms < 0 { time.checked_sub(skew) } else { time.checked_add(skew) };
    moved.unwrap_or(time)
}

/// Who sends the spans.
fn resource(config: &Config, version: &str) -> Resource {
    let attributes = [
        KeyValue::new("service.name", config.otel_name.clone()),
        KeyValue::new("service.namespace", config.pod.namespace.clone()),
        KeyValue::new("service.instance.id", config.pod.name.clone()),
        KeyValue::new("service.version", version.to_owned()),
        KeyValue::new("k8s.pod.name", config.pod.name.clone()),
        KeyValue::new("k8s.namespace.name", config.pod.namespace.clone()),
    ];
    Resource::builder_empty().with_attributes(attributes).build()
}

/// A tracer that samples everything, and what exports its spans if there is somewhere to export them to.
pub(super) fn start(
    config: &Config,
    metrics: &Metrics,
    faults: &Faults,
) -> Result<(SdkTracer, Option<Exporting>), ExporterBuildError> {
    let version = faults.version();
    let resource = resource(config, &version);
    let builder = SdkTracerProvider::builder().with_resource(resource.clone());
    let Some(endpoint) = &config.otlp_endpoint else {
        return Ok((builder.build().tracer("demo-services"), None));
    };
    let (sender, spans) = mpsc::channel(QUEUE_MAX);
    let (dropped, exported) = (Dropped::default(), Counter::default());
    metrics.register(|registry| {
        registry.register("otel_spans_dropped", "Spans that were not exported, by reason", dropped.clone());
        registry.register("otel_spans_exported", "Spans exported", exported.clone());
    });
    let client = reqwest::Client::builder().timeout(EXPORT_TIMEOUT).no_gzip().no_proxy().build();
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client.expect("a client without TLS and proxies has nothing to fail on"))
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/')))
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    exporter.set_resource(&resource);
    let queue = Queue { faults: faults.clone(), spans: sender, dropped: dropped.clone() };
    let tracer = builder.with_span_processor(queue).build();
    let (config, faults) = (config.clone(), faults.clone());
    let exporting = Exporting { spans, exporter, dropped, exported, config, faults, version };
    Ok((tracer.tracer("demo-services"), Some(exporting)))
}

impl Exporting {
    /// Exports until `stop`, then what is left.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut due = Instant::now() + BATCH_DELAY;
        loop {
            let room = BATCH_MAX - batch.len();
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(due) => {}
                received = self.spans.recv_many(&mut batch, room), if room > 0 => {
                    if received == 0 {
                        break;
                    }
                    if batch.len() < BATCH_MAX {
                        continue;
                    }
                }
            }
            self.follow_version();
            self.export(&mut batch, EXPORT_TIMEOUT).await;
            due = Instant::now() + BATCH_DELAY;
        }
        self.flush(batch).await;
        Ok(())
    }

    /// What is exported from now on is of the version that the replica says it is.
    fn follow_version(&mut self) {
        let version = self.faults.version();
        if version != self.version {
            self.exporter.set_resource(&resource(&self.config, &version));
            self.version = version;
        }
    }

    async fn flush(&mut self, mut batch: Vec<SpanData>) {
        let end = Instant::now() + FLUSH_TIMEOUT;
        self.spans.close();
        loop {
            self.export(&mut batch, end.saturating_duration_since(Instant::now())).await;
            if self.spans.recv_many(&mut batch, BATCH_MAX).await == 0 {
                return;
            }
        }
    }

    async fn export(&self, batch: &mut Vec<SpanData>, allowed: Duration) {
        if batch.is_empty() {
            return;
        }
        let spans = std::mem::replace(batch, Vec::with_capacity(BATCH_MAX));
        let count = u64::try_from(spans.len()).unwrap_or(u64::MAX);
        match timeout(allowed, self.exporter.export(spans)).await {
            Ok(Ok(())) => {
                self.exported.inc_by(count);
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "spans could not be exported");
                self.dropped.get_or_create(&Reason { reason: "export_failed" }).inc_by(count);
            }
            Err(_) => {
                self.dropped.get_or_create(&Reason { reason: "export_timed_out" }).inc_by(count);
            }
        }
    }
}
