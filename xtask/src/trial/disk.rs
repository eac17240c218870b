//! A disk that is really full while metrics come in: what the collector says of it, and to whom; what it still answers; and
//! whether all goes on by itself when there is room again, with nothing lost that was acknowledged.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rand::RngExt;
use serde_json::Value;
use tokio::task::JoinSet;

use super::answers::{count, sum, targets};
use super::ledger::Verdict;
use super::printing::{Printing, now_ms};
use super::report::Report;
use super::sender::{Plan, Sender, Times, Way};
use super::{Ground, namespace};
use crate::bench::generator::Generator;
use crate::bench::remote_write::{Span, fill};
use crate::subject::{Launch, Side, Subject};

/// Hours of samples that are there before: so many that a block of them is due soon.
const HISTORY_HOURS: u64 = 4;
const HISTORY_SERIES: usize = 200;

/// Targets, their lines, and how often they are scraped.
const TARGETS: usize = 3;
const LINES: usize = 100;
const INTERVAL: &str = "500ms";

/// What may be waited for: above all the store's upkeep, which comes each minute.
const PATIENCE: Duration = Duration::from_secs(100);

/// Between two looks at it.
const POLL: Duration = Duration::from_millis(250);

/// How soon samples must be stored again when there is room.
const RESUMED_SECONDS_MAX: f64 = 5.0;

/// Lines of its log in all the time: each failure is said once when it begins, and once when it ends.
const LOG_LINES_MAX: f64 = 12.0;

/// What the operating system calls it.
const NO_SPACE: &str = "No space left on device";

/// The collector and who feeds it.
struct Scene {
    launch: Launch,
    senders: Vec<Arc<Sender>>,
    printing: Arc<Printing>,
    generator: Generator,
    history: u64,
    began: Instant,
    verdict: Verdict,
    looks: u64,
    unhealthy: u64,
}

/// On a disk of its own, of so many mebibytes.
pub async fn run(ground: Ground, mebibytes: u64) -> anyhow::Result<Report> {
    let disk = ground.folder.join("disk");
    namespace::mount_disk(&disk, mebibytes)?;
    let mut tasks = JoinSet::new();
    let report = on(ground, &disk, mebibytes, &mut tasks).await;
    tasks.shutdown().await;
    namespace::unmount_disk(&disk)?;
    report
}

async fn on(mut ground: Ground, disk: &Path, mebibytes: u64, tasks: &mut JoinSet<()>) -> anyhow::Result<Report> {
    let mut report = Report::new(format!("disk: {mebibytes} MiB, full for a while"), ground.seed);
    let (mut scene, subject) = Scene::set(&ground, disk, tasks).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    scene.look(&subject).await?;

    eprintln!("filling the disk");
    let ballast = disk.join("ballast");
    let full_ms = now_ms();
    fill_up(&ballast)?;
    scene.what_is_said(&subject, &mut report).await?;
    eprintln!("waiting for a block to be due");
    scene.until(&subject, "sealing to fail", |page, _| upkeep_failures(page) > 0.0).await?;
    let (page, log) = (subject.get("/metrics").await?.1, scene.launch.log());
    report.figure("failed attempts to seal", upkeep_failures(&page));
    report.at_most("lines that say so, of one life", lines(&log, "samples cannot be stored"), 1.0);

    eprintln!("killing it while the disk is full");
    subject.kill()?;
    scene.printing.interrupted();
    let mut subject = scene.launch.start()?;
    report.figure("ms to ready on a full disk", subject.ready().await?.as_secs_f64() * 1_000.0);
    scene.look(&subject).await?;
    tokio::time::sleep(Duration::from_millis(ground.random.random_range(1_000..4_000))).await;
    scene.look(&subject).await?;

    eprintln!("making room");
    std::fs::remove_file(&ballast)?;
    scene.resumes(&subject, full_ms, &mut report).await?;
    eprintln!("waiting for the block");
    scene.until(&subject, "a block", |page, _| sum(page, "plimsoll_collector_blocks", "readable") > 0.0).await?;
    scene
        .until(&subject, "the log to be well", |page, _| sum(page, "plimsoll_collector_wal_failing", "") == 0.0)
        .await?;
    scene.restarts(subject).await?;
    scene.report(&mut report);
    Ok(report)
}

fn lines(log: &str, words: &str) -> f64 {
    f64::from(u32::try_from(log.lines().filter(|line| line.contains(words)).count()).unwrap_or(u32::MAX))
}

fn upkeep_failures(page: &str) -> f64 {
    sum(page, "plimsoll_collector_upkeep_failures_total", "seal")
}

/// Takes all the room that is left.
fn fill_up(path: &Path) -> anyhow::Result<()> {
    let mut file = File::create(path)?;
    for piece in [1 << 20, 1 << 12, 1] {
        let zeros = vec![0; piece];
        while file.write_all(&zeros).is_ok() {}
    }
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        bail!("the disk was full before");
    }
    eprintln!("{bytes} bytes of ballast");
    Ok(())
}

impl Scene {
    /// Everything runs: history is there, targets are scraped, senders send.
    async fn set(ground: &Ground, disk: &Path, tasks: &mut JoinSet<()>) -> anyhow::Result<(Self, Subject)> {
        let mut launch = Launch::new(Side::Ours, &ground.binary, &ground.folder, "scrape_configs: []\n")?;
        launch.data = disk.join("data");
        let began = Instant::now();
        let mut subject = launch.start()?;
        subject.ready().await?;
        let generator = Generator::new(HISTORY_SERIES);
        let end = u64::try_from(now_ms() / 1_000)?;
        let span = Span { start: end - HISTORY_HOURS * 3_600, end, interval: 60 };
        fill(&subject, &generator, 1, span).await?;
        let printing = Printing::listen("trial", TARGETS, LINES).await?;
        launch.configure(&format!("scrape_configs:\n{}", printing.scrape_config(INTERVAL)))?;
        let (status, body, _) = subject.ask("/-/reload", &[]).await?;
        if status != 200 {
            bail!("the configuration is not read anew: {}", String::from_utf8_lossy(&body));
        }
        let senders = [("trial_sent", 200, 2, Way::RemoteWrite), ("trial_exported", 30, 1, Way::Otlp)].map(
            |(metric, series, per_request, way)| {
                let pause = Duration::from_millis(50);
                let metric = metric.to_owned();
                Sender::start(Plan { metric, series, per_request, way, times: Times::Now, pause }, &launch, tasks)
            },
        );
        let scene = Self {
            launch,
            senders: senders.to_vec(),
            printing,
            generator,
            history: span.samples() * HISTORY_SERIES as u64,
            began,
            verdict: Verdict::default(),
            looks: 0,
            unhealthy: 0,
        };
        Ok((scene, subject))
    }

    /// Compares all that is stored, and asks for its health.
    async fn look(&mut self, subject: &Subject) -> anyhow::Result<()> {
        for sender in &self.senders {
            self.verdict += sender.verify(subject).await?;
        }
        let found = count(subject, &self.generator, (HISTORY_HOURS + 2) * 3_600).await?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let missing = self.history.saturating_sub(found as u64);
        self.verdict.missing += missing;
        self.looks += 1;
        for path in ["/healthz", "/readyz"] {
            self.unhealthy += u64::from(subject.get(path).await?.0 != 200);
        }
        Ok(())
    }

    /// Looks at it again and again until something holds of its metrics and its targets.
    async fn until(
        &mut self,
        subject: &Subject,
        what: &str,
        holds: impl Fn(&str, &[Value]) -> bool,
    ) -> anyhow::Result<Duration> {
        let began = Instant::now();
        loop {
            self.look(subject).await?;
            if holds(&subject.get("/metrics").await?.1, &targets(subject).await?) {
                return Ok(began.elapsed());
            }
            if began.elapsed() > PATIENCE {
                bail!("{what} was waited for in vain");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// That the disk is full: to senders, of targets, in metrics, in the log.
    async fn what_is_said(&mut self, subject: &Subject, report: &mut Report) -> anyhow::Result<()> {
        let senders = self.senders.clone();
        let is_said = move |page: &str, targets: &[Value]| {
            senders.iter().all(|sender| sender.failures().0 > 0)
                && targets.iter().all(|target| error_of(target).contains(NO_SPACE))
                && sum(page, "plimsoll_collector_wal_failing", "") > 0.0
        };
        let after = self.until(subject, "that it is said", is_said).await?;
        report.figure("seconds until all have been told", after.as_secs_f64());
        let page = subject.get("/metrics").await?.1;
        for sender in &self.senders {
            let (_, words) = sender.failures();
            report.is_so(format!("{} was told why", sender.plan.metric), words.contains(NO_SPACE));
            report.say(words);
        }
        let shown = targets(subject).await?;
        shown.first().into_iter().for_each(|target| report.say(format!("target: {}", error_of(target))));
        let refused = sum(&page, "plimsoll_collector_samples_dropped_total", "log_failed");
        report.at_least("samples counted as refused", refused, 1.0);
        let failed = sum(&page, "plimsoll_collector_remote_write_requests_received_total", "failed");
        report.at_least("requests counted as failed", failed, 1.0);
        let log = self.launch.log();
        log.lines().filter(|line| line.contains("samples cannot be stored")).for_each(|line| report.say(line));
        report.at_least("lines that say so", lines(&log, "samples cannot be stored"), 1.0);
        Ok(())
    }

    /// There is room again.
    async fn resumes(&mut self, subject: &Subject, full_ms: i64, report: &mut Report) -> anyhow::Result<()> {
        let room = Instant::now();
        let before: Vec<u64> = self.senders.iter().map(|sender| sender.acknowledged()).collect();
        while self.senders.iter().zip(&before).any(|(sender, before)| sender.acknowledged() == *before) {
            if room.elapsed() > PATIENCE {
                bail!("no sample is taken although there is room");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let seconds = room.elapsed().as_secs_f64();
        report.at_most("seconds from room to samples stored", seconds, RESUMED_SECONDS_MAX);
        let well = |_: &str, targets: &[Value]| targets.iter().all(|target| target["health"] == "up");
        let after = self.until(subject, "targets to be up", well).await?;
        report.figure("seconds until every target was up", seconds + after.as_secs_f64());
        // What was scraped in between is nowhere, and nobody was told that it was stored.
        self.printing.doubt(full_ms - 1_000, now_ms());
        Ok(())
    }

    /// Everything is compared once more, and after a restart of either kind.
    async fn restarts(&mut self, subject: Subject) -> anyhow::Result<()> {
        for sender in &self.senders {
            sender.finish().await.context("after there was room")?;
        }
        self.whole(&subject).await?;
        subject.stop().await?;
        self.printing.interrupted();
        let mut subject = self.launch.start()?;
        subject.ready().await?;
        self.whole(&subject).await?;
        subject.kill()?;
        self.printing.interrupted();
        let mut subject = self.launch.start()?;
        subject.ready().await?;
        self.whole(&subject).await?;
        subject.stop().await
    }

    async fn whole(&mut self, subject: &Subject) -> anyhow::Result<()> {
        self.look(subject).await?;
        self.verdict += self.printing.verify(subject, i64::MAX).await?;
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of some minutes")]
    fn report(&self, report: &mut Report) {
        let log = self.launch.log();
        let refusals: Vec<String> = self.senders.iter().filter_map(|sender| sender.refusal()).collect();
        report.figure("seconds of the trial", self.began.elapsed().as_secs_f64());
        report.figure(
            "samples acknowledged",
            self.senders.iter().map(|sender| sender.acknowledged()).sum::<u64>() as f64,
        );
        report.figure("times that all was compared", self.looks as f64);
        report.figure("samples compared", self.verdict.expected as f64);
        report.at_most("acknowledged samples missing", self.verdict.missing as f64, 0.0);
        report.at_most("samples there twice", self.verdict.twice as f64, 0.0);
        report.at_most("samples nobody sent", self.verdict.invented as f64, 0.0);
        report.at_most("senders that were refused", refusals.len() as f64, 0.0);
        report.at_most("answers that it is not well", self.unhealthy as f64, 0.0);
        report.at_least("lines that say that it goes on", lines(&log, "samples are stored again"), 1.0);
        report.at_most("the same", lines(&log, "samples are stored again"), 1.0);
        report.at_most("errors in its log", lines(&log, "ERROR"), LOG_LINES_MAX);
        report.at_most("panics", lines(&log, "panicked"), 0.0);
        self.verdict.examples.iter().chain(&refusals).for_each(|words| report.say(words));
    }
}

fn error_of(target: &Value) -> &str {
    target["lastError"].as_str().unwrap_or_default()
}
