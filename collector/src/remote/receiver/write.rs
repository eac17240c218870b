//! From a request's bytes to stored samples, and to a count of what became of each. Blocks while the store writes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use lifecycle::Clock;

use super::Refusal;
use super::batch::Batch;
use super::cache::SeriesCache;
use crate::remote::decode::{self, Message, Series, Sink};
use crate::series::{AppendError, Ingest, MetricMetadata};

/// How far a sample may be ahead of our clock: Prometheus' limit. A later one would keep out all that follows.
const AHEAD_MAX_MS: i64 = 600_000;

/// The store failed: nothing is known to be written, and the request should be sent again.
#[derive(Debug, thiserror::Error)]
#[error("the samples could not be stored: {0}")]
pub struct Failed(#[from] AppendError);

/// Why something sent was not stored, in the order of `Outcome::rejected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No name, a name of a label that is empty, or one that comes twice.
    InvalidLabels,
    /// A series of 2.0 with samples of both kinds.
    Mixed,
    /// A histogram that contradicts itself.
    InvalidHistogram,
    /// Labels that are too long, or a time too far ahead.
    InvalidExemplar,
    /// More than ten minutes ahead of our clock.
    TooNew,
    /// Older than what is kept.
    TooOld,
    /// Older than the series' newest sample.
    OutOfOrder,
    /// The series has another value at this time.
    Duplicate,
}

impl Reason {
    const ALL: [Self; 8] = [
        Self::InvalidLabels,
        Self::Mixed,
        Self::InvalidHistogram,
        Self::InvalidExemplar,
        Self::TooNew,
        Self::TooOld,
        Self::OutOfOrder,
        Self::Duplicate,
    ];

    /// As a label's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidLabels => "invalid_labels",
            Self::Mixed => "mixed",
            Self::InvalidHistogram => "invalid_histogram",
            Self::InvalidExemplar => "invalid_exemplar",
            Self::TooNew => "too_new",
            Self::TooOld => "too_old",
            Self::OutOfOrder => "out_of_order",
            Self::Duplicate => "duplicate",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::InvalidLabels => "without a metric name, or with labels that are empty or repeated",
            Self::Mixed => "of series that have numbers and histograms at once",
            Self::InvalidHistogram => "that are inconsistent histograms",
            Self::InvalidExemplar => "that are exemplars with labels too long or a time too far ahead",
            Self::TooNew => "out of bounds: more than 10 minutes ahead of this collector's clock",
            Self::TooOld => "too old: from before what this collector keeps",
            Self::OutOfOrder => "out of order: older than the newest sample of their series",
            Self::Duplicate => "duplicate: their series has another value at that time",
        }
    }
}

/// What became of a request.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub samples: usize,
    pub histograms: usize,
    pub exemplars: usize,
    rejected: [usize; Reason::ALL.len()],
    /// What the first of them was.
    example: String,
}

impl Outcome {
    pub fn reject(&mut self, reason: Reason, count: usize, example: impl FnOnce() -> String) {
        self.rejected[reason as usize] += count;
        if count > 0 && self.example.is_empty() {
            self.example = example();
        }
    }

    /// What was not stored.
    pub fn rejected_count(&self) -> usize {
        self.rejected.iter().sum()
    }

    /// What to tell the sender; nothing if all is stored.
    pub fn problem(&self) -> Option<String> {
        let rejected = self.rejected_count();
        if rejected == 0 {
            return None;
        }
        let mut text = format!(
            "written: {} samples, {} histograms, {} exemplars; refused: {rejected}",
            self.samples, self.histograms, self.exemplars
        );
        for (reason, count) in Reason::ALL.iter().zip(self.rejected).filter(|(_, count)| *count > 0) {
            let _ = write!(text, "; {count} {}", reason.words());
        }
        if !self.example.is_empty() {
            let _ = write!(text, "; such as {}", self.example);
        }
        Some(text)
    }
}

/// What came in since the start.
#[derive(Debug, Default)]
pub struct Counts {
    accepted: AtomicU64,
    rejected: AtomicU64,
    busy: AtomicU64,
    failed: AtomicU64,
    samples: AtomicU64,
    histograms: AtomicU64,
    exemplars: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

impl Counts {
    pub(super) fn answered(&self, status: StatusCode) {
        let counter = match status {
            StatusCode::NO_CONTENT => &self.accepted,
            StatusCode::TOO_MANY_REQUESTS => &self.busy,
            status if status.is_server_error() => &self.failed,
            _ => &self.rejected,
        };
        add(counter, 1);
    }

    fn stored(&self, outcome: &Outcome) {
        add(&self.samples, outcome.samples);
        add(&self.histograms, outcome.histograms);
        add(&self.exemplars, outcome.exemplars);
        self.refused.iter().zip(outcome.rejected).for_each(|(counter, count)| add(counter, count));
    }

    /// Requests by outcome.
    pub fn requests(&self) -> Vec<(&'static str, u64)> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("accepted", read(&self.accepted)),
            ("rejected", read(&self.rejected)),
            ("busy", read(&self.busy)),
            ("failed", read(&self.failed)),
        ]
    }

    /// What was stored, by kind.
    pub fn written(&self) -> Vec<(&'static str, u64)> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("sample", read(&self.samples)),
            ("histogram", read(&self.histograms)),
            ("exemplar", read(&self.exemplars)),
        ]
    }

    /// What was not stored, by reason.
    pub fn refused(&self) -> Vec<(&'static str, u64)> {
        let count = |(reason, counter): (&Reason, &AtomicU64)| (reason.name(), counter.load(Ordering::Relaxed));
        Reason::ALL.iter().zip(&self.refused).map(count).collect()
    }
}

/// Takes what is said of metrics.
pub trait MetadataSink: Send + Sync + 'static {
    /// Notes what is said of a metric.
    fn note(&self, metric: &str, metadata: &MetricMetadata);
}

/// Stores requests.
pub struct Writer {
    pub(super) ingest: Arc<dyn Ingest>,
    pub(super) metadata: Arc<dyn MetadataSink>,
    clock: Arc<dyn Clock>,
    retention_ms: i64,
    pub(super) cache: SeriesCache,
    /// What came in since the start.
    pub counts: Counts,
}

impl Writer {
    /// Stores into `ingest` what is not older than `retention_ms`.
    pub fn new(
        ingest: Arc<dyn Ingest>,
        metadata: Arc<dyn MetadataSink>,
        clock: Arc<dyn Clock>,
        retention_ms: i64,
    ) -> Self {
        Self { ingest, metadata, clock, retention_ms, cache: SeriesCache::default(), counts: Counts::default() }
    }

    pub(super) fn write(&self, message: Message, body: &[u8]) -> Result<Outcome, Refusal> {
        let mut batch = self.batch(message);
        decode::read(message, body, &mut batch)?;
        Ok(self.store(batch)?)
    }

    /// Stores series that came by another way; `give` is told where to.
    pub(crate) fn write_series<'a>(
        &self,
        give: impl FnOnce(&mut dyn FnMut(&mut Series<'a>)),
    ) -> Result<Outcome, Failed> {
        let mut batch = self.batch(Message::V1);
        give(&mut |series| batch.series(series));
        self.store(batch)
    }

    /// Notes what is said of a metric.
    pub(crate) fn note(&self, metric: &str, metadata: &MetricMetadata) {
        self.metadata.note(metric, metadata);
    }

    fn batch<'a>(&self, message: Message) -> Batch<'_, 'a> {
        let now_ms = self.clock.now_ms();
        let times_ms = now_ms.saturating_sub(self.retention_ms)..=now_ms.saturating_add(AHEAD_MAX_MS);
        Batch::new(self, message, times_ms)
    }

    fn store(&self, batch: Batch<'_, '_>) -> Result<Outcome, Failed> {
        let outcome = batch.store()?;
        self.counts.stored(&outcome);
        Ok(outcome)
    }
}
