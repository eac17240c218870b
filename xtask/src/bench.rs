//! `cargo xtask bench`: our collector and a given Prometheus at the same work in one run, and what each of them needed for
//! it. Both run as processes of their own; what feeds them is not counted. `faults` is a bench of another kind: what the
//! collector says of the demo's faults. Start at `Bench`.

mod answers;
mod faults;
pub mod generator;
mod queries;
pub mod remote_write;
pub mod report;
mod scrape;
mod spans;
mod storage;
mod targets;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use self::report::Report;

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum Bench {
    #[command(flatten)]
    Compared(Comparison),
    /// Faults are made in the demo, one after the other: who is named for them, how soon, and who without any.
    Faults(faults::Arguments),
    /// What deciding costs: plans a second on one core, and time and memory of ticks over 5,000 policies. Then how long 14 days in steps
    /// of 15 s with 100 workloads are replayed.
    Plan,
}

/// What is compared.
#[derive(Debug, Subcommand)]
pub enum Comparison {
    /// Targets are scraped each second: processor time a sample, memory, scrapes that were missed.
    Scrape {
        #[command(flatten)]
        setup: Setup,
        /// How long is measured, after every target has been scraped once.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// The same samples are written into both, and the same queries asked: time each, and whether the answers agree.
    Query {
        #[command(flatten)]
        setup: Setup,
        #[command(flatten)]
        history: History,
        /// Times that each query is asked; the median counts.
        #[arg(long, default_value_t = 5)]
        repeat: usize,
        /// Only queries that contain this text.
        #[arg(long)]
        only: Option<String>,
    },
    /// Spans by OTLP over gRPC into ours: how many a second one core takes, in how much memory, and what becomes of too many.
    Spans {
        #[command(flatten)]
        setup: spans::Setup,
    },
    /// The same samples are written into both: bytes a sample of a block on disk.
    Storage {
        #[command(flatten)]
        setup: Setup,
        #[command(flatten)]
        history: History,
    },
}

/// What runs, and against what.
#[derive(Debug, Args)]
pub struct Setup {
    /// A Prometheus to compare with; without it only ours is measured.
    #[arg(long, value_name = "PATH")]
    prometheus: Option<PathBuf>,
    /// Our binary; without it, it is built for release.
    #[arg(long, value_name = "PATH")]
    plimsoll: Option<PathBuf>,
    /// How many targets there are.
    #[arg(long, default_value_t = 50)]
    targets: usize,
    /// How many series each target has: counters, gauges, histograms.
    #[arg(long, default_value_t = 2_000)]
    series: usize,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Samples that are written rather than scraped, so that hours of them take minutes.
#[derive(Debug, Clone, Copy, Args)]
pub struct History {
    /// How many hours of samples.
    #[arg(long, default_value_t = 2)]
    hours: u64,
    /// Seconds between the samples of a series.
    #[arg(long, default_value_t = 15)]
    interval: u64,
}

/// Runs one measurement.
pub fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        // It feeds nobody: how quick it is itself does not matter.
        Bench::Faults(arguments) => faults::run(arguments),
        Bench::Plan => ["bench_plan", "bench_replay"].into_iter().try_for_each(example),
        Bench::Compared(_) if cfg!(debug_assertions) => for_release(),
        Bench::Compared(comparison) => compare(comparison),
    }
}

fn compare(comparison: &Comparison) -> anyhow::Result<()> {
    let (plimsoll, json) = match comparison {
        Comparison::Scrape { setup, .. } | Comparison::Query { setup, .. } | Comparison::Storage { setup, .. } => {
            (&setup.plimsoll, setup.json)
        }
        Comparison::Spans { setup } => (&setup.plimsoll, setup.json),
    };
    let plimsoll = match plimsoll {
        Some(path) => path.clone(),
        None => build()?,
    };
    let folder = std::env::temp_dir().join(format!("plimsoll-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let report = runtime.block_on(async {
        match comparison {
            Comparison::Scrape { setup, seconds } => scrape::run(setup, &plimsoll, &folder, *seconds).await,
            Comparison::Query { setup, history, repeat, only } => {
                queries::run(setup, &plimsoll, &folder, *history, *repeat, only.as_deref()).await
            }
            Comparison::Spans { setup } => spans::run(setup, &plimsoll, &folder).await,
            Comparison::Storage { setup, history } => storage::run(setup, &plimsoll, &folder, *history).await,
        }
    });
    // Whatever came out of it, gigabytes are not left behind.
    let removed = std::fs::remove_dir_all(&folder);
    let report: Report = report?;
    removed.with_context(|| format!("cannot remove {}", folder.display()))?;
    if json {
        println!("{}", report.json()?);
    } else {
        print!("{}", report.table());
    }
    if report.failures.is_empty() {
        return Ok(());
    }
    for failure in &report.failures {
        eprintln!("{failure}");
    }
    bail!("{} things are not as they must be", report.failures.len())
}

/// Runs an example of the autoscaler that measures itself.
fn example(name: &str) -> anyhow::Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--package", "autoscaler", "--example", name])
        .current_dir(crate::root())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("{name}: something does not hold");
    }
    Ok(())
}

/// The same again, optimised: what feeds both would otherwise take the processor from them.
pub fn for_release() -> anyhow::Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--package", "xtask", "--"])
        .args(std::env::args_os().skip(1))
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("it has failed");
    }
    Ok(())
}

/// Builds the command for release and says where it is.
pub fn build() -> anyhow::Result<PathBuf> {
    eprintln!("building plimsoll for release");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "plimsoll", "--message-format", "json-render-diagnostics"])
        .current_dir(crate::root())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("plimsoll could not be built");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executables.next_back().context("cargo named no executable")
}
