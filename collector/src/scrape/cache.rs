//! What a target printed last time, line by line, so that a line printed again costs a comparison: a target prints its
//! series in the same order each time. Keeps no values. Knows nothing of lines' meaning or of the store.
//!
//! A target may have very many lines: each costs its text and the 40 bytes of an [`Entry`], and what is asked of each at
//! every scrape lies in the order of printing.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

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
}

/// A line of the last scrape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    key_start: u32,
    key_length: u32,
    /// The line that followed it last.
    next: u32,
    pub kind: Kind,
    /// Number of the scrape that printed it last; 0 is none, and a place that is free.
    seen: u32,
    /// Of the exemplar behind its value; 0 is none.
    exemplar: u32,
    /// Whether the series must get a stale marker when it is no longer printed.
    live: bool,
    /// Whether it had a time of its own.
    own_time: bool,
}

/// The place before the first line.
const START: u32 = 0;

/// A target's lines.
#[derive(Debug)]
pub(super) struct Cache {
    /// The parts of lines that stay the same, in the order of the entries unless lines came and went.
    texts: String,
    /// Bytes of `texts` that no entry has any more.
    texts_unused: usize,
    /// Place [`START`] is a line that is never printed.
    entries: Vec<Entry>,
    by_key: HashTable<u32>,
    free: Vec<u32>,
    hasher: RandomState,
    /// Number of the scrape.
    round: u32,
    /// Lines printed in this scrape.
    touched: usize,
    /// Whether some of them are new.
    grown: bool,
    /// The line before the one that is being looked for.
    previous: u32,
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
            free: Vec::new(),
            hasher: RandomState::new(),
            round: 0,
            touched: 0,
            grown: false,
            previous: START,
        }
    }

    /// Begins a scrape.
    pub fn begin(&mut self) {
        self.round = self.round.checked_add(1).unwrap_or(1);
        self.touched = 0;
        self.grown = false;
        self.previous = START;
    }

    /// The line that came at this place last time.
    pub fn expected(&self) -> Option<u32> {
        let next = self.entries[self.previous as usize].next;
        (next != START && self.entries[next as usize].seen != 0).then_some(next)
    }

    /// The part of a line that stays the same: name and labels, or the whole line if there is no sample.
    pub fn key(&self, place: u32) -> &str {
        key(&self.texts, &self.entries[place as usize])
    }

    pub fn kind(&self, place: u32) -> Kind {
        self.entries[place as usize].kind
    }

    /// The line with this key, wherever it came.
    pub fn find(&self, wanted: &str) -> Option<u32> {
        let is_it = |place: &u32| self.key(*place) == wanted;
        self.by_key.find(self.hasher.hash_one(wanted), is_it).copied()
    }

    /// Notes that a line was printed; says whether it was for the first time in this scrape.
    pub fn touch(&mut self, place: u32, own_time: bool) -> bool {
        self.entries[self.previous as usize].next = place;
        self.previous = place;
        let entry = &mut self.entries[place as usize];
        entry.own_time = own_time;
        let first = std::mem::replace(&mut entry.seen, self.round) != self.round;
        self.touched += usize::from(first);
        first
    }

    /// Notes the exemplar of a line; says whether it is another one than last time.
    pub fn note_exemplar(&mut self, place: u32, exemplar: Option<&str>) -> bool {
        let hash = exemplar.map_or(0, |text| (self.hasher.hash_one(text) as u32).max(1));
        std::mem::replace(&mut self.entries[place as usize].exemplar, hash) != hash && hash != 0
    }

    /// Gives a line another series: the store has forgotten the one it had.
    pub fn set_kind(&mut self, place: u32, kind: Kind) {
        self.entries[place as usize].kind = kind;
    }

    /// Lines of a series.
    pub fn places_of(&self, series: impl Fn(SeriesRef) -> bool) -> Vec<u32> {
        let fits = |entry: &Entry| matches!(entry.kind, Kind::Series(own) if entry.seen != 0 && series(own));
        (0u32..).zip(&self.entries).filter(|(_, entry)| fits(entry)).map(|(place, _)| place).collect()
    }

    /// Adds a line that was not known. `None` if it is longer than can be.
    pub fn add(&mut self, text: &str, kind: Kind) -> Option<u32> {
        let entry = Entry {
            key_start: u32::try_from(self.texts.len()).ok()?,
            key_length: u32::try_from(text.len()).ok()?,
            kind,
            ..self.entries[START as usize]
        };
        let place = match self.free.pop() {
            Some(place) => place,
            None => u32::try_from(self.entries.len()).ok()?,
        };
        let entry = Entry { next: START, ..entry };
        self.grown = true;
        self.texts.push_str(text);
        match self.entries.get_mut(place as usize) {
            Some(free) => *free = entry,
            None => self.entries.push(entry),
        }
        let Self { texts, entries, by_key, hasher, .. } = self;
        let hash = |place: &u32| hasher.hash_one(key(texts, &entries[*place as usize]));
        by_key.insert_unique(hash(&place), place, hash);
        Some(place)
    }

    /// After a scrape that went well: its series are live; those with times of their own only if asked for. Gives series
    /// that were live and are gone, and forgets every line that was not printed.
    pub fn end(&mut self, with_own_times: bool) -> Vec<SeriesRef> {
        let mut gone = Vec::new();
        let all_printed = self.touched + self.free.len() + 1 == self.entries.len();
        for place in START as usize + 1..self.entries.len() {
            let entry = &mut self.entries[place];
            if entry.seen == self.round {
                entry.live = with_own_times || !entry.own_time;
            } else if !all_printed && entry.seen != 0 {
                self.forget(place as u32, &mut gone);
            }
        }
        if self.texts_unused > self.texts.len() / 2 {
            self.compact();
        }
        if !self.grown && self.texts.capacity() > self.texts.len() + self.texts.len() / 4 {
            self.texts.shrink_to_fit();
            self.entries.shrink_to_fit();
        }
        gone
    }

    fn forget(&mut self, place: u32, gone: &mut Vec<SeriesRef>) {
        let Self { texts, entries, by_key, hasher, .. } = self;
        let entry = &mut entries[place as usize];
        let hash = hasher.hash_one(key(texts, entry));
        if let Ok(known) = by_key.find_entry(hash, |other| *other == place) {
            known.remove();
        }
        if let (Kind::Series(series), true) = (entry.kind, entry.live) {
            gone.push(series);
        }
        self.texts_unused += entry.key_length as usize;
        *entry = Entry { key_start: 0, key_length: 0, kind: Kind::Silent, seen: 0, live: false, ..*entry };
        self.free.push(place);
    }

    /// Copies the texts that are in use.
    fn compact(&mut self) {
        let mut texts = String::with_capacity(self.texts.len() - self.texts_unused);
        for entry in &mut self.entries {
            let start = texts.len() as u32;
            texts.push_str(key(&self.texts, entry));
            entry.key_start = start;
        }
        self.texts = texts;
        self.texts_unused = 0;
    }

    /// After a scrape that failed, or the last one: all live series, which are no longer. Lines stay known.
    pub fn all_live(&mut self) -> Vec<SeriesRef> {
        let mut gone = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.live) {
            entry.live = false;
            if let Kind::Series(series) = entry.kind {
                gone.push(series);
            }
        }
        gone
    }
}

fn key<'a>(texts: &'a str, entry: &Entry) -> &'a str {
    let start = entry.key_start as usize;
    &texts[start..start + entry.key_length as usize]
}
