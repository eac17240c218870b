//! What the shoppers measured: counts and latency by journey, errors by reason, orders they were promised.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram as HdrHistogram;
use lifecycle::metrics::Metrics;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

use super::journey::{JourneyKind, Outcome};
use crate::chassis::DURATION_BUCKETS;

/// Latency is kept in microseconds up to two minutes, far beyond any timeout, to three digits.
const LATENCY_MAX_US: u64 = 120_000_000;
const LATENCY_DIGITS: u8 = 3;
/// Reasons told apart; the rest is counted as "other".
const REASONS_MAX: usize = 50;

/// One journey's counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JourneyStats {
    pub name: String,
    /// Journeys ended.
    pub requests: u64,
    /// Of these, those that failed.
    pub errors: u64,
    /// Milliseconds from the moment the customer came; none before the first journey.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

/// All counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    pub journeys: Vec<JourneyStats>,
    /// Errors by reason.
    pub errors: BTreeMap<String, u64>,
    /// Orders that the shop has accepted: confirmed or pending.
    pub acknowledged_orders: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    journey: &'static str,
    outcome: &'static str,
}

#[derive(Debug)]
struct Counts {
    latency: HdrHistogram<u64>,
    errors: u64,
}

#[derive(Debug)]
struct Book {
    journeys: BTreeMap<JourneyKind, Counts>,
    errors: BTreeMap<String, u64>,
    acknowledged: Vec<String>,
}

/// Takes down what happens.
#[derive(Debug)]
pub(super) struct Recorder {
    book: Mutex<Book>,
    durations: Family<Labels, Histogram, fn() -> Histogram>,
    totals: Family<Labels, Counter>,
    under_way: Gauge,
}

impl Recorder {
    pub fn register(metrics: &Metrics) -> Self {
        let counts = || Counts {
            latency: HdrHistogram::new_with_max(LATENCY_MAX_US, LATENCY_DIGITS)
                .expect("the constants are within the histogram's bounds, which every test of this module runs into"),
            errors: 0,
        };
        let journeys = JourneyKind::SHARES.iter().map(|(kind, _)| (*kind, counts())).collect();
        let recorder = Self {
            book: Mutex::new(Book { journeys, errors: BTreeMap::new(), acknowledged: Vec::new() }),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
            totals: Family::default(),
            under_way: Gauge::default(),
        };
        metrics.register(|registry| {
            let help = "Journeys, from the moment the customer came";
            registry.register("journey_duration_seconds", help, recorder.durations.clone());
            registry.register("journeys", "Journeys ended", recorder.totals.clone());
            registry.register("journeys_under_way", "Journeys under way", recorder.under_way.clone());
        });
        for (kind, _) in JourneyKind::SHARES {
            // A ratio of errors needs both from the start.
            for outcome in ["ok", "error"] {
                drop(recorder.totals.get_or_create(&Labels { journey: kind.name(), outcome }));
            }
        }
        recorder
    }

    /// A customer has come, and came at `intended`.
    pub fn begin(self: &Arc<Self>, kind: JourneyKind, intended: Instant) -> Visit {
        self.under_way.inc();
        Visit { recorder: Arc::clone(self), kind, intended, ended: false }
    }

    pub fn stats(&self) -> Stats {
        let book = self.book.lock();
        let journeys = book.journeys.iter().map(|(kind, counts)| {
            let at = |quantile| {
                (!counts.latency.is_empty()).then(|| counts.latency.value_at_quantile(quantile) as f64 / 1000.0)
            };
            JourneyStats {
                name: kind.name().to_owned(),
                requests: counts.latency.len(),
                errors: counts.errors,
                p50_ms: at(0.5),
                p99_ms: at(0.99),
            }
        });
        Stats {
            journeys: journeys.collect(),
            errors: book.errors.clone(),
            acknowledged_orders: book.acknowledged.clone(),
        }
    }

    fn record(&self, kind: JourneyKind, took: Duration, outcome: Outcome) {
        self.under_way.dec();
        let label = if outcome.result.is_ok() { "ok" } else { "error" };
        let labels = Labels { journey: kind.name(), outcome: label };
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
        self.totals.get_or_create(&labels).inc();
        let mut book = self.book.lock();
        if let Some(counts) = book.journeys.get_mut(&kind) {
            counts.latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            counts.errors += u64::from(outcome.result.is_err());
        }
        if let Err(reason) = outcome.result {
            let known = book.errors.len() < REASONS_MAX || book.errors.contains_key(&reason);
            *book.errors.entry(if known { reason } else { "other".to_owned() }).or_default() += 1;
        }
        book.acknowledged.extend(outcome.acknowledged);
    }
}

/// A journey under way. Dropped before its end, it has failed.
#[derive(Debug)]
pub(super) struct Visit {
    recorder: Arc<Recorder>,
    kind: JourneyKind,
    intended: Instant,
    ended: bool,
}

impl Visit {
    pub fn end(self, result: Result<(), String>) {
        self.end_with(Outcome { result, acknowledged: None });
    }

    pub fn end_with(mut self, outcome: Outcome) {
        self.settle(outcome);
    }

    fn settle(&mut self, outcome: Outcome) {
        if !self.ended {
            self.ended = true;
            self.recorder.record(self.kind, self.intended.elapsed(), outcome);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let result = Err("did not end before the load did".to_owned());
        self.settle(Outcome { result, acknowledged: None });
    }
}
