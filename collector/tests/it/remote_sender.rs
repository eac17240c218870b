//! What a receiver of remote write gets from a collector: labels, headers, stale markers; and again what it would not take, or not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use parking_lot::Mutex;
use prost::Message;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::running::{Running, Target};

const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// What a receiver got, and how it answers.
#[derive(Default)]
struct Got {
    /// Statuses of the next answers; then 204.
    answers: Vec<StatusCode>,
    retry_after: Option<&'static str>,
    /// Bodies with when they came, in order, and whether they were taken.
    bodies: Vec<(Bytes, Instant, bool)>,
    headers: HeaderMap,
}

#[derive(Clone)]
struct Receiver {
    address: String,
    got: Arc<Mutex<Got>>,
}

async fn take(State(got): State<Arc<Mutex<Got>>>, headers: HeaderMap, body: Bytes) -> Response {
    let plain = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    let mut got = got.lock();
    // Metadata goes its own way.
    if WriteRequest::decode(&plain[..]).unwrap().timeseries.is_empty() {
        return StatusCode::NO_CONTENT.into_response();
    }
    got.headers = headers;
    let status = if got.answers.is_empty() { StatusCode::NO_CONTENT } else { got.answers.remove(0) };
    got.bodies.push((plain.into(), Instant::now(), status.is_success()));
    match got.retry_after.filter(|_| !status.is_success()) {
        Some(after) => (status, [("retry-after", after)], "why").into_response(),
        None => (status, "why").into_response(),
    }
}

impl Receiver {
    async fn start(tasks: &mut JoinSet<()>, answers: &[StatusCode]) -> Self {
        let got = Arc::new(Mutex::new(Got { answers: answers.to_vec(), ..Got::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let routes = Router::new().route("/write", post(take)).with_state(got.clone());
        tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, got }
    }

    /// Samples that were taken, by series.
    fn samples(&self) -> BTreeMap<String, Vec<Sample>> {
        let mut all: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
        for (body, _, _) in self.got.lock().bodies.iter().filter(|(_, _, taken)| *taken) {
            for series in WriteRequest::decode(&body[..]).unwrap().timeseries {
                let labels: Vec<String> = series.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
                all.entry(labels.join(",")).or_default().extend(series.samples);
            }
        }
        all
    }

    /// Waits until something holds.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.samples().keys());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn config(target: &str, receiver: &str, more: &str) -> String {
    format!(
        "global: {{ scrape_interval: 100ms, external_labels: {{ site: north, job: not-this }} }}\nscrape_configs:\n\
         - job_name: t\n  static_configs: [{{ targets: [{target:?}] }}]\nremote_write:\n- url: http://{receiver}/write\n  {more}\n"
    )
}

const QUICK: &str = "batch_send_deadline: 50ms, min_backoff: 20ms, max_backoff: 50ms";

async fn counted(running: &Running, name: &str) -> f64 {
    let metrics = running.get("/metrics").await.1;
    let name = format!("prometheus_remote_storage_{name}_total{{");
    let lines = metrics.lines().filter(|line| line.starts_with(&name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

fn is_in_order(samples: &[Sample]) -> bool {
    samples.is_sorted_by(|a, b| a.timestamp < b.timestamp)
}

#[tokio::test]
async fn a_receiver_gets_relabelled_series_with_external_labels_and_stale_markers() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = Target::start(&mut tasks).await;
    target.prints("kept{pod=\"p\"} 1\nother 1\n");
    let receiver = Receiver::start(&mut tasks, &[]).await;
    let more = format!(
        "headers: {{ X-Scope-OrgID: me }}\n  basic_auth: {{ username: u, password: p }}\n  queue_config: {{ {QUICK} }}\n  \
         write_relabel_configs:\n  - {{ source_labels: [__name__, site], regex: 'kept;north', action: keep }}\n  \
         - {{ regex: pod|instance, action: labeldrop }}"
    );
    let running = Running::start(&mut tasks, folder.path(), &config(&target.address, &receiver.address, &more)).await;
    let series = "__name__=kept,job=t,site=north";
    receiver.until("a series", |r| r.samples().contains_key(series)).await;
    target.prints("other 1\n");
    let is_stale = |sample: &Sample| sample.value.to_bits() == 0x7ff0_0000_0000_0002;
    receiver.until("a stale marker", |r| r.samples()[series].iter().any(is_stale)).await;
    let samples = receiver.samples();
    assert_eq!(samples.keys().collect::<Vec<_>>(), [series]);
    assert!(is_in_order(&samples[series]) && is_stale(samples[series].last().unwrap()));
    let headers = receiver.got.lock().headers.clone();
    assert_eq!(
        (headers["x-scope-orgid"].as_bytes(), headers["authorization"].as_bytes()),
        (&b"me"[..], &b"Basic dTpw"[..])
    );
    assert_eq!(counted(&running, "samples_failed").await, 0.0);
    assert!(running.get("/metrics").await.1.contains("reason=\"dropped_series\""));
}

#[tokio::test]
async fn what_fails_is_sent_again_as_it_was_and_in_order() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = Target::start(&mut tasks).await;
    target.prints("a 1\nb 2\n");
    let failures = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_GATEWAY];
    let receiver = Receiver::start(&mut tasks, &failures).await;
    receiver.got.lock().retry_after = Some("1");
    let more = format!("queue_config: {{ {QUICK}, max_shards: 1 }}");
    let running = Running::start(&mut tasks, folder.path(), &config(&target.address, &receiver.address, &more)).await;
    receiver.until("more after the failures", |r| r.got.lock().bodies.len() >= 6).await;
    let bodies = receiver.got.lock().bodies.clone();
    assert!(bodies[..4].iter().all(|(body, _, _)| *body == bodies[0].0), "the same until it is taken");
    assert!(bodies[4].0 != bodies[0].0, "and then no more");
    assert!(bodies[1].1 - bodies[0].1 >= Duration::from_secs(1), "not before the receiver wants it");
    assert!(receiver.samples().values().all(|samples| is_in_order(samples)));
    assert!(counted(&running, "samples_retried").await >= 3.0);
    assert_eq!(counted(&running, "samples_failed").await, 0.0);
}

#[tokio::test]
async fn what_is_refused_is_not_sent_again() {
    for (status, retried) in [(400, false), (404, false), (429, false), (429, true)] {
        let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
        let target = Target::start(&mut tasks).await;
        target.prints("a 1\n");
        let receiver = Receiver::start(&mut tasks, &[StatusCode::from_u16(status).unwrap()]).await;
        let more = format!("queue_config: {{ {QUICK}, max_shards: 1, retry_on_http_429: {retried} }}");
        let running =
            Running::start(&mut tasks, folder.path(), &config(&target.address, &receiver.address, &more)).await;
        receiver.until("two requests", |r| r.got.lock().bodies.len() >= 2).await;
        let bodies = receiver.got.lock().bodies.clone();
        assert_eq!(bodies[0].0 == bodies[1].0, retried, "{status}");
        let (failed, again) = (counted(&running, "samples_failed").await, counted(&running, "samples_retried").await);
        assert_eq!((failed > 0.0, again > 0.0), (!retried, retried), "{status}");
    }
}

#[tokio::test]
async fn a_backlog_is_sent_in_full_and_in_order_when_the_receiver_comes() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = Target::start(&mut tasks).await;
    let text: String = (0..50).map(|i| format!("m{{i=\"{i}\"}} 1\n")).collect();
    target.prints(&text);
    let receiver = Receiver::start(&mut tasks, &[]).await;
    receiver.got.lock().answers = vec![StatusCode::SERVICE_UNAVAILABLE; 40];
    let more = format!("queue_config: {{ {QUICK}, min_shards: 4, max_samples_per_send: 100 }}");
    let running = Running::start(&mut tasks, folder.path(), &config(&target.address, &receiver.address, &more)).await;
    receiver.until("the end of the failures", |r| r.got.lock().answers.is_empty()).await;
    let sum = "sum(count_over_time(m[5m]))";
    let stored = running.query(sum).await[0].1;
    let count = |r: &Receiver| r.samples().values().map(Vec::len).sum::<usize>();
    receiver.until("the backlog", |r| count(r) as f64 >= stored).await;
    let samples = receiver.samples();
    assert!(samples.values().all(|samples| is_in_order(samples)), "a series' samples are out of order");
    assert_eq!(counted(&running, "samples_dropped").await + counted(&running, "samples_failed").await, 0.0);
}

#[tokio::test]
async fn a_reload_changes_the_receiver_and_a_bad_one_changes_nothing() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = Target::start(&mut tasks).await;
    target.prints("a 1\n");
    let (first, second) = (Receiver::start(&mut tasks, &[]).await, Receiver::start(&mut tasks, &[]).await);
    let more = format!("name: r\n  queue_config: {{ {QUICK} }}");
    let running = Running::start(&mut tasks, folder.path(), &config(&target.address, &first.address, &more)).await;
    first.until("samples", |r| !r.samples().is_empty()).await;
    let file = folder.path().join("scrape.yml");
    std::fs::write(&file, config(&target.address, &second.address, &format!("{more}\n  sharding: 1"))).unwrap();
    assert_eq!(running.post("/-/reload").await.0, StatusCode::INTERNAL_SERVER_ERROR);
    std::fs::write(&file, config(&target.address, &second.address, &more)).unwrap();
    assert_eq!(running.post("/-/reload").await.0, StatusCode::OK);
    second.until("samples", |r| r.samples().values().any(|samples| samples.len() > 3)).await;
    let (before, after) = (first.samples(), second.samples());
    for (series, samples) in after.iter().filter(|(series, _)| before.contains_key(*series)) {
        let newest = before[series].last().unwrap().timestamp;
        assert!(samples[0].timestamp > newest && is_in_order(samples), "{series}: none twice, none between");
    }
    assert_eq!(counted(&running, "samples_dropped").await, 0.0);
}

#[tokio::test]
async fn what_waits_is_sent_before_the_collector_ends() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = Target::start(&mut tasks).await;
    target.prints("a 1\n");
    let receiver = Receiver::start(&mut tasks, &[]).await;
    let more = "queue_config: { batch_send_deadline: 1h }";
    let running = Running::start(&mut tasks, folder.path(), &config(&target.address, &receiver.address, more)).await;
    running.becomes("count_over_time(a[5m]) >= bool 2", 1.0).await;
    assert!(receiver.samples().is_empty(), "an hour has not gone by");
    running.stop();
    receiver.until("samples", |r| r.samples().values().any(|samples| samples.len() >= 2)).await;
}
