//! Makes native histograms of the classic ones that a script loads, as `load_with_nhcb` asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::promql::histogram::compact;
use crate::promql::memory::MemoryStore;
use crate::series::{Classic, HistogramSample, Labels, METRIC_NAME, Sample};

/// What a series says of a classic histogram.
enum Part {
    Bucket(f64),
    Count,
    Sum,
}

/// Classic histograms by their labels and time.
#[derive(Default)]
pub(super) struct Converter {
    histograms: BTreeMap<Labels, BTreeMap<i64, Classic>>,
}

impl Converter {
    /// Sees a sample of a series that may be part of a histogram.
    pub fn see(&mut self, labels: &Labels, sample: Sample) {
        let Some((labels, part)) = part(labels) else { return };
        let classic = self.histograms.entry(labels).or_default().entry(sample.timestamp_ms).or_default();
        match part {
            Part::Bucket(bound) => classic.buckets.push((bound, sample.value)),
            Part::Count => classic.count = Some(sample.value),
            Part::Sum => classic.sum = sample.value,
        }
    }

    /// Stores what has come of it, and returns the labels of the series.
    pub fn store(self, store: &mut MemoryStore) -> Vec<Labels> {
        for (labels, histograms) in &self.histograms {
            for (timestamp_ms, classic) in histograms {
                if let Ok(mut histogram) = classic.clone().native() {
                    compact(&mut histogram);
                    let histogram = Arc::new(histogram);
                    store.add_histogram(labels, HistogramSample { timestamp_ms: *timestamp_ms, histogram });
                }
            }
        }
        self.histograms.into_keys().collect()
    }
}

/// The histogram that a series belongs to, and what it says of it.
fn part(labels: &Labels) -> Option<(Labels, Part)> {
    let bound = || labels.get("le").and_then(|bound| bound.parse().ok()).filter(|bound: &f64| !bound.is_nan());
    let name = labels.name();
    let (name, part) = if let Some(name) = name.strip_suffix("_bucket") {
        (name, Part::Bucket(bound()?))
    } else if let Some(name) = name.strip_suffix("_count") {
        (name, Part::Count)
    } else {
        (name.strip_suffix("_sum")?, Part::Sum)
    };
    let others = labels.iter().filter(|(name, _)| *name != "le" && *name != METRIC_NAME);
    Some((Labels::new(others.chain([(METRIC_NAME, name)])), part))
}
