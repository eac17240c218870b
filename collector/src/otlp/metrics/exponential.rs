//! OpenTelemetry's exponential histograms as native ones: the same buckets, counted from one more, and sparse. Pure.

use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, HistogramDataPoint};

use crate::series::{Histogram, SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MIN, Span};

/// The width of a zero bucket whose width is not said: as Prometheus assumes it.
const ZERO_THRESHOLD_DEFAULT: f64 = 1e-128;

/// Empty buckets between two that are not, up to which they are written out: as Prometheus' clients do.
const GAP_MAX: i64 = 2;

/// A data point as a histogram.
pub fn native(point: &ExponentialHistogramDataPoint) -> Result<Histogram, &'static str> {
    if point.scale < SCHEMA_MIN {
        return Err("its scale is below -4, which no native histogram has");
    }
    let schema = point.scale.min(SCHEMA_MAX);
    // Every step down merges pairs of buckets.
    let steps = u32::try_from(point.scale - schema).unwrap_or(0);
    let side = |buckets: &Option<Buckets>| match buckets {
        Some(buckets) => sparse(&buckets.bucket_counts, buckets.offset.into(), steps.min(62), 1),
        None => Ok((Vec::new(), Vec::new())),
    };
    let (positive_spans, positive_buckets) = side(&point.positive)?;
    let (negative_spans, negative_buckets) = side(&point.negative)?;
    let in_buckets: u128 = [&point.positive, &point.negative].into_iter().flatten().map(total).sum();
    check_count(in_buckets + u128::from(point.zero_count), point.count, point.sum)?;
    Ok(Histogram {
        schema,
        zero_threshold: if point.zero_threshold > 0.0 { point.zero_threshold } else { ZERO_THRESHOLD_DEFAULT },
        zero_count: point.zero_count as f64,
        count: point.count as f64,
        sum: point.sum.unwrap_or(0.0),
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        ..Histogram::default()
    })
}

/// A data point with bounds of its own as a histogram of custom buckets.
pub fn custom(point: &HistogramDataPoint) -> Result<Histogram, &'static str> {
    let bounds = &point.explicit_bounds;
    if !bounds.is_sorted_by(|a, b| a < b) || bounds.iter().any(|bound| !bound.is_finite()) {
        return Err("its bounds do not ascend");
    }
    if point.bucket_counts.len() > bounds.len() + 1 {
        return Err("it has more buckets than its bounds make");
    }
    let from = point.bucket_counts.iter().take_while(|count| **count == 0).count();
    let (positive_spans, positive_buckets) = sparse(&point.bucket_counts[from..], from as i64, 0, 0)?;
    let in_buckets = point.bucket_counts.iter().map(|count| u128::from(*count)).sum();
    check_count(in_buckets, point.count, point.sum)?;
    Ok(Histogram {
        schema: SCHEMA_CUSTOM,
        count: point.count as f64,
        sum: point.sum.unwrap_or(0.0),
        positive_spans,
        positive_buckets,
        custom_bounds: bounds.as_slice().into(),
        ..Histogram::default()
    })
}

fn total(buckets: &Buckets) -> u128 {
    buckets.bucket_counts.iter().map(|count| u128::from(*count)).sum()
}

fn check_count(in_buckets: u128, count: u64, sum: Option<f64>) -> Result<(), &'static str> {
    let is_right = in_buckets == count.into() || (in_buckets < count.into() && sum.is_some_and(f64::is_nan));
    if is_right { Ok(()) } else { Err("its buckets hold another number of observations than its count says") }
}

/// Buckets that hold something, in runs. `offset` is the number of the first, `steps` how often pairs are merged, and `shift` what is
/// added to a number.
fn sparse(counts: &[u64], offset: i64, steps: u32, shift: i64) -> Result<(Vec<Span>, Vec<f64>), &'static str> {
    let (mut spans, mut buckets): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut end = 0i64;
    let mut at = 0;
    while at < counts.len() {
        let number = ((offset + at as i64) >> steps) + shift;
        let mut count = 0u128;
        while at < counts.len() && ((offset + at as i64) >> steps) + shift == number {
            count += u128::from(counts[at]);
            at += 1;
        }
        if count == 0 {
            continue;
        }
        let gap = number - end;
        match spans.last_mut() {
            Some(span) if gap <= GAP_MAX => {
                span.length += u32::try_from(gap).unwrap_or(0) + 1;
                buckets.extend(std::iter::repeat_n(0.0, usize::try_from(gap).unwrap_or(0)));
            }
            _ => {
                let offset =
                    i32::try_from(gap).map_err(|_| "one of its buckets has a number that no bucket can have")?;
                spans.push(Span { offset, length: 1 });
            }
        }
        buckets.push(count as f64);
        end = number + 1;
    }
    Ok((spans, buckets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    #[test]
    fn buckets_are_numbered_from_one_more_and_sparse() {
        assert_eq!(
            sparse(&[1, 0, 0, 2, 0, 0, 0, 3], 4, 0, 1),
            Ok((vec![span(5, 4), span(3, 1)], vec![1.0, 0.0, 0.0, 2.0, 3.0]))
        );
        assert_eq!(sparse(&[0, 0, 0, 7], -2, 0, 1), Ok((vec![span(2, 1)], vec![7.0])));
        assert_eq!(sparse(&[0, 0], 0, 0, 1), Ok((vec![], vec![])));
        assert!(sparse(&[1, 1], i64::from(i32::MAX), 0, 1).is_err());
    }

    #[test]
    fn finer_buckets_are_merged() {
        // Of scale 9: 2 and 3 fall together, then 4 and 5, then 6.
        assert_eq!(sparse(&[1, 2, 3, 4, 5], 2, 1, 1), Ok((vec![span(2, 3)], vec![3.0, 7.0, 5.0])));
        assert_eq!(sparse(&[1, 2, 3], -3, 1, 1), Ok((vec![span(-1, 2)], vec![1.0, 5.0])));
        let point = ExponentialHistogramDataPoint {
            scale: 10,
            count: 6,
            sum: Some(1.0),
            positive: Some(Buckets { offset: -1, bucket_counts: vec![1, 2, 3] }),
            ..ExponentialHistogramDataPoint::default()
        };
        let made = native(&point).unwrap();
        assert_eq!((made.schema, made.positive_spans, made.positive_buckets), (8, vec![span(0, 2)], vec![1.0, 5.0]));
        assert!(native(&ExponentialHistogramDataPoint { scale: -5, ..point.clone() }).is_err());
        assert!(native(&ExponentialHistogramDataPoint { count: 5, ..point.clone() }).is_err());
        assert!(native(&ExponentialHistogramDataPoint { scale: i32::MAX, ..point }).is_ok());
    }

    #[test]
    fn bounds_of_their_own_become_custom_buckets() {
        let point = HistogramDataPoint {
            count: 6,
            sum: Some(9.0),
            bucket_counts: vec![0, 2, 0, 4],
            explicit_bounds: vec![1.0, 2.0, 5.0],
            ..HistogramDataPoint::default()
        };
        let made = custom(&point).unwrap();
        assert_eq!((made.positive_spans, made.positive_buckets), (vec![span(1, 3)], vec![2.0, 0.0, 4.0]));
        assert_eq!(&*made.custom_bounds, [1.0, 2.0, 5.0]);
        assert!(custom(&HistogramDataPoint { explicit_bounds: vec![2.0, 1.0, 5.0], ..point.clone() }).is_err());
        assert!(custom(&HistogramDataPoint { explicit_bounds: vec![1.0], ..point }).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_point_becomes_a_histogram_or_a_reason(
            scale: i32, offset: i32, counts in proptest::collection::vec(0u64..5, 0..40), zero_count in 0u64..3,
        ) {
            let count = counts.iter().sum::<u64>() + zero_count;
            let positive = Some(Buckets { offset, bucket_counts: counts.clone() });
            let point = ExponentialHistogramDataPoint { scale, count, zero_count, positive, ..ExponentialHistogramDataPoint::default() };
            if let Ok(made) = native(&point) {
                let in_spans: u64 = made.positive_spans.iter().map(|span| u64::from(span.length)).sum();
                proptest::prop_assert_eq!(in_spans, made.positive_buckets.len() as u64);
                proptest::prop_assert_eq!(made.positive_buckets.iter().sum::<f64>(), counts.iter().sum::<u64>() as f64);
            }
        }
    }
}
