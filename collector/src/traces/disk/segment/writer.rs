//! A segment that is being written. Who writes waits for the disk; what readers need stands beside the file, behind a lock that is
//! held for no longer than it takes to note a block.

use std::collections::{BTreeSet, HashSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};

use super::filter::Filter;
use super::footer::Footer;
use super::{BLOCK_HEADER_BYTES, Entry, HEADER_BYTES, MAGIC, MARK, Segment, Table, ids};
use crate::traces::sampling::Fragment;
use crate::traces::span::TraceId;

/// The writing side of a segment.
#[derive(Debug)]
pub(in crate::traces::disk) struct Writer {
    /// Where the last whole block ends.
    pub bytes: u64,
    pub created_ms: i64,
    pub growing: Arc<Growing>,
    pub(super) file: File,
}

/// The reading side of a segment that is being written.
#[derive(Debug)]
pub(in crate::traces::disk) struct Growing {
    pub path: PathBuf,
    index: RwLock<Index>,
}

/// What a segment that is being written holds, as far as it can be read: some 5 MB per million spans where a trace has ten.
#[derive(Debug, Default)]
pub(in crate::traces::disk) struct Index {
    pub bytes: u64,
    pub table: Table,
    pub ids: BTreeSet<(TraceId, u32)>,
}

impl Growing {
    pub fn new(path: PathBuf) -> Self {
        Self { path, index: RwLock::default() }
    }

    /// What there is now.
    pub fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read()
    }
}

impl Index {
    /// Blocks with spans of these traces, in order.
    pub fn find(&self, wanted: &HashSet<TraceId>) -> Vec<Entry> {
        let of_trace = |id: &TraceId| self.ids.range((*id, 0)..=(*id, u32::MAX)).map(|(_, block)| *block);
        let blocks: BTreeSet<u32> = wanted.iter().flat_map(of_trace).collect();
        blocks.into_iter().filter_map(|block| self.table.entries.get(block as usize).cloned()).collect()
    }
}

impl Writer {
    /// Begins a segment.
    pub fn create(path: PathBuf, now_ms: i64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let written = file.write_all_at(&[&MAGIC[..], &now_ms.to_le_bytes()].concat(), 0);
        if let Err(error) = written {
            // Else a full disk would gather a file with every attempt.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        let growing = Growing::new(path);
        growing.index.write().bytes = HEADER_BYTES as u64;
        Ok(Self { bytes: HEADER_BYTES as u64, created_ms: now_ms, growing: Arc::new(growing), file })
    }

    /// Writes a block behind the last whole one. What a failed attempt has left there, as a full disk may not even let go of it, is
    /// written over, and never counted.
    pub fn append(&mut self, packed: &[u8], fragments: &[Fragment]) -> io::Result<()> {
        let length = u32::try_from(packed.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let mut bytes = Vec::with_capacity(BLOCK_HEADER_BYTES + packed.len());
        bytes.extend_from_slice(&MARK);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(packed).to_le_bytes());
        bytes.extend_from_slice(packed);
        if let Err(error) = self.file.write_all_at(&bytes, self.bytes) {
            // Best effort, for the room it takes.
            let _ = self.file.set_len(self.bytes);
            return Err(error);
        }
        self.note(self.bytes, length, fragments);
        Ok(())
    }

    /// Has readers see a block, behind which the next one is written.
    pub(super) fn note(&mut self, offset: u64, length: u32, fragments: &[Fragment]) {
        self.bytes = offset + BLOCK_HEADER_BYTES as u64 + u64::from(length);
        let mut index = self.growing.index.write();
        let number = index.table.entries.len() as u32;
        index.table.add(offset, length, fragments);
        index.ids.extend(fragments.iter().map(|fragment| (fragment.id, number)));
        index.bytes = self.bytes;
    }

    /// Writes the index, has the file end there, and forces all to the disk. After an error it can be closed again, or written on.
    pub fn close(&mut self, now_ms: i64) -> io::Result<Segment> {
        let (table, filter, ids, count) = {
            let index = self.growing.index();
            let filter = Filter::new(index.ids.iter().map(|(id, _)| *id));
            (index.table.to_bytes(), filter, ids::write(&index.ids), index.ids.len() as u64)
        };
        let filter_bytes = filter.to_bytes();
        let filter_offset = self.bytes + table.len() as u64;
        let footer = Footer {
            table_offset: self.bytes,
            filter_offset,
            ids_offset: filter_offset + filter_bytes.len() as u64,
            ids: count,
            table_crc: crc32fast::hash(&table),
            filter_crc: crc32fast::hash(&filter_bytes),
            closed_ms: now_ms,
        };
        let index = [table, filter_bytes, ids, footer.to_bytes()].concat();
        let bytes = self.bytes + index.len() as u64;
        // The footer is looked for at the end: nothing of a failed attempt may stand behind it.
        let written = self.file.write_all_at(&index, self.bytes).and_then(|()| self.file.set_len(bytes));
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            let _ = self.file.set_len(self.bytes);
            return Err(error);
        }
        Ok(Segment { path: self.growing.path.clone(), bytes, footer, filter })
    }
}
