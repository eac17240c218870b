//! Histograms of the protobuf format: one message for the classic and the native parts, and the exemplars of both.

use crate::api::views::Exemplar;
use crate::series::{Classic, Count, CounterReset, EncodedHistogram, Histogram, Labels};
use crate::wire::alike::{label, span};
use crate::wire::{Field, Fields, Malformed, unzigzag};

/// The longest histogram: as in remote write, hundreds of times what a client library makes.
const HISTOGRAM_BYTES_MAX: usize = 1 << 20;

/// The most labels of an exemplar, all of whose texts together may have 128 characters.
const EXEMPLAR_LABELS_MAX: usize = 128;

/// An exemplar that is not yet read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireExemplar<'a>(pub(super) &'a [u8]);

impl<'a> WireExemplar<'a> {
    /// Its bytes, by which it can be told from another.
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The exemplar, and whether it has a time of its own; else it gets the sample's.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read(&self, sample_ms: i64) -> Result<(Exemplar, bool), &'static str> {
        let (mut labels, mut value, mut own_ms) = (Vec::new(), 0.0, None);
        for field in Fields(self.0) {
            let field = field?;
            match field.number {
                1 => labels.push(label(field.bytes()?)?),
                2 => value = field.double()?,
                3 => own_ms = Some(timestamp_ms(field.bytes()?)?),
                _ => {}
            }
            if labels.len() > EXEMPLAR_LABELS_MAX {
                return Err("the exemplar has more than 128 labels");
            }
        }
        let exemplar = Exemplar { labels: Labels::new(labels), value, timestamp_ms: own_ms.unwrap_or(sample_ms) };
        Ok((exemplar, own_ms.is_some()))
    }
}

/// `google.protobuf.Timestamp`.
fn timestamp_ms(bytes: &[u8]) -> Result<i64, Malformed> {
    let (mut seconds, mut nanos) = (0i64, 0i32);
    for field in Fields(bytes) {
        let field = field?;
        match field.number {
            1 => seconds = field.int64()?,
            2 => nanos = field.uint32()?.cast_signed(),
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1_000).saturating_add(i64::from(nanos / 1_000_000)))
}

/// A bucket of a classic histogram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket<'a> {
    pub bound: f64,
    /// Observations that are not above the bound.
    pub count: f64,
    pub exemplar: Option<WireExemplar<'a>>,
}

impl<'a> Bucket<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (mut bound, mut integer, mut float, mut exemplar) = (0.0, 0, 0.0, None);
        for field in Fields(bytes) {
            let field = field?;
            match field.number {
                1 => integer = field.uint64()?,
                2 => bound = field.double()?,
                3 => exemplar = Some(WireExemplar(field.bytes()?)),
                4 => float = field.double()?,
                _ => {}
            }
        }
        Ok(Self { bound, count: float_or(float, integer), exemplar })
    }
}

/// A count of floats goes before one of whole numbers, unless it is nothing.
fn float_or(float: f64, integer: u64) -> f64 {
    if float == 0.0 { integer as f64 } else { float }
}

/// A histogram, but for its native buckets.
#[derive(Debug, Default)]
pub(super) struct HistogramMessage<'a> {
    bytes: &'a [u8],
    integer_count: u64,
    float_count: f64,
    pub sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_float_count: f64,
    has_spans: bool,
    has_exemplars: bool,
}

impl<'a> HistogramMessage<'a> {
    /// Reads it, and the classic buckets beside.
    pub fn read(bytes: &'a [u8], buckets: &mut Vec<Bucket<'a>>) -> Result<Self, &'static str> {
        if bytes.len() > HISTOGRAM_BYTES_MAX {
            return Err("it is longer than 1 MiB");
        }
        let mut message = Self { bytes, ..Self::default() };
        for field in Fields(bytes) {
            let field = field?;
            match field.number {
                1 => message.integer_count = field.uint64()?,
                2 => message.sum = field.double()?,
                3 => buckets.push(Bucket::read(field.bytes()?)?),
                4 => message.float_count = field.double()?,
                5 => message.schema = field.sint32()?,
                6 => message.zero_threshold = field.double()?,
                7 => message.zero_count = field.uint64()?,
                8 => message.zero_float_count = field.double()?,
                9 | 12 => message.has_spans = true,
                16 => message.has_exemplars = true,
                _ => {}
            }
        }
        Ok(message)
    }

    /// Whether it has native parts: an empty span says so where there is nothing else to say.
    pub fn is_native(&self) -> bool {
        self.has_spans || self.zero_threshold > 0.0 || self.zero_count > 0
    }

    /// All observations.
    pub fn count(&self) -> f64 {
        float_or(self.float_count, self.integer_count)
    }

    fn native(&self) -> Result<Histogram, &'static str> {
        let mut encoded = EncodedHistogram {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            sum: self.sum,
            ..EncodedHistogram::default()
        };
        if self.float_count > 0.0 || self.zero_float_count > 0.0 {
            encoded.count = Count::Float(self.float_count);
            encoded.zero_count = Count::Float(self.zero_float_count);
        } else {
            encoded.count = Count::Integer(self.integer_count);
            encoded.zero_count = Count::Integer(self.zero_count);
        }
        for field in Fields(self.bytes) {
            native_field(&field?, &mut encoded)?;
        }
        encoded.decode()
    }
}

fn native_field(field: &Field<'_>, into: &mut EncodedHistogram) -> Result<(), Malformed> {
    match field.number {
        9 => into.negative.spans.push(span(field.bytes()?)?),
        10 => field.varints(|delta| into.negative.deltas.push(unzigzag(delta)))?,
        11 => field.doubles(|count| into.negative.counts.push(count))?,
        12 => into.positive.spans.push(span(field.bytes()?)?),
        13 => field.varints(|delta| into.positive.deltas.push(unzigzag(delta)))?,
        14 => field.doubles(|count| into.positive.counts.push(count))?,
        _ => {}
    }
    Ok(())
}

/// A histogram that is to be stored as a native one.
#[derive(Debug)]
pub struct NativeHistogram<'m> {
    pub(super) message: &'m HistogramMessage<'m>,
    pub(super) buckets: &'m [Bucket<'m>],
    pub(super) is_gauge: bool,
    /// Whether its classic buckets become custom ones.
    pub(super) is_custom: bool,
}

impl<'m> NativeHistogram<'m> {
    /// The histogram.
    ///
    /// # Errors
    /// Why there is none.
    pub fn histogram(&self) -> Result<Histogram, &'static str> {
        let mut histogram = if self.is_custom { self.custom()? } else { self.message.native()? };
        if self.is_gauge {
            histogram.reset = CounterReset::Gauge;
        }
        Ok(histogram)
    }

    fn custom(&self) -> Result<Histogram, &'static str> {
        let buckets = self.buckets.iter().map(|bucket| (bucket.bound, bucket.count)).collect();
        Classic { buckets, count: Some(self.message.count()), sum: self.message.sum }.native()
    }

    /// Its own exemplars, or if it has none, those of its classic buckets. Such without a time count for nothing, as in Prometheus.
    pub fn exemplars(&self) -> impl Iterator<Item = WireExemplar<'m>> + use<'m> {
        let own = self.message.has_exemplars && !self.is_custom;
        let bytes: &'m [u8] = if own { self.message.bytes } else { &[] };
        let native = Fields(bytes).filter_map(Result::ok).filter(|field| field.number == 16);
        let native = native.filter_map(|field| field.bytes().ok().map(WireExemplar));
        let buckets: &'m [Bucket<'m>] = if own { &[] } else { self.buckets };
        native.chain(buckets.iter().filter_map(|bucket| bucket.exemplar))
    }
}
