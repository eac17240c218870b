//! What is done now and then: seal what is due, merge blocks, forget what is too old or too much. Each part is tried whatever
//! became of the others, and a failure is said once when it begins and once when it has passed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Store;
use super::blocks::{Block, BlockError, Meta, merge_blocks, next_merge, outlived, ranges};
use super::late::LATE_SEALED_AT;
use super::window::{BLOCK_MS, due, early};

/// How one part of the upkeep goes.
#[derive(Default)]
pub(super) struct Health {
    failing: AtomicBool,
    failures: AtomicU64,
}

impl Health {
    /// Counts and says how it went; true if well.
    fn note(&self, part: &'static str, result: &Result<(), BlockError>) -> bool {
        match result {
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(part, "the store's upkeep works again");
                }
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(part, %error, "the store's upkeep failed; it is tried again");
                }
            }
        }
        result.is_ok()
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// The parts of the upkeep.
#[derive(Default)]
pub(super) struct Upkeep {
    pub seal: Health,
    pub merge: Health,
    pub retention: Health,
    pub merged: AtomicU64,
    pub outlived: AtomicU64,
}

impl Store {
    /// Does all that is due. `stop` is asked in long work, and true ends it.
    pub fn tend(&self, stop: &dyn Fn() -> bool) {
        let upkeep = &self.upkeep;
        let retired = self.retire();
        upkeep.retention.note("retention", &retired);
        let sealed = self.seal_due(stop);
        if upkeep.seal.note("sealing", &sealed) && !stop() {
            upkeep.merge.note("compaction", &self.merge_due(stop));
        }
        self.counters.head_bytes.store(self.head_bytes() as u64, Ordering::Relaxed);
    }

    fn seal_due(&self, stop: &dyn Fn() -> bool) -> Result<(), BlockError> {
        if self.late.count() >= LATE_SEALED_AT {
            self.seal_late(stop)?;
        }
        while let Some(until_ms) = self.span().and_then(|(oldest, newest)| due(oldest, newest)) {
            if stop() {
                return Ok(());
            }
            self.seal_late(stop)?;
            self.seal_until(until_ms, stop)?;
        }
        let bytes = self.head_bytes();
        if bytes > self.options.head_bytes_max
            && let Some(until_ms) = self.span().and_then(|(oldest, newest)| early(oldest, newest))
        {
            tracing::warn!(bytes, until_ms, "memory is full: samples are sealed into a block before their time");
            self.seal_until(until_ms, stop)?;
        }
        Ok(())
    }

    /// The oldest and the newest time that is not in blocks.
    fn span(&self) -> Option<(i64, i64)> {
        let oldest = self.head.oldest_ms(self.window.sealed_until_ms())?;
        Some((oldest, self.window.newest_ms()?)).filter(|(oldest, newest)| oldest <= newest)
    }

    /// Merges blocks until none are left to merge. One that cannot be read is left out from then on.
    fn merge_due(&self, stop: &dyn Fn() -> bool) -> Result<(), BlockError> {
        let (ranges, sealed_ms) = (ranges(BLOCK_MS, self.options.retention), self.window.sealed_until_ms());
        loop {
            let blocks = self.blocks.list();
            let unreadable = self.unmergeable.lock().clone();
            let metas: Vec<&Meta> = blocks.iter().map(|block| &block.meta).collect();
            // Late samples of a time that the head still holds wait until what was first is in a block too.
            let is_usable = |meta: &&Meta| meta.max_time <= sealed_ms && !unreadable.contains(&meta.ulid);
            let usable: Vec<&Meta> = metas.into_iter().filter(is_usable).collect();
            let chosen = next_merge(&usable, &ranges);
            let parents: Vec<Arc<Block>> = chosen
                .iter()
                .filter_map(|ulid| blocks.iter().find(|block| block.meta.ulid == *ulid))
                .cloned()
                .collect();
            if parents.is_empty() || stop() {
                return Ok(());
            }
            match merge_blocks(&self.blocks, &parents, self.new_ulid(), stop) {
                Ok(Some(folder)) => {
                    let block = self.blocks.add(&folder)?;
                    self.upkeep.merged.fetch_add(1, Ordering::Relaxed);
                    let (samples, bytes) = (block.meta.stats.num_samples, block.meta.bytes());
                    tracing::info!(block = %block.meta.ulid, of = parents.len(), samples, bytes, "blocks are merged");
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    if !error.transient {
                        let named = parents.iter().filter(|block| error.path.starts_with(&block.folder));
                        self.unmergeable.lock().extend(named.map(|block| block.meta.ulid));
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Forgets what is older than the retention, in blocks and in memory, and the oldest blocks if all take too much.
    fn retire(&self) -> Result<(), BlockError> {
        let retention = i64::try_from(self.options.retention.as_millis()).unwrap_or(i64::MAX);
        let before_ms = self.clock.now_ms().saturating_sub(retention);
        let blocks = self.blocks.list();
        let metas: Vec<&Meta> = blocks.iter().map(|block| &block.meta).collect();
        let log_bytes = self.log.lock().bytes() + self.late.log_bytes();
        let (by_time, by_size) = outlived(&metas, before_ms, self.options.retention_bytes, log_bytes);
        let gone: HashSet<_> = by_time.into_iter().chain(by_size).collect();
        if !gone.is_empty() {
            self.blocks.remove(&gone)?;
            self.upkeep.outlived.fetch_add(gone.len() as u64, Ordering::Relaxed);
            tracing::info!(blocks = gone.len(), "blocks beyond the retention are removed");
        }
        self.forget(before_ms)
    }
}
