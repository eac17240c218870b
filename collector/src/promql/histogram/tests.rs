//! What holds for all histograms, and a few whose results are known.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::series::{SCHEMA_MAX, SCHEMA_MIN, Span};

/// Runs of up to four buckets with small gaps between, and whole counts.
fn side() -> impl Strategy<Value = (Vec<Span>, Vec<f64>)> {
    let runs = prop::collection::vec((-6i32..6, prop::collection::vec(0u8..20, 1..5)), 0..4);
    runs.prop_map(|runs| {
        let mut spans = Vec::new();
        let mut counts = Vec::new();
        for (place, (offset, run)) in runs.into_iter().enumerate() {
            let offset = if place == 0 { offset } else { offset.abs() };
            spans.push(Span { offset, length: u32::try_from(run.len()).unwrap() });
            counts.extend(run.into_iter().map(f64::from));
        }
        (spans, counts)
    })
}

fn exponential() -> impl Strategy<Value = Histogram> {
    let zero = prop_oneof![Just(0.0), Just(0.001), Just(0.25), Just(1.0), Just(3.0)];
    (SCHEMA_MIN..=SCHEMA_MAX, zero, 0u8..10, side(), side(), -50i32..50).prop_map(
        |(schema, zero_threshold, zero_count, positive, negative, sum)| {
            // What lies within the zero bucket cannot be in another.
            let beyond = |(spans, counts): (Vec<Span>, Vec<f64>)| {
                let buckets: Vec<(i32, f64)> = layout::indexed(&spans, &counts).collect();
                let lower = |index: i32| bounds::exponential(index - 1, schema);
                layout::laid_out(buckets.into_iter().filter(|(index, _)| lower(*index) >= zero_threshold))
            };
            let ((positive_spans, positive_buckets), (negative_spans, negative_buckets)) =
                (beyond(positive), beyond(negative));
            let zero_count = f64::from(zero_count);
            let count = zero_count + positive_buckets.iter().chain(&negative_buckets).sum::<f64>();
            let sum = f64::from(sum);
            Histogram {
                schema,
                zero_threshold,
                zero_count,
                count,
                sum,
                positive_spans,
                positive_buckets,
                negative_spans,
                negative_buckets,
                ..Histogram::default()
            }
        },
    )
}

fn custom() -> impl Strategy<Value = Histogram> {
    let bounds = prop::collection::btree_set(-8i32..8, 0..6);
    (bounds, prop::collection::vec(0u8..20, 7)).prop_map(|(bounds, counts)| {
        let bounds: Vec<f64> = bounds.into_iter().map(f64::from).collect();
        let counts: Vec<f64> = counts.into_iter().take(bounds.len() + 1).map(f64::from).collect();
        Histogram {
            schema: SCHEMA_CUSTOM,
            count: counts.iter().sum(),
            sum: 1.0,
            positive_spans: vec![Span { offset: 0, length: u32::try_from(counts.len()).unwrap() }],
            positive_buckets: counts,
            custom_bounds: Arc::from(bounds),
            ..Histogram::default()
        }
    })
}

fn pair() -> impl Strategy<Value = (Histogram, Histogram)> {
    prop_oneof![(exponential(), exponential()), (custom(), custom())]
}

fn any() -> impl Strategy<Value = Histogram> {
    prop_oneof![exponential(), custom()]
}

fn in_buckets(histogram: &Histogram) -> f64 {
    ascending(histogram).map(|bucket| bucket.count).sum()
}

fn compacted(histogram: &Histogram) -> Histogram {
    let mut compacted = histogram.clone();
    compact(&mut compacted);
    compacted
}

proptest! {
    #[test]
    fn a_coarser_schema_holds_as_much(histogram in exponential(), coarser in 0i32..12) {
        let mut parts = Parts::<f64>::of(&histogram);
        parts.reduce((histogram.schema - coarser).max(SCHEMA_MIN));
        prop_assert_eq!(in_buckets(&parts.finish()), in_buckets(&histogram));
    }

    #[test]
    fn a_wider_zero_bucket_takes_and_loses_nothing(histogram in exponential(), wider in 0.0f64..100.0) {
        let mut parts = Parts::<f64>::of(&histogram);
        let threshold = histogram.zero_threshold + wider;
        parts.widen_zero(threshold);
        prop_assert!(parts.zero().0 >= threshold);
        let widened = parts.finish();
        prop_assert_eq!(in_buckets(&widened), in_buckets(&histogram));
        prop_assert!(ascending(&widened).all(|bucket| bucket.lower < bucket.upper), "{widened:?}");
    }

    #[test]
    fn addition_commutes_and_holds_all((a, b) in pair()) {
        let (there, back) = (combined(&a, &b, Sign::Plus).unwrap(), combined(&b, &a, Sign::Plus).unwrap());
        prop_assert!(same(&there.0, &back.0), "{there:?} {back:?}");
        prop_assert_eq!(there.1, back.1);
        prop_assert_eq!(in_buckets(&there.0), in_buckets(&a) + in_buckets(&b));
        prop_assert_eq!(there.0.count, a.count + b.count);
    }

    #[test]
    fn what_was_added_can_be_taken_away((a, b) in pair()) {
        let (sum, _) = combined(&a, &b, Sign::Plus).unwrap();
        let (rest, _) = combined(&sum, &b, Sign::Minus).unwrap();
        prop_assert_eq!(rest.count, a.count);
        prop_assert_eq!(in_buckets(&rest), in_buckets(&a));
        let (nothing, _) = combined(&a, &a, Sign::Minus).unwrap();
        prop_assert!(nothing.positive_buckets.is_empty() && nothing.negative_buckets.is_empty());
    }

    #[test]
    fn sums_that_keep_their_error_agree_with_plain_ones((a, b) in pair()) {
        let mut total = Total::of(&a);
        total.add(&b, Sign::Plus).unwrap();
        let (plain, _) = combined(&a, &b, Sign::Plus).unwrap();
        prop_assert!(same(&total.finish(), &plain));
        let mut mean = Mean::of(&a);
        mean.add(&b).unwrap();
        prop_assert!(same(&mean.finish(), &divided(&plain, 2.0)));
    }

    #[test]
    fn a_counter_that_grew_was_not_reset_and_one_that_shrank_was((a, b) in pair()) {
        let (grown, how) = combined(&a, &b, Sign::Plus).unwrap();
        prop_assert!(!was_reset(&a, &grown), "{a:?} {grown:?}");
        prop_assert!(!was_reset(&a, &a));
        if b.count > 0.0 && !how.reconciled {
            prop_assert!(was_reset(&grown, &a));
        }
        let told = |reset| Histogram { reset, ..a.clone() };
        prop_assert!(was_reset(&a, &told(CounterReset::Reset)));
        prop_assert!(!was_reset(&grown, &told(CounterReset::NotReset)));
    }

    #[test]
    fn compaction_changes_the_layout_alone(histogram in any()) {
        let compacted = compacted(&histogram);
        let filled = |histogram: &Histogram| ascending(histogram).filter(|one| one.count != 0.0).collect::<Vec<_>>();
        prop_assert_eq!(filled(&compacted), filled(&histogram));
        prop_assert!(compacted.positive_buckets.iter().chain(&compacted.negative_buckets).all(|count| *count != 0.0));
        prop_assert!(same(&compacted, &Parts::<f64>::of(&histogram).finish()));
    }

    #[test]
    fn buckets_come_in_order_from_either_end(histogram in any()) {
        let up: Vec<Bucket> = ascending(&histogram).collect();
        let mut down: Vec<Bucket> = ascending(&histogram).rev().collect();
        down.reverse();
        prop_assert_eq!(&up, &down);
        prop_assert!(up.windows(2).all(|pair| pair[0].upper <= pair[1].lower), "{up:?}");
    }

    #[test]
    fn quantiles_rise_and_fractions_lead_back(histogram in any(), low in 0.0f64..1.0, high in 0.0f64..1.0) {
        let (low, high) = if low < high { (low, high) } else { (high, low) };
        let (lower, upper) = (quantile(low, &histogram).0, quantile(high, &histogram).0);
        if histogram.count == 0.0 {
            prop_assert!(lower.is_nan());
            return Ok(());
        }
        prop_assert!(lower <= upper + upper.abs() * 1e-9, "{lower} {upper}");
        prop_assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &histogram), (1.0, false));
        // There is no way back from an endless bucket, nor from one that is a point.
        let is_point = histogram.zero_threshold == 0.0 && histogram.zero_count > 0.0;
        let (below, _) = fraction(f64::NEG_INFINITY, lower, &histogram);
        let leads_back = is_custom(&histogram) || is_point || (below - low).abs() < 1e-6;
        prop_assert!(leads_back, "{below} {low} {histogram:?}");
    }

    #[test]
    fn nothing_panics_over_spans_that_fit_no_buckets(
        offsets in prop::collection::vec((any_i32(), 0u32..9), 0..4),
        counts in prop::collection::vec(-1e9f64..1e9, 0..9),
        schema in SCHEMA_MIN..=SCHEMA_MAX,
    ) {
        let spans: Vec<Span> = offsets.into_iter().map(|(offset, length)| Span { offset, length }).collect();
        let histogram = Histogram {
            schema,
            count: 1.0,
            positive_spans: spans.clone(),
            positive_buckets: counts.clone(),
            negative_spans: spans,
            negative_buckets: counts,
            ..Histogram::default()
        };
        let _ = combined(&histogram, &Histogram { schema: SCHEMA_MIN, ..Histogram::default() }, Sign::Minus);
        let _ = (quantile(0.3, &histogram), fraction(-1.0, 1.0, &histogram), variance(&histogram), shown(&histogram));
        let _ = (was_reset(&histogram, &histogram), compacted(&histogram), histogram.weight());
    }
}

fn any_i32() -> impl Strategy<Value = i32> {
    prop_oneof![-100i32..100, Just(i32::MAX), Just(i32::MIN), prop::num::i32::ANY]
}

#[test]
fn exponential_and_custom_buckets_do_not_mix() {
    let custom = Histogram { schema: SCHEMA_CUSTOM, ..Histogram::default() };
    assert_eq!(combined(&Histogram::default(), &custom, Sign::Plus).unwrap_err(), Incompatible);
    assert!(was_reset(&Histogram::default(), &custom) && was_reset(&custom, &Histogram::default()));
}

#[test]
fn bounds_are_powers_of_two_to_prometheus_last_digit() {
    let upper = bounds::exponential;
    assert_eq!((upper(0, 0), upper(1, 0), upper(-3, 0), upper(2, -2)), (1.0, 2.0, 0.125, 256.0));
    assert_eq!(upper(1, 1).to_string(), "1.414213562373095");
    assert_eq!((upper(1, 2), upper(3, 2)), (1.189_207_115_002_721, 1.681_792_830_507_428_8));
    assert_eq!((upper(1, 8), upper(255, 8)), (1.002_711_275_050_202_5, 1.994_592_112_170_939_6));
    assert_eq!((upper(1024, 0), upper(1025, 0), upper(-1080, 0)), (f64::MAX, f64::INFINITY, 0.0));
    for schema in 0..8 {
        for index in -300..300 {
            assert_eq!(upper(index, schema), upper(index * 2, schema + 1), "{index} of {schema}");
        }
    }
}

#[test]
fn bounds_that_only_one_has_go_with_addition() {
    let histogram = |bounds: &[f64], counts: &[f64]| Histogram {
        schema: SCHEMA_CUSTOM,
        count: counts.iter().sum(),
        positive_spans: vec![Span { offset: 0, length: u32::try_from(counts.len()).unwrap() }],
        positive_buckets: counts.to_vec(),
        custom_bounds: Arc::from(bounds),
        ..Histogram::default()
    };
    let (a, b) = (histogram(&[1.0, 2.0, 5.0], &[1.0, 2.0, 3.0, 4.0]), histogram(&[2.0, 3.0], &[10.0, 20.0, 30.0]));
    let (sum, how) = combined(&a, &b, Sign::Plus).unwrap();
    assert!(how.reconciled);
    assert_eq!((&sum.custom_bounds[..], sum.positive_buckets), (&[2.0][..], vec![13.0, 57.0]));
}

#[test]
fn what_is_known_of_resets_goes_with_addition() {
    use CounterReset::{Gauge, NotReset, Reset, Unknown};
    for (a, b, joined, collision) in [
        (NotReset, NotReset, NotReset, false),
        (Gauge, Reset, Gauge, false),
        (Unknown, Gauge, Gauge, false),
        (Reset, Unknown, Unknown, false),
        (NotReset, Reset, Unknown, true),
    ] {
        let histogram = |reset| Histogram { reset, ..Histogram::default() };
        let (sum, how) = combined(&histogram(a), &histogram(b), Sign::Plus).unwrap();
        assert_eq!((sum.reset, how.collision), (joined, collision), "{a:?} + {b:?}");
    }
    assert_eq!(scaled(&Histogram::default(), -1.0).reset, Gauge);
}

#[test]
fn a_mean_does_not_overflow() {
    let large = Histogram { count: 1.0, sum: f64::MAX, ..Histogram::default() };
    let mut mean = Mean::of(&large);
    for _ in 0..3 {
        mean.add(&large).unwrap();
    }
    let mean = mean.finish();
    assert!((mean.sum / f64::MAX - 1.0).abs() < 1e-9, "{}", mean.sum);
    assert_eq!(mean.count, 1.0);
}

#[test]
fn texts_have_bounds_and_counts_of_what_is_filled() {
    let histogram = Histogram {
        count: 1e6,
        sum: 0.5,
        zero_threshold: 0.001,
        zero_count: 2.0,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_buckets: vec![1.0, 0.0, 3.0],
        negative_spans: vec![Span { offset: 1, length: 1 }],
        negative_buckets: vec![4.0],
        ..Histogram::default()
    };
    assert_eq!(shown(&histogram), "{count:1e+06, sum:0.5, [-2,-1):4, [-0.001,0.001]:2, (0.5,1]:1, (2,4]:3}");
}

#[test]
fn quantiles_of_observations_that_are_not_numbers_say_so() {
    let histogram = Histogram {
        count: 10.0,
        sum: f64::NAN,
        positive_spans: vec![Span { offset: 1, length: 1 }],
        positive_buckets: vec![5.0],
        ..Histogram::default()
    };
    assert_eq!(quantile(0.25, &histogram).1, Some(QuantileRemark::Skewed));
    let (value, remark) = quantile(0.75, &histogram);
    assert!(value.is_nan() && remark == Some(QuantileRemark::IsNan));
    assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &histogram), (0.5, true));
}
