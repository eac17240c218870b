//! Which traces a closed segment may hold: a Bloom filter, so that a lookup opens no segment for nothing. A no is certain; a yes is
//! wrong for one id in 120. Pure.
//!
//! It is all that is in memory of the traces of a closed segment: 125 KB per million spans where a trace has ten, and at most
//! [`BYTES_MAX`]. Where each trace is one span a yes is wrong for one id in nine by that, and a segment or two are opened for nothing.
//!
//! Bytes: probes (1), bits. An id has the bits `first + n * step` modulo their number, `n` below the probes; see [`marks`].

use crate::traces::sampling::mixed;
use crate::traces::span::TraceId;

/// With [`PROBES_MAX`] an id in 120 is taken for a known one: `(1 - exp(-7 / 10))^7` (Bloom, 1970).
const BITS_PER_ID: usize = 10;

/// More probes would not be right more often: bits per id times the logarithm of 2.
const PROBES_MAX: usize = 7;

const BYTES_MIN: usize = 8;

/// 80 MiB for all segments of the default retention by size, if they are full of traces of one span each.
pub(super) const BYTES_MAX: usize = 512 << 10;

/// The filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    probes: u8,
    bits: Box<[u8]>,
}

impl Filter {
    /// Says yes to these.
    pub fn new(ids: impl ExactSizeIterator<Item = TraceId>) -> Self {
        let bytes = (ids.len() * BITS_PER_ID).div_ceil(8).clamp(BYTES_MIN, BYTES_MAX);
        let probes = (bytes * 8 * 7 / 10 / ids.len().max(1)).clamp(1, PROBES_MAX) as u8;
        let mut bits = vec![0; bytes].into_boxed_slice();
        for id in ids {
            places(id, probes, bytes).for_each(|(byte, bit)| bits[byte] |= bit);
        }
        Self { probes, bits }
    }

    /// Whether there may be such a trace.
    pub fn may_hold(&self, id: TraceId) -> bool {
        places(id, self.probes, self.bits.len()).all(|(byte, bit)| self.bits[byte] & bit != 0)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        [&[self.probes][..], &self.bits[..]].concat()
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (probes, bits) = bytes.split_first()?;
        let is_one = (1..=PROBES_MAX).contains(&usize::from(*probes)) && (BYTES_MIN..=BYTES_MAX).contains(&bits.len());
        is_one.then(|| Self { probes: *probes, bits: bits.into() })
    }
}

/// The bits of an id: the byte, and the bit in it.
fn places(id: TraceId, probes: u8, bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    let (first, step) = marks(id);
    (0..u64::from(probes)).map(move |probe| {
        let bit = first.wrapping_add(probe.wrapping_mul(step)) % (bytes as u64 * 8);
        ((bit / 8) as usize, 1 << (bit % 8))
    })
}

/// Two numbers stand for as many as there are probes (Kirsch and Mitzenmacher, 2006). Part of the format.
fn marks(id: TraceId) -> (u64, u64) {
    let first = mixed(id as u64 ^ mixed((id >> 64) as u64));
    (first, mixed(!first) | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of ids that are not there, how many in a thousand are taken for known ones.
    fn wrong_of_thousand(filter: &Filter, absent: impl Iterator<Item = TraceId>) -> usize {
        absent.take(10_000).filter(|id| filter.may_hold(*id)).count() / 10
    }

    #[test]
    fn a_no_is_certain_and_a_yes_seldom_wrong_however_ids_are_made() {
        let ways: [fn(u128) -> TraceId; 4] =
            [|n| n, |n| n << 64, |n| n << 64 | n, |n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)];
        for (way, id) in ways.into_iter().enumerate() {
            let known = || (1..=5_000).map(id);
            let filter = Filter::new(known().collect::<Vec<_>>().into_iter());
            assert!(known().all(|id| filter.may_hold(id)), "{way}");
            let wrong = wrong_of_thousand(&filter, (5_001..).map(id));
            assert!(wrong <= 12, "{way}: {wrong}");
            assert_eq!(filter.to_bytes().len(), 1 + 5_000 * 10 / 8);
            assert_eq!(Filter::from_bytes(&filter.to_bytes()), Some(filter));
        }
    }

    #[test]
    fn its_size_is_bounded_and_what_is_none_is_not_read() {
        let filter = Filter::new((0..900_000_u32).map(u128::from));
        assert_eq!(filter.bits.len(), BYTES_MAX);
        assert!(filter.may_hold(899_999) && wrong_of_thousand(&filter, 900_000..) <= 120);
        let none = Filter::new(std::iter::empty());
        assert!(!none.may_hold(0) && Filter::from_bytes(&none.to_bytes()).is_some());
        let long = vec![1; BYTES_MAX + 2];
        let nonsense: [&[u8]; 5] = [&[], &[7], &[0; 20], &[8; 20], &long];
        for bytes in nonsense {
            assert_eq!(Filter::from_bytes(bytes), None);
        }
    }
}
