//! The life of one replica: start, probes, restart with back-off, drain, SIGTERM, SIGKILL. It tells the reconciler what
//! happened and is told when to stop; it decides nothing about how many replicas there are.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::back_off::{BackOff, Exits};
use super::child::{CGROUPS_VARIABLE, PARENT_VARIABLE};
use super::environment::Environment;
use super::manifest::model::Probe;
use super::proxy::InFlight;
use super::spawner::Spawner;
use super::words::Words;

mod watch_probes;

/// How long a replica may take to end when the whole runtime ends; a cluster's node gives less on short notice.
pub(super) const SHUTDOWN_GRACE: Duration = Duration::from_secs(4);

/// After a replica ended its pipes are read for this long at most: a grandchild may hold them open.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(300);

/// Lines of last words in a message that people read.
const LAST_WORDS_SHOWN: usize = 5;

/// Variables of this process that a replica gets too: it finds nothing else of its surroundings, as in a container.
const PASSED_VARIABLES: [&str; 6] =
    ["PATH", "TMPDIR", "LD_LIBRARY_PATH", "RUST_BACKTRACE", "LLVM_PROFILE_FILE", lifecycle::logging::FILTER_VARIABLE];

/// What a replica is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Run, and start again after an exit.
    Run,
    /// Finish the requests in flight, then end.
    Leave,
    /// End now: the whole runtime ends.
    Shutdown,
}

/// What happened to a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Report {
    /// Its process runs.
    Started { pid: u32 },
    /// It answers.
    Ready,
    /// It does not answer any more, or not yet.
    NotReady { reason: String },
    /// A probe says that it must be started again.
    Unhealthy { reason: String },
    /// Its process ended or could not be started; it is started again after `wait`.
    Ended { reason: String, last_words: String, wait: Duration },
    /// It has ended for good.
    Gone,
}

/// Everything that one replica needs to live.
pub(super) struct Replica {
    pub id: u64,
    pub executable: PathBuf,
    pub environment: Environment,
    pub cgroups: String,
    pub ip: IpAddr,
    pub readiness: Option<Probe>,
    pub liveness: Option<Probe>,
    pub startup: Option<Probe>,
    pub grace: Duration,
    pub back_off: BackOff,
    pub words: Words,
    pub spawner: Spawner,
    pub in_flight: Arc<InFlight>,
    pub orders: watch::Receiver<Order>,
    pub reports: mpsc::Sender<(u64, Report)>,
}

/// How one run of the process came to its end.
enum RunEnded {
    /// As ordered.
    Ordered,
    /// By itself, or because a probe failed; with the reason.
    Unasked(String),
}

impl Replica {
    /// Lives until ordered to end.
    pub async fn live(mut self) {
        let mut exits = Exits::new(self.back_off);
        loop {
            let began = Instant::now();
            let ended = self.run_once().await;
            let RunEnded::Unasked(reason) = ended else { break };
            let wait = exits.record(began.elapsed());
            let last_words = self.words.last(LAST_WORDS_SHOWN);
            self.report(Report::Ended { reason, last_words, wait }).await;
            tokio::select! {
                () = sleep(wait) => {}
                () = ordered_to_end(&mut self.orders) => break,
            }
        }
        self.report(Report::Gone).await;
    }

    async fn report(&self, report: Report) {
        // Without a reconciler nobody needs to know.
        drop(self.reports.send((self.id, report)).await);
    }

    async fn run_once(&mut self) -> RunEnded {
        self.words.begin_run();
        let mut child = match self.spawner.spawn(self.command()).await {
            Ok(child) => child,
            Err(error) => return RunEnded::Unasked(format!("cannot start {}: {error}", self.executable.display())),
        };
        let mut pipes = JoinSet::new();
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            pipes.spawn(self.words.clone().listen(stdout));
            pipes.spawn(self.words.clone().listen(stderr));
        }
        self.report(Report::Started { pid: child.id().unwrap_or(0) }).await;
        let mut orders = self.orders.clone();
        let ended = tokio::select! {
            status = child.wait() => RunEnded::Unasked(describe_exit(status)),
            reason = self.watch_probes() => {
                self.report(Report::Unhealthy { reason: reason.clone() }).await;
                end(&mut child, self.grace, &mut orders).await;
                RunEnded::Unasked(reason)
            }
            () = ordered_to_end(&mut orders) => {
                self.leave(&mut child, &mut orders).await;
                RunEnded::Ordered
            }
        };
        let last_words = async { while pipes.join_next().await.is_some() {} };
        drop(timeout(LAST_WORDS_WAIT, last_words).await);
        ended
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(&self.environment.args).env_clear();
        for name in PASSED_VARIABLES {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .envs(&self.environment.variables)
            .env(PARENT_VARIABLE, std::process::id().to_string())
            .env(CGROUPS_VARIABLE, &self.cgroups)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C at the terminal goes to the runtime alone, which ends its replicas in order.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// The requests in flight first, then SIGTERM; both within the grace period.
    async fn leave(&self, child: &mut Child, orders: &mut watch::Receiver<Order>) {
        let began = Instant::now();
        if *orders.borrow() == Order::Shutdown {
            // Everything ends together: a request that is under way may still need this replica.
            return end(child, self.grace, orders).await;
        }
        self.in_flight.leave();
        tokio::select! {
            () = self.in_flight.drained() => {}
            () = sleep(self.grace / 2) => {}
            () = ordered_to_shut_down(orders) => {}
            _ = child.wait() => return,
        }
        end(child, self.grace.saturating_sub(began.elapsed()), orders).await;
    }
}

async fn ordered_to_end(orders: &mut watch::Receiver<Order>) {
    // An order that can never come is taken as given: the reconciler is gone.
    drop(orders.wait_for(|order| *order != Order::Run).await);
}

async fn ordered_to_shut_down(orders: &mut watch::Receiver<Order>) {
    drop(orders.wait_for(|order| *order == Order::Shutdown).await);
}

/// SIGTERM, then SIGKILL to the whole group when the grace period is over.
async fn end(child: &mut Child, grace: Duration, orders: &mut watch::Receiver<Order>) {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
    let _ = kill_process(pid, Signal::TERM);
    let shut_down_and_waited = async {
        ordered_to_shut_down(orders).await;
        sleep(SHUTDOWN_GRACE.min(grace)).await;
    };
    let ended = tokio::select! {
        _ = child.wait() => true,
        () = sleep(grace) => false,
        () = shut_down_and_waited => false,
    };
    if !ended {
        // The child is not reaped yet, so the group's number cannot belong to anybody else.
        let _ = kill_process_group(pid, Signal::KILL);
        drop(child.wait().await);
    }
}

fn describe_exit(status: std::io::Result<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with code {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended".to_owned(),
        },
        Err(error) => format!("was lost: {error}"),
    }
}
