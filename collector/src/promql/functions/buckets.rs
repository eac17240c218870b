//! Classic histograms at one step: buckets with upper bounds and cumulative counts. Quantiles and fractions by linear
//! interpolation inside of buckets, as Prometheus does it. Pure; `estimate` gathers the buckets.

use std::cmp::Ordering;

use crate::promql::numbers::almost_equal;
use crate::promql::range::shown;

/// Counts that differ by less than this share are taken as equal: sums of rates lose digits.
const SMALL_DELTA: f64 = 1e-12;

/// A bucket of a classic histogram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    pub upper: f64,
    /// Observations that are not above the bound.
    pub count: f64,
}

/// How counts that fell from one bucket to the next were mended.
pub(super) struct Repair {
    lowest: f64,
    highest: f64,
    largest: f64,
}

impl Repair {
    pub fn text(&self, name: &str, at_ms: i64) -> String {
        let named = if name.is_empty() { String::new() } else { format!(", for metric name {name:?}") };
        format!(
            "input to histogram_quantile needed to be fixed for monotonicity (see \
             https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){named} at timestamp {at_ms} ms, \
             from buckets {} to {}, with a max diff of {}",
            shown(self.lowest),
            shown(self.highest),
            shown(self.largest),
        )
    }
}

/// Makes counts rise from bucket to bucket.
fn mend(buckets: &mut [Bucket]) -> Option<Repair> {
    let mut repair: Option<Repair> = None;
    let mut before = buckets.first()?.count;
    for bucket in &mut buckets[1..] {
        if almost_equal(before, bucket.count, SMALL_DELTA) {
            bucket.count = before;
        } else if bucket.count < before {
            let fall = before - bucket.count;
            let so_far = repair.take().unwrap_or(Repair { lowest: bucket.upper, highest: bucket.upper, largest: fall });
            repair = Some(Repair { highest: bucket.upper, largest: so_far.largest.max(fall), ..so_far });
            bucket.count = before;
        } else {
            before = bucket.count;
        }
    }
    repair
}

/// The φ-quantile; counts that fall are mended first.
pub(super) fn quantile(phi: f64, buckets: &mut [Bucket]) -> (f64, Option<Repair>) {
    if !(0.0..=1.0).contains(&phi) {
        let value = if phi.is_nan() { phi } else { f64::INFINITY.copysign(phi) };
        return (value, None);
    }
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return (f64::NAN, None);
    }
    let repair = mend(buckets);
    let [lower @ .., last] = &*buckets else { return (f64::NAN, repair) };
    let Some(highest_finite) = lower.last() else { return (f64::NAN, repair) };
    if last.count == 0.0 {
        return (f64::NAN, repair);
    }
    let rank = phi * last.count;
    // A count that is NaN reaches no rank.
    let reaches =
        |bucket: &Bucket| matches!(bucket.count.partial_cmp(&rank), Some(Ordering::Equal | Ordering::Greater));
    let place = lower.partition_point(|bucket| !reaches(bucket));
    let value = match lower.get(place) {
        None => highest_finite.upper,
        Some(bucket) if place == 0 && bucket.upper <= 0.0 => bucket.upper,
        Some(bucket) => {
            let (start, below) = match place.checked_sub(1).map(|before| lower[before]) {
                Some(before) => (before.upper, before.count),
                None => (0.0, 0.0),
            };
            start + (bucket.upper - start) * ((rank - below) / (bucket.count - below))
        }
    };
    (value, repair)
}

/// The share of observations between two values.
pub(super) fn fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    let Some(last) = buckets.last().filter(|last| last.upper == f64::INFINITY) else { return f64::NAN };
    if last.count == 0.0 || last.count.is_nan() || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets, last.count) - rank_of(lower, buckets, last.count)) / last.count
}

/// How many observations are at most `value`.
fn rank_of(value: f64, buckets: &[Bucket], observations: f64) -> f64 {
    // The first bucket begins at zero if it ends above zero.
    let mut start = if buckets.first().is_some_and(|first| first.upper > 0.0) { 0.0 } else { f64::NEG_INFINITY };
    let mut below = 0.0f64;
    for bucket in buckets {
        if start >= value {
            return below.min(observations);
        }
        if bucket.upper > value {
            // Nothing is known of where inside of an endless bucket observations are.
            let inside = if start == f64::NEG_INFINITY {
                bucket.count
            } else {
                below + (bucket.count - below) * (value - start) / (bucket.upper - start)
            };
            return inside.min(observations);
        }
        (start, below) = (bucket.upper, bucket.count);
    }
    observations
}

/// Numbers as Go's `ParseFloat` reads them; NaN is no bound.
pub(super) fn parse_bound(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    (!value.is_nan()).then_some(value)
}
