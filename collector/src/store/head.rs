//! The head: recent samples in memory, found by handle, by labels, or by matchers through an inverted index.
//! Writes no files. Locks are held per series and briefly, so that a query does not hold up the scrapes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::postings::{self, Postings};
use super::samples::SeriesState;
use crate::series::{Labels, Matcher, Meter, Point, Scratch, SelectError, Selection, SeriesRef, SeriesSamples};

/// A series with its samples.
pub(super) struct MemSeries {
    pub id: u64,
    pub labels: Labels,
    pub state: Mutex<SeriesState>,
}

/// All series.
#[derive(Default)]
pub(super) struct Head {
    index: RwLock<Index>,
}

/// The handles of a batch, resolved together under one lock.
pub(super) type Found = Vec<Option<Arc<MemSeries>>>;

impl Head {
    /// The series with these labels, made if it is new.
    pub fn resolve(&self, labels: &Labels) -> Arc<MemSeries> {
        if let Some(series) = self.index.read().by_labels.get(labels) {
            return series.clone();
        }
        self.index.write().insert(labels)
    }

    /// The series behind each handle.
    pub fn find(&self, refs: impl Iterator<Item = SeriesRef>) -> Found {
        let index = self.index.read();
        refs.map(|r| index.by_id.get(&r.0).cloned()).collect()
    }

    /// Series that fit all matchers, in no order.
    pub fn matching(&self, matchers: &[Matcher]) -> Vec<Arc<MemSeries>> {
        self.index.read().matching(matchers)
    }

    /// Series that fit all matchers, each with what `read` finds in its samples, sorted by labels.
    fn read<T>(
        &self,
        matchers: &[Matcher],
        meter: &dyn Meter,
        read: impl Fn(&SeriesState) -> Result<Option<T>, SelectError>,
    ) -> Result<Vec<(Labels, T)>, SelectError> {
        let matching = self.matching(matchers);
        meter.begin(matching.len())?;
        let mut found = Vec::new();
        for series in &matching {
            let read = read(&series.state.lock())?;
            found.extend(read.map(|read| (series.labels.clone(), read)));
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    pub fn select(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<SeriesSamples>, SelectError> {
        let found = self.read(matchers, meter, |state| {
            let mut found = Scratch::default();
            state.read(start_ms, end_ms, &mut found, meter)?;
            Ok(Some(found).filter(|found| !found.samples.is_empty() || !found.histograms.is_empty()))
        })?;
        let all = |(labels, Scratch { samples, histograms })| SeriesSamples { labels, samples, histograms };
        Ok(found.into_iter().map(all).collect())
    }

    /// The same series, to be read one at a time.
    pub fn selection(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
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
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<(Labels, Point)>, SelectError> {
        self.read(matchers, meter, |state| {
            let newest = state.latest(start_ms, end_ms);
            meter.take(newest.as_ref().map_or(0, Point::weight))?;
            Ok(newest)
        })
    }

    pub fn series(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<Labels>, SelectError> {
        let found = self.read(matchers, meter, |state| {
            let inside = state.overlaps(start_ms, end_ms);
            meter.take(usize::from(inside))?;
            Ok(inside.then_some(()))
        })?;
        Ok(found.into_iter().map(|(labels, ())| labels).collect())
    }

    /// Forgets samples older than `before_ms`, and series that are left without any; says how many those were. Nothing
    /// may be appended meanwhile: a sample for a series that is being forgotten would be lost.
    pub fn truncate(&self, before_ms: i64) -> usize {
        let all: Vec<Arc<MemSeries>> = self.index.read().by_id.values().cloned().collect();
        let done: HashSet<u64> = all.iter().filter(|s| s.state.lock().truncate(before_ms)).map(|s| s.id).collect();
        if !done.is_empty() {
            self.index.write().remove(&done);
        }
        done.len()
    }

    /// Number of series, and bytes of their samples.
    pub fn size(&self) -> (usize, usize) {
        let all: Vec<Arc<MemSeries>> = self.index.read().by_id.values().cloned().collect();
        (all.len(), all.iter().map(|s| s.state.lock().size()).sum())
    }

    /// Number of series.
    pub fn series_count(&self) -> usize {
        self.index.read().by_id.len()
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
        self.series[index].state.lock().read(self.start_ms, self.end_ms, into, meter)
    }
}

#[derive(Default)]
struct Index {
    by_labels: HashMap<Labels, Arc<MemSeries>>,
    by_id: HashMap<u64, Arc<MemSeries>>,
    postings: Postings,
    next_id: u64,
}

impl Index {
    fn insert(&mut self, labels: &Labels) -> Arc<MemSeries> {
        if let Some(series) = self.by_labels.get(labels) {
            return series.clone();
        }
        let id = self.next_id;
        self.next_id += 1;
        let labels = Labels::new(labels.iter().map(|(name, value)| self.post(name, value, id)));
        let series = Arc::new(MemSeries { id, labels: labels.clone(), state: Mutex::default() });
        self.by_labels.insert(labels, series.clone());
        self.by_id.insert(id, series.clone());
        series
    }

    /// Notes that a series carries a label; gives the texts back as they are stored, so that they are stored once.
    fn post(&mut self, name: &str, value: &str, id: u64) -> (Arc<str>, Arc<str>) {
        let name: Arc<str> = match self.postings.get_key_value(name) {
            Some((known, _)) => known.clone(),
            None => name.into(),
        };
        let values = self.postings.entry(name.clone()).or_default();
        if let Some((known, _)) = values.get_key_value(value) {
            let known = known.clone();
            values.entry(known.clone()).or_default().push(id);
            return (name, known);
        }
        let value: Arc<str> = value.into();
        values.insert(value.clone(), vec![id]);
        (name, value)
    }

    fn remove(&mut self, done: &HashSet<u64>) {
        let mut touched: HashSet<(Arc<str>, Arc<str>)> = HashSet::new();
        for id in done {
            if let Some(series) = self.by_id.remove(id) {
                self.by_labels.remove(&series.labels);
                touched.extend(series.labels.pairs().iter().cloned());
            }
        }
        for (name, value) in touched {
            let Some(values) = self.postings.get_mut(&name) else { continue };
            if let Some(ids) = values.get_mut(&value) {
                ids.retain(|id| !done.contains(id));
                if ids.is_empty() {
                    values.remove(&value);
                }
            }
        }
        self.postings.retain(|_, values| !values.is_empty());
    }

    fn matching(&self, matchers: &[Matcher]) -> Vec<Arc<MemSeries>> {
        let all = || {
            let mut ids: Vec<u64> = self.by_id.keys().copied().collect();
            ids.sort_unstable();
            ids
        };
        let labels = |id| self.by_id.get(&id).map(|series| &series.labels);
        let ids = postings::matching(&self.postings, matchers, all, labels);
        ids.iter().filter_map(|id| self.by_id.get(id)).cloned().collect()
    }
}
