//! The way in: a batch goes into memory and into the log under the log's lock, so that both have one order. What is late is
//! handed on to `late`.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::MutexGuard;

use super::Store;
use super::head::{Lookup, MemSeries};
use super::log::{Log, RECORD_BYTES_SPLIT};
use super::record::RecordWriter;
use super::samples::Pushed;
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

impl Store {
    fn append_all<S: Storable>(
        &self,
        batch: impl ExactSizeIterator<Item = (SeriesRef, S)>,
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
        batch: impl Iterator<Item = (SeriesRef, S)>,
        gone: &mut Vec<usize>,
        done: &mut Appended,
    ) -> io::Result<()> {
        let now_ms = self.clock.now_ms();
        log.prepare(now_ms)?;
        let (floor_ms, newest_ms) = (self.window.floor_ms(), self.window.newest_ms().unwrap_or(i64::MIN));
        let (mut late, mut unlogged) = (Vec::new(), Unlogged(std::mem::take(&mut log.unlogged)));
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
                unlogged.0.push((series.id, time_ms));
                done.series_added += usize::from(is_new);
            }
            done.count(pushed);
            if log.record.size() >= RECORD_BYTES_SPLIT {
                log.commit().inspect_err(|_| unlogged.take_back(&head))?;
                self.window.saw(unlogged.logged());
            }
        }
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
            if let Some(series) = head.get(*series) {
                series.state.lock().take_back(*time_ms);
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
    fn into_point(self) -> Point;

    /// Puts it into memory, and into the record if it is stored. Says also whether the series had no samples before.
    fn store(&self, series: &MemSeries, record: &mut RecordWriter) -> (Pushed, bool);
}

impl Storable for Sample {
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
        if pushed == Pushed::Stored {
            record.add(&mut state.log, &series.labels, before, *self);
        }
        (pushed, is_new)
    }
}

impl Storable for HistogramSample {
    fn into_point(self) -> Point {
        Point::Histogram(self)
    }

    fn store(&self, series: &MemSeries, record: &mut RecordWriter) -> (Pushed, bool) {
        let mut state = series.state.lock();
        let is_new = state.is_empty();
        let pushed = state.push_histogram(self.clone());
        if pushed == Pushed::Stored {
            record.add_histogram(&mut state.log, &series.labels, self);
        }
        (pushed, is_new)
    }
}
