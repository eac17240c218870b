//! Lines through samples: `deriv`, `predict_linear`, and double exponential smoothing.

use crate::promql::numbers::{Sum, count};
use crate::promql::select::seconds;
use crate::series::Sample;

/// The slope per second of the line through the samples.
pub(super) fn slope(samples: &[Sample]) -> Option<f64> {
    // Times are taken from the first sample on, since seconds since the epoch squared lose digits.
    let origin = samples.first()?.timestamp_ms;
    line(samples, origin).map(|(slope, _)| slope)
}

/// Where the line through the samples is, `ahead` seconds after `at_ms`.
pub(super) fn predict(samples: &[Sample], at_ms: i64, ahead: f64) -> Option<f64> {
    line(samples, at_ms).map(|(slope, intercept)| slope * ahead + intercept)
}

/// Slope per second and value at `origin_ms` of the least-squares line.
fn line(samples: &[Sample], origin_ms: i64) -> Option<(f64, f64)> {
    let [first, _, ..] = samples else { return None };
    if samples.iter().all(|sample| sample.value == first.value) {
        return Some(if first.value.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first.value) });
    }
    let (mut xs, mut ys, mut xys, mut xxs) = (Sum::default(), Sum::default(), Sum::default(), Sum::default());
    for sample in samples {
        let x = seconds(sample.timestamp_ms - origin_ms);
        xs.add(x);
        ys.add(sample.value);
        xys.add(x * sample.value);
        xxs.add(x * x);
    }
    let n = count(samples.len());
    let (x, y) = (xs.total(), ys.total());
    let slope = (xys.total() - x * y / n) / (xxs.total() - x * x / n);
    Some((slope, y / n - slope * x / n))
}

/// Holt's linear smoothing: a level and a trend, each a mix of the new and the old.
pub(super) fn smoothed(samples: &[Sample], level_factor: f64, trend_factor: f64) -> Option<f64> {
    let [first, second, ..] = samples else { return None };
    let (mut level_before, mut level) = (0.0, first.value);
    let mut trend = second.value - first.value;
    for (index, sample) in samples.iter().enumerate().skip(1) {
        if index > 1 {
            trend = trend_factor * (level - level_before) + (1.0 - trend_factor) * trend;
        }
        let next = level_factor * sample.value + (1.0 - level_factor) * (level + trend);
        (level_before, level) = (level, next);
    }
    Some(level)
}
