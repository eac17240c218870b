//! The course of a demo: wait until all is ready, let the shoppers in, switch faults on and off, wait for the end of
//! the load, let the orders settle, write the report. Knows what happens when, and nothing of how.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use cluster::{ReplicaState, Workload};

use lifecycle::CancellationToken;
use tokio::time::Instant;

use super::report::ReplicasReport;
use super::stack::View;
use super::switchboard::Switchboard;
use super::witness::Witness;
use super::{Arguments, gather, progress};
use crate::report_file;

/// How long the ten services may take to become ready before the demo gives up and says what holds it.
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// How long orders may take to end after the load has ended.
const SETTLE_DEADLINE: Duration = Duration::from_secs(20);

/// How often a run that is not ready yet says what holds it: three times what a start takes on two cores.
const UNREADY_INTERVAL: Duration = Duration::from_secs(5);

/// How often faults are switched, replicas counted and the end looked for.
const BEAT: Duration = Duration::from_millis(250);

/// How often a headless run prints a line.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Conducts one run.
pub struct Conductor {
    /// The command line.
    pub arguments: Arguments,
    /// Where everything is kept, with a remark.
    pub data: String,
    /// The programs.
    pub view: View,
}

/// What is counted while the run goes on.
#[derive(Debug, Default)]
pub struct Tally {
    /// Replicas asked for, by service.
    pub replicas: BTreeMap<String, ReplicasReport>,
    /// Restarts by service and replica, those replicas included that have gone since.
    restarts: BTreeMap<(String, String), u32>,
}

impl Tally {
    fn count(&mut self, workloads: &[Workload]) {
        for workload in workloads {
            let service = &workload.reference.name;
            self.count_desired(service, workload.desired.0);
            for replica in &workload.replicas {
                self.restarts.insert((service.clone(), replica.name.clone()), replica.restarts);
            }
        }
    }

    /// Restarts of all replicas that a service has had.
    pub fn restarts(&self, service: &str) -> u64 {
        self.restarts.iter().filter(|((name, _), _)| name == service).map(|(_, count)| u64::from(*count)).sum()
    }

    fn count_desired(&mut self, service: &str, desired: u32) {
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
            "plimsoll demo: collector {} · autoscaler {} · shop {} · faults {} · data {}",
            trimmed(&self.view.collector_url),
            trimmed(&self.view.autoscaler_url),
            trimmed(&self.view.gateway_url),
            trimmed(&self.view.control_url),
            self.data,
        ));
        self.wait_ready(shutdown).await?;
        if shutdown.is_cancelled() {
            return self.stopped();
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
        self.view.faults.begin();
        if let Some(doors) = self.view.open_doors.take()
            && doors.send(()).is_err()
        {
            return Err("the shoppers were gone before the shop was ready".to_owned());
        }
        let (mut tally, mut faults) = (Tally::default(), Switchboard::new(self.view.faults.clone()));
        let mut witness = Witness::new(&self.view.collector_url);
        self.watch(&mut tally, &mut faults, &mut witness, load_started, shutdown).await;
        let report = tokio::select! {
            () = shutdown.cancelled() => return self.stopped(),
            report = self.report(&mut tally, &mut faults, &witness, load_started.elapsed()) => report?,
        };
        self.say(&progress::summary(&report));
        if let Some(file) = &self.arguments.report {
            report_file::write(file, &report)?;
            self.say(&format!("report written: {}", file.display()));
        }
        Ok(())
    }

    /// A headless run was asked for its end, and did not get there.
    fn stopped(&self) -> Result<(), String> {
        match self.arguments.seconds.filter(|_| self.arguments.headless) {
            Some(seconds) => Err(format!("stopped before its {seconds} s were over; there is no report")),
            None => Ok(()),
        }
    }

    /// Waits until every service is ready; says meanwhile what is not. A replica that ends again and again will not be
    /// ready soon, so that is an error at once, with its last words.
    async fn wait_ready(&self, shutdown: &CancellationToken) -> Result<(), String> {
        let ready = self.view.cluster.wait_ready(READY_DEADLINE);
        tokio::pin!(ready);
        let began = Instant::now();
        let mut next_line = began + UNREADY_INTERVAL;
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                ready = &mut ready => return ready,
                _ = beat.tick() => {}
            }
            let hopeless = hopeless(&self.view.workloads().await);
            if !hopeless.is_empty() {
                return Err(format!("the shop cannot start:{hopeless}"));
            }
            if Instant::now() >= next_line {
                next_line += UNREADY_INTERVAL;
                let seconds = began.elapsed().as_secs_f64();
                self.say(&format!("{seconds:4.0} s  not ready yet:{}", self.view.cluster.unready()));
            }
        }
    }

    async fn report(
        &self,
        tally: &mut Tally,
        faults: &mut Switchboard,
        witness: &Witness,
        elapsed: Duration,
    ) -> Result<super::report::Report, String> {
        let served = gather::served(&self.view, elapsed.as_secs_f64()).await?;
        for change in faults.end(&self.view, elapsed).await {
            self.say(&change);
        }
        tally.count(&self.view.workloads().await);
        gather::report(&self.view, tally, served, witness.seen(), SETTLE_DEADLINE).await
    }

    /// Counts and switches faults until the load ends or shutdown is asked for.
    async fn watch(
        &mut self,
        tally: &mut Tally,
        faults: &mut Switchboard,
        witness: &mut Witness,
        load_started: Instant,
        shutdown: &CancellationToken,
    ) {
        let mut beat = tokio::time::interval(BEAT);
        let mut next_line = load_started + PROGRESS_INTERVAL;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = &mut self.view.load_ended => return,
                _ = beat.tick() => {}
            }
            let workloads = self.view.workloads().await;
            tally.count(&workloads);
            for change in faults.switch(&self.view, load_started.elapsed()).await {
                self.say(&change);
            }
            let shoppers = &self.view.shoppers;
            let counts = || shoppers.stats().journeys.into_iter().map(|j| (j.name, (j.requests, j.errors))).collect();
            witness.look(counts).await;
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
            // Whoever closed the pipe has read enough; the run and its report go on.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }
}

/// The replicas that end again and again, with their last words; those that are merely starting are left out.
fn hopeless(workloads: &[Workload]) -> String {
    let mut text = String::new();
    for workload in workloads {
        for replica in workload.replicas.iter().filter(|replica| replica.state == ReplicaState::CrashLoopBackOff) {
            let (ready, desired) = (workload.ready().0, workload.desired.0);
            text.push_str(&format!("\n  {}: {ready} of {desired} ready", workload.reference));
            text.push_str(&format!("\n    {} {}: {}", replica.name, replica.state, replica.message));
        }
    }
    text
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

#[cfg(test)]
mod tests {
    use cluster::{Replica, Replicas, Rollout, WorkloadKind, WorkloadRef};

    use super::*;

    fn workload(desired: u32, restarts: &[(&str, u32)]) -> Workload {
        let replica = |(name, restarts): &(&str, u32)| Replica {
            name: (*name).to_owned(),
            state: ReplicaState::Running,
            ready: true,
            started_at_ms: None,
            ready_changed_at_ms: None,
            restarts: *restarts,
            containers: Vec::new(),
            resize: None,
            node: String::new(),
            message: String::new(),
        };
        let (namespace, name) = ("shop".to_owned(), "order".to_owned());
        Workload {
            reference: WorkloadRef { kind: WorkloadKind::Deployment, namespace, name },
            desired: Replicas(desired),
            replicas: restarts.iter().map(replica).collect(),
            rollout: Rollout::Complete,
            conflicts: Vec::new(),
        }
    }

    #[test]
    fn only_what_ends_again_and_again_keeps_a_shop_from_starting() {
        let mut workload = workload(2, &[("a", 1), ("b", 2)]);
        workload.replicas.iter_mut().for_each(|replica| replica.ready = false);
        assert_eq!(hopeless(&[workload.clone()]), "");
        workload.replicas[1].state = ReplicaState::CrashLoopBackOff;
        workload.replicas[1].message = "exited with code 2; its last words: no".to_owned();
        let expected =
            "\n  Deployment shop/order: 0 of 2 ready\n    b CrashLoopBackOff: exited with code 2; its last words: no";
        assert_eq!(hopeless(&[workload]), expected);
    }

    #[test]
    fn restarts_of_a_replica_that_has_gone_still_count() {
        let mut tally = Tally::default();
        tally.count(&[workload(2, &[("a", 0), ("b", 0)])]);
        tally.count(&[workload(2, &[("a", 1), ("b", 2)])]);
        tally.count(&[workload(1, &[("a", 3)])]);
        assert_eq!((tally.restarts("order"), tally.restarts("user")), (5, 0));
        assert_eq!(tally.replicas["order"], ReplicasReport { min: 1, max: 2, last: 1 });
    }
}
