//! What can be read out of a histogram: quantiles, fractions, variance. Inside of a bucket, observations are taken to lie
//! evenly on a logarithmic scale if buckets are exponential, evenly otherwise.

use super::buckets::{Bucket, ascending};
use super::is_custom;
use crate::promql::numbers::Sum;
use crate::series::Histogram;

/// What observations that are NaN, and so in no bucket, did to a quantile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::promql) enum QuantileRemark {
    /// The quantile is among them.
    IsNan,
    /// They count as the largest, so that the quantile is higher than of the others.
    Skewed,
}

/// The mean of the observations.
pub(in crate::promql) fn mean(histogram: &Histogram) -> f64 {
    histogram.sum / histogram.count
}

/// The φ-quantile of the observations.
pub(in crate::promql) fn quantile(phi: f64, histogram: &Histogram) -> (f64, Option<QuantileRemark>) {
    if phi < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if phi > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || phi.is_nan() {
        return (f64::NAN, None);
    }
    // From the nearer end, to lose fewer digits; but NaN observations are beyond the upper end.
    let from_below = histogram.sum.is_nan() || phi < 0.5;
    let (found, rank) = if from_below {
        let rank = phi * histogram.count;
        (reach(ascending(histogram), rank), rank)
    } else {
        let rank = (1.0 - phi) * histogram.count;
        (reach(ascending(histogram).rev(), rank), rank)
    };
    let Reached { bucket, counted } = found;
    let bucket = match one_sided(bucket, histogram) {
        Place::Interpolate(bucket) => bucket,
        Place::At(bound) => return (bound, None),
    };
    // Sums of counts may come out larger than the count.
    let counted = counted.min(histogram.count);
    if counted < rank {
        return if histogram.sum.is_nan() { (f64::NAN, Some(QuantileRemark::IsNan)) } else { (bucket.upper, None) };
    }
    let rank = if from_below { rank - (counted - bucket.count) } else { counted - rank };
    let skewed = histogram.sum.is_nan() && total(histogram) < histogram.count;
    (inside(&bucket, rank / bucket.count, is_custom(histogram)), skewed.then_some(QuantileRemark::Skewed))
}

/// Where a rank is reached, and how many observations there are up to there, that bucket's included.
struct Reached {
    bucket: Bucket,
    counted: f64,
}

/// The first bucket that holds something and reaches the rank; the last one if none does.
fn reach(buckets: impl Iterator<Item = Bucket>, rank: f64) -> Reached {
    let mut reached = Reached { bucket: Bucket::default(), counted: 0.0 };
    for bucket in buckets {
        reached.bucket = bucket;
        if bucket.count == 0.0 {
            continue;
        }
        reached.counted += bucket.count;
        if reached.counted >= rank {
            break;
        }
    }
    reached
}

/// Where in a bucket a quantile is.
enum Place {
    Interpolate(Bucket),
    /// Nothing is known of where inside: the bound that is known.
    At(f64),
}

/// The zero bucket of a histogram with positive buckets only begins at zero, and the other way around. An endless custom
/// bucket begins at zero if it ends above it.
fn one_sided(bucket: Bucket, histogram: &Histogram) -> Place {
    if is_custom(histogram) {
        return match (bucket.lower, bucket.upper) {
            (f64::NEG_INFINITY, upper) if upper <= 0.0 => Place::At(upper),
            (f64::NEG_INFINITY, _) => Place::Interpolate(Bucket { lower: 0.0, ..bucket }),
            (lower, f64::INFINITY) => Place::At(lower),
            _ => Place::Interpolate(bucket),
        };
    }
    let straddles = bucket.lower < 0.0 && bucket.upper > 0.0;
    Place::Interpolate(if straddles { narrowed(bucket, histogram) } else { bucket })
}

/// The zero bucket without the half in which nothing can be.
fn narrowed(zero: Bucket, histogram: &Histogram) -> Bucket {
    match (histogram.negative_buckets.is_empty(), histogram.positive_buckets.is_empty()) {
        (true, false) => Bucket { lower: 0.0, ..zero },
        (false, true) => Bucket { upper: 0.0, ..zero },
        _ => zero,
    }
}

/// The value below which that fraction of a bucket's observations is.
fn inside(bucket: &Bucket, fraction: f64, custom: bool) -> f64 {
    let (lower, upper) = (bucket.lower, bucket.upper);
    if custom || (lower <= 0.0 && upper >= 0.0) {
        return lower + (upper - lower) * fraction;
    }
    let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
    if lower > 0.0 {
        (log_lower + (log_upper - log_lower) * fraction).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - fraction)).exp2()
    }
}

/// Observations in buckets: all that are not NaN.
fn total(histogram: &Histogram) -> f64 {
    ascending(histogram).map(|bucket| bucket.count).sum()
}

/// The share of observations between two values, and whether there are NaN observations, which are between none.
pub(in crate::promql) fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> (f64, bool) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if lower >= upper {
        return (0.0, false);
    }
    let (counted, some_nan) = if histogram.sum.is_nan() {
        let total = total(histogram);
        (total, total < histogram.count)
    } else {
        (histogram.count, false)
    };
    let rank = |value: f64| rank_of(value, histogram).filter(|rank| *rank <= counted).unwrap_or(counted);
    ((rank(upper) - rank(lower)) / histogram.count, some_nan)
}

/// How many observations are below a value; none if it is beyond all buckets.
fn rank_of(value: f64, histogram: &Histogram) -> Option<f64> {
    let custom = is_custom(histogram);
    let mut below = 0.0;
    for bucket in ascending(histogram) {
        let zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        let bucket = if zero { narrowed(bucket, histogram) } else { bucket };
        if bucket.lower >= value {
            return Some(below);
        }
        if bucket.upper > value {
            // Nothing is known of where inside of an endless bucket observations are.
            let endless = (custom || zero) && bucket.lower == f64::NEG_INFINITY;
            let share = || bucket.count * share_below(&bucket, value, custom || zero);
            return Some(if endless { bucket.count } else { below + share() });
        }
        below += bucket.count;
    }
    None
}

/// The share of a bucket's observations below a value inside of it.
pub(super) fn share_below(bucket: &Bucket, value: f64, evenly: bool) -> f64 {
    if evenly {
        return (value - bucket.lower) / (bucket.upper - bucket.lower);
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let place = value.abs().log2();
    if value > 0.0 { (place - lower) / (upper - lower) } else { 1.0 - (place - upper) / (lower - upper) }
}

/// The variance of the observations, each taken to be in the middle of its bucket.
pub(in crate::promql) fn variance(histogram: &Histogram) -> f64 {
    let mean = mean(histogram);
    let mut squares = Sum::default();
    for bucket in ascending(histogram).filter(|bucket| bucket.count != 0.0) {
        let middle = if is_custom(histogram) {
            f64::midpoint(bucket.upper, bucket.lower)
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let distance = middle - mean;
        squares.add(bucket.count * distance * distance);
    }
    squares.total() / histogram.count
}
