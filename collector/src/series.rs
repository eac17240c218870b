//! The words and seams shared by scrape, store, PromQL and traces: labels, samples, matchers, and the two traits
//! `Appendable` and `Queryable` through which the parts meet, so that each can be replaced alone.

mod classic;
mod encoded;
mod histogram;
pub(crate) mod layout;
mod meter;
mod selection;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use regex::Regex;

pub use self::classic::Classic;
pub use self::encoded::{Count, EncodedHistogram, EncodedSide};
pub use self::histogram::{
    CounterReset, Histogram, HistogramSample, Point, SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MIN, Span,
};
pub use self::meter::{Meter, SelectError, Unmetered};
pub use self::selection::{Scratch, Selection};
use crate::api::views::Exemplar;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// Bits of the NaN that marks a series as gone (Prometheus `value.StaleNaN`).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The value that marks a series as gone.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether a value marks a series as gone; an ordinary NaN does not.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// A set of labels: sorted by name, each name once, no empty values. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// Sorts by name; the last of equal names wins; empty values are left out, as in Prometheus.
    pub fn new<N: Into<Arc<str>>, V: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut pairs: Vec<(Arc<str>, Arc<str>)> = pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let mut unique: Vec<(Arc<str>, Arc<str>)> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            match unique.last_mut() {
                Some(last) if last.0 == pair.0 => *last = pair,
                _ => unique.push(pair),
            }
        }
        unique.retain(|(_, value)| !value.is_empty());
        Self(unique.into())
    }

    /// The value of a label; an absent label and an empty one are the same.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name)).ok().map(|i| &*self.0[i].1)
    }

    /// The metric's name, empty if it has none.
    pub fn name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or_default()
    }

    /// All labels in order of name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (&**n, &**v))
    }

    /// The shared pairs, for building another set without copying texts.
    pub fn pairs(&self) -> &[(Arc<str>, Arc<str>)] {
        &self.0
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        // Most labels of neighbours are one text in memory: then no byte of it is looked at.
        let compare = |a: &Arc<str>, b: &Arc<str>| if Arc::ptr_eq(a, b) { Ordering::Equal } else { a.cmp(b) };
        for (a, b) in self.0.iter().zip(&*other.0) {
            let order = compare(&a.0, &b.0).then_with(|| compare(&a.1, &b.1));
            if order != Ordering::Equal {
                return order;
            }
        }
        self.0.len().cmp(&other.0.len())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Labels {
    /// `name{a="b", c="d"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().filter(|(n, _)| *n != METRIC_NAME).enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

/// A value at a time (milliseconds since the epoch).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// The value; [`is_stale`] marks the end of the series.
    pub value: f64,
}

/// What has a time: a sample of either kind.
pub(crate) trait Timed {
    /// Milliseconds since the epoch.
    fn timestamp_ms(&self) -> i64;
}

impl Timed for Sample {
    fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }
}

impl Timed for HistogramSample {
    fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }
}

/// A series with some of its samples, in order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSamples {
    /// Which series.
    pub labels: Labels,
    /// Numbers in order of time, stale markers included.
    pub samples: Vec<Sample>,
    /// Native histograms in order of time; a series may have both kinds, at different times.
    pub histograms: Vec<HistogramSample>,
}

impl SeriesSamples {
    /// A series of numbers.
    pub fn floats(labels: Labels, samples: Vec<Sample>) -> Self {
        Self { labels, samples, histograms: Vec::new() }
    }

    /// Whether there is no sample of either kind.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.histograms.is_empty()
    }

    /// The newest sample of either kind.
    pub fn newest(&self) -> Option<Point> {
        let float = self.samples.last().map(|sample| Point::Float(*sample));
        let histogram = self.histograms.last().map(|sample| Point::Histogram(sample.clone()));
        [float, histogram].into_iter().flatten().max_by_key(Point::timestamp_ms)
    }
}

/// How a matcher compares.
#[derive(Debug, Clone)]
pub enum MatchOp {
    /// `=`
    Equal(String),
    /// `!=`
    NotEqual(String),
    /// `=~`, anchored at both ends
    Regex(Regex),
    /// `!~`, anchored at both ends
    NotRegex(Regex),
}

/// A condition on one label.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// Name of the label.
    pub name: String,
    /// The condition.
    pub op: MatchOp,
}

impl Matcher {
    /// `name="value"`.
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), op: MatchOp::Equal(value.to_owned()) }
    }

    /// Whether a label's value fits; an absent label is an empty value.
    pub fn fits_value(&self, value: &str) -> bool {
        match &self.op {
            MatchOp::Equal(wanted) => wanted == value,
            MatchOp::NotEqual(unwanted) => unwanted != value,
            MatchOp::Regex(regex) => regex.is_match(value),
            MatchOp::NotRegex(regex) => !regex.is_match(value),
        }
    }

    /// Whether a set of labels fits.
    pub fn fits(&self, labels: &Labels) -> bool {
        self.fits_value(labels.get(&self.name).unwrap_or_default())
    }
}

/// Why samples could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The write-ahead log could not be written.
    #[error("the write-ahead log could not be written: {0}")]
    Log(#[from] std::io::Error),
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// Samples stored.
    pub stored: usize,
    /// Samples older than the series' newest one, not stored.
    pub out_of_order: usize,
    /// Samples at the series' newest time with another value, not stored.
    pub duplicate: usize,
    /// Samples older than what is taken at all (Prometheus' `out of bounds` and `too old`), not stored.
    pub too_old: usize,
    /// Series seen for the first time.
    pub series_added: usize,
}

/// Takes samples in. One call is one batch: after `Ok` it survives `kill -9`.
pub trait Appendable: Send + Sync + 'static {
    /// Stores a batch.
    fn append(&self, batch: &[(Labels, Sample)]) -> Result<Appended, AppendError>;
}

/// A series' handle in one store. Valid until retention removes the series; never given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesRef(pub u64);

/// Takes samples in for series that the caller has looked up before: the path of the scrape loop, which meets the same
/// series every second and must not pay for their labels each time.
pub trait Ingest: Appendable {
    /// The handle of a series, which is made if it is new.
    fn resolve(&self, labels: &Labels) -> SeriesRef;

    /// The labels of a series; nothing if its handle is no longer valid.
    fn labels(&self, series: SeriesRef) -> Option<Labels>;

    /// Stores a batch as [`Appendable::append`] does. Positions of samples whose handle is no longer valid are added
    /// to `gone`; resolve those again.
    fn append_resolved(&self, batch: &[(SeriesRef, Sample)], gone: &mut Vec<usize>) -> Result<Appended, AppendError>;

    /// Stores native histograms in the same way. A series may have samples of both kinds: order and duplicates are judged
    /// over both. Whether a counter was reset before a histogram is found out here, unless it says so itself.
    fn append_histograms(
        &self,
        batch: &[(SeriesRef, HistogramSample)],
        gone: &mut Vec<usize>,
    ) -> Result<Appended, AppendError>;

    /// Keeps an exemplar of a series.
    fn append_exemplar(&self, series: SeriesRef, exemplar: Exemplar);
}

/// Gives samples out. The meter is told of every sample before it is held, so that no selection grows beyond what the one
/// who asked can bear.
pub trait Queryable: Send + Sync + 'static {
    /// Series that fit all matchers, with their samples in `start_ms ..= end_ms`, sorted by labels.
    ///
    /// # Errors
    /// What the meter said, or a block that cannot be read.
    fn select(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<SeriesSamples>, SelectError>;

    /// The same series, to be read one at a time.
    ///
    /// # Errors
    /// As [`Queryable::select`].
    fn find<'a>(
        &'a self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Box<dyn Selection + 'a>, SelectError> {
        Ok(Box::new(selection::Read(self.select(matchers, start_ms, end_ms, meter)?)))
    }

    /// The newest sample in `start_ms ..= end_ms` of each series that fits all matchers, sorted by labels.
    ///
    /// # Errors
    /// As [`Queryable::select`].
    fn latest(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<(Labels, Point)>, SelectError> {
        let selected = self.select(matchers, start_ms, end_ms, meter)?.into_iter();
        Ok(selected.filter_map(|series| series.newest().map(|point| (series.labels, point))).collect())
    }

    /// Labels of the series that fit all matchers and have a sample in the range, sorted. Each counts as a sample.
    ///
    /// # Errors
    /// As [`Queryable::select`].
    fn series(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<Labels>, SelectError>;
}

/// Metadata of a metric, from `# TYPE`, `# HELP` and `# UNIT` lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricMetadata {
    /// `counter`, `gauge`, `histogram`, `summary`, `unknown`, `info`, `stateset`, `gaugehistogram`.
    pub kind: String,
    /// Text for people.
    pub help: String,
    /// Such as `seconds`; empty if not given.
    pub unit: String,
}
