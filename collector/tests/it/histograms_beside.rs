//! Histograms of all forms beside a real Prometheus: both scrape one target by protobuf and as a text, under each of the options
//! that say what becomes of histograms, and are then asked the same (`tests/prometheus/histograms.txt`). Needs
//! `PROMETHEUS=/path/to/prometheus`, as `prometheus` does.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::task::JoinSet;

use crate::exposition::SECONDS;
use crate::messages::{
    Bucket, BucketSpan, COUNTER, Exemplar, GAUGE, GAUGE_HISTOGRAM, HISTOGRAM, Histogram, Metric, MetricFamily, Number,
    Quantile, SUMMARY, Summary, UNTYPED, answer, bucket, exemplar, family, labels, number, text,
};
use crate::prometheus::{DEADLINE, Prometheus, ask, base, compare};
use crate::questions::Question;
use crate::running::Running;

/// Jobs that all scrape the one target, with what they want.
const JOBS: [(&str, &str); 7] = [
    ("t", ""),
    ("classic", "scrape_protocols: [PrometheusText0.0.4]"),
    ("both", "always_scrape_classic_histograms: true"),
    ("custom", "convert_classic_histograms_to_nhcb: true"),
    ("custom_both", "convert_classic_histograms_to_nhcb: true\n  always_scrape_classic_histograms: true"),
    ("custom_text", "convert_classic_histograms_to_nhcb: true\n  scrape_protocols: [PrometheusText0.0.4]"),
    ("limited", "native_histogram_bucket_limit: 6\n  native_histogram_min_bucket_factor: 1.2"),
];

/// Jobs in which `both_seconds` is a native histogram.
const NATIVE_JOBS: usize = 6;

/// Between samples with times of their own.
const STEP: i64 = 15;

fn config(address: &str, global: &str) -> String {
    let jobs = JOBS.map(|(name, options)| {
        format!("- job_name: {name}\n  static_configs: [{{ targets: [{address:?}] }}]\n  {options}\n")
    });
    format!("global: {{ scrape_interval: 1s{global} }}\nscrape_configs:\n{}", jobs.concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_that_scraped_the_same_histograms_answers_the_same() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let base = base();
    let address = target(&mut tasks, base).await;
    let more = ["--enable-feature=native-histograms,exemplar-storage"];
    let theirs = config(&address, "");
    let Some(prometheus) = Prometheus::start_with(&folder.path().join("prometheus"), &theirs, &more) else { return };
    let ours = config(&address, ", scrape_native_histograms: true");
    let running = Running::start(&mut tasks, folder.path(), &ours).await;
    let ours = running.endpoints.http.to_string();
    for address in [&ours, &prometheus.address] {
        becomes(address, &format!("count(done @ {})", base + SECONDS), JOBS.len()).await;
        becomes(address, "count(both_seconds)", NATIVE_JOBS).await;
        becomes(address, "count(scrape_series_added == 0)", JOBS.len()).await;
    }
    let questions = include_str!("../prometheus/histograms.txt").replace("$now", &format!("${}", now() - base));
    compare(&ours, &prometheus.address, &[&questions], base).await;
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + 1
}

/// Waits until a query gives this many.
async fn becomes(address: &str, query: &str, wanted: usize) {
    let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let question = Question { path: format!("/api/v1/query?query={query}"), ..Question::default() };
    let wanted = wanted.to_string();
    let scraped = async {
        loop {
            let listens = tokio::net::TcpStream::connect(address).await.is_ok();
            if listens && ask(address, &question).await.body["data"]["result"][0]["value"][1] == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, scraped).await.unwrap_or_else(|_| panic!("{address}: {query} is not {wanted}"));
}

/// A target that answers by protobuf if it is asked to, and else prints what stands still.
async fn target(tasks: &mut JoinSet<()>, base: i64) -> String {
    let still = still(base);
    let printed = text(&still);
    // What has times of its own comes first: theirs gives the last converted histogram the time of what follows it.
    let answered = answer(&[timed(base), still].concat());
    let both = Arc::new((answered, printed));
    let metrics = move |headers: HeaderMap| {
        let both = both.clone();
        async move {
            let accepts =
                |media: &str| headers.get(header::ACCEPT).is_some_and(|v| v.to_str().unwrap().contains(media));
            let protobuf = "application/vnd.google.protobuf";
            if accepts(protobuf) {
                let proto = format!("{protobuf}; proto=io.prometheus.client.MetricFamily; encoding=delimited");
                ([(header::CONTENT_TYPE, proto)], both.0.clone()).into_response()
            } else {
                ([(header::CONTENT_TYPE, "text/plain; version=0.0.4".to_owned())], both.1.clone()).into_response()
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let routes = Router::new().route("/metrics", get(metrics));
    tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

/// The same numbers in every run: a linear congruential generator.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Counts as steps from bucket to bucket.
fn deltas(counts: &[u64]) -> Vec<i64> {
    let before = std::iter::once(&0).chain(counts);
    counts.iter().zip(before).map(|(count, before)| count.cast_signed() - before.cast_signed()).collect()
}

fn histogram(schema: i32, positive: &[u64], negative: &[u64], zero_count: u64) -> Histogram {
    let span = |counts: &[u64], offset| match counts.len() {
        0 => Vec::new(),
        length => {
            let half = length as u32 / 2;
            // A gap in the middle.
            vec![BucketSpan { offset, length: half }, BucketSpan { offset: 2, length: length as u32 - half }]
        }
    };
    let total: u64 = positive.iter().chain(negative).sum();
    Histogram {
        sample_count: total + zero_count,
        sample_sum: total as f64 * 0.37,
        schema,
        zero_threshold: 0.001,
        zero_count,
        positive_span: span(positive, -3),
        positive_delta: deltas(positive),
        negative_span: span(negative, 1),
        negative_delta: deltas(negative),
        ..Histogram::default()
    }
}

/// Histograms with times of their own: counters that begin again, change their resolution or have a gap, and a gauge.
fn timed(base: i64) -> Vec<MetricFamily> {
    let mut random = Random(7);
    let (mut native, mut gauges) = (Vec::new(), Vec::new());
    for service in ["cart", "pay", "web", "gap"] {
        // Later versions, and ours, extend no counter of histograms to below zero; 3.5 does: so they begin well above it.
        let (mut positive, mut negative, mut zero) = ([5u64; 9], [5u64; 3], 0);
        for i in 0..=SECONDS / STEP {
            positive.iter_mut().for_each(|count| *count += random.next(7) * random.next(2));
            negative.iter_mut().for_each(|count| *count += random.next(3));
            zero += random.next(2);
            if service == "pay" && i % 47 == 46 {
                (positive, negative, zero) = ([5; 9], [5; 3], 0);
            }
            if service == "gap" && (40..80).contains(&i) {
                continue;
            }
            let schema = if service == "web" && i >= 60 { 1 } else { 3 };
            let negative: &[u64] = if service == "cart" { &negative } else { &[] };
            let histogram = Some(histogram(schema, &positive, negative, zero));
            let (label, timestamp_ms) = (labels(&[("service", service)]), (base + i * STEP) * 1_000);
            native.push(Metric { label, histogram, timestamp_ms, ..Metric::default() });
        }
    }
    for i in 0..=SECONDS / STEP {
        let counts: Vec<f64> = (0..4).map(|_| random.next(50) as f64 / 4.0).collect();
        let histogram = Histogram {
            sample_count_float: counts.iter().sum::<f64>() + 1.5,
            sample_sum: random.next(90) as f64,
            schema: 0,
            zero_threshold: 0.5,
            zero_count_float: 1.5,
            positive_span: vec![BucketSpan { offset: 0, length: 4 }],
            positive_count: counts,
            ..Histogram::default()
        };
        let timestamp_ms = (base + i * STEP) * 1_000;
        gauges.push(Metric { histogram: Some(histogram), timestamp_ms, ..Metric::default() });
    }
    let named = |name: &str, kind, metric| MetricFamily {
        name: name.to_owned(),
        help: format!("The {name}."),
        kind,
        metric,
        ..MetricFamily::default()
    };
    vec![named("native_seconds", HISTOGRAM, native), named("gauge_seconds", GAUGE_HISTOGRAM, gauges)]
}

fn classic(bounds: &[(f64, u64)], count: u64, base: i64) -> Histogram {
    let traced = |(i, (bound, count)): (usize, &(f64, u64))| Bucket {
        exemplar: (i == 1).then(|| exemplar("b", 0.4, Some(base + 70))),
        ..bucket(*bound, *count)
    };
    Histogram {
        sample_count: count,
        sample_sum: count as f64 * 0.7,
        bucket: bounds.iter().enumerate().map(traced).collect(),
        ..Histogram::default()
    }
}

/// All types of families, without times of their own but for the last that tells when all is there.
fn still(base: i64) -> Vec<MetricFamily> {
    let done = Metric { gauge: number(1.0), timestamp_ms: (base + SECONDS) * 1_000, ..Metric::default() };
    let counted = Number { value: Some(7.0), exemplar: Some(exemplar("c", 1.0, Some(base + 60))), ..Number::default() };
    let of = |service: &str, histogram| Metric {
        label: labels(&[("service", service)]),
        histogram: Some(histogram),
        ..Metric::default()
    };
    let seconds = [(0.1, 2), (0.25, 2), (1.0, 5), (10.0, 9)];
    let exemplars: Vec<Exemplar> = [61, 64, 62].map(|at| exemplar("n", at as f64, Some(base + at))).into();
    let both = Histogram {
        bucket: classic(&seconds, 10, base).bucket,
        exemplars,
        ..histogram(3, &[3, 0, 0, 4, 0, 1], &[], 2)
    };
    let floats = Histogram {
        sample_count_float: 4.5,
        sample_sum: 9.25,
        bucket: vec![Bucket { upper_bound: 0.5, cumulative_count_float: 1.25, ..Bucket::default() }],
        ..Histogram::default()
    };
    let with_inf = [(1.0, 3), (2.5, 8), (f64::INFINITY, 11)];
    let mut classics = family("classic_seconds", HISTOGRAM, of("cart", classic(&seconds, 12, base)));
    classics.metric.push(of("pay", classic(&with_inf, 11, base)));
    classics.metric.push(of("none", classic(&[], 3, base)));
    let quantile = vec![Quantile { quantile: 0.5, value: 3.0 }, Quantile { quantile: 1.0, value: f64::NAN }];
    let summary = Some(Summary { sample_count: 4, sample_sum: 1.5, quantile });
    let odd = Metric {
        label: labels(&[("l", "a\"b\\c\nd"), ("m", "")]),
        untyped: number(f64::NEG_INFINITY),
        ..Metric::default()
    };
    let marked = Histogram { positive_span: vec![BucketSpan::default()], ..Histogram::default() };
    vec![
        family("done", GAUGE, done),
        family("requests_total", COUNTER, Metric { counter: Some(counted), ..Metric::default() }),
        family("both_seconds", HISTOGRAM, of("cart", both)),
        classics,
        family("float_seconds", HISTOGRAM, of("cart", floats)),
        family("empty_seconds", HISTOGRAM, of("cart", marked)),
        family("size_bytes", SUMMARY, Metric { summary, ..Metric::default() }),
        family("odd", UNTYPED, odd),
        family(
            "dotted.name",
            GAUGE,
            Metric { gauge: number(0.5), label: labels(&[("l.m", "x")]), ..Metric::default() },
        ),
        family("temperature", GAUGE, Metric { gauge: number(-4.5), ..Metric::default() }),
    ]
}
