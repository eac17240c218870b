//! Native histograms of one series in little memory. Those of a chunk have the same buckets: the first is kept as it is, of
//! the others only the change of time, sum and counts. Whole counts are written as the change of their step, others as the XOR
//! with the one before. Says also whether a counter was reset. Knows nothing of labels or files.

use std::sync::Arc;

use super::bits::{BitReader, BitWriter};
use super::chunk::SAMPLES_PER_CHUNK;
use crate::series::{CounterReset, Histogram, HistogramSample};

/// Whole numbers up to this are floats without loss.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A full chunk.
#[derive(Debug)]
pub(super) struct HistogramChunk {
    first: HistogramSample,
    pub last_ms: i64,
    count: u8,
    /// Whether all counts are whole numbers.
    whole: bool,
    bytes: Box<[u8]>,
}

impl HistogramChunk {
    pub fn first_ms(&self) -> i64 {
        self.first.timestamp_ms
    }

    pub fn samples(&self) -> HistogramSamples<'_> {
        HistogramSamples::new(&self.first, self.count, self.whole, BitReader::new(&self.bytes))
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.bytes.len() + size_of_histogram(&self.first.histogram)
    }
}

/// The chunk that is being filled.
#[derive(Debug)]
pub(super) struct OpenHistogramChunk {
    first: HistogramSample,
    pub last: HistogramSample,
    count: u8,
    step: i64,
    /// The last step of each count if they are whole numbers, else nothing.
    steps: Option<Vec<i64>>,
    bits: BitWriter,
}

impl OpenHistogramChunk {
    pub fn new(first: HistogramSample) -> Self {
        let steps = is_whole(&first.histogram).then(|| vec![0; counts(&first.histogram).count()]);
        let last = first.clone();
        Self { first, last, count: 1, step: 0, steps, bits: BitWriter::default() }
    }

    /// Of samples that were in one chunk, in order; none of none.
    pub fn of(mut samples: impl Iterator<Item = HistogramSample>) -> Option<Self> {
        let mut open = Self::new(samples.next()?);
        // They fitted before.
        samples.for_each(|sample| drop(open.push(sample)));
        Some(open)
    }

    pub fn first_ms(&self) -> i64 {
        self.first.timestamp_ms
    }

    /// Adds a sample that is newer than the last one; gives it back if it needs a chunk of its own.
    pub fn push(&mut self, sample: HistogramSample) -> Result<(), HistogramSample> {
        let (before, after) = (&*self.last.histogram, &*sample.histogram);
        let fits = self.count < SAMPLES_PER_CHUNK && same_buckets(before, after);
        if !fits || (self.steps.is_some() && !is_whole(after)) {
            return Err(sample);
        }
        let step = sample.timestamp_ms.wrapping_sub(self.last.timestamp_ms);
        self.bits.write_small(step.wrapping_sub(self.step));
        self.step = step;
        let same_reset = before.reset == after.reset;
        self.bits.write(u64::from(!same_reset), 1);
        if !same_reset {
            self.bits.write(reset_code(after.reset), 2);
        }
        write_xor(&mut self.bits, before.sum.to_bits() ^ after.sum.to_bits());
        let pairs = counts(before).zip(counts(after));
        match &mut self.steps {
            Some(steps) => {
                for ((before, after), step) in pairs.zip(steps) {
                    let grown = after as i64 - before as i64;
                    self.bits.write_small(grown - *step);
                    *step = grown;
                }
            }
            None => pairs.for_each(|(before, after)| write_xor(&mut self.bits, before.to_bits() ^ after.to_bits())),
        }
        self.last = sample;
        self.count += 1;
        Ok(())
    }

    pub fn seal(self) -> HistogramChunk {
        HistogramChunk {
            first: self.first,
            last_ms: self.last.timestamp_ms,
            count: self.count,
            whole: self.steps.is_some(),
            bytes: self.bits.finish(),
        }
    }

    pub fn samples(&self) -> HistogramSamples<'_> {
        HistogramSamples::new(&self.first, self.count, self.steps.is_some(), self.bits.reader())
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        let histograms = size_of_histogram(&self.first.histogram) + size_of_histogram(&self.last.histogram);
        let steps = self.steps.as_ref().map_or(0, |steps| size_of_val(&steps[..]));
        size_of::<Self>() + self.bits.size() + histograms + steps
    }
}

fn size_of_histogram(histogram: &Histogram) -> usize {
    size_of::<Histogram>()
        + size_of_val(&histogram.positive_spans[..])
        + size_of_val(&histogram.negative_spans[..])
        + size_of_val(&histogram.positive_buckets[..])
        + size_of_val(&histogram.negative_buckets[..])
}

/// Reads a chunk's histograms in order.
pub(super) struct HistogramSamples<'a> {
    bits: BitReader<'a>,
    left: u8,
    current: HistogramSample,
    started: bool,
    step: i64,
    steps: Option<Vec<i64>>,
}

impl<'a> HistogramSamples<'a> {
    fn new(first: &HistogramSample, count: u8, whole: bool, bits: BitReader<'a>) -> Self {
        let steps = whole.then(|| vec![0; counts(&first.histogram).count()]);
        Self { bits, left: count, current: first.clone(), started: false, step: 0, steps }
    }

    fn advance(&mut self) -> Option<()> {
        self.step = self.step.wrapping_add(self.bits.read_small()?);
        let mut next = (*self.current.histogram).clone();
        if self.bits.read(1)? == 1 {
            next.reset = reset_of(self.bits.read(2)?);
        }
        next.sum = f64::from_bits(next.sum.to_bits() ^ read_xor(&mut self.bits)?);
        let counts = [&mut next.zero_count, &mut next.count].into_iter();
        let counts = counts.chain(&mut next.positive_buckets).chain(&mut next.negative_buckets);
        match &mut self.steps {
            Some(steps) => {
                for (count, step) in counts.zip(steps) {
                    *step = step.wrapping_add(self.bits.read_small()?);
                    *count = (*count as i64).wrapping_add(*step) as f64;
                }
            }
            None => {
                for count in counts {
                    *count = f64::from_bits(count.to_bits() ^ read_xor(&mut self.bits)?);
                }
            }
        }
        let timestamp_ms = self.current.timestamp_ms.wrapping_add(self.step);
        self.current = HistogramSample { timestamp_ms, histogram: Arc::new(next) };
        Some(())
    }
}

impl Iterator for HistogramSamples<'_> {
    type Item = HistogramSample;

    fn next(&mut self) -> Option<HistogramSample> {
        self.left = self.left.checked_sub(1)?;
        if std::mem::replace(&mut self.started, true) {
            self.advance()?;
        }
        Some(self.current.clone())
    }
}

/// What a histogram says of a reset, given the one before it: what it says itself, else what the counts tell, as in Prometheus.
pub(super) fn reset_since(before: Option<&Histogram>, after: &Histogram) -> CounterReset {
    if matches!(after.reset, CounterReset::Gauge | CounterReset::Reset) || after.is_stale() {
        return after.reset;
    }
    let Some(before) = before.filter(|before| !before.is_stale() && before.reset != CounterReset::Gauge) else {
        return CounterReset::Unknown;
    };
    if after.count < before.count {
        return CounterReset::Reset;
    }
    let comparable = before.schema == after.schema
        && before.zero_threshold == after.zero_threshold
        && same_bits(&before.custom_bounds, &after.custom_bounds);
    if !comparable {
        return CounterReset::Unknown;
    }
    let fallen = after.zero_count < before.zero_count
        || has_fallen(positive(before), positive(after))
        || has_fallen(negative(before), negative(after));
    if fallen { CounterReset::Reset } else { CounterReset::NotReset }
}

/// Whether two histograms say the same, but for the reset before them.
pub(super) fn same_content(a: &Histogram, b: &Histogram) -> bool {
    let same_counts = || counts(a).zip(counts(b)).all(|(a, b)| a.to_bits() == b.to_bits());
    same_buckets(a, b) && a.sum.to_bits() == b.sum.to_bits() && same_counts()
}

fn same_buckets(a: &Histogram, b: &Histogram) -> bool {
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && a.positive_buckets.len() == b.positive_buckets.len()
        && a.negative_buckets.len() == b.negative_buckets.len()
        && (Arc::ptr_eq(&a.custom_bounds, &b.custom_bounds) || same_bits(&a.custom_bounds, &b.custom_bounds))
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// All counts in one fixed order.
fn counts(histogram: &Histogram) -> impl Iterator<Item = f64> {
    let of_all = [histogram.zero_count, histogram.count].into_iter();
    of_all.chain(histogram.positive_buckets.iter().copied()).chain(histogram.negative_buckets.iter().copied())
}

fn is_whole(histogram: &Histogram) -> bool {
    counts(histogram).all(|count| {
        let is_number = (0.0..=WHOLE_MAX).contains(&count) && count.is_sign_positive();
        is_number && count.fract() == 0.0
    })
}

fn positive(histogram: &Histogram) -> impl Iterator<Item = (i64, f64)> {
    indexed(&histogram.positive_spans, &histogram.positive_buckets)
}

fn negative(histogram: &Histogram) -> impl Iterator<Item = (i64, f64)> {
    indexed(&histogram.negative_spans, &histogram.negative_buckets)
}

/// Buckets with their index.
fn indexed(spans: &[crate::series::Span], buckets: &[f64]) -> impl Iterator<Item = (i64, f64)> {
    let mut next = 0i64;
    let indexes = spans.iter().flat_map(move |span| {
        let from = next + i64::from(span.offset);
        next = from + i64::from(span.length);
        from..next
    });
    indexes.zip(buckets.iter().copied())
}

/// Whether a bucket holds less than before; one that is left out holds nothing.
fn has_fallen(before: impl Iterator<Item = (i64, f64)>, after: impl Iterator<Item = (i64, f64)>) -> bool {
    let mut after = after.peekable();
    before.filter(|(_, count)| *count != 0.0).any(|(index, count)| {
        while after.next_if(|(other, _)| *other < index).is_some() {}
        after.next_if(|(other, _)| *other == index).is_none_or(|(_, now)| now < count)
    })
}

fn reset_code(reset: CounterReset) -> u64 {
    match reset {
        CounterReset::Unknown => 0,
        CounterReset::Reset => 1,
        CounterReset::NotReset => 2,
        CounterReset::Gauge => 3,
    }
}

fn reset_of(code: u64) -> CounterReset {
    match code {
        1 => CounterReset::Reset,
        2 => CounterReset::NotReset,
        3 => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    }
}

fn write_xor(bits: &mut BitWriter, xor: u64) {
    if xor == 0 {
        return bits.write(0, 1);
    }
    let (leading, trailing) = (xor.leading_zeros(), xor.trailing_zeros());
    let length = 64 - leading - trailing;
    bits.write((1 << 12) | (u64::from(leading) << 6) | u64::from(length - 1), 13);
    bits.write(xor >> trailing, length);
}

fn read_xor(bits: &mut BitReader<'_>) -> Option<u64> {
    if bits.read(1)? == 0 {
        return Some(0);
    }
    let leading = bits.read(6)? as u32;
    let length = bits.read(6)? as u32 + 1;
    let trailing = 64u32.checked_sub(leading + length)?;
    bits.read(length).map(|xor| xor << trailing)
}

#[cfg(test)]
mod tests;
