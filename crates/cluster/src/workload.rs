//! The words between the autoscaler and any cluster: workload, replica, resources, and the trait `Cluster`.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use protocol::quantity::Quantity;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// A number of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Replicas(pub u32);

/// Kinds of workload that can be scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WorkloadKind {
    /// apps/v1 Deployment.
    Deployment,
    /// apps/v1 StatefulSet.
    StatefulSet,
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        })
    }
}

/// Names a workload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkloadRef {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Requests and limits of one container; an absent one is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// CPU that the scheduler sets aside.
    pub cpu_request: Option<Quantity>,
    /// CPU beyond which the container is throttled.
    pub cpu_limit: Option<Quantity>,
    /// Memory that the scheduler sets aside.
    pub memory_request: Option<Quantity>,
    /// Memory beyond which the container is killed.
    pub memory_limit: Option<Quantity>,
}

impl Resources {
    /// These, and what is not set as in others.
    pub fn or(self, others: Self) -> Self {
        Self {
            cpu_request: self.cpu_request.or(others.cpu_request),
            cpu_limit: self.cpu_limit.or(others.cpu_limit),
            memory_request: self.memory_request.or(others.memory_request),
            memory_limit: self.memory_limit.or(others.memory_limit),
        }
    }

    /// Whether a container may have them.
    ///
    /// # Errors
    /// What is out of range, in words.
    pub fn check(&self) -> Result<(), String> {
        let pairs = [("cpu", self.cpu_request, self.cpu_limit), ("memory", self.memory_request, self.memory_limit)];
        for (name, request, limit) in pairs {
            if limit.is_some_and(|limit| limit.millis() <= 0) || request.is_some_and(|request| request.millis() < 0) {
                return Err(format!("{name} must be positive"));
            }
            if let (Some(request), Some(limit)) = (request, limit)
                && request > limit
            {
                return Err(format!("the {name} request {request} is more than its limit {limit}"));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |quantity: Option<Quantity>| quantity.map_or("none".to_owned(), |q| q.to_string());
        let [cpu, cpu_most] = [self.cpu_request, self.cpu_limit].map(text);
        let [memory, memory_most] = [self.memory_request, self.memory_limit].map(text);
        write!(f, "cpu {cpu} up to {cpu_most}, memory {memory} up to {memory_most}")
    }
}

/// A container of a replica with its resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Name of the container.
    pub name: String,
    /// What it was given.
    pub resources: Resources,
}

/// What a replica is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReplicaState {
    /// Not started yet.
    Pending,
    /// Started.
    Running,
    /// Ended too often; waits before it is started again.
    CrashLoopBackOff,
    /// Asked to end.
    Terminating,
    /// Could not be started.
    Failed,
}

impl fmt::Display for ReplicaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// How far an asked-for change of a running replica's resources has come; Kubernetes' words (KEP-1287).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resize {
    /// The node has no room now; it is granted when there is.
    Deferred {
        /// The node's words.
        message: String,
    },
    /// The node can never grant it.
    Infeasible {
        /// The node's words.
        message: String,
    },
    /// Granted, and being carried out.
    InProgress,
    /// Granted, and could not be carried out; it is tried again.
    Error {
        /// The node's words.
        message: String,
    },
}

/// One replica of a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// Name of the pod.
    pub name: String,
    /// What it is doing.
    pub state: ReplicaState,
    /// Whether traffic is sent to it.
    pub ready: bool,
    /// Milliseconds since the epoch at which its current run started; `None` before the first start.
    pub started_at_ms: Option<i64>,
    /// Milliseconds since the epoch of the last change of `ready`.
    pub ready_changed_at_ms: Option<i64>,
    /// Starts after the first.
    pub restarts: u32,
    /// Its containers, with what they have now (not what was asked for).
    pub containers: Vec<Container>,
    /// A change of resources that is not done yet.
    pub resize: Option<Resize>,
    /// Where it runs; empty before it is placed.
    pub node: String,
    /// Why it is not well, with its last words where there are some; empty otherwise.
    pub message: String,
}

/// How far a new version has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rollout {
    /// All replicas are of the version asked for.
    Complete,
    /// Replicas are being replaced.
    Progressing,
    /// The new version does not become ready; replicas of the old one still serve, and nothing was put back.
    Stuck {
        /// Why.
        reason: String,
    },
    /// The new version did not become ready, and the old one was put back.
    RolledBack {
        /// Why.
        reason: String,
    },
}

/// A workload as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Which one.
    pub reference: WorkloadRef,
    /// Replicas asked for (`spec.replicas`).
    pub desired: Replicas,
    /// Its replicas, those that are ending included.
    pub replicas: Vec<Replica>,
    /// How far a new version has come.
    pub rollout: Rollout,
    /// Others that steer its replicas or resources, such as `HorizontalPodAutoscaler shop/order`; whoever finds one leaves the
    /// workload alone.
    pub conflicts: Vec<String>,
}

impl Workload {
    /// Replicas that receive traffic.
    pub fn ready(&self) -> Replicas {
        let ready = self.replicas.iter().filter(|r| r.ready && r.state == ReplicaState::Running).count();
        Replicas(u32::try_from(ready).unwrap_or(u32::MAX))
    }
}

/// Kubernetes' two kinds of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// As intended.
    Normal,
    /// Someone may want to look.
    Warning,
}

/// Something worth telling about a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    /// What it is about.
    pub workload: WorkloadRef,
    /// Normal or Warning.
    pub kind: EventKind,
    /// CamelCase code, such as `SuccessfulRescale`, `BackOff`, `OOMKilled`, `ReplicaSetRolledBack`.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// Why a cluster did not do what it was asked to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClusterError {
    /// There is no such workload.
    #[error("{workload} does not exist")]
    NotFound {
        /// The workload.
        workload: WorkloadRef,
    },
    /// The cluster said no.
    #[error("{workload}: refused: {reason}")]
    Refused {
        /// The workload.
        workload: WorkloadRef,
        /// Why.
        reason: String,
    },
    /// The cluster does not let us.
    #[error("{workload}: not allowed: {reason}")]
    Forbidden {
        /// The workload.
        workload: WorkloadRef,
        /// What was asked, in the cluster's words, and the right that is missing.
        reason: String,
    },
    /// Another process has the lead, so that this one must not write.
    #[error("another autoscaler leads: {reason}")]
    NotLeader {
        /// Who, or since when nobody.
        reason: String,
    },
    /// It was asked to, and did not say whether it did; what has become of it is read before the next decision.
    #[error("{workload}: whether it was carried out is not known: {reason}")]
    Unknown {
        /// The workload.
        workload: WorkloadRef,
        /// Why there was no answer.
        reason: String,
    },
    /// The cluster did not answer.
    #[error("the cluster did not answer: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

/// What may be asked of a cluster. Every implementation passes the same contract tests.
#[async_trait]
pub trait Cluster: Send + Sync + 'static {
    /// All workloads as they are now, sorted by reference.
    async fn workloads(&self) -> Result<Vec<Workload>, ClusterError>;

    /// What the containers of a workload are to have: as planned, and where nothing is planned as specified. Not what its
    /// replicas have now, which may be on its way there.
    async fn wanted(&self, workload: &WorkloadRef) -> Result<Vec<Container>, ClusterError>;

    /// What the containers of a workload request by their manifest, whatever is planned: by that it is judged how full they are, so
    /// that a resize alone changes no number of replicas.
    async fn specified(&self, workload: &WorkloadRef) -> Result<Vec<Container>, ClusterError>;

    /// Changes its value whenever a workload changed; for waking up sooner than the next tick.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Asks for a number of replicas.
    async fn set_replicas(&self, workload: &WorkloadRef, replicas: Replicas) -> Result<(), ClusterError>;

    /// Gives the named container of all replicas, and of those to come, other resources without a restart.
    async fn resize(&self, workload: &WorkloadRef, container: &str, resources: Resources) -> Result<(), ClusterError>;

    /// Gives the named container other resources by a rolling update: every replica is replaced.
    async fn roll_out(&self, workload: &WorkloadRef, container: &str, resources: Resources)
    -> Result<(), ClusterError>;

    /// Says which replicas to end first when there are to be fewer: the lowest cost first (Kubernetes' pod-deletion cost, 0 where
    /// none was ever given). Replicas are named by pod; those that are gone already are passed over.
    async fn set_deletion_costs(&self, workload: &WorkloadRef, costs: &[(String, i32)]) -> Result<(), ClusterError>;

    /// Records an event about a workload. The same one again within minutes is counted rather than recorded anew.
    async fn record_event(&self, event: Event) -> Result<(), ClusterError>;

    /// Recent events, newest first.
    async fn events(&self, limit: usize) -> Result<Vec<Event>, ClusterError>;

    /// How long a call may take before the caller should give up on it.
    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }
}
