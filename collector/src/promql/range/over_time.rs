//! `*_over_time` and its kin: functions of a window's samples alone.

use super::histograms::Kind;
use crate::promql::numbers::{Mean, Sum, count, quantile};
use crate::promql::select::seconds;
use crate::series::Sample;

/// A function of a window's samples; a window has at least one.
pub(super) type OverTime = fn(&[Sample]) -> Option<f64>;

/// The function of that name, and what it makes of histograms.
pub(super) fn by_name(name: &str) -> Option<(OverTime, Kind)> {
    let kind = match name {
        "avg_over_time" => Kind::Average,
        "sum_over_time" => Kind::Sum,
        "count_over_time" => Kind::Count,
        "last_over_time" => Kind::Last,
        "first_over_time" => Kind::First,
        "present_over_time" => Kind::Present,
        "ts_of_last_over_time" => Kind::LastTime,
        "ts_of_first_over_time" => Kind::FirstTime,
        "irate" => Kind::Latest { as_rate: true },
        "idelta" => Kind::Latest { as_rate: false },
        _ => Kind::Ignores,
    };
    Some((of_floats(name)?, kind))
}

/// What the function of that name makes of numbers.
fn of_floats(name: &str) -> Option<OverTime> {
    Some(match name {
        "avg_over_time" => average,
        "sum_over_time" => sum,
        "min_over_time" => |samples| extreme(samples, |best, value| value < best).map(|sample| sample.value),
        "max_over_time" => |samples| extreme(samples, |best, value| value > best).map(|sample| sample.value),
        "count_over_time" => |samples| Some(count(samples.len())),
        "last_over_time" => |samples| samples.last().map(|sample| sample.value),
        "first_over_time" => |samples| samples.first().map(|sample| sample.value),
        "present_over_time" => |_| Some(1.0),
        "stddev_over_time" => |samples| Some(variance(samples).sqrt()),
        "stdvar_over_time" => |samples| Some(variance(samples)),
        "mad_over_time" => deviation,
        "ts_of_last_over_time" => |samples| samples.last().map(time),
        "ts_of_first_over_time" => |samples| samples.first().map(time),
        "ts_of_min_over_time" => |samples| extreme(samples, |best, value| value <= best).map(time),
        "ts_of_max_over_time" => |samples| extreme(samples, |best, value| value >= best).map(time),
        "irate" => |samples| latest(samples, true),
        "idelta" => |samples| latest(samples, false),
        "deriv" => super::trend::slope,
        _ => return None,
    })
}

/// The φ-quantile of the samples' values.
#[expect(clippy::unnecessary_wraps, reason = "the shape of every range function")]
pub(super) fn quantile_of(samples: &[Sample], phi: f64) -> Option<f64> {
    Some(quantile(phi, &mut values(samples)))
}

fn values(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.value).collect()
}

fn time(sample: &Sample) -> f64 {
    seconds(sample.timestamp_ms)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of every range function")]
fn sum(samples: &[Sample]) -> Option<f64> {
    let mut sum = Sum::default();
    samples.iter().for_each(|sample| sum.add(sample.value));
    Some(sum.total())
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of every range function")]
fn average(samples: &[Sample]) -> Option<f64> {
    let mut mean = Mean::default();
    samples.iter().for_each(|sample| mean.add(sample.value));
    Some(mean.mean())
}

/// The best sample; anything is better than NaN.
fn extreme(samples: &[Sample], better: impl Fn(f64, f64) -> bool) -> Option<&Sample> {
    samples.iter().reduce(
        |best, sample| {
            if better(best.value, sample.value) || best.value.is_nan() { sample } else { best }
        },
    )
}

fn variance(samples: &[Sample]) -> f64 {
    let (mut seen, mut mean, mut squares) = (0.0, Sum::default(), Sum::default());
    for sample in samples {
        seen += 1.0;
        let delta = sample.value - mean.total();
        mean.add(delta / seen);
        squares.add(delta * (sample.value - mean.total()));
    }
    squares.total() / seen
}

/// The median of the distances to the median.
#[expect(clippy::unnecessary_wraps, reason = "the shape of every range function")]
fn deviation(samples: &[Sample]) -> Option<f64> {
    let mut values = values(samples);
    // Prometheus up to 3.5 dropped them silently; later versions say that the answer is not known.
    if values.iter().any(|value| value.is_nan()) {
        return Some(f64::NAN);
    }
    let median = quantile(0.5, &mut values);
    values.iter_mut().for_each(|value| *value = (*value - median).abs());
    Some(quantile(0.5, &mut values))
}

/// From the last two samples; as a rate, a counter that fell began again at zero.
fn latest(samples: &[Sample], as_rate: bool) -> Option<f64> {
    let [.., before, last] = samples else { return None };
    let elapsed = last.timestamp_ms - before.timestamp_ms;
    if elapsed == 0 {
        return None;
    }
    let began_again = as_rate && last.value < before.value;
    let difference = if began_again { last.value } else { last.value - before.value };
    Some(if as_rate { difference / seconds(elapsed) } else { difference })
}
