//! How a target takes its decisions from the bytes that it is given: a few choices in front, then a text or edits of something
//! that is well. The same bytes always mean the same.

use std::borrow::Cow;
use std::ops::Range;

/// Stands before and behind what is repeated: a byte that no text of ours needs. The byte after the first one says how often.
const REPEAT: u8 = 0x1e;

/// The longest text that repetition makes: far more than nesting that could overflow a stack takes.
const REPEATED_BYTES_MAX: usize = 128 << 10;

/// The most edits of one input.
const EDITS_MAX: usize = 64;

/// Bytes that decide, from the front on; where they have ended there are zeros.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// The next two bytes.
    pub fn number(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    /// The next eight bytes.
    pub fn bits(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// So many bytes, or as many as there are.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Whether all have been taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One of several.
    pub fn choose<T: Copy>(&mut self, among: &[T]) -> T {
        among[usize::from(self.byte()) % among.len()]
    }
}

/// An input: choices, then what follows them.
pub fn seed(choices: &[u8], rest: impl AsRef<[u8]>) -> Vec<u8> {
    [choices, rest.as_ref()].concat()
}

/// A text in which one piece may be repeated very often, so that a short input makes what is long or nests deeply.
pub fn repeated(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut parts = bytes.splitn(3, |byte| *byte == REPEAT);
    let (Some(head), Some([times, unit @ ..]), Some(tail)) = (parts.next(), parts.next(), parts.next()) else {
        return Cow::Borrowed(bytes);
    };
    let times = (1usize << (times % 18)).min(REPEATED_BYTES_MAX / unit.len().max(1));
    Cow::Owned([head, &unit.repeat(times), tail].concat())
}

/// Changes some bytes of what was well; tells where the first of them is.
pub fn damage(content: &mut Vec<u8>, input: &mut Input<'_>) -> Option<usize> {
    let mut first: Option<usize> = None;
    for _ in 0..EDITS_MAX {
        if input.is_empty() || content.is_empty() {
            break;
        }
        let at = (input.number() | usize::from(input.byte()) << 16) % content.len();
        let (what, value) = (input.byte(), input.byte());
        match what % 6 {
            0 => content[at] = value,
            1 => content[at] ^= value.max(1),
            2 => content.truncate(at),
            3 => content.insert(at, value),
            4 => _ = content.remove(at),
            _ => {
                let copied = content[run(at, value, content.len())].to_vec();
                content.splice(at..at, copied);
            }
        }
        first = Some(first.map_or(at, |first| first.min(at)));
    }
    first
}

fn run(at: usize, length: u8, end: usize) -> Range<usize> {
    at..(at + usize::from(length)).min(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_repeated() {
        assert_eq!(&*repeated(b"a\x1e\x02(-\x1eb"), b"a(-(-(-(-b");
        assert_eq!(&*repeated(b"a\x1eb"), b"a\x1eb");
        assert!(repeated(b"\x1e\x11(\x1e").len() == 1 << 17);
    }

    #[test]
    fn damage_tells_where_it_begins() {
        let mut content = b"0123456789".to_vec();
        assert_eq!(damage(&mut content, &mut Input(&[7, 0, 0, 0, b'x', 3, 0, 0, 4, 0])), Some(3));
        assert_eq!(content, b"012456x89");
        assert_eq!(damage(&mut content, &mut Input(&[])), None);
    }
}
