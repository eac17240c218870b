//! Keeps samples: a head in memory behind a write-ahead log. An append returns once its record is with the operating
//! system, so that `kill -9` loses nothing. Knows nothing of scraping or PromQL. Start at `Store`.
//!
//! The way of a sample: `append` into `head` and `log`, after two hours a block (`seal`), later part of larger blocks (`tend`), and gone with
//! the retention. `query` asks all of them. Late samples take a way of their own (`late`) until they are in a block.

mod append;
mod bits;
mod blocks;
mod chunk;
mod exemplars;
mod head;
mod histogram_chunk;
mod histogram_record;
mod index;
mod late;
mod log;
mod merge;
mod options;
mod postings;
mod query;
mod record;
mod replay;
mod samples;
mod seal;
mod shelf;
mod stats;
mod tend;
pub(crate) mod varint;
mod view;
mod window;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifecycle::Clock;
use parking_lot::Mutex;

pub use self::blocks::BlockError;
use self::blocks::{Blocks, Ulid};
use self::exemplars::Exemplars;
use self::head::{Head, MemSeries};
use self::late::Late;
use self::log::Log;
pub use self::options::{HEAD_BYTES_MAX, RETENTION_DEFAULT, RETENTION_MAX, StoreOptions, WalSync};
pub use self::replay::Replayed;
use self::stats::Counters;
pub use self::stats::StoreStats;
use self::tend::Upkeep;
use self::window::Window;
use crate::api::views::{ExemplarSource, SeriesExemplars};
use crate::series::{Matcher, Point};

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// The folder could not be made or its lock file not be opened.
    #[error("the data folder {} cannot be used: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Two stores on one folder would destroy each other's log.
    #[error("the data folder {} is in use by another collector; give this one a folder of its own", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder of blocks could not be read.
    #[error("the blocks in {} cannot be read: {source}", path.display())]
    Blocks {
        /// The folder of all blocks.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The log could not be read.
    #[error("the write-ahead log in {} cannot be read: {source}", path.display())]
    Replay {
        /// The log's folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The store.
pub struct Store {
    dir: PathBuf,
    head: Head,
    window: Window,
    log: Mutex<Log>,
    late: Late,
    blocks: Blocks,
    /// Blocks that could not be read when they were to be merged.
    unmergeable: Mutex<HashSet<Ulid>>,
    upkeep: Upkeep,
    /// Held by every selection from before it looks at the blocks until it ends.
    selections: Mutex<Arc<()>>,
    last_ulid: Mutex<Ulid>,
    exemplars: Exemplars,
    counters: Counters,
    clock: Arc<dyn Clock>,
    options: StoreOptions,
    /// Held, not used: its lock keeps a second store off the folder and ends with the process, however that ends.
    _lock: File,
}

impl Store {
    /// Opens the store in a folder, which is made if need be, and reads its log back.
    pub fn open(dir: &Path, options: StoreOptions, clock: Arc<dyn Clock>) -> Result<(Self, Replayed), OpenStoreError> {
        let lock = lock_folder(dir)?;
        let home = dir.join(seal::BLOCKS);
        let (blocks, found) =
            Blocks::open(&home).map_err(|source| OpenStoreError::Blocks { path: home.clone(), source })?;
        let (head, window) = (Head::default(), Window::after(blocks.sealed_until()));
        let wal_sync = options.wal_sync;
        let (wal, wal_late) = (dir.join("wal"), dir.join("wal-late"));
        let replay_error = |path: &Path, source| OpenStoreError::Replay { path: path.to_owned(), source };
        let take = |series: &Arc<MemSeries>, point: Point| {
            // What is older is in a block; the log was not cut before the end came.
            if point.timestamp_ms() >= window.sealed_until_ms() {
                window.saw(point.timestamp_ms());
                match (point, series.write()) {
                    (Point::Float(sample), Some(mut state)) => _ = state.push(sample),
                    (Point::Histogram(sample), Some(mut state)) => _ = state.push_histogram(sample),
                    // Only the retention forgets series, and that has not begun.
                    (_, None) => {}
                }
            }
        };
        let replayed = replay::replay(&wal, |labels| head.resolve(&labels), take);
        let (segments, next_number, mut replayed) = replayed.map_err(|source| replay_error(&wal, source))?;
        let late = Late::open(&wal_late, options.late_window, wal_sync);
        let (late, replayed_late) = late.map_err(|source| replay_error(&wal_late, source))?;
        replayed.add(&replayed_late);
        let log = Mutex::new(Log::new(wal, segments, next_number, wal_sync));
        let (counters, exemplars, upkeep) = (Counters::default(), Exemplars::default(), Upkeep::default());
        let last_ulid = blocks.list().iter().map(|block| block.meta.ulid).max().unwrap_or_default();
        let (dir, unmergeable, last_ulid) = (dir.to_owned(), Mutex::default(), Mutex::new(last_ulid));
        let store = Self {
            dir,
            head,
            window,
            log,
            late,
            blocks,
            unmergeable,
            upkeep,
            selections: Mutex::default(),
            last_ulid,
            exemplars,
            counters,
            clock,
            options,
            _lock: lock,
        };
        tracing::info!(blocks = found.blocks, damaged = found.damaged, removed = found.removed, "blocks are open");
        if let Err(error) = store.forget(store.window.sealed_until_ms()) {
            tracing::warn!(%error, "an old segment of the write-ahead log could not be deleted");
        }
        Ok((store, replayed))
    }

    /// How late samples may be from now on that are out of order; zero refuses them.
    pub fn set_late_window(&self, window: Duration) {
        self.late.set_window(window);
    }

    /// Forces both logs to the disk without holding up appends.
    ///
    /// # Errors
    /// If the operating system cannot.
    pub fn sync(&self) -> io::Result<()> {
        let files = [self.log.lock().current(), self.late.log_file()];
        files.into_iter().flatten().try_for_each(|file| file.sync_data())
    }

    /// Bytes of the samples in memory; looks at every series.
    pub fn head_bytes(&self) -> usize {
        self.head.size().1
    }
}

fn lock_folder(dir: &Path) -> Result<File, OpenStoreError> {
    let folder_error = |source| OpenStoreError::Folder { path: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(folder_error)?;
    let path = dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(folder_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenStoreError::InUse { path: dir.to_owned() }),
        Err(fs::TryLockError::Error(source)) => Err(folder_error(source)),
    }
}

impl ExemplarSource for Store {
    fn exemplars(&self, selectors: &[Vec<Matcher>], start_ms: i64, end_ms: i64) -> Vec<SeriesExemplars> {
        self.exemplars.select(selectors, start_ms, end_ms)
    }
}

#[cfg(test)]
mod tests;
