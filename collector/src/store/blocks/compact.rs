//! Merging blocks into one: series by series in the order of labels, holding of each block only a few at a time.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use super::block::Block;
use super::file::BlockError;
use super::meta::{Compaction, Meta, Parent};
use super::table::Index;
use super::ulid::Ulid;
use super::writer::BlockWriter;
use super::{Blocks, ROWS_PER_GROUP};
use crate::series::{Labels, SeriesSamples};
use crate::store::merge;

/// Samples read ahead of each block.
const AHEAD: u64 = ROWS_PER_GROUP as u64;

/// Series of a block in order, read a few at a time.
struct Stream {
    block: Arc<Block>,
    index: Arc<Index>,
    next: usize,
    ahead: VecDeque<SeriesSamples>,
}

impl Stream {
    fn new(block: Arc<Block>) -> Result<Self, BlockError> {
        let index = Arc::new(block.index()?);
        let mut stream = Self { block, index, next: 0, ahead: VecDeque::new() };
        stream.fill()?;
        Ok(stream)
    }

    fn peek(&self) -> Option<&Labels> {
        self.ahead.front().map(|series| &series.labels)
    }

    fn pop(&mut self) -> Result<Option<SeriesSamples>, BlockError> {
        let series = self.ahead.pop_front();
        if self.ahead.is_empty() {
            self.fill()?;
        }
        Ok(series)
    }

    fn fill(&mut self) -> Result<(), BlockError> {
        let rows = &self.index.table().rows;
        let (start, mut samples) = (self.next, 0);
        while self.next < rows.len() && (self.next == start || samples < AHEAD) {
            samples += rows[self.next].samples + rows[self.next].histograms;
            self.next += 1;
        }
        let numbers: Vec<u32> = (start as u32..self.next as u32).collect();
        let read = self.block.read(&self.index, &numbers, (i64::MIN, i64::MAX), |_| Ok::<(), BlockError>(()))?;
        self.ahead.extend(read);
        Ok(())
    }
}

/// What the block that replaces others is called and made from.
fn description(ulid: Ulid, parents: &[Arc<Block>]) -> Meta {
    let metas = || parents.iter().map(|block| &block.meta);
    let mut sources: Vec<Ulid> = metas().flat_map(|meta| meta.compaction.sources.iter().copied()).collect();
    sources.sort();
    sources.dedup();
    let parent = |meta: &Meta| Parent { ulid: meta.ulid, min_time: meta.min_time, max_time: meta.max_time };
    let level = metas().map(|meta| meta.compaction.level).max().unwrap_or(0) + 1;
    let mut meta = Meta::new(ulid, Compaction { level, sources, parents: metas().map(parent).collect() });
    meta.sealed_until = metas().filter_map(|meta| meta.sealed_until).max();
    meta
}

/// Writes one block with all that is in others; of samples with one time that of the least [`Meta::rank`] stays. `None` if `stop` says so
/// half-way.
pub(crate) fn merge_blocks(
    blocks: &Blocks,
    parents: &[Arc<Block>],
    ulid: Ulid,
    stop: &dyn Fn() -> bool,
) -> Result<Option<PathBuf>, BlockError> {
    let mut parents = parents.to_vec();
    parents.sort_by_key(|block| block.meta.rank());
    let mut streams = parents.iter().cloned().map(Stream::new).collect::<Result<Vec<_>, _>>()?;
    let mut writer = BlockWriter::create(blocks.home(), description(ulid, &parents), ROWS_PER_GROUP)?;
    while let Some(labels) = streams.iter().filter_map(Stream::peek).min().cloned() {
        if stop() {
            return Ok(None);
        }
        let mut all = SeriesSamples::floats(labels.clone(), Vec::new());
        for stream in &mut streams {
            if stream.peek() == Some(&labels)
                && let Some(series) = stream.pop()?
            {
                merge::join(&mut all, series);
            }
        }
        writer.push(&all.labels, &all.samples, &all.histograms)?;
    }
    Ok(writer.finish()?.map(|(folder, _)| folder))
}
