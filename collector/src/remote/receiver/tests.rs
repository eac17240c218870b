//! What senders are answered, and what is then in the store: the cases of `tests/remote_write/receiver.yml`.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::to_bytes;
use indexmap::IndexMap;
use lifecycle::ManualClock;
use parking_lot::Mutex;
use prost::Message as _;
use serde::Deserialize;
use tower::ServiceExt;

use super::*;
use crate::api::views::{Exemplar, ExemplarSource};
use crate::remote::messages::{self, BucketSpan, Count, ZeroCount, v2};
use crate::series::{
    AppendError, Appendable, Appended, HistogramSample, Ingest, Labels, MetricMetadata, Queryable, Sample, SeriesRef,
    Unmetered, stale_nan,
};
use crate::store::{Store, StoreOptions};

const CASES: &str = include_str!("../../../tests/remote_write/receiver.yml");

/// The clock of all cases.
const NOW_MS: i64 = 1_700_000_000_000;

const RETENTION_MS: i64 = 86_400_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    case: String,
    status: u16,
    written: Written,
    series: Vec<CaseSeries>,
    #[serde(default = "two")]
    version: u8,
    content_type: Option<String>,
    content_encoding: Option<String>,
    #[serde(default)]
    damaged: bool,
}

fn two() -> u8 {
    2
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    samples: usize,
    histograms: usize,
    exemplars: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseSeries {
    labels: IndexMap<String, String>,
    #[serde(default)]
    samples: Vec<CaseSample>,
    #[serde(default)]
    histograms: Vec<String>,
    #[serde(default)]
    exemplars: Vec<CaseExemplar>,
    metadata: Option<CaseMetadata>,
    #[serde(default)]
    created: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseSample {
    at: i64,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseExemplar {
    labels: IndexMap<String, String>,
    value: String,
    at: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseMetadata {
    kind: String,
    help: String,
    unit: String,
}

fn value(text: &str, each: f64) -> f64 {
    if text == "each" { each } else { text.parse().unwrap() }
}

fn histogram(kind: &str) -> messages::Histogram {
    let has = |kinds: &[&str]| kinds.contains(&kind);
    let mut made = messages::Histogram { sum: 1.5, timestamp: NOW_MS, ..messages::Histogram::default() };
    let mut count = 0;
    if has(&["both_sides", "positive", "wrong_count"]) {
        made.positive_spans = vec![BucketSpan { offset: 0, length: 3 }, BucketSpan { offset: 2, length: 2 }];
        made.positive_deltas = vec![1, 2, 1, 3, 1];
        count += 23;
    }
    if has(&["both_sides", "negative"]) {
        made.negative_spans = vec![BucketSpan { offset: 0, length: 2 }];
        made.negative_deltas = vec![1, 1];
        count += 3;
    }
    if has(&["both_sides", "positive", "zero_alone"]) {
        made.zero_count = Some(ZeroCount::Int(1));
        count += 1;
    }
    if has(&["custom"]) {
        made.positive_spans = vec![BucketSpan { offset: 0, length: 6 }];
        made.positive_deltas = vec![2, 1, 2, 3, -1, -2];
        count = 30;
    }
    if has(&["custom", "float_custom"]) {
        made.schema = -53;
        made.custom_values = vec![0.1, 0.5, 1.0, 2.5, 5.0, 10.0];
    }
    made.count = Some(Count::Int(if kind == "wrong_count" { 99 } else { count }));
    if has(&["floats", "float_custom"]) {
        made.positive_spans = vec![BucketSpan { offset: 0, length: 2 }];
        made.positive_counts = vec![0.5, 2.0];
        made.count = Some(Count::Float(2.5));
    }
    made
}

const KINDS: [&str; 8] = ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];

fn v1_body(case: &Case, each: f64, reversed: bool) -> Vec<u8> {
    let labels = |labels: &IndexMap<String, String>| {
        let label = |(name, value): (&String, &String)| messages::Label { name: name.clone(), value: value.clone() };
        let mut labels: Vec<messages::Label> = labels.iter().map(label).collect();
        if reversed {
            labels.reverse();
        }
        labels
    };
    let series = |series: &CaseSeries| messages::TimeSeries {
        labels: labels(&series.labels),
        samples: samples(series, each),
        exemplars: (series.exemplars.iter())
            .map(|exemplar| messages::Exemplar {
                labels: labels(&exemplar.labels),
                value: value(&exemplar.value, each),
                timestamp: NOW_MS + exemplar.at * 1000,
            })
            .collect(),
        histograms: series.histograms.iter().map(|kind| histogram(kind)).collect(),
    };
    let timeseries = case.series.iter().map(series).collect();
    messages::WriteRequest { timeseries, metadata: Vec::new() }.encode_to_vec()
}

fn samples(series: &CaseSeries, each: f64) -> Vec<messages::Sample> {
    let sample = |s: &CaseSample| messages::Sample { value: value(&s.value, each), timestamp: NOW_MS + s.at * 1000 };
    series.samples.iter().map(sample).collect()
}

fn v2_body(case: &Case, each: f64, reversed: bool) -> Vec<u8> {
    let mut request = v2::Request::default();
    request.symbol("");
    for series in &case.series {
        let refs = |request: &mut v2::Request, labels: &IndexMap<String, String>| -> Vec<u32> {
            let mut pairs: Vec<[u32; 2]> =
                labels.iter().map(|(name, value)| [request.symbol(name), request.symbol(value)]).collect();
            if reversed {
                pairs.reverse();
            }
            pairs.concat()
        };
        let exemplar = |exemplar: &CaseExemplar, request: &mut v2::Request| v2::Exemplar {
            labels_refs: refs(request, &exemplar.labels),
            value: value(&exemplar.value, each),
            timestamp: NOW_MS + exemplar.at * 1000,
        };
        let metadata = series.metadata.as_ref().map(|metadata| v2::Metadata {
            kind: i32::try_from(KINDS.iter().position(|kind| *kind == metadata.kind).unwrap()).unwrap(),
            help_ref: request.symbol(&metadata.help),
            unit_ref: request.symbol(&metadata.unit),
        });
        let series = v2::TimeSeries {
            labels_refs: refs(&mut request, &series.labels),
            samples: samples(series, each),
            histograms: series.histograms.iter().map(|kind| histogram(kind)).collect(),
            exemplars: series.exemplars.iter().map(|one| exemplar(one, &mut request)).collect(),
            metadata,
            created_timestamp: series.created,
        };
        request.timeseries.push(series);
    }
    request.encode_to_vec()
}

/// Metadata as it was noted.
#[derive(Default)]
struct Noted(Mutex<Vec<(String, String)>>);

impl MetadataSink for Noted {
    fn note(&self, metric: &str, metadata: &MetricMetadata) {
        self.0.lock().push((metric.to_owned(), metadata.kind.clone()));
    }
}

struct Receiver {
    store: Arc<Store>,
    noted: Arc<Noted>,
    writer: Arc<Writer>,
    _folder: tempfile::TempDir,
}

impl Receiver {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options =
            StoreOptions { retention: Duration::from_millis(RETENTION_MS.unsigned_abs()), ..StoreOptions::default() };
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let (store, _) = Store::open(folder.path(), options, clock.clone()).unwrap();
        let (store, noted) = (Arc::new(store), Arc::new(Noted::default()));
        let writer = Arc::new(Writer::new(store.clone(), noted.clone(), clock, RETENTION_MS));
        Self { store, noted, writer, _folder: folder }
    }

    async fn post(&self, request: http::Request<Body>) -> (StatusCode, HeaderMap, String) {
        post(&routes(Some(self.writer.clone())), request).await
    }
}

async fn post(routes: &Router, request: http::Request<Body>) -> (StatusCode, HeaderMap, String) {
    let response = routes.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    (head.status, head.headers, String::from_utf8(body.into()).unwrap())
}

fn packed(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).unwrap()
}

fn request(content_type: &str, content_encoding: &str, body: Vec<u8>) -> http::Request<Body> {
    let mut request = http::Request::post(PATH);
    if !content_type.is_empty() {
        request = request.header(header::CONTENT_TYPE, content_type);
    }
    if !content_encoding.is_empty() {
        request = request.header(header::CONTENT_ENCODING, content_encoding);
    }
    request.body(body.into()).unwrap()
}

const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

fn case_request(case: &Case, each: f64, reversed: bool) -> http::Request<Body> {
    let (content_type, plain) = match case.version {
        1 => ("application/x-protobuf", v1_body(case, each, reversed)),
        _ => (V2, v2_body(case, each, reversed)),
    };
    let mut body = packed(&plain);
    if case.damaged {
        body[0] = b'0';
    }
    let content_encoding = case.content_encoding.as_deref().unwrap_or("snappy");
    request(case.content_type.as_deref().unwrap_or(content_type), content_encoding, body)
}

async fn run(case: &Case, each: f64, reversed: bool) -> Result<(), String> {
    let receiver = Receiver::new();
    let (status, headers, body) = receiver.post(case_request(case, each, reversed)).await;
    let count = |name: &str| -> usize {
        headers.get(name).map_or(0, |value| value.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(999))
    };
    let said = Written {
        samples: count("x-prometheus-remote-write-samples-written"),
        histograms: count("x-prometheus-remote-write-histograms-written"),
        exemplars: count("x-prometheus-remote-write-exemplars-written"),
    };
    let found = receiver.store.select(&[], i64::MIN, i64::MAX, &Unmetered).unwrap();
    let exemplars = receiver.store.exemplars(&[Vec::new()], i64::MIN, i64::MAX);
    let stored = Written {
        samples: found.iter().map(|series| series.samples.len()).sum(),
        histograms: found.iter().map(|series| series.histograms.len()).sum(),
        exemplars: exemplars.iter().map(|series| series.exemplars.len()).sum(),
    };
    let is_said = if case.version == 2 { said == case.written } else { headers.len() <= 2 };
    // Sent twice, a sample is stored once.
    let is_stored = stored == case.written || case.case == "the same sample twice";
    let has_reason = (status == StatusCode::NO_CONTENT) == body.is_empty();
    let noted = receiver.noted.0.lock().len();
    let is_noted = case.status != 204 || noted == case.series.iter().filter(|s| s.metadata.is_some()).count();
    if status.as_u16() == case.status && is_said && is_stored && has_reason && is_noted {
        return Ok(());
    }
    Err(format!("{} ({each}, {reversed}): {status} {body:?} said {said:?} stored {stored:?}", case.case))
}

#[tokio::test]
async fn every_case_is_answered_and_stored_as_it_must_be() {
    let cases: Vec<Case> = serde_saphyr::from_str(CASES).unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for case in &cases {
        let has_each = case.series.iter().flat_map(|series| &series.samples).any(|sample| sample.value == "each");
        let values = [1.0, f64::NAN, stale_nan(), f64::INFINITY, f64::NEG_INFINITY];
        for each in &values[..if has_each { values.len() } else { 1 }] {
            for reversed in [false, true] {
                count += 1;
                wrong.extend(run(case, *each, reversed).await.err());
            }
        }
    }
    assert!(cases.len() >= 80 && count > 200, "{} cases, {count} requests", cases.len());
    assert!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn up(timestamp: i64, value: f64) -> Vec<u8> {
    let labels = vec![messages::Label { name: "__name__".into(), value: "up".into() }];
    let samples = vec![messages::Sample { value, timestamp }];
    let timeseries = vec![messages::TimeSeries { labels, samples, ..messages::TimeSeries::default() }];
    packed(&messages::WriteRequest { timeseries, metadata: Vec::new() }.encode_to_vec())
}

#[tokio::test]
async fn what_is_not_stored_is_said_in_words_and_counted() {
    let receiver = Receiver::new();
    let send = async |at, value| receiver.post(request("", "snappy", up(NOW_MS + at, value))).await;
    assert_eq!(send(0, 1.0).await.0, StatusCode::NO_CONTENT);
    let (status, _, body) = send(-1, 1.0).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        body,
        "written: 0 samples, 0 histograms, 0 exemplars; refused: 1; 1 out of order: older than the newest sample of their series\n"
    );
    assert!(send(0, 2.0).await.2.contains("1 duplicate: their series has another value at that time"));
    assert!(send(-RETENTION_MS - 1, 2.0).await.2.contains("1 too old"));
    let counts = &receiver.writer.counts;
    assert_eq!(counts.requests(), [("accepted", 1), ("rejected", 3), ("busy", 0), ("failed", 0)]);
    let refused: Vec<_> = counts.refused().into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(refused, [("too_old", 1), ("out_of_order", 1), ("duplicate", 1)]);
}

#[tokio::test]
async fn a_bomb_is_refused_before_it_is_unpacked() {
    let receiver = Receiver::new();
    // The length that a block says it has, and nothing behind it.
    let mut bomb = Vec::new();
    crate::wire::put::varint(&mut bomb, u64::from(u32::MAX));
    let (status, _, body) = receiver.post(request(V2, "snappy", bomb)).await;
    assert_eq!((status, body.contains("longer than 33554432 bytes")), (StatusCode::BAD_REQUEST, true), "{body}");
    let (status, _, _) = receiver.post(request(V2, "snappy", packed(&vec![0; decode::REQUEST_BYTES_MAX + 1]))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_leave_nothing_is_taken_and_the_flag_is_named() {
    let (status, _, body) = post(&routes(None), request("", "snappy", up(NOW_MS, 1.0))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("--receive-metrics"), "{body}");
}

#[tokio::test]
async fn senders_wait_while_too_much_is_in_flight() {
    let receiver = Receiver::new();
    let shared = Arc::new(Shared { writer: receiver.writer.clone(), admission: Arc::default() });
    let routes = Router::new().route(PATH, axum::routing::post(write_request)).with_state(shared.clone());
    let admitted = shared.admission.admit().unwrap();
    assert!(admitted.grow(crate::otlp::admission::BYTES_INFLIGHT_MAX));
    let (status, headers, _) = post(&routes, request("", "snappy", up(NOW_MS, 1.0))).await;
    assert_eq!((status, headers[header::RETRY_AFTER].as_bytes()), (StatusCode::TOO_MANY_REQUESTS, &b"1"[..]));
    drop(admitted);
    assert_eq!(post(&routes, request("", "snappy", up(NOW_MS, 1.0))).await.0, StatusCode::NO_CONTENT);
}

/// Hands on to a store, unless told to fail or to have forgotten every series.
struct Moody {
    store: Arc<Store>,
    fails: AtomicBool,
    forgets: AtomicBool,
}

impl Appendable for Moody {
    fn append(&self, batch: &[(Labels, Sample)]) -> Result<Appended, AppendError> {
        self.store.append(batch)
    }
}

impl Ingest for Moody {
    fn resolve(&self, labels: &Labels) -> SeriesRef {
        self.store.resolve(labels)
    }

    fn labels(&self, series: SeriesRef) -> Option<Labels> {
        self.store.labels(series)
    }

    fn append_resolved(&self, batch: &[(SeriesRef, Sample)], gone: &mut Vec<usize>) -> Result<Appended, AppendError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(AppendError::Log(std::io::Error::other("no space left on device")));
        }
        if self.forgets.swap(false, Ordering::Relaxed) {
            gone.extend(0..batch.len());
            return Ok(Appended::default());
        }
        self.store.append_resolved(batch, gone)
    }

    fn append_histograms(
        &self,
        batch: &[(SeriesRef, HistogramSample)],
        gone: &mut Vec<usize>,
    ) -> Result<Appended, AppendError> {
        self.store.append_histograms(batch, gone)
    }

    fn append_exemplar(&self, series: SeriesRef, exemplar: Exemplar) {
        self.store.append_exemplar(series, exemplar);
    }
}

#[tokio::test]
async fn a_store_that_fails_is_said_to_and_one_that_forgets_is_told_anew() {
    let receiver = Receiver::new();
    let moody = Arc::new(Moody {
        store: receiver.store.clone(),
        fails: AtomicBool::new(true),
        forgets: AtomicBool::new(false),
    });
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let routes = routes(Some(Arc::new(Writer::new(moody.clone(), receiver.noted.clone(), clock, RETENTION_MS))));
    let send = async |at| post(&routes, request("", "snappy", up(NOW_MS + at, 1.0))).await;
    let (status, _, body) = send(0).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body.contains("no space left on device"), "{body}");
    moody.fails.store(false, Ordering::Relaxed);
    moody.forgets.store(true, Ordering::Relaxed);
    assert_eq!(send(0).await.0, StatusCode::NO_CONTENT);
    assert_eq!(receiver.store.stats().samples, 1);
}
