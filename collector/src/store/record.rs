//! One batch as the bytes of one log record, and back: pure. A segment stands alone: a series is declared in it before its
//! first sample, and values are written as the XOR with the series' value before in the same segment, so that a value
//! that did not change costs one byte.
//!
//! Record: base time, count of declarations, declarations, count of samples, samples; numbers are LEB128, signed ones
//! zigzag. Declaration: count of labels, then name and value each with its length. Sample: a control byte (bits 0-5 the shape
//! of the XOR, [`OTHER_TIME`], [`OTHER_SERIES`]), what those bits announce, then the XOR's significant bytes.

use crate::series::{Labels, Sample};

/// The sample's time is not the record's: a signed number follows.
const OTHER_TIME: u8 = 0x40;

/// The sample's series is not the one after the last sample's: a signed number follows.
const OTHER_SERIES: u8 = 0x80;

/// Where the log stands with one series. Segment 0 is none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LogMark {
    segment: u64,
    local: u32,
    previous: u64,
}

/// A series' number within its segment, in the order of declaration.
type Local = u32;

/// Builds records of one segment after another.
#[derive(Debug, Default)]
pub(super) struct RecordWriter {
    segment: u64,
    declared: Local,
    base_ms: i64,
    expected: i64,
    declarations: Vec<u8>,
    declaration_count: u64,
    samples: Vec<u8>,
    sample_count: u64,
    newest_ms: i64,
}

impl RecordWriter {
    /// Goes on in a fresh segment, in which no series is declared.
    pub fn start_segment(&mut self, segment: u64) {
        *self = Self { segment, ..Self::default() };
    }

    pub fn is_empty(&self) -> bool {
        self.sample_count == 0
    }

    pub fn size(&self) -> usize {
        self.declarations.len() + self.samples.len()
    }

    /// The newest time of the record that is being built.
    pub fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    pub fn add(&mut self, mark: &mut LogMark, labels: &Labels, sample: Sample) {
        if mark.segment != self.segment {
            *mark = LogMark { segment: self.segment, local: self.declared, previous: 0 };
            self.declared += 1;
            self.declare(labels);
        }
        if self.sample_count == 0 {
            self.base_ms = sample.timestamp_ms;
            self.newest_ms = sample.timestamp_ms;
            self.expected = 0;
        }
        self.newest_ms = self.newest_ms.max(sample.timestamp_ms);
        self.sample_count += 1;
        let bits = sample.value.to_bits();
        let (shape, significant, length) = shape_of(bits ^ mark.previous);
        mark.previous = bits;
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
        self.samples.extend_from_slice(&significant.to_le_bytes()[..length]);
    }

    fn declare(&mut self, labels: &Labels) {
        self.declaration_count += 1;
        write_number(&mut self.declarations, labels.len() as u64);
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            write_number(&mut self.declarations, text.len() as u64);
            self.declarations.extend_from_slice(text.as_bytes());
        }
    }

    /// Appends the record to `out` and begins the next one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        write_signed(out, self.base_ms);
        write_number(out, self.declaration_count);
        out.append(&mut self.declarations);
        write_number(out, self.sample_count);
        out.append(&mut self.samples);
        self.declaration_count = 0;
        self.sample_count = 0;
    }
}

/// Reads the records of one segment. `S` is what the caller keeps for a declared series.
#[derive(Debug)]
pub(super) struct RecordReader<S> {
    declared: Vec<(S, u64)>,
}

impl<S> RecordReader<S> {
    pub fn new() -> Self {
        Self { declared: Vec::new() }
    }

    /// Reads one record: `declare` is called for each new series, `sample` for each sample. `None` if the bytes are no
    /// record of this segment.
    pub fn read(
        &mut self,
        record: &[u8],
        mut declare: impl FnMut(Labels) -> S,
        mut sample: impl FnMut(&S, Sample),
    ) -> Option<()> {
        let mut bytes = record;
        let base_ms = read_signed(&mut bytes)?;
        for _ in 0..read_number(&mut bytes)? {
            self.declared.push((declare(read_labels(&mut bytes)?), 0));
        }
        let mut expected = 0i64;
        for _ in 0..read_number(&mut bytes)? {
            let control = take(&mut bytes, 1)?[0];
            let ahead = if control & OTHER_SERIES == 0 { 0 } else { read_signed(&mut bytes)? };
            let later = if control & OTHER_TIME == 0 { 0 } else { read_signed(&mut bytes)? };
            let local = expected.checked_add(ahead)?;
            expected = local.checked_add(1)?;
            let (series, value) = self.declared.get_mut(usize::try_from(local).ok()?)?;
            let (length, trailing) = lengths_of(control & 0x3f)?;
            let mut significant = [0; 8];
            significant[..length].copy_from_slice(take(&mut bytes, length)?);
            *value ^= u64::from_le_bytes(significant) << (8 * trailing % 64);
            sample(series, Sample { timestamp_ms: base_ms.wrapping_add(later), value: f64::from_bits(*value) });
        }
        bytes.is_empty().then_some(())
    }
}

/// Shape of a XOR: which of its 8 bytes are significant. Returns the shape's number, those bytes and how many they are.
fn shape_of(xor: u64) -> (u8, u64, usize) {
    if xor == 0 {
        return (0, 0, 0);
    }
    let trailing = xor.trailing_zeros() / 8;
    let length = 8 - xor.leading_zeros() / 8 - trailing;
    let shape = first_shape(length) + trailing;
    (shape as u8, xor >> (8 * trailing), length as usize)
}

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
    let count = usize::try_from(read_number(bytes)?).ok().filter(|count| *count <= bytes.len())?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        pairs.push((read_text(bytes)?, read_text(bytes)?));
    }
    Some(Labels::new(pairs))
}

fn read_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(read_number(bytes)?).ok()?;
    std::str::from_utf8(take(bytes, length)?).ok()
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn write_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn write_signed(out: &mut Vec<u8>, value: i64) {
    write_number(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn read_signed(bytes: &mut &[u8]) -> Option<i64> {
    read_number(bytes).map(|raw| ((raw >> 1) as i64) ^ -((raw & 1) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(i: usize) -> Labels {
        Labels::new([("__name__".to_owned(), "m".to_owned()), ("i".to_owned(), i.to_string())])
    }

    #[test]
    fn every_shape_has_one_number() {
        for trailing in 0..8 {
            for length in 1..=8 - trailing {
                let xor = (u64::MAX >> (64 - 8 * length)) << (8 * trailing);
                let (shape, ..) = shape_of(xor);
                assert!(shape < OTHER_TIME);
                assert_eq!(lengths_of(shape), Some((length as usize, trailing)));
            }
        }
    }

    #[test]
    fn an_unchanged_batch_costs_a_byte_a_sample() {
        let mut writer = RecordWriter::default();
        writer.start_segment(1);
        let mut marks = vec![LogMark::default(); 100];
        let mut sizes = Vec::new();
        for timestamp_ms in [1_700_000_000_000, 1_700_000_001_000] {
            for (i, mark) in marks.iter_mut().enumerate() {
                writer.add(mark, &labels(i), Sample { timestamp_ms, value: 0.25 });
            }
            let mut out = Vec::new();
            writer.finish(&mut out);
            sizes.push(out.len());
        }
        assert!(sizes[1] <= 110, "{sizes:?}");
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            batches in prop::collection::vec(
                prop::collection::vec((0usize..20, -5i64..5, any::<u64>()), 1..30), 1..6)
        ) {
            let mut writer = RecordWriter::default();
            writer.start_segment(7);
            let mut marks = vec![LogMark::default(); 20];
            let mut reader = RecordReader::new();
            for batch in batches {
                let mut wanted = Vec::new();
                for (series, time, bits) in batch {
                    let sample = Sample { timestamp_ms: 1_000 + time, value: f64::from_bits(bits) };
                    writer.add(&mut marks[series], &labels(series), sample);
                    wanted.push((labels(series), sample.timestamp_ms, bits));
                }
                let mut record = Vec::new();
                writer.finish(&mut record);
                let mut found = Vec::new();
                let read = reader.read(&record, |l| l, |l, s| {
                    found.push((l.clone(), s.timestamp_ms, s.value.to_bits()));
                });
                prop_assert_eq!(read, Some(()));
                prop_assert_eq!(found, wanted);
            }
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = RecordReader::new().read(&bytes, |l| l, |_, _| {});
        }
    }
}
