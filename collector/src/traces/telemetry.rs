//! The collector's own metrics about spans: what arrived, what was dropped and why, what is kept.

use lifecycle::metrics::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Why a span was dropped; the label `reason`.
#[derive(Debug, Clone, Copy)]
pub enum Reason {
    /// Its trace id or span id is none.
    InvalidId,
    /// It arrived before.
    Duplicate,
    /// Its trace is as large as a trace may be.
    TraceFull,
    /// The sample did not fall on its trace: it is not written to disk.
    SampledOut,
    /// The same, and it came after that was decided.
    SampledOutLate,
    /// Its trace was to be kept, and the disk could not take it in time.
    DiskBehind,
}

impl Reason {
    fn label(self) -> &'static str {
        match self {
            Self::InvalidId => "invalid_id",
            Self::Duplicate => "duplicate",
            Self::TraceFull => "trace_full",
            Self::SampledOut => "sampled_out",
            Self::SampledOutLate => "sampled_out_late",
            Self::DiskBehind => "disk_behind",
        }
    }
}

/// The metrics.
#[derive(Debug, Default)]
pub struct Telemetry {
    received: Counter,
    dropped: Family<[(&'static str, &'static str); 1], Counter>,
    dropped_sum: Counter,
    evicted: Counter,
    unlearnt: Counter,
    cut: Counter,
    spans: Gauge,
    traces: Gauge,
    bytes: Gauge,
}

impl Telemetry {
    /// Registers them.
    pub fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            let spans = registry.sub_registry_with_prefix("plimsoll_collector_spans");
            spans.register("received", "Spans that arrived over OTLP", self.received.clone());
            spans.register("dropped", "Spans refused, or not written to disk, by reason", self.dropped.clone());
            spans.register("evicted", "Spans that made room for newer ones", self.evicted.clone());
            spans.register("unlearnt", "Observations that found no room in a series or window", self.unlearnt.clone());
            spans.register("cut", "Spans of which something was left out, as they were too large", self.cut.clone());
            spans.register("stored", "Spans in memory", self.spans.clone());
            spans.register("stored_bytes", "Estimated bytes of the spans in memory", self.bytes.clone());
            registry.register("plimsoll_collector_traces_stored", "Traces in memory", self.traces.clone());
        });
    }

    /// Counts spans that arrived.
    pub fn received(&self, spans: u64) {
        self.received.inc_by(spans);
    }

    /// Counts dropped spans.
    pub fn dropped(&self, reason: Reason, spans: u64) {
        if spans > 0 {
            self.dropped.get_or_create(&[("reason", reason.label())]).inc_by(spans);
            self.dropped_sum.inc_by(spans);
        }
    }

    /// Says how many spans were dropped so far: by the sample, and because the disk was behind.
    pub fn lost(&self, (sampled_out, behind): (u64, u64)) {
        for (reason, spans) in [(Reason::SampledOut, sampled_out), (Reason::DiskBehind, behind)] {
            let known = self.dropped.get_or_create(&[("reason", reason.label())]).get();
            self.dropped(reason, spans.saturating_sub(known));
        }
    }

    /// Counts spans of which something was left out.
    pub fn cut(&self, spans: u64) {
        self.cut.inc_by(spans);
    }

    /// Says what is kept now, and how many spans made room so far.
    pub fn stored(&self, spans: usize, traces: usize, bytes: usize, evicted: u64) {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.spans.set(gauge(spans));
        self.traces.set(gauge(traces));
        self.bytes.set(gauge(bytes));
        self.evicted.inc_by(evicted.saturating_sub(self.evicted.get()));
    }

    /// Says how many observations found no room so far.
    pub fn unlearnt(&self, observations: u64) {
        self.unlearnt.inc_by(observations.saturating_sub(self.unlearnt.get()));
    }

    /// The counts, in short.
    pub fn stats(&self) -> super::TraceStats {
        let count = |gauge: &Gauge| u64::try_from(gauge.get()).unwrap_or(0);
        super::TraceStats {
            spans_received: self.received.get(),
            spans_stored: count(&self.spans),
            spans_dropped: self.dropped_sum.get(),
            traces: count(&self.traces),
        }
    }
}
