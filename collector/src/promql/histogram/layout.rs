//! How buckets lie in spans: reading them with their indexes, and laying them out again.

use crate::series::{Histogram, Span};

/// Buckets with their indexes, ascending, from either end. Counts without a span, and spans without counts, are passed over.
pub(super) fn indexed<'h>(spans: &[Span], counts: &'h [f64]) -> impl DoubleEndedIterator<Item = (i32, f64)> + 'h {
    let mut runs: Vec<(i32, &'h [f64])> = Vec::with_capacity(spans.len());
    let (mut index, mut rest) = (0i32, counts);
    for span in spans {
        index = index.saturating_add(span.offset);
        let length = usize::try_from(span.length).unwrap_or(usize::MAX).min(rest.len());
        let (run, after) = rest.split_at(length);
        runs.push((index, run));
        rest = after;
        index = index.saturating_add(i32::try_from(span.length).unwrap_or(i32::MAX));
    }
    runs.into_iter().flat_map(|(start, run)| {
        let place = move |at: usize| start.saturating_add(i32::try_from(at).unwrap_or(i32::MAX));
        run.iter().enumerate().map(move |(at, count)| (place(at), *count))
    })
}

/// Spans and counts of buckets in order of their indexes.
pub(super) fn laid_out(buckets: impl Iterator<Item = (i32, f64)>) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut counts = Vec::with_capacity(buckets.size_hint().0);
    // The index after the last bucket.
    let mut next = 0i32;
    for (index, count) in buckets {
        match spans.last_mut() {
            Some(last) if index == next => last.length += 1,
            _ => spans.push(Span { offset: index.saturating_sub(next), length: 1 }),
        }
        next = index.saturating_add(1);
        counts.push(count);
    }
    (spans, counts)
}

/// Takes empty buckets out, and joins spans that follow each other.
pub(in crate::promql) fn compact(histogram: &mut Histogram) {
    let sides = [
        (&mut histogram.positive_spans, &mut histogram.positive_buckets),
        (&mut histogram.negative_spans, &mut histogram.negative_buckets),
    ];
    for (spans, counts) in sides {
        let gaps = spans.iter().skip(1).all(|span| span.offset > 0) && spans.iter().all(|span| span.length > 0);
        if gaps && counts.iter().all(|count| *count != 0.0) {
            continue;
        }
        (*spans, *counts) = laid_out(indexed(spans, counts).filter(|(_, count)| *count != 0.0));
    }
}
