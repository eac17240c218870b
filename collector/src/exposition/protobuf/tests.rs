//! The protobuf format: what each family means, what is a problem, and that nothing makes it panic.

use proptest::prelude::*;
use prost::Message;

use super::messages::{
    self as wire, COUNTER, GAUGE, GAUGE_HISTOGRAM, HISTOGRAM, MetricFamily, SUMMARY, UNTYPED, answer, bucket, exemplar,
    family, labels, number,
};
use super::*;
use crate::exposition::parse_series;
use crate::series::{CounterReset, Histogram, METRIC_NAME, SCHEMA_CUSTOM, Span};

const CLASSIC: HistogramForms = HistogramForms { native: false, classic_always: false, custom: false };
const NATIVE: HistogramForms = HistogramForms { native: true, ..CLASSIC };
const CUSTOM: HistogramForms = HistogramForms { custom: true, ..NATIVE };

/// A native histogram with classic buckets beside.
fn both() -> wire::Histogram {
    wire::Histogram {
        sample_count: 10,
        sample_sum: 12.5,
        bucket: vec![bucket(0.5, 2), bucket(1.0, 7)],
        schema: 2,
        zero_threshold: 0.25,
        zero_count: 1,
        positive_span: vec![wire::BucketSpan { offset: -2, length: 2 }, wire::BucketSpan { offset: 3, length: 1 }],
        positive_delta: vec![3, -1, 2],
        ..wire::Histogram::default()
    }
}

fn of_histogram(kind: i32, histogram: wire::Histogram) -> MetricFamily {
    family(
        "h",
        kind,
        wire::Metric { label: labels(&[("a", "b")]), histogram: Some(histogram), ..wire::Metric::default() },
    )
}

/// `series value`, a histogram as its count and sum.
fn lines(parsed: &Parsed) -> Vec<String> {
    let line = |series: &ParsedSeries| match &series.value {
        ParsedValue::Number(value) => format!("{} {value}", series.key),
        ParsedValue::Histogram(histogram) => format!("{} {}@{}", series.key, histogram.count, histogram.sum),
    };
    parsed.series.iter().map(line).collect()
}

fn histogram(parsed: &Parsed) -> &Histogram {
    let histograms = parsed.series.iter().filter_map(|series| match &series.value {
        ParsedValue::Histogram(histogram) => Some(histogram),
        ParsedValue::Number(_) => None,
    });
    let histograms: Vec<&Histogram> = histograms.collect();
    let [histogram] = histograms.as_slice() else { panic!("{parsed:?}") };
    histogram
}

#[test]
fn families_become_the_series_of_the_text() {
    let counter = wire::Metric {
        label: labels(&[("a", "x\"\\\ny"), ("b.c", "d"), ("e", "")]),
        counter: number(3.0),
        ..wire::Metric::default()
    };
    let mut counter = family("c_total", COUNTER, counter);
    (counter.help, counter.unit) = ("Counts.".to_owned(), "things".to_owned());
    let gauge = wire::Metric { gauge: number(-0.5), timestamp_ms: 1_500, ..wire::Metric::default() };
    let untyped = wire::Metric { untyped: number(f64::INFINITY), ..wire::Metric::default() };
    let quantile = wire::Quantile { quantile: 0.5, value: 4.0 };
    let summary = wire::Summary { sample_count: 2, sample_sum: 7.0, quantile: vec![quantile] };
    let summary = wire::Metric { summary: Some(summary), label: labels(&[("l", "m")]), ..wire::Metric::default() };
    let parsed = parse_protobuf(
        &answer(&[
            counter,
            family("g", GAUGE, gauge),
            family("u.v", UNTYPED, untyped),
            family("s", SUMMARY, summary),
            MetricFamily { name: "empty".to_owned(), ..MetricFamily::default() },
        ]),
        CLASSIC,
    );
    assert_eq!(parsed.problems, []);
    assert_eq!(
        lines(&parsed),
        [
            "c_total{a=\"x\\\"\\\\\\ny\",\"b.c\"=\"d\",e=\"\"} 3",
            "g -0.5",
            "{\"u.v\"} inf",
            "s_count{l=\"m\"} 2",
            "s_sum{l=\"m\"} 7",
            "s{l=\"m\",quantile=\"0.5\"} 4",
        ]
    );
    assert_eq!(parsed.series[1].timestamp_ms, Some(1_500));
    let said = parsed.families.iter().map(|(name, said)| (&**name, &*said.kind, &*said.help, &*said.unit));
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            ("c_total", "counter", "Counts.", "things"),
            ("g", "gauge", "", ""),
            ("u.v", "unknown", "", ""),
            ("s", "summary", "", ""),
        ],
        "a family without metrics is none"
    );
}

#[test]
fn a_histogram_is_taken_in_the_forms_that_are_asked_for() {
    let classic_only =
        wire::Histogram { sample_count: 10, sample_sum: 12.5, bucket: both().bucket, ..Default::default() };
    let native_only = wire::Histogram { bucket: Vec::new(), ..both() };
    let empty = wire::Histogram { positive_span: vec![wire::BucketSpan::default()], ..Default::default() };
    let (native, classic) = (
        "h{a=\"b\"} 10@12.5",
        [
            "h_count{a=\"b\"} 10",
            "h_sum{a=\"b\"} 12.5",
            "h_bucket{a=\"b\",le=\"0.5\"} 2",
            "h_bucket{a=\"b\",le=\"1.0\"} 7",
            "h_bucket{a=\"b\",le=\"+Inf\"} 10",
        ],
    );
    let with = |first: &'static str| std::iter::once(first).chain(classic).collect::<Vec<_>>();
    let one_bucket = vec![classic[0], classic[1], classic[4]];
    let always = |forms| HistogramForms { classic_always: true, ..forms };
    let of_classic = HistogramForms { custom: true, ..CLASSIC };
    for (kind, message, forms, wanted) in [
        (HISTOGRAM, both(), CLASSIC, classic.to_vec()),
        (HISTOGRAM, both(), NATIVE, vec![native]),
        (HISTOGRAM, both(), CUSTOM, vec![native]),
        (HISTOGRAM, both(), always(NATIVE), with(native)),
        (HISTOGRAM, both(), always(CUSTOM), with(native)),
        (HISTOGRAM, both(), of_classic, vec![native]),
        (HISTOGRAM, native_only.clone(), CLASSIC, one_bucket.clone()),
        (HISTOGRAM, native_only.clone(), always(NATIVE), vec![native]),
        (HISTOGRAM, classic_only.clone(), NATIVE, classic.to_vec()),
        (HISTOGRAM, classic_only.clone(), CUSTOM, vec![native]),
        (HISTOGRAM, classic_only.clone(), always(CUSTOM), with(native)),
        (GAUGE_HISTOGRAM, both(), NATIVE, vec![native]),
        (GAUGE_HISTOGRAM, classic_only, CUSTOM, classic.to_vec()),
        (HISTOGRAM, empty.clone(), NATIVE, vec!["h{a=\"b\"} 0@0"]),
        (HISTOGRAM, empty, CLASSIC, vec!["h_count{a=\"b\"} 0", "h_sum{a=\"b\"} 0", "h_bucket{a=\"b\",le=\"+Inf\"} 0"]),
    ] {
        let parsed = parse_protobuf(&answer(&[of_histogram(kind, message.clone())]), forms);
        assert_eq!(
            (lines(&parsed), parsed.problems.len()),
            (wanted.iter().map(ToString::to_string).collect(), 0),
            "{forms:?}"
        );
    }
}

#[test]
fn native_buckets_are_counted_out() {
    let parsed = parse_protobuf(&answer(&[of_histogram(HISTOGRAM, both())]), NATIVE);
    let wanted = Histogram {
        schema: 2,
        zero_threshold: 0.25,
        zero_count: 1.0,
        count: 10.0,
        sum: 12.5,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
        positive_buckets: vec![3.0, 2.0, 4.0],
        ..Histogram::default()
    };
    assert_eq!(histogram(&parsed), &wanted);
    let floats = wire::Histogram {
        sample_count_float: 2.5,
        sample_sum: -1.0,
        negative_span: vec![wire::BucketSpan { offset: 0, length: 2 }],
        negative_count: vec![0.5, 2.0],
        ..Default::default()
    };
    let parsed = parse_protobuf(&answer(&[of_histogram(GAUGE_HISTOGRAM, floats)]), NATIVE);
    let found = histogram(&parsed);
    assert_eq!((found.count, &found.negative_buckets[..], found.reset), (2.5, &[0.5, 2.0][..], CounterReset::Gauge));
    let classic = wire::Histogram { sample_count: 9, bucket: both().bucket, ..Default::default() };
    let parsed = parse_protobuf(&answer(&[of_histogram(HISTOGRAM, classic)]), CUSTOM);
    let found = histogram(&parsed);
    assert_eq!((found.schema, &found.custom_bounds[..]), (SCHEMA_CUSTOM, &[0.5, 1.0][..]));
    assert_eq!((&found.positive_buckets[..], found.reset), (&[2.0, 5.0, 2.0][..], CounterReset::Unknown));
}

#[test]
fn exemplars_come_with_what_they_are_of() {
    let seconds = |found: &ParsedSeries| found.exemplars.iter().map(|e| e.timestamp_ms / 1_000).collect::<Vec<_>>();
    let counted = wire::Number { value: Some(1.0), exemplar: Some(exemplar("t", 0.5, Some(7))), ..Default::default() };
    let counter = wire::Metric { counter: Some(counted.clone()), ..Default::default() };
    let gauge = wire::Metric { gauge: Some(counted), ..Default::default() };
    let parsed = parse_protobuf(&answer(&[family("c", COUNTER, counter), family("g", GAUGE, gauge)]), NATIVE);
    assert_eq!((seconds(&parsed.series[0]), seconds(&parsed.series[1])), (vec![7], vec![]));
    assert_eq!(parsed.series[0].exemplars[0].labels.get("trace_id"), Some("t"));
    let mut message = both();
    message.bucket[0].exemplar = Some(exemplar("b0", 0.1, Some(3)));
    message.bucket[1].exemplar = Some(exemplar("b1", 0.9, None));
    let parsed = parse_protobuf(&answer(&[of_histogram(HISTOGRAM, message.clone())]), NATIVE);
    assert_eq!(seconds(&parsed.series[0]), [3], "of a native one, those with a time");
    let parsed = parse_protobuf(&answer(&[of_histogram(HISTOGRAM, message.clone())]), CLASSIC);
    assert_eq!((seconds(&parsed.series[2]), seconds(&parsed.series[3])), (vec![3], vec![0]));
    message.exemplars = vec![exemplar("n0", 0.2, Some(5)), exemplar("n1", 0.2, None), exemplar("n2", 0.3, Some(4))];
    let parsed = parse_protobuf(&answer(&[of_histogram(HISTOGRAM, message)]), NATIVE);
    assert_eq!(seconds(&parsed.series[0]), [5, 4], "its own come before those of classic buckets");
}

#[test]
fn damage_is_named_and_costs_no_other() {
    let gauge = |name: &str| family(name, GAUGE, wire::Metric { gauge: number(1.0), ..Default::default() });
    let problems = |body: &[u8], forms| {
        let parsed = parse_protobuf(body, forms);
        (parsed.problems.iter().map(ToString::to_string).collect::<Vec<_>>(), lines(&parsed))
    };
    let framed = |message: &[u8]| {
        let mut framed = Vec::new();
        crate::wire::put::varint(&mut framed, message.len() as u64);
        framed.extend_from_slice(message);
        framed
    };
    let (before, after) = (answer(&[gauge("a")]), answer(&[gauge("z")]));
    let mut many = gauge("m");
    many.metric.push(wire::Metric { label: labels(&[("l", "1")]), counter: number(1.0), ..Default::default() });
    many.metric.push(wire::Metric { label: labels(&[("l", "2")]), gauge: number(2.0), ..Default::default() });
    let contradicting = wire::Histogram { sample_count: 11, ..both() };
    let spans = wire::Histogram { positive_delta: vec![1], ..both() };
    let mut nameless = gauge("n");
    nameless.metric[0].label = labels(&[("", "x")]);
    for (damaged, place, kept) in [
        (framed(b"\x0a\x05ab"), "family 2: the message is cut short: ", &["a 1", "z 1"][..]),
        (framed(b"\x0a\x01\xff"), "family 2: a text is not UTF-8: ", &["a 1", "z 1"]),
        (framed(b"\x0a\x01b\x18\x09"), "family 2: its type does not exist: b", &["a 1", "z 1"]),
        (framed(b"\x18\x01"), "family 2: the family has no name: ", &["a 1", "z 1"]),
        (
            framed(b"\x0a\x01b\x18\x01\x22\x03\x12\x01\x09"),
            "family 2, metric 1: the message is cut short: b",
            &["a 1", "z 1"],
        ),
        (
            answer(&[many]),
            "family 2, metric 2: the metric has no value of its family's type: m{l=\"1\"}",
            &["a 1", "m 1", "m{l=\"2\"} 2", "z 1"],
        ),
        (
            answer(&[of_histogram(HISTOGRAM, contradicting)]),
            "family 2, metric 1: its buckets hold another number of observations than its count says: h{a=\"b\"}",
            &["a 1", "z 1"],
        ),
        (
            answer(&[of_histogram(HISTOGRAM, spans)]),
            "family 2, metric 1: its spans need another number of buckets than it has: h{a=\"b\"}",
            &["a 1", "z 1"],
        ),
        (answer(&[nameless]), "family 2, metric 1: a label has no name: n", &["a 1", "z 1"]),
    ] {
        let body = [&before[..], &damaged, &after].concat();
        let (found, series) = problems(&body, NATIVE);
        assert_eq!((found, series), (vec![place.to_owned()], kept.iter().map(ToString::to_string).collect()));
    }
    let cut = [&before[..], &after[..after.len() - 1]].concat();
    assert_eq!(
        problems(&cut, NATIVE),
        (vec!["family 2: the message is cut short: ".to_owned()], vec!["a 1".to_owned()])
    );
    let huge = wire::Histogram { positive_delta: vec![0; 2 << 20], ..both() };
    let (found, _) = problems(&answer(&[of_histogram(HISTOGRAM, huge)]), NATIVE);
    assert_eq!(found, ["family 1, metric 1: it is longer than 1 MiB: h{a=\"b\"}"]);
}

fn any_labels() -> impl Strategy<Value = Vec<wire::LabelPair>> {
    prop::collection::btree_map("[a-c.é\"\\\\]{1,3}", ".{0,4}", 0..3)
        .prop_map(|pairs| pairs.into_iter().map(|(name, value)| wire::LabelPair { name, value }).collect())
}

fn any_metric() -> impl Strategy<Value = (i32, wire::Metric)> {
    let numbers = (0i32..3, any::<f64>()).prop_map(|(which, value)| {
        let value = number(value);
        match which {
            0 => (COUNTER, wire::Metric { counter: value, ..Default::default() }),
            1 => (GAUGE, wire::Metric { gauge: value, ..Default::default() }),
            _ => (UNTYPED, wire::Metric { untyped: value, ..Default::default() }),
        }
    });
    let histograms = (any::<bool>(), prop::collection::vec(0u64..9, 1..6), -4i32..9, 0u64..3, -9i32..9).prop_map(
        |(gauge, counts, schema, zero_count, offset)| {
            let mut before = 0;
            let delta = |count: &u64| {
                let delta = count.cast_signed() - before;
                before = count.cast_signed();
                delta
            };
            let histogram = wire::Histogram {
                sample_count: counts.iter().sum::<u64>() + zero_count,
                sample_sum: 1.5,
                schema,
                zero_count,
                zero_threshold: 0.5,
                positive_span: vec![wire::BucketSpan { offset, length: counts.len() as u32 }],
                positive_delta: counts.iter().map(delta).collect(),
                ..Default::default()
            };
            let kind = if gauge { GAUGE_HISTOGRAM } else { HISTOGRAM };
            (kind, wire::Metric { histogram: Some(histogram), ..Default::default() })
        },
    );
    prop_oneof![numbers, histograms]
}

fn any_family() -> impl Strategy<Value = MetricFamily> {
    let metric = (any_metric(), any_labels(), any::<i64>());
    ("[a-c.é\"\\\\:]{1,4}", metric).prop_map(|(name, ((kind, metric), label, timestamp_ms))| {
        family(&name, kind, wire::Metric { label, timestamp_ms, ..metric })
    })
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back(families in prop::collection::vec(any_family(), 0..6)) {
        let parsed = parse_protobuf(&answer(&families), NATIVE);
        prop_assert_eq!(&parsed.problems, &[]);
        prop_assert_eq!(parsed.series.len(), families.len());
        for (family, found) in families.iter().zip(&parsed.series) {
            let metric = &family.metric[0];
            prop_assert_eq!(found.timestamp_ms, Some(metric.timestamp_ms).filter(|ms| *ms != 0));
            let mut wanted: Vec<(&str, &str)> = metric.label.iter().map(|l| (&*l.name, &*l.value)).collect();
            wanted.push((METRIC_NAME, &family.name));
            wanted.sort_unstable();
            let parts = parse_series(&found.key).unwrap();
            prop_assert_eq!(parts.iter().map(|(n, v)| (&**n, &**v)).collect::<Vec<_>>(), wanted, "{}", found.key);
            let plain = metric.counter.as_ref().or(metric.gauge.as_ref()).or(metric.untyped.as_ref());
            match (&found.value, plain, &metric.histogram) {
                (ParsedValue::Number(value), Some(number), None) => {
                    prop_assert_eq!(value.to_bits(), number.value.unwrap().to_bits());
                }
                (ParsedValue::Histogram(histogram), None, Some(message)) => {
                    let counts = message.positive_delta.iter().scan(0, |count, delta| {
                        *count += delta;
                        Some(*count as f64)
                    });
                    prop_assert_eq!(&histogram.positive_buckets, &counts.collect::<Vec<_>>());
                    prop_assert_eq!(histogram.count, message.sample_count as f64);
                    prop_assert_eq!((histogram.schema, histogram.zero_count), (message.schema, message.zero_count as f64));
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn never_panics(body in prop::collection::vec(any::<u8>(), 0..200), native: bool, classic_always: bool, custom: bool) {
        let _ = parse_protobuf(&body, HistogramForms { native, classic_always, custom });
    }

    /// Almost a message: most of it is read.
    #[test]
    fn never_panics_on_what_was_damaged(
        families in prop::collection::vec(any_family(), 1..4), at: prop::sample::Index, byte: u8, cut: bool, custom: bool,
    ) {
        let mut body = answer(&families);
        let at = at.index(body.len());
        body[at] = byte;
        if cut {
            body.truncate(at);
        }
        let _ = parse_protobuf(&body, HistogramForms { custom, ..NATIVE });
    }

    /// Every byte belongs to a family that is read, or a problem says so.
    #[test]
    fn nothing_is_lost_in_silence(families in prop::collection::vec(any_family(), 1..4), cut: prop::sample::Index) {
        let body = answer(&families);
        let whole = families.iter().scan(0, |end, family| {
            *end += family.encode_length_delimited_to_vec().len();
            Some(*end)
        });
        let cut = cut.index(body.len());
        let read = whole.clone().filter(|end| *end <= cut).count();
        let is_whole = cut == 0 || whole.clone().any(|end| end == cut);
        let parsed = parse_protobuf(&body[..cut], NATIVE);
        prop_assert_eq!((parsed.series.len(), parsed.problems.len()), (read, usize::from(!is_whole)));
    }
}
