//! Native histograms are scraped by protobuf, classic ones become some, and what a target is asked for is what the file says.

use tokio::task::JoinSet;

use crate::messages::{
    Bucket, BucketSpan, GAUGE, HISTOGRAM, Histogram, Metric, MetricFamily, answer, bucket, family, labels, number,
};
use crate::running::{Running, Target};

const PROTOBUF: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// Four observations for each `n`: two up to 1, two up to 2.
fn observed(n: u64) -> MetricFamily {
    let histogram = Histogram {
        sample_count: 4 * n,
        sample_sum: 5.0 * n as f64,
        schema: 0,
        zero_threshold: 0.001,
        positive_span: vec![BucketSpan { offset: 0, length: 2 }],
        positive_delta: vec![2 * n.cast_signed(), 0],
        bucket: vec![bucket(1.0, 2 * n), Bucket { upper_bound: f64::INFINITY, ..bucket(0.0, 4 * n) }],
        ..Histogram::default()
    };
    let label = labels(&[("service", "cart")]);
    family("latency_seconds", HISTOGRAM, Metric { label, histogram: Some(histogram), ..Metric::default() })
}

fn gauge(value: f64) -> MetricFamily {
    family("temperature", GAUGE, Metric { gauge: number(value), ..Metric::default() })
}

fn config(address: &str, global: &str, job: &str) -> String {
    format!(
        "global: {{ scrape_interval: 100ms{global} }}\nscrape_configs:\n- job_name: t\n  \
         static_configs: [{{ targets: [{address:?}] }}]\n  {job}\n"
    )
}

#[tokio::test]
async fn a_native_histogram_is_scraped_and_queried_and_ends() {
    let mut tasks = JoinSet::new();
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(&mut tasks).await;
    target.compresses();
    target.answers(PROTOBUF, &answer(&[gauge(1.0), observed(1)]));
    let config = config(&target.address, ", scrape_native_histograms: true", "");
    let running = Running::start(&mut tasks, folder.path(), &config).await;
    running.becomes("histogram_count(latency_seconds)", 4.0).await;
    running.becomes("histogram_quantile(0.5, latency_seconds)", 1.0).await;
    running.becomes("scrape_samples_scraped", 2.0).await;
    running.ends("latency_seconds_count").await;
    let accept = target.last_headers()["accept"].to_str().unwrap().to_owned();
    assert!(accept.starts_with("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"), "{accept}");
    assert!(accept.ends_with(";q=0.2,*/*;q=0.1"), "{accept}");
    let (_, shown) = running.get("/api/v1/status/config").await;
    assert!(shown.contains("scrape_native_histograms: true"), "{shown}");
    target.answers(PROTOBUF, &answer(&[gauge(1.0), observed(3)]));
    running.becomes("histogram_sum(latency_seconds{service=\"cart\"})", 15.0).await;
    target.answers(PROTOBUF, &answer(&[gauge(2.0)]));
    running.ends("latency_seconds").await;
    running.becomes("temperature", 2.0).await;
    target.answers(PROTOBUF, &answer(&[observed(5)]));
    running.becomes("histogram_count(latency_seconds)", 20.0).await;
    target.fails();
    running.ends("latency_seconds").await;
    let metadata = running.get("/api/v1/metadata?metric=latency_seconds").await.1;
    assert!(metadata.contains("\"type\":\"histogram\""), "{metadata}");
}

#[tokio::test]
async fn whoever_does_not_ask_for_native_histograms_gets_classic_ones() {
    let mut tasks = JoinSet::new();
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(&mut tasks).await;
    target.answers(PROTOBUF, &answer(&[observed(2)]));
    let config = config(&target.address, "", "scrape_protocols: [PrometheusProto, PrometheusText0.0.4]");
    let running = Running::start(&mut tasks, folder.path(), &config).await;
    running.becomes("latency_seconds_bucket{le=\"1.0\"}", 4.0).await;
    running.becomes("latency_seconds_count", 8.0).await;
    running.becomes("scrape_samples_scraped", 4.0).await;
    let accept = target.last_headers()["accept"].to_str().unwrap().to_owned();
    assert!(accept.ends_with(";q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4"), "{accept}");
}

#[tokio::test]
async fn classic_histograms_of_a_text_become_native_ones() {
    let mut tasks = JoinSet::new();
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(&mut tasks).await;
    target.prints(&crate::messages::text(&[observed(2)]));
    let job = "convert_classic_histograms_to_nhcb: true\n  always_scrape_classic_histograms: true";
    let running = Running::start(&mut tasks, folder.path(), &config(&target.address, "", job)).await;
    running.becomes("histogram_count(latency_seconds)", 8.0).await;
    running.becomes("histogram_fraction(0, 1, latency_seconds)", 0.5).await;
    running.becomes("latency_seconds_count", 8.0).await;
    running.becomes("scrape_samples_scraped", 5.0).await;
    target.prints("# nothing\n");
    running.ends("latency_seconds").await;
}

#[tokio::test]
async fn damage_is_shown_with_its_place_and_an_unnamed_format_can_be_named() {
    let mut tasks = JoinSet::new();
    let folder = tempfile::tempdir().unwrap();
    let target = Target::start(&mut tasks).await;
    let mut damaged = observed(1);
    damaged.metric[0].histogram.as_mut().unwrap().sample_count = 99;
    target.answers("application/octet-stream", &answer(&[gauge(1.0), damaged, observed(2)]));
    let job = "fallback_scrape_protocol: PrometheusProto\n  scrape_native_histograms: true";
    let running = Running::start(&mut tasks, folder.path(), &config(&target.address, "", job)).await;
    running.becomes("histogram_count(latency_seconds)", 8.0).await;
    let view = running.client.targets().await.unwrap().active_targets.remove(0);
    assert_eq!((view.health.as_str(), view.last_scrape_samples, view.last_scrape_problems), ("up", 2, 1));
    assert_eq!(
        view.last_problem,
        "family 2, metric 1: its buckets hold another number of observations than its count says: \
         latency_seconds{service=\"cart\"}"
    );
}
