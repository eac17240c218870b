//! Samples that come late: older than what their series has, or than what the head takes, yet within the window that the
//! configuration grants. They wait here, in a log of their own, until they are sealed into blocks of their own. Few, so that
//! looking at all of them is no matter.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::log::{Log, RECORD_BYTES_SPLIT};
use super::options::WalSync;
use super::record::LogMark;
use super::replay::{self, Replayed};
use super::samples::Pushed;
use super::window::BLOCK_MS;
use crate::series::{Labels, Matcher, Meter, Point, SelectError, SeriesSamples};

/// Late samples kept in memory, at some 100 bytes each; more are refused until the next sealing.
const LATE_MAX: usize = 2_000_000;

/// Late samples for which it is not waited until the head is sealed.
pub(super) const LATE_SEALED_AT: usize = 500_000;

/// The samples of each series by their times.
type Waiting = BTreeMap<Labels, LateSeries>;

#[derive(Default)]
struct LateSeries {
    points: BTreeMap<i64, Point>,
    mark: LogMark,
    /// The number that was logged last.
    logged: f64,
}

/// All late samples.
pub(super) struct Late {
    window_ms: AtomicI64,
    inner: Mutex<Inner>,
}

struct Inner {
    log: Log,
    waiting: Waiting,
    /// Those of them that are being sealed.
    sealing: Arc<Waiting>,
    count: usize,
}

/// Late samples on their way into blocks.
pub(super) struct Sealing {
    waiting: Arc<Waiting>,
    segments: usize,
}

impl Late {
    /// Reads back what waited when the store ended.
    pub fn open(dir: &Path, window: Duration, wal_sync: WalSync) -> io::Result<(Self, Replayed)> {
        let (mut waiting, mut count) = (Waiting::new(), 0);
        let take = |labels: &Labels, point: Point| {
            let series = waiting.entry(labels.clone()).or_default();
            count += usize::from(series.points.insert(point.timestamp_ms(), point).is_none());
        };
        let (segments, next_number, replayed) = replay::replay(dir, |labels: Labels| labels, take)?;
        let log = Log::new(dir.to_owned(), segments, next_number, wal_sync);
        let inner = Mutex::new(Inner { log, waiting, sealing: Arc::default(), count });
        let late = Self { window_ms: AtomicI64::new(0), inner };
        late.set_window(window);
        Ok((late, replayed))
    }

    /// How late samples may be; zero refuses them all, as without a configuration.
    pub fn set_window(&self, window: Duration) {
        self.window_ms.store(i64::try_from(window.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Whether a sample may be late, given the newest of all; `None` if late samples are refused.
    pub fn takes(&self, time_ms: i64, newest_ms: i64) -> Option<bool> {
        let window = self.window_ms.load(Ordering::Relaxed);
        (window > 0).then(|| time_ms >= newest_ms.saturating_sub(window))
    }

    /// Logs and keeps late samples; tells what became of each. What cannot be logged is not kept: when it comes again, it must
    /// not be taken for known.
    pub fn append(&self, now_ms: i64, batch: &[(Labels, Point)]) -> io::Result<Vec<Pushed>> {
        let inner = &mut *self.inner.lock();
        inner.log.prepare(now_ms)?;
        let mut done = Vec::with_capacity(batch.len());
        if let Err(error) = inner.push_all(batch, &mut done) {
            let stored = batch.iter().zip(done).filter(|(_, pushed)| *pushed == Pushed::Stored);
            stored.for_each(|((labels, point), _)| inner.take_back(labels, point.timestamp_ms()));
            return Err(error);
        }
        Ok(done)
    }

    /// Series that fit all matchers with their late samples in `start_ms ..= end_ms`, two lists sorted by labels.
    pub fn select(
        &self,
        matchers: &[Matcher],
        (start_ms, end_ms): (i64, i64),
        meter: &dyn Meter,
    ) -> Result<Vec<Vec<SeriesSamples>>, SelectError> {
        let inner = self.inner.lock();
        let mut found = Vec::new();
        for source in [&*inner.sealing, &inner.waiting] {
            let mut series = Vec::new();
            for (labels, late) in source.iter().filter(|(labels, _)| matchers.iter().all(|m| m.fits(labels))) {
                let points = || late.points.range(start_ms..=end_ms.max(start_ms)).map(|(_, point)| point);
                meter.take_locked(points().map(Point::weight).sum())?;
                let one = split(labels.clone(), points().filter(|point| point.timestamp_ms() <= end_ms));
                series.extend(Some(one).filter(|one| !one.is_empty()));
            }
            found.push(series);
        }
        drop(inner);
        meter.take(0)?;
        Ok(found)
    }

    /// How many samples wait.
    pub fn count(&self) -> usize {
        self.inner.lock().count
    }

    /// The file of the log that is being written.
    pub fn log_file(&self) -> Option<Arc<File>> {
        self.inner.lock().log.current()
    }

    /// Bytes of the log.
    pub fn log_bytes(&self) -> u64 {
        self.inner.lock().log.bytes()
    }

    /// Hands out all that waits, to be sealed; it is found by queries until [`Late::sealed`].
    pub fn begin_sealing(&self) -> io::Result<Option<Sealing>> {
        let inner = &mut *self.inner.lock();
        let segments = inner.log.close()?;
        let mut all = std::mem::take(&mut inner.waiting);
        for (labels, before) in &*inner.sealing {
            // An attempt before this one failed.
            let series = all.entry(labels.clone()).or_default();
            for (time, point) in &before.points {
                series.points.entry(*time).or_insert_with(|| point.clone());
            }
        }
        inner.sealing = Arc::new(all);
        Ok((!inner.sealing.is_empty()).then(|| Sealing { waiting: inner.sealing.clone(), segments }))
    }

    /// All that waits, to be copied.
    pub fn waiting(&self) -> Option<Sealing> {
        let inner = self.inner.lock();
        let mut all = Waiting::new();
        for (labels, series) in inner.sealing.iter().chain(&inner.waiting) {
            let points = series.points.iter().map(|(time, point)| (*time, point.clone()));
            all.entry(labels.clone()).or_default().points.extend(points);
        }
        (!all.is_empty()).then(|| Sealing { waiting: Arc::new(all), segments: 0 })
    }

    /// Forgets what is in blocks now.
    pub fn sealed(&self, sealing: &Sealing) -> io::Result<()> {
        let inner = &mut *self.inner.lock();
        inner.sealing = Arc::default();
        inner.count = inner.waiting.values().map(|series| series.points.len()).sum();
        inner.log.drop_first(sealing.segments)
    }
}

impl Inner {
    fn push_all(&mut self, batch: &[(Labels, Point)], done: &mut Vec<Pushed>) -> io::Result<()> {
        for (labels, point) in batch {
            done.push(self.push(labels, point.clone()));
            if self.log.record.size() >= RECORD_BYTES_SPLIT {
                self.log.commit()?;
            }
        }
        self.log.commit()
    }

    fn take_back(&mut self, labels: &Labels, time_ms: i64) {
        let Some(series) = self.waiting.get_mut(labels) else { return };
        self.count -= usize::from(series.points.remove(&time_ms).is_some());
        if series.points.is_empty() {
            self.waiting.remove(labels);
        }
    }

    fn push(&mut self, labels: &Labels, point: Point) -> Pushed {
        let time_ms = point.timestamp_ms();
        let known = |waiting: &Waiting| waiting.get(labels).and_then(|series| series.points.get(&time_ms)).cloned();
        if let Some(known) = known(&self.waiting).or_else(|| known(&self.sealing)) {
            return if same(&known, &point) { Pushed::Repeated } else { Pushed::Duplicate };
        }
        if self.count >= LATE_MAX {
            return Pushed::TooOld;
        }
        let series = self.waiting.entry(labels.clone()).or_default();
        match &point {
            Point::Float(sample) => {
                self.log.record.add(&mut series.mark, || labels.clone(), series.logged, *sample);
                series.logged = sample.value;
            }
            Point::Histogram(sample) => self.log.record.add_histogram(&mut series.mark, || labels.clone(), sample),
        }
        series.points.insert(time_ms, point);
        self.count += 1;
        Pushed::Stored
    }
}

impl Sealing {
    /// Starts of the blocks that the samples belong into.
    pub fn windows(&self) -> Vec<i64> {
        let starts = self.waiting.values().flat_map(|series| series.points.keys());
        let mut starts: Vec<i64> = starts.map(|time| time.div_euclid(BLOCK_MS).saturating_mul(BLOCK_MS)).collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    }

    /// Series with their samples of one block, sorted by labels.
    pub fn series(&self, start_ms: i64) -> impl Iterator<Item = SeriesSamples> {
        let times = start_ms..start_ms.saturating_add(BLOCK_MS);
        self.waiting
            .iter()
            .map(move |(labels, late)| split(labels.clone(), late.points.range(times.clone()).map(|(_, point)| point)))
    }
}

fn split<'a>(labels: Labels, points: impl Iterator<Item = &'a Point>) -> SeriesSamples {
    let mut series = SeriesSamples::floats(labels, Vec::new());
    for point in points {
        match point {
            Point::Float(sample) => series.samples.push(*sample),
            Point::Histogram(sample) => series.histograms.push(sample.clone()),
        }
    }
    series
}

fn same(a: &Point, b: &Point) -> bool {
    match (a, b) {
        (Point::Float(a), Point::Float(b)) => a.value.to_bits() == b.value.to_bits(),
        _ => a == b,
    }
}
