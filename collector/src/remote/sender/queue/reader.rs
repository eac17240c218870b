//! Reads a lane from its front into a batch. Keeps what the segment has defined so far, so that a place in its middle can be read on.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use parking_lot::Mutex;

use super::cursor::{Position, Progress};
use super::lane::Lane;
use super::record::{Entry, HEADER_BYTES, Header, Kind, entry};
use crate::remote::sender::batch::Batch;

/// Reads one lane.
pub struct Reader {
    lane: usize,
    /// What comes first that did not arrive.
    pub acknowledged: Position,
    /// What was on its way and was never answered, as where the process ended: it may have arrived, so it is sent again alone and in
    /// one piece.
    pub doubtful: Option<Position>,
    at: Position,
    file: Option<(u64, File)>,
    /// Labels by their numbers in the segment, and their texts.
    defined: Vec<Range<usize>>,
    texts: Vec<u8>,
    /// The record at `at`, and where in it the next entry is.
    record: Vec<u8>,
    loaded: Option<Loaded>,
}

#[derive(Debug, Clone, Copy)]
struct Loaded {
    position: Position,
    /// Of the next entry in the payload.
    byte: usize,
    end: u64,
    at_ms: i64,
}

/// How much of a lane may be read.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// Most entries.
    pub entries: usize,
    /// Nothing that was put in later.
    pub until_ms: i64,
    /// Nothing from here on.
    pub until: Option<Position>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Read {
    /// Entries of each segment.
    pub entries: Vec<(u64, u64)>,
    /// When what comes next was put in, if it is known.
    pub next_ms: Option<i64>,
    /// Segments whose rest is damaged, and thus left out.
    pub damaged: Vec<u64>,
}

impl Read {
    /// Entries in all.
    pub fn count(&self) -> usize {
        self.entries.iter().map(|(_, count)| usize::try_from(*count).unwrap_or(usize::MAX)).sum()
    }

    fn note(&mut self, segment: u64) {
        match self.entries.last_mut() {
            Some((last, count)) if *last == segment => *count += 1,
            _ => self.entries.push((segment, 1)),
        }
    }
}

impl Reader {
    /// Goes on where the process ended.
    pub fn new(lane: usize, progress: Progress) -> Self {
        let Progress { acknowledged, sending } = progress;
        Self {
            lane,
            acknowledged,
            doubtful: Some(sending).filter(|sending| *sending > acknowledged),
            at: acknowledged,
            file: None,
            defined: Vec::new(),
            texts: Vec::new(),
            record: Vec::new(),
            loaded: None,
        }
    }

    /// What comes first that was not read.
    pub fn position(&self) -> Position {
        self.at
    }

    /// Goes back to what did not arrive.
    pub fn back(&mut self) {
        if self.at != self.acknowledged {
            self.at = self.acknowledged;
            self.forget_segment();
        }
    }

    fn forget_segment(&mut self) {
        self.file = None;
        self.loaded = None;
        self.defined.clear();
        self.texts.clear();
    }

    /// Reads on into a batch.
    ///
    /// # Errors
    /// If a segment cannot be read.
    pub fn read(&mut self, lane: &Mutex<Lane>, reach: &Reach, batch: &mut Batch) -> std::io::Result<Read> {
        let mut read = Read::default();
        loop {
            let Some(loaded) = self.load(lane, &mut read)? else {
                read.next_ms = None;
                return Ok(read);
            };
            read.next_ms = Some(loaded.at_ms);
            let is_far = loaded.at_ms > reach.until_ms || reach.until.is_some_and(|until| self.at >= until);
            if is_far || read.count() >= reach.entries {
                return Ok(read);
            }
            self.entries(loaded, reach, batch, &mut read);
        }
    }

    /// Puts entries of the record at hand into the batch.
    fn entries(&mut self, mut loaded: Loaded, reach: &Reach, batch: &mut Batch, read: &mut Read) {
        while read.count() < reach.entries && reach.until.is_none_or(|until| self.at < until) {
            match entry(&self.record, &mut loaded.byte) {
                Some(Entry::Definition { id, labels }) => self.define(id, labels),
                Some(Entry::Data { id, timestamp_ms, kind }) => {
                    self.at.index += 1;
                    read.note(self.at.segment);
                    let labels = usize::try_from(id).ok().and_then(|id| self.defined.get(id)).cloned();
                    let key = (self.lane, self.at.segment, id);
                    let blob = |range: Range<usize>| self.record.get(range).unwrap_or_default();
                    let kind = match kind {
                        Kind::Float(value) => Kind::Float(value),
                        Kind::Histogram(range) => Kind::Histogram(blob(range)),
                        Kind::Exemplar(range) => Kind::Exemplar(blob(range)),
                    };
                    if let Some(labels) = labels.and_then(|range| self.texts.get(range)) {
                        batch.add(key, labels, timestamp_ms, &kind);
                    }
                }
                None => {
                    self.at = Position { segment: self.at.segment, offset: loaded.end, index: 0 };
                    self.loaded = None;
                    return;
                }
            }
        }
        loaded.position = self.at;
        self.loaded = Some(loaded);
    }

    fn define(&mut self, id: u32, labels: Range<usize>) {
        let start = self.texts.len();
        self.texts.extend_from_slice(self.record.get(labels).unwrap_or_default());
        let Ok(id) = usize::try_from(id) else { return };
        // Numbers are given one after another.
        if id == self.defined.len() {
            self.defined.push(start..self.texts.len());
        }
    }

    /// The record at the reader's place; none if all is read.
    fn load(&mut self, lane: &Mutex<Lane>, read: &mut Read) -> std::io::Result<Option<Loaded>> {
        if let Some(loaded) = self.loaded.filter(|loaded| loaded.position == self.at) {
            return Ok(Some(loaded));
        }
        loop {
            if lane.lock().is_read((self.at.segment, self.at.offset)) {
                return Ok(None);
            }
            let Some((segment, bytes)) = lane.lock().segment_from(self.at.segment) else { return Ok(None) };
            if segment != self.at.segment {
                self.at = Position { segment, offset: 0, index: 0 };
            }
            if self.file.as_ref().is_none_or(|(open, _)| *open != segment) {
                self.open(lane, segment)?;
            }
            if self.at.offset < bytes {
                match self.record_at(self.at.offset)? {
                    Some((header, end)) => return Ok(Some(self.enter(header, end))),
                    None => {
                        read.damaged.push(segment);
                        lane.lock().close(segment);
                    }
                }
            }
            self.at = Position { segment: segment + 1, offset: 0, index: 0 };
        }
    }

    /// Opens a segment, and takes in what it defines before the reader's place.
    fn open(&mut self, lane: &Mutex<Lane>, segment: u64) -> std::io::Result<()> {
        self.forget_segment();
        let file = lane.lock().open_segment(segment)?;
        self.file = Some((segment, file));
        let mut offset = 0;
        while offset < self.at.offset {
            let Some((_, end)) = self.record_at(offset)? else { break };
            let mut byte = 0;
            while let Some(entry) = entry(&self.record, &mut byte) {
                if let Entry::Definition { id, labels } = entry {
                    self.define(id, labels);
                }
            }
            offset = end;
        }
        Ok(())
    }

    /// Skips what was read of a record before.
    fn enter(&mut self, header: Header, end: u64) -> Loaded {
        let (mut byte, mut skipped) = (0, 0);
        while skipped < self.at.index {
            match entry(&self.record, &mut byte) {
                Some(Entry::Definition { id, labels }) => self.define(id, labels),
                Some(Entry::Data { .. }) => skipped += 1,
                None => break,
            }
        }
        let loaded = Loaded { position: self.at, byte, end, at_ms: header.at_ms };
        self.loaded = Some(loaded);
        loaded
    }

    /// Reads a record's payload; none if it is not whole.
    fn record_at(&mut self, offset: u64) -> std::io::Result<Option<(Header, u64)>> {
        let Some((_, file)) = &self.file else { return Ok(None) };
        let mut header = [0; HEADER_BYTES];
        let is_short = |error: &std::io::Error| error.kind() == std::io::ErrorKind::UnexpectedEof;
        match file.read_exact_at(&mut header, offset) {
            Err(error) if is_short(&error) => return Ok(None),
            result => result?,
        }
        let Some(header) = Header::read(&header) else { return Ok(None) };
        self.record.resize(header.length, 0);
        match file.read_exact_at(&mut self.record, offset + HEADER_BYTES as u64) {
            Err(error) if is_short(&error) => return Ok(None),
            result => result?,
        }
        let end = offset + (HEADER_BYTES + header.length) as u64;
        Ok(header.is_whole(&self.record).then_some((header, end)))
    }
}
