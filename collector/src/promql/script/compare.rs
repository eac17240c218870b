//! Compares what a query gave with what a script expects, values up to a relative difference.

use std::collections::BTreeMap;

use super::native::Native;
use super::read::{Expected, When};
use super::values::Notation;
use crate::promql::QueryData;
use crate::promql::histogram::compact;
use crate::promql::numbers::almost_equal;
use crate::series::{Histogram, Labels, Point, SeriesSamples};

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
            let found = found.iter().map(|one| (one.labels.clone(), vec![one.point.clone()]));
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
    let mut at_step = by_labels(found);
    for points in at_step.values_mut() {
        points.retain(|point| point.timestamp_ms() == at_ms);
    }
    at_step.retain(|_, points| !points.is_empty());
    if let Some(scalar) = expected.scalar {
        return match at_step.values().flatten().next() {
            Some(Point::Float(sample)) => check_value(scalar, sample.value, "the scalar"),
            _ => Err("no scalar".to_owned()),
        };
    }
    check_series(&expected_series(expected, at_ms, 1), &at_step)
}

/// Samples of both kinds by series, in order of time.
fn by_labels(found: &[SeriesSamples]) -> BTreeMap<Labels, Vec<Point>> {
    let points = |one: &SeriesSamples| {
        let floats = one.samples.iter().map(|sample| Point::Float(*sample));
        let mut points: Vec<Point> = floats.chain(one.histograms.iter().cloned().map(Point::Histogram)).collect();
        points.sort_by_key(Point::timestamp_ms);
        points
    };
    found.iter().map(|one| (one.labels.clone(), points(one))).collect()
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

/// What is expected at a time.
enum Wanted {
    Float(f64),
    Native(Native),
}

fn expected_series(expected: &Expected, start_ms: i64, step_ms: i64) -> BTreeMap<Labels, Vec<(i64, Wanted)>> {
    let mut series = BTreeMap::new();
    for (labels, notations) in &expected.series {
        let mut samples = Vec::new();
        let mut timestamp_ms = start_ms;
        for notation in notations {
            match notation {
                Notation::Value(value) => samples.push((timestamp_ms, Wanted::Float(*value))),
                Notation::Native(native) => samples.push((timestamp_ms, Wanted::Native(native.clone()))),
                Notation::Stale | Notation::Omitted => {}
            }
            timestamp_ms += step_ms;
        }
        if !samples.is_empty() {
            series.insert(labels.clone(), samples);
        }
    }
    series
}

fn check_series(
    expected: &BTreeMap<Labels, Vec<(i64, Wanted)>>,
    found: &BTreeMap<Labels, Vec<Point>>,
) -> Result<(), String> {
    for (labels, samples) in expected {
        let Some(got) = found.get(labels) else {
            let others: Vec<String> = found.keys().map(ToString::to_string).collect();
            return Err(format!("no series {labels}, but [{}]", others.join(", ")));
        };
        let wanted: Vec<i64> = samples.iter().map(|(timestamp_ms, _)| *timestamp_ms).collect();
        let times: Vec<i64> = got.iter().map(Point::timestamp_ms).collect();
        if wanted != times {
            return Err(format!("{labels}: expected samples at {wanted:?} ms, got {got:?}"));
        }
        for ((timestamp_ms, wanted), got) in samples.iter().zip(got) {
            check_point(wanted, got, &format!("{labels} at {timestamp_ms} ms"))?;
        }
    }
    match found.keys().find(|labels| !expected.contains_key(*labels)) {
        Some(labels) => Err(format!("unexpected series {labels}: {:?}", found[labels])),
        None => Ok(()),
    }
}

fn check_point(wanted: &Wanted, got: &Point, what: &str) -> Result<(), String> {
    match (wanted, got) {
        (Wanted::Float(expected), Point::Float(sample)) => check_value(*expected, sample.value, what),
        (Wanted::Native(expected), Point::Histogram(sample)) => {
            let (mut wanted, mut got) = (Histogram::clone(&expected.histogram), Histogram::clone(&sample.histogram));
            compact(&mut wanted);
            compact(&mut got);
            if !expected.says_reset {
                wanted.reset = got.reset;
            }
            if alike(&wanted, &got) { Ok(()) } else { Err(format!("{what}: expected {wanted:?}, got {got:?}")) }
        }
        (Wanted::Float(expected), Point::Histogram(_)) => Err(format!("{what}: expected {expected}, got {got:?}")),
        (Wanted::Native(expected), Point::Float(sample)) => {
            Err(format!("{what}: expected {:?}, got {}", expected.histogram, sample.value))
        }
    }
}

/// Whether two histograms have the same buckets, with counts that are equal up to the tolerance.
fn alike(a: &Histogram, b: &Histogram) -> bool {
    let near = |a: f64, b: f64| almost_equal(a, b, TOLERANCE);
    let all = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(*a, *b));
    (a.reset, a.schema, a.zero_threshold.to_bits()) == (b.reset, b.schema, b.zero_threshold.to_bits())
        && near(a.count, b.count)
        && near(a.sum, b.sum)
        && near(a.zero_count, b.zero_count)
        && a.custom_bounds[..] == b.custom_bounds[..]
        && (&a.positive_spans, &a.negative_spans) == (&b.positive_spans, &b.negative_spans)
        && all(&a.positive_buckets, &b.positive_buckets)
        && all(&a.negative_buckets, &b.negative_buckets)
}

fn check_value(expected: f64, found: f64, what: &str) -> Result<(), String> {
    if almost_equal(expected, found, TOLERANCE) {
        Ok(())
    } else {
        Err(format!("{what}: expected {expected}, got {found}"))
    }
}
