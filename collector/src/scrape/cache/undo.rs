//! Forgets what a scrape has brought that then failed: its lines, as they would fill the memory if they are others each time. Which
//! series it had is known for one scrape more, as a hash of each. Knows no store: what failed never got there.

use std::hash::BuildHasher;

use super::turnover::Turnover;
use super::{Cache, Kind, START, key};

/// Series of a failed scrape that are known once more, 8 bytes each: of those of a larger one, all count as new each time.
const REFUSED_MAX: usize = 50_000;

/// What a scrape began with.
#[derive(Debug)]
pub(super) struct Before {
    /// Places that were taken.
    entries: usize,
    /// Bytes of their texts.
    texts: usize,
    turnover: Turnover,
    /// Marks of exemplars that the scrape has replaced, with their places.
    exemplars: Vec<(u32, u32)>,
}

impl Before {
    pub fn of(cache: &Cache) -> Self {
        let Cache { entries, texts, turnover, .. } = cache;
        Self { entries: entries.len(), texts: texts.len(), turnover: *turnover, exemplars: Vec::new() }
    }
}

impl Cache {
    /// Whether a series was new in a scrape before, all of which have failed since: as in Prometheus, it is so only once.
    pub fn was_refused(&self, series: &str) -> bool {
        !self.refused.is_empty() && self.refused.binary_search(&self.hash(series)).is_ok()
    }

    /// Places of the lines that this scrape has brought.
    pub fn new_places(&self) -> std::ops::Range<u32> {
        let from = self.before.as_ref().map_or(self.entries.len(), |before| before.entries);
        from as u32..self.entries.len() as u32
    }

    /// Notes the mark that the scrape has replaced: if it fails, the exemplar is still to be kept.
    pub(super) fn remember_exemplar(&mut self, place: u32, mark: u32) {
        if let Some(before) = &mut self.before {
            before.exemplars.push((place, mark));
        }
    }

    /// The scrape has failed: everything is as it was before, but for which of the known lines were printed.
    pub(super) fn roll_back(&mut self) {
        let new = self.new_places();
        let Some(before) = self.before.take() else { return };
        self.turnover = before.turnover;
        for (place, mark) in before.exemplars.into_iter().rev() {
            self.entries[place as usize].exemplar = mark;
        }
        if new.is_empty() {
            return;
        }
        let Self { texts, entries, by_key, hasher, series_known, .. } = self;
        let mut refused = Vec::new();
        for place in new {
            let entry = &entries[place as usize];
            let hash = hasher.hash_one(key(texts, entry));
            if let Ok(known) = by_key.find_entry(hash, |other| *other == place) {
                known.remove();
            }
            if matches!(entry.kind, Kind::Series(_)) {
                *series_known -= 1;
                refused.push(hash);
            }
        }
        entries.truncate(before.entries);
        texts.truncate(before.texts);
        for entry in entries.iter_mut().filter(|entry| entry.next as usize >= before.entries) {
            entry.next = START;
        }
        // For whoever prints as much next time too, and no longer.
        entries.shrink_to(2 * before.entries);
        texts.shrink_to(2 * before.texts);
        by_key.shrink_to(2 * before.entries, |place| hasher.hash_one(key(texts, &entries[*place as usize])));
        refused.truncate(REFUSED_MAX);
        refused.sort_unstable();
        self.refused = refused;
        self.previous = START;
    }
}
