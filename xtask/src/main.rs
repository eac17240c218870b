//! `cargo xtask`: the project's own chores. Never part of what is shipped. Start at `Chore`.

mod audit;
mod bench;
mod bless;
mod check;
mod cluster;
mod conformance;
mod fuzz;
mod subject;
mod tidy;
mod trial;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The project's own chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// The gate: tidiness, licences, formatting, lints, tests, documentation.
    Check,
    /// Rewrites every generated file (dashboards, the custom resource) from its source.
    Bless,
    /// Checks the rules of the source tree alone: headers, arrows between packages, the map in ARCHITECTURE.md.
    Tidy,
    /// Prints packages, duplicates, licences and the slowest units of the last `cargo build --timings`.
    Audit,
    /// A throw-away Kubernetes on this machine, by kind, k3d or minikube, with our image in it.
    #[command(subcommand)]
    Cluster(cluster::Action),
    /// Our collector beside a Prometheus at the same work: what each needs for it.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Feeds made-up bytes to whatever takes bytes from outside, until the time is up or a promise is broken.
    Fuzz(fuzz::Arguments),
    /// The release binary through what operators fear: killed, a full disk, a target that explodes, a remote end that restarts.
    #[command(subcommand)]
    Trial(trial::Trial),
    /// Runs another project's test cases against ours.
    #[command(subcommand)]
    Conformance(Suite),
}

#[derive(Debug, Subcommand)]
enum Suite {
    /// Prometheus' promqltest scripts (`*.test`).
    Promql { dir: PathBuf },
    /// OpenMetrics' parser cases (`CASE/metrics` and `CASE/test.json`).
    Openmetrics { dir: PathBuf },
    /// Decisions of the Kubernetes Horizontal Pod Autoscaler (`*.jsonl`).
    Hpa { dir: PathBuf },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Check => check::run(),
        Chore::Bless => bless::run(),
        Chore::Tidy => tidy::run(),
        Chore::Audit => audit::run(),
        Chore::Cluster(action) => cluster::run(&action),
        Chore::Bench(bench) => bench::run(&bench),
        Chore::Fuzz(arguments) => fuzz::run(&arguments),
        Chore::Trial(trial) => trial::run(&trial),
        Chore::Conformance(Suite::Promql { dir }) => conformance::promql(&dir),
        Chore::Conformance(Suite::Openmetrics { dir }) => conformance::openmetrics(&dir),
        Chore::Conformance(Suite::Hpa { dir }) => conformance::hpa(&dir),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the workspace.
fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map_or(own.clone(), std::path::Path::to_owned)
}
