//! How buckets lie in spans: reading them with their indexes, laying them out again, and joining them to fewer.

use super::{Histogram, SCHEMA_CUSTOM, Span};

/// Buckets with their indexes, ascending, from either end. Counts without a span, and spans without counts, are passed over.
pub(crate) fn indexed<'h>(spans: &[Span], counts: &'h [f64]) -> impl DoubleEndedIterator<Item = (i32, f64)> + 'h {
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
pub(crate) fn laid_out(buckets: impl Iterator<Item = (i32, f64)>) -> (Vec<Span>, Vec<f64>) {
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
pub(crate) fn compact(histogram: &mut Histogram) {
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

/// Joins buckets until the schema is another: each step down makes one of two. Schemas that are not coarser, and custom buckets,
/// change nothing. Empty buckets go.
pub(crate) fn coarsen(histogram: &mut Histogram, schema: i32) {
    let steps = histogram.schema.saturating_sub(schema);
    if histogram.schema == SCHEMA_CUSTOM || steps <= 0 {
        return;
    }
    let sides = [
        (&mut histogram.positive_spans, &mut histogram.positive_buckets),
        (&mut histogram.negative_spans, &mut histogram.negative_buckets),
    ];
    for (spans, counts) in sides {
        let mut joined: Vec<(i32, f64)> = Vec::with_capacity(counts.len());
        for (index, count) in indexed(spans, counts).filter(|(_, count)| *count != 0.0) {
            let index = (index.saturating_sub(1) >> steps.min(31)) + 1;
            match joined.last_mut() {
                Some((last, sum)) if *last == index => *sum += count,
                _ => joined.push((index, count)),
            }
        }
        (*spans, *counts) = laid_out(joined.into_iter());
    }
    histogram.schema = schema;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coarser_histogram_has_one_bucket_for_two() {
        // In schema 1 the buckets -1, 0 | 1, 2 | 3, 4 | 9, 10 are the buckets 0, 1, 2, 5 of schema 0.
        let spans = vec![Span { offset: -1, length: 4 }, Span { offset: 0, length: 2 }, Span { offset: 4, length: 2 }];
        let mut histogram = Histogram {
            schema: 1,
            positive_spans: spans.clone(),
            positive_buckets: vec![1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 0.0, 8.0],
            negative_spans: spans,
            negative_buckets: vec![0.0; 8],
            ..Histogram::default()
        };
        coarsen(&mut histogram, 1);
        assert_eq!(histogram.positive_buckets.len(), 8);
        coarsen(&mut histogram, 0);
        assert_eq!((histogram.schema, &histogram.positive_buckets[..]), (0, &[3.0, 7.0, 5.0, 8.0][..]));
        assert_eq!(histogram.positive_spans, [Span { offset: 0, length: 3 }, Span { offset: 2, length: 1 }]);
        assert!(histogram.negative_spans.is_empty() && histogram.negative_buckets.is_empty());
        let mut custom = Histogram { schema: SCHEMA_CUSTOM, ..histogram };
        coarsen(&mut custom, -60);
        assert_eq!(custom.schema, SCHEMA_CUSTOM);
    }
}
