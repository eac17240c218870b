//! The way in: a batch goes into memory and into the log under the log's lock, so that both have one order. What is late is
//! handed on to `late`.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::MutexGuard;

use super::Store;
use super::head::MemSeries;
use super::log::{Log, RECORD_BYTES_SPLIT};
use super::record::{LogMark, RecordWriter};
use super::samples::Pushed;
use crate::api::views::Exemplar;
use crate::series::{
    AppendError, Appendable, Appended, HistogramSample, Ingest, Labels, Point, Sample, SeriesRef, Timed, is_stale,
};

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
                // Before the log may fail: these samples are in memory in any case.
                self.window.saw(newest_stored_ms);
                log.commit()?;
            }
        }
        drop(head);
        self.window.saw(newest_stored_ms);
        log.commit()?;
        if !late.is_empty() {
            for pushed in self.late.append(now_ms, &late)? {
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
trait Storable: Timed {
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
