//! What is written for a receiver: prost and our own receiver read it as it was meant.

use prost::Message;

use super::*;
use crate::remote::messages::{self, v2};
use crate::series::{CounterReset, SCHEMA_CUSTOM};

fn labels(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_labels(pairs.iter().copied(), &mut out);
    out
}

fn batch() -> Batch {
    let mut batch = Batch::default();
    let (a, b) = (labels(&[("__name__", "a_total"), ("job", "x")]), labels(&[("__name__", "b")]));
    let histogram = Histogram { count: 2.0, sum: 1.5, schema: 3, zero_count: 2.0, ..Histogram::default() };
    let mut blob = Vec::new();
    encode_histogram(3, &histogram, &mut blob);
    let mut exemplar = labels(&[("trace_id", "t")]);
    put::double(&mut exemplar, 2, 0.5);
    put::int64(&mut exemplar, 3, 4);
    batch.add((0, 1, 0), &a, 1, &Kind::Float(1.0));
    batch.add((0, 1, 1), &b, 1, &Kind::Float(-0.0));
    batch.add((0, 1, 0), &a, 2, &Kind::Float(2.0));
    batch.add((0, 1, 0), &a, 4, &Kind::Exemplar(&exemplar));
    batch.add((0, 1, 1), &b, 3, &Kind::Histogram(&blob));
    batch.add((0, 1, 1), &b, 5, &Kind::Float(5.0));
    batch
}

#[test]
fn a_series_stands_once_and_again_where_kinds_alternate() {
    let request = messages::WriteRequest::decode(&batch().encode_v1()[..]).unwrap();
    let shape = |series: &messages::TimeSeries| {
        let samples: Vec<(f64, i64)> = series.samples.iter().map(|s| (s.value, s.timestamp)).collect();
        (series.labels[0].value.clone(), samples, series.histograms.len(), series.exemplars.len())
    };
    let found: Vec<_> = request.timeseries.iter().map(shape).collect();
    let expected = [
        ("a_total".to_owned(), vec![(1.0, 1), (2.0, 2)], 0, 1),
        ("b".to_owned(), vec![(0.0, 1)], 0, 0),
        ("b".to_owned(), vec![], 1, 0),
        ("b".to_owned(), vec![(5.0, 5)], 0, 0),
    ];
    assert_eq!(found, expected);
    assert!(request.timeseries[1].samples[0].value.is_sign_negative());
    assert_eq!(batch().tally(), Tally { samples: 4, histograms: 1, exemplars: 1 });
    assert_eq!(batch().newest_ms(), 5);
}

#[test]
fn the_second_version_says_the_same_with_metadata() {
    let counter = MetricMetadata { kind: "counter".into(), help: "What".into(), unit: "x".into() };
    let metadata = Metadata::from([("a".to_owned(), counter)]);
    let body = batch().encode_v2(&metadata);
    let request = v2::Request::decode(&body[..]).unwrap();
    let text = |reference: &u32| request.symbols[usize::try_from(*reference).unwrap()].as_str();
    let first = &request.timeseries[0];
    assert_eq!(first.labels_refs.iter().map(text).collect::<Vec<_>>(), ["__name__", "a_total", "job", "x"]);
    assert_eq!(first.exemplars[0].labels_refs.iter().map(text).collect::<Vec<_>>(), ["trace_id", "t"]);
    assert_eq!((first.exemplars[0].value, first.exemplars[0].timestamp), (0.5, 4));
    let said = first.metadata.unwrap();
    assert_eq!((said.kind, text(&said.help_ref), text(&said.unit_ref)), (1, "What", "x"));
    assert!(request.symbols[0].is_empty() && request.timeseries[1].metadata.is_none());
    let both = |series: &v2::TimeSeries| !series.samples.is_empty() && !series.histograms.is_empty();
    assert!(!request.timeseries.iter().any(both), "numbers or histograms, never both");
    let unique: std::collections::HashSet<&String> = request.symbols.iter().collect();
    assert_eq!(unique.len(), request.symbols.len());
}

#[test]
fn a_histogram_is_read_as_it_was_written() {
    let spans = vec![Span { offset: -2, length: 1 }, Span { offset: 1, length: 2 }];
    let exponential = Histogram {
        reset: CounterReset::NotReset,
        schema: -4,
        zero_threshold: 1e-9,
        zero_count: 1.0,
        count: 10.5,
        sum: -3.0,
        positive_spans: spans.clone(),
        positive_buckets: vec![1.0, 2.0, 0.5],
        negative_spans: spans,
        negative_buckets: vec![3.0, 0.0, 3.0],
        custom_bounds: [].into(),
    };
    let custom = Histogram {
        schema: SCHEMA_CUSTOM,
        count: 1.0,
        positive_spans: vec![Span { offset: 1, length: 1 }],
        positive_buckets: vec![1.0],
        custom_bounds: [0.5].into(),
        ..Histogram::default()
    };
    for histogram in [exponential, custom] {
        let mut blob = Vec::new();
        encode_histogram(7, &histogram, &mut blob);
        let mut body = Vec::new();
        put::bytes(&mut body, 4, &blob);
        let mut request = Vec::new();
        put::bytes(&mut request, 1, &body);
        struct One(Option<(i64, Histogram)>);
        impl<'a> crate::remote::decode::Sink<'a> for One {
            fn series(&mut self, series: &mut crate::remote::decode::Series<'a>) {
                self.0 = series.histograms.pop().and_then(Result::ok);
            }
            fn metadata(&mut self, _: &'a str, _: crate::remote::decode::WireMetadata<'a>) {}
        }
        let mut one = One(None);
        crate::remote::decode::read(crate::remote::decode::Message::V1, &request, &mut one).unwrap();
        assert_eq!(one.0, Some((7, histogram)));
    }
}

#[test]
fn what_is_too_old_is_taken_out_and_counted() {
    let mut batch = batch();
    assert_eq!(batch.drop_before(3), Tally { samples: 3, histograms: 0, exemplars: 0 });
    assert_eq!(batch.tally(), Tally { samples: 1, histograms: 1, exemplars: 1 });
}
