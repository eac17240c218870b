//! What goes in comes out, in less memory; resets are found as in Prometheus.

use proptest::prelude::*;

use super::*;
use crate::series::{SCHEMA_CUSTOM, Span};

fn histogram(count: f64, buckets: &[(i32, f64)]) -> Histogram {
    let mut next = 0;
    let mut spans = Vec::new();
    for (index, _) in buckets {
        spans.push(Span { offset: index - next, length: 1 });
        next = index + 1;
    }
    let positive_buckets = buckets.iter().map(|(_, count)| *count).collect();
    Histogram { count, positive_spans: spans, positive_buckets, ..Histogram::default() }
}

#[test]
fn a_reset_is_what_the_counts_tell() {
    let before = histogram(5.0, &[(0, 2.0), (3, 3.0)]);
    let gauge = Histogram { reset: CounterReset::Gauge, ..before.clone() };
    let custom = Histogram { schema: SCHEMA_CUSTOM, custom_bounds: [1.0].into(), ..before.clone() };
    for (name, before, after, wanted) in [
        ("the first", None, before.clone(), CounterReset::Unknown),
        ("the same", Some(&before), before.clone(), CounterReset::NotReset),
        ("a new bucket", Some(&before), histogram(6.0, &[(0, 2.0), (1, 1.0), (3, 3.0)]), CounterReset::NotReset),
        ("a bucket is gone", Some(&before), histogram(6.0, &[(3, 6.0)]), CounterReset::Reset),
        ("a bucket has fallen", Some(&before), histogram(6.0, &[(0, 4.0), (3, 2.0)]), CounterReset::Reset),
        ("the count has fallen", Some(&before), histogram(4.0, &[(0, 2.0), (3, 3.0)]), CounterReset::Reset),
        ("other resolution", Some(&before), Histogram { schema: 1, ..before.clone() }, CounterReset::Unknown),
        ("other bounds", Some(&before), custom, CounterReset::Unknown),
        ("a gauge", Some(&before), gauge.clone(), CounterReset::Gauge),
        ("after a gauge", Some(&gauge), before.clone(), CounterReset::Unknown),
        ("after the end", Some(&Histogram::stale()), before.clone(), CounterReset::Unknown),
        ("an empty bucket is gone", Some(&histogram(0.0, &[(7, 0.0)])), before.clone(), CounterReset::NotReset),
    ] {
        assert_eq!(reset_since(before, &after), wanted, "{name}");
    }
}

#[test]
fn a_steady_histogram_costs_a_bit_a_bucket() {
    let at = |i: i64| {
        let grown = |from: i64| (from + 3 * i) as f64;
        let buckets: Vec<(i32, f64)> = (0..20).map(|b| (b, grown(i64::from(b)))).collect();
        HistogramSample { timestamp_ms: 1_000 * i, histogram: Arc::new(histogram(grown(1_000), &buckets)) }
    };
    let mut chunk = OpenHistogramChunk::new(at(0));
    for i in 1..i64::from(SAMPLES_PER_CHUNK) {
        chunk.push(at(i)).unwrap();
    }
    let first_steps = 30;
    assert!(chunk.push(at(120)).is_err(), "a chunk is sealed at {SAMPLES_PER_CHUNK}");
    let length = chunk.seal().bytes.len();
    assert!(length <= first_steps + 119 * 4, "{length}");
}

fn any_histogram() -> impl Strategy<Value = Histogram> {
    let count = prop_oneof![8 => (0u32..50).prop_map(f64::from), 1 => any::<f64>()];
    let shape = prop_oneof![Just((0, vec![2u32, 1])), Just((3, vec![4])), Just((SCHEMA_CUSTOM, vec![3]))];
    let resets = [CounterReset::Unknown, CounterReset::Reset, CounterReset::NotReset, CounterReset::Gauge];
    (shape, prop::collection::vec(count, 10), any::<f64>(), prop::sample::select(resets.to_vec())).prop_map(
        |((schema, lengths), counts, sum, reset)| {
            let total = lengths.iter().sum::<u32>() as usize;
            let custom_bounds = if schema == SCHEMA_CUSTOM { vec![1.0, 2.0] } else { Vec::new() };
            Histogram {
                reset,
                schema,
                zero_threshold: 0.001,
                zero_count: counts[0],
                count: counts[1],
                sum,
                positive_spans: lengths.iter().map(|length| Span { offset: 1, length: *length }).collect(),
                positive_buckets: counts[2..2 + total].to_vec(),
                negative_spans: vec![Span { offset: -3, length: 1 }],
                negative_buckets: vec![counts[9]],
                custom_bounds: custom_bounds.into(),
            }
        },
    )
}

proptest! {
    #[test]
    fn what_goes_in_comes_out_to_the_bit(
        histograms in prop::collection::vec((1i64..100_000, any_histogram()), 1..150)
    ) {
        let mut at = 0;
        let samples: Vec<HistogramSample> = histograms.into_iter().map(|(step, histogram)| {
            at += step;
            HistogramSample { timestamp_ms: at, histogram: Arc::new(histogram) }
        }).collect();
        let mut chunks: Vec<OpenHistogramChunk> = Vec::new();
        for sample in &samples {
            match chunks.last_mut().map(|chunk| chunk.push(sample.clone())) {
                Some(Ok(())) => {}
                _ => chunks.push(OpenHistogramChunk::new(sample.clone())),
            }
        }
        let back: Vec<HistogramSample> = chunks.iter().flat_map(OpenHistogramChunk::samples).collect();
        let sealed: Vec<HistogramChunk> = chunks.into_iter().map(OpenHistogramChunk::seal).collect();
        prop_assert_eq!(sealed.iter().flat_map(HistogramChunk::samples).count(), back.len());
        prop_assert_eq!(back.len(), samples.len());
        for (back, sample) in back.iter().zip(&samples) {
            prop_assert_eq!(back.timestamp_ms, sample.timestamp_ms);
            prop_assert!(same_content(&back.histogram, &sample.histogram));
            prop_assert_eq!(back.histogram.reset, sample.histogram.reset);
        }
    }
}
