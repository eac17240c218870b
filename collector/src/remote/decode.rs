//! Reads the messages of remote write 1.0 and 2.0 series by series, borrowed from the request. Checks what the specifications say of
//! their form; stores nothing. Start at `read`.

mod histogram;
mod v1;
mod v2;

use crate::series::{Histogram, Sample};
use crate::wire::{Fields, Malformed};

/// The longest request, after decompression: as in Prometheus.
pub const REQUEST_BYTES_MAX: usize = 32 << 20;

/// The most samples and exemplars of a request: 500 times what Prometheus sends at once.
pub const SAMPLES_MAX: usize = 1 << 20;

/// The most histograms of a request: 60 times what Prometheus sends at once; each takes some ten times a sample's memory.
pub const HISTOGRAMS_MAX: usize = 1 << 17;

/// The most labels of a series or an exemplar: no honest one has more, and an empty one takes two bytes to send.
const LABELS_MAX: usize = 1 << 10;

/// The most buckets of all histograms of a request: Prometheus sends 2,000 histograms, of 160 buckets each by default.
pub const BUCKETS_MAX: usize = 4 << 20;

/// The most texts of a request: what a million series with labels of their own have.
const SYMBOLS_MAX: usize = 4 << 20;

/// The messages of the two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

impl Message {
    /// The message's full name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

/// Why a whole request cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not protobuf, or not this message.
    #[error("the body is not the message {message}: {source}", message = message.name())]
    Malformed {
        /// What it should be.
        message: Message,
        /// What is wrong.
        source: Malformed,
    },
    /// There are texts, but the first is not the empty one.
    #[error("the first of the symbols must be the empty text")]
    FirstSymbol,
    /// A reference points behind the texts.
    #[error("a reference points to symbol {reference} of {symbols}")]
    Reference {
        /// Where it points.
        reference: u32,
        /// How many there are.
        symbols: usize,
    },
    /// Names and values do not come in pairs.
    #[error("a series has an odd number of references for its labels")]
    OddReferences,
    /// More than is taken at once.
    #[error("the request holds more than {max} {what}; send smaller requests")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

/// A histogram, or why it is none.
pub type WireHistogram = Result<(i64, Histogram), &'static str>;

/// An exemplar as it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct WireExemplar<'a> {
    /// Its own labels.
    pub labels: Vec<(&'a str, &'a str)>,
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the epoch; 0 is none.
    pub timestamp_ms: i64,
}

/// What is said of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireMetadata<'a> {
    /// A name of Prometheus' types of metrics.
    pub kind: &'static str,
    /// Text for people.
    pub help: &'a str,
    /// Such as `seconds`.
    pub unit: &'a str,
}

/// One series of a request. Labels are as sent: unsorted, empty or repeated ones included.
#[derive(Debug, Default, PartialEq)]
pub struct Series<'a> {
    /// Its labels.
    pub labels: Vec<(&'a str, &'a str)>,
    /// Its numbers.
    pub samples: Vec<Sample>,
    /// Its histograms.
    pub histograms: Vec<WireHistogram>,
    /// Its exemplars.
    pub exemplars: Vec<WireExemplar<'a>>,
    /// What is said of its metric; in 1.0 that stands apart.
    pub metadata: Option<WireMetadata<'a>>,
}

impl Series<'_> {
    fn clear(&mut self) {
        self.labels.clear();
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.metadata = None;
    }

    /// Asked while a series is read, so that it cannot grow without bound.
    fn has_room(&self) -> Result<(), Unreadable> {
        at_most("labels of a series", self.labels.len(), LABELS_MAX)?;
        at_most("samples", self.samples.len() + self.exemplars.len(), SAMPLES_MAX)?;
        at_most("histograms", self.histograms.len(), HISTOGRAMS_MAX)
    }
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), Unreadable> {
    if count > max { Err(Unreadable::TooMany { what, max }) } else { Ok(()) }
}

/// Takes what a request holds.
pub trait Sink<'a> {
    /// A series.
    fn series(&mut self, series: &mut Series<'a>);

    /// What 1.0 says of a metric.
    fn metadata(&mut self, metric: &'a str, metadata: WireMetadata<'a>);
}

/// Reads a request. What the sink was given before an error must not be used.
///
/// # Errors
/// What makes the whole request unreadable.
pub fn read<'a>(message: Message, body: &'a [u8], sink: &mut impl Sink<'a>) -> Result<(), Unreadable> {
    match message {
        Message::V1 => v1::read(body, sink),
        Message::V2 => v2::read(body, sink),
    }
}

/// Counts what a request holds against what it may.
#[derive(Default)]
struct Totals {
    samples: usize,
    histograms: usize,
    buckets: usize,
}

impl Totals {
    fn add(&mut self, series: &Series<'_>) -> Result<(), Unreadable> {
        self.samples += series.samples.len() + series.exemplars.len();
        self.histograms += series.histograms.len();
        let buckets = |(_, h): &(i64, Histogram)| {
            let spans = h.positive_spans.len() + h.negative_spans.len();
            h.positive_buckets.len() + h.negative_buckets.len() + h.custom_bounds.len() + spans
        };
        self.buckets += series.histograms.iter().flatten().map(buckets).sum::<usize>();
        at_most("samples", self.samples, SAMPLES_MAX)?;
        at_most("histograms", self.histograms, HISTOGRAMS_MAX)?;
        at_most("buckets", self.buckets, BUCKETS_MAX)
    }
}

/// `value` and `timestamp` are the same fields in both versions.
fn sample(bytes: &[u8]) -> Result<Sample, Malformed> {
    let mut sample = Sample { timestamp_ms: 0, value: 0.0 };
    for field in Fields(bytes) {
        let field = field?;
        match field.number {
            1 => sample.value = field.double()?,
            2 => sample.timestamp_ms = field.int64()?,
            _ => {}
        }
    }
    Ok(sample)
}

/// The types of metrics, in the order of both versions' enumerations.
fn kind(wire: u32) -> &'static str {
    const KINDS: [&str; 8] =
        ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];
    usize::try_from(wire).ok().and_then(|wire| KINDS.get(wire)).copied().unwrap_or("unknown")
}

#[cfg(test)]
mod tests;
