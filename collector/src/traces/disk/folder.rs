//! The folder with the segments: appends to the last, reads all, and deletes the oldest when they are too old or too much.

mod read;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::codec::{BLOCK_BYTES, BlockWriter};
use super::journal::Journal;
use super::segment::{Segment, SegmentError, Writer, scan};
use crate::traces::sampling::Fragment;
use crate::traces::span::{Kind, Text};

/// Size at which a segment is closed: a million spans, and few enough files.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// A segment is at least so large, however little may be kept.
const SEGMENT_BYTES_MIN: u64 = 256 << 10;

/// Age at which a segment is closed, so that retention by time frees space in good time.
const SEGMENT_AGE_MAX_MS: i64 = 3_600_000;

/// Damaged places that are said; by then nobody reads on.
const SAID_MAX: usize = 1_000;

/// How long traces are kept unless told otherwise: a long weekend.
const RETENTION_DEFAULT: Duration = Duration::from_secs(3 * 86_400);

/// Bytes that traces take on disk unless told otherwise: two hundred million spans, and nobody misses it on a disk that holds metrics.
const RETENTION_BYTES_DEFAULT: u64 = 10 << 30;

/// How long traces are kept, and in how many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanRetention {
    /// Segments closed longer ago are deleted.
    pub time: Duration,
    /// The oldest segments are deleted above this; `None` is no bound.
    pub bytes: Option<u64>,
}

impl Default for SpanRetention {
    fn default() -> Self {
        Self { time: RETENTION_DEFAULT, bytes: Some(RETENTION_BYTES_DEFAULT) }
    }
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenSpansError {
    /// It cannot be made or listed, or its journal not be read.
    #[error("the folder of spans {} cannot be used: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// What is on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpanFolderStats {
    /// Segments, the one that is written among them.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// Spans written since the start.
    pub spans_written: u64,
    /// Segments deleted by the retention since the start.
    pub segments_outlived: u64,
    /// Places found damaged since the start.
    pub damaged: u64,
    /// Failed attempts to write.
    pub write_failures: u64,
    /// Requests that could not be written to the journal.
    pub unwritten_requests: u64,
}

#[derive(Debug, Default)]
struct State {
    /// In order of number.
    closed: Vec<Arc<Segment>>,
    open: Option<Writer>,
    last_number: u64,
}

/// The folder.
#[derive(Debug)]
pub struct SpanFolder {
    dir: PathBuf,
    retention: SpanRetention,
    state: Mutex<State>,
    journal: Journal,
    failing: AtomicBool,
    spans_written: AtomicU64,
    outlived: AtomicU64,
    damaged: AtomicU64,
    said: Mutex<HashSet<String>>,
    write_failures: AtomicU64,
}

impl SpanFolder {
    /// Opens the folder, which is made if need be. Hands out the operations that it knows, and the requests that were received and not
    /// decided upon, in order.
    ///
    /// # Errors
    /// If it cannot be used at all; a segment that cannot be read is said, and left alone.
    pub fn open(
        dir: &Path,
        retention: SpanRetention,
        now_ms: i64,
        mut name: impl FnMut(&Text, &Text, Kind),
        request: impl FnMut(&[u8]),
    ) -> Result<Self, OpenSpansError> {
        let folder_error = |source| OpenSpansError::Folder { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(folder_error)?;
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(folder_error)? {
            let path = entry.map_err(folder_error)?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            if let (Some(number), true) = (number, path.extension().is_some_and(|extension| extension == "spans")) {
                paths.push((number, path));
            }
        }
        paths.sort();
        let (journal, replayed) = Journal::open(dir.join("journal"), now_ms, request).map_err(folder_error)?;
        let folder = Self {
            dir: dir.to_owned(),
            retention,
            state: Mutex::default(),
            journal,
            failing: AtomicBool::default(),
            spans_written: AtomicU64::default(),
            outlived: AtomicU64::default(),
            damaged: AtomicU64::default(),
            said: Mutex::default(),
            write_failures: AtomicU64::default(),
        };
        let mut state = State { last_number: paths.last().map_or(0, |(number, _)| *number), ..State::default() };
        for (_, path) in paths {
            match folder.reopen(&path, now_ms, &mut name) {
                Ok(segment) => state.closed.push(Arc::new(segment)),
                Err(error) => folder.note_damage(&error),
            }
        }
        let bytes: u64 = state.closed.iter().map(|segment| segment.bytes).sum();
        tracing::info!(segments = state.closed.len(), bytes, requests = replayed.requests, "spans are open");
        *folder.state.lock() = state;
        Ok(folder)
    }

    fn reopen(
        &self,
        path: &Path,
        now_ms: i64,
        name: &mut impl FnMut(&Text, &Text, Kind),
    ) -> Result<Segment, SegmentError> {
        let (segment, table) = match Segment::open(path)? {
            Some(opened) => opened,
            None => {
                let (mut writer, gaps) = scan(path)?;
                for gap in gaps {
                    let (offset, bytes) = (gap.offset, gap.bytes);
                    self.damaged.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(file = %path.display(), offset, bytes, "a segment of spans has a place that is no block; it is left out");
                }
                let read_error = |source| SegmentError::Read { path: path.to_owned(), source };
                (writer.close(now_ms).map_err(read_error)?, writer.table)
            }
        };
        table.operations().for_each(|(service, operation, kind)| name(service, operation, kind));
        Ok(segment)
    }

    /// Says a damaged place once, however often it is met.
    fn note_damage(&self, error: &SegmentError) {
        let words = error.to_string();
        let mut said = self.said.lock();
        if said.len() < SAID_MAX && said.insert(words.clone()) {
            self.damaged.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(error = words, "spans on disk cannot be read");
        }
    }

    /// Writes a request down before it is acknowledged.
    pub fn log(&self, request: &[u8], now_ms: i64) {
        self.journal.append(request, now_ms);
    }

    /// Lets go of requests of which everything was decided upon and written; of none that came since `open_ms`.
    pub fn forget_requests(&self, open_ms: i64) {
        self.journal.forget(open_ms);
    }

    /// Writes fragments, and gives back those that could not be written. Said once when that begins, and once when it ends.
    pub fn append(&self, fragments: Vec<Fragment>, now_ms: i64) -> Vec<Fragment> {
        let (mut at, mut from) = (0, 0);
        while at < fragments.len() {
            let first = at;
            let (mut block, mut noted) = (BlockWriter::default(), Vec::new());
            while at < fragments.len() && block.bytes() < BLOCK_BYTES {
                let fragment = &fragments[at];
                let written = block.add(fragment, from);
                noted.push(Fragment { spans: fragment.spans[from..from + written].to_vec(), ..*fragment });
                from += written;
                if from >= fragment.spans.len() {
                    (at, from) = (at + 1, 0);
                }
            }
            if let Err(error) = self.write(&block.finish(), &noted, now_ms) {
                self.note_failure(&error);
                // A fragment that was cut is written again as a whole: readers know a span by its id.
                return fragments.into_iter().skip(first).collect();
            }
            let spans: usize = noted.iter().map(|fragment| fragment.spans.len()).sum();
            self.spans_written.fetch_add(spans as u64, Ordering::Relaxed);
        }
        if at > 0 && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("spans are written to disk again");
        }
        Vec::new()
    }

    fn note_failure(&self, error: &io::Error) {
        self.write_failures.fetch_add(1, Ordering::Relaxed);
        if !self.failing.swap(true, Ordering::Relaxed) {
            let folder = self.dir.display();
            tracing::error!(%error, %folder, "spans cannot be written to disk; they wait in memory as far as there is room");
        }
    }

    fn write(&self, packed: &[u8], fragments: &[Fragment], now_ms: i64) -> io::Result<()> {
        let mut state = self.state.lock();
        let is_due = |writer: &Writer| {
            writer.bytes + packed.len() as u64 > self.segment_bytes()
                || now_ms.saturating_sub(writer.created_ms) >= SEGMENT_AGE_MAX_MS
        };
        if state.open.as_ref().is_some_and(is_due) {
            state.close(now_ms)?;
        }
        if state.open.is_none() {
            let path = self.dir.join(format!("{:08}.spans", state.last_number + 1));
            state.open = Some(Writer::create(path, now_ms)?);
            state.last_number += 1;
        }
        let Some(writer) = &mut state.open else { return Err(io::Error::from(io::ErrorKind::NotFound)) };
        writer.append(packed, fragments)
    }

    /// A tenth of what may be kept, so that retention takes little at a time.
    fn segment_bytes(&self) -> u64 {
        let share = self.retention.bytes.map_or(SEGMENT_BYTES_MAX, |bytes| bytes / 10);
        share.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
    }

    /// Deletes the segments that are too old or too much.
    pub fn retire(&self, now_ms: i64) {
        let mut state = self.state.lock();
        if let Some(writer) = &state.open
            && now_ms.saturating_sub(writer.created_ms) >= SEGMENT_AGE_MAX_MS
            && let Err(error) = state.close(now_ms)
        {
            self.note_failure(&error);
        }
        let open_bytes = state.open.as_ref().map_or(0, |writer| writer.bytes);
        let mut bytes = state.closed.iter().map(|segment| segment.bytes).sum::<u64>() + open_bytes;
        let time_ms = i64::try_from(self.retention.time.as_millis()).unwrap_or(i64::MAX);
        let before_ms = now_ms.saturating_sub(time_ms);
        let mut gone = 0;
        while let Some(oldest) = state.closed.get(gone)
            && (oldest.closed_ms < before_ms || self.retention.bytes.is_some_and(|most| bytes > most))
        {
            if let Err(error) = fs::remove_file(&oldest.path)
                && error.kind() != io::ErrorKind::NotFound
            {
                self.note_failure(&error);
                break;
            }
            bytes -= oldest.bytes;
            gone += 1;
        }
        state.closed.drain(..gone);
        drop(state);
        if gone > 0 {
            self.outlived.fetch_add(gone as u64, Ordering::Relaxed);
            tracing::info!(segments = gone, "segments of spans beyond the retention are removed");
        }
    }

    /// What is on disk.
    pub fn stats(&self) -> SpanFolderStats {
        let state = self.state.lock();
        let open = state.open.as_ref();
        let (segments, bytes) =
            (state.closed.len() as u64, state.closed.iter().map(|segment| segment.bytes).sum::<u64>());
        let (segments, bytes) = (segments + u64::from(open.is_some()), bytes + open.map_or(0, |writer| writer.bytes));
        drop(state);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SpanFolderStats {
            segments,
            bytes,
            journal_bytes: self.journal.bytes(),
            spans_written: read(&self.spans_written),
            segments_outlived: read(&self.outlived),
            damaged: read(&self.damaged),
            write_failures: read(&self.write_failures),
            unwritten_requests: self.journal.unwritten(),
        }
    }
}

impl State {
    /// Closes the segment that is written. If its index cannot be, it stays open, where it is still read, until it can.
    fn close(&mut self, now_ms: i64) -> io::Result<()> {
        if let Some(writer) = &mut self.open {
            self.closed.push(Arc::new(writer.close(now_ms)?));
            self.open = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
