//! What the planner is told about one workload at one moment: its pods, what each requests, and one reading a signal.
//! Plain values; nothing here asks anybody for anything.

use std::time::Duration;

use super::budget::ErrorBudget;
use super::surroundings::Surroundings;
use super::vertical::seen::Containers;
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
    /// What the objectives of its service say; `None` where it has none.
    pub budget: Option<ErrorBudget>,
    /// What is known of the services around its own.
    pub around: Surroundings,
    /// Its containers, where the policy steers their resources.
    pub containers: Option<Containers>,
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
    /// One reading for each query of an expression, in its order; each a total or missing.
    Inputs(Vec<Reading>),
    /// The signal needs the time alone.
    Clock,
    /// What a workload's size follows from.
    Demand(Box<Demand>),
    /// What waits to be done, and how much of it is done.
    Backlog {
        /// How much waits.
        waiting: f64,
        /// Milliseconds since the epoch; `None` where it is not known.
        at_ms: Option<i64>,
        /// How much is done, by all replicas together.
        throughput: Result<Throughput, Gap>,
    },
    /// Nothing.
    Missing(Gap),
}

/// How much is done a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throughput {
    /// A second.
    pub rate: f64,
    /// Milliseconds since the epoch; `None` where it is not known.
    pub at_ms: Option<i64>,
}

/// What one service is asked to do, on average over a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServiceDemand {
    /// Milliseconds since the epoch at the end of the window.
    pub at_ms: i64,
    /// Length of the window.
    pub window_seconds: f64,
    /// Requests a second that it answered.
    pub served: f64,
    /// Those of them that had not been sent before, where that is known.
    pub asked: f64,
    /// Requests a second at the front doors behind which it is; `None` where that is not known.
    pub front: Option<f64>,
    /// Mean seconds of a request spent in the service itself; `None` where that is not known.
    pub own_seconds: Option<f64>,
    /// Mean seconds of a request, waiting for others included; `None` where that is not known.
    pub whole_seconds: Option<f64>,
}

/// What a workload's size follows from: its requests, and what its replicas use for them.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// What its service is asked to do.
    pub service: ServiceDemand,
    /// CPU that replicas use, in millicores.
    pub cpu: Vec<PodSample>,
    /// Cores that one replica may use; `None` where its containers set neither limit nor request.
    pub cores: Option<f64>,
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
    /// A query of an expression has no data.
    #[error("{query} has no data: {gap}")]
    Input {
        /// What the formula calls it.
        query: String,
        /// Why not.
        gap: Box<Gap>,
    },
    /// All queries have data, and the formula gives no number.
    #[error("the formula gives no number: it divides by zero or grows beyond all bounds")]
    NoNumber,
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
    /// Neither graph nor metrics know requests of the service.
    #[error("no requests of service {0} are known: neither spans nor http_server_request_duration_seconds")]
    NoRequests(String),
    /// No front door is known behind which the service is.
    #[error("the call graph knows no front door of this service")]
    NoFrontDoor,
    /// The replicas' containers say nothing of CPU.
    #[error("the containers set neither a CPU limit nor a CPU request, and the policy no workers")]
    NoCores,
    /// How long a worker is busy with a request was never seen.
    #[error("what a request costs is not known yet")]
    CostUnknown,
    /// How much a replica does was never seen.
    #[error("how much a replica does is not known yet: nothing was done so far")]
    ThroughputUnknown,
    /// The replicas are busy with something that is none of the requests.
    #[error("a replica uses {used_percent}% of its CPU, and its requests explain {explained_percent}%")]
    Unexplained {
        /// Of what it may use.
        used_percent: i64,
        /// Of that.
        explained_percent: i64,
    },
    /// Some replicas that serve were not read.
    #[error("{} no fresh reading", ready_replicas_have(.0))]
    Unread(usize),
    /// More replicas than can be counted.
    #[error("the wish is too large to be a number of replicas")]
    Overflow,
}

fn ready_replicas_have(count: &usize) -> String {
    super::explain::count(*count, "ready replica has", "ready replicas have")
}

impl Gap {
    /// What is behind it.
    pub fn cause(&self) -> &Self {
        match self {
            Self::Input { gap, .. } => gap.cause(),
            other => other,
        }
    }
}
