//! A classic histogram at one time, as its series `_bucket`, `_count` and `_sum` say it, and the native one with custom buckets that
//! it is. Knows no series.

use super::{Histogram, SCHEMA_CUSTOM, Span};

/// What is known of a classic histogram at one time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Classic {
    /// Upper bounds with how many observations are not above them, in any order; of equal bounds the first counts.
    pub buckets: Vec<(f64, f64)>,
    /// All observations; if nothing says, those of the highest bucket.
    pub count: Option<f64>,
    /// Sum of the observations.
    pub sum: f64,
}

impl Classic {
    /// The native histogram. Empty buckets are in it, so that all histograms of a series have the same ones.
    ///
    /// # Errors
    /// What contradicts itself.
    pub fn native(self) -> Result<Histogram, &'static str> {
        let Self { mut buckets, count, sum } = self;
        if buckets.iter().any(|(bound, _)| bound.is_nan() || *bound == f64::NEG_INFINITY) {
            return Err("one of its buckets has a bound that is no bound");
        }
        if !buckets.is_sorted_by(|a, b| a.0 < b.0) {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            buckets.dedup_by(|after, before| after.0 == before.0);
        }
        let count = count.or_else(|| buckets.last().map(|(_, count)| *count)).unwrap_or(0.0);
        if buckets.last().is_none_or(|(bound, _)| *bound < f64::INFINITY) {
            buckets.push((f64::INFINITY, count));
        }
        if buckets[0].1 < 0.0 || buckets.windows(2).any(|pair| pair[1].1 < pair[0].1) {
            return Err("one of its buckets holds less than the one before");
        }
        if buckets.last().is_none_or(|(_, last)| *last != count) {
            return Err("its buckets hold another number of observations than its count says");
        }
        let length = u32::try_from(buckets.len()).map_err(|_| "it has more buckets than a histogram can have")?;
        let below = std::iter::once(0.0).chain(buckets.iter().map(|(_, count)| *count));
        let counts = buckets.iter().zip(below).map(|((_, count), below)| count - below).collect();
        let bounds = buckets[..buckets.len() - 1].iter().map(|(bound, _)| *bound).collect();
        Ok(Histogram {
            schema: SCHEMA_CUSTOM,
            count,
            sum,
            positive_spans: vec![Span { offset: 0, length }],
            positive_buckets: counts,
            custom_bounds: bounds,
            ..Histogram::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_histograms_become_native_ones() {
        let inf = f64::INFINITY;
        let classic = |buckets: &[(f64, f64)], count| Classic { buckets: buckets.to_vec(), count, sum: 7.0 };
        for (buckets, count, bounds, counts) in [
            (&[(1.0, 2.0), (2.0, 2.0), (inf, 5.0)][..], Some(5.0), &[1.0, 2.0][..], &[2.0, 0.0, 3.0][..]),
            (&[(inf, 5.0), (1.0, 2.0), (2.0, 2.0)], None, &[1.0, 2.0], &[2.0, 0.0, 3.0]),
            (&[(1.0, 2.0), (1.0, 9.0)], Some(4.5), &[1.0], &[2.0, 2.5]),
            (&[(-0.0, 1.0), (0.0, 3.0)], Some(1.0), &[0.0], &[1.0, 0.0]),
            (&[(2.0, 3.0)], None, &[2.0], &[3.0, 0.0]),
            (&[], Some(3.0), &[], &[3.0]),
            (&[], None, &[], &[0.0]),
        ] {
            let native = classic(buckets, count).native().unwrap();
            assert_eq!((&native.custom_bounds[..], &native.positive_buckets[..]), (bounds, counts), "{buckets:?}");
            assert_eq!(native.positive_spans, [Span { offset: 0, length: counts.len() as u32 }]);
            assert_eq!((native.count, native.sum, native.schema), (counts.iter().sum(), 7.0, SCHEMA_CUSTOM));
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let inf = f64::INFINITY;
        for (buckets, count, reason) in [
            (&[(1.0, 2.0), (inf, 5.0)][..], Some(6.0), "another number of observations"),
            (&[(1.0, 2.0), (inf, 5.0)], Some(f64::NAN), "another number of observations"),
            (&[(1.0, 2.0), (2.0, 1.0)], Some(5.0), "less than the one before"),
            (&[(1.0, -1.0)], Some(5.0), "less than the one before"),
            (&[(1.0, 2.0)], Some(1.0), "less than the one before"),
            (&[(f64::NAN, 2.0)], Some(2.0), "no bound"),
            (&[(-inf, 2.0)], Some(2.0), "no bound"),
        ] {
            let refused = Classic { buckets: buckets.to_vec(), count, sum: 0.0 }.native().unwrap_err();
            assert!(refused.contains(reason), "{buckets:?}: {refused}");
        }
    }
}
