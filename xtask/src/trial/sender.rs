//! A sender of metrics that behaves as senders must: in order, again and again until it is taken, and a sample counts as
//! acknowledged only once that was answered. Start at `Sender`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use parking_lot::Mutex;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::answers::numbered;
use super::ledger::{Ledger, Verdict, value};
use super::printing::now_ms;
use crate::subject::{Launch, Subject};
use crate::wire::WriteRequest;

/// Wait before something is sent again.
const RETRY: Duration = Duration::from_millis(20);

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last request may take when all is well again.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far in the past a sample is that comes late.
const LATE_MS: i64 = 5 * 3_600_000;

/// How it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    RemoteWrite,
    Otlp,
}

/// A clock that began long ago and runs fast, so that hours of samples take seconds.
#[derive(Debug, Clone, Copy)]
pub struct FastClock {
    began: Instant,
    start_ms: i64,
    times: i64,
}

impl FastClock {
    /// Begins now, so long ago, and runs so many times as fast.
    pub fn new(ago: Duration, times: i64) -> Self {
        let ago_ms = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        Self { began: Instant::now(), start_ms: now_ms() - ago_ms, times }
    }

    fn now_ms(&self) -> i64 {
        self.start_ms + i64::try_from(self.began.elapsed().as_millis()).unwrap_or(0) * self.times
    }
}

/// Which times samples have.
#[derive(Debug, Clone, Copy)]
pub enum Times {
    Now,
    Past(FastClock),
    /// Every second one is hours older than the one before.
    PastAndLate(FastClock),
}

impl Times {
    fn next(self, before: &[i64]) -> i64 {
        let last = before.last().copied().unwrap_or(i64::MIN);
        match self {
            Self::Now => now_ms().max(last.saturating_add(1)),
            Self::Past(clock) => clock.now_ms().max(last.saturating_add(1)),
            // Even and odd, so that none is sent twice.
            Self::PastAndLate(clock) => {
                let last = before.iter().rev().nth(1).copied().unwrap_or(i64::MIN);
                let is_late = before.len() % 2 == 1;
                let time = clock.now_ms() & !1;
                let time = if is_late { time - LATE_MS + 1 } else { time };
                time.max(last.saturating_add(2))
            }
        }
    }
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Plan {
    pub metric: String,
    pub series: usize,
    /// Samples of each series in a request: more than one, as of a sender that has waited.
    pub per_request: usize,
    pub way: Way,
    pub times: Times,
    /// Between an answer and the next request.
    pub pause: Duration,
}

/// A sender.
pub struct Sender {
    pub plan: Plan,
    address: String,
    ledger: Mutex<Ledger>,
    /// Answers that asked for the same once more: how many, and what the last one said.
    failures: AtomicU64,
    last_failure: Mutex<String>,
    /// An answer that asked never to send that again.
    refusal: Mutex<Option<String>>,
    stopping: AtomicBool,
    ended: AtomicBool,
}

/// What an answer means.
enum Answer {
    Taken,
    Again(String),
    Never(String),
}

impl Sender {
    /// Sends from now on, until it is told to finish.
    pub fn start(plan: Plan, launch: &Launch, tasks: &mut JoinSet<()>) -> Arc<Self> {
        let sender = Arc::new(Self {
            plan,
            address: launch.address.clone(),
            ledger: Mutex::default(),
            failures: AtomicU64::new(0),
            last_failure: Mutex::default(),
            refusal: Mutex::default(),
            stopping: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let running = Arc::clone(&sender);
        tasks.spawn(async move { running.run().await });
        sender
    }

    async fn run(&self) {
        let client = reqwest::Client::new();
        while !self.stopping.load(Ordering::Relaxed) && self.refusal.lock().is_none() {
            let body = self.next_body();
            loop {
                match self.post(&client, body.clone()).await {
                    Some(Answer::Taken) => break self.ledger.lock().acknowledge(),
                    Some(Answer::Never(words)) => break *self.refusal.lock() = Some(words),
                    Some(Answer::Again(words)) => {
                        self.failures.fetch_add(1, Ordering::Relaxed);
                        *self.last_failure.lock() = words;
                    }
                    // Nobody is there.
                    None => {}
                }
                tokio::time::sleep(RETRY).await;
            }
            tokio::time::sleep(self.plan.pause).await;
        }
        self.ended.store(true, Ordering::Relaxed);
    }

    fn next_body(&self) -> Vec<u8> {
        let mut ledger = self.ledger.lock();
        let from = ledger.times_ms().len();
        for _ in 0..self.plan.per_request {
            let time_ms = self.plan.times.next(ledger.times_ms());
            ledger.attempt(time_ms);
        }
        let places: Vec<(usize, i64)> = ledger.times_ms().iter().copied().enumerate().skip(from).collect();
        match self.plan.way {
            Way::RemoteWrite => self.write_request(&places),
            Way::Otlp => self.export(&places),
        }
    }

    fn write_request(&self, places: &[(usize, i64)]) -> Vec<u8> {
        let mut request = WriteRequest::default();
        for series in 0..self.plan.series {
            let number = series.to_string();
            let labels = [("__name__", self.plan.metric.as_str()), ("series", &number)];
            request.series(&labels, places.iter().map(|(place, time_ms)| (*time_ms, value(*place, series))));
        }
        request.packed()
    }

    fn export(&self, places: &[(usize, i64)]) -> Vec<u8> {
        let point = |series: usize, (place, time_ms): &(usize, i64)| {
            json!({
                "timeUnixNano": (time_ms * 1_000_000).to_string(),
                "asDouble": value(*place, series),
                "attributes": [{"key": "series", "value": {"stringValue": series.to_string()}}],
            })
        };
        let all = (0..self.plan.series).flat_map(|series| places.iter().map(move |place| point(series, place)));
        let points: Vec<Value> = all.collect();
        let metric = json!({"name": self.plan.metric, "gauge": {"dataPoints": points}});
        let message = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]});
        message.to_string().into_bytes()
    }

    async fn post(&self, client: &reqwest::Client, body: Vec<u8>) -> Option<Answer> {
        let request = match self.plan.way {
            Way::RemoteWrite => client
                .post(format!("http://{}/api/v1/write", self.address))
                .header("content-type", "application/x-protobuf")
                .header("content-encoding", "snappy")
                .header("x-prometheus-remote-write-version", "0.1.0"),
            Way::Otlp => client
                .post(format!("http://{}/api/v1/otlp/v1/metrics", self.address))
                .header("content-type", "application/json"),
        };
        let answer = request.body(body).timeout(TIMEOUT).send().await.ok()?;
        let status = answer.status();
        let text = answer.text().await.ok()?;
        Some(self.meaning(status, &text))
    }

    fn meaning(&self, status: StatusCode, text: &str) -> Answer {
        let words = || format!("{}: {status} {}", self.plan.metric, text.trim());
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Answer::Again(words());
        }
        let partly = self.plan.way == Way::Otlp && text.contains("rejectedDataPoints");
        if status.is_success() && !partly { Answer::Taken } else { Answer::Never(words()) }
    }

    /// Ends once the last request has been answered.
    pub async fn finish(&self) -> anyhow::Result<()> {
        self.stopping.store(true, Ordering::Relaxed);
        let asked = Instant::now();
        while !self.ended.load(Ordering::Relaxed) {
            if asked.elapsed() > PATIENCE {
                bail!("{} still waits for its last request to be taken", self.plan.metric);
            }
            tokio::time::sleep(RETRY).await;
        }
        Ok(())
    }

    /// Samples that were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        (self.ledger.lock().acknowledged() * self.plan.series) as u64
    }

    /// How often it was asked to send something again, and what the last such answer said.
    pub fn failures(&self) -> (u64, String) {
        (self.failures.load(Ordering::Relaxed), self.last_failure.lock().clone())
    }

    /// What was refused for ever.
    pub fn refusal(&self) -> Option<String> {
        self.refusal.lock().clone()
    }

    /// Whether the collector has all that it had acknowledged when it was asked, once each, and nothing else.
    pub async fn verify(&self, subject: &Subject) -> anyhow::Result<Verdict> {
        let acknowledged = self.ledger.lock().acknowledged();
        let found = numbered(subject, &self.plan.metric, "series").await?;
        let ledger = self.ledger.lock().clone();
        Ok(ledger.judge(self.plan.series, acknowledged, &found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_comes_twice_and_every_second_one_is_late() {
        let clock = FastClock::new(Duration::from_secs(86_400), 3_600);
        let mut times = Vec::new();
        for _ in 0..50 {
            times.push(Times::PastAndLate(clock).next(&times));
        }
        let mut sorted = times.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 50);
        assert!(times.chunks(2).all(|pair| pair[1] < pair[0] - LATE_MS / 2), "{times:?}");
        let mut times = vec![i64::MAX / 2];
        times.push(Times::Now.next(&times));
        assert_eq!(times[1], times[0] + 1, "a clock that goes back");
    }
}
