//! Remembers which series a set of labels is, so that a series which comes again costs neither a copy of its texts nor a look at the
//! store's index. Forgets everything when it is full: that costs a moment, not an answer.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;

use crate::series::SeriesRef;

/// Series remembered: at 32 bytes each, 64 MiB with the table's spare room.
const SERIES_MAX: usize = 1 << 20;

/// What stands for a set of labels: 128 bits that nobody outside can aim at, so that two sets never meet. Were ten million series
/// remembered, the odds of it would be one in 10^24.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint(u64, u64);

/// Series by their labels.
#[derive(Default)]
pub(super) struct SeriesCache {
    first: RandomState,
    second: RandomState,
    known: Mutex<HashMap<Fingerprint, SeriesRef>>,
}

impl SeriesCache {
    /// Of labels in order.
    pub fn fingerprint(&self, labels: &[(&str, &str)]) -> Fingerprint {
        Fingerprint(self.first.hash_one(labels), self.second.hash_one(labels))
    }

    pub fn get(&self, fingerprint: Fingerprint) -> Option<SeriesRef> {
        self.known.lock().get(&fingerprint).copied()
    }

    pub fn set(&self, fingerprint: Fingerprint, series: SeriesRef) {
        let mut known = self.known.lock();
        if known.len() >= SERIES_MAX {
            known.clear();
        }
        known.insert(fingerprint, series);
    }
}
