//! Arithmetic of native histograms, as Prometheus does it: pure functions from histograms to histograms and numbers. Knows
//! nothing of series, steps and queries. Start at `Parts`, which adds and subtracts; `estimate` reads quantiles out.

mod bounds;
mod buckets;
mod equality;
mod estimate;
mod mean;
mod parts;
mod reset;
mod text;
mod trim;

pub(super) use crate::series::layout::compact;
pub(crate) use buckets::{Bucket, ascending};
pub(super) use equality::same;
pub(super) use estimate::{QuantileRemark, fraction, mean as mean_of, quantile, variance};
pub(super) use mean::Mean;
pub(super) use parts::{Combined, Incompatible, Parts};
pub(super) use reset::{continues, was_reset};
pub(crate) use text::shown;
pub(super) use trim::{Kept, trimmed};

use super::numbers::Sum;
use crate::series::{CounterReset, Histogram, SCHEMA_CUSTOM, layout};

/// A sum of histograms that keeps the error of its additions.
pub(super) type Total = Parts<Sum>;

/// Whether a histogram carries its buckets' bounds itself.
pub(super) fn is_custom(histogram: &Histogram) -> bool {
    histogram.schema == SCHEMA_CUSTOM
}

/// All counts and the sum times a number; times a negative one is a gauge.
pub(super) fn scaled(histogram: &Histogram, factor: f64) -> Histogram {
    let mut scaled = each(histogram, |count| count * factor);
    if factor < 0.0 {
        scaled.reset = CounterReset::Gauge;
    }
    scaled
}

/// All counts and the sum divided by a number; by zero, the buckets go.
pub(super) fn divided(histogram: &Histogram, divisor: f64) -> Histogram {
    let mut divided = each(histogram, |count| count / divisor);
    if divisor == 0.0 {
        divided.positive_spans.clear();
        divided.positive_buckets.clear();
        divided.negative_spans.clear();
        divided.negative_buckets.clear();
    } else if divisor < 0.0 {
        divided.reset = CounterReset::Gauge;
    }
    divided
}

fn each(histogram: &Histogram, apply: impl Fn(f64) -> f64) -> Histogram {
    let mut changed = histogram.clone();
    for count in [&mut changed.zero_count, &mut changed.count, &mut changed.sum]
        .into_iter()
        .chain(&mut changed.positive_buckets)
        .chain(&mut changed.negative_buckets)
    {
        *count = apply(*count);
    }
    changed
}

/// One histogram minus or plus another.
pub(super) fn combined(left: &Histogram, right: &Histogram, sign: Sign) -> Result<(Histogram, Combined), Incompatible> {
    let mut parts = Parts::<f64>::of(left);
    let how = parts.add(right, sign)?;
    Ok((parts.finish(), how))
}

/// Whether what is combined is added or subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

#[cfg(test)]
mod tests;
