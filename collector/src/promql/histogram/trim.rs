//! Takes away the observations above or below a value: the operators `</` and `>/`. Of a bucket that the value lies in, the
//! share that is kept is estimated as for quantiles.

use super::buckets::{Bucket, zero};
use super::estimate::share_below;
use super::layout::{indexed, laid_out};
use super::{bounds, is_custom};
use crate::series::{Histogram, Span};

/// Which observations are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::promql) enum Kept {
    Below,
    Above,
}

/// How many observations of a bucket are kept, and where they are taken to be.
struct Share {
    count: f64,
    middle: f64,
}

/// The histogram without the observations on the other side of a value. If any go, count and sum are estimated anew.
pub(in crate::promql) fn trimmed(histogram: &Histogram, at: f64, kept: Kept) -> Histogram {
    let mut trim = Trim { at, kept, custom: is_custom(histogram), count: 0.0, sum: 0.0, changed: false };
    let bound = |index: i32| bounds::upper(index, histogram.schema, &histogram.custom_bounds);
    let mut side = |spans: &[Span], counts: &[f64], sign: f64| {
        let shares = indexed(spans, counts).map(|(index, count)| {
            let (inner, outer) = (bound(index.saturating_sub(1)), bound(index));
            let (lower, upper) = if sign < 0.0 { (-outer, -inner) } else { (inner, outer) };
            let bucket = Bucket { lower, upper, count, ..Bucket::default() };
            (index, if count == 0.0 { 0.0 } else { trim.keep(&bucket, sign) })
        });
        let shares: Vec<(i32, f64)> = shares.collect();
        laid_out(shares.into_iter().filter(|(_, count)| *count != 0.0))
    };
    let (positive_spans, positive_buckets) = side(&histogram.positive_spans, &histogram.positive_buckets, 1.0);
    let (negative_spans, negative_buckets) = side(&histogram.negative_spans, &histogram.negative_buckets, -1.0);
    let zero_count = zero(histogram).map_or(histogram.zero_count, |bucket| trim.keep_zero(bucket, histogram));
    if !trim.changed {
        return histogram.clone();
    }
    Histogram {
        count: trim.count,
        sum: trim.sum,
        zero_count,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        ..histogram.clone()
    }
}

struct Trim {
    at: f64,
    kept: Kept,
    custom: bool,
    count: f64,
    sum: f64,
    changed: bool,
}

impl Trim {
    /// How much of a bucket stays; `sign` tells negative buckets.
    fn keep(&mut self, bucket: &Bucket, sign: f64) -> f64 {
        let Bucket { lower, upper, count, .. } = *bucket;
        let whole = match self.kept {
            Kept::Below => upper <= self.at,
            Kept::Above => lower >= self.at,
        };
        let cut = match self.kept {
            Kept::Below => lower < self.at,
            Kept::Above => upper > self.at,
        };
        let share = if whole {
            Share { count, middle: self.middle(lower, upper, sign) }
        } else if cut {
            self.part(bucket, sign)
        } else {
            Share { count: 0.0, middle: 0.0 }
        };
        self.take(&share, count)
    }

    fn take(&mut self, share: &Share, count: f64) -> f64 {
        self.changed |= share.count.to_bits() != count.to_bits();
        self.count += share.count;
        self.sum += share.count * share.middle;
        share.count
    }

    /// The share of a bucket that the value lies in.
    fn part(&self, bucket: &Bucket, sign: f64) -> Share {
        let Bucket { lower, upper, count, .. } = *bucket;
        let at = self.at;
        match (self.kept, lower == f64::NEG_INFINITY, upper == f64::INFINITY) {
            // An endless bucket begins at zero if it ends above; but the value has to be there, too.
            (Kept::Below, true, false) if at > 0.0 => Share { count: count * at / upper, middle: at / 2.0 },
            (Kept::Below, true, _) if upper <= 0.0 => Share { count, middle: at },
            (Kept::Above, true, false) if at >= 0.0 => {
                Share { count: count * (1.0 - at / upper), middle: f64::midpoint(at, upper) }
            }
            (Kept::Above, false, true) => Share { count, middle: at },
            // Nothing is known of where inside of an endless bucket observations are.
            (_, true, _) | (_, _, true) => Share { count: 0.0, middle: 0.0 },
            (Kept::Below, ..) => {
                let below = count * share_below(bucket, at, self.custom);
                Share { count: below, middle: self.middle(lower, at, sign) }
            }
            (Kept::Above, ..) => {
                let below = count * share_below(bucket, at, self.custom);
                Share { count: count - below, middle: self.middle(at, upper, sign) }
            }
        }
    }

    /// Where observations between two bounds are taken to be.
    fn middle(&self, lower: f64, upper: f64, sign: f64) -> f64 {
        match (lower.is_infinite(), upper.is_infinite()) {
            (true, true) => 0.0,
            (true, false) if upper > 0.0 => upper / 2.0,
            (true, false) => upper,
            (false, true) => lower,
            (false, false) if self.custom => f64::midpoint(lower, upper),
            (false, false) => (lower * upper).abs().sqrt() * sign,
        }
    }

    /// How much of the zero bucket stays. With buckets on one side only, it has nothing on the other.
    fn keep_zero(&mut self, bucket: Bucket, histogram: &Histogram) -> f64 {
        let filled = |counts: &[f64]| counts.iter().any(|count| *count != 0.0);
        let (positive, negative) = (filled(&histogram.positive_buckets), filled(&histogram.negative_buckets));
        let lower = if positive && !negative { 0.0 } else { bucket.lower };
        let upper = if negative && !positive { 0.0 } else { bucket.upper };
        let (count, at) = (bucket.count, self.at);
        let whole = Share { count, middle: f64::midpoint(lower, upper) };
        let share = match self.kept {
            Kept::Below if at >= upper && at > lower => whole,
            Kept::Above if at <= lower => whole,
            Kept::Below if at > lower => {
                Share { count: count * (at - lower) / (upper - lower), middle: f64::midpoint(lower, at) }
            }
            Kept::Above if at < upper => {
                Share { count: count * (upper - at) / (upper - lower), middle: f64::midpoint(at, upper) }
            }
            _ => Share { count: 0.0, middle: 0.0 },
        };
        self.take(&share, count)
    }
}
