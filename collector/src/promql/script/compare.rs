//! Compares what a query gave with what a script expects, values up to a relative difference.

use std::collections::BTreeMap;

use super::read::{Expected, When};
use super::values::Notation;
use crate::promql::QueryData;
use crate::promql::numbers::almost_equal;
use crate::series::{Labels, Sample, SeriesSamples};

/// Relative difference up to which values are equal: Prometheus' own tolerance for these scripts.
const TOLERANCE: f64 = 1e-6;

pub(super) fn check(expected: &Expected, when: When, data: &QueryData) -> Result<(), String> {
    match (data, when) {
        (QueryData::Text { text, .. }, _) => {
            if expected.text.as_ref() == Some(text) {
                Ok(())
            } else {
                Err(format!("got the text {text:?}"))
            }
        }
        (QueryData::Scalar(sample), _) => {
            let expected = expected.scalar.ok_or_else(|| format!("got the scalar {}", sample.value))?;
            check_value(expected, sample.value, "the scalar")
        }
        (QueryData::Vector(found), When::At(at_ms)) => {
            if expected.scalar.is_some() {
                return Err("expected a scalar, got a vector".to_owned());
            }
            if expected.ordered {
                check_order(expected, &found.iter().map(|one| &one.labels).collect::<Vec<_>>())?;
            }
            let found = found.iter().map(|one| (one.labels.clone(), vec![one.sample]));
            check_series(&expected_series(expected, at_ms, 1), &found.collect())
        }
        (QueryData::Matrix(found), When::At(_)) => {
            let (start_ms, step_ms) = expected.range_vector.ok_or("got a range vector")?;
            check_series(&expected_series(expected, start_ms, step_ms), &by_labels(found))
        }
        (QueryData::Matrix(found), When::Range { start_ms, step_ms, .. }) => {
            check_series(&expected_series(expected, start_ms, step_ms), &by_labels(found))
        }
        (QueryData::Vector(_), When::Range { .. }) => Err("got an instant vector".to_owned()),
    }
}

/// Compares the step at `at_ms` of a range query.
pub(super) fn check_step(expected: &Expected, at_ms: i64, found: &[SeriesSamples]) -> Result<(), String> {
    if found.windows(2).any(|pair| pair[0].labels >= pair[1].labels) {
        return Err("series are not sorted".to_owned());
    }
    let at_step = found.iter().filter_map(|series| {
        let sample = series.samples.iter().find(|sample| sample.timestamp_ms == at_ms)?;
        Some((series.labels.clone(), vec![*sample]))
    });
    let at_step: BTreeMap<Labels, Vec<Sample>> = at_step.collect();
    if let Some(scalar) = expected.scalar {
        let sample = at_step.values().flatten().next().ok_or("no scalar")?;
        return check_value(scalar, sample.value, "the scalar");
    }
    check_series(&expected_series(expected, at_ms, 1), &at_step)
}

fn by_labels(found: &[SeriesSamples]) -> BTreeMap<Labels, Vec<Sample>> {
    found.iter().map(|one| (one.labels.clone(), one.samples.clone())).collect()
}

fn check_order(expected: &Expected, found: &[&Labels]) -> Result<(), String> {
    for (place, (labels, _)) in expected.series.iter().enumerate() {
        if found.get(place) != Some(&labels) {
            let found = found.get(place).map_or_else(|| "nothing".to_owned(), ToString::to_string);
            return Err(format!("expected {labels} in place {}, got {found}", place + 1));
        }
    }
    Ok(())
}

fn expected_series(expected: &Expected, start_ms: i64, step_ms: i64) -> BTreeMap<Labels, Vec<Sample>> {
    let mut series = BTreeMap::new();
    for (labels, notations) in &expected.series {
        let mut samples = Vec::new();
        let mut timestamp_ms = start_ms;
        for notation in notations {
            if let Notation::Value(value) = notation {
                samples.push(Sample { timestamp_ms, value: *value });
            }
            timestamp_ms += step_ms;
        }
        if !samples.is_empty() {
            series.insert(labels.clone(), samples);
        }
    }
    series
}

fn check_series(expected: &BTreeMap<Labels, Vec<Sample>>, found: &BTreeMap<Labels, Vec<Sample>>) -> Result<(), String> {
    for (labels, samples) in expected {
        let Some(got) = found.get(labels) else {
            let others: Vec<String> = found.keys().map(ToString::to_string).collect();
            return Err(format!("no series {labels}, but [{}]", others.join(", ")));
        };
        let times = |samples: &[Sample]| samples.iter().map(|sample| sample.timestamp_ms).collect::<Vec<_>>();
        if times(samples) != times(got) {
            return Err(format!("{labels}: expected samples {samples:?}, got {got:?}"));
        }
        for (expected, got) in samples.iter().zip(got) {
            check_value(expected.value, got.value, &format!("{labels} at {} ms", got.timestamp_ms))?;
        }
    }
    match found.keys().find(|labels| !expected.contains_key(*labels)) {
        Some(labels) => Err(format!("unexpected series {labels}: {:?}", found[labels])),
        None => Ok(()),
    }
}

fn check_value(expected: f64, found: f64, what: &str) -> Result<(), String> {
    if almost_equal(expected, found, TOLERANCE) {
        Ok(())
    } else {
        Err(format!("{what}: expected {expected}, got {found}"))
    }
}
