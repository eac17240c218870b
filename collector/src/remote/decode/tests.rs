//! Reading requests: whatever prost writes is read the same, and nothing else does harm.

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::remote::messages::{self, Count, ZeroCount, v2};
use crate::series::{CounterReset, SCHEMA_CUSTOM, Span};

/// Labels, numbers, histograms, and how many exemplars.
type Found = (Vec<(String, String)>, Vec<Sample>, Vec<WireHistogram>, usize);

/// All that a request holds, and what it says of metrics.
#[derive(Default)]
struct All(Vec<Found>, Vec<String>);

impl<'a> Sink<'a> for All {
    fn series(&mut self, series: &mut Series<'a>) {
        let labels = series.labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let histograms = std::mem::take(&mut series.histograms);
        self.0.push((labels, series.samples.clone(), histograms, series.exemplars.len()));
        if let Some(metadata) = series.metadata {
            self.1.push(format!("{} {} {}", metadata.kind, metadata.help, metadata.unit));
        }
    }

    fn metadata(&mut self, metric: &'a str, metadata: WireMetadata<'a>) {
        self.1.push(format!("{metric} {} {} {}", metadata.kind, metadata.help, metadata.unit));
    }
}

fn all(message: Message, body: &[u8]) -> Result<All, Unreadable> {
    let mut all = All::default();
    read(message, body, &mut all).map(|()| all)
}

fn v2_series(change: impl FnOnce(&mut v2::Request, &mut v2::TimeSeries)) -> Vec<u8> {
    let (mut request, mut series) = (v2::Request::default(), v2::TimeSeries::default());
    series.labels_refs = vec![request.symbol("__name__"), request.symbol("up")];
    change(&mut request, &mut series);
    request.timeseries.push(series);
    request.encode_to_vec()
}

#[test]
fn a_table_of_symbols_is_held_to_its_rules() {
    let wrong = |change: fn(&mut v2::Request, &mut v2::TimeSeries)| all(Message::V2, &v2_series(change)).err();
    assert_eq!(wrong(|_, _| {}), None);
    assert_eq!(wrong(|request, _| "x".clone_into(&mut request.symbols[0])), Some(Unreadable::FirstSymbol));
    assert_eq!(wrong(|_, series| series.labels_refs.push(1)), Some(Unreadable::OddReferences));
    let behind = Some(Unreadable::Reference { reference: 9, symbols: 3 });
    assert_eq!(wrong(|_, series| series.labels_refs[1] = 9), behind);
    assert_eq!(wrong(|_, s| s.metadata = Some(v2::Metadata { kind: 1, help_ref: 9, unit_ref: 0 })), behind);
    let exemplar = v2::Exemplar { labels_refs: vec![1, 9], value: 1.0, timestamp: 1 };
    let body = v2_series(|_, series| series.exemplars.push(exemplar));
    assert_eq!(all(Message::V2, &body).err(), behind);
    assert!(all(Message::V2, &[]).unwrap().0.is_empty(), "nothing at all is a request that holds nothing");
}

#[test]
fn symbols_may_stand_behind_the_series() {
    let (mut request, mut series) = (v2::Request::default(), v2::TimeSeries::default());
    series.labels_refs = vec![request.symbol("__name__"), request.symbol("up")];
    let symbols = request.encode_to_vec();
    let mut body = v2::Request { symbols: Vec::new(), timeseries: vec![series] }.encode_to_vec();
    body.extend(symbols);
    assert_eq!(all(Message::V2, &body).unwrap().0[0].0, [("__name__".to_owned(), "up".to_owned())]);
}

#[test]
fn one_version_read_as_the_other_holds_nothing() {
    let body = v2_series(|_, series| series.samples.push(messages::Sample { value: 1.0, timestamp: 1 }));
    assert!(all(Message::V1, &body).unwrap().0.is_empty());
}

fn integer_histogram() -> messages::Histogram {
    messages::Histogram {
        count: Some(Count::Int(7)),
        sum: 3.5,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: Some(ZeroCount::Int(1)),
        positive_spans: vec![
            messages::BucketSpan { offset: -1, length: 2 },
            messages::BucketSpan { offset: 3, length: 1 },
        ],
        positive_deltas: vec![1, 1, 0],
        negative_spans: vec![messages::BucketSpan { offset: 0, length: 1 }],
        negative_deltas: vec![1],
        reset_hint: 2,
        timestamp: 42,
        ..messages::Histogram::default()
    }
}

fn custom_histogram() -> messages::Histogram {
    messages::Histogram {
        count: Some(Count::Float(3.0)),
        schema: SCHEMA_CUSTOM,
        positive_spans: vec![messages::BucketSpan { offset: 0, length: 3 }],
        positive_counts: vec![1.0, 0.0, 2.0],
        custom_values: vec![0.5, 1.0],
        ..messages::Histogram::default()
    }
}

#[test]
fn an_integer_histogram_becomes_absolute_counts() {
    let (timestamp_ms, histogram) = histogram::read(&integer_histogram().encode_to_vec()).unwrap().unwrap();
    assert_eq!(timestamp_ms, 42);
    let expected = Histogram {
        reset: CounterReset::NotReset,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 7.0,
        sum: 3.5,
        positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }],
        positive_buckets: vec![1.0, 2.0, 2.0],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        negative_buckets: vec![1.0],
        custom_bounds: [].into(),
    };
    assert_eq!(histogram, expected);
}

#[test]
fn a_stale_marker_is_a_histogram_too() {
    let sum = crate::series::stale_nan();
    let wire = messages::Histogram { sum, timestamp: 7, ..messages::Histogram::default() };
    let (timestamp_ms, histogram) = histogram::read(&wire.encode_to_vec()).unwrap().unwrap();
    assert!(timestamp_ms == 7 && histogram.is_stale());
}

#[test]
fn histograms_that_contradict_themselves_are_named() {
    type Change = fn(&mut messages::Histogram);
    let integer: [(Change, &str); 8] = [
        (|h| h.count = Some(Count::Int(6)), "its buckets hold another number of observations than its count says"),
        (|h| h.positive_deltas[1] = -2, "one of its buckets holds less than nothing"),
        (|h| h.positive_deltas[0] = i64::MAX, "one of its buckets holds less than nothing"),
        (|h| h.positive_spans[0].length = u32::MAX, "its spans need another number of buckets than it has"),
        (|h| h.positive_spans[1].offset = -1, "one of its spans begins before the end of the one before"),
        (|h| h.positive_spans[1].offset = i32::MAX, "one of its buckets has a number that no bucket can have"),
        (|h| h.schema = 9, "its schema does not exist"),
        (|h| h.custom_values = vec![1.0], "custom bounds do not go with its schema"),
    ];
    let custom: [(Change, &str); 5] = [
        (|h| h.custom_values = vec![1.0, 0.5], "its custom bounds do not ascend"),
        (|h| h.custom_values[1] = f64::INFINITY, "its last custom bound is +Inf, which goes without saying"),
        (|h| h.custom_values.truncate(1), "it has more buckets than its custom bounds make"),
        (|h| h.zero_count = Some(ZeroCount::Float(1.0)), "a zero bucket does not go with custom bounds"),
        (
            |h| {
                h.negative_counts = vec![1.0];
                h.negative_spans = vec![messages::BucketSpan { offset: 0, length: 1 }];
            },
            "negative buckets do not go with custom bounds",
        ),
    ];
    let cases = integer.iter().map(|case| (integer_histogram(), case));
    for (mut wire, (change, problem)) in cases.chain(custom.iter().map(|case| (custom_histogram(), case))) {
        assert!(histogram::read(&wire.encode_to_vec()).unwrap().is_ok());
        change(&mut wire);
        assert_eq!(histogram::read(&wire.encode_to_vec()).unwrap(), Err(*problem));
    }
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_]{0,8}", "\\PC{0,4}"]
}

prop_compose! {
    fn one_series()(
        labels in prop::collection::vec((texts(), texts()), 0..4),
        samples in prop::collection::vec((any::<f64>(), any::<i64>()), 0..4),
        exemplars in prop::collection::vec((texts(), texts(), any::<f64>(), any::<i64>()), 0..2),
        has_histogram in any::<bool>(),
    ) -> messages::TimeSeries {
        let label = |(name, value)| messages::Label { name, value };
        messages::TimeSeries {
            labels: labels.into_iter().map(label).collect(),
            samples: samples.into_iter().map(|(value, timestamp)| messages::Sample { value, timestamp }).collect(),
            exemplars: exemplars.into_iter().map(|(name, text, value, timestamp)| messages::Exemplar {
                labels: vec![label((name, text))], value, timestamp,
            }).collect(),
            histograms: if has_histogram { vec![integer_histogram(), custom_histogram()] } else { Vec::new() },
        }
    }
}

/// The same in 2.0.
fn as_v2(series: &[messages::TimeSeries]) -> v2::Request {
    let mut request = v2::Request::default();
    let mut made = Vec::new();
    for one in series {
        let mut refs = |labels: &[messages::Label]| -> Vec<u32> {
            labels.iter().flat_map(|l| [request.symbol(&l.name), request.symbol(&l.value)]).collect()
        };
        made.push(v2::TimeSeries {
            labels_refs: refs(&one.labels),
            samples: one.samples.clone(),
            histograms: one.histograms.clone(),
            exemplars: (one.exemplars.iter())
                .map(|e| v2::Exemplar { labels_refs: refs(&e.labels), value: e.value, timestamp: e.timestamp })
                .collect(),
            metadata: None,
            created_timestamp: 1,
        });
    }
    request.timeseries = made;
    request
}

fn check(found: &All, sent: &[messages::TimeSeries]) {
    assert_eq!(found.0.len(), sent.len());
    for ((labels, samples, histograms, exemplars), sent) in found.0.iter().zip(sent) {
        assert!(labels.iter().map(|(n, v)| (n, v)).eq(sent.labels.iter().map(|l| (&l.name, &l.value))));
        // Of minus zero prost leaves out the sign.
        let bits = |value: f64| if value == 0.0 { 0 } else { value.to_bits() };
        let found = samples.iter().map(|s| (bits(s.value), s.timestamp_ms));
        assert!(found.eq(sent.samples.iter().map(|s| (bits(s.value), s.timestamp))));
        assert_eq!((histograms.len(), *exemplars), (sent.histograms.len(), sent.exemplars.len()));
        assert!(histograms.iter().all(Result::is_ok));
    }
}

proptest! {
    #[test]
    fn what_prost_writes_is_read_the_same(sent in prop::collection::vec(one_series(), 0..5)) {
        let request = messages::WriteRequest { timeseries: sent.clone(), metadata: Vec::new() };
        check(&all(Message::V1, &request.encode_to_vec()).unwrap(), &sent);
        check(&all(Message::V2, &as_v2(&sent).encode_to_vec()).unwrap(), &sent);
    }

    #[test]
    fn damaged_requests_do_no_harm(
        sent in prop::collection::vec(one_series(), 0..4), at in any::<prop::sample::Index>(), byte: u8, cut: prop::sample::Index,
    ) {
        let v1 = messages::WriteRequest { timeseries: sent.clone(), metadata: Vec::new() }.encode_to_vec();
        for (message, mut body) in [(Message::V1, v1), (Message::V2, as_v2(&sent).encode_to_vec())] {
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
                body.truncate(cut.index(body.len()) + 1);
            }
            let _ = all(message, &body);
        }
    }

    #[test]
    fn any_bytes_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (all(Message::V1, &body), all(Message::V2, &body), histogram::read(&body));
    }
}

#[test]
fn what_takes_two_bytes_to_send_is_not_kept_without_bound() {
    let empty_samples = [0x12, 0].repeat(SAMPLES_MAX + 1);
    let empty_labels = [0x0a, 0].repeat(LABELS_MAX + 1);
    let empty_histograms = [0x22, 0].repeat(HISTOGRAMS_MAX + 1);
    for inner in [&empty_samples, &empty_labels, &empty_histograms] {
        let mut body = Vec::new();
        crate::wire::put::bytes(&mut body, 1, inner);
        assert!(matches!(all(Message::V1, &body), Err(Unreadable::TooMany { .. })));
    }
    let symbols = [0x22, 0].repeat(SYMBOLS_MAX + 1);
    assert!(matches!(all(Message::V2, &symbols), Err(Unreadable::TooMany { what: "symbols", .. })));
    let mut row = Vec::new();
    crate::wire::put::bytes(&mut row, 12, &vec![0; 2 << 20]);
    assert_eq!(histogram::read(&row).unwrap(), Err("it is longer than 1 MiB"));
}
