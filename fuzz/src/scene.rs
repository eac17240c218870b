//! A small shop's metrics over some hours, of every kind that a store keeps: what queries are asked of, and what is damaged.

use std::sync::Arc;

use collector::promql::memory::MemoryStore;
use collector::series::{
    CounterReset, Histogram, HistogramSample, Ingest, Labels, Point, SCHEMA_CUSTOM, Sample, Span, stale_nan,
};
use collector::store::Store;

use crate::stored::NOW_MS;

/// Between two samples of a series.
pub const STEP_MS: i64 = 60_000;

/// Steps before now: more than the head keeps, so that a part is sealed into a block.
pub const STEPS: i64 = 270;

fn labels(text: &str) -> Labels {
    let (name, rest) = text.split_once('|').unwrap_or((text, ""));
    let pairs = rest.split('|').filter_map(|pair| pair.split_once('='));
    Labels::new(pairs.chain([("__name__", name)]))
}

/// A counter that begins anew every hundred steps.
fn counted(step: i64, pace: i64) -> f64 {
    ((step % 100) * pace) as f64
}

fn numbers(step: i64) -> Vec<(Labels, f64)> {
    let mut found = vec![
        (labels("up|job=shop|instance=a:1"), if step % 17 == 0 { 0.0 } else { 1.0 }),
        (labels("temperature|room=a"), (step as f64 / 9.0).sin() * 20.0),
        (labels("temperature|room=b"), [f64::NAN, f64::INFINITY, -0.0, 1e300, -1e-300][(step % 5) as usize]),
        (labels("target_info|job=shop|version=1.2"), 1.0),
        (labels("od.d|la bel=\u{1f600}\"\\\n"), step as f64),
        (labels("mixed|job=shop"), step as f64),
    ];
    for (pace, code) in [(7, "200"), (2, "404"), (1, "500")] {
        for instance in ["a:1", "b:2"] {
            let series = format!("requests_total|job=shop|instance={instance}|code={code}");
            found.push((labels(&series), counted(step, pace)));
        }
    }
    for (pace, bound) in [(1, "0.1"), (3, "0.5"), (4, "1.0"), (5, "+Inf")] {
        found.push((labels(&format!("latency_bucket|job=shop|le={bound}")), counted(step, pace)));
    }
    found.push((labels("latency_count|job=shop"), counted(step, 5)));
    found.push((labels("latency_sum|job=shop"), counted(step, 2) / 3.0));
    // One that comes and goes.
    match step % 30 {
        0..20 => found.push((labels("sometimes|job=shop"), step as f64)),
        20 => found.push((labels("sometimes|job=shop"), stale_nan())),
        _ => {}
    }
    found
}

fn exponential(step: i64, schema: i32, reset: CounterReset) -> Histogram {
    let positive = vec![counted(step, 1), counted(step, 3), counted(step, 2)];
    let negative = vec![counted(step, 1)];
    let zero_count = counted(step, 1);
    Histogram {
        reset,
        schema,
        zero_threshold: 0.001,
        zero_count,
        count: positive.iter().chain(&negative).sum::<f64>() + zero_count,
        sum: counted(step, 5),
        positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 2, length: 1 }],
        positive_buckets: positive,
        negative_spans: vec![Span { offset: 0, length: 1 }],
        negative_buckets: negative,
        custom_bounds: Arc::default(),
    }
}

fn custom(step: i64) -> Histogram {
    let buckets = vec![counted(step, 2), counted(step, 1)];
    Histogram {
        schema: SCHEMA_CUSTOM,
        count: buckets.iter().sum(),
        sum: counted(step, 4),
        positive_spans: vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 1 }],
        positive_buckets: buckets,
        custom_bounds: Arc::new([0.5, 1.0, 2.5]),
        ..Histogram::default()
    }
}

fn histograms(step: i64) -> Vec<(Labels, Histogram)> {
    vec![
        (labels("native|job=shop|instance=a:1"), exponential(step, 3, CounterReset::Unknown)),
        (labels("native|job=shop|instance=b:2"), exponential(step, 1 + (step / 90) as i32, CounterReset::Unknown)),
        (labels("level|job=shop"), exponential(step, 0, CounterReset::Gauge)),
        (labels("custom|job=shop"), custom(step)),
    ]
}

/// The series that have a sample at a step.
pub fn at(step: i64) -> Vec<(Labels, Point)> {
    let timestamp_ms = NOW_MS + (step - STEPS) * STEP_MS;
    let number = |(labels, value)| (labels, Point::Float(Sample { timestamp_ms, value }));
    let histogram = |histogram| Point::Histogram(HistogramSample { timestamp_ms, histogram: Arc::new(histogram) });
    let mut found: Vec<(Labels, Point)> = numbers(step).into_iter().map(number).collect();
    found.extend(histograms(step).into_iter().map(|(labels, one)| (labels, histogram(one))));
    if step % 40 >= 35 {
        // A series of numbers that has histograms now and then.
        found.retain(|(labels, _)| labels.name() != "mixed");
        found.push((labels("mixed|job=shop"), histogram(custom(step))));
    }
    found
}

/// Appends some steps.
pub fn append(store: &Store, steps: std::ops::Range<i64>) {
    for step in steps {
        put(store, &at(step));
    }
}

/// Appends samples of both kinds.
pub fn put(store: &Store, points: &[(Labels, Point)]) {
    let (mut numbers, mut histograms) = (Vec::new(), Vec::new());
    for (labels, point) in points {
        let series = store.resolve(labels);
        match point {
            Point::Float(sample) => numbers.push((series, *sample)),
            Point::Histogram(sample) => histograms.push((series, sample.clone())),
        }
    }
    let stored = store.append_resolved(&numbers, &mut Vec::new()).expect("there is room").stored
        + store.append_histograms(&histograms, &mut Vec::new()).expect("there is room").stored;
    assert_eq!(stored, points.len(), "all of the scene is in order");
}

/// The whole scene in memory.
pub fn in_memory() -> MemoryStore {
    let mut store = MemoryStore::default();
    for (labels, point) in (0..STEPS).flat_map(at) {
        match point {
            Point::Float(sample) => store.add(&labels, sample),
            Point::Histogram(sample) => store.add_histogram(&labels, sample),
        }
    }
    store
}
