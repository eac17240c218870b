//! What the planner is told about one workload at one moment: its pods, what each requests, and one reading a signal.
//! Plain values; nothing here asks anybody for anything.

use std::time::Duration;

use crate::policy::Resource;

/// Everything `plan` may know about a workload, apart from its policy and history.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Milliseconds since the epoch.
    pub now_ms: i64,
    /// Replicas asked for (`spec.replicas`).
    pub desired: i32,
    /// Replicas that receive traffic.
    pub ready: u32,
    /// Its pods, those that are ending included.
    pub pods: Vec<Pod>,
    /// One reading for each signal of the policy, in the policy's order.
    pub readings: Vec<Reading>,
    /// How long a starting pod's CPU is not believed.
    pub startup: Startup,
    /// An operator has paused the policy: it is planned, and not carried out.
    pub paused: bool,
}

/// How long a starting pod's CPU is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Startup {
    /// Since its start: a reading counts only if the pod is ready and the whole reading is younger than that.
    pub cpu_initialization: Duration,
    /// After that: a pod that is not ready counts, unless it turned unready this soon after its start (never was ready).
    pub readiness_delay: Duration,
}

impl Default for Startup {
    /// HPA's `--horizontal-pod-autoscaler-cpu-initialization-period` and `-initial-readiness-delay`.
    fn default() -> Self {
        Self { cpu_initialization: Duration::from_secs(300), readiness_delay: Duration::from_secs(30) }
    }
}

/// What a signal read.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A value for each pod that has one.
    Pods(Vec<PodSample>),
    /// One number in thousandths, and when the newest sample behind it was taken if that is known.
    Total {
        /// Thousandths of the query's unit.
        millis: i64,
        /// Milliseconds since the epoch.
        at_ms: Option<i64>,
    },
    /// Nothing.
    Missing(Gap),
}

/// One pod's usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSample {
    /// Name of the pod.
    pub pod: String,
    /// Thousandths: millicores, or milli-bytes.
    pub millis: i64,
    /// Milliseconds since the epoch of the newest sample behind it.
    pub at_ms: i64,
    /// Length of time that the value is an average over.
    pub window: Duration,
}

/// A pod as the calculation sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Kubernetes' phase.
    pub phase: Phase,
    /// Asked to end.
    pub terminating: bool,
    /// Milliseconds since the epoch; `None` before the start.
    pub started_ms: Option<i64>,
    /// Its Ready condition; `None` before there is one.
    pub ready: Option<ReadyCondition>,
    /// What its containers request.
    pub requests: Requests,
}

/// Kubernetes' phase of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not started.
    Pending,
    /// Started.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Not known.
    Unknown,
}

/// Kubernetes' Ready condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyCondition {
    /// True, False, or not known.
    pub status: Option<bool>,
    /// Milliseconds since the epoch of its last change.
    pub changed_ms: i64,
}

impl ReadyCondition {
    /// Known to be not ready; unknown is not that.
    pub(super) fn is_false(self) -> bool {
        self.status == Some(false)
    }
}

impl Pod {
    /// Running and known to be ready.
    pub(super) fn receives_traffic(&self) -> bool {
        self.phase == Phase::Running && self.ready.is_some_and(|r| r.status == Some(true))
    }
}

/// What a pod requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    /// Its containers that run as long as it does (sidecars included).
    pub containers: Vec<ContainerRequest>,
    /// Requests of the pod as a whole, where it has some.
    pub pod: Option<ResourceRequest>,
}

/// What one container requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRequest {
    /// Name of the container.
    pub name: String,
    /// What it requests.
    pub request: ResourceRequest,
}

/// An amount of each resource in thousandths; `None` is not set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResourceRequest {
    /// Millicores.
    pub cpu: Option<i64>,
    /// Milli-bytes.
    pub memory: Option<i64>,
}

impl ResourceRequest {
    /// The amount of one resource.
    pub fn of(self, resource: Resource) -> Option<i64> {
        match resource {
            Resource::Cpu => self.cpu,
            Resource::Memory => self.memory,
        }
    }
}

/// Why a signal cannot say how many replicas it wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// The source of metrics did not answer, or with an error.
    #[error("metrics source did not answer: {0}")]
    Source(String),
    /// It answered with nothing.
    #[error("the query gave no result")]
    Empty,
    /// NaN, infinite or negative.
    #[error("the query gave {0}, which is no amount")]
    NotAnAmount(String),
    /// The newest sample is too old.
    #[error("the newest sample is {age_seconds} s old, older than {limit_seconds} s")]
    Stale {
        /// Its age.
        age_seconds: i64,
        /// The limit.
        limit_seconds: i64,
    },
    /// How old the samples behind a query are could not be found out.
    #[error("the age of the samples behind the query is not known")]
    AgeUnknown,
    /// The workload has no pod.
    #[error("there is no pod")]
    NoPods,
    /// No pod that counts has a value.
    #[error("no ready replica has a reading")]
    NoUsableSample,
    /// A container requests nothing of the resource.
    #[error("container {container} of pod {pod} requests no {resource}")]
    MissingRequest {
        /// The resource.
        resource: Resource,
        /// The container.
        container: String,
        /// The pod.
        pod: String,
    },
    /// A pod with requests of its own requests nothing of the resource.
    #[error("pod {pod} requests no {resource}")]
    MissingPodRequest {
        /// The resource.
        resource: Resource,
        /// The pod.
        pod: String,
    },
    /// A pod has no such container.
    #[error("pod {pod} has no container {container}")]
    NoSuchContainer {
        /// The container.
        container: String,
        /// The pod.
        pod: String,
    },
    /// The pods with values request nothing.
    #[error("the replicas with a reading request nothing")]
    ZeroRequests,
    /// More replicas than can be counted.
    #[error("the wish is too large to be a number of replicas")]
    Overflow,
}
