//! One answer from several sources that may hold the same samples: pure.

use std::cmp::Ordering;

use crate::series::{Labels, Point, Scratch, SeriesSamples, Timed};

/// Series of all sources, each of them sorted by labels; of samples with one time that of the first source stays.
pub(super) fn series(mut sources: Vec<Vec<SeriesSamples>>) -> Vec<SeriesSamples> {
    sources.retain(|source| !source.is_empty());
    if sources.len() < 2 {
        return sources.pop().unwrap_or_default();
    }
    let mut all: Vec<SeriesSamples> = sources.into_iter().flatten().collect();
    // Stable, and quick on runs that are sorted already.
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all.dedup_by(|next, kept| {
        let same = next.labels == kept.labels;
        if same {
            join(kept, std::mem::replace(next, SeriesSamples::floats(Labels::default(), Vec::new())));
        }
        same
    });
    all
}

/// Adds what another source knows of the same series.
pub(super) fn join(kept: &mut SeriesSamples, other: SeriesSamples) {
    kept.samples = samples(std::mem::take(&mut kept.samples), other.samples);
    kept.histograms = samples(std::mem::take(&mut kept.histograms), other.histograms);
}

/// The newest of two answers, both sorted by labels, for each series.
pub(super) fn newest(first: Vec<(Labels, Point)>, second: Vec<(Labels, Point)>) -> Vec<(Labels, Point)> {
    let mut all = first;
    all.extend(second);
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same && next.1.timestamp_ms() > kept.1.timestamp_ms() {
            std::mem::swap(next, kept);
        }
        same
    });
    all
}

/// Adds what another source knows of a series that has been read.
pub(super) fn into_scratch(kept: &mut Scratch, other: &SeriesSamples) {
    kept.samples = samples(std::mem::take(&mut kept.samples), other.samples.clone());
    kept.histograms = samples(std::mem::take(&mut kept.histograms), other.histograms.clone());
}

/// Labels of all sources, each of them sorted.
pub(super) fn labels(sources: Vec<Vec<Labels>>) -> Vec<Labels> {
    let mut all: Vec<Labels> = sources.into_iter().flatten().collect();
    all.sort();
    all.dedup();
    all
}

fn samples<T: Timed>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
    let ends = |list: &[T]| Some((list.first()?.timestamp_ms(), list.last()?.timestamp_ms()));
    let (Some(one), Some(other)) = (ends(&first), ends(&second)) else {
        return if first.is_empty() { second } else { first };
    };
    let follow = |mut early: Vec<T>, late: Vec<T>| {
        early.extend(late);
        early
    };
    if one.1 < other.0 {
        return follow(first, second);
    }
    if other.1 < one.0 {
        return follow(second, first);
    }
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    while let (Some(a), Some(b)) = (first.peek(), second.peek()) {
        match a.timestamp_ms().cmp(&b.timestamp_ms()) {
            Ordering::Less => merged.extend(first.next()),
            Ordering::Greater => merged.extend(second.next()),
            Ordering::Equal => drop(second.next()),
        }
    }
    merged.extend(first);
    merged.extend(second);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Sample;
    use proptest::prelude::*;

    fn of(pod: u8, times: &[i64], value: f64) -> SeriesSamples {
        let samples = times.iter().map(|timestamp_ms| Sample { timestamp_ms: *timestamp_ms, value }).collect();
        SeriesSamples::floats(Labels::new([("pod", pod.to_string())]), samples)
    }

    proptest! {
        #[test]
        fn every_time_once_in_order_and_the_first_source_wins(
            sources in prop::collection::vec(prop::collection::btree_map(
                0u8..4, prop::collection::btree_set(0i64..30, 1..10), 0..4), 0..4)
        ) {
            let given = sources.iter().enumerate().map(|(i, source)| {
                let one = |(pod, times): (&u8, &std::collections::BTreeSet<i64>)| {
                    of(*pod, &times.iter().copied().collect::<Vec<_>>(), i as f64)
                };
                source.iter().map(one).collect()
            });
            let merged = series(given.collect());
            for pod in 0..4u8 {
                let mut wanted: std::collections::BTreeMap<i64, f64> = std::collections::BTreeMap::new();
                for (i, source) in sources.iter().enumerate() {
                    for time in source.get(&pod).into_iter().flatten() {
                        wanted.entry(*time).or_insert(i as f64);
                    }
                }
                let labels = Labels::new([("pod", pod.to_string())]);
                let found: Vec<_> = merged.iter().filter(|one| one.labels == labels).collect();
                prop_assert_eq!(found.len(), usize::from(!wanted.is_empty()));
                let got = found.iter().flat_map(|one| one.samples.iter().map(|s| (s.timestamp_ms, s.value)));
                prop_assert_eq!(got.collect::<Vec<_>>(), wanted.into_iter().collect::<Vec<_>>());
            }
            prop_assert!(merged.is_sorted_by(|a, b| a.labels < b.labels));
        }
    }
}
