//! What a target printed last time, line by line, so that a line printed again costs a comparison: a target prints its
//! series in the same order each time. Knows nothing of values' meaning or of the store.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

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
#[derive(Debug)]
pub(super) struct Entry {
    /// The whole line, without its line feed.
    pub text: String,
    /// Length of the part that stays the same: name and labels, or the whole line if there is no sample.
    pub key_length: usize,
    pub kind: Kind,
    pub value: f64,
    pub timestamp_ms: Option<i64>,
    /// Number of the scrape that printed it last.
    pub seen: u64,
    /// Whether the series must get a stale marker when it is no longer printed.
    pub live: bool,
    /// The line that followed it last.
    next: usize,
}

impl Entry {
    pub fn key(&self) -> &str {
        &self.text[..self.key_length]
    }
}

/// The first place of a text is after nothing.
const START: usize = 0;

/// A target's lines.
#[derive(Debug)]
pub(super) struct Cache {
    /// Place [`START`] is a line that is never printed; free places hold `None`.
    entries: Vec<Option<Entry>>,
    by_key: HashMap<u64, usize>,
    free: Vec<usize>,
    hasher: RandomState,
    /// Number of the scrape.
    round: u64,
    /// The line before the one that is being looked for.
    previous: usize,
}

impl Cache {
    pub fn new() -> Self {
        let start = Entry {
            text: String::new(),
            key_length: 0,
            kind: Kind::Silent,
            value: 0.0,
            timestamp_ms: None,
            seen: 0,
            live: false,
            next: START,
        };
        Self {
            entries: vec![Some(start)],
            by_key: HashMap::new(),
            free: Vec::new(),
            hasher: RandomState::new(),
            round: 0,
            previous: START,
        }
    }

    /// Begins a scrape.
    pub fn begin(&mut self) {
        self.round += 1;
        self.previous = START;
    }

    /// The line that came at this place last time.
    pub fn expected(&self) -> Option<(usize, &Entry)> {
        let next = self.entries[self.previous].as_ref()?.next;
        if next == START {
            return None;
        }
        self.entries[next].as_ref().map(|entry| (next, entry))
    }

    /// The line with this key, wherever it came.
    pub fn find(&self, key: &str) -> Option<usize> {
        let place = *self.by_key.get(&self.hasher.hash_one(key))?;
        self.entries[place].as_ref().filter(|entry| entry.key() == key).map(|_| place)
    }

    /// Notes that a line was printed; says whether it was for the first time in this scrape.
    pub fn touch(&mut self, place: usize) -> bool {
        if let Some(previous) = &mut self.entries[self.previous] {
            previous.next = place;
        }
        self.previous = place;
        let round = self.round;
        self.entries[place].as_mut().is_some_and(|entry| std::mem::replace(&mut entry.seen, round) != round)
    }

    pub fn entry(&self, place: usize) -> Option<&Entry> {
        self.entries[place].as_ref()
    }

    pub fn entry_mut(&mut self, place: usize) -> Option<&mut Entry> {
        self.entries[place].as_mut()
    }

    /// Adds a line that was not known.
    pub fn add(&mut self, line: &str, key_length: usize, kind: Kind) -> usize {
        let entry = Entry {
            text: line.to_owned(),
            key_length,
            kind,
            value: 0.0,
            timestamp_ms: None,
            seen: 0,
            live: false,
            next: START,
        };
        let hash = self.hasher.hash_one(entry.key());
        let place = match self.free.pop() {
            Some(place) => {
                self.entries[place] = Some(entry);
                place
            }
            None => {
                self.entries.push(Some(entry));
                self.entries.len() - 1
            }
        };
        self.by_key.insert(hash, place);
        place
    }

    /// After a scrape that went well: series that were live and are gone. Forgets every line that was not printed.
    pub fn vanished(&mut self) -> Vec<SeriesRef> {
        let mut gone = Vec::new();
        for place in START + 1..self.entries.len() {
            let Some(entry) = self.entries[place].take_if(|entry| entry.seen != self.round) else { continue };
            if let (Kind::Series(series), true) = (entry.kind, entry.live) {
                gone.push(series);
            }
            let hash = self.hasher.hash_one(entry.key());
            if self.by_key.get(&hash) == Some(&place) {
                self.by_key.remove(&hash);
            }
            self.free.push(place);
        }
        gone
    }

    /// After a scrape that failed, or the last one: all live series, which are no longer. Lines stay known.
    pub fn all_live(&mut self) -> Vec<SeriesRef> {
        let mut gone = Vec::new();
        for entry in self.entries.iter_mut().flatten().filter(|entry| entry.live) {
            entry.live = false;
            if let Kind::Series(series) = entry.kind {
                gone.push(series);
            }
        }
        gone
    }

    /// After a scrape that went well: its series are live. Those with times of their own only if asked for.
    pub fn mark_live(&mut self, with_own_times: bool) {
        let round = self.round;
        for entry in self.entries.iter_mut().flatten().filter(|entry| entry.seen == round) {
            entry.live = with_own_times || entry.timestamp_ms.is_none();
        }
    }
}
