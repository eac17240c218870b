//! The `plimsoll` command: reads the command line, starts one program, turns its end into an exit code. Decides nothing else.

mod autoscaler;
mod collector;
mod crd;
mod dashboards;
mod demo;
mod manifests;
mod outcome;
mod policy;
mod replay;
mod report_file;
mod shop;
mod slo;
mod tui;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::outcome::Outcome;

/// Spans and samples are allocated by one thread and freed by another: glibc's allocator takes a lock for that, and musl's, which the
/// image would have, one lock for everything.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps services loaded to their line: scrapes them, learns who calls whom, scales them by policy, and shows what is
/// broken and what is well.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the shop, its load, the collector and the autoscaler on this machine, and opens the screen.
    Demo(demo::Arguments),
    /// Scrapes metrics, takes in traces, answers PromQL.
    Collector(collector::Arguments),
    /// Steers the workloads of a Kubernetes cluster by their scaling policies.
    Autoscaler(autoscaler::Arguments),
    /// Opens the screen on a running collector and autoscaler.
    Tui(tui::Arguments),
    /// The demo shop: one of its services, or its shoppers.
    Shop(shop::Arguments),
    /// Scaling policies: check, test, explain them, import those of HPA and KEDA.
    Policy(policy::Arguments),
    /// Service level objectives: check files, take over OpenSLO's and Sloth's, print Prometheus' rules.
    Slo(slo::Arguments),
    /// What scaling would have done under a load: the policies beside HPA, KEDA and static replicas, in virtual time.
    Replay(replay::Arguments),
    /// Prints the custom resource ScalingPolicy, for `kubectl apply -f -`.
    Crd,
    /// Writes the Grafana dashboards and their provisioning files.
    Dashboards(dashboards::Arguments),
}

fn main() -> ExitCode {
    let outcome: Outcome = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Collector(arguments) => collector::run(arguments),
        Command::Autoscaler(arguments) => autoscaler::run(arguments),
        Command::Tui(arguments) => tui::run(arguments),
        Command::Shop(arguments) => shop::run(arguments),
        Command::Policy(arguments) => policy::run(arguments),
        Command::Slo(arguments) => slo::run(arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Crd => crd::run(),
        Command::Dashboards(arguments) => dashboards::run(&arguments),
    };
    outcome.report()
}
