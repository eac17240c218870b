//! Whether a counter was reset between two histograms.

use super::is_custom;
use super::parts::{Parts, on_bounds, shared_bounds};
use crate::series::{CounterReset, Histogram};

/// Whether the counter was reset between `before` and `after`: a count fell, a bucket that held something is gone, the
/// resolution became finer or the zero bucket narrower. What `after` itself says of it comes first.
pub(in crate::promql) fn was_reset(before: &Histogram, after: &Histogram) -> bool {
    match after.reset {
        CounterReset::Reset => return true,
        CounterReset::NotReset => return false,
        CounterReset::Unknown | CounterReset::Gauge => {}
    }
    if after.count < before.count {
        return true;
    }
    if is_custom(after) {
        if !is_custom(before) {
            return true;
        }
        let shared = shared_bounds(&after.custom_bounds, &before.custom_bounds);
        return fell(&on_bounds(before, &shared), &on_bounds(after, &shared));
    }
    if after.schema > before.schema || after.zero_threshold < before.zero_threshold {
        return true;
    }
    let mut coarse = Parts::<f64>::of(before);
    if coarse.zero().0 < after.zero_threshold {
        coarse.widen_zero(after.zero_threshold);
    }
    let (threshold, zero_count) = coarse.zero();
    if threshold > after.zero_threshold || after.zero_count < zero_count {
        return true;
    }
    coarse.reduce(after.schema);
    let after = Parts::<f64>::of(after);
    coarse.sides().into_iter().zip(after.sides()).any(|(before, after)| fell(before, after))
}

/// Whether a bucket holds less than before; a missing one holds nothing.
fn fell(before: &[(i32, f64)], after: &[(i32, f64)]) -> bool {
    let mut rest = after;
    before.iter().any(|(index, count)| {
        let behind = rest.partition_point(|(other, _)| other < index);
        rest = &rest[behind..];
        match rest.first() {
            Some((other, now)) if other == index => now < count,
            _ => *count != 0.0,
        }
    })
}

/// Whether `after` is of the same counter as `before`, in the same layout and without a reset between: Prometheus would keep
/// both in one chunk, and know of the second that it was not reset.
pub(in crate::promql) fn continues(before: &Histogram, after: &Histogram) -> bool {
    let gauge = |histogram: &Histogram| histogram.reset == CounterReset::Gauge;
    let same_layout = before.schema == after.schema
        && before.zero_threshold.to_bits() == after.zero_threshold.to_bits()
        && before.custom_bounds[..] == after.custom_bounds[..];
    if gauge(before) || gauge(after) || before.is_stale() || !same_layout || after.reset == CounterReset::Reset {
        return false;
    }
    let unsure = Histogram { reset: CounterReset::Unknown, ..after.clone() };
    !was_reset(before, &unsure)
}
