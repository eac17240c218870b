//! The same samples are written into both, and both are asked for a snapshot, which is a block of all of them: bytes a sample
//! on disk, the index and everything else of the block included.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use serde_json::Value;

use super::generator::Generator;
use super::queries::start;
use super::remote_write::{Span, fill};
use super::report::Report;
use super::{History, Setup};
use crate::subject::Subject;

/// What one side made of the samples.
struct Outcome {
    bytes: f64,
    samples: f64,
    filling_cpu: f64,
}

/// Fills both, or ours alone, and weighs.
pub async fn run(setup: &Setup, plimsoll: &Path, folder: &Path, history: History) -> anyhow::Result<Report> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let span = Span::until(now, history);
    let generator = Generator::new(setup.series);
    let mut outcomes = Vec::new();
    for subject in &start(setup, plimsoll, folder).await? {
        eprintln!("writing {} h of samples into {}", history.hours, subject.launch.side.name());
        let before = subject.usage()?.cpu_seconds;
        fill(subject, &generator, setup.targets, span).await?;
        let filling_cpu = subject.usage()?.cpu_seconds - before;
        outcomes.push(Outcome { filling_cpu, ..weigh(subject, &generator, span).await? });
    }
    let series = setup.targets * setup.series;
    let title = format!("storage: {series} series, {} h each {} s, as a block on disk", history.hours, span.interval);
    let mut report = Report { title, ..Report::default() };
    let both = |figure: &dyn Fn(&Outcome) -> f64| (outcomes.first().map(figure), outcomes.get(1).map(figure));
    let (ours, theirs) = both(&|outcome| outcome.bytes / outcome.samples);
    report.row("bytes a sample", ours, theirs);
    let (ours, theirs) = both(&|outcome| outcome.filling_cpu / outcome.samples * 1e6);
    report.row("CPU seconds a million samples written", ours, theirs);
    for (what, figure) in [
        ("bytes of the block", &(|outcome: &Outcome| outcome.bytes) as &dyn Fn(&Outcome) -> f64),
        ("samples that it answers for", &|outcome| outcome.samples),
    ] {
        let (ours, theirs) = both(figure);
        report.fact(what, ours, theirs);
    }
    #[expect(clippy::cast_precision_loss, reason = "samples of some hours")]
    let wanted = (series as u64 * span.samples()) as f64;
    for (outcome, side) in outcomes.iter().zip(["ours", "prometheus"]) {
        if (outcome.samples - wanted).abs() > 0.5 {
            report
                .failures
                .push(format!("{side} has {} samples and not the {wanted} that it was sent", outcome.samples));
        }
    }
    Ok(report)
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a disk")]
async fn weigh(subject: &Subject, generator: &Generator, span: Span) -> anyhow::Result<Outcome> {
    let (status, body, _) = subject.ask("/api/v1/admin/tsdb/snapshot", &[]).await?;
    if status != 200 {
        bail!("{} makes no snapshot: {}", subject.launch.side.name(), String::from_utf8_lossy(&body));
    }
    let body: Value = serde_json::from_slice(&body).context("the answer is no JSON")?;
    let name = body["data"]["name"].as_str().context("the snapshot has no name")?;
    let bytes = size(&subject.launch.data.join("snapshots").join(name))?;
    let samples = count(subject, generator, span).await?;
    Ok(Outcome { bytes: bytes as f64, samples, filling_cpu: 0.0 })
}

/// The samples that it answers for. In portions, since to count them a server reads them, and no server holds all at once.
async fn count(subject: &Subject, generator: &Generator, span: Span) -> anyhow::Result<f64> {
    const PORTION: u64 = 1_800;
    let names: BTreeSet<&str> = generator.lines.iter().map(|line| line.name).collect();
    let mut samples = 0.0;
    for until in (span.start..span.end + PORTION).step_by(usize::try_from(PORTION)?) {
        for name in &names {
            let query = format!("sum(count_over_time({name}[{PORTION}s] @ {until}))");
            samples += subject.number(&query).await?.unwrap_or(0.0);
        }
    }
    Ok(samples)
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn files_of_all_folders_are_weighed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::write(folder.path().join("x"), [0; 10]).unwrap();
        std::fs::write(folder.path().join("a/b/y"), [0; 32]).unwrap();
        assert_eq!(size(folder.path()).unwrap(), 42);
    }
}
