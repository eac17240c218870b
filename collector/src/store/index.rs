//! Finds series by handle, by labels, or by matchers through an inverted index. Knows nothing of samples.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use super::head::MemSeries;
use super::postings::{self, Postings, Slot, Values};
use super::shelf::{SHELF_PLACES, Shelf};
use crate::api::views::{Cardinality, HeadStats, NamedCount};
use crate::series::{Labels, METRIC_NAME, Matcher, SeriesRef};

/// The slot of a series, which is its number among all places of all shelves.
pub(super) fn number(series: SeriesRef) -> usize {
    (series.0 & u64::from(Slot::MAX)) as usize
}

/// All series.
#[derive(Default)]
pub(super) struct Index {
    slots: Vec<Option<Arc<MemSeries>>>,
    /// Where the samples lie, in the order of slots.
    shelves: Vec<Arc<Shelf>>,
    free: Vec<Slot>,
    /// Counts the times that slots became free: a handle is made of it and the slot, so that no two series have the same.
    generation: u32,
    by_labels: HashTable<Slot>,
    hasher: RandomState,
    postings: Postings,
}

impl Index {
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<MemSeries>> {
        self.slots.iter().flatten()
    }

    /// The series behind a handle, unless it was forgotten.
    pub fn get(&self, series: SeriesRef) -> Option<&MemSeries> {
        self.slots.get(number(series))?.as_deref().filter(|found| found.id == series)
    }

    /// Where the samples of a series lie, unless it was forgotten.
    pub fn shelf(&self, series: SeriesRef) -> Option<&Shelf> {
        self.shelves.get(number(series) / SHELF_PLACES).map(|shelf| &**shelf)
    }

    pub fn shelves(&self) -> &[Arc<Shelf>] {
        &self.shelves
    }

    pub fn with_labels(&self, labels: &Labels) -> Option<&Arc<MemSeries>> {
        let slot = self
            .by_labels
            .find(self.hasher.hash_one(labels), |slot| self.at(*slot).is_some_and(|series| series.labels == *labels))?;
        self.at(*slot)
    }

    fn at(&self, slot: Slot) -> Option<&Arc<MemSeries>> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// The series with these labels, made if it is new.
    pub fn insert(&mut self, labels: &Labels) -> Arc<MemSeries> {
        if let Some(series) = self.with_labels(labels) {
            return series.clone();
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot::try_from(self.slots.len() - 1).expect("four billion series do not fit into memory")
        });
        let labels = Labels::new(labels.iter().map(|(name, value)| self.post(name, value, slot)));
        let id = SeriesRef((u64::from(self.generation) << Slot::BITS) | u64::from(slot));
        let shelf = slot as usize / SHELF_PLACES;
        while self.shelves.len() <= shelf {
            self.shelves.push(Arc::default());
        }
        let shelf = self.shelves[shelf].clone();
        shelf.settle(slot as usize, id);
        let series = Arc::new(MemSeries { id, labels, shelf });
        self.slots[slot as usize] = Some(series.clone());
        let Self { slots, by_labels, hasher, .. } = self;
        let hash = |slot: &Slot| slots[*slot as usize].as_ref().map_or(0, |series| hasher.hash_one(&series.labels));
        by_labels.insert_unique(hash(&slot), slot, hash);
        series
    }

    /// Notes that a series carries a label; gives the texts back as they are stored, so that they are stored once.
    fn post(&mut self, name: &str, value: &str, slot: Slot) -> (Arc<str>, Arc<str>) {
        let name: Arc<str> = match self.postings.get_key_value(name) {
            Some((known, _)) => known.clone(),
            None => name.into(),
        };
        let values = self.postings.entry(name.clone()).or_default();
        if let Some((known, _)) = values.get_key_value(value) {
            let known = known.clone();
            let slots = values.entry(known.clone()).or_default();
            let place = slots.partition_point(|other| *other < slot);
            slots.insert(place, slot);
            return (name, known);
        }
        let value: Arc<str> = value.into();
        values.insert(value.clone(), vec![slot]);
        (name, value)
    }

    /// Series by their labels, at most `limit` of each list, the most first.
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        let most = |counts: &mut dyn Iterator<Item = (String, usize)>| {
            let mut counts: Vec<NamedCount> =
                counts.map(|(name, count)| NamedCount { name, value: count as u64 }).collect();
            counts.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.name.cmp(&b.name)));
            counts.truncate(limit);
            counts
        };
        let by_name = || self.postings.iter().map(|(name, values)| (name.to_string(), values));
        let bytes = |values: &Values| values.iter().map(|(value, slots)| value.len() * slots.len()).sum();
        let metrics = self.postings.get(METRIC_NAME);
        Cardinality {
            head_stats: HeadStats {
                num_series: self.len() as u64,
                num_label_pairs: self.postings.values().map(|values| values.len() as u64).sum(),
                ..HeadStats::default()
            },
            series_count_by_metric_name: most(
                &mut metrics.into_iter().flatten().map(|(name, slots)| (name.to_string(), slots.len())),
            ),
            label_value_count_by_label_name: most(&mut by_name().map(|(name, values)| (name, values.len()))),
            memory_in_bytes_by_label_name: most(&mut by_name().map(|(name, values)| (name, bytes(values)))),
            series_count_by_label_value_pair: most(&mut by_name().flat_map(|(name, values)| {
                values.iter().map(move |(value, slots)| (format!("{name}={value}"), slots.len()))
            })),
        }
    }

    /// Forgets series.
    pub fn remove(&mut self, done: &HashSet<SeriesRef>) {
        self.generation = self.generation.wrapping_add(1);
        let mut touched: HashSet<(Arc<str>, Arc<str>)> = HashSet::new();
        let mut gone: HashSet<Slot> = HashSet::new();
        for id in done {
            let Some(series) = self.get(*id) else { continue };
            touched.extend(series.labels.pairs().iter().cloned());
            let hash = self.hasher.hash_one(&series.labels);
            let slot = number(*id) as Slot;
            if let Ok(known) = self.by_labels.find_entry(hash, |other| *other == slot) {
                known.remove();
            }
            self.shelves[slot as usize / SHELF_PLACES].clear(slot as usize);
            self.slots[slot as usize] = None;
            self.free.push(slot);
            gone.insert(slot);
        }
        for (name, value) in touched {
            let Some(values) = self.postings.get_mut(&name) else { continue };
            if let Some(slots) = values.get_mut(&value) {
                slots.retain(|slot| !gone.contains(slot));
                if slots.is_empty() {
                    values.remove(&value);
                }
            }
        }
        self.postings.retain(|_, values| !values.is_empty());
    }

    /// Series that fit all matchers, in order of slots.
    pub fn matching(&self, matchers: &[Matcher]) -> Vec<Arc<MemSeries>> {
        let all = || (0..).zip(&self.slots).filter(|(_, series)| series.is_some()).map(|(slot, _)| slot).collect();
        let labels = |slot| self.at(slot).map(|series| &series.labels);
        let slots = postings::matching(&self.postings, matchers, all, labels);
        slots.iter().filter_map(|slot| self.at(*slot)).cloned().collect()
    }
}
