//! Keeps the newest exemplars of all series in a ring of fixed length, as Prometheus does. Not logged: they are pointers
//! to traces, which are not kept across a restart either.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

use crate::api::views::{Exemplar, SeriesExemplars};
use crate::series::{Labels, Matcher};

/// Exemplars kept: Prometheus' default for `max_exemplars`.
const EXEMPLARS_MAX: usize = 100_000;

/// The ring.
#[derive(Default)]
pub(super) struct Exemplars {
    ring: Mutex<VecDeque<(Labels, Exemplar)>>,
}

impl Exemplars {
    pub fn push(&self, series: Labels, exemplar: Exemplar) {
        let mut ring = self.ring.lock();
        if ring.len() == EXEMPLARS_MAX {
            ring.pop_front();
        }
        ring.push_back((series, exemplar));
    }

    pub fn select(&self, selectors: &[Vec<Matcher>], start_ms: i64, end_ms: i64) -> Vec<SeriesExemplars> {
        let mut found: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        for (labels, exemplar) in self.ring.lock().iter() {
            let in_time = (start_ms..=end_ms).contains(&exemplar.timestamp_ms);
            if in_time && selectors.iter().any(|matchers| matchers.iter().all(|m| m.fits(labels))) {
                found.entry(labels.clone()).or_default().push(exemplar.clone());
            }
        }
        let in_order = |(labels, mut exemplars): (Labels, Vec<Exemplar>)| {
            exemplars.sort_by_key(|e| e.timestamp_ms);
            SeriesExemplars { labels, exemplars }
        };
        found.into_iter().map(in_order).collect()
    }
}
