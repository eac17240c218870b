//! Bits in a row, most significant first, and the one way in which small numbers are written with them. Knows nothing of
//! samples.

/// Widths of a signed number and the prefixes that announce them; 0 is a single bit, and a wider one has 64 bits. As steps of
/// time in milliseconds: 64 of them, 16 seconds and 1,048 seconds either way.
const WIDTHS: [(u64, u32, u32); 3] = [(0b10, 2, 7), (0b110, 3, 15), (0b1110, 4, 21)];

/// What is written at once: with the bits of a begun byte it fits a word.
const PIECE_BITS_MAX: u32 = 56;

/// Appends bits.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    pub bytes: Vec<u8>,
    /// Unused low bits of the last byte.
    free: u32,
}

impl BitWriter {
    /// Appends the low `width` bits of `value`, which has no others.
    pub fn write(&mut self, value: u64, width: u32) {
        if width > PIECE_BITS_MAX {
            self.write(value >> 32, width - 32);
            return self.write(value & u64::from(u32::MAX), 32);
        }
        if width == 0 {
            return;
        }
        let begun = if self.free == 0 { 0 } else { 8 - self.free };
        let piece = ((value << (64 - width)) >> begun).to_be_bytes();
        let total = begun + width;
        let length = total.div_ceil(8) as usize;
        match self.bytes.last_mut() {
            Some(last) if begun > 0 => {
                *last |= piece[0];
                self.bytes.extend_from_slice(&piece[1..length]);
            }
            _ => self.bytes.extend_from_slice(&piece[..length]),
        }
        self.free = length as u32 * 8 - total;
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
    at: usize,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
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
        let width_bits = width as usize;
        if self.at + width_bits > self.bytes.len() * 8 {
            return None;
        }
        let word = self.peek();
        self.at += width_bits;
        Some(word >> (64 - width))
    }

    /// The next bits, at least [`PIECE_BITS_MAX`] of them, from the highest down; zeros past the end.
    pub fn peek(&self) -> u64 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let word = match rest.first_chunk() {
            Some(window) => u64::from_be_bytes(*window),
            None => {
                let mut window = [0; 8];
                window[..rest.len()].copy_from_slice(rest);
                u64::from_be_bytes(window)
            }
        };
        word << (self.at % 8)
    }

    /// Leaves out bits that [`BitReader::peek`] has shown; `None` past the end.
    pub fn skip(&mut self, width: u32) -> Option<()> {
        self.at += width as usize;
        (self.at <= self.bytes.len() * 8).then_some(())
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
            let mut reader = BitReader::new(&writer.bytes);
            for (width, value, small, shift) in &numbers {
                prop_assert_eq!(reader.read(*width), Some(low(*value, *width)));
                prop_assert_eq!(reader.read_small(), Some(small >> shift));
            }
            prop_assert!(reader.at.div_ceil(8) == writer.bytes.len());
        }
    }
}
