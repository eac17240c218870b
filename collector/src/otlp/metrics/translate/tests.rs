//! What requests become: series by series, as Prometheus 3.5 makes them of the same.

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, Gauge, ScopeMetrics, Sum};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::*;
use crate::config::otlp::{Promoted, Translation};
use crate::series::is_stale;

const T: u64 = 1_700_000_000_000_000_000;
const CUMULATIVE: i32 = 2;

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text_pair(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

fn point(value: NumberValue, attributes: Vec<KeyValue>) -> NumberDataPoint {
    NumberDataPoint { value: Some(value), attributes, time_unix_nano: T, ..NumberDataPoint::default() }
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.into(), unit: unit.into(), data: Some(data), ..Metric::default() }
}

fn sum(points: Vec<NumberDataPoint>, is_monotonic: bool, aggregation_temporality: i32) -> Data {
    Data::Sum(Sum { data_points: points, is_monotonic, aggregation_temporality })
}

fn request(resource: Vec<KeyValue>, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let resource = Some(Resource { attributes: resource, ..Resource::default() });
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

/// Series as text, with what is in them.
fn lines(translated: &Translated) -> Vec<String> {
    let line = |row: &Row| {
        let labels: Vec<String> = row.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let values: Vec<String> = (row.samples.iter())
            .map(|s| if is_stale(s.value) { "stale".into() } else { s.value.to_string() })
            .chain(
                row.histograms.iter().map(|(_, h)| if h.is_stale() { "stale".into() } else { format!("h{}", h.count) }),
            )
            .collect();
        let exemplars = if row.exemplars.is_empty() { String::new() } else { format!(" #{}", row.exemplars.len()) };
        format!("{} {}{exemplars}", labels.join(","), values.join(" "))
    };
    translated.rows.iter().map(line).collect()
}

fn default_lines(resource: Vec<KeyValue>, metrics: Vec<Metric>) -> Vec<String> {
    lines(&translate(&request(resource, metrics), &OtlpOptions::default()))
}

#[test]
fn numbers_become_samples_with_suffixes_and_joined_labels() {
    let attributes = vec![
        text_pair("http.route", "/a"),
        text_pair("http_route", "/b"),
        pair("code", Value::IntValue(200)),
        pair("ok", Value::BoolValue(true)),
        pair("tiny", Value::DoubleValue(1e-7)),
    ];
    let resource = vec![
        text_pair("service.name", "shop"),
        text_pair("service.namespace", "prod"),
        text_pair("service.instance.id", "i1"),
        text_pair("host.name", "node-1"),
    ];
    let made = default_lines(
        resource,
        vec![
            metric("requests", "{r}", sum(vec![point(NumberValue::AsInt(5), attributes)], true, CUMULATIVE)),
            metric("queue.size", "", sum(vec![point(NumberValue::AsInt(-1), vec![])], false, CUMULATIVE)),
            metric("load", "1", Data::Gauge(Gauge { data_points: vec![point(NumberValue::AsDouble(0.5), vec![])] })),
        ],
    );
    let expected = [
        "__name__=requests_total,code=200,http_route=/a;/b,instance=i1,job=prod/shop,ok=true,tiny=1e-7 5",
        "__name__=queue_size,instance=i1,job=prod/shop -1",
        "__name__=load_ratio,instance=i1,job=prod/shop 0.5",
        "__name__=target_info,host_name=node-1,instance=i1,job=prod/shop 1",
    ];
    assert_eq!(made, expected);
}

#[test]
fn histograms_become_classic_ones_with_their_exemplars() {
    let exemplar = |value, byte: u8| WireExemplar {
        value: Some(ExemplarValue::AsDouble(value)),
        trace_id: vec![byte; 16],
        span_id: vec![byte; 8],
        time_unix_nano: T,
        filtered_attributes: vec![text_pair("user", &"x".repeat(usize::from(byte)))],
    };
    let one = HistogramDataPoint {
        count: 6,
        sum: Some(7.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 10.0],
        exemplars: vec![exemplar(0.4, 1), exemplar(11.0, 99)],
        time_unix_nano: T,
        ..HistogramDataPoint::default()
    };
    let data = WireHistogram { data_points: vec![one], aggregation_temporality: CUMULATIVE };
    let metrics = vec![metric("latency", "s", Data::Histogram(data))];
    let translated = translate(&request(vec![], metrics.clone()), &OtlpOptions::default());
    let expected = [
        "__name__=latency_seconds_sum 7.5",
        "__name__=latency_seconds_count 6",
        "__name__=latency_seconds_bucket,le=0.5 1 #1",
        "__name__=latency_seconds_bucket,le=10 3",
        "__name__=latency_seconds_bucket,le=+Inf 6 #1",
    ];
    assert_eq!(lines(&translated), expected);
    let names = |row: &Row| row.exemplars[0].labels.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&translated.rows[2]), ["span_id", "trace_id", "user"]);
    assert_eq!(names(&translated.rows[4]), ["span_id", "trace_id"], "what would be too long is left out");
    let options = OtlpOptions { histograms_to_custom: true, ..OtlpOptions::default() };
    let custom = translate(&request(vec![], metrics), &options);
    assert_eq!(lines(&custom), ["__name__=latency_seconds h6 #2"]);
}

#[test]
fn exponential_histograms_and_summaries_have_their_own_series() {
    let one = ExponentialHistogramDataPoint {
        count: 3,
        sum: Some(1.0),
        scale: 2,
        zero_count: 1,
        positive: Some(Buckets { offset: 0, bucket_counts: vec![1, 1] }),
        time_unix_nano: T,
        ..ExponentialHistogramDataPoint::default()
    };
    let gone =
        ExponentialHistogramDataPoint { flags: 1, time_unix_nano: T, ..ExponentialHistogramDataPoint::default() };
    let data = ExponentialHistogram { data_points: vec![one, gone], aggregation_temporality: CUMULATIVE };
    let quantiles = vec![ValueAtQuantile { quantile: 0.5, value: 2.0 }, ValueAtQuantile { quantile: 1.0, value: 4.0 }];
    let point = SummaryDataPoint {
        count: 2,
        sum: 6.0,
        quantile_values: quantiles,
        time_unix_nano: T,
        ..SummaryDataPoint::default()
    };
    let made = default_lines(
        vec![],
        vec![
            metric("size", "By", Data::ExponentialHistogram(data)),
            metric("wait", "s", Data::Summary(Summary { data_points: vec![point] })),
        ],
    );
    let expected = [
        "__name__=size_bytes h3",
        "__name__=size_bytes stale",
        "__name__=wait_seconds_sum 6",
        "__name__=wait_seconds_count 2",
        "__name__=wait_seconds,quantile=0.5 2",
        "__name__=wait_seconds,quantile=1 4",
    ];
    assert_eq!(made, expected);
}

#[test]
fn what_is_gone_is_stale_in_every_kind() {
    let number = NumberDataPoint { flags: 1, time_unix_nano: T, ..NumberDataPoint::default() };
    let histogram = HistogramDataPoint {
        flags: 1,
        sum: Some(0.0),
        explicit_bounds: vec![1.0],
        bucket_counts: vec![0, 0],
        time_unix_nano: T,
        ..HistogramDataPoint::default()
    };
    let data = WireHistogram { data_points: vec![histogram], aggregation_temporality: CUMULATIVE };
    let summary = SummaryDataPoint { flags: 1, time_unix_nano: T, ..SummaryDataPoint::default() };
    let made = default_lines(
        vec![],
        vec![
            metric("a", "", Data::Gauge(Gauge { data_points: vec![number] })),
            metric("b", "", Data::Histogram(data)),
            metric("c", "", Data::Summary(Summary { data_points: vec![summary] })),
        ],
    );
    assert_eq!(made.len(), 7);
    assert!(made.iter().all(|line| line.ends_with(" stale")), "{made:?}");
}

#[test]
fn what_cannot_be_translated_is_counted_and_named() {
    let points = |count: usize| vec![point(NumberValue::AsInt(1), vec![]); count];
    let bad =
        ExponentialHistogramDataPoint { scale: -9, time_unix_nano: T, ..ExponentialHistogramDataPoint::default() };
    let histogram = ExponentialHistogram { data_points: vec![bad], aggregation_temporality: CUMULATIVE };
    let metrics = vec![
        metric("delta", "", sum(points(3), true, 1)),
        metric("none", "", sum(points(2), true, 0)),
        Metric { name: "empty".into(), ..Metric::default() },
        metric("odd", "", Data::ExponentialHistogram(histogram)),
        metric("good", "", sum(points(1), true, CUMULATIVE)),
    ];
    let translated = translate(&request(vec![], metrics), &OtlpOptions::default());
    assert_eq!((translated.rejected, translated.points, translated.rejected_count()), ([3, 3, 1, 0], 1, 7));
    let problem = translated.problem().unwrap();
    assert!(
        problem.starts_with("3 data points have delta temporality: set the exporter to cumulative; 3 "),
        "{problem}"
    );
    assert!(problem.ends_with("(such as delta)"), "{problem}");
}

#[test]
fn attributes_of_the_resource_are_promoted_as_asked() {
    let resource = || vec![text_pair("service.name", "shop"), text_pair("k8s.pod.name", "p"), text_pair("zone", "z")];
    let gauge = || {
        vec![metric(
            "g",
            "",
            Data::Gauge(Gauge { data_points: vec![point(NumberValue::AsInt(1), vec![text_pair("zone", "own")])] }),
        )]
    };
    let made = |options: &OtlpOptions| lines(&translate(&request(resource(), gauge()), options));
    let some =
        OtlpOptions { promoted: Promoted::Some(vec!["k8s.pod.name".into(), "zone".into()]), ..OtlpOptions::default() };
    assert_eq!(made(&some)[0], "__name__=g,job=shop,k8s_pod_name=p,zone=own 1");
    let all = OtlpOptions {
        promoted: Promoted::AllBut(vec!["zone".into()]),
        translation: Translation::None,
        keep_identifying: true,
        ..OtlpOptions::default()
    };
    let expected = [
        "__name__=g,job=shop,k8s.pod.name=p,service.name=shop,zone=own 1",
        "__name__=target_info,job=shop,k8s.pod.name=p,service.name=shop,zone=z 1",
    ];
    assert_eq!(made(&all), expected);
    let nobody = translate(&request(vec![text_pair("zone", "z")], gauge()), &OtlpOptions::default());
    assert_eq!(lines(&nobody), ["__name__=g,zone=own 1"], "without job and instance it would be about nobody");
}
