//! One batch as the bytes of one log record, and back: pure. A segment stands alone: a series is declared in it before its
//! first sample, and values are written as the XOR with the series' value before in the same segment, so that a value
//! that did not change costs one byte.
//!
//! Record: base time, count of declarations, declarations, count of samples, samples, and since version 2 count of histograms,
//! histograms; numbers as in `varint`. Declaration: count of labels, then name and value. Sample: a control byte (bits 0-5 the
//! shape of the XOR, [`OTHER_TIME`], [`OTHER_SERIES`]), what those bits announce, then the XOR's significant bytes. Histogram: its
//! series' number, its time less the base, then as in `histogram_record`.

use std::sync::Arc;

use super::histogram_record::{read_histogram, write_histogram};
use super::varint::{read_length, read_number, read_signed, read_text, take, write_number, write_signed, write_text};
use crate::series::{Histogram, HistogramSample, Labels, Point, Sample};

/// How a segment's records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// Numbers only.
    One,
    /// Histograms after the numbers.
    Two,
}

/// The sample's time is not the record's: a signed number follows.
const OTHER_TIME: u8 = 0x40;

/// The sample's series is not the one after the last sample's: a signed number follows.
const OTHER_SERIES: u8 = 0x80;

/// Where the log stands with one series. Segment 0 is none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LogMark {
    segment: u32,
    local: u32,
    /// Whether a number of the series is in the segment, and not only histograms.
    numbers: bool,
}

/// A series' number within its segment, in the order of declaration.
type Local = u32;

/// Builds records of one segment after another.
#[derive(Debug, Default)]
pub(super) struct RecordWriter {
    /// Counts the segments of this process.
    segment: u32,
    declared: Local,
    base_ms: i64,
    expected: i64,
    declarations: Vec<u8>,
    declaration_count: u64,
    samples: Vec<u8>,
    sample_count: u64,
    histograms: Vec<u8>,
    histogram_count: u64,
    newest_ms: i64,
}

impl RecordWriter {
    /// Goes on in a fresh segment, in which no series is declared.
    pub fn start_segment(&mut self) {
        *self = Self { segment: self.segment + 1, ..Self::default() };
    }

    pub fn is_empty(&self) -> bool {
        self.sample_count == 0 && self.histogram_count == 0
    }

    pub fn size(&self) -> usize {
        self.declarations.len() + self.samples.len() + self.histograms.len()
    }

    /// The newest time of the record that is being built.
    pub fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    /// Adds a sample. `before` is the last number that the series took, `labels` are asked for if it is not declared yet.
    pub fn add(&mut self, mark: &mut LogMark, labels: impl FnOnce() -> Labels, before: f64, sample: Sample) {
        self.begin(mark, labels, sample.timestamp_ms);
        self.sample_count += 1;
        let bits = sample.value.to_bits();
        let before = if mark.numbers { before.to_bits() } else { 0 };
        mark.numbers = true;
        let (shape, significant, length) = shape_of(bits ^ before);
        let later = sample.timestamp_ms.wrapping_sub(self.base_ms);
        let ahead = i64::from(mark.local) - self.expected;
        self.expected = i64::from(mark.local) + 1;
        let time_flag = if later == 0 { 0 } else { OTHER_TIME };
        let series_flag = if ahead == 0 { 0 } else { OTHER_SERIES };
        self.samples.push(shape | time_flag | series_flag);
        if ahead != 0 {
            write_signed(&mut self.samples, ahead);
        }
        if later != 0 {
            write_signed(&mut self.samples, later);
        }
        // All of a word costs less than some of it.
        let end = self.samples.len() + length;
        self.samples.extend_from_slice(&significant.to_le_bytes());
        self.samples.truncate(end);
    }

    pub fn add_histogram(&mut self, mark: &mut LogMark, labels: impl FnOnce() -> Labels, sample: &HistogramSample) {
        self.begin(mark, labels, sample.timestamp_ms);
        self.histogram_count += 1;
        write_number(&mut self.histograms, u64::from(mark.local));
        write_signed(&mut self.histograms, sample.timestamp_ms.wrapping_sub(self.base_ms));
        write_histogram(&mut self.histograms, &sample.histogram);
    }

    /// Declares a series that is not yet, and notes the time.
    fn begin(&mut self, mark: &mut LogMark, labels: impl FnOnce() -> Labels, timestamp_ms: i64) {
        if mark.segment != self.segment {
            *mark = LogMark { segment: self.segment, local: self.declared, numbers: false };
            self.declared += 1;
            self.declaration_count += 1;
            let labels = labels();
            write_number(&mut self.declarations, labels.len() as u64);
            for text in labels.iter().flat_map(|(name, value)| [name, value]) {
                write_text(&mut self.declarations, text);
            }
        }
        if self.is_empty() {
            self.base_ms = timestamp_ms;
            self.newest_ms = timestamp_ms;
            self.expected = 0;
        }
        self.newest_ms = self.newest_ms.max(timestamp_ms);
    }

    /// Appends the record to `out` and begins the next one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        write_signed(out, self.base_ms);
        write_number(out, self.declaration_count);
        out.append(&mut self.declarations);
        write_number(out, self.sample_count);
        out.append(&mut self.samples);
        write_number(out, self.histogram_count);
        out.append(&mut self.histograms);
        self.declaration_count = 0;
        self.sample_count = 0;
        self.histogram_count = 0;
    }
}

/// Reads the records of one segment. `S` is what the caller keeps for a declared series.
#[derive(Debug)]
pub(super) struct RecordReader<S> {
    version: Version,
    declared: Vec<(S, u64)>,
}

impl<S> RecordReader<S> {
    pub fn new(version: Version) -> Self {
        Self { version, declared: Vec::new() }
    }

    /// Reads one record: `declare` is called for each new series, `sample` for each sample. `None` if the bytes are no
    /// record of this segment: then neither is called, because what cannot be read to its end is cut off, and what was taken
    /// of it would be gone with the next start.
    pub fn read(
        &mut self,
        record: &[u8],
        mut declare: impl FnMut(Labels) -> S,
        mut sample: impl FnMut(&S, Point),
    ) -> Option<()> {
        let (version, before) = (self.version, self.declared.len());
        entries(record, version, before, |_| {})?;
        entries(record, version, before, |entry| match entry {
            Entry::Series(mut labels) => {
                self.declared.extend(read_labels(&mut labels).map(|labels| (declare(labels), 0)));
            }
            Entry::Number { local, timestamp_ms, xor } => {
                let (series, bits) = &mut self.declared[local];
                *bits ^= xor;
                sample(series, Point::Float(Sample { timestamp_ms, value: f64::from_bits(*bits) }));
            }
            Entry::Histogram { local, timestamp_ms, histogram } => {
                let histogram = Arc::new(histogram);
                sample(&self.declared[local].0, Point::Histogram(HistogramSample { timestamp_ms, histogram }));
            }
        })
    }
}

/// What a record holds; a series is given by its place among those declared, which is one.
enum Entry<'a> {
    /// A new one: the bytes from its labels on.
    Series(&'a [u8]),
    /// A number: what its bits differ in from those of the number before.
    Number {
        local: usize,
        timestamp_ms: i64,
        xor: u64,
    },
    Histogram {
        local: usize,
        timestamp_ms: i64,
        histogram: Histogram,
    },
}

/// Goes through a record of a segment in which so many series are declared. `None` if the bytes are none.
fn entries<'a>(record: &'a [u8], version: Version, declared: usize, mut give: impl FnMut(Entry<'a>)) -> Option<()> {
    let (mut bytes, mut declared) = (record, declared);
    let base_ms = read_signed(&mut bytes)?;
    for _ in 0..read_number(&mut bytes)? {
        let labels = bytes;
        skip_labels(&mut bytes)?;
        declared += 1;
        give(Entry::Series(labels));
    }
    let known = |local: u64| usize::try_from(local).ok().filter(|local| *local < declared);
    let mut expected = 0i64;
    for _ in 0..read_number(&mut bytes)? {
        let control = take(&mut bytes, 1)?[0];
        let ahead = if control & OTHER_SERIES == 0 { 0 } else { read_signed(&mut bytes)? };
        let later = if control & OTHER_TIME == 0 { 0 } else { read_signed(&mut bytes)? };
        let local = expected.checked_add(ahead)?;
        expected = local.checked_add(1)?;
        let local = known(u64::try_from(local).ok()?)?;
        let (length, trailing) = lengths_of(control & 0x3f)?;
        let mut significant = [0; 8];
        significant[..length].copy_from_slice(take(&mut bytes, length)?);
        let xor = u64::from_le_bytes(significant) << (8 * trailing % 64);
        give(Entry::Number { local, timestamp_ms: base_ms.wrapping_add(later), xor });
    }
    let histograms = if version >= Version::Two { read_number(&mut bytes)? } else { 0 };
    for _ in 0..histograms {
        let local = known(read_number(&mut bytes)?)?;
        let timestamp_ms = base_ms.wrapping_add(read_signed(&mut bytes)?);
        give(Entry::Histogram { local, timestamp_ms, histogram: read_histogram(&mut bytes)? });
    }
    bytes.is_empty().then_some(())
}

/// Shape of a XOR: which of its 8 bytes are significant. Returns the shape's number, those bytes and how many they are.
fn shape_of(xor: u64) -> (u8, u64, usize) {
    if xor == 0 {
        return (0, 0, 0);
    }
    let trailing = xor.trailing_zeros() / 8;
    let length = 8 - xor.leading_zeros() / 8 - trailing;
    let shape = FIRST_SHAPES[length as usize] + trailing;
    (shape as u8, xor >> (8 * trailing), length as usize)
}

/// What [`first_shape`] gives for each length.
const FIRST_SHAPES: [u32; 9] = [0, 1, 9, 16, 22, 27, 31, 34, 36];

/// The number of the shape with `length` significant bytes and no zero bytes below them.
fn first_shape(length: u32) -> u32 {
    1 + (1..length).map(|shorter| 9 - shorter).sum::<u32>()
}

/// Significant bytes, and zero bytes below them.
fn lengths_of(shape: u8) -> Option<(usize, u32)> {
    if shape == 0 {
        return Some((0, 0));
    }
    let shape = u32::from(shape);
    let length = (1..=8).rev().find(|length| first_shape(*length) <= shape)?;
    let trailing = shape - first_shape(length);
    (length + trailing <= 8).then_some((length as usize, trailing))
}

fn read_labels(bytes: &mut &[u8]) -> Option<Labels> {
    let count = read_length(bytes)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        pairs.push((read_text(bytes)?, read_text(bytes)?));
    }
    Some(Labels::new(pairs))
}

fn skip_labels(bytes: &mut &[u8]) -> Option<()> {
    for _ in 0..read_length(bytes)? {
        read_text(bytes)?;
        read_text(bytes)?;
    }
    Some(())
}

#[cfg(test)]
mod tests;
