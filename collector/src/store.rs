//! Keeps samples: a head in memory behind a write-ahead log. An append returns once its record is with the operating
//! system, so that `kill -9` loses nothing. Knows nothing of scraping or PromQL. Start at `Store`.
//!
//! The seam for history on disk: `head` holds what is recent and answers selections by time; `Store` is the only one that
//! reads it, and is where sealed blocks will be asked for what is older.

mod bits;
mod chunk;
mod exemplars;
mod head;
mod histogram_chunk;
mod histogram_record;
mod index;
mod log;
mod postings;
mod record;
mod replay;
mod samples;
mod varint;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lifecycle::Clock;
use parking_lot::{Mutex, MutexGuard};

use self::exemplars::Exemplars;
use self::head::{Head, MemSeries};
use self::log::{Log, RECORD_BYTES_SPLIT};
use self::record::RecordWriter;
pub use self::replay::Replayed;
use self::samples::Pushed;
use crate::api::views::{Exemplar, ExemplarSource, SeriesExemplars};
use crate::series::{
    AppendError, Appendable, Appended, HistogramSample, Ingest, Labels, Matcher, Meter, Point, Queryable, Sample,
    SelectError, Selection, SeriesRef, SeriesSamples, is_stale,
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

/// Bytes of samples in memory above which the oldest are forgotten before their time: some 800 million samples of steady
/// series, and what a machine that runs a collector can spare.
pub const HEAD_BYTES_MAX: usize = 1 << 30;

/// How the store keeps.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Samples older than this are forgotten.
    pub retention: Duration,
    /// When the log is forced to the disk.
    pub wal_sync: WalSync,
    /// Bytes of samples in memory above which the oldest are forgotten; usually [`HEAD_BYTES_MAX`].
    pub head_bytes_max: usize,
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
    /// Samples refused because the log could not be written.
    pub log_failed: u64,
    /// Bytes of the log.
    pub wal_bytes: u64,
    /// Bytes of the samples in memory when the store was last tended.
    pub head_bytes: u64,
}

#[derive(Default)]
struct Counters {
    samples: AtomicU64,
    out_of_order: AtomicU64,
    duplicate: AtomicU64,
    log_failed: AtomicU64,
    head_bytes: AtomicU64,
}

/// The store.
pub struct Store {
    head: Head,
    log: Mutex<Log>,
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
        let wal = dir.join("wal");
        let replay_error = |source| OpenStoreError::Replay { path: wal.clone(), source };
        fs::create_dir_all(&wal).map_err(replay_error)?;
        let head = Head::default();
        let (segments, next_number, replayed) = replay::replay(&wal, &head).map_err(replay_error)?;
        let log = Log::new(wal, segments, next_number, options.wal_sync == WalSync::Always);
        let (log, counters, exemplars) = (Mutex::new(log), Counters::default(), Exemplars::default());
        let store = Self { head, log, exemplars, counters, clock, options, _lock: lock };
        if let Err(error) = store.truncate() {
            tracing::warn!(%error, "an old segment of the write-ahead log could not be deleted");
        }
        Ok((store, replayed))
    }

    /// Forgets what is older than the retention; and more, if memory would not hold it.
    ///
    /// # Errors
    /// If an old segment of the log cannot be deleted.
    pub fn truncate(&self) -> io::Result<()> {
        let retention = i64::try_from(self.options.retention.as_millis()).unwrap_or(i64::MAX);
        let before_ms = self.clock.now_ms().saturating_sub(retention);
        let mut log = self.log.lock();
        self.head.truncate(before_ms);
        log.drop_before(before_ms)?;
        let mut bytes = self.head_bytes();
        while bytes > self.options.head_bytes_max {
            let Some(newest_ms) = log.oldest_closed().map(|segment| segment.newest_ms) else { break };
            tracing::warn!(bytes, newest_ms, "memory is full: the oldest samples are forgotten before their time");
            self.head.truncate(newest_ms.saturating_add(1));
            log.drop_before(newest_ms.saturating_add(1))?;
            bytes = self.head_bytes();
        }
        self.counters.head_bytes.store(bytes as u64, Ordering::Relaxed);
        Ok(())
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
        StoreStats {
            series: self.head.series_count() as u64,
            samples: self.counters.samples.load(Ordering::Relaxed),
            out_of_order: self.counters.out_of_order.load(Ordering::Relaxed),
            duplicate: self.counters.duplicate.load(Ordering::Relaxed),
            log_failed: self.counters.log_failed.load(Ordering::Relaxed),
            wal_bytes: self.log.lock().bytes(),
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
        if let Err(error) = result {
            add(&self.counters.log_failed, count - done.out_of_order - done.duplicate - gone.len());
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
        log.prepare(self.clock.now_ms())?;
        let head = self.head.lookup();
        for (i, (series, sample)) in batch.enumerate() {
            let Some(series) = head.get(series) else {
                gone.push(i);
                continue;
            };
            let (pushed, is_new) = sample.store(series, &mut log.record);
            match pushed {
                Pushed::Stored => {
                    done.stored += 1;
                    done.series_added += usize::from(is_new);
                }
                Pushed::Repeated => done.stored += 1,
                Pushed::Duplicate => done.duplicate += 1,
                Pushed::OutOfOrder => done.out_of_order += 1,
            }
            if log.record.size() >= RECORD_BYTES_SPLIT {
                log.commit()?;
            }
        }
        drop(head);
        log.commit()
    }
}

/// A sample of either kind.
trait Storable {
    /// Puts it into memory, and into the record if it is stored. Says also whether the series had no samples before.
    fn store(self, series: &MemSeries, record: &mut RecordWriter) -> (Pushed, bool);
}

impl Storable for Sample {
    fn store(self, series: &MemSeries, record: &mut RecordWriter) -> (Pushed, bool) {
        let mut state = series.state.lock();
        if is_stale(self.value)
            && let Some(marker) = state.marker(self)
        {
            drop(state);
            return marker.store(series, record);
        }
        let (is_new, before) = (state.is_empty(), state.last_value());
        let pushed = state.push(self);
        if pushed == Pushed::Stored {
            record.add(&mut state.log, &series.labels, before, self);
        }
        (pushed, is_new)
    }
}

impl Storable for HistogramSample {
    fn store(self, series: &MemSeries, record: &mut RecordWriter) -> (Pushed, bool) {
        let mut state = series.state.lock();
        let is_new = state.is_empty();
        let pushed = state.push_histogram(self.clone());
        if pushed == Pushed::Stored {
            record.add_histogram(&mut state.log, &series.labels, &self);
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

impl Queryable for Store {
    fn select(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<SeriesSamples>, SelectError> {
        self.head.select(matchers, start_ms, end_ms, meter)
    }

    fn find<'a>(
        &'a self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Box<dyn Selection + 'a>, SelectError> {
        Ok(Box::new(self.head.selection(matchers, start_ms, end_ms, meter)?))
    }

    fn latest(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<(Labels, Point)>, SelectError> {
        self.head.latest(matchers, start_ms, end_ms, meter)
    }

    fn series(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<Labels>, SelectError> {
        self.head.series(matchers, start_ms, end_ms, meter)
    }
}

impl ExemplarSource for Store {
    fn exemplars(&self, selectors: &[Vec<Matcher>], start_ms: i64, end_ms: i64) -> Vec<SeriesExemplars> {
        self.exemplars.select(selectors, start_ms, end_ms)
    }
}

#[cfg(test)]
mod tests;
