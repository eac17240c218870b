//! A native histogram with custom buckets made of a classic one: series `_bucket`, `_count` and `_sum` of one time.

use std::sync::Arc;

use super::layout::compact;
use crate::series::{Histogram, SCHEMA_CUSTOM, Span};

/// What is known of a classic histogram at one time.
#[derive(Debug, Clone, Default)]
pub(in crate::promql) struct Classic {
    /// Upper bounds with how many observations are not above them.
    pub buckets: Vec<(f64, f64)>,
    pub count: Option<f64>,
    pub sum: f64,
}

/// The native histogram; none if counts fall from bucket to bucket or contradict the count.
pub(in crate::promql) fn converted(classic: &Classic) -> Option<Histogram> {
    let mut buckets = classic.buckets.clone();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets.dedup_by(|after, before| after.0.total_cmp(&before.0).is_eq());
    let count = classic.count.or_else(|| buckets.last().map(|(_, count)| *count)).unwrap_or(0.0);
    if buckets.last().is_none_or(|(bound, _)| *bound < f64::INFINITY) {
        buckets.push((f64::INFINITY, count));
    }
    let last = buckets.last().map(|(_, count)| *count)?;
    let falls = buckets.windows(2).any(|pair| pair[1].1 < pair[0].1);
    if falls || buckets[0].1 < 0.0 || last.to_bits() != count.to_bits() {
        return None;
    }
    let below = std::iter::once(0.0).chain(buckets.iter().map(|(_, count)| *count));
    let counts: Vec<f64> = buckets.iter().zip(below).map(|((_, count), below)| count - below).collect();
    let bounds: Vec<f64> = buckets.iter().map(|(bound, _)| *bound).filter(|bound| *bound < f64::INFINITY).collect();
    let mut histogram = Histogram {
        schema: SCHEMA_CUSTOM,
        count,
        sum: classic.sum,
        positive_spans: vec![Span { offset: 0, length: u32::try_from(counts.len()).ok()? }],
        positive_buckets: counts,
        custom_bounds: Arc::from(bounds),
        ..Histogram::default()
    };
    compact(&mut histogram);
    Some(histogram)
}
