//! A headless demo as a process of its own: started, given faults, asked what it says, ended. Judges nothing.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use protocol::faults::{Faults, FaultsClient};
use protocol::prometheus::{InstantSeries, PrometheusClient, QueryData};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::json;

use super::sli::{Counter, Promise};

/// From the start until all services are ready.
const START: Duration = Duration::from_secs(120);
/// From being asked to end until the end.
const END: Duration = Duration::from_secs(30);
/// One question.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than any run.
const SECONDS: &str = "14400";

/// What the shop's metrics say, with all that is needed to tell one counter from another.
const SERVED: &str =
    "sum by (service, pod, http_response_status_code, le) (http_server_request_duration_seconds_bucket)";
const CALLED: &str =
    "sum by (server_address, pod, http_response_status_code, le) (http_client_request_duration_seconds_bucket)";
const JOURNEYS: &str = "sum by (journey, outcome, le) (journey_duration_seconds_bucket)";

/// The labels that hold whose promise it is and how it went, and what kind of promise.
type Labels = (&'static str, &'static str, fn(String) -> Promise);

/// A running demo, killed when dropped.
pub struct Demo {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    faults: FaultsClient,
    metrics: PrometheusClient,
    control: String,
    http: reqwest::Client,
}

/// A fault as the demo's port shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Fault {
    pub id: usize,
    pub state: String,
    pub began_ms: Option<i64>,
}

impl Demo {
    /// Starts one, with load as the trace file says, and waits until the shop is open.
    pub fn start(binary: &Path, trace: &Path, seed: u64) -> anyhow::Result<Self> {
        let any = "127.0.0.1:0";
        let mut child = Command::new(binary)
            .args(["demo", "--headless", "--seconds", SECONDS, "--seed", &seed.to_string()])
            .args(["--collector", any, "--autoscaler", any, "--gateway", any, "--control", any])
            .arg("--profile")
            .arg(format!("trace:{}", trace.display()))
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", binary.display()))?;
        let stdout = child.stdout.take().context("the demo has no output")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let nowhere = "http://127.0.0.1:1".parse::<reqwest::Url>()?;
        let mut demo = Self {
            child,
            lines,
            seen: Vec::new(),
            faults: FaultsClient::new(nowhere.clone()),
            metrics: PrometheusClient::new(nowhere),
            control: String::new(),
            http: reqwest::Client::builder().timeout(PATIENCE).build()?,
        };
        let first = demo.wait_for("plimsoll demo:")?;
        let urls: Vec<&str> = first.split_whitespace().filter(|word| word.starts_with("http://")).collect();
        let [collector, _, _, control, ..] = urls[..] else {
            bail!("this plimsoll names no port for faults; its first line is: {first}");
        };
        demo.faults = FaultsClient::new(collector.parse()?);
        demo.metrics = PrometheusClient::new(collector.parse()?);
        demo.control = format!("{control}/faults");
        demo.wait_for("all services ready")?;
        Ok(demo)
    }

    fn wait_for(&mut self, text: &str) -> anyhow::Result<String> {
        let give_up = Instant::now() + START;
        loop {
            match self.lines.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return Ok(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("the demo does not say {text:?}; it said: {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => bail!("the demo has ended; it said: {:#?}", self.seen),
            }
        }
    }

    /// What is suspected now.
    pub async fn suspected(&self) -> anyhow::Result<Faults> {
        self.faults.faults().await.context("the collector does not say what is broken")
    }

    /// Begins a fault, and waits until it is on.
    pub async fn begin(&self, fault: &str) -> anyhow::Result<Fault> {
        let answer = self.http.post(&self.control).json(&json!({"fault": fault})).send().await?;
        let status = answer.status();
        if !status.is_success() {
            bail!("the demo refuses {fault}: {status} {}", answer.text().await?);
        }
        let begun: Fault = answer.json().await?;
        self.until(begun.id, "on").await
    }

    /// Ends a fault, and waits until all have heard of it.
    pub async fn end(&self, id: usize) -> anyhow::Result<Fault> {
        let answer = self.http.delete(format!("{}/{id}", self.control)).send().await?;
        answer.error_for_status().context("the demo does not end a fault")?;
        self.until(id, "over").await
    }

    async fn until(&self, id: usize, state: &str) -> anyhow::Result<Fault> {
        let give_up = Instant::now() + END;
        loop {
            let all: Vec<Fault> = self.http.get(&self.control).send().await?.json().await?;
            if let Some(fault) = all.into_iter().find(|fault| fault.id == id && fault.state == state) {
                return Ok(fault);
            }
            if Instant::now() > give_up {
                bail!("fault {id} does not get to be {state}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The counters of everything that was promised.
    pub async fn counters(&self) -> anyhow::Result<BTreeMap<Counter, f64>> {
        let (served, called, journeys) =
            tokio::try_join!(self.vector(SERVED), self.vector(CALLED), self.vector(JOURNEYS))?;
        let mut counters = BTreeMap::new();
        let promises: [(Vec<InstantSeries>, Labels); 3] = [
            (served, ("service", "http_response_status_code", Promise::Served)),
            (called, ("server_address", "http_response_status_code", Promise::Called)),
            (journeys, ("journey", "outcome", Promise::Journey)),
        ];
        for (series, (name, status, promise)) in promises {
            for one in series {
                let label = |label: &str| one.metric.get(label).cloned().unwrap_or_default();
                let (status, Ok(bound)) = (label(status), label("le").parse::<f64>()) else { continue };
                let promise = promise(label(name));
                let failed = has_failed(&promise, &status);
                let counter = Counter { promise, replica: label("pod"), status, failed, bound: bound.to_bits() };
                counters.insert(counter, one.value.value());
            }
        }
        Ok(counters)
    }

    async fn vector(&self, query: &str) -> anyhow::Result<Vec<InstantSeries>> {
        match self.metrics.query(query, None).await.context("the collector does not answer")? {
            QueryData::Vector(series) => Ok(series),
            other => bail!("{query} gave {other:?}"),
        }
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("the demo cannot be asked to end")?;
        let asked = Instant::now();
        while asked.elapsed() < END {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the demo does not end")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether whoever asked did not get what they were promised; nginx' 499 is a caller that would wait no longer.
fn has_failed(promise: &Promise, status: &str) -> bool {
    match promise {
        Promise::Journey(_) => status != "ok",
        Promise::Served(_) | Promise::Called(_) => {
            status.is_empty() || status.starts_with('5') || matches!(status, "429" | "499")
        }
    }
}
