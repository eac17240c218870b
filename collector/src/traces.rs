//! Keeps recent traces, and learns rate, errors, duration and the service graph from them.
//! Never sees a wire format: `otlp` hands it spans, `Appendable` takes its series. Start at `Traces`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use lifecycle::metrics::Metrics;
use lifecycle::{CancellationToken, Clock};

use crate::series::Appendable;

/// Bounds of what is kept and learnt.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Spans kept.
    pub spans_max: usize,
    /// Estimated bytes of the spans kept.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { spans_max: 500_000, bytes_max: 128 << 20 }
    }
}

/// What became of the spans so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceStats {
    /// Spans that arrived.
    pub spans_received: u64,
    /// Spans in memory now.
    pub spans_stored: u64,
    /// Spans refused, for any reason; spans that made room for newer ones are not among them.
    pub spans_dropped: u64,
    /// Traces in memory now.
    pub traces: u64,
}

/// Recent traces and what was learnt from them.
pub struct Traces {
    sink: Arc<SpanSink>,
}

impl Traces {
    /// Empty.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Arc<Self> {
        let _ = (limits, clock);
        Arc::new(Self { sink: Arc::new(SpanSink {}) })
    }

    /// Where `otlp` puts spans.
    pub fn sink(&self) -> Arc<SpanSink> {
        Arc::clone(&self.sink)
    }

    /// Jaeger's query API below `/api` and `/api/v1/graph`.
    pub fn routes(self: &Arc<Self>) -> Router {
        Router::new()
    }

    /// What became of the spans so far.
    pub fn stats(&self) -> TraceStats {
        TraceStats::default()
    }

    /// Registers `plimsoll_collector_spans_*` and the like.
    pub fn register(&self, metrics: &Metrics) {
        let _ = metrics;
    }

    /// What appends the learnt series.
    pub fn generator(self: &Arc<Self>) -> Generator {
        Generator { traces: Arc::clone(self) }
    }
}

/// Takes spans in.
pub struct SpanSink {}

/// Appends the series learnt from spans.
pub struct Generator {
    traces: Arc<Traces>,
}

impl Generator {
    /// Appends each `interval` until shutdown.
    pub async fn run(
        self,
        appendable: Arc<dyn Appendable>,
        interval: Duration,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Result<(), Infallible> {
        let _ = (&self.traces, appendable, interval, clock);
        shutdown.cancelled().await;
        Ok(())
    }
}
