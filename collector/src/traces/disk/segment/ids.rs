//! The ids of a closed segment, in order, in pages: read from the disk one page at a time, each only if it is what was written. Pure.
//!
//! A page is [`PAGE_IDS`] times a trace id (16 bytes, big-endian) and the number of a block with spans of it (u32), and the CRC32 of
//! that; the last one may be shorter. A trace is as often there as it has blocks.

use std::collections::BTreeSet;

use crate::traces::span::TraceId;

const ID_BYTES: u64 = 20;

const CRC_BYTES: u64 = 4;

/// Ids of one page: with their checksum just below 4 KiB, which is what a system reads at once.
pub(super) const PAGE_IDS: u64 = 204;

const PAGE_BYTES: u64 = PAGE_IDS * ID_BYTES + CRC_BYTES;

/// Bytes of so many ids.
pub(super) fn bytes(ids: u64) -> Option<u64> {
    ids.checked_mul(ID_BYTES)?.checked_add(pages(ids) * CRC_BYTES)
}

/// Pages of so many ids.
pub(super) fn pages(ids: u64) -> u64 {
    ids.div_ceil(PAGE_IDS)
}

/// Where a page begins and ends, behind the first.
pub(super) fn page_at(number: u64, ids: u64) -> (u64, u64) {
    let from = number * PAGE_BYTES;
    let in_page = ids.saturating_sub(number * PAGE_IDS).min(PAGE_IDS);
    (from, from + in_page * ID_BYTES + CRC_BYTES)
}

/// All pages.
pub(super) fn write(ids: &BTreeSet<(TraceId, u32)>) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes(ids.len() as u64).map_or(0, |bytes| bytes as usize));
    let mut ids = ids.iter().peekable();
    while ids.peek().is_some() {
        let from = out.len();
        for (id, block) in ids.by_ref().take(PAGE_IDS as usize) {
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&block.to_le_bytes());
        }
        let crc = crc32fast::hash(&out[from..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }
    out
}

/// The ids of a page with their blocks, in order; nothing if it is not what was written.
pub(super) fn read(page: &[u8]) -> Option<Vec<(TraceId, u32)>> {
    let (ids, crc) = page.split_last_chunk::<{ CRC_BYTES as usize }>()?;
    if crc32fast::hash(ids).to_le_bytes() != *crc {
        return None;
    }
    let entry = |entry: &[u8]| {
        let (id, block) = entry.split_first_chunk()?;
        Some((u128::from_be_bytes(*id), u32::from_le_bytes(*block.first_chunk()?)))
    };
    ids.chunks_exact(ID_BYTES as usize).map(entry).collect()
}
