//! `cargo xtask bench faults`: does the collector name who is broken? Runs the real demo, makes something wrong in it on purpose,
//! one thing after the other, and holds what `/api/v1/faults` says against what was done. Calm times and pure load count too:
//! there nobody may be named. Start at `run`.

mod course;
mod demo;
mod plan;
mod score;
mod sli;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use self::course::Course;
use self::demo::Demo;
use self::plan::Case;
use self::score::Score;
use self::sli::Sli;

/// From the opening of the doors until the collector knows what is usual, and the autoscaler has found its size.
const SETTLE_S: u64 = 45;
/// Load comes as a surge for so long ...
const SURGE_S: u64 = 40;
/// ... and its end is watched too.
const AFTER_SURGE_S: u64 = 30;
/// Before the first fault.
const BEFORE_FAULTS_S: u64 = 20;
/// Between two faults.
const BETWEEN_S: u64 = 8;
/// How many times the usual load a surge is.
const SURGE: f64 = 2.5;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Our binary; without it, it is built for release.
    #[arg(long, value_name = "PATH")]
    plimsoll: Option<PathBuf>,
    /// How many runs of the demo: seed 1 and so on. Each tries every kind once, at another service.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=30))]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from_seed: u64,
    /// Only these kinds of fault: `error,leak`.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<String>,
    /// At most so many cases in all.
    #[arg(long)]
    cases: Option<usize>,
    /// Journeys a second.
    #[arg(long, default_value_t = 15.0)]
    rate: f64,
    /// Seconds of each run in which nothing happens before the surge of load; with 0 there is no surge either.
    #[arg(long, default_value_t = 60)]
    quiet: u64,
    /// Writes everything as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Runs all cases, prints the score; an error says what does not hold.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    plan::check(&arguments.kinds)?;
    if let Some(file) = &arguments.report {
        fs::write(file, "").with_context(|| format!("--report: cannot write {}", file.display()))?;
    }
    let plimsoll = match &arguments.plimsoll {
        Some(path) => path.clone(),
        None => super::build()?,
    };
    let seeds = arguments.from_seed..arguments.from_seed + arguments.seeds;
    let mut left = arguments.cases.unwrap_or(usize::MAX);
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let (mut score, mut failed) = (Score::default(), None);
    for seed in seeds {
        let mut cases = plan::of_seed(seed, &arguments.kinds);
        cases.truncate(left);
        left -= cases.len();
        if cases.is_empty() {
            break;
        }
        let ran = runtime.block_on(one_run(arguments, &plimsoll, seed, &cases, &mut score));
        if let Err(error) = ran {
            failed = Some(error.context(format!("the run with seed {seed}")));
            break;
        }
    }
    // Also after a failure: what was found so far is worth more than nothing.
    print!("{}", score.table());
    if let Some(file) = &arguments.report {
        let text = serde_json::to_string_pretty(&score)?;
        fs::write(file, text).with_context(|| format!("--report: cannot write {}", file.display()))?;
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let is_part =
        arguments.cases.is_some() || !arguments.kinds.is_empty() || arguments.seeds < 3 || arguments.quiet == 0;
    let breaches = score.breaches(is_part);
    if breaches.is_empty() {
        return Ok(());
    }
    for breach in &breaches {
        eprintln!("{breach}");
    }
    bail!("{} things are not as they must be", breaches.len())
}

/// One run of the demo: calm, a surge, calm, and one fault after the other.
async fn one_run(
    arguments: &Arguments,
    plimsoll: &Path,
    seed: u64,
    cases: &[Case],
    score: &mut Score,
) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("plimsoll-faults-").tempdir().context("cannot make a folder")?;
    let trace = folder.path().join("load.csv");
    fs::write(&trace, load(arguments.rate, arguments.quiet)).context("cannot write the load's shape")?;
    eprintln!("seed {seed}: starting the demo");
    let demo = Demo::start(plimsoll, &trace, seed)?;
    let mut course = Course { demo: &demo, sli: Sli::default(), seed };
    tokio::time::sleep(Duration::from_secs(SETTLE_S)).await;
    if arguments.quiet > 0 {
        for (what, seconds) in [("quiet", arguments.quiet), ("surge", SURGE_S + AFTER_SURGE_S)] {
            let calm = course.calm(what, seconds).await?;
            eprintln!("seed {seed}: {what}: {} blamed", calm.alarms.len());
            score.calms.push(calm);
        }
    }
    // What is usual is read before the first fault.
    let mut between = course.calm("between", BEFORE_FAULTS_S).await?;
    for case in cases {
        let calm = course.calm("between", BETWEEN_S).await?;
        between.seconds += calm.seconds;
        between.alarms.extend(calm.alarms);
        let outcome = course.run(case).await.with_context(|| case.fault())?;
        eprintln!("{}", score::row(&outcome));
        score.outcomes.push(outcome);
    }
    score.calms.push(between);
    demo.stop().await
}

/// The load as the demo's `trace:` takes it: steady, with one surge.
fn load(rate: f64, quiet: u64) -> String {
    let mut text = format!("0,{rate}\n");
    if quiet > 0 {
        let surge = SETTLE_S + quiet;
        writeln!(text, "{surge},{}\n{},{rate}", rate * SURGE, surge + SURGE_S).expect("a text takes everything");
    }
    // Longer than any run.
    text + "20000,0\n"
}

#[cfg(test)]
mod tests {
    use super::load;

    #[test]
    fn a_surge_comes_after_the_quiet_and_ends() {
        assert_eq!(load(15.0, 60), "0,15\n105,37.5\n145,15\n20000,0\n");
        assert_eq!(load(15.0, 0), "0,15\n20000,0\n");
    }
}
