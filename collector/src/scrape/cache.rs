//! What a target printed last time, line by line, so that a line printed again costs a comparison: a target prints its
//! series in the same order each time. Keeps no values. Knows nothing of lines' meaning or of the store.
//!
//! A target may have very many lines: each costs its text and the 40 bytes of an [`Entry`], and what is asked of each at
//! every scrape lies in the order of printing.

mod turnover;
mod undo;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use self::turnover::Turnover;
use self::undo::Before;
use crate::series::SeriesRef;

/// What a line stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No sample: a comment, metadata, or nothing.
    Silent,
    /// `# EOF`
    End,
    /// A sample that metric relabelling drops.
    Dropped,
    /// A sample of this series.
    Series(SeriesRef),
    /// A sample that is a part of a histogram; the number is the hash of what would be the histogram's line.
    Part(u64, Part),
}

/// What a sample says of a classic histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// How many observations are not above a bound, whose text begins at this byte of the line.
    Bucket { bound_at: u32 },
    /// How many observations there are.
    Count,
    /// Their sum.
    Sum,
}

/// The time of the newest exemplar of a histogram that was kept: the low half of its milliseconds. A histogram has several, which
/// it prints again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExemplarMark(u32);

impl ExemplarMark {
    fn of(timestamp_ms: i64) -> Self {
        // 0 is none.
        Self((timestamp_ms as u32).max(1))
    }

    /// Whether an exemplar is newer: right within 24 days.
    pub fn is_before(self, timestamp_ms: i64) -> bool {
        self.0 == 0 || Self::of(timestamp_ms).0.wrapping_sub(self.0).cast_signed() > 0
    }
}

/// A line of the last scrape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    key_start: u32,
    key_length: u32,
    /// The line that followed it last.
    next: u32,
    pub kind: Kind,
    /// Number of the scrape that printed it last; 0 is none: it is forgotten.
    seen: u32,
    /// Of the exemplar behind its value; 0 is none.
    exemplar: u32,
    /// Whether the series must get a stale marker when it is no longer printed.
    live: bool,
    /// Whether it had a time of its own.
    own_time: bool,
}

/// The place before the first line, which is never printed.
const START: u32 = 0;

/// Handles of series that get theirs at the end of the scrape, if it goes well: no store gives out so many that it would come to
/// these. The rest of one is the line's place.
const COMING: u64 = (u32::MAX as u64) << u32::BITS;

/// A target's lines.
#[derive(Debug)]
pub(super) struct Cache {
    /// The parts of lines that stay the same, in the order of the entries.
    texts: String,
    /// Bytes of `texts` that no entry has any more.
    texts_unused: usize,
    /// Place [`START`] is a line that is never printed. What is forgotten stays, unseen, until it is more than half.
    entries: Vec<Entry>,
    /// The places of all that is known.
    by_key: HashTable<u32>,
    hasher: RandomState,
    /// Number of the scrape.
    round: u32,
    /// Lines printed in this scrape.
    touched: usize,
    /// Of them, those of series.
    series_printed: usize,
    /// Known lines of series.
    series_known: usize,
    /// How many of them were new of late, where that has a limit.
    pub turnover: Turnover,
    /// Whether some of them are new.
    grown: bool,
    /// The line before the one that is being looked for.
    previous: u32,
    /// What this scrape began with, until it has gone well.
    before: Option<Before>,
    /// Hashes of the series that the last scrape with new ones brought and that failed, in order.
    refused: Vec<u64>,
}

impl Cache {
    pub fn new() -> Self {
        let start = Entry {
            key_start: 0,
            key_length: 0,
            next: START,
            kind: Kind::Silent,
            seen: 0,
            exemplar: 0,
            live: false,
            own_time: false,
        };
        Self {
            texts: String::new(),
            texts_unused: 0,
            entries: vec![start],
            by_key: HashTable::new(),
            hasher: RandomState::new(),
            round: 0,
            touched: 0,
            series_printed: 0,
            series_known: 0,
            turnover: Turnover::default(),
            grown: false,
            previous: START,
            before: None,
            refused: Vec::new(),
        }
    }

    /// Begins a scrape.
    pub fn begin(&mut self) {
        self.round = self.round.checked_add(1).unwrap_or(1);
        self.touched = 0;
        self.series_printed = 0;
        self.grown = false;
        self.previous = START;
        self.before = Some(Before::of(self));
    }

    /// Goes back to the first line, for another look at the same text. What is added from now on has this place or a later
    /// one.
    pub fn rewind(&mut self) -> usize {
        self.previous = START;
        self.entries.len()
    }

    #[cfg(test)]
    pub fn lines(&self) -> usize {
        self.by_key.len()
    }

    /// Lines of series that are known, whether this scrape printed them or not.
    pub fn series_known(&self) -> usize {
        self.series_known
    }

    /// Lines of series that this scrape printed.
    pub fn series_printed(&self) -> usize {
        self.series_printed
    }

    /// The line that came at this place last time.
    pub fn expected(&self) -> Option<u32> {
        let next = self.entries[self.previous as usize].next;
        (next != START && self.entries[next as usize].seen != 0).then_some(next)
    }

    /// The line that came at this place last time, if the text goes on with it: where it is, what it stands for, and what
    /// follows.
    pub fn followed<'t>(&self, text: &'t [u8]) -> Option<(u32, Kind, &'t [u8])> {
        let place = self.entries[self.previous as usize].next;
        let entry = &self.entries[place as usize];
        let (from, length) = (entry.key_start as usize, entry.key_length as usize);
        let after = text.strip_prefix(&self.texts.as_bytes()[from..from + length])?;
        (entry.seen != 0).then_some((place, entry.kind, after))
    }

    /// Notes that the line that was followed was printed, without a time of its own or an exemplar; `false`, and
    /// nothing is noted, if it was printed before in this scrape.
    pub fn touch_followed(&mut self, place: u32) -> bool {
        let entry = &mut self.entries[place as usize];
        if entry.seen == self.round {
            return false;
        }
        entry.seen = self.round;
        entry.own_time = false;
        self.previous = place;
        self.touched += 1;
        self.series_printed += usize::from(matches!(entry.kind, Kind::Series(_)));
        if entry.exemplar != 0 {
            self.note_exemplar(place, None);
        }
        true
    }

    /// The part of a line that stays the same: name and labels, or the whole line if there is no sample.
    pub fn key(&self, place: u32) -> &str {
        key(&self.texts, &self.entries[place as usize])
    }

    pub fn kind(&self, place: u32) -> Kind {
        self.entries[place as usize].kind
    }

    /// What a line is found by.
    pub fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    /// The line with this key, wherever it came.
    pub fn find(&self, wanted: &str) -> Option<u32> {
        let is_it = |place: &u32| self.key(*place) == wanted;
        self.by_key.find(self.hasher.hash_one(wanted), is_it).copied()
    }

    /// Notes that a line came next.
    pub fn pass_by(&mut self, place: u32) {
        self.entries[self.previous as usize].next = place;
        self.previous = place;
    }

    /// Notes that a line was printed; says whether it was for the first time in this scrape.
    pub fn touch(&mut self, place: u32, own_time: bool) -> bool {
        self.pass_by(place);
        let entry = &mut self.entries[place as usize];
        entry.own_time = own_time;
        let first = std::mem::replace(&mut entry.seen, self.round) != self.round;
        self.touched += usize::from(first);
        self.series_printed += usize::from(first && matches!(entry.kind, Kind::Series(_)));
        first
    }

    /// Notes the exemplar of a line; says whether it is another one than last time.
    pub fn note_exemplar(&mut self, place: u32, exemplar: Option<&[u8]>) -> bool {
        let hash = exemplar.map_or(0, |bytes| (self.hasher.hash_one(bytes) as u32).max(1));
        let before = std::mem::replace(&mut self.entries[place as usize].exemplar, hash);
        if before != hash {
            self.remember_exemplar(place, before);
        }
        before != hash && hash != 0
    }

    /// Notes that a histogram's exemplars up to a time are kept; gives the mark of those that were before.
    pub fn note_exemplars_until(&mut self, place: u32, newest_ms: i64) -> ExemplarMark {
        let mark = &mut self.entries[place as usize].exemplar;
        let before = ExemplarMark(*mark);
        if before.is_before(newest_ms) {
            *mark = ExemplarMark::of(newest_ms).0;
            self.remember_exemplar(place, before.0);
        }
        before
    }

    /// Gives a line another series: the one it had is forgotten, or it had none yet.
    pub fn set_kind(&mut self, place: u32, kind: Kind) {
        self.entries[place as usize].kind = kind;
    }

    /// Lines of a series.
    pub fn places_of(&self, series: impl Fn(SeriesRef) -> bool) -> Vec<u32> {
        let fits = |entry: &Entry| matches!(entry.kind, Kind::Series(own) if entry.seen != 0 && series(own));
        (0u32..).zip(&self.entries).filter(|(_, entry)| fits(entry)).map(|(place, _)| place).collect()
    }

    /// The handle of a series that gets its own at the end of the scrape, for the line that is added next.
    pub fn coming(&self) -> SeriesRef {
        SeriesRef(COMING | self.entries.len() as u64)
    }

    /// The line of a series that has no handle yet.
    pub fn place_of_coming(series: SeriesRef) -> Option<u32> {
        (series.0 & COMING == COMING).then_some(series.0 as u32)
    }

    /// A line turns out to be of no series.
    pub fn drop_series(&mut self, place: u32) {
        let entry = &mut self.entries[place as usize];
        if matches!(std::mem::replace(&mut entry.kind, Kind::Dropped), Kind::Series(_)) {
            self.series_known -= 1;
            self.series_printed -= usize::from(entry.seen == self.round);
        }
    }

    /// Adds a line that was not known. `None` if it is longer than can be.
    pub fn add(&mut self, text: &str, kind: Kind) -> Option<u32> {
        let entry = Entry {
            key_start: u32::try_from(self.texts.len()).ok()?,
            key_length: u32::try_from(text.len()).ok()?,
            kind,
            next: START,
            ..self.entries[START as usize]
        };
        let place = u32::try_from(self.entries.len()).ok()?;
        self.grown = true;
        self.series_known += usize::from(matches!(kind, Kind::Series(_)));
        self.texts.push_str(text);
        self.entries.push(entry);
        let Self { texts, entries, by_key, hasher, .. } = self;
        let hash = |place: &u32| hasher.hash_one(key(texts, &entries[*place as usize]));
        by_key.insert_unique(hash(&place), place, hash);
        Some(place)
    }

    /// After a scrape that went well: its series are live; those with times of their own only if asked for. Gives series
    /// that were live and are gone, and forgets every line that was not printed.
    pub fn end(&mut self, with_own_times: bool) -> Vec<SeriesRef> {
        (self.before, self.refused) = (None, Vec::new());
        let round = self.round;
        for entry in self.entries.iter_mut().filter(|entry| entry.seen == round) {
            entry.live = with_own_times || !entry.own_time;
        }
        let mut gone = self.forget_others();
        if !gone.is_empty() {
            // Another line may print the same series now: labels in another order, or what relabelling makes the same.
            for entry in self.entries.iter().filter(|entry| entry.live) {
                if let Kind::Series(series) = entry.kind {
                    gone.remove(&series);
                }
            }
        }
        gone.into_iter().collect()
    }

    /// After a scrape that failed, or the last one: all live series, which are no longer. Lines that were known stay so; what the
    /// scrape brought does not.
    pub fn all_live(&mut self) -> Vec<SeriesRef> {
        self.roll_back();
        let mut gone = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.live) {
            entry.live = false;
            if let Kind::Series(series) = entry.kind {
                gone.push(series);
            }
        }
        gone
    }

    /// Forgets every line that this scrape did not print, and gives its series if it was live.
    fn forget_others(&mut self) -> HashSet<SeriesRef> {
        let mut gone = HashSet::new();
        let Self { texts, entries, by_key, hasher, round, series_known, .. } = self;
        if self.touched < by_key.len() {
            for (place, entry) in (0u32..).zip(entries).filter(|(_, entry)| entry.seen != 0 && entry.seen != *round) {
                let hash = hasher.hash_one(key(texts, entry));
                if let Ok(known) = by_key.find_entry(hash, |other| *other == place) {
                    known.remove();
                }
                if let Kind::Series(series) = entry.kind {
                    *series_known -= 1;
                    if entry.live {
                        gone.insert(series);
                    }
                }
                self.texts_unused += entry.key_length as usize;
                *entry = Entry { key_length: 0, kind: Kind::Silent, seen: 0, live: false, ..*entry };
            }
        }
        if self.texts_unused > self.texts.len() / 2 || self.by_key.len() < self.entries.len() / 2 {
            self.compact();
        }
        if !self.grown && self.texts.capacity() > self.texts.len() + self.texts.len() / 4 {
            self.texts.shrink_to_fit();
            self.entries.shrink_to_fit();
        }
        gone
    }

    /// Copies what is known, to new places.
    fn compact(&mut self) {
        let mut texts = String::with_capacity(self.texts.len() - self.texts_unused);
        let mut entries = Vec::with_capacity(self.by_key.len() + 1);
        let mut places = vec![START; self.entries.len()];
        for (place, entry) in self.entries.iter().enumerate() {
            if place == START as usize || entry.seen != 0 {
                places[place] = entries.len() as u32;
                entries.push(Entry { key_start: texts.len() as u32, ..*entry });
                texts.push_str(key(&self.texts, entry));
            }
        }
        for entry in &mut entries {
            entry.next = places[entry.next as usize];
        }
        let hash = |place: &u32| self.hasher.hash_one(key(&texts, &entries[*place as usize]));
        let mut by_key = HashTable::with_capacity(entries.len());
        for place in START + 1..entries.len() as u32 {
            by_key.insert_unique(hash(&place), place, hash);
        }
        (self.texts, self.entries, self.by_key) = (texts, entries, by_key);
        self.texts_unused = 0;
        self.previous = START;
    }
}

fn key<'a>(texts: &'a str, entry: &Entry) -> &'a str {
    let start = entry.key_start as usize;
    &texts[start..start + entry.key_length as usize]
}

#[cfg(test)]
mod tests;
