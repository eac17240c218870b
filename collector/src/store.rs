//! Keeps samples: a head in memory behind a write-ahead log. An append returns once its record is with the operating
//! system, so that `kill -9` loses nothing. Knows nothing of scraping or PromQL. Start at `Store`.
//!
//! The way of a sample: `head` and `log`, after two hours a block (`seal`), later part of larger blocks (`tend`), and gone with
//! the retention. `query` asks all of them. Late samples take a way of their own (`late`) until they are in a block.

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
mod postings;
mod query;
mod record;
mod replay;
mod samples;
mod seal;
mod tend;
mod varint;
mod view;
mod window;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lifecycle::Clock;
use parking_lot::{Mutex, MutexGuard};

pub use self::blocks::BlockError;
use self::blocks::{Blocks, Ulid};
use self::exemplars::Exemplars;
use self::head::{Head, MemSeries};
use self::late::Late;
use self::log::{Log, RECORD_BYTES_SPLIT};
use self::record::{LogMark, RecordWriter};
pub use self::replay::Replayed;
use self::samples::Pushed;
use self::tend::Upkeep;
use self::window::Window;
use crate::api::views::{Exemplar, ExemplarSource, SeriesExemplars};
use crate::series::{
    AppendError, Appendable, Appended, HistogramSample, Ingest, Labels, Matcher, Point, Sample, SeriesRef, is_stale,
};

/// When the log is forced from the operating system's memory to the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WalSync {
    /// When the operating system sees fit: survives the end of the process, not a power cut.
    #[default]
    Os,
    /// With every append: survives a power cut.
    Always,
    /// So often: a power cut loses no more than this.
    Every(Duration),
}

impl WalSync {
    /// Reads `os`, `always` or a duration.
    ///
    /// # Errors
    /// What may be written instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "os" => Ok(Self::Os),
            "always" => Ok(Self::Always),
            _ => protocol::duration::parse(text).ok().filter(|every| !every.is_zero()).map(Self::Every).ok_or_else(
                || format!("{text:?} is not a way to sync the log: write os, always, or a duration such as 5s"),
            ),
        }
    }
}

/// Bytes of samples in memory above which they are sealed into a block before their time: some 800 million samples of steady
/// series, and what a machine that runs a collector can spare.
pub const HEAD_BYTES_MAX: usize = 1 << 30;

/// How long samples are kept: Prometheus' default.
pub const RETENTION_DEFAULT: Duration = Duration::from_secs(15 * 86_400);

/// How the store keeps.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Samples older than this are forgotten.
    pub retention: Duration,
    /// Bytes on disk above which the oldest blocks are forgotten.
    pub retention_bytes: Option<u64>,
    /// How late samples may be that are out of order; zero refuses them.
    pub late_window: Duration,
    /// When the log is forced to the disk.
    pub wal_sync: WalSync,
    /// Bytes of samples in memory above which they are sealed early; usually [`HEAD_BYTES_MAX`].
    pub head_bytes_max: usize,
}

impl Default for StoreOptions {
    /// Prometheus' retention, the log flushed as the operating system sees fit.
    fn default() -> Self {
        Self {
            retention: RETENTION_DEFAULT,
            retention_bytes: None,
            late_window: Duration::ZERO,
            wal_sync: WalSync::default(),
            head_bytes_max: HEAD_BYTES_MAX,
        }
    }
}

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
struct Counters {
    samples: AtomicU64,
    out_of_order: AtomicU64,
    duplicate: AtomicU64,
    too_old: AtomicU64,
    late: AtomicU64,
    log_failed: AtomicU64,
    head_bytes: AtomicU64,
    block_failed: AtomicU64,
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
        let sync_always = options.wal_sync == WalSync::Always;
        let (wal, wal_late) = (dir.join("wal"), dir.join("wal-late"));
        let replay_error = |path: &Path, source| OpenStoreError::Replay { path: path.to_owned(), source };
        let take = |series: &Arc<MemSeries>, point: Point| {
            // What is older is in a block; the log was not cut before the end came.
            if point.timestamp_ms() >= window.sealed_until_ms() {
                window.saw(point.timestamp_ms());
                let mut state = series.state.lock();
                match point {
                    Point::Float(sample) => _ = state.push(sample),
                    Point::Histogram(sample) => _ = state.push_histogram(sample),
                }
            }
        };
        let replayed = replay::replay(&wal, |labels| head.resolve(&labels), take);
        let (segments, next_number, mut replayed) = replayed.map_err(|source| replay_error(&wal, source))?;
        let late = Late::open(&wal_late, options.late_window, sync_always);
        let (late, replayed_late) = late.map_err(|source| replay_error(&wal_late, source))?;
        replayed.add(&replayed_late);
        let log = Mutex::new(Log::new(wal, segments, next_number, sync_always));
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

    /// Forces the log to the disk without holding up appends.
    ///
    /// # Errors
    /// If the operating system cannot.
    pub fn sync(&self) -> io::Result<()> {
        let current = self.log.lock().current();
        current.map_or(Ok(()), |file| file.sync_data())
    }

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
            wal_bytes: self.log.lock().bytes() + self.late.log_bytes(),
            head_bytes: self.counters.head_bytes.load(Ordering::Relaxed),
        }
    }

    /// Bytes of the samples in memory; looks at every series.
    pub fn head_bytes(&self) -> usize {
        self.head.size().1
    }

    fn append_all<S: Storable>(
        &self,
        batch: impl ExactSizeIterator<Item = (SeriesRef, S)>,
        gone: &mut Vec<usize>,
        mut log: MutexGuard<'_, Log>,
    ) -> Result<Appended, AppendError> {
        let (count, mut done) = (batch.len(), Appended::default());
        let result = self.write(&mut log, batch, gone, &mut done);
        drop(log);
        let add = |counter: &AtomicU64, n: usize| counter.fetch_add(n as u64, Ordering::Relaxed);
        add(&self.counters.out_of_order, done.out_of_order);
        add(&self.counters.duplicate, done.duplicate);
        add(&self.counters.too_old, done.too_old);
        if let Err(error) = result {
            add(&self.counters.log_failed, count - done.refused() - gone.len());
            return Err(error.into());
        }
        add(&self.counters.samples, done.stored);
        Ok(done)
    }

    fn write<S: Storable>(
        &self,
        log: &mut Log,
        batch: impl Iterator<Item = (SeriesRef, S)>,
        gone: &mut Vec<usize>,
        done: &mut Appended,
    ) -> io::Result<()> {
        let now_ms = self.clock.now_ms();
        log.prepare(now_ms)?;
        let (floor_ms, newest_ms) = (self.window.floor_ms(), self.window.newest_ms().unwrap_or(i64::MIN));
        let (mut late, mut newest_stored_ms) = (Vec::new(), i64::MIN);
        let head = self.head.lookup();
        for (i, (series, sample)) in batch.enumerate() {
            let Some(series) = head.get(series) else {
                gone.push(i);
                continue;
            };
            let time_ms = sample.timestamp_ms();
            let (mut pushed, is_new) =
                if time_ms < floor_ms { (Pushed::TooOld, false) } else { sample.store(series, &mut log.record) };
            if matches!(pushed, Pushed::OutOfOrder | Pushed::TooOld) {
                match self.late.takes(time_ms, newest_ms) {
                    Some(true) => {
                        late.push((series.labels.clone(), sample.into_point()));
                        continue;
                    }
                    Some(false) => pushed = Pushed::TooOld,
                    None => {}
                }
            }
            if pushed == Pushed::Stored {
                newest_stored_ms = newest_stored_ms.max(time_ms);
                done.series_added += usize::from(is_new);
            }
            done.count(pushed);
            if log.record.size() >= RECORD_BYTES_SPLIT {
                log.commit()?;
            }
        }
        drop(head);
        self.window.saw(newest_stored_ms);
        log.commit()?;
        if !late.is_empty() {
            for pushed in self.late.append(now_ms, late)? {
                self.counters.late.fetch_add(u64::from(pushed == Pushed::Stored), Ordering::Relaxed);
                done.count(pushed);
            }
        }
        Ok(())
    }
}

impl Appended {
    fn count(&mut self, pushed: Pushed) {
        match pushed {
            Pushed::Stored | Pushed::Repeated => self.stored += 1,
            Pushed::Duplicate => self.duplicate += 1,
            Pushed::OutOfOrder => self.out_of_order += 1,
            Pushed::TooOld => self.too_old += 1,
        }
    }

    fn refused(&self) -> usize {
        self.duplicate + self.out_of_order + self.too_old
    }
}

/// A sample of either kind.
trait Storable {
    fn timestamp_ms(&self) -> i64;

    fn into_point(self) -> Point;

    /// Puts it into memory, and into the record if it is stored. Says also whether the series had no samples before.
    fn store(&self, series: &MemSeries, record: &mut RecordWriter) -> (Pushed, bool);
}

impl Pushed {
    /// Whether the sample belongs into the log: also when it is known but this segment does not know its series, as the
    /// attempt before may have failed to log it.
    fn is_logged(self, record: &RecordWriter, mark: &LogMark) -> bool {
        self == Self::Stored || self == Self::Repeated && !record.declares(mark)
    }
}

impl Storable for Sample {
    fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    fn into_point(self) -> Point {
        Point::Float(self)
    }

    fn store(&self, series: &MemSeries, record: &mut RecordWriter) -> (Pushed, bool) {
        let mut state = series.state.lock();
        if is_stale(self.value)
            && let Some(marker) = state.marker(*self)
        {
            drop(state);
            return marker.store(series, record);
        }
        let (is_new, before) = (state.is_empty(), state.last_value());
        let pushed = state.push(*self);
        if pushed.is_logged(record, &state.log) {
            record.add(&mut state.log, &series.labels, before, *self);
        }
        (pushed, is_new)
    }
}

impl Storable for HistogramSample {
    fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    fn into_point(self) -> Point {
        Point::Histogram(self)
    }

    fn store(&self, series: &MemSeries, record: &mut RecordWriter) -> (Pushed, bool) {
        let mut state = series.state.lock();
        let is_new = state.is_empty();
        let pushed = state.push_histogram(self.clone());
        if pushed.is_logged(record, &state.log) {
            record.add_histogram(&mut state.log, &series.labels, self);
        }
        (pushed, is_new)
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

impl Appendable for Store {
    fn append(&self, batch: &[(Labels, Sample)]) -> Result<Appended, AppendError> {
        // Only under the log's lock: nothing found now can be forgotten by the retention before it is appended to.
        let log = self.log.lock();
        let found: Vec<SeriesRef> = batch.iter().map(|(labels, _)| self.resolve(labels)).collect();
        let batch = found.into_iter().zip(batch.iter().map(|(_, sample)| *sample));
        self.append_all(batch, &mut Vec::new(), log)
    }
}

impl Ingest for Store {
    fn resolve(&self, labels: &Labels) -> SeriesRef {
        self.head.resolve(labels).id
    }

    fn labels(&self, series: SeriesRef) -> Option<Labels> {
        self.head.lookup().get(series).map(|series| series.labels.clone())
    }

    fn append_resolved(&self, batch: &[(SeriesRef, Sample)], gone: &mut Vec<usize>) -> Result<Appended, AppendError> {
        self.append_all(batch.iter().copied(), gone, self.log.lock())
    }

    fn append_histograms(
        &self,
        batch: &[(SeriesRef, HistogramSample)],
        gone: &mut Vec<usize>,
    ) -> Result<Appended, AppendError> {
        self.append_all(batch.iter().cloned(), gone, self.log.lock())
    }

    fn append_exemplar(&self, series: SeriesRef, exemplar: Exemplar) {
        if let Some(labels) = self.labels(series) {
            self.exemplars.push(labels, exemplar);
        }
    }
}

impl ExemplarSource for Store {
    fn exemplars(&self, selectors: &[Vec<Matcher>], start_ms: i64, end_ms: i64) -> Vec<SeriesExemplars> {
        self.exemplars.select(selectors, start_ms, end_ms)
    }
}

#[cfg(test)]
mod tests;
