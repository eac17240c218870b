//! Side by side with a real Prometheus: both scrape the same text, whose samples have times of their own, or are written its
//! samples, and are then asked the same (`tests/prometheus/*.txt`). Needs `PROMETHEUS=/path/to/prometheus`; without it nothing
//! is compared, and it says so.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::answers::{Answer, agrees};
use crate::exposition::{SECONDS, exposition};
use crate::questions::{Question, questions};
use crate::running::{Running, Target};
use crate::written::write_request;

/// Everything both are asked.
const QUESTIONS: [&str; 2] = [include_str!("../prometheus/queries.txt"), include_str!("../prometheus/requests.txt")];

/// What both are asked that were written the samples.
const QUESTIONS_WRITTEN: [&str; 2] = [QUESTIONS[0], include_str!("../prometheus/ranges.txt")];

/// How long both may take to start and scrape.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A Prometheus of our own, ended when dropped.
pub struct Prometheus {
    child: Child,
    pub address: String,
    arguments: Vec<String>,
}

impl Prometheus {
    /// None, and a word about it, where there is none.
    fn start(folder: &Path) -> Option<Self> {
        let config = std::fs::read_to_string(folder.join("scrape.yml")).unwrap();
        let more = ["--enable-feature=promql-experimental-functions", "--web.enable-remote-write-receiver"];
        Self::start_with(&folder.join("prometheus"), &config, &more)
    }

    /// In a folder of its own, with a configuration and more arguments.
    pub fn start_with(folder: &Path, config: &str, more: &[&str]) -> Option<Self> {
        let Ok(binary) = std::env::var("PROMETHEUS") else {
            eprintln!("SKIPPED: PROMETHEUS=/path/to/prometheus is not set, nothing was compared");
            return None;
        };
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("prometheus.yml"), config).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut arguments = vec![
            binary,
            format!("--config.file={}", folder.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address={address}"),
        ];
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        Some(Self { child: spawn(&arguments), address, arguments })
    }

    /// Ends it as an operator does, and starts it again on the same folder and address.
    pub fn again(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.arguments);
    }
}

fn spawn(arguments: &[String]) -> Child {
    Command::new(&arguments[0])
        .args(&arguments[1..])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", arguments[0]))
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn ask(address: &str, question: &Question) -> Answer {
    let url = format!("http://{address}{}", question.path);
    let request = reqwest::Client::new().request(question.method.parse().unwrap(), url).timeout(DEADLINE);
    let request = match &question.form {
        None => request,
        Some(form) => request.header("content-type", "application/x-www-form-urlencoded").body(form.clone()),
    };
    let answered = request.send().await.unwrap_or_else(|error| panic!("{}: {error}", question.text));
    let status = answered.status().as_u16();
    let body = answered.text().await.unwrap();
    Answer { status, body: serde_json::from_str(&body).unwrap_or(Value::Null) }
}

/// Waits until the text's last series is there to be asked for.
async fn has_scraped(address: &str, base: i64) {
    let path = format!("/api/v1/query?query=done&time={}", base + SECONDS);
    let question = Question { path, ..Question::default() };
    let scraped = async {
        loop {
            let listens = tokio::net::TcpStream::connect(address).await.is_ok();
            if listens && ask(address, &question).await.body["data"]["result"][0].is_object() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, scraped).await.unwrap_or_else(|_| panic!("{address} has not scraped"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_answers_the_same() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let target = Target::start(&mut tasks).await;
    let base = base();
    target.prints(&exposition(base));
    let config = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: t\n  static_configs: [{{ targets: [{:?}] }}]\n",
        target.address
    );
    std::fs::write(folder.path().join("scrape.yml"), &config).unwrap();
    let Some(prometheus) = Prometheus::start(folder.path()) else { return };
    let running = Running::start(&mut tasks, folder.path(), &config).await;
    let ours = running.endpoints.http.to_string();
    has_scraped(&ours, base).await;
    has_scraped(&prometheus.address, base).await;
    compare(&ours, &prometheus.address, &QUESTIONS, base).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_that_was_written_the_same_samples_answers_the_same() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let base = base();
    let config = "scrape_configs: []\n";
    std::fs::write(folder.path().join("scrape.yml"), config).unwrap();
    let Some(prometheus) = Prometheus::start(folder.path()) else { return };
    let receives = |options: &mut collector::Options| options.receive_metrics = true;
    let running = Running::start_with(&mut tasks, folder.path(), config, receives).await;
    let ours = running.endpoints.http.to_string();
    let body = write_request(&exposition(base));
    for address in [&ours, &prometheus.address] {
        write(address, &body).await;
        has_scraped(address, base).await;
    }
    compare(&ours, &prometheus.address, &QUESTIONS_WRITTEN, base).await;
}

/// When the samples begin: a whole multiple of every step; recent enough for Prometheus to take in.
pub fn base() -> i64 {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    (now - SECONDS - 600) / 600 * 600
}

/// Sends samples, as soon as somebody listens.
async fn write(address: &str, body: &[u8]) {
    let sent = async {
        loop {
            let request = reqwest::Client::new().post(format!("http://{address}/api/v1/write")).body(body.to_vec());
            let request = request
                .header("content-type", "application/x-protobuf")
                .header("content-encoding", "snappy")
                .header("x-prometheus-remote-write-version", "0.1.0");
            match request.send().await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) if answer.status() != 503 => panic!("{address}: {}", answer.text().await.unwrap()),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, sent).await.unwrap_or_else(|_| panic!("{address} takes no samples"));
}

pub async fn compare(ours: &str, theirs: &str, files: &[&str], base: i64) {
    let (mut asked, mut wrong) = (0, Vec::new());
    for question in files.iter().flat_map(|text| questions(text, base)) {
        asked += 1;
        let (our, their) = (ask(ours, &question).await, ask(theirs, &question).await);
        let verdict = agrees(&our, &their, question.ordered);
        match (verdict, question.differs) {
            (Ok(()), false) | (Err(_), true) => {}
            (Ok(()), true) => wrong.push(format!("{}\n    agrees now: take its ~ away", question.text)),
            (Err(reason), false) => wrong.push(format!("{}\n    {reason}", question.text)),
        }
    }
    println!("{asked} questions, {} answers wrong", wrong.len());
    assert!(wrong.is_empty(), "of {asked} answers {} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
