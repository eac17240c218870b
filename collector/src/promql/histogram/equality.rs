//! When two histograms are the same: `==` and `changes`.

use super::is_custom;
use crate::series::{Histogram, Span};

/// Whether all that was observed is the same, in the same buckets, empty ones included. What is known of resets does not
/// matter. Numbers are compared by their bits, as what counts is whether data changed.
pub(in crate::promql) fn same(a: &Histogram, b: &Histogram) -> bool {
    let bits = |a: f64, b: f64| a.to_bits() == b.to_bits();
    let all = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| bits(*a, *b));
    a.schema == b.schema
        && bits(a.count, b.count)
        && bits(a.sum, b.sum)
        && (!is_custom(a) || a.custom_bounds[..] == b.custom_bounds[..])
        && bits(a.zero_threshold, b.zero_threshold)
        && bits(a.zero_count, b.zero_count)
        && all(&a.positive_buckets, &b.positive_buckets)
        && all(&a.negative_buckets, &b.negative_buckets)
        && same_spans(&a.positive_spans, &b.positive_spans)
        && same_spans(&a.negative_spans, &b.negative_spans)
}

/// Whether spans lay buckets out alike; a span without buckets only moves the next one.
fn same_spans(a: &[Span], b: &[Span]) -> bool {
    a == b || runs(a).eq(runs(b))
}

/// Where the runs of buckets begin and end.
fn runs(spans: &[Span]) -> impl Iterator<Item = (i64, i64)> {
    let mut at = 0i64;
    let all: Vec<(i64, i64)> = spans
        .iter()
        .map(|span| {
            let start = at + i64::from(span.offset);
            at = start + i64::from(span.length);
            (start, at)
        })
        .filter(|(start, end)| start < end)
        .collect();
    let mut joined: Vec<(i64, i64)> = Vec::with_capacity(all.len());
    for (start, end) in all {
        match joined.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => joined.push((start, end)),
        }
    }
    joined.into_iter()
}
