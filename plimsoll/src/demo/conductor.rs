//! The course of a demo: wait until all is ready, let the shoppers in, switch faults on and off, wait for the end of
//! the load, let the orders settle, write the report.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use lifecycle::CancellationToken;
use tokio::time::Instant;

use super::data_dir::DataDir;
use super::fault::FaultSpec;
use super::report::ReplicasReport;
use super::stack::View;
use super::{Arguments, gather, progress};

/// How long the ten services may take to become ready before the demo gives up and says what holds it.
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// How long orders may take to end after the load has ended.
const SETTLE_DEADLINE: Duration = Duration::from_secs(20);

/// How often faults are switched, replicas counted and the end looked for.
const BEAT: Duration = Duration::from_millis(250);

/// How often a headless run prints a line.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Conducts one run.
pub struct Conductor {
    /// The command line.
    pub arguments: Arguments,
    /// Removed, if temporary, when the conductor goes.
    pub data: DataDir,
    /// The programs.
    pub view: View,
}

/// What is counted while the run goes on.
#[derive(Debug, Default)]
pub struct Tally {
    /// Replicas asked for, by service.
    pub replicas: BTreeMap<String, ReplicasReport>,
}

impl Tally {
    fn count(&mut self, service: &str, desired: u32) {
        let entry = self.replicas.entry(service.to_owned()).or_insert(ReplicasReport {
            min: desired,
            max: desired,
            last: desired,
        });
        entry.min = entry.min.min(desired);
        entry.max = entry.max.max(desired);
        entry.last = desired;
    }
}

impl Conductor {
    /// Runs to the end; an error ends the demo with exit code 1.
    pub async fn run(mut self, shutdown: &CancellationToken) -> Result<(), String> {
        let started = Instant::now();
        self.say(&format!(
            "plimsoll demo: collector {} · autoscaler {} · shop {} · data {}{}",
            trimmed(&self.view.collector_url),
            trimmed(&self.view.autoscaler_url),
            trimmed(&self.view.gateway_url),
            self.data.path().display(),
            if self.data.is_temporary() { " (removed at the end)" } else { "" },
        ));
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            ready = self.view.cluster.wait_ready(READY_DEADLINE) => ready?,
        }
        let seconds = started.elapsed().as_secs_f64();
        let processes = self.view.cluster.processes();
        let resident: u64 = processes.iter().map(|(_, pid)| resident_kib(*pid)).sum();
        self.say(&format!(
            "all services ready after {seconds:.1} s: {} processes, {} MiB resident in all · limits {}",
            processes.len(),
            resident / 1024,
            self.view.cluster.limits(),
        ));
        let load_started = Instant::now();
        if let Some(doors) = self.view.open_doors.take()
            && doors.send(()).is_err()
        {
            return Err("the shoppers were gone before the shop was ready".to_owned());
        }
        let tally = self.watch(load_started, shutdown).await;
        if shutdown.is_cancelled() {
            return Ok(());
        }
        let seconds = load_started.elapsed().as_secs_f64();
        let report = gather::report(&self.view, &tally, seconds, SETTLE_DEADLINE).await?;
        self.say(&progress::summary(&report));
        if let Some(file) = &self.arguments.report {
            write_report(file, &report)?;
            self.say(&format!("report written: {}", file.display()));
        }
        Ok(())
    }

    /// Counts and switches faults until the load ends or shutdown is asked for.
    async fn watch(&mut self, load_started: Instant, shutdown: &CancellationToken) -> Tally {
        let mut tally = Tally::default();
        let mut faults = Faults::new(&self.arguments.fault);
        let mut beat = tokio::time::interval(BEAT);
        let mut next_line = load_started + PROGRESS_INTERVAL;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return tally,
                _ = &mut self.view.load_ended => return tally,
                _ = beat.tick() => {}
            }
            let workloads = self.view.workloads().await;
            for workload in &workloads {
                tally.count(&workload.reference.name, workload.desired.0);
            }
            for change in faults.switch(&self.view, load_started.elapsed()).await {
                self.say(&change);
            }
            if Instant::now() >= next_line {
                next_line += PROGRESS_INTERVAL;
                self.say(&progress::line(&self.view, &workloads, load_started.elapsed()));
            }
        }
    }

    /// Prints a line in a headless run; with a screen open, the log has it.
    fn say(&self, line: &str) {
        tracing::info!("{line}");
        if self.arguments.headless {
            println!("{line}");
        }
    }
}

/// Resident memory of a process as the kernel counts it (`VmRSS`), shared pages included; 0 when it has ended.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn trimmed(url: &url::Url) -> &str {
    url.as_str().trim_end_matches('/')
}

fn write_report(file: &Path, report: &super::report::Report) -> Result<(), String> {
    let text = serde_json::to_string_pretty(report).map_err(|error| format!("cannot write the report: {error}"))?;
    std::fs::write(file, text + "\n").map_err(|error| format!("cannot write {}: {error}", file.display()))
}

/// The faults of the command line and which of them are on.
struct Faults {
    specs: Vec<(FaultSpec, bool)>,
    http: reqwest::Client,
}

impl Faults {
    fn new(specs: &[FaultSpec]) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_millis(500)).build().unwrap_or_default();
        Self { specs: specs.iter().map(|spec| (spec.clone(), false)).collect(), http }
    }

    /// Brings every replica to the state that the time asks for; says what changed.
    async fn switch(&mut self, view: &View, elapsed: Duration) -> Vec<String> {
        let mut changes = Vec::new();
        for (spec, was_on) in &mut self.specs {
            let is_on = spec.is_on(elapsed);
            if !is_on && !*was_on {
                continue;
            }
            for admin in view.cluster.pod_addresses(&spec.service, "admin") {
                let result = if is_on {
                    spec.switch_on(&self.http, admin).await
                } else {
                    spec.switch_off(&self.http, admin).await
                };
                if let Err(error) = result {
                    tracing::warn!(service = spec.service, kind = spec.kind, %error, "a fault could not be switched in a replica");
                }
            }
            if is_on != *was_on {
                let value = spec.value.as_ref().map_or_else(String::new, |v| format!("={v}"));
                changes.push(format!(
                    "{:4.0} s  fault {}:{}{value} {}",
                    elapsed.as_secs_f64(),
                    spec.service,
                    spec.kind,
                    if is_on { "on" } else { "off" }
                ));
                *was_on = is_on;
            }
        }
        changes
    }
}
