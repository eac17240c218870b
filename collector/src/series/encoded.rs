//! A native histogram as it is sent: counts as whole numbers, of which a bucket's is a step from the one before, or as floats. Becomes
//! what is stored; what contradicts itself is refused as Prometheus refuses it. The bytes are read elsewhere.

use super::{CounterReset, Histogram, SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MIN, Span, is_stale};

const NEGATIVE: &str = "one of its buckets holds less than nothing";

/// A whole number of observations or a float.
#[derive(Debug, Clone, Copy, Default)]
pub enum Count {
    /// It is not said.
    #[default]
    None,
    /// A whole number.
    Integer(u64),
    /// A float.
    Float(f64),
}

impl Count {
    fn value(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Integer(count) => count as f64,
            Self::Float(count) => count,
        }
    }
}

/// Positive or negative buckets.
#[derive(Debug, Clone, Default)]
pub struct EncodedSide {
    /// Which buckets there are.
    pub spans: Vec<Span>,
    /// Steps from bucket to bucket, the first from 0: of histograms of whole numbers.
    pub deltas: Vec<i64>,
    /// Counts: of histograms of floats.
    pub counts: Vec<f64>,
}

impl EncodedSide {
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

/// A histogram as it is sent.
#[derive(Debug, Clone, Default)]
pub struct EncodedHistogram {
    /// Whether the counter was reset before it.
    pub reset: CounterReset,
    /// Resolution.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Sum of the observations.
    pub sum: f64,
    /// Observations in all; a float makes it a histogram of floats.
    pub count: Count,
    /// Observations in the zero bucket.
    pub zero_count: Count,
    /// Its positive buckets.
    pub positive: EncodedSide,
    /// Its negative buckets.
    pub negative: EncodedSide,
    /// Upper bounds of custom buckets.
    pub custom_bounds: Vec<f64>,
}

impl EncodedHistogram {
    /// What is stored.
    ///
    /// # Errors
    /// What contradicts itself.
    pub fn decode(self) -> Result<Histogram, &'static str> {
        if is_stale(self.sum) {
            return Ok(Histogram { reset: self.reset, ..Histogram::stale() });
        }
        let is_integer = !matches!(self.count, Count::Float(_));
        let (positive_spans, positive_buckets, positive_sum) = self.positive.buckets(is_integer)?;
        let (negative_spans, negative_buckets, negative_sum) = self.negative.buckets(is_integer)?;
        if let Count::Integer(count) = self.count {
            let zero = if let Count::Integer(zero) = self.zero_count { u128::from(zero) } else { 0 };
            let in_buckets = positive_sum + negative_sum + zero;
            // Observations that are NaN are in no bucket.
            if in_buckets > u128::from(count) || (in_buckets != u128::from(count) && !self.sum.is_nan()) {
                return Err("its buckets hold another number of observations than its count says");
            }
        }
        let histogram = Histogram {
            reset: self.reset,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.value(),
            count: self.count.value(),
            sum: self.sum,
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            custom_bounds: self.custom_bounds.into(),
        };
        check_schema(&histogram)?;
        Ok(histogram)
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
