//! `plimsoll demo`: the shop, its load, the collector, the autoscaler and the screen, together on this machine.
//! Wires programs that know nothing of each other; start at `conduct`, the course of a run.

mod conductor;
mod control;
mod data_dir;
mod fault;
mod gather;
mod plan;
mod ports;
mod progress;
mod report;
mod scrape_config;
mod stack;
mod switchboard;
mod witness;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use demo_services::shoppers;
use lifecycle::{CancellationToken, Supervisor};

use crate::demo::conductor::Conductor;
use crate::demo::data_dir::DataDir;
use crate::demo::fault::FaultSpec;
use crate::demo::stack::Stack;
use crate::outcome::{Outcome, run_until_signal};
use crate::report_file;

/// The command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Prints progress lines instead of opening the screen.
    #[arg(long)]
    headless: bool,
    /// Writes a JSON report when the load has ended.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Ends the load after so many seconds, and then the demo; without it the screen stays open until it is quit.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400), required_if_eq("headless", "true"))]
    seconds: Option<u64>,
    /// Shape of the load: steady, wave, flash-sale or trace:FILE (lines of `seconds,rps`).
    #[arg(long, default_value = "wave", value_parser = shoppers::Profile::parse)]
    profile: shoppers::Profile,
    /// Journeys a second at the profile's peak.
    #[arg(long, value_name = "RPS", default_value_t = 30.0, allow_negative_numbers = true, value_parser = rate)]
    rate: f64,
    /// The same seed makes the same journeys at the same times.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Keeps everything in this folder; without it a temporary one is used, and removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the collector listens [default: 127.0.0.1:9090 if free, else any free port].
    #[arg(long, value_name = "ADDR", value_parser = lifecycle::listen::parse)]
    collector: Option<SocketAddr>,
    /// Where the autoscaler listens [default: 127.0.0.1:9091 if free, else any free port].
    #[arg(long, value_name = "ADDR", value_parser = lifecycle::listen::parse)]
    autoscaler: Option<SocketAddr>,
    /// Where the shop's front door listens [default: 127.0.0.1:8080 if free, else any free port].
    #[arg(long, value_name = "ADDR", value_parser = lifecycle::listen::parse)]
    gateway: Option<SocketAddr>,
    /// Where faults are begun and ended while the demo runs [default: 127.0.0.1:9902 if free, else any free port].
    #[arg(long, value_name = "ADDR", value_parser = lifecycle::listen::parse)]
    control: Option<SocketAddr>,
    /// A fault: SERVICE:KIND[=VALUE]@START[+DURATION], such as payment:error=1@30+30; `--help` has the kinds.
    #[arg(long, value_name = "FAULT", long_help = fault::help())]
    fault: Vec<FaultSpec>,
    /// Reads the shop's manifests from this folder, and its policies from `policies` below it, instead of the built-in ones.
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// No colours on the screen, as with NO_COLOR=1.
    #[arg(long)]
    no_color: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "expected a number of journeys a second".to_owned())?;
    if rate > 0.0 && rate <= RATE_MAX { Ok(rate) } else { Err(format!("expected more than 0 and at most {RATE_MAX}")) }
}

/// Journeys a second beyond which one machine's shoppers would measure themselves.
const RATE_MAX: f64 = 2_000.0;

/// Runs the demo to its end.
pub fn run(arguments: Arguments) -> Outcome {
    let data = match DataDir::open(arguments.data.as_deref()) {
        Ok(data) => data,
        Err(error) => return Outcome::bad_input(error),
    };
    if let Some(Err(error)) = arguments.report.as_deref().map(|file| report_file::check(file, "--report")) {
        return Outcome::bad_input(error);
    }
    if let Some(error) = too_late(&arguments) {
        return Outcome::bad_input(error);
    }
    let log = data.path().join("plimsoll.log");
    if let Err(error) = lifecycle::logging::to_file(&log) {
        return Outcome::bad_input(format!("cannot write {}: {error}", log.display()));
    }
    // The folder outlives every task that writes to it, and goes, if it is temporary, after the last one.
    run_until_signal(|shutdown| conduct(arguments, &data, shutdown))
}

/// A fault that would never come is a mistake in the command line.
fn too_late(arguments: &Arguments) -> Option<String> {
    let seconds = arguments.seconds?;
    let late = arguments.fault.iter().find(|fault| fault.start >= Duration::from_secs(seconds))?;
    let (label, start) = (late.label(), late.start.as_secs_f64());
    Some(format!("--fault {label}@{start} would begin when the load is over: --seconds is {seconds}"))
}

async fn conduct(arguments: Arguments, data: &DataDir, shutdown: CancellationToken) -> Outcome {
    let mut supervisor = Supervisor::new(shutdown.clone());
    let stack = match Stack::bind(&arguments, data).await {
        Ok(stack) => stack,
        Err(error) => return Outcome::bad_input(error),
    };
    let view = match stack.spawn_into(&mut supervisor) {
        Ok(view) => view,
        Err(error) => return Outcome::failed(error),
    };
    if !arguments.headless {
        let options = tui::Options {
            collector: view.collector_url.clone().into(),
            autoscaler: Some(view.autoscaler_url.clone().into()),
            api_token: None,
            no_color: arguments.no_color,
            title: "plimsoll demo".to_owned(),
        };
        let screen_shutdown = shutdown.clone();
        supervisor.spawn("the screen", async move {
            let result = tui::run(options, screen_shutdown.clone()).await;
            screen_shutdown.cancel();
            result
        });
    }
    let conductor = Conductor { arguments, data: data.describe(), view };
    supervisor.spawn("the demo", async move {
        let result = conductor.run(&shutdown).await;
        shutdown.cancel();
        result
    });
    Outcome::of(supervisor.run().await)
}
