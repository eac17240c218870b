//! The `plimsoll` command: reads the command line, starts one program, turns its end into an exit code. Decides nothing else.

mod autoscaler;
mod collector;
mod crd;
mod dashboards;
mod demo;
mod manifests;
mod outcome;
mod policy;
mod report_file;
mod shop;
mod tui;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::outcome::Outcome;

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
    /// Scaling policies: check files.
    Policy(policy::Arguments),
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
        Command::Policy(arguments) => policy::run(&arguments),
        Command::Crd => crd::run(),
        Command::Dashboards(arguments) => dashboards::run(&arguments),
    };
    outcome.report()
}
