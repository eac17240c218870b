//! The end of a closed segment: where the parts of its index are, and whether they are what was written. Pure.
//!
//! Bytes: offsets of the table, the filter and the ids (u64 each), number of ids (u64), CRC32 of table and filter (u32 each), closing
//! time (milliseconds, i64), CRC32 of all that (u32), [`MAGIC`]. Numbers are little-endian.

use super::{HEADER_BYTES, ids};

/// Last bytes of a closed segment.
const MAGIC: &[u8; 8] = b"plmspx02";

pub(super) const FOOTER_BYTES: usize = 60;

/// Bytes in front of the checksum.
const CHECKED_BYTES: usize = 48;

/// The footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub table_offset: u64,
    pub filter_offset: u64,
    pub ids_offset: u64,
    pub ids: u64,
    pub table_crc: u32,
    pub filter_crc: u32,
    pub closed_ms: i64,
}

impl Footer {
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FOOTER_BYTES);
        for number in [self.table_offset, self.filter_offset, self.ids_offset, self.ids] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.table_crc.to_le_bytes());
        bytes.extend_from_slice(&self.filter_crc.to_le_bytes());
        bytes.extend_from_slice(&self.closed_ms.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        bytes
    }

    /// The footer that stands at this place of a file, if it is a whole one.
    pub fn from_bytes(bytes: &[u8], footer_at: u64) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let half = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let is_whole = bytes.len() == FOOTER_BYTES
            && bytes.ends_with(MAGIC)
            && half(CHECKED_BYTES)? == crc32fast::hash(&bytes[..CHECKED_BYTES]);
        let footer = Self {
            table_offset: word(0)?,
            filter_offset: word(8)?,
            ids_offset: word(16)?,
            ids: word(24)?,
            table_crc: half(32)?,
            filter_crc: half(36)?,
            closed_ms: word(40)?.cast_signed(),
        };
        let is_in_order = HEADER_BYTES as u64 <= footer.table_offset
            && footer.table_offset <= footer.filter_offset
            && footer.filter_offset <= footer.ids_offset
            && ids::bytes(footer.ids).and_then(|bytes| bytes.checked_add(footer.ids_offset)) == Some(footer_at);
        (is_whole && is_in_order).then_some(footer)
    }
}
