//! One lane of the queue: a row of segments that is written at its end and read from its front. What is read stays until it is
//! acknowledged, and so does everything behind it: a lane never changes the order.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::cursor::Position;
use super::record::{Draft, HEADER_BYTES, Header};

/// A segment is followed by another at this length: so much of the oldest is lost at once when the queue is full.
pub const SEGMENT_BYTES: u64 = 8 << 20;

/// One file.
#[derive(Debug, Clone, Copy)]
struct Segment {
    number: u64,
    bytes: u64,
    entries: u64,
    /// Of them, those that arrived.
    done: u64,
    /// When the first was put in.
    first_ms: i64,
    /// When the last was.
    newest_ms: i64,
}

impl Segment {
    fn new(number: u64, at_ms: i64) -> Self {
        Self { number, bytes: 0, entries: 0, done: 0, first_ms: at_ms, newest_ms: at_ms }
    }

    fn left(&self) -> u64 {
        self.entries.saturating_sub(self.done)
    }
}

/// A lane.
pub struct Lane {
    folder: PathBuf,
    number: usize,
    /// Oldest first.
    segments: VecDeque<Segment>,
    next_number: u64,
    file: Option<File>,
    /// Entries that are not acknowledged.
    pending: u64,
    /// When the oldest of them was put in, if that is known better than by its segment.
    next_ms: Option<i64>,
    /// When the first entry was put in since the reader had read all.
    unread_ms: Option<i64>,
}

/// Where a segment's file is.
fn path(folder: &Path, lane: usize, number: u64) -> PathBuf {
    folder.join(format!("{lane:02}-{number:010}.queue"))
}

impl Lane {
    /// Opens what is there, from `from` on; what lies before was sent.
    pub fn open(folder: &Path, number: usize, from: Position) -> io::Result<Self> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let parts = name.to_str().and_then(|name| name.strip_suffix(".queue")?.split_once('-'));
            if let Some((lane, segment)) = parts
                && lane.parse() == Ok(number)
                && let Ok(segment) = segment.parse::<u64>()
            {
                found.push(segment);
            }
        }
        found.sort_unstable();
        let next_number = found.last().copied().unwrap_or(0).max(from.segment) + 1;
        let mut lane = Self {
            folder: folder.to_owned(),
            number,
            segments: VecDeque::new(),
            next_number,
            file: None,
            pending: 0,
            next_ms: None,
            unread_ms: None,
        };
        for segment in found {
            if segment < from.segment {
                fs::remove_file(path(folder, number, segment))?;
            } else {
                lane.scan(segment, from)?;
            }
        }
        Ok(lane)
    }

    /// Counts what a segment holds.
    fn scan(&mut self, number: u64, from: Position) -> io::Result<()> {
        let file = File::open(path(&self.folder, self.number, number))?;
        let bytes = file.metadata()?.len();
        let mut segment: Option<Segment> = None;
        let mut offset = 0;
        let mut header = [0; HEADER_BYTES];
        while file.read_exact_at(&mut header, offset).is_ok() {
            let Some(header) = Header::read(&header) else { break };
            let end = offset + (HEADER_BYTES + header.length) as u64;
            if end > bytes {
                break;
            }
            let entries = u64::from(header.entries);
            let done = if (number, offset) < (from.segment, from.offset) {
                entries
            } else if (number, offset) == (from.segment, from.offset) {
                from.index.min(entries)
            } else {
                0
            };
            if entries > done && self.pending == 0 {
                self.next_ms = Some(header.at_ms);
            }
            self.pending += entries - done;
            let segment = segment.get_or_insert_with(|| Segment::new(number, header.at_ms));
            segment.done += done;
            segment.entries += entries;
            segment.newest_ms = header.at_ms;
            segment.bytes = end;
            offset = end;
        }
        match segment {
            Some(segment) => self.segments.push_back(segment),
            None => fs::remove_file(path(&self.folder, self.number, number))?,
        }
        Ok(())
    }

    /// The segment that is written now: what is defined in it needs no second definition.
    pub fn current(&self) -> u64 {
        self.next_number - 1
    }

    /// Makes room for a record, in another segment if this one is full.
    pub fn prepare(&mut self, at_ms: i64) -> io::Result<()> {
        let is_full = self.segments.back().is_none_or(|segment| segment.bytes >= SEGMENT_BYTES);
        if self.file.is_some() && !is_full {
            return Ok(());
        }
        let number = self.next_number;
        let made = File::options().create_new(true).append(true).open(path(&self.folder, self.number, number))?;
        self.file = Some(made);
        self.next_number += 1;
        self.segments.push_back(Segment::new(number, at_ms));
        Ok(())
    }

    /// Writes a record for which room was made; says how many bytes it has.
    pub fn append(&mut self, draft: &mut Draft, at_ms: i64) -> io::Result<u64> {
        let entries = u64::from(draft.entries);
        let record = draft.finish(at_ms);
        let (Some(file), Some(segment)) = (&mut self.file, self.segments.back_mut()) else {
            return Err(io::Error::other("no segment could be made"));
        };
        if let Err(error) = file.write_all(record) {
            // Half a record may be written: what follows must not stand behind it.
            self.file = None;
            return Err(error);
        }
        segment.bytes += record.len() as u64;
        segment.entries += entries;
        segment.newest_ms = at_ms;
        if self.pending == 0 {
            self.next_ms = Some(at_ms);
        }
        self.unread_ms.get_or_insert(at_ms);
        self.pending += entries;
        Ok(record.len() as u64)
    }

    /// The first segment from `number` on, with its length.
    pub fn segment_from(&self, number: u64) -> Option<(u64, u64)> {
        let at = self.segments.partition_point(|segment| segment.number < number);
        self.segments.get(at).map(|segment| (segment.number, segment.bytes))
    }

    /// Whether a reader at this place has read all: what is put in from now on is new to it.
    pub fn is_read(&mut self, (segment, offset): (u64, u64)) -> bool {
        let is_behind = |last: &Segment| (last.number, last.bytes) > (segment, offset);
        let is_read = !self.segments.back().is_some_and(is_behind);
        if is_read {
            self.unread_ms = None;
        }
        is_read
    }

    /// Writes no more to a segment.
    pub fn close(&mut self, number: u64) {
        if self.segments.back().is_some_and(|segment| segment.number == number) {
            self.file = None;
        }
    }

    /// Opens a segment for reading.
    pub fn open_segment(&self, number: u64) -> io::Result<File> {
        File::open(path(&self.folder, self.number, number))
    }

    /// Entries that are not acknowledged.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// When the oldest entry that is not acknowledged was put in.
    pub fn oldest_ms(&self) -> Option<i64> {
        if self.pending == 0 { None } else { self.next_ms.or(self.segments.front().map(|segment| segment.first_ms)) }
    }

    /// Notes how many entries of each segment arrived. `position` comes next, put in at `next_ms`. Says how many bytes are free.
    pub fn acknowledge(&mut self, arrived: &[(u64, u64)], position: Position, next_ms: Option<i64>) -> u64 {
        for (number, count) in arrived {
            // What was dropped meanwhile is counted as lost already.
            if let Some(segment) = self.segments.iter_mut().find(|segment| segment.number == *number) {
                let count = (*count).min(segment.left());
                segment.done += count;
                self.pending -= count;
            }
        }
        // Without a word of it, what comes next was put in since the last look.
        self.next_ms = next_ms.or(self.unread_ms);
        let mut freed = 0;
        while self.segments.front().is_some_and(|segment| segment.number < position.segment) {
            freed += self.remove_front().0;
        }
        freed
    }

    /// Entries of a segment that will never arrive because its rest is damaged.
    pub fn left_in(&self, number: u64, arrived: &[(u64, u64)]) -> u64 {
        let arrived: u64 = arrived.iter().filter(|(segment, _)| *segment == number).map(|(_, count)| count).sum();
        let segment = self.segments.iter().find(|segment| segment.number == number);
        segment.map_or(0, |segment| segment.left().saturating_sub(arrived))
    }

    /// Removes the oldest segment; says how many bytes and how many entries that did not arrive it had.
    pub fn drop_oldest(&mut self) -> (u64, u64) {
        if self.segments.len() == 1 {
            // The one that is written: the next record begins another.
            self.file = None;
        }
        self.next_ms = None;
        self.remove_front()
    }

    fn remove_front(&mut self) -> (u64, u64) {
        let Some(segment) = self.segments.pop_front() else { return (0, 0) };
        // What cannot be removed is removed at the next start.
        let _ = fs::remove_file(path(&self.folder, self.number, segment.number));
        self.pending -= segment.left();
        (segment.bytes, segment.left())
    }

    /// When the newest entry of the oldest segment was put in.
    pub fn oldest_segment_ms(&self) -> Option<i64> {
        self.segments.front().map(|segment| segment.newest_ms)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}
