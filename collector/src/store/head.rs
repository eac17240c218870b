//! The head: recent samples in memory, found through `index`. Writes no files. Samples lie in shelves of some dozens of series, whose
//! locks are held briefly, so that a query does not hold up the scrapes.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::{MappedRwLockWriteGuard, RwLock, RwLockReadGuard};

use super::index::{Index, number};
use super::samples::SeriesState;
use super::shelf::Shelf;
use crate::api::views::Cardinality;
use crate::series::{Labels, Matcher, Meter, Point, Scratch, SelectError, Selection, SeriesRef, SeriesSamples};

/// A series, and where its samples are.
pub(super) struct MemSeries {
    pub id: SeriesRef,
    pub labels: Labels,
    pub shelf: Arc<Shelf>,
}

impl MemSeries {
    /// What is found in its samples; nothing if it was forgotten.
    fn read<T>(&self, read: impl FnOnce(&SeriesState) -> T) -> Option<T> {
        self.shelf.read(number(self.id), self.id).map(|state| read(&state))
    }

    /// Its samples, to be changed, unless it was forgotten.
    pub fn write(&self) -> Option<MappedRwLockWriteGuard<'_, SeriesState>> {
        self.shelf.write(number(self.id), self.id)
    }

    /// Puts its samples in the range into `into`, and nothing else.
    pub fn samples(
        &self,
        start_ms: i64,
        end_ms: i64,
        into: &mut Scratch,
        meter: &dyn Meter,
    ) -> Result<(), SelectError> {
        into.samples.clear();
        into.histograms.clear();
        self.read(|state| state.read(start_ms, end_ms, into, meter)).unwrap_or(Ok(()))
    }
}

/// All series.
#[derive(Default)]
pub(super) struct Head {
    index: RwLock<Index>,
}

/// Looks handles up, many in a row; new series must wait meanwhile.
pub(super) struct Lookup<'a>(RwLockReadGuard<'a, Index>);

impl Lookup<'_> {
    /// The series behind a handle, unless it was forgotten.
    pub fn get(&self, series: SeriesRef) -> Option<&MemSeries> {
        self.0.get(series)
    }

    /// The labels of a series, unless it was forgotten.
    pub fn labels(&self, series: SeriesRef) -> Option<Labels> {
        self.get(series).map(|series| series.labels.clone())
    }

    /// Where the samples of a series are, if it was not forgotten.
    pub fn shelf(&self, series: SeriesRef) -> Option<&Shelf> {
        self.0.shelf(series)
    }
}

impl Head {
    /// The series with these labels, made if it is new.
    pub fn resolve(&self, labels: &Labels) -> Arc<MemSeries> {
        if let Some(series) = self.index.read().with_labels(labels) {
            return series.clone();
        }
        self.index.write().insert(labels)
    }

    /// For the handles of a batch.
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup(self.index.read())
    }

    /// Series that fit all matchers, in no order.
    pub fn matching(&self, matchers: &[Matcher]) -> Vec<Arc<MemSeries>> {
        self.index.read().matching(matchers)
    }

    /// Series that fit all matchers, each with what `read` finds in its samples and how much of it the meter has yet to be
    /// told, sorted by labels.
    fn read<T>(
        &self,
        matchers: &[Matcher],
        meter: &dyn Meter,
        read: impl Fn(&SeriesState) -> Result<Option<(T, usize)>, SelectError>,
    ) -> Result<Vec<(Labels, T)>, SelectError> {
        let matching = self.matching(matchers);
        meter.begin(matching.len())?;
        let mut found = Vec::new();
        for series in &matching {
            let read = series.read(&read).transpose()?.flatten();
            // Not before the lock is given back: the meter may wait for another query, and that one for the series.
            if let Some((read, weight)) = read {
                meter.take(weight)?;
                found.push((series.labels.clone(), read));
            }
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    pub fn select(
        &self,
        matchers: &[Matcher],
        (start_ms, end_ms): (i64, i64),
        meter: &dyn Meter,
    ) -> Result<Vec<SeriesSamples>, SelectError> {
        let found = self.read(matchers, meter, |state| {
            let mut found = Scratch::default();
            state.read(start_ms, end_ms, &mut found, meter)?;
            let is_empty = found.samples.is_empty() && found.histograms.is_empty();
            Ok((!is_empty).then_some((found, 0)))
        })?;
        let all = |(labels, Scratch { samples, histograms })| SeriesSamples { labels, samples, histograms };
        Ok(found.into_iter().map(all).collect())
    }

    /// The same series, to be read one at a time.
    pub fn selection(
        &self,
        matchers: &[Matcher],
        (start_ms, end_ms): (i64, i64),
        meter: &dyn Meter,
    ) -> Result<HeadSelection, SelectError> {
        let mut series = self.matching(matchers);
        meter.begin(series.len())?;
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        Ok(HeadSelection { series, start_ms, end_ms })
    }

    pub fn latest(
        &self,
        matchers: &[Matcher],
        (start_ms, end_ms): (i64, i64),
        meter: &dyn Meter,
    ) -> Result<Vec<(Labels, Point)>, SelectError> {
        self.read(matchers, meter, |state| {
            let newest = state.latest(start_ms, end_ms);
            Ok(newest.map(|newest| {
                let weight = newest.weight();
                (newest, weight)
            }))
        })
    }

    pub fn series(
        &self,
        matchers: &[Matcher],
        (start_ms, end_ms): (i64, i64),
        meter: &dyn Meter,
    ) -> Result<Vec<Labels>, SelectError> {
        let found = self.read(matchers, meter, |state| Ok(state.overlaps(start_ms, end_ms).then_some(((), 1))))?;
        Ok(found.into_iter().map(|(labels, ())| labels).collect())
    }

    fn shelves(&self) -> Vec<Arc<Shelf>> {
        self.index.read().shelves().to_vec()
    }

    /// Looks at the samples of all series, some dozens at a time; what comes meanwhile may be missed.
    pub fn each(&self, mut look: impl FnMut(&SeriesState)) {
        for shelf in self.shelves() {
            shelf.each(&mut look);
        }
    }

    /// All series, in no order.
    pub fn all(&self) -> Vec<Arc<MemSeries>> {
        self.index.read().all().cloned().collect()
    }

    /// The time of the oldest sample, of those from a time on.
    pub fn oldest_ms(&self, from_ms: i64) -> Option<i64> {
        let mut oldest_ms: Option<i64> = None;
        self.each(|state| oldest_ms = oldest_ms.into_iter().chain(state.first_from(from_ms)).min());
        oldest_ms
    }

    /// Forgets samples older than `before_ms`; tells the series that are without any for the second time.
    pub fn truncate(&self, before_ms: i64) -> Vec<SeriesRef> {
        let mut empty = Vec::new();
        for shelf in self.shelves() {
            shelf.open().each(|series, state| {
                if state.truncate(before_ms) {
                    empty.push(series);
                }
            });
        }
        empty
    }

    /// Forgets those of the series that are still without samples; tells how many. Nothing may be appended meanwhile: a
    /// sample for a series that is being forgotten would be lost.
    pub fn remove_empty(&self, ids: &[SeriesRef]) -> usize {
        if ids.is_empty() {
            return 0;
        }
        let mut index = self.index.write();
        let is_empty =
            |id: &&SeriesRef| index.get(**id).and_then(|series| series.read(SeriesState::is_empty)) == Some(true);
        let done: HashSet<SeriesRef> = ids.iter().filter(is_empty).copied().collect();
        index.remove(&done);
        done.len()
    }

    /// Series by their labels, at most `limit` of each list; knows nothing of samples.
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        self.index.read().cardinality(limit)
    }

    /// Number of series, and bytes of their samples.
    pub fn size(&self) -> (usize, usize) {
        let (mut series, mut bytes) = (0, 0);
        self.each(|state| {
            series += 1;
            bytes += state.size();
        });
        (series, bytes)
    }

    /// Number of series.
    pub fn series_count(&self) -> usize {
        self.index.read().len()
    }
}

/// Series that fit, as they were when they were looked for.
pub(super) struct HeadSelection {
    series: Vec<Arc<MemSeries>>,
    start_ms: i64,
    end_ms: i64,
}

impl Selection for HeadSelection {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        &self.series[index].labels
    }

    fn read(&self, index: usize, into: &mut Scratch, meter: &dyn Meter) -> Result<(), SelectError> {
        self.series[index].samples(self.start_ms, self.end_ms, into, meter)?;
        meter.take(0)
    }
}
