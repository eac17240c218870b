//! Workloads on Kubernetes. The only home of kube's types besides the collector's discovery; they never appear in the signatures
//! of `Cluster`. `access` finds the cluster and says what is wrong when it cannot; `watching` keeps `state` up to date, `health`
//! says whether that may be acted upon; `steering` and `resize` write, as long as the `fence` lets them. Start at
//! `KubernetesCluster::start`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kube::Client;
use lifecycle::{CancellationToken, Clock, Supervisor, SystemClock, TaskEnded};
use parking_lot::Mutex;
use tokio::sync::watch;

pub mod access;
mod doubts;
mod fence;
pub mod forward;
mod health;
pub mod lease;
mod patience;
pub mod policies;
mod pulse;
mod recording;
mod resize;
pub mod review;
mod rights;
mod state;
mod steering;
mod watching;
mod wire;
mod writing;

pub use fence::{Fence, ReadOnly};
pub use health::Health;

use crate::{Cluster, ClusterError, Container, Event, Replicas, Resources, Workload, WorkloadRef};
use access::Connection;
use health::{Board, SourceId};
use recording::Recorder;
use state::{Deployment, ReplicaSet, State, StatefulSet};
use steering::Steering;
use watching::Watched;
use writing::Writer;

/// How to steer a cluster.
#[derive(Clone, Default)]
pub struct KubernetesOptions {
    /// Namespaces to watch; empty means all.
    pub namespaces: Vec<String>,
    /// Asked before each write; without one every write is allowed.
    pub fence: Option<Arc<dyn Fence>>,
    /// Who records events, such as the name of this pod; empty means `plimsoll-autoscaler`.
    pub reporter: String,
}

/// Longest time for a call: a resize of hundreds of pods is many requests.
const PATIENCE: Duration = Duration::from_secs(20);

/// What all watches write and everybody reads.
struct Picture {
    state: Mutex<State>,
    board: Board,
    changes: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
    /// The user that the API server knows us as.
    user: String,
}

impl Picture {
    fn changed(&self, changed: bool) {
        if changed {
            self.changes.send_modify(|version| *version += 1);
        }
    }
}

/// A cluster as it is known here; clones are the same one.
#[derive(Clone)]
pub struct KubernetesCluster {
    steering: Arc<Steering>,
}

/// What keeps a [`KubernetesCluster`] up to date: nothing is read until `run` does.
pub struct Watches {
    client: Client,
    namespaces: Vec<Option<String>>,
    steering: Arc<Steering>,
}

impl KubernetesCluster {
    /// Prepares to watch and steer a cluster.
    pub fn start(connection: &Connection, options: KubernetesOptions) -> (Self, Watches) {
        Self::on(connection.client().clone(), connection.user.clone(), options)
    }

    fn on(client: Client, user: String, options: KubernetesOptions) -> (Self, Watches) {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let picture = Arc::new(Picture {
            state: Mutex::default(),
            board: Board::new(Arc::clone(&clock)),
            changes: watch::Sender::new(0),
            clock,
            user: user.clone(),
        });
        let reporter = Some(options.reporter).filter(|reporter| !reporter.is_empty());
        let steering = Arc::new(Steering {
            writer: Writer { client: client.clone(), fence: options.fence, user },
            picture,
            recorder: Recorder::default(),
            reporter: reporter.unwrap_or_else(|| "plimsoll-autoscaler".to_owned()),
            in_hand: Arc::default(),
            doubts: Arc::default(),
        });
        let namespaces = match options.namespaces {
            all if all.is_empty() => vec![None],
            some => some.into_iter().map(Some).collect(),
        };
        (Self { steering: Arc::clone(&steering) }, Watches { client, namespaces, steering })
    }

    /// Whether what it knows may be acted upon.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.steering.picture.board.health()
    }
}

impl Watches {
    /// Watches until `shutdown`.
    ///
    /// # Errors
    /// When one of its tasks failed.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), TaskEnded> {
        let mut supervisor = Supervisor::new(shutdown.child_token());
        for namespace in self.namespaces.clone() {
            self.watch::<Deployment>(&mut supervisor, namespace.clone());
            self.watch::<StatefulSet>(&mut supervisor, namespace.clone());
            self.watch::<ReplicaSet>(&mut supervisor, namespace.clone());
            self.watch::<wire::Pod>(&mut supervisor, namespace.clone());
            self.watch::<wire::ResourceQuota>(&mut supervisor, namespace.clone());
            self.watch::<wire::HorizontalPodAutoscaler>(&mut supervisor, namespace.clone());
            self.watch::<wire::VerticalPodAutoscaler>(&mut supervisor, namespace.clone());
            self.watch_events(&mut supervisor, namespace);
        }
        self.watch::<wire::Node>(&mut supervisor, None);
        let (picture, stop) = (Arc::clone(&self.steering.picture), supervisor.shutdown());
        let namespace = self.namespaces.first().cloned().flatten();
        supervisor.spawn("pulse of the API server", pulse::keep(self.client.clone(), namespace, picture, stop.clone()));
        supervisor.spawn("sizes of pods", resize::keeper::keep_sizes(Arc::clone(&self.steering), stop));
        supervisor.run().await
    }

    fn register<W: Watched>(&self, namespace: Option<&str>) -> (String, SourceId) {
        let name = watching::name::<W>(namespace);
        let id = self.steering.picture.board.register(name.clone(), W::RESOURCE.required);
        (format!("watch of {name}"), id)
    }

    fn watch<W: Watched>(&self, supervisor: &mut Supervisor, namespace: Option<String>) {
        let (name, source) = self.register::<W>(namespace.as_deref());
        let (picture, stop) = (Arc::clone(&self.steering.picture), supervisor.shutdown());
        supervisor.spawn(&name, watching::keep::<W>(self.client.clone(), namespace, picture, source, stop));
    }

    /// Events are about objects, and wait until those are known; nothing waits for them.
    fn watch_events(&self, supervisor: &mut Supervisor, namespace: Option<String>) {
        let (name, source) = self.register::<wire::Event>(namespace.as_deref());
        let (picture, stop) = (Arc::clone(&self.steering.picture), supervisor.shutdown());
        let (client, mut health) = (self.client.clone(), picture.board.health());
        picture.board.settle(source);
        supervisor.spawn(&name, async move {
            while !picture.board.has_read_required() {
                tokio::select! {
                    () = stop.cancelled() => return Ok::<(), Infallible>(()),
                    changed = health.changed() => if changed.is_err() { return Ok(()) },
                }
            }
            watching::keep::<wire::Event>(client, namespace, picture, source, stop).await
        });
    }
}

#[async_trait]
impl Cluster for KubernetesCluster {
    async fn workloads(&self) -> Result<Vec<Workload>, ClusterError> {
        let picture = &self.steering.picture;
        if let Some(reason) = picture.board.judge().trouble() {
            return Err(ClusterError::Unavailable { reason });
        }
        self.steering.settle_doubts().await?;
        Ok(picture.state.lock().list())
    }

    async fn wanted(&self, workload: &WorkloadRef) -> Result<Vec<Container>, ClusterError> {
        self.steering.wanted(workload).await
    }

    async fn specified(&self, workload: &WorkloadRef) -> Result<Vec<Container>, ClusterError> {
        self.steering.specified(workload).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.steering.picture.changes.subscribe()
    }

    async fn set_replicas(&self, workload: &WorkloadRef, replicas: Replicas) -> Result<(), ClusterError> {
        self.steering.set_replicas(workload, replicas).await
    }

    async fn resize(&self, workload: &WorkloadRef, container: &str, resources: Resources) -> Result<(), ClusterError> {
        self.steering.resize(workload, container, resources).await
    }

    async fn roll_out(
        &self,
        workload: &WorkloadRef,
        container: &str,
        resources: Resources,
    ) -> Result<(), ClusterError> {
        self.steering.roll_out(workload, container, resources).await
    }

    async fn set_deletion_costs(&self, workload: &WorkloadRef, costs: &[(String, i32)]) -> Result<(), ClusterError> {
        self.steering.set_deletion_costs(workload, costs).await
    }

    async fn record_event(&self, event: Event) -> Result<(), ClusterError> {
        self.steering.record_event(event).await
    }

    async fn events(&self, limit: usize) -> Result<Vec<Event>, ClusterError> {
        Ok(self.steering.picture.state.lock().newest_events(limit))
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }
}

#[cfg(test)]
mod tests;
