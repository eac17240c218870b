//! A closed segment: found by its footer, asked by its filter, and read from the disk for all else.

use std::path::{Path, PathBuf};

use super::filter::Filter;
use super::footer::{FOOTER_BYTES, Footer};
use super::{SegmentError, SegmentFile, Table, ids};
use crate::traces::span::TraceId;

/// A closed segment. Nothing of it is in memory but this.
#[derive(Debug)]
pub(in crate::traces::disk) struct Segment {
    pub path: PathBuf,
    pub bytes: u64,
    pub(super) footer: Footer,
    pub(super) filter: Filter,
}

impl Segment {
    /// Opens a closed segment, whose ids are left where they are; nothing if it has no whole index.
    pub fn open(path: &Path) -> Result<Option<(Self, Table)>, SegmentError> {
        let file = SegmentFile::open(path)?;
        let bytes = file.bytes()?;
        let Some(footer_at) = bytes.checked_sub(FOOTER_BYTES as u64) else { return Ok(None) };
        let Some(footer) = Footer::from_bytes(&file.read(footer_at, bytes)?, footer_at) else { return Ok(None) };
        let filter = file.read(footer.filter_offset, footer.ids_offset)?;
        let filter = if crc32fast::hash(&filter) == footer.filter_crc { Filter::from_bytes(&filter) } else { None };
        let (Some(filter), Some(table)) = (filter, table(&file, &footer)?) else { return Ok(None) };
        Ok(Some((Self { path: path.to_owned(), bytes, footer, filter }, table)))
    }

    /// When it was closed, in milliseconds.
    pub fn closed_ms(&self) -> i64 {
        self.footer.closed_ms
    }

    /// Whether it may have spans of a trace; without a look at the disk.
    pub fn may_hold(&self, id: TraceId) -> bool {
        self.filter.may_hold(id)
    }

    /// What it holds, block by block.
    pub fn table(&self, file: &SegmentFile) -> Result<Table, SegmentError> {
        table(file, &self.footer)?
            .ok_or_else(|| file.damaged(self.footer.table_offset, "its index is not what was written"))
    }

    /// Blocks with spans of a trace.
    pub fn find(&self, file: &SegmentFile, id: TraceId) -> Result<Vec<u32>, SegmentError> {
        let pages = ids::pages(self.footer.ids);
        let (mut low, mut high) = (0, pages);
        while low < high {
            let middle = low + (high - low) / 2;
            let ends_before = self.page(file, middle)?.last().is_some_and(|(last, _)| *last < id);
            if ends_before { low = middle + 1 } else { high = middle }
        }
        // The first page that does not end before it, and the next if it goes on there.
        let mut blocks = Vec::new();
        for number in low..pages {
            let page = self.page(file, number)?;
            blocks.extend(page.iter().filter(|(known, _)| *known == id).map(|(_, block)| *block));
            if page.last().is_some_and(|(last, _)| *last > id) {
                break;
            }
        }
        Ok(blocks)
    }

    fn page(&self, file: &SegmentFile, number: u64) -> Result<Vec<(TraceId, u32)>, SegmentError> {
        let (from, to) = ids::page_at(number, self.footer.ids);
        let offset = self.footer.ids_offset + from;
        let page = file.read(offset, self.footer.ids_offset + to)?;
        ids::read(&page)
            .ok_or_else(|| file.damaged(offset, "a part of its index is not what was written; all its blocks are read"))
    }
}

/// The table; nothing if it is not what was written.
fn table(file: &SegmentFile, footer: &Footer) -> Result<Option<Table>, SegmentError> {
    let bytes = file.read(footer.table_offset, footer.filter_offset)?;
    Ok(if crc32fast::hash(&bytes) == footer.table_crc { Table::from_bytes(&bytes) } else { None })
}
