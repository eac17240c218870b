//! Bits in a row, most significant first, and the one way in which small numbers are written with them. Knows nothing of
//! samples.

/// Widths of a signed number and the prefixes that announce them; 0 is a single bit, and a wider one has 64 bits. As steps of
/// time in milliseconds: 64 of them, 16 seconds and 1,048 seconds either way.
const WIDTHS: [(u64, u32, u32); 3] = [(0b10, 2, 7), (0b110, 3, 15), (0b1110, 4, 21)];

/// What is read at once: with the bits of a begun byte it fits a word.
const PIECE_BITS_MAX: u32 = 56;

/// Bytes that wait in the writer itself. There are as many buffers as series, and each lies elsewhere: with a few samples at
/// once, a series' buffer is fetched from memory once for all of them.
const TAIL_BYTES: usize = 16;

/// The same in words.
const TAIL_WORDS: usize = TAIL_BYTES / size_of::<u64>();

/// Bytes that a buffer has first. The C library keeps freed pieces of up to 120 bytes apart, for others of the very same size:
/// buffers that grew from there would leave them behind for ever.
const BYTES_MIN: usize = 8 * TAIL_BYTES;

/// Bytes by which a full buffer grows at least: doubling would waste much, as there are so many.
const GROWTH_BYTES_MIN: usize = 4 * TAIL_BYTES;

/// Appends bits.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// The last bits, the first of them highest; the rest is 0.
    tail: [u64; TAIL_WORDS],
    /// How many they are: less than all.
    tail_bits: u8,
}

impl BitWriter {
    fn tail(&self) -> u128 {
        (u128::from(self.tail[0]) << u64::BITS) | u128::from(self.tail[1])
    }

    fn set_tail(&mut self, tail: u128, bits: u32) {
        self.tail = [(tail >> u64::BITS) as u64, tail as u64];
        self.tail_bits = bits as u8;
    }

    /// The last byte that does not wait.
    pub fn written_last(&self) -> u8 {
        self.bytes.last().copied().unwrap_or(0)
    }

    /// Appends the low `width` bits of `value`, which has no others.
    pub fn write(&mut self, value: u64, width: u32) {
        const TAIL_BITS: u32 = u128::BITS;
        if width == 0 {
            return;
        }
        let end = u32::from(self.tail_bits) + width;
        let tail = self.tail();
        let value = u128::from(value);
        if end < TAIL_BITS {
            self.set_tail(tail | (value << (TAIL_BITS - end)), end);
            return;
        }
        let over = end - TAIL_BITS;
        let full = tail | (value >> over);
        if self.bytes.capacity() - self.bytes.len() < TAIL_BYTES {
            let more = if self.bytes.is_empty() { BYTES_MIN } else { GROWTH_BYTES_MIN.max(self.bytes.len() / 8) };
            self.bytes.reserve_exact(more);
        }
        self.bytes.extend_from_slice(&full.to_be_bytes());
        let rest = if over == 0 { 0 } else { value << (TAIL_BITS - over) };
        self.set_tail(rest, over);
    }

    /// All bits as bytes; what is unused of the last one is 0.
    pub fn finish(self) -> Box<[u8]> {
        let rest = usize::from(self.tail_bits.div_ceil(8));
        let tail = self.tail().to_be_bytes();
        let mut bytes = self.bytes;
        bytes.reserve_exact(rest);
        bytes.extend_from_slice(&tail[..rest]);
        bytes.into_boxed_slice()
    }

    pub fn reader(&self) -> BitReader<'_> {
        BitReader { bytes: &self.bytes, tail: self.tail().to_be_bytes(), tail_bits: usize::from(self.tail_bits), at: 0 }
    }

    /// Bytes of memory besides the writer itself.
    pub fn size(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends a number that is mostly 0, else mostly small.
    pub fn write_small(&mut self, number: i64) {
        if number == 0 {
            return self.write(0, 1);
        }
        for (prefix, prefix_width, width) in WIDTHS {
            let half = 1i64 << (width - 1);
            if (-half..half).contains(&number) {
                let low = (number as u64) & ((1 << width) - 1);
                return self.write((prefix << width) | low, prefix_width + width);
            }
        }
        self.write(0b1111, 4);
        self.write(number as u64, 64);
    }
}

/// Reads what [`BitWriter`] wrote.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    tail: [u8; TAIL_BYTES],
    tail_bits: usize,
    at: usize,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, tail: [0; TAIL_BYTES], tail_bits: 0, at: 0 }
    }

    /// `None` past the end.
    pub fn read(&mut self, width: u32) -> Option<u64> {
        if width == 0 {
            return Some(0);
        }
        if width > PIECE_BITS_MAX {
            let high = self.read(width - 32)?;
            return Some((high << 32) | self.read(32)?);
        }
        let word = self.peek();
        self.skip(width)?;
        Some(word >> (64 - width))
    }

    /// The next bits, at least [`PIECE_BITS_MAX`] of them, from the highest down; zeros past the end.
    pub fn peek(&self) -> u64 {
        let from = self.at / 8;
        let window = match self.bytes.get(from..).and_then(<[u8]>::first_chunk) {
            Some(window) => *window,
            None => self.last_bytes(from),
        };
        u64::from_be_bytes(window) << (self.at % 8)
    }

    /// Leaves out bits that [`BitReader::peek`] has shown; `None` past the end.
    pub fn skip(&mut self, width: u32) -> Option<()> {
        self.at += width as usize;
        (self.at <= self.bytes.len() * 8 + self.tail_bits).then_some(())
    }

    /// Eight bytes at the end, or as many as there are.
    fn last_bytes(&self, from: usize) -> [u8; 8] {
        let mut window = [0; 8];
        let rest = self.bytes.get(from..).unwrap_or_default();
        let tail = &self.tail[from.saturating_sub(self.bytes.len()).min(TAIL_BYTES)..];
        for (to, byte) in window.iter_mut().zip(rest.iter().chain(tail)) {
            *to = *byte;
        }
        window
    }

    /// Reads what [`BitWriter::write_small`] wrote.
    pub fn read_small(&mut self) -> Option<i64> {
        let word = self.peek();
        let ones = word.leading_ones();
        if ones == 0 {
            return self.skip(1).map(|()| 0);
        }
        if let Some((_, prefix_width, width)) = WIDTHS.get(ones as usize - 1) {
            self.skip(prefix_width + width)?;
            return Some(((word << prefix_width) as i64) >> (64 - width));
        }
        self.skip(4)?;
        self.read(64).map(|raw| raw as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_of_any_width_come_back(
            numbers in prop::collection::vec((0u32..=64, any::<u64>(), any::<i64>(), 0u32..64), 0..60)
        ) {
            let low = |value: u64, width: u32| if width == 64 { value } else { value & ((1 << width) - 1) };
            let mut writer = BitWriter::default();
            for (width, value, small, shift) in &numbers {
                writer.write(low(*value, *width), *width);
                writer.write_small(small >> shift);
            }
            let mut ends = Vec::new();
            {
                let mut reader = writer.reader();
                for (width, value, small, shift) in &numbers {
                    prop_assert_eq!(reader.read(*width), Some(low(*value, *width)));
                    prop_assert_eq!(reader.read_small(), Some(small >> shift));
                }
                ends.push(reader.at);
                prop_assert_eq!(reader.read(1), None);
            }
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            for (width, value, small, shift) in &numbers {
                prop_assert_eq!(reader.read(*width), Some(low(*value, *width)));
                prop_assert_eq!(reader.read_small(), Some(small >> shift));
            }
            prop_assert_eq!((ends[0], ends[0].div_ceil(8)), (reader.at, bytes.len()));
        }
    }
}
