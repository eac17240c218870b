//! The folder with the segments: appends to the last, reads all, and deletes the oldest when they are too old or too much. Who reads
//! never waits for who writes.

mod read;
mod write;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use self::write::Writing;
use super::journal::Journal;
use super::segment::{Growing, Segment, SegmentError, scan};
use crate::traces::span::{Kind, Text};

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
    /// How often a segment was opened to be read.
    pub files_opened: u64,
    /// Blocks that were read.
    pub blocks_read: u64,
}

/// What there is to read.
#[derive(Debug, Clone, Default)]
struct Shown {
    /// In order of number.
    closed: Vec<Arc<Segment>>,
    /// The one that is being written.
    open: Option<Arc<Growing>>,
}

/// The folder.
#[derive(Debug)]
pub struct SpanFolder {
    dir: PathBuf,
    retention: SpanRetention,
    /// Held by who writes, while the disk takes its time. Never by who reads.
    writing: Mutex<Writing>,
    /// Held for no longer than it takes to copy it; by who writes, to show what is written.
    shown: Mutex<Shown>,
    journal: Journal,
    failing: AtomicBool,
    spans_written: AtomicU64,
    outlived: AtomicU64,
    damaged: AtomicU64,
    said: Mutex<HashSet<String>>,
    write_failures: AtomicU64,
    files_opened: AtomicU64,
    blocks_read: AtomicU64,
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
            writing: Mutex::default(),
            shown: Mutex::default(),
            journal,
            failing: AtomicBool::default(),
            spans_written: AtomicU64::default(),
            outlived: AtomicU64::default(),
            damaged: AtomicU64::default(),
            said: Mutex::default(),
            write_failures: AtomicU64::default(),
            files_opened: AtomicU64::default(),
            blocks_read: AtomicU64::default(),
        };
        folder.writing.lock().last_number = paths.last().map_or(0, |(number, _)| *number);
        let mut closed = Vec::new();
        for (_, path) in paths {
            match folder.reopen(&path, now_ms, &mut name) {
                Ok(segment) => closed.push(Arc::new(segment)),
                Err(error) => folder.note_damage(&error),
            }
        }
        let bytes: u64 = closed.iter().map(|segment| segment.bytes).sum();
        tracing::info!(segments = closed.len(), bytes, requests = replayed.requests, "spans are open");
        folder.shown.lock().closed = closed;
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
                let segment = writer.close(now_ms).map_err(read_error)?;
                (segment, writer.growing.index().table.clone())
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

    fn shown(&self) -> Shown {
        self.shown.lock().clone()
    }

    /// What is on disk.
    pub fn stats(&self) -> SpanFolderStats {
        let Shown { closed, open } = self.shown();
        let bytes = closed.iter().map(|segment| segment.bytes).sum::<u64>();
        let (segments, bytes) = match open {
            Some(growing) => (closed.len() as u64 + 1, bytes + growing.index().bytes),
            None => (closed.len() as u64, bytes),
        };
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
            files_opened: read(&self.files_opened),
            blocks_read: read(&self.blocks_read),
        }
    }
}

#[cfg(test)]
mod tests;
