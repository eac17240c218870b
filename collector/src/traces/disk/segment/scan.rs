//! Makes the index of a segment anew from its blocks: of one whose writer was killed, or whose index is damaged.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use super::{BLOCK_HEADER_BYTES, Growing, HEADER_BYTES, MAGIC, MARK, SegmentError, Writer, block_at};
use crate::traces::disk::codec;

/// Bytes that are no block: where they begin, and how many.
pub(in crate::traces::disk) struct Gap {
    pub offset: u64,
    pub bytes: u64,
}

/// Reads all blocks; the writer goes on behind the last whole one.
pub(in crate::traces::disk) fn scan(path: &Path) -> Result<(Writer, Vec<Gap>), SegmentError> {
    let read_error = |source| SegmentError::Read { path: path.to_owned(), source };
    let bytes = fs::read(path).map_err(read_error)?;
    if !bytes.starts_with(MAGIC) || bytes.len() < HEADER_BYTES {
        return Err(SegmentError::Damaged { path: path.to_owned(), offset: 0, what: "it is no segment of spans" });
    }
    let created_ms = i64::from_le_bytes(bytes[8..HEADER_BYTES].try_into().expect("eight bytes"));
    let file = OpenOptions::new().write(true).open(path).map_err(read_error)?;
    let growing = Arc::new(Growing::new(path.to_owned()));
    let (mut gaps, mut at, mut end) = (Vec::new(), HEADER_BYTES, HEADER_BYTES);
    let mut writer = Writer { bytes: end as u64, created_ms, growing, file };
    while at < bytes.len() {
        let found = block_at(&bytes, at).and_then(|packed| Some((packed.len(), codec::read(packed)?)));
        if let Some((length, fragments)) = found {
            if at > end {
                gaps.push(Gap { offset: end as u64, bytes: (at - end) as u64 });
            }
            writer.note(at as u64, length as u32, &fragments);
            at += BLOCK_HEADER_BYTES + length;
            end = at;
        } else {
            // Behind damage the next block begins with the next mark, if that is one.
            let next = bytes[at + 1..].windows(MARK.len()).position(|window| window == MARK);
            at = next.map_or(bytes.len(), |further| at + 1 + further);
        }
    }
    if end < bytes.len() {
        gaps.push(Gap { offset: end as u64, bytes: (bytes.len() - end) as u64 });
    }
    writer.file.set_len(writer.bytes).map_err(read_error)?;
    Ok((writer, gaps))
}
