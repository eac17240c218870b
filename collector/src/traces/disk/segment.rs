//! A file of blocks, and behind them, once it is closed, its index: where each trace is, which services have spans where, and of
//! what time. Blocks stand alone: one that is damaged is left out, and said with its place.
//!
//! File: [`MAGIC`], creation time (milliseconds, i64), blocks; when closed: table, ids, footer. Block: [`MARK`], length (u32), CRC32 of
//! what follows (u32), a block of `codec`. Table: see `table`. Ids: trace id (16 bytes, big-endian) and number of the block (u32),
//! in order. Footer: offset of the table (u64), of the ids (u64), number of ids (u64), CRC32 of table and ids (u32 each), closing time
//! (i64), [`FOOTER_MAGIC`]. Numbers are little-endian.

mod scan;
mod table;
mod writer;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub(super) use self::scan::scan;
pub(super) use self::table::{Entry, Table};
pub(super) use self::writer::{Growing, Writer};
use super::codec;
use crate::traces::sampling::Fragment;
use crate::traces::span::TraceId;

/// First bytes of a segment; the digits are the version of the format.
pub(super) const MAGIC: &[u8; 8] = b"plmspn01";

/// Last bytes of a closed segment.
const FOOTER_MAGIC: &[u8; 8] = b"plmspx01";

/// First bytes of a block, by which the next one is found behind damage.
pub(super) const MARK: [u8; 4] = *b"\xf5SPB";

/// Magic and creation time.
pub(super) const HEADER_BYTES: usize = 16;

/// Mark, length, checksum.
pub(super) const BLOCK_HEADER_BYTES: usize = 12;

/// Trace id and block.
const ID_BYTES: usize = 20;

const FOOTER_BYTES: usize = 48;

/// What is wrong with a place in a segment.
#[derive(Debug, thiserror::Error)]
pub(super) enum SegmentError {
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is damaged at byte {offset}: {what}", path.display())]
    Damaged { path: PathBuf, offset: u64, what: &'static str },
}

/// A closed segment. Nothing of it is in memory but this.
#[derive(Debug)]
pub(super) struct Segment {
    pub path: PathBuf,
    pub bytes: u64,
    pub closed_ms: i64,
    table_offset: u64,
    ids_offset: u64,
    ids: u64,
    table_crc: u32,
}

impl Segment {
    /// Opens a closed segment; nothing if it has no whole index.
    pub fn open(path: &Path) -> Result<Option<(Self, Table)>, SegmentError> {
        let read_error = |source| SegmentError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read_error)?;
        let bytes = file.metadata().map_err(read_error)?.len();
        let Some(footer_at) = bytes.checked_sub(FOOTER_BYTES as u64) else { return Ok(None) };
        let mut footer = [0; FOOTER_BYTES];
        file.read_exact_at(&mut footer, footer_at).map_err(read_error)?;
        let word = |at: usize| u64::from_le_bytes(footer[at..at + 8].try_into().expect("eight bytes"));
        let half = |at: usize| u32::from_le_bytes(footer[at..at + 4].try_into().expect("four bytes"));
        let (table_offset, ids_offset, ids) = (word(0), word(8), word(16));
        let whole = footer[40..] == *FOOTER_MAGIC
            && table_offset <= ids_offset
            && ids.checked_mul(ID_BYTES as u64).and_then(|bytes| bytes.checked_add(ids_offset)) == Some(footer_at);
        if !whole {
            return Ok(None);
        }
        let mut index = vec![0; usize::try_from(footer_at - table_offset).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut index, table_offset).map_err(read_error)?;
        let (table, sorted) = index.split_at(usize::try_from(ids_offset - table_offset).unwrap_or(usize::MAX));
        let (table_crc, ids_crc) = (half(24), half(28));
        if crc32fast::hash(table) != table_crc || crc32fast::hash(sorted) != ids_crc {
            return Ok(None);
        }
        let Some(table) = Table::from_bytes(table) else { return Ok(None) };
        let closed_ms = word(32).cast_signed();
        let path = path.to_owned();
        Ok(Some((Self { path, bytes, closed_ms, table_offset, ids_offset, ids, table_crc }, table)))
    }

    fn file(&self) -> Result<File, SegmentError> {
        File::open(&self.path).map_err(|source| self.read_error(source))
    }

    fn read_error(&self, source: io::Error) -> SegmentError {
        SegmentError::Read { path: self.path.clone(), source }
    }

    /// What it holds, block by block.
    pub fn table(&self) -> Result<Table, SegmentError> {
        let mut bytes = vec![0; usize::try_from(self.ids_offset - self.table_offset).unwrap_or(0)];
        self.file()?.read_exact_at(&mut bytes, self.table_offset).map_err(|source| self.read_error(source))?;
        let whole = crc32fast::hash(&bytes) == self.table_crc;
        whole.then(|| Table::from_bytes(&bytes)).flatten().ok_or_else(|| SegmentError::Damaged {
            path: self.path.clone(),
            offset: self.table_offset,
            what: "its index is not what was written",
        })
    }

    /// Blocks with spans of a trace.
    pub fn find(&self, id: TraceId) -> Result<Vec<u32>, SegmentError> {
        let file = self.file()?;
        let mut entry = [0; ID_BYTES];
        let mut read = |at: u64| {
            let place = self.ids_offset + at * ID_BYTES as u64;
            file.read_exact_at(&mut entry, place).map_err(|source| self.read_error(source))?;
            let (id, block) = entry.split_first_chunk::<16>().expect("an entry is longer than an id");
            Ok((u128::from_be_bytes(*id), u32::from_le_bytes(block.try_into().expect("four bytes are left"))))
        };
        let (mut low, mut high) = (0, self.ids);
        while low < high {
            let middle = low + (high - low) / 2;
            if read(middle)?.0 < id { low = middle + 1 } else { high = middle }
        }
        let mut blocks = Vec::new();
        while low < self.ids {
            let (found, block) = read(low)?;
            if found != id {
                break;
            }
            blocks.push(block);
            low += 1;
        }
        Ok(blocks)
    }
}

/// Reads a block of a segment, closed or not.
pub(super) fn read_block(path: &Path, entry: &Entry) -> Result<Vec<Fragment>, SegmentError> {
    let read_error = |source| SegmentError::Read { path: path.to_owned(), source };
    let damaged = || SegmentError::Damaged {
        path: path.to_owned(),
        offset: entry.offset,
        what: "the block is not what was written; its traces are left out",
    };
    let length = entry.length as usize;
    if length > codec::PACKED_BYTES_MAX {
        return Err(damaged());
    }
    let file = File::open(path).map_err(read_error)?;
    let mut bytes = vec![0; BLOCK_HEADER_BYTES + length];
    file.read_exact_at(&mut bytes, entry.offset).map_err(read_error)?;
    block_at(&bytes, 0).and_then(codec::read).ok_or_else(damaged)
}

/// The packed block that begins here, if one does and it is whole.
fn block_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let header = bytes.get(at..at + BLOCK_HEADER_BYTES)?;
    if header[..4] != MARK {
        return None;
    }
    let length = u32::from_le_bytes(header[4..8].try_into().expect("four bytes")) as usize;
    let from = at + BLOCK_HEADER_BYTES;
    let packed = bytes.get(from..from.checked_add(length)?)?;
    (crc32fast::hash(packed).to_le_bytes() == header[8..12]).then_some(packed)
}

#[cfg(test)]
mod tests;
