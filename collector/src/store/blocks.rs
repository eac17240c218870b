//! Sealed history: blocks of plain Parquet, which Polars and DuckDB read in place. A block never changes; blocks are added,
//! replaced and removed. Knows nothing of the head or the log. The parquet crate's types stay in here. Start at `Blocks`.

mod block;
mod columns;
mod compact;
mod file;
mod histograms;
mod meta;
mod plan;
mod samples;
mod series_file;
mod table;
mod ulid;
mod writer;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

pub(crate) use self::block::Block;
pub(crate) use self::compact::merge_blocks;
pub use self::file::BlockError;
use self::meta::{CHECKSUM_FILE, META_FILE};
pub(crate) use self::meta::{Compaction, Meta};
pub(crate) use self::plan::{next_merge, outlived, ranges};
use self::table::Index;
pub(crate) use self::ulid::Ulid;
pub(crate) use self::writer::BlockWriter;
use self::writer::{UNFINISHED, sync_folder};
use crate::series::{Labels, Matcher, Meter, SelectError, SeriesSamples};

/// Bytes of indexes of series kept in memory after use, over all blocks: those of some million series.
const INDEX_BYTES_MAX: usize = 256 << 20;

/// Samples of a row group, for which some 40 bytes each are held in memory while it is written. Each group has its values
/// encoded as suits them best, and neighbours, which have one name, are alike.
pub(crate) const ROWS_PER_GROUP: usize = 65_536;

/// All blocks of a store.
pub(crate) struct Blocks {
    home: PathBuf,
    /// In order of time.
    open: ArcSwap<Vec<Arc<Block>>>,
    indexes: Mutex<HashMap<Ulid, Cached>>,
    uses: AtomicU64,
    /// How many were left out when they were opened.
    damaged: usize,
    /// Held while folders are removed.
    removal: Mutex<()>,
}

struct Cached {
    index: Arc<Index>,
    used: u64,
}

/// What was found when the blocks were opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FoundBlocks {
    /// Blocks that can be read.
    pub blocks: usize,
    /// Blocks that cannot, and are left alone.
    pub damaged: usize,
    /// Folders that were never finished, and blocks that another one replaces: removed.
    pub removed: usize,
}

impl Blocks {
    /// Opens all blocks of a folder, which is made if need be. One that is damaged is said and left alone.
    pub fn open(home: &Path) -> io::Result<(Self, FoundBlocks)> {
        fs::create_dir_all(home)?;
        let (mut open, mut damaged, mut found) = (Vec::new(), 0, FoundBlocks::default());
        for entry in fs::read_dir(home)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.strip_suffix(UNFINISHED).is_some_and(|stem| stem.parse::<Ulid>().is_ok()) {
                fs::remove_dir_all(&path)?;
                found.removed += 1;
            } else if name.parse::<Ulid>().is_ok() {
                match Block::open(&path) {
                    Ok(block) => open.push(Arc::new(block)),
                    Err(error) => {
                        tracing::error!(block = %path.display(), %error, "a damaged block is left out");
                        damaged += 1;
                    }
                }
            }
        }
        let replaced: HashSet<Ulid> = open.iter().flat_map(|b| &b.meta.compaction.parents).map(|p| p.ulid).collect();
        for block in open.extract_if(.., |block| replaced.contains(&block.meta.ulid)) {
            remove_folder(&block.folder)?;
            found.removed += 1;
        }
        open.sort_by_key(|block| (block.meta.min_time, block.meta.ulid));
        (found.blocks, found.damaged) = (open.len(), damaged);
        let open = ArcSwap::from_pointee(open);
        let (home, indexes, uses, removal) = (home.to_owned(), Mutex::default(), AtomicU64::new(0), Mutex::default());
        Ok((Self { home, open, indexes, uses, damaged, removal }, found))
    }

    /// The folder of all blocks.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The blocks as they are now, in order of time.
    pub fn list(&self) -> Arc<Vec<Arc<Block>>> {
        self.open.load_full()
    }

    /// How many blocks were left out as damaged.
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// All that the head held before this time is in blocks.
    pub fn sealed_until(&self) -> Option<i64> {
        self.list().iter().filter_map(|block| block.meta.sealed_until).max()
    }

    /// Puts a finished block in, in place of those that it was made from, whose folders are removed.
    pub fn add(&self, folder: &Path) -> Result<Arc<Block>, BlockError> {
        let block = Arc::new(Block::open(folder)?);
        let replaced: HashSet<Ulid> = block.meta.compaction.parents.iter().map(|parent| parent.ulid).collect();
        self.replace(&replaced, Some(&block))?;
        Ok(block)
    }

    /// Forgets blocks and removes their folders.
    pub fn remove(&self, gone: &HashSet<Ulid>) -> Result<(), BlockError> {
        self.replace(gone, None)
    }

    fn replace(&self, gone: &HashSet<Ulid>, new: Option<&Arc<Block>>) -> Result<(), BlockError> {
        let _no_snapshot = self.removal.lock();
        let before = self.open.rcu(|open| {
            let kept = open.iter().filter(|block| !gone.contains(&block.meta.ulid)).cloned();
            let mut open: Vec<Arc<Block>> = kept.chain(new.cloned()).collect();
            open.sort_by_key(|block| (block.meta.min_time, block.meta.ulid));
            open
        });
        self.indexes.lock().retain(|ulid, _| !gone.contains(ulid));
        // A query that still reads one holds its files open.
        for block in before.iter().filter(|block| gone.contains(&block.meta.ulid)) {
            remove_folder(&block.folder).map_err(|error| BlockError::io(&block.folder, &error))?;
        }
        Ok(())
    }

    /// Which series a block has; read if no query asked of late.
    pub fn index(&self, block: &Block) -> Result<Arc<Index>, BlockError> {
        let used = self.uses.fetch_add(1, Ordering::Relaxed);
        if let Some(cached) = self.indexes.lock().get_mut(&block.meta.ulid) {
            cached.used = used;
            return Ok(cached.index.clone());
        }
        let index = Arc::new(block.index()?);
        let mut indexes = self.indexes.lock();
        indexes.insert(block.meta.ulid, Cached { index: index.clone(), used });
        let mut bytes: usize = indexes.values().map(|cached| cached.index.size()).sum();
        while bytes > INDEX_BYTES_MAX && indexes.len() > 1 {
            let oldest = indexes.iter().min_by_key(|(_, cached)| cached.used).map(|(ulid, _)| *ulid);
            let Some(gone) = oldest.and_then(|ulid| indexes.remove(&ulid)) else { break };
            bytes -= gone.index.size();
        }
        Ok(index)
    }

    /// Series that fit all matchers with their samples in `start_ms ..= end_ms`, sorted, a list for each block in question: in
    /// the order of [`Meta::rank`].
    pub fn select(
        &self,
        matchers: &[Matcher],
        (start_ms, end_ms): (i64, i64),
        meter: &dyn Meter,
    ) -> Result<Vec<Vec<SeriesSamples>>, SelectError> {
        let mut found = Vec::new();
        let all = self.list();
        let mut asked: Vec<&Arc<Block>> = all.iter().filter(|block| block.meta.overlaps(start_ms, end_ms)).collect();
        asked.sort_by_key(|block| block.meta.rank());
        for block in asked {
            let index = self.index(block)?;
            found.push(block.select(&index, matchers, (start_ms, end_ms), meter)?);
        }
        Ok(found)
    }

    /// Labels of the series that fit all matchers and may have a sample in the range, sorted, a list for each block.
    pub fn series(
        &self,
        matchers: &[Matcher],
        (start_ms, end_ms): (i64, i64),
        meter: &dyn Meter,
    ) -> Result<Vec<Vec<Labels>>, SelectError> {
        let mut found = Vec::new();
        for block in self.list().iter().filter(|block| block.meta.overlaps(start_ms, end_ms)) {
            let index = self.index(block)?;
            let series = Block::series(&index, matchers, start_ms, end_ms);
            meter.take(series.len())?;
            found.push(series);
        }
        Ok(found)
    }

    /// Copies all blocks into another folder as hard links.
    pub fn link_into(&self, home: &Path) -> Result<(), BlockError> {
        let _nothing_goes = self.removal.lock();
        for block in self.list().iter() {
            let folder = home.join(block.meta.ulid.to_string());
            fs::create_dir(&folder).map_err(|error| BlockError::io(&folder, &error))?;
            for name in block.meta.files.keys().map(String::as_str).chain([META_FILE, CHECKSUM_FILE]) {
                let (from, to) = (block.folder.join(name), folder.join(name));
                fs::hard_link(&from, &to).map_err(|error| BlockError::io(&from, &error))?;
            }
            sync_folder(&folder)?;
        }
        sync_folder(home)
    }
}

/// Removes a block such that an end in the middle leaves no half of one.
fn remove_folder(folder: &Path) -> io::Result<()> {
    let unfinished = folder.with_extension(&UNFINISHED[1..]);
    fs::rename(folder, &unfinished)?;
    fs::remove_dir_all(&unfinished)
}

#[cfg(test)]
mod tests;
