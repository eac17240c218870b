//! Samples of one series in little memory: times as the change of their step, values as the XOR with the one before
//! (the scheme of Facebook's Gorilla paper). A steady series costs two bits a sample. Knows nothing of labels or files.

use super::bits::{BitReader, BitWriter};
use crate::series::Sample;

/// Samples after which a chunk is sealed: Prometheus' number. Reading one sample means decoding its chunk.
pub(super) const SAMPLES_PER_CHUNK: u8 = 120;

/// A window of no bits, never reused.
const NO_WINDOW: Window = Window { leading: 64, length: 0 };

/// Which bits of a XOR are written.
#[derive(Debug, Clone, Copy)]
struct Window {
    leading: u8,
    length: u8,
}

impl Window {
    fn trailing(self) -> u32 {
        64 - u32::from(self.leading) - u32::from(self.length)
    }

    fn covers(self, xor: u64) -> bool {
        self.length > 0 && xor.leading_zeros() >= u32::from(self.leading) && xor.trailing_zeros() >= self.trailing()
    }
}

/// A full chunk.
#[derive(Debug)]
pub(super) struct Chunk {
    pub first_ms: i64,
    pub last_ms: i64,
    count: u8,
    bytes: Box<[u8]>,
}

impl Chunk {
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }

    pub fn samples(&self) -> Samples<'_> {
        Samples::new(BitReader::new(&self.bytes), self.count, self.first_ms)
    }
}

/// The chunk that is being filled.
#[derive(Debug)]
pub(super) struct OpenChunk {
    pub first_ms: i64,
    pub last: Sample,
    step: i64,
    bits: BitWriter,
    count: u8,
    window: Window,
}

impl OpenChunk {
    pub fn new(first: Sample) -> Self {
        let mut bits = BitWriter::default();
        bits.write(first.value.to_bits(), 64);
        Self { first_ms: first.timestamp_ms, last: first, count: 1, step: 0, window: NO_WINDOW, bits }
    }

    /// Of at most a chunk's samples, in order; none of none.
    pub fn of(mut samples: impl Iterator<Item = Sample>) -> Option<Self> {
        let mut open = Self::new(samples.next()?);
        samples.for_each(|sample| open.push(sample));
        Some(open)
    }

    pub fn is_full(&self) -> bool {
        self.count >= SAMPLES_PER_CHUNK
    }

    pub fn size(&self) -> usize {
        size_of::<Self>() + self.bits.size()
    }

    /// The byte behind which the next samples are written.
    pub fn written_last(&self) -> u8 {
        self.bits.written_last()
    }

    pub fn push(&mut self, sample: Sample) {
        let step = sample.timestamp_ms.wrapping_sub(self.last.timestamp_ms);
        let change = step.wrapping_sub(self.step);
        // Mostly the step is the same: that is written as a 0, together with what follows.
        let zeros = u32::from(change == 0);
        if change != 0 {
            self.bits.write_small(change);
        }
        self.write_value(zeros, sample.value.to_bits() ^ self.last.value.to_bits());
        self.step = step;
        self.last = sample;
        self.count += 1;
    }

    pub fn seal(self) -> Chunk {
        Chunk { first_ms: self.first_ms, last_ms: self.last.timestamp_ms, count: self.count, bytes: self.bits.finish() }
    }

    pub fn samples(&self) -> Samples<'_> {
        Samples::new(self.bits.reader(), self.count, self.first_ms)
    }

    /// Writes so many zeros, then a value.
    fn write_value(&mut self, zeros: u32, xor: u64) {
        if xor == 0 {
            return self.bits.write(0, zeros + 1);
        }
        let (prefix, prefix_width) = if self.window.covers(xor) {
            (0b10, zeros + 2)
        } else {
            let leading = xor.leading_zeros();
            let length = 64 - leading - xor.trailing_zeros();
            self.window = Window { leading: leading as u8, length: length as u8 };
            ((0b11 << 12) | (u64::from(leading) << 6) | u64::from(length - 1), zeros + 14)
        };
        let (bits, width) = (xor >> self.window.trailing(), u32::from(self.window.length));
        if prefix_width + width <= u64::BITS {
            self.bits.write((prefix << width) | bits, prefix_width + width);
        } else {
            self.bits.write(prefix, prefix_width);
            self.bits.write(bits, width);
        }
    }
}

/// Reads a chunk's samples in order.
pub(super) struct Samples<'a> {
    bits: BitReader<'a>,
    left: u8,
    started: bool,
    timestamp_ms: i64,
    step: i64,
    value: u64,
    window: Window,
}

impl<'a> Samples<'a> {
    fn new(bits: BitReader<'a>, count: u8, first_ms: i64) -> Self {
        Self { bits, left: count, started: false, timestamp_ms: first_ms, step: 0, value: 0, window: NO_WINDOW }
    }

    fn read_value(&mut self) -> Option<u64> {
        let word = self.bits.peek();
        match word.leading_ones() {
            0 => return self.bits.skip(1).map(|()| 0),
            1 => self.bits.skip(2)?,
            _ => {
                let (leading, length) = ((word << 2 >> 58) as u8, (word << 8 >> 58) as u8 + 1);
                if leading + length > 64 {
                    return None;
                }
                self.bits.skip(14)?;
                self.window = Window { leading, length };
            }
        }
        self.bits.read(u32::from(self.window.length)).map(|bits| bits << self.window.trailing())
    }
}

impl Iterator for Samples<'_> {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        self.left = self.left.checked_sub(1)?;
        if self.started {
            self.step = self.step.wrapping_add(self.bits.read_small()?);
            self.timestamp_ms = self.timestamp_ms.wrapping_add(self.step);
            self.value ^= self.read_value()?;
        } else {
            self.started = true;
            self.value = self.bits.read(64)?;
        }
        Some(Sample { timestamp_ms: self.timestamp_ms, value: f64::from_bits(self.value) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // A damaged chunk may end early.
        (0, Some(self.left as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(samples: &[Sample]) -> Vec<Sample> {
        let mut open = OpenChunk::new(samples[0]);
        samples[1..].iter().for_each(|s| open.push(*s));
        let while_open: Vec<Sample> = open.samples().collect();
        let sealed: Vec<Sample> = open.seal().samples().collect();
        assert_eq!(format!("{while_open:?}"), format!("{sealed:?}"));
        sealed
    }

    #[test]
    fn a_steady_series_costs_two_bits_a_sample() {
        let mut open = OpenChunk::new(Sample { timestamp_ms: 1_700_000_000_000, value: 42.0 });
        for i in 1..i64::from(SAMPLES_PER_CHUNK) {
            open.push(Sample { timestamp_ms: 1_700_000_000_000 + i * 1_000, value: 42.0 });
        }
        assert!(open.seal().bytes.len() <= 8 + 3 + 30);
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_to_the_bit(
            samples in prop::collection::vec((any::<i64>(), any::<u64>()), 1..200)
        ) {
            let samples: Vec<Sample> = samples
                .into_iter()
                .map(|(timestamp_ms, bits)| Sample { timestamp_ms, value: f64::from_bits(bits) })
                .collect();
            let back = round_trip(&samples);
            prop_assert_eq!(back.len(), samples.len());
            for (a, b) in back.iter().zip(&samples) {
                prop_assert_eq!(a.timestamp_ms, b.timestamp_ms);
                prop_assert_eq!(a.value.to_bits(), b.value.to_bits());
            }
        }

        #[test]
        fn near_values_come_out_to_the_bit(steps in prop::collection::vec((0i64..40_000, 0u32..5), 1..200)) {
            let (mut at, mut value) = (1_700_000_000_000, 0.0);
            let samples: Vec<Sample> = steps.into_iter().map(|(step, grow)| {
                at += step;
                value += f64::from(grow) * 0.1;
                Sample { timestamp_ms: at, value }
            }).collect();
            prop_assert_eq!(round_trip(&samples), samples);
        }
    }
}
