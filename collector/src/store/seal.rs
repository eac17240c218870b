//! From memory to blocks: the head's full windows, the late samples, and copies of all for a snapshot. Appends and queries go
//! on meanwhile: series are read one by one, each under its own lock for as long as that takes. What is in a block is forgotten
//! in memory and in the log only once the block is on the disk under its name.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Store;
use super::blocks::{BlockError, BlockWriter, Compaction, Meta, ROWS_PER_GROUP, Ulid};
use super::head::MemSeries;
use super::late::Sealing;
use crate::series::{Scratch, Unmetered};

/// Folder of snapshots within the data folder: Prometheus' name.
const SNAPSHOTS: &str = "snapshots";

/// Folder of blocks within the data folder.
pub(super) const BLOCKS: &str = "blocks";

impl Store {
    pub(super) fn new_ulid(&self) -> Ulid {
        let mut last = self.last_ulid.lock();
        *last = Ulid::new(self.clock.now_ms(), rand::random()).after(*last);
        *last
    }

    fn new_meta(&self) -> Meta {
        let ulid = self.new_ulid();
        Meta::new(ulid, Compaction { level: 1, sources: vec![ulid], parents: Vec::new() })
    }

    /// Makes a block of all that the head holds before a time, then forgets that; `stop` ends the waiting for queries, and
    /// what is sealed is forgotten later.
    pub(super) fn seal_until(&self, until_ms: i64, stop: &dyn Fn() -> bool) -> Result<(), BlockError> {
        let from_ms = self.window.sealed_until_ms();
        {
            let _appends_wait = self.log.lock();
            self.window.raise_floor(until_ms);
        }
        let mut meta = self.new_meta();
        meta.sealed_until = Some(until_ms);
        let writer = BlockWriter::create(self.blocks.home(), meta, ROWS_PER_GROUP)?;
        if let Some((folder, meta)) = self.write_head(writer, (from_ms, until_ms.saturating_sub(1)))? {
            self.blocks.add(&folder)?;
            let (samples, bytes) = (meta.stats.num_samples, meta.bytes());
            tracing::info!(block = %meta.ulid, samples, bytes, "samples in memory are sealed into a block");
        }
        self.window.sealed(until_ms);
        if self.selections_ended(stop) { self.forget(until_ms) } else { Ok(()) }
    }

    /// Forgets, in memory and in the log, what is older than a time.
    pub(super) fn forget(&self, before_ms: i64) -> Result<(), BlockError> {
        let empty = self.head.truncate(before_ms);
        let mut log = self.log.lock();
        self.head.remove_empty(&empty);
        log.drop_before(before_ms).map_err(|error| BlockError::io(&self.dir.join("wal"), &error))?;
        Ok(())
    }

    fn write_head(
        &self,
        mut writer: BlockWriter,
        (from_ms, to_ms): (i64, i64),
    ) -> Result<Option<(PathBuf, Meta)>, BlockError> {
        let mut all: Vec<Arc<MemSeries>> = self.head.all();
        all.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let mut read = Scratch::default();
        for series in all {
            let found = series.samples(from_ms, to_ms, &mut read, &Unmetered);
            found.map_err(|error| BlockError::damaged(&self.dir, error.to_string()))?;
            writer.push(&series.labels, &read.samples, &read.histograms)?;
        }
        writer.finish()
    }

    /// Makes blocks of the late samples, one for each window, then forgets those.
    pub(super) fn seal_late(&self, stop: &dyn Fn() -> bool) -> Result<(), BlockError> {
        let failed = |error| BlockError::io(&self.dir.join("wal-late"), &error);
        let Some(sealing) = self.late.begin_sealing().map_err(failed)? else { return Ok(()) };
        for folder in self.write_late(self.blocks.home(), &sealing)? {
            self.blocks.add(&folder)?;
        }
        if !self.selections_ended(stop) {
            return Ok(());
        }
        self.late.sealed(&sealing).map_err(failed)
    }

    fn write_late(&self, home: &Path, sealing: &Sealing) -> Result<Vec<PathBuf>, BlockError> {
        let mut folders = Vec::new();
        for start_ms in sealing.windows() {
            let mut writer = BlockWriter::create(home, self.new_meta(), ROWS_PER_GROUP)?;
            for series in sealing.series(start_ms) {
                writer.push(&series.labels, &series.samples, &series.histograms)?;
            }
            folders.extend(writer.finish()?.map(|(folder, _)| folder));
        }
        Ok(folders)
    }

    /// Copies everything into a folder `snapshots/NAME` of the data folder, which is a data folder itself: blocks as hard
    /// links, and a block of what is in memory, which stays there too, unless `skip_head`. Gives the name.
    ///
    /// # Errors
    /// The file that could not be made.
    pub fn snapshot(&self, skip_head: bool) -> Result<String, BlockError> {
        let stamp = jiff::Timestamp::from_millisecond(self.clock.now_ms()).unwrap_or_default();
        let name = format!("{}-{:016x}", stamp.strftime("%Y%m%dT%H%M%SZ"), rand::random::<u64>());
        let home = self.dir.join(SNAPSHOTS).join(&name).join(BLOCKS);
        fs::create_dir_all(&home).map_err(|error| BlockError::io(&home, &error))?;
        let copied = self.copy_into(&home, skip_head);
        if copied.is_err() {
            // Half a snapshot is none.
            let _ = fs::remove_dir_all(self.dir.join(SNAPSHOTS).join(&name));
        }
        copied.map(|()| name)
    }

    fn copy_into(&self, home: &Path, skip_head: bool) -> Result<(), BlockError> {
        if skip_head {
            return self.blocks.link_into(home);
        }
        // The head first: what is sealed meanwhile is then in a block that is linked, and may be there twice, never missing.
        let mut meta = self.new_meta();
        meta.sealed_until = self.window.newest_ms().map(|newest| newest.saturating_add(1));
        let writer = BlockWriter::create(home, meta, ROWS_PER_GROUP)?;
        self.write_head(writer, (self.window.sealed_until_ms(), i64::MAX))?;
        if let Some(waiting) = self.late.waiting() {
            self.write_late(home, &waiting)?;
        }
        self.blocks.link_into(home)
    }
}
