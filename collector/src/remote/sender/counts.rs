//! What a sender counts, under Prometheus' names, so that dashboards and alerts made for Prometheus go on working.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::batch::Tally;
use super::queue::Kind;

pub fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// One counter a kind.
#[derive(Debug, Default)]
pub struct PerKind {
    samples: AtomicU64,
    histograms: AtomicU64,
    exemplars: AtomicU64,
}

impl PerKind {
    pub fn add(&self, tally: Tally) {
        add(&self.samples, tally.samples);
        add(&self.histograms, tally.histograms);
        add(&self.exemplars, tally.exemplars);
    }

    /// What was counted.
    pub fn tally(&self) -> Tally {
        Tally { samples: read(&self.samples), histograms: read(&self.histograms), exemplars: read(&self.exemplars) }
    }
}

/// Upper bounds of how long a request takes, in seconds: Prometheus'.
pub const DURATION_BOUNDS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0];

/// What one sender has done.
#[derive(Debug, Default)]
pub struct Counts {
    /// Put into the queue.
    pub enqueued: PerKind,
    /// Sent, whatever became of it, once each.
    pub sent: PerKind,
    /// Refused by the receiver, and not sent again.
    pub failed: PerKind,
    /// Sent once more.
    pub retried: PerKind,
    /// Refused where an earlier request with the same may have arrived.
    pub doubtful: PerKind,
    /// Older than `sample_age_limit` when their turn came.
    pub too_old: PerKind,
    pub dropped_by_relabelling: AtomicU64,
    pub dropped_out_of_order: AtomicU64,
    pub dropped_unwritten: AtomicU64,
    pub dropped_too_long: AtomicU64,
    pub dropped_damaged: AtomicU64,
    pub metadata_sent: AtomicU64,
    pub metadata_failed: AtomicU64,
    pub metadata_retried: AtomicU64,
    pub bytes: AtomicU64,
    pub metadata_bytes: AtomicU64,
    pub shards: AtomicU64,
    /// In thousandths.
    pub shards_desired: AtomicU64,
    pub newest_enqueued_ms: AtomicI64,
    pub newest_sent_ms: AtomicI64,
    /// Whether the queue has lost something since all of it was sent last.
    pub is_losing: AtomicBool,
    /// Whether requests fail just now.
    pub is_failing: AtomicBool,
    /// Whether requests are refused just now.
    pub is_refused: AtomicBool,
    requests: [AtomicU64; DURATION_BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Counts {
    pub fn enqueued<B>(&self, kind: &Kind<B>, timestamp_ms: i64) {
        let counter = match kind {
            Kind::Float(_) => &self.enqueued.samples,
            Kind::Histogram(_) => &self.enqueued.histograms,
            Kind::Exemplar(_) => &self.enqueued.exemplars,
        };
        add(counter, 1);
        self.newest_enqueued_ms.fetch_max(timestamp_ms, Ordering::Relaxed);
    }

    /// Notes how long a request took.
    pub fn took(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = DURATION_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(DURATION_BOUNDS.len());
        add(&self.requests[bucket], 1);
        add(&self.micros, u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Seconds of all requests together, their number, and how many fell up to each bound, the last being that of all others.
    pub fn durations(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let counts: Vec<u64> = self.requests.iter().map(read).collect();
        let bounds = DURATION_BOUNDS.iter().copied().chain([f64::MAX]);
        (read(&self.micros) as f64 / 1e6, counts.iter().sum(), bounds.zip(counts).collect())
    }
}
