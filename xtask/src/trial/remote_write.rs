//! Ours and a Prometheus that send to each other what each of them scrapes: in peace, and then while each is restarted and ours
//! is killed. What was printed to the one must be with the other, once, and the two must agree on every series of it.

mod agreement;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use rand::RngExt;

use self::agreement::{Agreement, compare};
use super::Ground;
use super::answers::{samples, stored, sum};
use super::ledger::Verdict;
use super::printing::{Printing, now_ms};
use super::report::Report;
use crate::subject::{Launch, Side, Subject};

/// Targets of each, their lines, and how often they are scraped.
const TARGETS: usize = 3;
const LINES: usize = 200;
const INTERVAL: &str = "1s";
const INTERVAL_MS: i64 = 1_000;

/// The jobs: what each side scrapes.
const OURS: &str = "of-ours";
const THEIRS: &str = "of-prometheus";

/// What is younger may still be on its way: both send at the latest after five seconds.
const LAG_MS: i64 = 15_000;

/// How long it may take until all has arrived that waited for a restart.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long all is left alone after something was started again.
const CALM: Duration = Duration::from_secs(20);

/// How long one is away.
const AWAY_MS: std::ops::Range<u64> = 2_000..6_000;

/// What is compared of both directions.
#[derive(Default)]
struct Compared {
    arrived: Verdict,
    agreement: Agreement,
}

/// Both collectors and what they scrape.
struct Scene {
    ours: Option<Subject>,
    theirs: Option<Subject>,
    ours_launch: Launch,
    theirs_launch: Launch,
    ours_printing: Arc<Printing>,
    theirs_printing: Arc<Printing>,
    /// Times around a kill of ours: what it stored last may not have been put into its queue.
    killed_ms: Vec<i64>,
}

/// In peace for a while, then not.
pub async fn run(mut ground: Ground, prometheus: &Path, peace: Duration) -> anyhow::Result<Report> {
    let shown = protocol::duration::Display(peace);
    let mut report = Report::new(format!("remote write: {shown} in peace, then restarts"), ground.seed);
    let mut scene = Scene::set(&ground, prometheus).await?;
    eprintln!("leaving them in peace for {shown}");
    tokio::time::sleep(peace).await;
    let compared = scene.compare(now_ms() - LAG_MS).await?;
    report_compared("in peace", &compared, &mut report);
    scene.report_senders("in peace", &mut report).await?;

    eprintln!("restarting ours");
    let away = |ground: &mut Ground| Duration::from_millis(ground.random.random_range(AWAY_MS));
    scene.restart(Side::Ours, away(&mut ground), false).await?;
    eprintln!("restarting Prometheus");
    scene.restart(Side::Prometheus, away(&mut ground), false).await?;
    eprintln!("killing ours");
    scene.restart(Side::Ours, away(&mut ground), true).await?;
    let (compared, seconds) = scene.settled().await?;
    report.figure("seconds until all had arrived after the restarts", seconds.as_secs_f64());
    report_compared("after restarts", &compared, &mut report);
    scene.report_losses(&mut report).await?;
    scene.end().await?;
    Ok(report)
}

#[expect(clippy::cast_precision_loss, reason = "counts of some minutes")]
fn report_compared(when: &str, directions: &[(&str, Compared); 2], report: &mut Report) {
    for (direction, Compared { arrived, agreement }) in directions {
        report.figure(format!("{when}, {direction}: samples sent"), arrived.expected as f64);
        report.figure(format!("{when}, {direction}: samples on which both agree"), agreement.agreed as f64);
        report.at_least(format!("{when}, {direction}: samples were sent"), arrived.expected as f64, 1.0);
        report.at_most(format!("{when}, {direction}: missing"), arrived.missing as f64, 0.0);
        report.at_most(format!("{when}, {direction}: twice"), arrived.twice as f64, 0.0);
        report.at_most(format!("{when}, {direction}: invented"), arrived.invented as f64, 0.0);
        report.at_most(format!("{when}, {direction}: not agreed on"), agreement.disputed as f64, 0.0);
        arrived.examples.iter().chain(&agreement.examples).for_each(|words| report.say(format!("{when}: {words}")));
    }
}

/// What a side scrapes, and sends: only what it has scraped itself, or samples would go round for ever.
fn configuration(printing: &Printing, receiver: &str) -> String {
    format!(
        "scrape_configs:\n{}remote_write:\n- url: http://{receiver}/api/v1/write\n  write_relabel_configs:\n  - {{ source_labels: [job], regex: {}, action: keep }}\n",
        printing.scrape_config(INTERVAL),
        printing.job
    )
}

impl Scene {
    async fn set(ground: &Ground, prometheus: &Path) -> anyhow::Result<Self> {
        let ours_printing = Printing::listen(OURS, TARGETS, LINES).await?;
        let theirs_printing = Printing::listen(THEIRS, TARGETS, LINES).await?;
        let ours_launch = Launch::new(Side::Ours, &ground.binary, &ground.folder, "")?;
        let theirs_launch = Launch::new(Side::Prometheus, prometheus, &ground.folder, "")?;
        ours_launch.configure(&configuration(&ours_printing, &theirs_launch.address))?;
        theirs_launch.configure(&configuration(&theirs_printing, &ours_launch.address))?;
        // Each must be there when the other sends for the first time, some seconds after it has begun.
        let (mut theirs, mut ours) = (theirs_launch.start()?, ours_launch.start()?);
        theirs.ready().await?;
        ours.ready().await?;
        let (ours, theirs) = (Some(ours), Some(theirs));
        Ok(Self { ours, theirs, ours_launch, theirs_launch, ours_printing, theirs_printing, killed_ms: Vec::new() })
    }

    fn both(&self) -> anyhow::Result<(&Subject, &Subject)> {
        match (&self.ours, &self.theirs) {
            (Some(ours), Some(theirs)) => Ok((ours, theirs)),
            _ => bail!("one of them does not run"),
        }
    }

    /// Compares what was printed until a time: with the one that got it by remote write, and of both what they have stored.
    async fn compare(&self, until_ms: i64) -> anyhow::Result<[(&'static str, Compared); 2]> {
        let (ours, theirs) = self.both()?;
        let to_ours = Compared {
            arrived: self.theirs_printing.verify(ours, until_ms).await?,
            agreement: self.agreement(THEIRS, (theirs, ours), until_ms).await?,
        };
        let to_theirs = Compared {
            arrived: self.ours_printing.verify(theirs, until_ms).await?,
            agreement: self.agreement(OURS, (ours, theirs), until_ms).await?,
        };
        Ok([("Prometheus to ours", to_ours), ("ours to Prometheus", to_theirs)])
    }

    async fn agreement(&self, job: &str, (from, to): (&Subject, &Subject), until_ms: i64) -> anyhow::Result<Agreement> {
        let is_compared = |time_ms: i64| {
            let was_killed = |killed_ms: &i64| (killed_ms - 2 * INTERVAL_MS..=*killed_ms).contains(&time_ms);
            time_ms <= until_ms && !(from.launch.side == Side::Ours && self.killed_ms.iter().any(was_killed))
        };
        let selector = format!("{{job={job:?}}}");
        let mut sides = Vec::new();
        for subject in [from, to] {
            let found = stored(subject, &selector).await?;
            let series = found.iter().map(|series| {
                let compared = samples(series).into_iter().filter(|(time_ms, _)| is_compared(*time_ms));
                (format!("{:?}", series.metric), compared.collect())
            });
            sides.push(series.collect());
        }
        Ok(compare(&sides[0], &sides[1]))
    }

    /// What both count of what they send.
    async fn report_senders(&self, when: &str, report: &mut Report) -> anyhow::Result<()> {
        let (ours, theirs) = self.both()?;
        for subject in [ours, theirs] {
            let page = subject.get("/metrics").await?.1;
            let name = subject.launch.side.name();
            let counted = |what: &str| sum(&page, &format!("prometheus_remote_storage_samples_{what}total"), "");
            report.figure(format!("{when}: samples sent by {name}, as it counts"), counted(""));
            for what in ["failed_", "retried_"] {
                report.at_most(format!("{when}: samples {what}by {name}").replace('_', " "), counted(what), 0.0);
            }
        }
        Ok(())
    }

    /// What ours has lost from its queue, and what was refused to either since its last start. A Prometheus counts what it sends
    /// once more after a kill, and what had arrived all the same, as refused: as among its own kind, nothing is missing then.
    async fn report_losses(&self, report: &mut Report) -> anyhow::Result<()> {
        let (ours, theirs) = self.both()?;
        let page = ours.get("/metrics").await?.1;
        for reason in ["queue_full", "queue_unwritable", "queue_damaged", "too_old"] {
            let lost = sum(&page, "prometheus_remote_storage_samples_dropped_total", &format!("reason=\"{reason}\""));
            report.at_most(format!("samples lost by ours: {reason}"), lost, 0.0);
        }
        let failed = "prometheus_remote_storage_samples_failed_total";
        report.at_most("samples refused to ours since its last start", sum(&page, failed, ""), 0.0);
        let page = theirs.get("/metrics").await?.1;
        report.figure("samples refused to Prometheus since its last start", sum(&page, failed, ""));
        Ok(())
    }

    /// Stops or kills one, starts it again after a while, and leaves both alone.
    async fn restart(&mut self, side: Side, away: Duration, kill: bool) -> anyhow::Result<()> {
        let (subject, launch, printing) = match side {
            Side::Ours => (&mut self.ours, &self.ours_launch, &self.ours_printing),
            Side::Prometheus => (&mut self.theirs, &self.theirs_launch, &self.theirs_printing),
        };
        if let Some(running) = subject.take() {
            if kill {
                running.kill()?;
                self.killed_ms.push(now_ms());
            } else {
                running.stop().await?;
            }
        }
        printing.interrupted();
        tokio::time::sleep(away).await;
        let mut started = launch.start()?;
        started.ready().await?;
        *subject = Some(started);
        tokio::time::sleep(CALM).await;
        Ok(())
    }

    /// Waits until all that was printed until now has arrived, and compares it then.
    async fn settled(&self) -> anyhow::Result<([(&'static str, Compared); 2], Duration)> {
        let (until_ms, began) = (now_ms(), Instant::now());
        loop {
            let compared = self.compare(until_ms).await?;
            let is_well = |(_, one): &(&str, Compared)| one.arrived.is_well() && one.agreement.disputed == 0;
            if compared.iter().all(is_well) || began.elapsed() > PATIENCE {
                return Ok((compared, began.elapsed()));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn end(&mut self) -> anyhow::Result<()> {
        // A Prometheus waits a minute for its receiver; ours keeps what waits on disk.
        for running in [self.theirs.take(), self.ours.take()].into_iter().flatten() {
            running.stop().await?;
        }
        Ok(())
    }
}
