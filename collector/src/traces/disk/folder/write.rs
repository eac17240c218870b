//! The writing side of the folder. Waits for the disk, and shows readers what is written when it is.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::SpanFolder;
use crate::traces::disk::codec::{BLOCK_BYTES, BlockWriter};
use crate::traces::disk::segment::Writer;
use crate::traces::sampling::Fragment;

/// Size at which a segment is closed: a million spans, and few enough files.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// A segment is at least so large, however little may be kept.
const SEGMENT_BYTES_MIN: u64 = 256 << 10;

/// Age at which a segment is closed, so that retention by time frees space in good time.
pub(super) const SEGMENT_AGE_MAX_MS: i64 = 3_600_000;

/// What only who writes needs.
#[derive(Debug, Default)]
pub(super) struct Writing {
    pub open: Option<Writer>,
    pub last_number: u64,
}

impl SpanFolder {
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
        let mut writing = self.writing.lock();
        let is_due = |writer: &Writer| {
            writer.bytes + packed.len() as u64 > self.segment_bytes()
                || now_ms.saturating_sub(writer.created_ms) >= SEGMENT_AGE_MAX_MS
        };
        if writing.open.as_ref().is_some_and(is_due) {
            self.close(&mut writing, now_ms)?;
        }
        if writing.open.is_none() {
            let path = self.dir.join(format!("{:08}.spans", writing.last_number + 1));
            let writer = Writer::create(path, now_ms)?;
            self.shown.lock().open = Some(Arc::clone(&writer.growing));
            writing.open = Some(writer);
            writing.last_number += 1;
        }
        let Some(writer) = &mut writing.open else { return Err(io::Error::from(io::ErrorKind::NotFound)) };
        writer.append(packed, fragments)
    }

    /// Closes the segment that is written. If its index cannot be, it stays open, where it is still read, until it can.
    fn close(&self, writing: &mut Writing, now_ms: i64) -> io::Result<()> {
        if let Some(writer) = &mut writing.open {
            let segment = Arc::new(writer.close(now_ms)?);
            let mut shown = self.shown.lock();
            shown.closed.push(segment);
            shown.open = None;
            writing.open = None;
        }
        Ok(())
    }

    /// A tenth of what may be kept, so that retention takes little at a time.
    fn segment_bytes(&self) -> u64 {
        let share = self.retention.bytes.map_or(SEGMENT_BYTES_MAX, |bytes| bytes / 10);
        share.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
    }

    /// Deletes the segments that are too old or too much.
    pub fn retire(&self, now_ms: i64) {
        let mut writing = self.writing.lock();
        if let Some(writer) = &writing.open
            && now_ms.saturating_sub(writer.created_ms) >= SEGMENT_AGE_MAX_MS
            && let Err(error) = self.close(&mut writing, now_ms)
        {
            self.note_failure(&error);
        }
        let open_bytes = writing.open.as_ref().map_or(0, |writer| writer.bytes);
        let closed = self.shown.lock().closed.clone();
        let mut bytes = closed.iter().map(|segment| segment.bytes).sum::<u64>() + open_bytes;
        let time_ms = i64::try_from(self.retention.time.as_millis()).unwrap_or(i64::MAX);
        let before_ms = now_ms.saturating_sub(time_ms);
        let mut gone = 0;
        while let Some(oldest) = closed.get(gone)
            && (oldest.closed_ms() < before_ms || self.retention.bytes.is_some_and(|most| bytes > most))
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
        // Nobody else takes segments away: the first are still those.
        self.shown.lock().closed.drain(..gone);
        drop(writing);
        if gone > 0 {
            self.outlived.fetch_add(gone as u64, Ordering::Relaxed);
            tracing::info!(segments = gone, "segments of spans beyond the retention are removed");
        }
    }
}
