//! A collector as a process of its own, ours or Prometheus: started, asked, ended or killed, with what the kernel says it has
//! used. Judges nothing. Start at `Launch`.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a collector may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is asked whether it is ready: what is measured so is right to this.
const READY_POLL: Duration = Duration::from_millis(10);

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Ours,
    Prometheus,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Prometheus => "prometheus",
        }
    }

    /// Which of the paths of the targets it scrapes.
    pub fn path(self) -> usize {
        match self {
            Self::Ours => 0,
            Self::Prometheus => 1,
        }
    }
}

/// How a collector is started, as often as need be: each time with the same data, on the same ports.
#[derive(Debug, Clone)]
pub struct Launch {
    pub side: Side,
    pub address: String,
    /// Where ours takes OTLP by HTTP.
    pub otlp: String,
    /// And by gRPC.
    pub otlp_grpc: String,
    pub data: PathBuf,
    binary: PathBuf,
    config: PathBuf,
    log: PathBuf,
    more: Vec<String>,
}

impl Launch {
    /// With everything in this folder.
    pub fn new(side: Side, binary: &Path, folder: &Path, config: &str) -> anyhow::Result<Self> {
        let data = folder.join(side.name());
        fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let launch = Self {
            side,
            address: free_address()?,
            otlp: free_address()?,
            otlp_grpc: free_address()?,
            data,
            binary: binary.to_owned(),
            config: folder.join(format!("{}.yml", side.name())),
            log: folder.join(format!("{}.log", side.name())),
            more: Vec::new(),
        };
        launch.configure(config)?;
        Ok(launch)
    }

    /// With more on the command line.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.more.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Writes another configuration, for the next start or reload.
    pub fn configure(&self, config: &str) -> anyhow::Result<()> {
        fs::write(&self.config, config).with_context(|| format!("cannot write {}", self.config.display()))
    }

    /// What it has said in all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Starts it, and does not wait.
    pub fn start(&self) -> anyhow::Result<Subject> {
        let mut command = Command::new(&self.binary);
        match self.side {
            Side::Ours => {
                command.args(["collector", "--receive-metrics", "--enable-admin-api", "--otlp-grpc", &self.otlp_grpc]);
                command.args(["--listen", &self.address, "--otlp-http", &self.otlp]);
                command.arg("--config").arg(&self.config).arg("--data").arg(&self.data);
            }
            Side::Prometheus => {
                command.args(["--web.enable-remote-write-receiver", "--web.enable-admin-api"]);
                command.arg(format!("--web.listen-address={}", self.address));
                command.arg(format!("--config.file={}", self.config.display()));
                command.arg(format!("--storage.tsdb.path={}", self.data.display()));
            }
        }
        let log = fs::File::options().create(true).append(true).open(&self.log)?;
        let started = Instant::now();
        let child = command
            .args(&self.more)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", self.binary.display()))?;
        let client = reqwest::Client::builder().no_gzip().build()?;
        Ok(Subject { launch: self.clone(), started, child, client })
    }
}

/// A running collector, killed when dropped.
pub struct Subject {
    pub launch: Launch,
    started: Instant,
    child: Child,
    client: reqwest::Client,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    /// The most it ever had.
    pub peak_bytes: u64,
}

impl Subject {
    /// Starts a collector on free ports with this configuration, and waits until it answers.
    pub async fn start(side: Side, binary: &Path, folder: &Path, config: &str) -> anyhow::Result<Self> {
        let mut subject = Launch::new(side, binary, folder, config)?.start()?;
        subject.ready().await?;
        Ok(subject)
    }

    /// Waits until it says that it is ready, and tells how long that took from its start.
    pub async fn ready(&mut self) -> anyhow::Result<Duration> {
        let path = match self.launch.side {
            Side::Ours => "/readyz",
            Side::Prometheus => "/-/ready",
        };
        while self.started.elapsed() < PATIENCE && self.child.try_wait()?.is_none() {
            // A port may be open before anybody answers at it.
            let answer = self.client.get(self.url(path)).timeout(PATIENCE).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(self.started.elapsed());
            }
            tokio::time::sleep(READY_POLL).await;
        }
        let log = self.launch.log();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        bail!("{} does not start; its last words, newest first:\n{}", self.launch.side.name(), last.join("\n"))
    }

    /// Kills it as the kernel does that wants its memory back: nothing is said to it.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().context("the process cannot be killed")?;
        self.child.wait().context("the process cannot be waited for")?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("the process cannot be asked to end")?;
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("{} ended with {status} when it was asked to end", self.launch.side.name());
                }
                return Ok(());
            }
            tokio::time::sleep(READY_POLL).await;
        }
        bail!("{} does not end when it is asked to", self.launch.side.name())
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.launch.address)
    }

    /// What it has used so far.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        usage(self.child.id())
    }

    /// Gets a page: its status and text.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let request = self.client.get(self.url(path)).timeout(PATIENCE);
        let answer = request.send().await.with_context(|| format!("{} does not answer", self.launch.side.name()))?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Asks by form, and gives the bytes of the answer with the time that they took.
    pub async fn ask(&self, path: &str, form: &[(&str, String)]) -> anyhow::Result<(u16, bytes::Bytes, Duration)> {
        let request = self.client.post(self.url(path)).form(form).timeout(Duration::from_secs(300));
        let began = Instant::now();
        let answer = request.send().await.with_context(|| format!("{} does not answer", self.launch.side.name()))?;
        let status = answer.status().as_u16();
        let body =
            answer.bytes().await.with_context(|| format!("{} breaks its answer off", self.launch.side.name()))?;
        Ok((status, body, began.elapsed()))
    }

    /// The value of the only series of a query's answer; none if there is no series.
    pub async fn number(&self, query: &str) -> anyhow::Result<Option<f64>> {
        let (_, body, _) = self.ask("/api/v1/query", &[("query", query.to_owned())]).await?;
        let body: Value = serde_json::from_slice(&body).context("the answer is no JSON")?;
        Ok(body["data"]["result"][0]["value"][1].as_str().and_then(|value| value.parse().ok()))
    }

    /// Posts a body of remote write.
    pub async fn write(&self, body: Vec<u8>) -> anyhow::Result<()> {
        let request = self.client.post(self.url("/api/v1/write"));
        let answer = request
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(body)
            .timeout(PATIENCE)
            .send()
            .await?;
        if !answer.status().is_success() {
            bail!("{} refuses samples: {} {}", self.launch.side.name(), answer.status(), answer.text().await?);
        }
        Ok(())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that was free just now.
fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
    Ok(listener.local_addr()?.to_string())
}

#[expect(clippy::cast_precision_loss, reason = "ticks of some hours")]
fn usage(pid: u32) -> anyhow::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has ended")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
    let ticks = cpu_ticks(&stat).context("/proc/PID/stat has another shape than known")?;
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    Ok(Usage {
        cpu_seconds: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        resident_bytes: kibibytes("VmRSS").unwrap_or(0) * 1024,
        peak_bytes: kibibytes("VmHWM").unwrap_or(0) * 1024,
    })
}

/// Ticks in user and system mode: the fourteenth and fifteenth field, counted behind the name, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::cpu_ticks;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 9 0 0 0 120 30 0 0 20 0 3 0 55 1 2 3";
        assert_eq!(cpu_ticks(stat), Some(150));
        assert_eq!(cpu_ticks("7 (a"), None);
    }
}
