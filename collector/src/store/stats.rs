//! What the store holds and has seen, counted.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::Store;

/// What the store holds and has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Series in the head.
    pub series: u64,
    /// Samples stored since the store was opened; those read back from the log are not among them.
    pub samples: u64,
    /// Samples refused because they were older than the series' newest.
    pub out_of_order: u64,
    /// Samples refused because the series has another value at their time.
    pub duplicate: u64,
    /// Samples refused because they were older than what is taken at all.
    pub too_old: u64,
    /// Samples taken although they were late.
    pub late: u64,
    /// Samples refused because the log could not be written.
    pub log_failed: u64,
    /// Whether the log cannot be written just now.
    pub log_failing: bool,
    /// Bytes of the log.
    pub wal_bytes: u64,
    /// Bytes of the samples in memory when the store was last tended.
    pub head_bytes: u64,
    /// Blocks on disk.
    pub blocks: u64,
    /// Bytes of their files.
    pub block_bytes: u64,
    /// Blocks that cannot be read and are left out.
    pub blocks_damaged: u64,
    /// Blocks that were merged from others since the store was opened.
    pub blocks_merged: u64,
    /// Blocks that the retention has removed since the store was opened.
    pub blocks_outlived: u64,
    /// Selections that a block has spoilt since the store was opened.
    pub block_failed: u64,
    /// Attempts that failed since the store was opened: to seal, to merge, to remove.
    pub upkeep_failed: [(&'static str, u64); 3],
}

#[derive(Default)]
pub(super) struct Counters {
    pub samples: AtomicU64,
    pub out_of_order: AtomicU64,
    pub duplicate: AtomicU64,
    pub too_old: AtomicU64,
    pub late: AtomicU64,
    pub log_failed: AtomicU64,
    /// When the log could not be written last; 0 if it works.
    pub log_failed_ms: AtomicI64,
    pub head_bytes: AtomicU64,
    pub block_failed: AtomicU64,
}

impl Store {
    /// What the store holds and has seen.
    pub fn stats(&self) -> StoreStats {
        let blocks = self.blocks.list();
        let upkeep = &self.upkeep;
        StoreStats {
            too_old: self.counters.too_old.load(Ordering::Relaxed),
            late: self.counters.late.load(Ordering::Relaxed),
            blocks: blocks.len() as u64,
            block_bytes: blocks.iter().map(|block| block.meta.bytes()).sum(),
            blocks_damaged: self.blocks.damaged() as u64,
            blocks_merged: upkeep.merged.load(Ordering::Relaxed),
            blocks_outlived: upkeep.outlived.load(Ordering::Relaxed),
            block_failed: self.counters.block_failed.load(Ordering::Relaxed),
            upkeep_failed: [
                ("seal", upkeep.seal.failures()),
                ("merge", upkeep.merge.failures()),
                ("retention", upkeep.retention.failures()),
            ],
            series: self.head.series_count() as u64,
            samples: self.counters.samples.load(Ordering::Relaxed),
            out_of_order: self.counters.out_of_order.load(Ordering::Relaxed),
            duplicate: self.counters.duplicate.load(Ordering::Relaxed),
            log_failed: self.counters.log_failed.load(Ordering::Relaxed),
            log_failing: self.counters.log_failed_ms.load(Ordering::Relaxed) != 0,
            wal_bytes: self.log.lock().bytes() + self.late.log_bytes(),
            head_bytes: self.counters.head_bytes.load(Ordering::Relaxed),
        }
    }
}
