//! Starts the real binary, reads what it says, finds its children, and never leaves one behind.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::prometheus::{PrometheusClient, QueryData};

/// The binary under test.
pub const PLIMSOLL: &str = env!("CARGO_BIN_EXE_plimsoll");

/// One demo at a time: two would measure each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Waits for its turn.
pub fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running headless demo.
pub struct Demo {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    /// URL of the collector.
    pub collector: String,
    /// URL of the autoscaler.
    pub autoscaler: String,
    /// URL of the shop.
    pub gateway: String,
}

impl Demo {
    /// Starts a demo on free ports and waits until its services are ready.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, |_| {})
    }

    /// The same, in changed surroundings.
    pub fn start_with(arguments: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(PLIMSOLL);
        command
            .args(["demo", "--headless", "--collector", "127.0.0.1:0", "--autoscaler", "127.0.0.1:0"])
            .args(["--gateway", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let empty = String::new;
        let mut demo =
            Self { child, lines, seen: Vec::new(), collector: empty(), autoscaler: empty(), gateway: empty() };
        let first = demo.wait_for("plimsoll demo:", Duration::from_secs(20));
        let urls: Vec<&str> = first.split_whitespace().filter(|word| word.starts_with("http://")).collect();
        demo.collector = urls[0].to_owned();
        demo.autoscaler = urls[1].to_owned();
        demo.gateway = urls[2].to_owned();
        demo.wait_for("all services ready", Duration::from_secs(60));
        demo
    }

    /// Waits for a line that contains a text.
    pub fn wait_for(&mut self, text: &str, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => panic!("no line with {text:?} after {patience:?}; seen: {:#?}", self.seen),
            }
        }
    }

    /// Waits for the end and gives the exit code.
    pub fn wait_end(&mut self, patience: Duration) -> Option<i32> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                self.seen.extend(self.lines.try_iter());
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the demo did not end within {patience:?}; seen: {:#?}", self.seen);
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything printed so far.
    pub fn output(&self) -> String {
        self.seen.join("\n")
    }

    /// Process ids of the replicas of a service; of all services if none is named.
    pub fn replicas(&self, service: Option<&str>) -> Vec<u32> {
        children_of(self.child.id())
            .into_iter()
            .filter(|pid| {
                let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let words: Vec<&[u8]> = arguments.split(|b| *b == 0).collect();
                service.is_none_or(|name| words.contains(&name.as_bytes()))
            })
            .collect()
    }

    /// `kill -9` for the demo itself.
    pub fn kill(&mut self) {
        self.child.kill().expect("the demo is ours");
        self.child.wait().expect("it has ended");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn children_of(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = after_name.split_whitespace();
        let state = fields.next().unwrap_or("Z");
        let is_child = fields.next().and_then(|p| p.parse::<u32>().ok()) == Some(parent);
        is_child && state != "Z"
    })
    .collect()
}

/// Says that a test did not look, on the real standard error: what a passing test prints with `eprintln!` nobody sees.
pub fn skipped(reason: &str) {
    std::io::stderr().write_all(format!("\nSKIPPED: {reason}\n").as_bytes()).unwrap();
}

/// Whether a process still runs.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Waits for a condition.
pub fn wait_until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while start.elapsed() < patience {
        if condition() {
            return start.elapsed();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what}: not within {patience:?}");
}

/// Evaluates PromQL at a time, or now.
pub fn query(collector: &str, query: &str, time: Option<f64>) -> QueryData {
    let client = PrometheusClient::new(collector.parse().expect("a URL"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(client.query(query, time)).unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// The values of an instant vector by one label.
pub fn vector(data: QueryData, label: &str) -> std::collections::BTreeMap<String, f64> {
    let QueryData::Vector(series) = data else { panic!("not a vector: {data:?}") };
    series.into_iter().map(|s| (s.metric.get(label).cloned().unwrap_or_default(), s.value.value())).collect()
}
