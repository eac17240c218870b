//! Native histograms as they are scraped, stored and queried: counts as floats, buckets sparse. Holds the shape only; the
//! arithmetic of queries is in `promql`, the wire formats are where they are read.

use std::sync::Arc;

use super::Sample;

/// The schema of custom buckets, whose bounds a histogram carries itself (Prometheus `CustomBucketsSchema`).
pub const SCHEMA_CUSTOM: i32 = -53;

/// The coarsest exponential schema: a bucket's bound is 2^16 times the one before.
pub const SCHEMA_MIN: i32 = -4;

/// The finest exponential schema: a bucket's bound is 2^(1/256) times the one before.
pub const SCHEMA_MAX: i32 = 8;

/// What is known of a counter's reset between the sample before and this one (Prometheus `CounterResetHint`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CounterReset {
    /// Nothing: compare the counts.
    #[default]
    Unknown,
    /// It was reset.
    Reset,
    /// It was not.
    NotReset,
    /// A gauge: counts may fall.
    Gauge,
}

/// A run of buckets that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Buckets left out since the end of the run before; of the first run, the index of its first bucket.
    pub offset: i32,
    /// Buckets in the run.
    pub length: u32,
}

/// A native histogram at one time. Exponential schemas `-4..=8`: bucket `i` holds observations in
/// `(base^(i-1), base^i]` with `base = 2^(2^-schema)`. [`SCHEMA_CUSTOM`]: bucket `i` holds those in
/// `(custom_bounds[i-1], custom_bounds[i]]`, the last one up to `+Inf`; nothing is negative and the zero bucket unused.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// Whether the counter was reset before it.
    pub reset: CounterReset,
    /// Resolution.
    pub schema: i32,
    /// Width of the zero bucket: observations in `[-zero_threshold, zero_threshold]`.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Observations in all; more than in the buckets if some were NaN.
    pub count: f64,
    /// Sum of the observations. The bits of the stale marker mean the end of the series.
    pub sum: f64,
    /// Which positive buckets there are.
    pub positive_spans: Vec<Span>,
    /// Observations in each of them, absolute (not deltas).
    pub positive_buckets: Vec<f64>,
    /// Which negative buckets there are.
    pub negative_spans: Vec<Span>,
    /// Observations in each of them, absolute.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, ascending, without `+Inf`; empty for exponential schemas.
    pub custom_bounds: Arc<[f64]>,
}

impl Histogram {
    /// What ends a series of histograms.
    pub fn stale() -> Self {
        Self { sum: super::stale_nan(), ..Self::default() }
    }

    /// Whether it ends the series.
    pub fn is_stale(&self) -> bool {
        super::is_stale(self.sum)
    }

    /// How many samples of 16 bytes it is as large as: what limits of samples count it as, as in Prometheus.
    pub fn weight(&self) -> usize {
        const BYTES_OWN: usize = 176;
        const BYTES_SAMPLE: usize = 16;
        let spans = self.positive_spans.len() + self.negative_spans.len();
        let counts = self.positive_buckets.len() + self.negative_buckets.len() + self.custom_bounds.len();
        (BYTES_OWN + 8 * (spans + counts)) / BYTES_SAMPLE
    }
}

/// A histogram at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Shared, as queries hand it on without changing it.
    pub histogram: Arc<Histogram>,
}

impl HistogramSample {
    /// How many numbers' memory it takes, as a meter counts: in units of a [`Sample`], as Prometheus does.
    pub fn weight(&self) -> usize {
        self.histogram.weight()
    }
}

/// A sample of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// A number.
    Float(Sample),
    /// A native histogram.
    Histogram(HistogramSample),
}

impl Point {
    /// How many numbers' memory it takes.
    pub fn weight(&self) -> usize {
        match self {
            Self::Float(_) => 1,
            Self::Histogram(sample) => sample.weight(),
        }
    }

    /// Milliseconds since the epoch.
    pub fn timestamp_ms(&self) -> i64 {
        match self {
            Self::Float(sample) => sample.timestamp_ms,
            Self::Histogram(sample) => sample.timestamp_ms,
        }
    }

    /// Whether it ends the series.
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Float(sample) => super::is_stale(sample.value),
            Self::Histogram(sample) => sample.histogram.is_stale(),
        }
    }
}
