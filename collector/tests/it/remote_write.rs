//! Remote write between collectors, and between a collector and a real Prometheus: what one has, the other has, sample by sample, also
//! when either ends and begins again. Needs `PROMETHEUS=/path/to/prometheus` for what is about it; without, it says so.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use collector::{Collector, Options};
use lifecycle::CancellationToken;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::prometheus::Prometheus;
use crate::running::Target;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Set in a process that is a collector: its folder, and its address.
const COLLECTOR: &str = "PLIMSOLL_TEST_COLLECTOR";

/// How many minutes the long runs take.
const MINUTES: &str = "PLIMSOLL_TEST_MINUTES";

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A collector in a process of its own, which may be killed.
struct Process {
    child: Child,
    folder: PathBuf,
    address: String,
}

impl Process {
    fn start(folder: &Path, address: &str, config: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("scrape.yml"), config).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["remote_write::collects_until_killed", "--exact", "--nocapture"])
            .env(COLLECTOR, format!("{} {address}", folder.display()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, folder: folder.to_owned(), address: address.to_owned() }
    }

    /// With SIGKILL: nothing is said, nothing is finished.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Begins again on the same folder and address.
    fn again(&mut self) {
        let config = std::fs::read_to_string(self.folder.join("scrape.yml")).unwrap();
        *self = Self::start(&self.folder.clone(), &self.address.clone(), &config);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test of its own: a collector, until it is killed.
#[test]
fn collects_until_killed() {
    let Ok(told) = std::env::var(COLLECTOR) else { return };
    let (folder, address) = told.split_once(' ').unwrap();
    let folder = Path::new(folder);
    let mut options = Options::new(folder.join("scrape.yml"), folder.join("data"));
    let free = "127.0.0.1:0".parse().unwrap();
    (options.otlp_grpc, options.otlp_http) = (free, free);
    options.listen = address.parse().unwrap();
    options.receive_metrics = true;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let collector = Collector::bind(options).await.unwrap_or_else(|error| panic!("{error}"));
        collector.run(CancellationToken::new()).await.unwrap();
    });
}

/// Samples of each series.
type Samples = BTreeMap<String, Vec<(String, String)>>;

/// What a server has of some series: `seconds` up to `at`. Nothing while it cannot be asked.
async fn samples(address: &str, selector: &str, seconds: f64, at: f64) -> Option<Samples> {
    let query = format!("{selector}[{}ms]", (seconds * 1000.0).round());
    let url = format!("http://{address}/api/v1/query");
    let form = format!("time={at}&query={}", query.replace('%', "%25").replace('+', "%2B"));
    let request = reqwest::Client::new().post(url).header("content-type", "application/x-www-form-urlencoded");
    let body = request.body(form).timeout(DEADLINE).send().await.ok()?.text().await.ok()?;
    let answer: Value = serde_json::from_str(&body).ok()?;
    let series = answer["data"]["result"].as_array()?;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let samples = |one: &Value| {
        let values = one["values"].as_array().into_iter().flatten();
        let histograms = one["histograms"].as_array().into_iter().flatten();
        values.chain(histograms).map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
    };
    Some(series.iter().map(|one| (one["metric"].to_string(), samples(one))).collect())
}

async fn counter(address: &str, name: &str) -> f64 {
    let metrics = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    let lines = metrics.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Waits until a server has something of some series.
async fn has(address: &str, selector: &str) {
    let deadline = Instant::now() + DEADLINE;
    while samples(address, selector, 60.0, now()).await.is_none_or(|found| found.is_empty()) {
        assert!(Instant::now() < deadline, "{address} has nothing of {selector}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the receiver has everything of the sender since `from`, up to now; says how many samples that are.
async fn receives_all(sender: &str, receiver: &str, selector: &str, from: f64) -> usize {
    let (at, deadline) = (now(), Instant::now() + DEADLINE);
    loop {
        let sent = samples(sender, selector, at - from, at).await;
        let received = samples(receiver, selector, at - from, at).await;
        let missing = match (&sent, &received) {
            (Some(sent), Some(received)) if !sent.is_empty() => missing(sent, received),
            _ => Some("one of them cannot be asked".to_owned()),
        };
        let Some(missing) = missing else { return sent.unwrap().values().map(Vec::len).sum() };
        assert!(Instant::now() < deadline, "{missing}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The first series that differs.
fn missing(sent: &Samples, received: &Samples) -> Option<String> {
    let differs = sent.iter().find(|(series, samples)| received.get(*series) != Some(samples));
    differs.map(|(series, samples)| {
        let found = received.get(series).map(Vec::as_slice).unwrap_or_default();
        let absent: Vec<_> = samples.iter().filter(|sample| !found.contains(sample)).take(5).collect();
        let more: Vec<_> = found.iter().filter(|sample| !samples.contains(sample)).take(5).collect();
        format!("{series}: {} sent, {} received, missing {absent:?}, too many {more:?}", samples.len(), found.len())
    })
}

/// A target that counts, measures and observes, anew with every scrape.
async fn busy_target(tasks: &mut JoinSet<()>) -> String {
    let target = Target::start(tasks).await;
    let address = target.address.clone();
    tasks.spawn(async move {
        for turn in 1u64.. {
            let mut text = String::from("# TYPE work_total counter\n# TYPE size gauge\n# TYPE took histogram\n");
            for series in 0..20 {
                let count = turn * (series + 1);
                text +=
                    &format!("work_total{{s=\"{series}\"}} {count}\nsize{{s=\"{series}\"}} {}\n", turn % (series + 2));
            }
            text += &format!("took_bucket{{le=\"1\"}} {turn}\ntook_bucket{{le=\"+Inf\"}} {}\n", turn * 2);
            text += &format!("took_sum {}\ntook_count {}\n", turn as f64 * 1.25, turn * 2);
            target.prints(&text);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    address
}

/// Scrapes a target ten times a second; sends what it has if told where to.
fn config(target: &str, receiver: Option<(&str, &str)>) -> String {
    let sending = receiver.map_or_else(String::new, |(address, message)| {
        format!(
            "remote_write:\n- url: http://{address}/api/v1/write\n  protobuf_message: {message}\n  send_exemplars: true\n  \
             send_native_histograms: true\n  queue_config: {{ batch_send_deadline: 200ms, min_backoff: 20ms, max_backoff: 200ms }}\n  \
             metadata_config: {{ send_interval: 500ms }}\n"
        )
    });
    format!(
        "global: {{ scrape_interval: 100ms }}\nscrape_configs:\n- job_name: busy\n  static_configs: [{{ targets: [{target:?}] }}]\n{sending}"
    )
}

const V1: &str = "prometheus.WriteRequest";
const V2: &str = "io.prometheus.write.v2.Request";

/// All that the target has, and what scraping it adds.
const BUSY: &str = "{job=\"busy\"}";

async fn lasts(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Sender and receiver end in turn, the sender by SIGKILL; nothing is missing in the end.
async fn nothing_is_missing_across_restarts(sender: &mut Process, receiver: &mut Process) {
    has(&receiver.address, BUSY).await;
    let from = now();
    lasts(Duration::from_secs(1)).await;
    receiver.kill();
    lasts(Duration::from_secs(1)).await;
    receiver.again();
    has(&receiver.address, BUSY).await;
    sender.kill();
    sender.again();
    has(&sender.address, BUSY).await;
    lasts(Duration::from_secs(1)).await;
    let count = receives_all(&sender.address, &receiver.address, BUSY, from).await;
    assert!(count > 400, "only {count} samples");
    assert!(counter(&sender.address, "prometheus_remote_storage_samples_retried_total").await >= 0.0);
    assert_eq!(counter(&sender.address, "prometheus_remote_storage_samples_failed_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_collector_has_another_has_across_the_end_of_either() {
    for message in [V1, V2] {
        let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
        let target = busy_target(&mut tasks).await;
        let (ours, theirs) = (free_address(), free_address());
        let mut receiver = Process::start(&folder.path().join("receiver"), &theirs, "");
        let sending = config(&target, Some((&theirs, message)));
        let mut sender = Process::start(&folder.path().join("sender"), &ours, &sending);
        nothing_is_missing_across_restarts(&mut sender, &mut receiver).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_all_is_well_nothing_is_sent_twice_and_nothing_refused() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = busy_target(&mut tasks).await;
    let (ours, theirs) = (free_address(), free_address());
    let receiver = Process::start(&folder.path().join("receiver"), &theirs, "");
    let mut idle = 0;
    while reqwest::get(format!("http://{theirs}/readyz")).await.is_err() {
        idle += 1;
        assert!(idle < 500, "the receiver does not start");
        lasts(Duration::from_millis(50)).await;
    }
    let sender = Process::start(&folder.path().join("sender"), &ours, &config(&target, Some((&theirs, V2))));
    has(&receiver.address, BUSY).await;
    let from = now();
    lasts(Duration::from_secs(2)).await;
    receives_all(&sender.address, &receiver.address, BUSY, from).await;
    for of in ["samples_failed", "samples_retried", "samples_doubtful", "samples_dropped", "metadata_failed"] {
        assert_eq!(counter(&ours, &format!("prometheus_remote_storage_{of}_total")).await, 0.0, "{of}");
    }
    assert_eq!(counter(&theirs, "plimsoll_collector_remote_write_samples_refused_total").await, 0.0);
    // Metadata is told too.
    let metadata = reqwest::get(format!("http://{theirs}/api/v1/metadata?metric=size")).await.unwrap();
    assert!(metadata.text().await.unwrap().contains("gauge"));
}

/// How long a run with a real Prometheus takes.
fn minutes(default_s: u64) -> Duration {
    let asked = std::env::var(MINUTES).ok().and_then(|minutes| minutes.parse::<f64>().ok());
    asked.map_or(Duration::from_secs(default_s), |minutes| Duration::from_secs_f64(minutes * 60.0))
}

/// Prometheus scrapes and sends, ours receives.
async fn prometheus_sends(time: Duration, message: &str) {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = busy_target(&mut tasks).await;
    let receiver = Process::start(&folder.path().join("receiver"), &free_address(), "");
    while reqwest::get(format!("http://{}/readyz", receiver.address)).await.is_err() {
        lasts(Duration::from_millis(50)).await;
    }
    let sending = config(&target, Some((&receiver.address, message)));
    let Some(prometheus) = Prometheus::start_with(&folder.path().join("prometheus"), &sending, &[]) else { return };
    has(&receiver.address, BUSY).await;
    let from = now();
    lasts(time).await;
    let count = receives_all(&prometheus.address, &receiver.address, BUSY, from).await;
    let of = |name: &str| format!("prometheus_remote_storage_{name}_total");
    for name in ["samples_failed", "samples_retried", "samples_dropped", "exemplars_failed", "metadata_failed"] {
        assert_eq!(counter(&prometheus.address, &of(name)).await, 0.0, "{name}");
    }
    assert_eq!(counter(&receiver.address, "plimsoll_collector_remote_write_samples_refused_total").await, 0.0);
    println!("{count} samples of {message} from Prometheus, none missing, none sent twice");
}

/// Ours scrapes and sends, Prometheus receives; both end in between, ours by SIGKILL.
async fn prometheus_receives(time: Duration, message: &str) {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = busy_target(&mut tasks).await;
    let receiving = ["--web.enable-remote-write-receiver"];
    let Some(mut prometheus) = Prometheus::start_with(&folder.path().join("prometheus"), "", &receiving) else {
        return;
    };
    let sending = config(&target, Some((&prometheus.address, message)));
    let mut sender = Process::start(&folder.path().join("sender"), &free_address(), &sending);
    has(&prometheus.address, BUSY).await;
    let from = now();
    lasts(time / 4).await;
    prometheus.again();
    lasts(time / 4).await;
    sender.kill();
    sender.again();
    lasts(time / 4).await;
    prometheus.again();
    sender.kill();
    sender.again();
    lasts(time / 4).await;
    let count = receives_all(&sender.address, &prometheus.address, BUSY, from).await;
    assert_eq!(counter(&sender.address, "prometheus_remote_storage_samples_failed_total").await, 0.0);
    println!("{count} samples of {message} to Prometheus across four ends, none missing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_sends_to_ours() {
    prometheus_sends(minutes(3), V1).await;
    prometheus_sends(minutes(3), V2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_receives_from_ours() {
    prometheus_receives(minutes(6), V1).await;
    prometheus_receives(minutes(6), V2).await;
}
