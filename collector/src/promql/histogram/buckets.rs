//! A histogram's buckets with their bounds, from the lowest to the highest or back.

use super::layout::indexed;
use super::{bounds, is_custom};
use crate::series::Histogram;

/// A bucket with its bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Bucket {
    pub lower: f64,
    pub upper: f64,
    /// Whether observations that equal the lower bound are in it.
    pub lower_inclusive: bool,
    pub upper_inclusive: bool,
    pub count: f64,
}

/// All buckets from the lowest to the highest: negative ones, the zero bucket if anything is in it, positive ones. Where the
/// zero bucket reaches into another, the other begins where it ends.
pub(crate) fn ascending(histogram: &Histogram) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
    let threshold = histogram.zero_threshold;
    let negative = indexed(&histogram.negative_spans, &histogram.negative_buckets).rev();
    let negative = negative.map(move |(index, count)| mirrored(bucket(histogram, index, count)));
    let negative = negative.map(move |bucket| {
        let overlaps = bucket.upper < 0.0 && bucket.upper > -threshold;
        Bucket { upper: if overlaps { -threshold } else { bucket.upper }, ..bucket }
    });
    let positive = indexed(&histogram.positive_spans, &histogram.positive_buckets);
    let positive = positive.map(move |(index, count)| bucket(histogram, index, count));
    let positive = positive.map(move |bucket| {
        let overlaps = bucket.lower > 0.0 && bucket.lower < threshold;
        Bucket { lower: if overlaps { threshold } else { bucket.lower }, ..bucket }
    });
    negative.chain(zero(histogram)).chain(positive)
}

/// The zero bucket, if anything is in it.
pub(super) fn zero(histogram: &Histogram) -> Option<Bucket> {
    let (threshold, count) = (histogram.zero_threshold, histogram.zero_count);
    let bucket = Bucket { lower: -threshold, upper: threshold, lower_inclusive: true, upper_inclusive: true, count };
    (count > 0.0).then_some(bucket)
}

fn bucket(histogram: &Histogram, index: i32, count: f64) -> Bucket {
    let bound = |index: i32| bounds::upper(index, histogram.schema, &histogram.custom_bounds);
    let (lower, upper) = (bound(index.saturating_sub(1)), bound(index));
    if is_custom(histogram) {
        Bucket { lower, upper, lower_inclusive: index == 0, upper_inclusive: true, count }
    } else {
        Bucket { lower, upper, lower_inclusive: false, upper_inclusive: true, count }
    }
}

/// The bucket on the other side of zero.
fn mirrored(bucket: Bucket) -> Bucket {
    Bucket {
        lower: -bucket.upper,
        upper: -bucket.lower,
        lower_inclusive: bucket.upper_inclusive,
        upper_inclusive: bucket.lower_inclusive,
        count: bucket.count,
    }
}
