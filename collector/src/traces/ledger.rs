//! Counters and histograms that only grow, each with its labels ready, which expire when nothing moves them. Turns
//! them into samples. Pure: the time comes in.

use std::hash::Hash;
use std::sync::Arc;

use foldhash::HashMap;

use super::latency::{BOUNDS, bucket_of};
use super::span::Text;
use crate::series::{Labels, METRIC_NAME, Sample, stale_nan};

/// What is written of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Zero, before its first value, so that `rate` sees the first increase.
    Zero,
    /// What it stands at.
    Value,
    /// That it is gone.
    Stale,
}

/// Where samples are collected.
#[derive(Debug)]
pub struct Page<'p> {
    at_ms: i64,
    mark: Mark,
    samples: &'p mut Vec<(Labels, Sample)>,
}

impl<'p> Page<'p> {
    /// A page for samples of one time.
    pub fn new(at_ms: i64, mark: Mark, samples: &'p mut Vec<(Labels, Sample)>) -> Self {
        Self { at_ms, mark, samples }
    }

    fn write(&mut self, labels: &Labels, value: f64) {
        let value = match self.mark {
            Mark::Zero => 0.0,
            Mark::Value => value,
            Mark::Stale => stale_nan(),
        };
        self.samples.push((labels.clone(), Sample { timestamp_ms: self.at_ms, value }));
    }
}

fn labels(name: &str, base: &[(&'static str, Text)], more: Option<(&'static str, String)>) -> Labels {
    let name = (METRIC_NAME, Arc::from(name));
    let more = more.map(|(label, value)| (label, Arc::from(value)));
    Labels::new(base.iter().cloned().chain([name]).chain(more))
}

/// A counter.
#[derive(Debug)]
pub struct Counter {
    labels: Labels,
    value: u64,
}

impl Counter {
    /// Zero.
    pub fn new(name: &str, base: &[(&'static str, Text)]) -> Self {
        Self { labels: labels(name, base, None), value: 0 }
    }

    /// Grows.
    pub fn add(&mut self, more: u64) {
        self.value += more;
    }

    /// Grows to what was counted elsewhere.
    pub fn set(&mut self, value: u64) {
        self.value = value;
    }

    /// Writes its sample.
    pub fn write(&self, page: &mut Page<'_>) {
        page.write(&self.labels, self.value as f64);
    }
}

/// A histogram in seconds with the bounds of [`BOUNDS`].
#[derive(Debug)]
pub struct Histogram {
    bucket_labels: Vec<Labels>,
    sum_labels: Labels,
    count_labels: Labels,
    buckets: [u64; BOUNDS.len() + 1],
    sum_ns: u128,
}

impl Histogram {
    /// Empty.
    pub fn new(name: &str, base: &[(&'static str, Text)]) -> Self {
        let bounds = BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        Self {
            bucket_labels: bounds.map(|le| labels(&format!("{name}_bucket"), base, Some(("le", le)))).collect(),
            sum_labels: labels(&format!("{name}_sum"), base, None),
            count_labels: labels(&format!("{name}_count"), base, None),
            buckets: [0; BOUNDS.len() + 1],
            sum_ns: 0,
        }
    }

    /// Counts a duration.
    pub fn observe(&mut self, ns: u64) {
        self.buckets[bucket_of(ns)] += 1;
        self.sum_ns += u128::from(ns);
    }

    /// Writes its samples.
    pub fn write(&self, page: &mut Page<'_>) {
        let mut below = 0;
        for (labels, count) in self.bucket_labels.iter().zip(self.buckets) {
            below += count;
            page.write(labels, below as f64);
        }
        page.write(&self.sum_labels, self.sum_ns as f64 / 1e9);
        page.write(&self.count_labels, below as f64);
    }
}

/// Series that belong together.
pub trait Entry {
    /// Writes their samples.
    fn write(&self, page: &mut Page<'_>);
}

#[derive(Debug)]
struct Line<E> {
    entry: E,
    moved_ms: i64,
    is_new: bool,
}

/// Entries by key, bounded, each of which expires when nothing moves it.
#[derive(Debug)]
pub struct Ledger<K, E> {
    lines: HashMap<K, Line<E>>,
    entries_max: usize,
    idle_ms: i64,
    refused: u64,
}

impl<K: Eq + Hash, E: Entry> Ledger<K, E> {
    /// Holds at most so many entries and forgets those that nothing moved for so long.
    pub fn new(entries_max: usize, idle_ms: i64) -> Self {
        Self { lines: HashMap::default(), entries_max, idle_ms, refused: 0 }
    }

    /// The entry with this key, made if it is new; nothing, and counted, if there are too many.
    pub fn entry(&mut self, key: K, now_ms: i64, make: impl FnOnce(&K) -> E) -> Option<&mut E> {
        if self.lines.len() >= self.entries_max && !self.lines.contains_key(&key) {
            self.refused += 1;
            return None;
        }
        let line = self.lines.entry(key);
        let line = line.or_insert_with_key(|key| Line { entry: make(key), moved_ms: now_ms, is_new: true });
        line.moved_ms = now_ms;
        Some(&mut line.entry)
    }

    /// Writes what every entry stands at, with a zero at `zero_ms` before the first value of a new one, and that those
    /// are gone which nothing moved.
    pub fn write(&mut self, now_ms: i64, zero_ms: i64, samples: &mut Vec<(Labels, Sample)>) {
        let idle_ms = self.idle_ms;
        self.lines.retain(|_, line| {
            if line.is_new {
                line.is_new = false;
                line.entry.write(&mut Page::new(zero_ms, Mark::Zero, samples));
            }
            let is_idle = now_ms - line.moved_ms > idle_ms;
            let mark = if is_idle { Mark::Stale } else { Mark::Value };
            line.entry.write(&mut Page::new(now_ms, mark, samples));
            !is_idle
        });
    }

    /// How often an entry was refused because there were too many.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests;
