//! The write-ahead log: segment files of records with length and CRC32. A record is handed to the operating system in
//! one write before the append returns, so that `kill -9` loses nothing. Each segment stands alone (see `record`): an
//! old one is simply deleted. Knows nothing of series beyond their labels.
//!
//! File: one of [`MAGICS`], creation time (milliseconds, i64), records. Record: length (u32), CRC32 of the payload (u32), payload. All
//! little-endian.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::WalSync;
use super::record::{RecordWriter, Version};
use crate::series::SeriesRef;

/// First bytes of every segment; the digits are the version of the format. The last one is what is written now.
pub(super) const MAGICS: [(&[u8; 8], Version); 2] = [(b"plmwal01", Version::One), (b"plmwal02", Version::Two)];

/// Magic and creation time.
pub(super) const FILE_HEADER: usize = 16;

/// Length and checksum.
pub(super) const RECORD_HEADER: usize = 8;

/// Size at which a new segment is begun: Prometheus'. Every segment declares its series anew, which is to be little beside their
/// samples; and yet small enough that retention frees space in good time.
const SEGMENT_BYTES_MAX: u64 = 128 << 20;

/// Age at which a new segment is begun, for the same reason.
const SEGMENT_AGE_MAX_MS: i64 = 3_600_000;

/// No record is longer: a batch is written in pieces of [`RECORD_BYTES_SPLIT`] plus one sample with its labels.
pub(super) const RECORD_BYTES_MAX: usize = 256 << 20;

/// Size at which a batch goes on in the next record.
pub(super) const RECORD_BYTES_SPLIT: usize = 4 << 20;

/// A closed or open segment.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub path: PathBuf,
    pub bytes: u64,
    pub newest_ms: i64,
}

/// Path of a segment.
pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.wal"))
}

/// The writing end of the log.
#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    /// In order of number; the last is being written if `file` is some.
    pub segments: Vec<Segment>,
    file: Option<Arc<File>>,
    created_ms: i64,
    next_number: u64,
    pub record: RecordWriter,
    /// Memory for samples that are in memory and not in the log yet, by series and time; empty between batches.
    pub unlogged: Vec<(SeriesRef, i64)>,
    buffer: Vec<u8>,
    wal_sync: WalSync,
}

impl Log {
    /// Continues after `segments`, in a segment of its own, whose number no file of the folder has.
    pub fn new(dir: PathBuf, segments: Vec<Segment>, next_number: u64, wal_sync: WalSync) -> Self {
        Self {
            dir,
            segments,
            file: None,
            created_ms: 0,
            next_number,
            record: RecordWriter::default(),
            unlogged: Vec::new(),
            buffer: Vec::new(),
            wal_sync,
        }
    }

    /// Makes sure that there is a segment to write to; call it before adding to `record`.
    pub fn prepare(&mut self, now_ms: i64) -> io::Result<()> {
        let full = self.segments.last().is_some_and(|s| s.bytes >= SEGMENT_BYTES_MAX);
        if self.file.is_some() && !full && now_ms.saturating_sub(self.created_ms) < SEGMENT_AGE_MAX_MS {
            return Ok(());
        }
        self.close()?;
        let number = self.next_number;
        let path = segment_path(&self.dir, number);
        let mut file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        self.next_number += 1;
        let mut header = MAGICS[MAGICS.len() - 1].0.to_vec();
        header.extend_from_slice(&now_ms.to_le_bytes());
        let name_synced = || if self.wal_sync == WalSync::Os { Ok(()) } else { File::open(&self.dir)?.sync_all() };
        if let Err(error) = file.write_all(&header).and_then(|()| name_synced()) {
            // Else a full disk would gather a file with every attempt.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        self.segments.push(Segment { path, bytes: FILE_HEADER as u64, newest_ms: i64::MIN });
        self.file = Some(Arc::new(file));
        self.created_ms = now_ms;
        self.record.start_segment();
        Ok(())
    }

    /// Writes the record that was built. After an error the next append begins a new segment, as the end of this one
    /// may be torn.
    pub fn commit(&mut self) -> io::Result<()> {
        if self.record.is_empty() {
            return Ok(());
        }
        let newest_ms = self.record.newest_ms();
        self.buffer.clear();
        self.buffer.extend_from_slice(&[0; RECORD_HEADER]);
        self.record.finish(&mut self.buffer);
        let payload = &self.buffer[RECORD_HEADER..];
        let length = u32::try_from(payload.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let crc = crc32fast::hash(payload);
        self.buffer[..4].copy_from_slice(&length.to_le_bytes());
        self.buffer[4..RECORD_HEADER].copy_from_slice(&crc.to_le_bytes());
        let written = self.write();
        match (&written, self.segments.last_mut()) {
            (Ok(()), Some(segment)) => {
                segment.bytes += self.buffer.len() as u64;
                segment.newest_ms = segment.newest_ms.max(newest_ms);
            }
            (Err(_), _) => self.abandon(),
            (Ok(()), None) => {}
        }
        written
    }

    /// Ends the segment being written at its last whole record; one without any is deleted, as a full disk would gather
    /// one with every attempt.
    fn abandon(&mut self) {
        let (Some(file), Some(segment)) = (self.file.take(), self.segments.last()) else { return };
        // Best effort: reading stops at a torn record anyway.
        let _ = file.set_len(segment.bytes);
        if segment.bytes <= FILE_HEADER as u64 && fs::remove_file(&segment.path).is_ok() {
            self.segments.pop();
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Err(io::Error::from(io::ErrorKind::NotFound)) };
        (&**file).write_all(&self.buffer)?;
        if self.wal_sync == WalSync::Always { file.sync_data() } else { Ok(()) }
    }

    /// The file being written, to be synced without holding up appends.
    pub fn current(&self) -> Option<Arc<File>> {
        self.file.clone()
    }

    /// Deletes closed segments whose samples are all older than `before_ms`.
    pub fn drop_before(&mut self, before_ms: i64) -> io::Result<usize> {
        let closed = self.segments.len() - usize::from(self.file.is_some());
        let mut dropped = 0;
        while dropped < closed && self.segments[dropped].newest_ms < before_ms {
            fs::remove_file(&self.segments[dropped].path)?;
            dropped += 1;
        }
        self.segments.drain(..dropped);
        Ok(dropped)
    }

    /// Ends the segment being written, for which no later [`Log::current`] stands; tells how many are closed then.
    pub fn close(&mut self) -> io::Result<usize> {
        if let (Some(file), WalSync::Every(_)) = (&self.file, self.wal_sync) {
            file.sync_data()?;
        }
        self.file = None;
        Ok(self.segments.len())
    }

    /// Deletes the oldest closed segments.
    pub fn drop_first(&mut self, count: usize) -> io::Result<()> {
        let closed = self.segments.len() - usize::from(self.file.is_some());
        for _ in 0..count.min(closed) {
            fs::remove_file(&self.segments[0].path)?;
            self.segments.remove(0);
        }
        Ok(())
    }

    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.bytes).sum()
    }
}

#[cfg(test)]
mod tests;
