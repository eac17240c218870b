//! The one task that owns the runtime's state. Each turn it takes what happened, then compares what is with what was
//! asked for and acts on the difference; how far to go in one step is `rollout`'s decision. Everybody else reads
//! snapshots.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{CancellationToken, Clock};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

use super::address::Addresses;
use super::back_off::BackOff;
use super::cgroup::Cgroups;
use super::environment::ServiceVariables;
use super::events::EventLog;
use super::manifest::Manifests;
use super::manifest::model::Service;
use super::proxy::Route;
use super::replica::{Order, Report, SHUTDOWN_GRACE};
use super::snapshot::Snapshot;
use super::spawner::Spawner;
use crate::{ClusterError, Replicas, Resources, WorkloadRef};

mod deployment;
mod endpoints;
mod pods;
mod requests;

use deployment::Deployment;
use pods::Retired;

/// Deadlines are looked at this often; everything else happens as soon as it is reported.
const TICK: Duration = Duration::from_millis(250);

/// Beyond the grace period of a shutdown: time for the kernel to end and for us to reap what was killed.
const REAP: Duration = Duration::from_millis(800);

/// The kernel may need a moment to empty the cgroup of a process that was reaped.
const CGROUP_ATTEMPTS: u32 = 10;
const CGROUP_PAUSE: Duration = Duration::from_millis(20);

/// Replicas of one workload: each is a process of this machine, and more than this is surely a mistake.
pub(super) const REPLICAS_MAX: u32 = 100;

/// What a handle may ask the reconciler; each is answered.
#[derive(Debug)]
pub(super) enum Request {
    SetReplicas { workload: WorkloadRef, replicas: Replicas, reply: Reply },
    Resize { workload: WorkloadRef, container: String, resources: Resources, reply: Reply },
    RollOut { workload: WorkloadRef, container: String, resources: Resources, reply: Reply },
    SetDeletionCosts { workload: WorkloadRef, costs: Vec<(String, i32)>, reply: Reply },
    Apply { manifests: Box<Manifests>, reply: Reply },
}

pub(super) type Reply = oneshot::Sender<Result<(), ClusterError>>;

/// A Service port with its replicas.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub service: Service,
    /// Position in the Service's ports.
    pub port: usize,
    pub route: Arc<Route>,
}

/// What the reconciler works with and never changes.
pub(super) struct Surroundings {
    pub data: PathBuf,
    pub executable: PathBuf,
    pub back_off: BackOff,
    pub startup_boost: Duration,
    pub cgroups: Cgroups,
    pub spawner: Spawner,
    /// Services that each namespace's replicas find in their environment.
    pub variables: BTreeMap<String, Vec<ServiceVariables>>,
    pub endpoints: Arc<[Endpoint]>,
    pub events: EventLog,
    pub clock: Arc<dyn Clock>,
}

/// Owns the state.
pub(super) struct Reconciler {
    surroundings: Surroundings,
    manifests: Manifests,
    addresses: Addresses,
    deployments: Vec<Deployment>,
    retired: Vec<Retired>,
    next_id: u64,
    replicas: JoinSet<()>,
    reports: mpsc::Receiver<(u64, Report)>,
    report_to: mpsc::Sender<(u64, Report)>,
    requests: mpsc::Receiver<Request>,
    answers: Vec<(Reply, Result<(), ClusterError>)>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    changes: watch::Sender<u64>,
}

/// Reports waiting to be taken in; replicas wait beyond that.
const REPORTS_MAX: usize = 256;

impl Reconciler {
    pub fn new(
        surroundings: Surroundings,
        manifests: Manifests,
        addresses: Addresses,
        requests: mpsc::Receiver<Request>,
        snapshot: watch::Sender<Arc<Snapshot>>,
        changes: watch::Sender<u64>,
    ) -> Self {
        let (report_to, reports) = mpsc::channel(REPORTS_MAX);
        let deployments = manifests.deployments.iter().map(|spec| Deployment::new(spec.clone())).collect();
        let mut reconciler = Self {
            surroundings,
            manifests,
            addresses,
            deployments,
            retired: Vec::new(),
            next_id: 0,
            replicas: JoinSet::new(),
            reports,
            report_to,
            requests,
            answers: Vec::new(),
            snapshot,
            changes,
        };
        reconciler.publish();
        reconciler
    }

    /// Keeps replicas as asked for until `shutdown`, then ends them all and cancels `ended`.
    pub async fn run(mut self, shutdown: CancellationToken, ended: CancellationToken) -> Result<(), Infallible> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let changed = tokio::select! {
                () = shutdown.cancelled() => break,
                Some((id, report)) = self.reports.recv() => {
                    self.take_report(id, report);
                    while let Ok((id, report)) = self.reports.try_recv() {
                        self.take_report(id, report);
                    }
                    true
                }
                Some(request) = self.requests.recv() => {
                    self.take_request(request);
                    true
                }
                Some(joined) = self.replicas.join_next_with_id() => self.take_join(joined),
                _ = ticks.tick() => false,
            };
            if self.reconcile() | changed {
                self.update_endpoints();
                self.publish();
            }
            self.send_answers();
        }
        self.end_all().await;
        ended.cancel();
        Ok(())
    }

    /// One step for every workload; whether anything changed.
    fn reconcile(&mut self) -> bool {
        let now = Instant::now();
        let mut changed = self.end_boosts(now);
        self.remove_retired();
        for index in 0..self.deployments.len() {
            changed |= self.observe_rollout(index, now);
            let plan = self.deployments[index].plan(now);
            changed |= plan.create > 0 || !plan.end.is_empty();
            for id in plan.end {
                self.end_pod(index, id);
            }
            for _ in 0..plan.create {
                if !self.create_pod(index) {
                    break;
                }
            }
        }
        let before = self.deployments.len();
        self.deployments.retain(|deployment| !deployment.removed || !deployment.pods.is_empty());
        changed | (self.deployments.len() != before)
    }

    async fn end_all(&mut self) {
        let pods = self.deployments.iter().flat_map(|deployment| &deployment.pods);
        for pod in pods {
            pod.orders.send_replace(Order::Shutdown);
        }
        let deadline = Instant::now() + SHUTDOWN_GRACE + REAP;
        let all_ended = async {
            loop {
                tokio::select! {
                    joined = self.replicas.join_next() => if joined.is_none() { break },
                    Some((id, report)) = self.reports.recv() => self.take_report(id, report),
                }
                self.update_endpoints();
            }
        };
        if timeout_at(deadline, all_ended).await.is_err() {
            // Dropping the tasks drops their children, which kills them.
            self.replicas.shutdown().await;
        }
        while let Ok((id, report)) = self.reports.try_recv() {
            self.take_report(id, report);
        }
        self.publish();
        for _ in 0..CGROUP_ATTEMPTS {
            if self.surroundings.cgroups.remove().is_ok() {
                return;
            }
            sleep(CGROUP_PAUSE).await;
        }
    }
}
