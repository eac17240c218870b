//! The way in: a batch goes into memory and into the log under the log's lock, so that both have one order, shelf by shelf. What is
//! late is handed on to `late`.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::MutexGuard;

use super::Store;
use super::head::{Lookup, MemSeries};
use super::index::number;
use super::late::Late;
use super::log::{Log, RECORD_BYTES_SPLIT};
use super::record::RecordWriter;
use super::samples::{Pushed, SeriesState};
use super::shelf::{OpenShelf, SHELF_PLACES};
use crate::api::views::Exemplar;
use crate::series::{
    AppendError, Appendable, Appended, HistogramSample, Ingest, Labels, Point, Sample, SeriesRef, Timed, is_stale,
};

/// How long the log must have been written before it is said to work again: on a disk that is nearly full, small batches still
/// fit, and each of them would be good news.
const LOG_SETTLED_MS: i64 = 10_000;

impl Appendable for Store {
    fn append(&self, batch: &[(Labels, Sample)]) -> Result<Appended, AppendError> {
        // Only under the log's lock: nothing found now can be forgotten by the retention before it is appended to.
        let log = self.log.lock();
        let found: Vec<(SeriesRef, Sample)> =
            batch.iter().map(|(labels, sample)| (self.resolve(labels), *sample)).collect();
        self.append_all(&found, &mut Vec::new(), log)
    }
}

impl Ingest for Store {
    fn resolve(&self, labels: &Labels) -> SeriesRef {
        self.head.resolve(labels).id
    }

    fn labels(&self, series: SeriesRef) -> Option<Labels> {
        self.head.lookup().labels(series)
    }

    fn append_resolved(&self, batch: &[(SeriesRef, Sample)], gone: &mut Vec<usize>) -> Result<Appended, AppendError> {
        self.append_all(batch, gone, self.log.lock())
    }

    fn append_histograms(
        &self,
        batch: &[(SeriesRef, HistogramSample)],
        gone: &mut Vec<usize>,
    ) -> Result<Appended, AppendError> {
        self.append_all(batch, gone, self.log.lock())
    }

    fn append_exemplar(&self, series: SeriesRef, exemplar: Exemplar) {
        if let Some(labels) = self.labels(series) {
            self.exemplars.push(labels, exemplar);
        }
    }
}

impl Store {
    fn append_all<S: Storable>(
        &self,
        batch: &[(SeriesRef, S)],
        gone: &mut Vec<usize>,
        mut log: MutexGuard<'_, Log>,
    ) -> Result<Appended, AppendError> {
        let (count, gone_before, mut done) = (batch.len(), gone.len(), Appended::default());
        let result = self.write(&mut log, batch, gone, &mut done);
        drop(log);
        let add = |counter: &AtomicU64, n: usize| counter.fetch_add(n as u64, Ordering::Relaxed);
        add(&self.counters.out_of_order, done.out_of_order);
        add(&self.counters.duplicate, done.duplicate);
        add(&self.counters.too_old, done.too_old);
        self.note_log(result.as_ref().err());
        if let Err(error) = result {
            add(&self.counters.log_failed, count - done.refused() - (gone.len() - gone_before));
            return Err(error.into());
        }
        add(&self.counters.samples, done.stored);
        Ok(done)
    }

    fn write<S: Storable>(
        &self,
        log: &mut Log,
        batch: &[(SeriesRef, S)],
        gone: &mut Vec<usize>,
        done: &mut Appended,
    ) -> io::Result<()> {
        let now_ms = self.clock.now_ms();
        log.prepare(now_ms)?;
        let head = self.head.lookup();
        let mut putting = Putting {
            head: &head,
            floor_ms: self.window.floor_ms(),
            newest_ms: self.window.newest_ms().unwrap_or(i64::MIN),
            lateness: &self.late,
            gone,
            done,
            late: Vec::new(),
            unlogged: Unlogged(std::mem::take(&mut log.unlogged)),
        };
        let mut at = 0;
        while at < batch.len() {
            at += putting.put_run(batch, at, &mut log.record);
            if log.record.size() >= RECORD_BYTES_SPLIT {
                log.commit().inspect_err(|_| putting.unlogged.take_back(&head))?;
                self.window.saw(putting.unlogged.logged());
            }
        }
        let Putting { late, mut unlogged, .. } = putting;
        drop(head);
        log.commit().inspect_err(|_| unlogged.take_back(&self.head.lookup()))?;
        self.window.saw(unlogged.logged());
        log.unlogged = unlogged.0;
        if !late.is_empty() {
            for pushed in self.late.append(now_ms, &late)? {
                self.counters.late.fetch_add(u64::from(pushed == Pushed::Stored), Ordering::Relaxed);
                done.count(pushed);
            }
        }
        Ok(())
    }

    /// Says when the log begins to fail and when it works again, and not at every batch between.
    fn note_log(&self, error: Option<&io::Error>) {
        let failed_ms = &self.counters.log_failed_ms;
        let last_ms = failed_ms.load(Ordering::Relaxed);
        if error.is_none() && last_ms == 0 {
            return;
        }
        let now_ms = self.clock.now_ms();
        match error {
            Some(error) => {
                failed_ms.store(now_ms.max(1), Ordering::Relaxed);
                if last_ms == 0 {
                    let data = self.dir.display();
                    tracing::error!(%error, %data, "samples cannot be stored: the write-ahead log cannot be written");
                }
            }
            None if now_ms.saturating_sub(last_ms) >= LOG_SETTLED_MS => {
                failed_ms.store(0, Ordering::Relaxed);
                tracing::info!("samples are stored again: the write-ahead log is written");
            }
            None => {}
        }
    }
}

/// A batch on its way into memory and into a record.
struct Putting<'a> {
    head: &'a Lookup<'a>,
    /// What is older is not for memory.
    floor_ms: i64,
    /// The newest time of all.
    newest_ms: i64,
    lateness: &'a Late,
    gone: &'a mut Vec<usize>,
    done: &'a mut Appended,
    late: Vec<(Labels, Point)>,
    unlogged: Unlogged,
}

impl Putting<'_> {
    /// Puts in what is of one shelf in a row, from a place of the batch on, until the record is full; tells how much.
    fn put_run<S: Storable>(&mut self, batch: &[(SeriesRef, S)], at: usize, record: &mut RecordWriter) -> usize {
        let shelf_of = |series: SeriesRef| number(series) / SHELF_PLACES;
        let Some((first, _)) = batch.get(at) else { return 0 };
        let is_there = |(series, _): &&(SeriesRef, S)| shelf_of(*series) == shelf_of(*first);
        let run = &batch[at..at + batch[at..].iter().take_while(is_there).count()];
        let Some(shelf) = self.head.shelf(*first) else {
            self.gone.extend(at..at + run.len());
            return run.len();
        };
        let mut shelf = shelf.open();
        shelf.fetch(run.iter().map(|(series, _)| number(*series)));
        for (i, (series, sample)) in run.iter().enumerate() {
            if !self.put(&mut shelf, *series, sample, record) {
                self.gone.push(at + i);
            }
            if record.size() >= RECORD_BYTES_SPLIT {
                return i + 1;
            }
        }
        run.len()
    }

    /// `false` if the series was forgotten.
    fn put<S: Storable>(
        &mut self,
        shelf: &mut OpenShelf<'_>,
        series: SeriesRef,
        sample: &S,
        record: &mut RecordWriter,
    ) -> bool {
        let Some(state) = shelf.state(number(series), series) else { return false };
        let labels = || self.head.labels(series).expect("a series has its place as long as it has its labels");
        let time_ms = sample.timestamp_ms();
        let (mut pushed, is_new) =
            if time_ms < self.floor_ms { (Pushed::TooOld, false) } else { sample.store(state, labels, record) };
        if matches!(pushed, Pushed::OutOfOrder | Pushed::TooOld) {
            match self.lateness.takes(time_ms, self.newest_ms) {
                Some(true) => {
                    self.late.push((labels(), sample.point()));
                    return true;
                }
                Some(false) => pushed = Pushed::TooOld,
                None => {}
            }
        }
        if pushed == Pushed::Stored {
            self.unlogged.0.push((series, time_ms));
            self.done.series_added += usize::from(is_new);
        }
        self.done.count(pushed);
        true
    }
}

/// Samples that are in memory and not in the log yet, by series and time.
struct Unlogged(Vec<(SeriesRef, i64)>);

impl Unlogged {
    /// They are in the log; tells the newest time.
    fn logged(&mut self) -> i64 {
        self.0.drain(..).map(|(_, time_ms)| time_ms).max().unwrap_or(i64::MIN)
    }

    /// They cannot be logged, so memory must not hold them either: a sender that tries again would be told that its own samples
    /// are too late.
    fn take_back(&self, head: &Lookup<'_>) {
        for (series, time_ms) in &self.0 {
            if let Some(mut state) = head.get(*series).and_then(MemSeries::write) {
                state.take_back(*time_ms);
            }
        }
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
trait Storable: Timed {
    fn point(&self) -> Point;

    /// Puts it into memory, and into the record if it is stored; `labels` are the series'. Says also whether the series had no
    /// samples before.
    fn store(
        &self,
        state: &mut SeriesState,
        labels: impl FnOnce() -> Labels,
        record: &mut RecordWriter,
    ) -> (Pushed, bool);
}

impl Storable for Sample {
    fn point(&self) -> Point {
        Point::Float(*self)
    }

    fn store(
        &self,
        state: &mut SeriesState,
        labels: impl FnOnce() -> Labels,
        record: &mut RecordWriter,
    ) -> (Pushed, bool) {
        if is_stale(self.value)
            && let Some(marker) = state.marker(*self)
        {
            return marker.store(state, labels, record);
        }
        let (is_new, before) = (state.is_empty(), state.last_value());
        let pushed = state.push(*self);
        if pushed == Pushed::Stored {
            record.add(&mut state.log, labels, before, *self);
        }
        (pushed, is_new)
    }
}

impl Storable for HistogramSample {
    fn point(&self) -> Point {
        Point::Histogram(self.clone())
    }

    fn store(
        &self,
        state: &mut SeriesState,
        labels: impl FnOnce() -> Labels,
        record: &mut RecordWriter,
    ) -> (Pushed, bool) {
        let is_new = state.is_empty();
        let pushed = state.push_histogram(self.clone());
        if pushed == Pushed::Stored {
            record.add_histogram(&mut state.log, labels, self);
        }
        (pushed, is_new)
    }
}
