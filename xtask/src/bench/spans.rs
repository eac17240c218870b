//! Spans by OTLP over gRPC into the graph, the rates and the store: how many a second one core takes, and in how much memory; then twice
//! as many as it can take, and a million names. What feeds it is not counted.

mod exporter;
mod shop;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use clap::Args;
use tokio::task::JoinSet;

use self::exporter::{Exporter, Outcome};
use self::shop::{CALLS_PER_TRACE, Request, SPANS_PER_TRACE, misnamed, requests};
use super::report::Report;
use crate::subject::{Launch, Side, Subject, Usage};

/// Traces of one turn: the requests of its services have some hundred spans each, as OpenTelemetry's exporters send them.
const TRACES: u64 = 170;

/// Senders that wait for each answer: enough to keep the collector at work.
const SENDERS: usize = 3;

/// Senders at overload, and requests that each has under way: six times as many as are let in.
const SENDERS_OVER: usize = 96;
const REQUESTS_OVER: usize = 4;

/// The number of spans at which memory is looked at, and how many a second there are until then.
const SPANS_HELD: u64 = 660_000;
const SPANS_PER_SECOND: u64 = 33_000;

/// Names that are sent, each once.
const NAMES: u64 = 1_000_000;

/// How long the series of what was sent may take to be there.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bars.
const SPANS_PER_CORE_MIN: f64 = 150_000.0;
const RESIDENT_MIB_MAX: f64 = 200.0;
const OVERLOAD_MIB_MAX: f64 = 512.0;
const NAMES_MIB_MAX: f64 = 48.0;
const NAMES_RESIDENT_MIB_MAX: f64 = 640.0;

/// What is measured.
#[derive(Debug, Args)]
pub struct Setup {
    /// Our binary; without it, it is built for release.
    #[arg(long, value_name = "PATH")]
    pub plimsoll: Option<PathBuf>,
    /// How long spans come in as fast as they are taken.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

/// The collector, and what sends to it.
struct Scene {
    subject: Subject,
    address: String,
    next_trace: Arc<AtomicU64>,
    outcome: Arc<Outcome>,
}

/// Runs all of it.
pub async fn run(setup: &Setup, plimsoll: &Path, folder: &Path) -> anyhow::Result<Report> {
    let title = format!("spans: {SPANS_PER_TRACE} a trace, {CALLS_PER_TRACE} calls, by gRPC for {} s", setup.seconds);
    let mut report = Report { title, ..Report::default() };
    let mut scene = Scene::set(plimsoll, folder).await?;
    scene.hold(&mut report).await?;
    scene.full_speed(setup.seconds, &mut report).await?;
    scene.overload(setup.seconds / 2, &mut report).await?;
    scene.names(&mut report).await?;
    scene.subject.stop().await?;
    Ok(report)
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(0)
}

impl Scene {
    async fn set(plimsoll: &Path, folder: &Path) -> anyhow::Result<Self> {
        let launch = Launch::new(Side::Ours, plimsoll, folder, "scrape_configs: []\n")?;
        let address = launch.otlp_grpc.clone();
        let mut subject = launch.start()?;
        subject.ready().await?;
        Ok(Self { subject, address, next_trace: Arc::default(), outcome: Arc::default() })
    }

    fn taken(&self) -> u64 {
        self.outcome.spans_taken.load(Ordering::Relaxed)
    }

    /// At a steady rate up to a number of spans: what memory they take.
    async fn hold(&mut self, report: &mut Report) -> anyhow::Result<()> {
        eprintln!("sending {SPANS_HELD} spans, {SPANS_PER_SECOND} a second");
        let before = self.subject.usage()?;
        let mut exporter = Exporter::connect(&self.address).await?;
        let requests = requests(TRACES, 0);
        let began = Instant::now();
        // A collector that has gone takes no more; `account` says so.
        while self.taken() < SPANS_HELD && self.outcome.broken.load(Ordering::Relaxed) == 0 {
            let due = Duration::from_millis(self.taken() * 1_000 / SPANS_PER_SECOND);
            tokio::time::sleep_until((began + due).into()).await;
            turn(&mut exporter, &requests, &self.next_trace, &self.outcome).await;
        }
        let after = self.subject.usage()?;
        report.fact("resident at the start, MiB", Some(mib(before.resident_bytes)), None);
        let resident = mib(after.resident_bytes);
        report.fact(format!("resident at {SPANS_HELD} spans, MiB"), Some(resident), None);
        report.fact("spans a core second on the way", Some(per_core(self.taken(), before, after)), None);
        if resident > RESIDENT_MIB_MAX {
            report.failures.push(format!("{resident:.0} MiB are more than {RESIDENT_MIB_MAX}"));
        }
        self.graph(report).await?;
        self.account(report).await
    }

    /// As fast as they are taken.
    async fn full_speed(&mut self, seconds: u64, report: &mut Report) -> anyhow::Result<()> {
        eprintln!("sending as fast as it takes them, for {seconds} s");
        let (before, taken) = (self.subject.usage()?, self.taken());
        self.send(SENDERS, 1, Duration::from_secs(seconds)).await?;
        let (after, spans) = (self.subject.usage()?, self.taken() - taken);
        let rate = per_core(spans, before, after);
        #[expect(clippy::cast_precision_loss, reason = "spans of some seconds")]
        report.fact("spans a second", Some(spans as f64 / seconds as f64), None);
        report.fact("spans a core second", Some(rate), None);
        report.fact("resident then, MiB", Some(mib(after.resident_bytes)), None);
        if rate < SPANS_PER_CORE_MIN {
            report.failures.push(format!("{rate:.0} spans a core second are fewer than {SPANS_PER_CORE_MIN}"));
        }
        self.graph(report).await?;
        self.account(report).await
    }

    /// More senders than are let in at once.
    #[expect(clippy::cast_precision_loss, reason = "spans of some seconds")]
    async fn overload(&mut self, seconds: u64, report: &mut Report) -> anyhow::Result<()> {
        eprintln!("sending more than it can take, for {seconds} s");
        let (taken, refused) = (self.taken(), self.outcome.spans_refused.load(Ordering::Relaxed));
        self.send(SENDERS_OVER, REQUESTS_OVER, Duration::from_secs(seconds)).await?;
        let (taken, refused) = (self.taken() - taken, self.outcome.spans_refused.load(Ordering::Relaxed) - refused);
        report.fact("overload: requests under way at once", Some((SENDERS_OVER * REQUESTS_OVER) as f64), None);
        report.fact("overload: spans taken", Some(taken as f64), None);
        report.fact("overload: spans refused, and said so", Some(refused as f64), None);
        let peak = mib(self.subject.usage()?.peak_bytes);
        report.fact("overload: resident at its peak, MiB", Some(peak), None);
        if peak > OVERLOAD_MIB_MAX {
            report.failures.push(format!("{peak:.0} MiB at overload are more than {OVERLOAD_MIB_MAX}"));
        }
        if refused == 0 {
            report.failures.push(format!("{taken} spans were taken and none refused: that was no overload"));
        }
        self.account(report).await
    }

    /// Names that never come again: the first million fills what is held of them, and the second must find no more room.
    async fn names(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let mut exporter = Exporter::connect(&self.address).await?;
        for turn in ["first", "second"] {
            eprintln!("sending the {turn} {NAMES} names");
            let before = self.subject.usage()?;
            for _ in 0..NAMES / 1_000 {
                let first = self.next_trace.fetch_add(1_000, Ordering::Relaxed);
                let request = misnamed(first, 1_000);
                exporter.send(request.fill(first, now_ns()), request.spans(), &self.outcome).await;
            }
            let after = self.subject.usage()?;
            let grown = mib(after.resident_bytes.saturating_sub(before.resident_bytes));
            report.fact(format!("{turn} {NAMES} names: memory grows by, MiB"), Some(grown), None);
            if turn == "second" && grown > NAMES_MIB_MAX {
                report.failures.push(format!("names beyond what is held take {grown:.0} MiB more"));
            }
            let resident = mib(after.resident_bytes);
            if resident > NAMES_RESIDENT_MIB_MAX {
                let words = format!("{resident:.0} MiB with {NAMES} names are more than {NAMES_RESIDENT_MIB_MAX}");
                report.failures.push(words);
            }
        }
        let unlearnt = self.counter("plimsoll_collector_spans_unlearnt_total").await?;
        report.fact("spans without a series of their own, counted", Some(unlearnt), None);
        self.account(report).await
    }

    /// Waits until every call that was sent is an edge's.
    #[expect(clippy::cast_precision_loss, reason = "calls of some minutes")]
    async fn graph(&self, report: &mut Report) -> anyhow::Result<()> {
        let (expected, began) = ((self.taken() / SPANS_PER_TRACE * CALLS_PER_TRACE) as f64, Instant::now());
        loop {
            let found = self.subject.number("sum(traces_service_graph_request_total)").await?.unwrap_or(0.0);
            if (found - expected).abs() < 0.5 {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                report.failures.push(format!("the graph has {found} calls, and {expected} were sent"));
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Has senders send until the time is up, each with so many requests under way.
    async fn send(&self, senders: usize, at_once: usize, time: Duration) -> anyhow::Result<()> {
        let (mut tasks, until) = (JoinSet::new(), Instant::now() + time);
        for number in 0..senders {
            let exporter = Exporter::connect(&self.address).await?;
            let requests = Arc::new(requests(TRACES, number));
            for _ in 0..at_once {
                let (mut exporter, requests) = (exporter.clone(), Arc::clone(&requests));
                let (next_trace, outcome) = (Arc::clone(&self.next_trace), Arc::clone(&self.outcome));
                tasks.spawn(async move {
                    while Instant::now() < until {
                        turn(&mut exporter, &requests, &next_trace, &outcome).await;
                    }
                });
            }
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("a sender has failed")?;
        }
        Ok(())
    }

    /// Every span that was taken is counted as received, and every refused request as refused.
    #[expect(clippy::cast_precision_loss, reason = "spans of some minutes")]
    async fn account(&self, report: &mut Report) -> anyhow::Result<()> {
        let pairs = [
            ("plimsoll_collector_spans_received_total", self.taken()),
            (
                "plimsoll_collector_otlp_requests_refused_total{reason=\"busy\"}",
                self.outcome.requests_refused.load(Ordering::Relaxed),
            ),
        ];
        for (name, expected) in pairs {
            let counted = self.counter(name).await?;
            if (counted - expected as f64).abs() > 0.5 {
                report.failures.push(format!("{name} is {counted}, and {expected} were seen here"));
            }
        }
        let broken = self.outcome.broken.load(Ordering::Relaxed);
        if broken > 0 {
            report.failures.push(format!("{broken} requests were broken off"));
        }
        Ok(())
    }

    async fn counter(&self, name: &str) -> anyhow::Result<f64> {
        let page = self.subject.get("/metrics").await?.1;
        let found = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        found.with_context(|| format!("{name} is not among the metrics"))
    }
}

/// The requests of all services for the next traces, one after the other.
async fn turn(exporter: &mut Exporter, requests: &[Request], next_trace: &AtomicU64, outcome: &Outcome) {
    let first = next_trace.fetch_add(TRACES, Ordering::Relaxed);
    let now = now_ns();
    for request in requests {
        exporter.send(request.fill(first, now), request.spans(), outcome).await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "spans of some seconds")]
fn per_core(spans: u64, before: Usage, after: Usage) -> f64 {
    spans as f64 / (after.cpu_seconds - before.cpu_seconds).max(0.01)
}
