//! `plimsoll replay`: what the scaling policies would have done under a load, beside HPA, KEDA and replicas that never change.
//! Reads files, calls `autoscaler::replay`, prints; decides and simulates nothing itself.

mod progress;
mod shop;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use autoscaler::replay::{self, Baseline, Cadence, Objective, Setup, Trace};
use autoscaler::{PolicySet, Startup};
use cluster::simulated::STEP_MS;
use protocol::duration;

use self::progress::Progress;
use crate::manifests;
use crate::outcome::Outcome;
use crate::report_file;

/// Journeys a second at the peak for which the shop's own policies and limits are made (`k8s/shop/base/config.yaml`).
const PEAK_DEFAULT: f64 = 40.0;

/// The command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The load: flash-sale, diurnal, noisy, constant, step3x, or a file of lines `seconds,rps`.
    #[arg(long, value_name = "TRACE")]
    trace: String,
    /// What is simulated.
    #[arg(long, value_enum, default_value_t = GraphName::Shop)]
    graph: GraphName,
    /// Whom to compare with: any of static, hpa, keda.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = baseline, default_value = "static,hpa,keda")]
    against: Vec<Baseline>,
    /// Tunes each of them on the first half of the trace, and judges everybody on the second.
    #[arg(long)]
    grid: bool,
    /// Runs of each contender, each with other randomness.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    seeds: u32,
    /// Journeys a second at the trace's peak; the shop's policies are made for 40.
    #[arg(long, value_name = "RPS", default_value_t = PEAK_DEFAULT, allow_negative_numbers = true, value_parser = peak)]
    peak: f64,
    /// Lets the trace pass in so many times less time.
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, allow_negative_numbers = true, value_parser = times)]
    compress: f64,
    /// Puts the trace's pieces of five minutes into an order that cannot be foreseen; the number picks the order.
    #[arg(long, value_name = "SEED", num_args = 0..=1, default_missing_value = "1")]
    shuffled: Option<u64>,
    /// When the load begins, by which schedules go: midnight of a Monday as a rule.
    #[arg(long, value_name = "TIME", default_value = "2024-01-01T00:00:00Z", value_parser = replay::time)]
    begins: i64,
    /// Policies to replay instead of the shop's own.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    policy: Vec<PathBuf>,
    /// Gives all policies this many replicas at most, for peaks beyond the shop's own.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=150_000))]
    replicas_max: Option<i32>,
    /// Reads the shop's manifests from this folder, and its policies from `policies` below it, instead of the built-in ones.
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// The front door's 99th percentile is to stay below this.
    #[arg(long, value_name = "DURATION", default_value = "250ms", value_parser = more_than_none)]
    latency_p99: Duration,
    /// Percent of the front door's requests that are to be answered.
    #[arg(long, value_name = "PERCENT", default_value = "99.9%", value_parser = percent)]
    availability: f64,
    /// From the wish for a replica until it is ready.
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = duration::parse)]
    start_up: Duration,
    /// How long a replica's requests cost twice the CPU after it became ready.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration::parse)]
    warm_up: Duration,
    /// Time between two looks of the autoscaler at all policies, as in the demo.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = more_than_none)]
    interval: Duration,
    /// How often its metrics are scraped, as in the demo.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = more_than_none)]
    scrape: Duration,
    /// What its CPU readings are an average over, as in the demo.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = more_than_none)]
    rate_window: Duration,
    /// Writes the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes a picture of each contender's first run.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum GraphName {
    /// The demo shop, as its manifests and its shoppers' journeys have it.
    Shop,
}

/// Replays, prints the table, writes the files.
pub fn run(arguments: &Arguments) -> Outcome {
    for (file, flag) in [(&arguments.json, "--json"), (&arguments.svg, "--svg")] {
        if let Some(Err(error)) = file.as_deref().map(|file| report_file::check(file, flag)) {
            return Outcome::bad_input(error);
        }
    }
    let setup = match setup(arguments) {
        Ok(setup) => setup,
        Err(error) => return Outcome::bad_input(error),
    };
    let progress = Progress::default();
    let outcome = match replay::run(&setup, &|done, all| progress.show(done, all)) {
        Ok(outcome) => outcome,
        Err(error) => return Outcome::bad_input(error),
    };
    progress.clear();
    print!("{}", outcome.table());
    let json = arguments.json.as_deref().map_or(Ok(()), |file| report_file::write(file, &outcome.report));
    let picture = || replay::picture::svg(&outcome);
    let svg = arguments.svg.as_deref().map_or(Ok(()), |file| report_file::write_text(file, &picture()));
    Outcome::of(json.and(svg))
}

fn setup(arguments: &Arguments) -> Result<Setup, String> {
    let trace = match Trace::profile(&arguments.trace) {
        Some(trace) => trace,
        None => Trace::read(arguments.trace.as_ref()).map_err(|error| format!("--trace: {error}"))?,
    };
    let trace = trace.compressed(arguments.compress).with_peak(arguments.peak);
    let trace = match arguments.shuffled {
        Some(seed) => trace.shuffled(seed),
        None => trace,
    };
    let folder = arguments.manifests.as_deref();
    let policies: PolicySet = if arguments.policy.is_empty() {
        manifests::policies(folder).and_then(autoscaler::policy::from_documents)
    } else {
        autoscaler::policy::load(&arguments.policy)
    }
    .map_err(|error| error.to_string())?;
    let policies = match arguments.replicas_max {
        Some(max) => with_maximum(&policies, max)?,
        None => policies,
    };
    let life = shop::Pace {
        start_up_seconds: arguments.start_up.as_secs_f64(),
        warm_up_seconds: arguments.warm_up.as_secs_f64(),
    };
    let GraphName::Shop = arguments.graph;
    let documents = manifests::shop(folder).map_err(|error| error.to_string())?;
    let graph = shop::graph(&documents, life).map_err(|error| error.to_string())?;
    Ok(Setup {
        graph: Arc::new(graph),
        policies,
        trace,
        begins_ms: arguments.begins,
        objective: Objective {
            quantile: 0.99,
            below_seconds: arguments.latency_p99.as_secs_f64(),
            availability: arguments.availability,
        },
        cadence: Cadence {
            interval: arguments.interval,
            scrape: arguments.scrape,
            rate_window: arguments.rate_window,
            startup: Startup::default(),
        },
        against: arguments.against.clone(),
        seeds: arguments.seeds,
        grid: arguments.grid,
        step_ms: STEP_MS,
    })
}

/// The same policies with another maximum.
fn with_maximum(policies: &PolicySet, max: i32) -> Result<PolicySet, String> {
    let mut changed = PolicySet::default();
    for policy in policies.iter() {
        let mut policy = policy.clone();
        if policy.bounds.min > max {
            let (name, min) = (&policy.name.name, policy.bounds.min);
            return Err(format!("--replicas-max {max} is below the minimum of {min} of policy {name}"));
        }
        policy.bounds.max = max;
        changed.add(Arc::new(policy)).map_err(|taken| format!("policy {} stands there twice", taken.name.name))?;
    }
    Ok(changed)
}

fn baseline(text: &str) -> Result<Baseline, String> {
    let found = Baseline::ALL.iter().find(|(name, _)| *name == text);
    found.map(|(_, baseline)| *baseline).ok_or_else(|| {
        let names = Baseline::ALL.map(|(name, _)| name).join(", ");
        format!("there is no contender {text:?}; expected any of {names}")
    })
}

fn peak(text: &str) -> Result<f64, String> {
    number(text, 0.001, 1e6, "a number of journeys a second, 0.001 to 1000000")
}

fn times(text: &str) -> Result<f64, String> {
    number(text, 0.001, 1e6, "how many times less time, 0.001 to 1000000")
}

fn percent(text: &str) -> Result<f64, String> {
    let expected = "a percentage of 50 up to 100, such as 99.9%";
    number(text.trim_end_matches('%'), 50.0, 100.0, expected).map(|percent| percent / 100.0)
}

fn number(text: &str, least: f64, most: f64, expected: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("expected {expected}"))
}

fn more_than_none(text: &str) -> Result<Duration, String> {
    let duration = duration::parse(text).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("expected more than 0".to_owned()) } else { Ok(duration) }
}
