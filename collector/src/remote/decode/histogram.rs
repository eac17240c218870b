//! Native histograms on the wire: the same message in both versions. Integer ones become numbers of observations per bucket; what
//! is inconsistent is refused as Prometheus refuses it.

use super::WireHistogram;
use crate::remote::protobuf::{Field, Fields, Malformed, unzigzag};
use crate::series::{CounterReset, Histogram, SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MIN, Span, is_stale};

/// What is read before it is known which of two ways of writing was used.
#[derive(Default)]
struct Wire {
    timestamp_ms: i64,
    histogram: Histogram,
    count: Count,
    zero_count: Count,
    positive: Side,
    negative: Side,
    custom_bounds: Vec<f64>,
}

/// An integer or a number.
#[derive(Default)]
enum Count {
    #[default]
    None,
    Integer(u64),
    Float(f64),
}

impl Count {
    fn value(&self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Integer(count) => *count as f64,
            Self::Float(count) => *count,
        }
    }
}

#[derive(Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl Side {
    /// Observations per bucket, and their sum.
    fn buckets(self, is_integer: bool) -> Result<(Vec<Span>, Vec<f64>, u128), &'static str> {
        let mut sum = 0u128;
        let buckets = if is_integer {
            let mut count = 0i64;
            let mut buckets = Vec::with_capacity(self.deltas.len());
            for delta in self.deltas {
                count = count.checked_add(delta).filter(|count| *count >= 0).ok_or(NEGATIVE)?;
                sum += u128::from(count.cast_unsigned());
                buckets.push(count as f64);
            }
            buckets
        } else {
            self.counts
        };
        if buckets.iter().any(|count| *count < 0.0) {
            return Err(NEGATIVE);
        }
        let in_spans: u64 = self.spans.iter().map(|span| u64::from(span.length)).sum();
        if in_spans != buckets.len() as u64 {
            return Err("its spans need another number of buckets than it has");
        }
        if self.spans.iter().skip(1).any(|span| span.offset < 0) {
            return Err("one of its spans begins before the end of the one before");
        }
        let mut end = 0i32;
        for span in &self.spans {
            let length = i32::try_from(span.length).ok();
            let after = length.and_then(|length| end.checked_add(span.offset)?.checked_add(length));
            end = after.ok_or("one of its buckets has a number that no bucket can have")?;
        }
        Ok((self.spans, buckets, sum))
    }
}

const NEGATIVE: &str = "one of its buckets holds less than nothing";

/// The longest histogram: 65,536 buckets at their longest, hundreds of times what a client library makes.
const HISTOGRAM_BYTES_MAX: usize = 1 << 20;

/// Reads a histogram; the outer error is about the message, the inner one about what it says.
pub(super) fn read(bytes: &[u8]) -> Result<WireHistogram, Malformed> {
    if bytes.len() > HISTOGRAM_BYTES_MAX {
        return Ok(Err("it is longer than 1 MiB"));
    }
    let mut wire = Wire::default();
    for field in Fields(bytes) {
        wire.field(&field?)?;
    }
    Ok(wire.finish())
}

impl Wire {
    fn field(&mut self, field: &Field<'_>) -> Result<(), Malformed> {
        let histogram = &mut self.histogram;
        match field.number {
            1 => self.count = Count::Integer(field.uint64()?),
            2 => self.count = Count::Float(field.double()?),
            3 => histogram.sum = field.double()?,
            4 => histogram.schema = field.sint32()?,
            5 => histogram.zero_threshold = field.double()?,
            6 => self.zero_count = Count::Integer(field.uint64()?),
            7 => self.zero_count = Count::Float(field.double()?),
            8 => self.negative.spans.push(span(field.bytes()?)?),
            9 => field.varints(|delta| self.negative.deltas.push(unzigzag(delta)))?,
            10 => field.doubles(|count| self.negative.counts.push(count))?,
            11 => self.positive.spans.push(span(field.bytes()?)?),
            12 => field.varints(|delta| self.positive.deltas.push(unzigzag(delta)))?,
            13 => field.doubles(|count| self.positive.counts.push(count))?,
            14 => {
                histogram.reset = match field.uint32()? {
                    1 => CounterReset::Reset,
                    2 => CounterReset::NotReset,
                    3 => CounterReset::Gauge,
                    _ => CounterReset::Unknown,
                }
            }
            15 => self.timestamp_ms = field.int64()?,
            16 => field.doubles(|bound| self.custom_bounds.push(bound))?,
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> WireHistogram {
        let mut histogram = self.histogram;
        if is_stale(histogram.sum) {
            return Ok((self.timestamp_ms, Histogram { reset: histogram.reset, ..Histogram::stale() }));
        }
        let is_integer = !matches!(self.count, Count::Float(_));
        let (positive_spans, positive_buckets, positive_sum) = self.positive.buckets(is_integer)?;
        let (negative_spans, negative_buckets, negative_sum) = self.negative.buckets(is_integer)?;
        (histogram.positive_spans, histogram.positive_buckets) = (positive_spans, positive_buckets);
        (histogram.negative_spans, histogram.negative_buckets) = (negative_spans, negative_buckets);
        (histogram.count, histogram.zero_count) = (self.count.value(), self.zero_count.value());
        if let Count::Integer(count) = self.count {
            let zero = if let Count::Integer(zero) = self.zero_count { u128::from(zero) } else { 0 };
            let in_buckets = positive_sum + negative_sum + zero;
            // Observations that are NaN are in no bucket.
            if in_buckets > u128::from(count) || (in_buckets != u128::from(count) && !histogram.sum.is_nan()) {
                return Err("its buckets hold another number of observations than its count says");
            }
        }
        histogram.custom_bounds = self.custom_bounds.into();
        check_schema(&histogram)?;
        Ok((self.timestamp_ms, histogram))
    }
}

fn check_schema(histogram: &Histogram) -> Result<(), &'static str> {
    let wrong = if histogram.schema == SCHEMA_CUSTOM {
        wrong_custom(histogram)
    } else if !(SCHEMA_MIN..=SCHEMA_MAX).contains(&histogram.schema) {
        Some("its schema does not exist")
    } else if !histogram.custom_bounds.is_empty() {
        Some("custom bounds do not go with its schema")
    } else {
        (histogram.zero_threshold < 0.0).then_some("its zero bucket is narrower than nothing")
    };
    wrong.map_or(Ok(()), Err)
}

/// What is wrong with a histogram of custom buckets.
fn wrong_custom(histogram: &Histogram) -> Option<&'static str> {
    let (bounds, spans) = (&histogram.custom_bounds, &histogram.positive_spans);
    let length: i64 = spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length)).sum();
    if !bounds.is_sorted_by(|a, b| a < b) {
        Some("its custom bounds do not ascend")
    } else if bounds.last().is_some_and(|bound| *bound == f64::INFINITY) {
        Some("its last custom bound is +Inf, which goes without saying")
    } else if spans.first().is_some_and(|span| span.offset < 0) {
        Some("its first span begins below 0")
    } else if usize::try_from(length).is_ok_and(|length| length > bounds.len() + 1) {
        Some("it has more buckets than its custom bounds make")
    } else if histogram.zero_count != 0.0 || histogram.zero_threshold != 0.0 {
        Some("a zero bucket does not go with custom bounds")
    } else {
        let has_negative = !histogram.negative_spans.is_empty() || !histogram.negative_buckets.is_empty();
        has_negative.then_some("negative buckets do not go with custom bounds")
    }
}

fn span(bytes: &[u8]) -> Result<Span, Malformed> {
    let mut span = Span::default();
    for field in Fields(bytes) {
        let field = field?;
        match field.number {
            1 => span.offset = field.sint32()?,
            2 => span.length = field.uint32()?,
            _ => {}
        }
    }
    Ok(span)
}
