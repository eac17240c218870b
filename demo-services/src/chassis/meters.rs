//! The metrics every service has, under the OpenTelemetry HTTP conventions' names (ARCHITECTURE.md, "Metric names").

use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use lifecycle::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Seconds. The OpenTelemetry conventions' advice for HTTP, with 2.5 ms added below (this shop answers in few
/// milliseconds) and the in-between steps 75 ms, 750 ms and 7.5 s left out: each bucket is a series to scrape.
pub const DURATION_BUCKETS: [f64; 12] = [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The exemplar's label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TraceLabel {
    pub trace_id: String,
}

/// Labels of a request served.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ServedLabels {
    pub http_route: String,
    pub http_request_method: &'static str,
    pub http_response_status_code: u16,
}

/// Labels of a call made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CalledLabels {
    pub server_address: String,
    /// Empty when there was no answer.
    pub http_response_status_code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabel {
    peer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

type Durations<L> = Family<L, HistogramWithExemplars<TraceLabel>, fn() -> HistogramWithExemplars<TraceLabel>>;

/// The metrics every service has.
#[derive(Debug, Clone)]
pub(super) struct Meters {
    served: Durations<ServedLabels>,
    called: Durations<CalledLabels>,
    breakers: Family<PeerLabel, Gauge>,
    retries: Family<PeerLabel, Counter>,
    shed: Family<ReasonLabel, Counter>,
    pub active: Gauge,
}

impl Meters {
    pub fn register(metrics: &Metrics) -> Self {
        let histogram: fn() -> _ = || HistogramWithExemplars::new(DURATION_BUCKETS.into_iter());
        let meters = Self {
            served: Family::new_with_constructor(histogram),
            called: Family::new_with_constructor(histogram),
            breakers: Family::default(),
            retries: Family::default(),
            shed: Family::default(),
            active: Gauge::default(),
        };
        metrics.register(|registry| {
            let m = &meters;
            registry.register("http_server_request_duration_seconds", "Requests served", m.served.clone());
            registry.register("http_server_active_requests", "Requests under way", m.active.clone());
            registry.register("http_client_request_duration_seconds", "Calls to peers", m.called.clone());
            registry.register("circuit_breaker_state", "0 closed, 1 half-open, 2 open", m.breakers.clone());
            registry.register("http_client_retries", "Calls repeated within the retry budget", m.retries.clone());
            registry.register("http_server_shed_requests", "Requests refused under overload", m.shed.clone());
        });
        meters
    }

    pub fn served(&self, labels: &ServedLabels, took: Duration, trace_id: Option<String>) {
        observe(&self.served.get_or_create(labels), took, trace_id);
    }

    pub fn called(&self, labels: &CalledLabels, took: Duration, trace_id: Option<String>) {
        observe(&self.called.get_or_create(labels), took, trace_id);
    }

    pub fn shed(&self, reason: &'static str) {
        self.shed.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// The gauge with a peer's breaker and the counter of its retries.
    pub fn of_peer(&self, peer: &str) -> (Gauge, Counter<u64, AtomicU64>) {
        let label = PeerLabel { peer: peer.to_owned() };
        (self.breakers.get_or_create_owned(&label), self.retries.get_or_create_owned(&label))
    }
}

fn observe(histogram: &HistogramWithExemplars<TraceLabel>, took: Duration, trace_id: Option<String>) {
    let exemplar = trace_id.map(|trace_id| TraceLabel { trace_id });
    let at = exemplar.is_some().then(SystemTime::now);
    histogram.observe(took.as_secs_f64(), exemplar, at);
}
