//! Workloads on Kubernetes. The only home of kube's types besides the collector's discovery; they never appear in the signatures
//! of `Cluster`. `access` finds the cluster and says what is wrong when it cannot.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lifecycle::{CancellationToken, Supervisor, TaskEnded};
use tokio::sync::watch;

pub mod access;
mod fence;
pub mod forward;
mod health;
pub mod lease;

pub use fence::Fence;
pub use health::Health;

use crate::{Cluster, ClusterError, Event, Replicas, Resources, Workload, WorkloadRef};
use access::Connection;

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

/// A cluster as it is known here; clones are the same one.
#[derive(Clone)]
pub struct KubernetesCluster {
    health: watch::Receiver<Health>,
    changes: watch::Receiver<u64>,
}

/// What keeps a [`KubernetesCluster`] up to date: nothing is read until `run` does.
pub struct Watches {
    health: watch::Sender<Health>,
    changes: watch::Sender<u64>,
}

impl KubernetesCluster {
    /// Prepares to watch and steer a cluster.
    pub fn start(connection: &Connection, options: KubernetesOptions) -> (Self, Watches) {
        let _ = (connection, options);
        let (health, health_seen) = watch::channel(Health::NotSynced { reason: "nothing was read yet".to_owned() });
        let (changes, changes_seen) = watch::channel(0);
        (Self { health: health_seen, changes: changes_seen }, Watches { health, changes })
    }

    /// Whether what it knows may be acted upon.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    fn unread(&self) -> ClusterError {
        let reason = self.health.borrow().trouble().unwrap_or_default();
        ClusterError::Unavailable { reason }
    }
}

impl Watches {
    /// Watches until `shutdown`.
    ///
    /// # Errors
    /// When one of its tasks failed.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), TaskEnded> {
        let _ = (&self.health, &self.changes);
        Supervisor::new(shutdown.child_token()).run().await
    }
}

#[async_trait]
impl Cluster for KubernetesCluster {
    async fn workloads(&self) -> Result<Vec<Workload>, ClusterError> {
        Err(self.unread())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    async fn set_replicas(&self, _: &WorkloadRef, _: Replicas) -> Result<(), ClusterError> {
        Err(self.unread())
    }

    async fn resize(&self, _: &WorkloadRef, _: &str, _: Resources) -> Result<(), ClusterError> {
        Err(self.unread())
    }

    async fn roll_out(&self, _: &WorkloadRef, _: &str, _: Resources) -> Result<(), ClusterError> {
        Err(self.unread())
    }

    async fn set_deletion_costs(&self, _: &WorkloadRef, _: &[(String, i32)]) -> Result<(), ClusterError> {
        Err(self.unread())
    }

    async fn record_event(&self, _: Event) -> Result<(), ClusterError> {
        Err(self.unread())
    }

    async fn events(&self, _: usize) -> Result<Vec<Event>, ClusterError> {
        Err(self.unread())
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }
}
