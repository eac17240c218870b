//! A file of blocks, and behind them, once it is closed, its index: where each trace is, which services have spans where, and of
//! what time. Blocks stand alone: one that is damaged is left out, and said with its place.
//!
//! File: [`MAGIC`], creation time (milliseconds, i64), blocks; when closed: table, filter, ids, footer, each of which says in its file
//! what it is. Block: [`MARK`], length (u32), CRC32 of what follows (u32), a block of `codec`. Numbers are little-endian.

mod closed;
mod filter;
mod footer;
mod ids;
mod scan;
mod table;
mod writer;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub(super) use self::closed::Segment;
pub(super) use self::scan::scan;
pub(super) use self::table::{Entry, Table};
pub(super) use self::writer::{Growing, Writer};
use super::codec;
use crate::traces::sampling::Fragment;

/// First bytes of a segment; the digits are the version of the format.
pub(super) const MAGIC: &[u8; 8] = b"plmspn01";

/// First bytes of a block, by which the next one is found behind damage.
pub(super) const MARK: [u8; 4] = *b"\xf5SPB";

/// Magic and creation time.
pub(super) const HEADER_BYTES: usize = 16;

/// Mark, length, checksum.
pub(super) const BLOCK_HEADER_BYTES: usize = 12;

/// What is wrong with a place in a segment.
#[derive(Debug, thiserror::Error)]
pub(super) enum SegmentError {
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is damaged at byte {offset}: {what}", path.display())]
    Damaged { path: PathBuf, offset: u64, what: &'static str },
}

/// The file of a segment, closed or not, opened once for as many reads as are needed.
#[derive(Debug)]
pub(super) struct SegmentFile {
    path: PathBuf,
    file: File,
}

impl SegmentFile {
    /// Opens it.
    pub fn open(path: &Path) -> Result<Self, SegmentError> {
        let file = File::open(path).map_err(|source| SegmentError::Read { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn bytes(&self) -> Result<u64, SegmentError> {
        Ok(self.file.metadata().map_err(|source| self.read_error(source))?.len())
    }

    /// What stands between two offsets.
    fn read(&self, from: u64, to: u64) -> Result<Vec<u8>, SegmentError> {
        let length = usize::try_from(to.saturating_sub(from));
        let length = length.map_err(|_| self.read_error(io::Error::from(io::ErrorKind::FileTooLarge)))?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, from).map_err(|source| self.read_error(source))?;
        Ok(bytes)
    }

    /// The fragments of a block.
    pub fn block(&self, entry: &Entry) -> Result<Vec<Fragment>, SegmentError> {
        let damaged = || self.damaged(entry.offset, "the block is not what was written; its traces are left out");
        let length = u64::from(entry.length);
        if length > codec::PACKED_BYTES_MAX as u64 {
            return Err(damaged());
        }
        let bytes = self.read(entry.offset, entry.offset.saturating_add(BLOCK_HEADER_BYTES as u64 + length))?;
        block_at(&bytes, 0).and_then(codec::read).ok_or_else(damaged)
    }

    fn read_error(&self, source: io::Error) -> SegmentError {
        SegmentError::Read { path: self.path.clone(), source }
    }

    fn damaged(&self, offset: u64, what: &'static str) -> SegmentError {
        SegmentError::Damaged { path: self.path.clone(), offset, what }
    }
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
