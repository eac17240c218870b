//! Both scrape the same targets each second at the same time, and are measured over the same seconds.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::Setup;
use super::generator::{Generator, identity};
use super::report::Report;
use super::targets::{Listening, Targets};
use crate::subject::{Side, Subject, Usage};

/// How long all targets may take to be scraped for the first time.
const PATIENCE: Duration = Duration::from_secs(30);

/// What both do before anything is measured: series are made, memory finds its size.
const WARM_UP: Duration = Duration::from_secs(10);

/// One side's figures at one moment.
struct Reading {
    usage: Usage,
    scrapes: u64,
}

/// What one side did in the time.
struct Outcome {
    samples: f64,
    missed: f64,
    cpu: f64,
    usage: Usage,
    stored: Option<f64>,
}

/// A figure of one side.
type Figure<'a> = (&'a str, &'a dyn Fn(&Outcome) -> f64);

/// Runs both, or ours alone.
pub async fn run(setup: &Setup, plimsoll: &Path, folder: &Path, seconds: u64) -> anyhow::Result<Report> {
    let Listening { address, targets } = Targets::listen(Generator::new(setup.series), setup.targets).await?;
    let mut subjects = Vec::new();
    let sides = [(Side::Ours, Some(plimsoll)), (Side::Prometheus, setup.prometheus.as_deref())];
    for (side, binary) in sides {
        if let Some(binary) = binary {
            let config = configuration(side, &address, setup.targets);
            subjects.push(Subject::start(side, binary, folder, &config).await?);
        }
    }
    eprintln!("waiting for the first scrapes");
    let began = Instant::now();
    for subject in &subjects {
        while targets.scrapes(subject.launch.side.path()) < setup.targets as u64 {
            if began.elapsed() > PATIENCE {
                bail!("{} does not scrape every target", subject.launch.side.name());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    tokio::time::sleep(WARM_UP).await;
    eprintln!("measuring for {seconds} s");
    let before = readings(&subjects, &targets)?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = readings(&subjects, &targets)?;
    let mut outcomes = Vec::new();
    for ((subject, before), after) in subjects.iter().zip(before).zip(after) {
        outcomes.push((subject.launch.side, outcome(setup, subject, seconds, &before, &after).await?));
    }
    Ok(report(setup, seconds, &outcomes))
}

fn readings(subjects: &[Subject], targets: &Targets) -> anyhow::Result<Vec<Reading>> {
    let reading = |subject: &Subject| {
        Ok(Reading { usage: subject.usage()?, scrapes: targets.scrapes(subject.launch.side.path()) })
    };
    subjects.iter().map(reading).collect()
}

#[expect(clippy::cast_precision_loss, reason = "samples of some minutes")]
async fn outcome(
    setup: &Setup,
    subject: &Subject,
    seconds: u64,
    before: &Reading,
    after: &Reading,
) -> anyhow::Result<Outcome> {
    let scrapes = (after.scrapes - before.scrapes) as f64;
    let stored = format!("sum(sum_over_time(scrape_samples_post_metric_relabeling[{seconds}s]))");
    Ok(Outcome {
        samples: scrapes * setup.series as f64,
        missed: (setup.targets as u64 * seconds) as f64 - scrapes,
        cpu: after.usage.cpu_seconds - before.usage.cpu_seconds,
        usage: after.usage,
        stored: subject.number(&stored).await?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
fn report(setup: &Setup, seconds: u64, outcomes: &[(Side, Outcome)]) -> Report {
    let title = format!("scrape: {} targets x {} series each second for {seconds} s", setup.targets, setup.series);
    let mut report = Report { title, ..Report::default() };
    let of = |side: Side, figure: &dyn Fn(&Outcome) -> f64| {
        outcomes.iter().find(|(known, _)| *known == side).map(|(_, outcome)| figure(outcome))
    };
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let compared: [Figure<'_>; 3] = [
        ("CPU seconds a million samples", &|outcome| outcome.cpu / outcome.samples * 1e6),
        ("RSS at the end, MiB", &|outcome| mebibytes(outcome.usage.resident_bytes)),
        ("RSS at its peak, MiB", &|outcome| mebibytes(outcome.usage.peak_bytes)),
    ];
    for (what, figure) in compared {
        report.row(what, of(Side::Ours, figure), of(Side::Prometheus, figure));
    }
    let facts: [Figure<'_>; 4] = [
        ("CPU seconds", &|outcome| outcome.cpu),
        ("samples served to it", &|outcome| outcome.samples),
        ("samples it says it stored", &|outcome| outcome.stored.unwrap_or(f64::NAN)),
        ("scrapes missed", &|outcome| outcome.missed.max(0.0)),
    ];
    for (what, figure) in facts {
        report.fact(what, of(Side::Ours, figure), of(Side::Prometheus, figure));
    }
    for (side, outcome) in outcomes {
        // One scrape of each target may fall to either side of the end.
        let missing = outcome.samples - outcome.stored.unwrap_or(0.0);
        if missing > (setup.targets * setup.series) as f64 {
            report.failures.push(format!("{} stored {missing} samples less than it was served", side.name()));
        }
    }
    report
}

/// What both are given: a job for each ten targets, each target with an instance of its own.
fn configuration(side: Side, address: &str, targets: usize) -> String {
    let mut text = "global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs:\n".to_owned();
    let mut last = String::new();
    for target in 0..targets {
        let (job, instance) = identity(target);
        if job != last {
            writeln!(text, "- job_name: {job}\n  static_configs:").expect("a text takes everything");
            last = job;
        }
        let path = format!("/{}/{target}", side.path());
        let labels = format!("instance: {instance:?}, __metrics_path__: {path:?}");
        writeln!(text, "  - {{ targets: [{address:?}], labels: {{ {labels} }} }}").expect("a text takes everything");
    }
    text
}
