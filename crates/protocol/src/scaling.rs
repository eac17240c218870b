//! The autoscaler's HTTP API: policies, workloads and the decision record of every tick, and a client for it.
//! A record holds everything from which its outcome follows; names are HPA v2's where HPA v2 has one.

mod facts;
mod resources;

pub use resources::{AmountGuardRecord, ModelRecord, ResourceRecord};
use serde::{Deserialize, Serialize};
use url::Url;

pub use self::facts::{BudgetHolder, BudgetRecord, Growth, GuardFacts};
use crate::http_client::{CallError, HttpClient};
use crate::quantity::Quantity;
use crate::slos::ObjectiveStatus;

/// Names a workload or policy inside a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What a policy may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Is not evaluated.
    Off,
    /// Is evaluated and recorded; nothing is written.
    Recommend,
    /// Is carried out.
    Auto,
    /// Is carried out upwards only.
    ScaleUpOnly,
    /// Is carried out downwards only.
    ScaleDownOnly,
}

/// One way to see the numbers behind a sizing: the likeliest, or one end of what is known of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SizingCase {
    /// Requests a second to be served; for a backlog what arrives a second.
    pub rate: f64,
    /// Seconds that a worker is busy with one request; for a backlog that a replica is with one piece of work.
    pub service_seconds: f64,
    /// Replicas that these numbers ask for.
    pub replicas: u32,
}

/// From which numbers a signal sized the workload; its wish follows from them alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SizingRecord {
    /// So that requests hardly wait for a worker.
    Queue {
        /// Requests a second at the front door, where they are what the rate follows from.
        front_rate: Option<f64>,
        /// Requests that one replica works on at once.
        workers: u32,
        /// `(Ca2 + Cs2) / 2` of arrivals and service times.
        variability: f64,
        /// The share of requests that may not take longer than `below_seconds`.
        quantile: f64,
        /// The latency that was promised; the wait must leave room in it for the service.
        below_seconds: f64,
        /// The largest share of workers that may be busy on average.
        utilization_max: f64,
        /// With the numbers that are most likely.
        likely: SizingCase,
        /// With the fewest requests and the shortest service that are likely.
        least: SizingCase,
        /// With the most and the longest.
        most: SizingCase,
    },
    /// So that what waits is worked off in time.
    Drain {
        /// How much waits.
        waiting: f64,
        /// Seconds within which it is to be done.
        within_seconds: f64,
        /// With the numbers that are most likely.
        likely: SizingCase,
        /// With replicas as fast as is likely.
        least: SizingCase,
        /// With replicas as slow as is likely.
        most: SizingCase,
    },
}

/// One reading that asked for capacity, or failed to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalRecord {
    /// Such as `cpu utilization` or the query's name.
    pub signal: String,
    /// The value read, in the signal's unit (percent for utilization, busy workers for demand and upstream); `null` when there is
    /// none.
    pub value: Option<f64>,
    /// The value aimed at, in the same unit; for demand and upstream the workers that there are, for a backlog 0.
    pub target: f64,
    /// Seconds between the newest sample and the evaluation; `null` when there is no sample.
    pub age_seconds: Option<f64>,
    /// Replicas that this signal alone asks for; `null` when it cannot say.
    pub wish: Option<u32>,
    /// Why the signal cannot say, or what had to be assumed; empty otherwise.
    pub note: String,
    /// From which numbers a demand, upstream or backlog signal follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizing: Option<SizingRecord>,
}

/// What one guard did to the number it was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardRecord {
    /// Such as `freshness`, `tolerance`, `culprit`, `retries`, `errorBudget`, `stabilization`, `scaleUpPolicies`,
    /// `downstreamBudget`, `bounds`, `burnRate`, `metastable`.
    pub guard: String,
    /// Replicas before.
    pub before: u32,
    /// Replicas after; equal to `before` when the guard let it pass.
    pub after: u32,
    /// Why, in words; empty when it let it pass.
    pub note: String,
    /// The numbers behind it, where they stand nowhere else in the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<GuardFacts>,
}

/// What came of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// More replicas.
    ScaleUp,
    /// Fewer replicas.
    ScaleDown,
    /// The same number.
    Hold,
}

/// The record of one tick for one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionRecord {
    /// Increases by one for every record of this autoscaler process; for `?since=`.
    pub sequence: u64,
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    /// The policy evaluated.
    pub policy: ObjectName,
    /// Kind of the target, such as `Deployment`.
    pub kind: String,
    /// The target.
    pub workload: ObjectName,
    /// The mode in force.
    pub mode: Mode,
    /// Replicas asked for before the tick.
    pub from: u32,
    /// Replicas ready at the tick.
    pub ready: u32,
    /// Replicas asked for after it: equal to `from` when held or not carried out.
    pub to: u32,
    /// Replicas that the policy asks for, whether or not the mode lets it be carried out.
    pub wish: u32,
    /// Direction from `from` to `wish` after all guards.
    pub outcome: Outcome,
    /// Whether a write was made and accepted.
    pub applied: bool,
    /// Stable code, such as `SignalAboveTarget`, `WithinTolerance`, `MetricMissing`, `ScaleDownStabilized`.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
    /// Every signal.
    pub signals: Vec<SignalRecord>,
    /// The winner among the signals; `null` when none could say.
    pub winner: Option<String>,
    /// Every guard in the order applied.
    pub guards: Vec<GuardRecord>,
    /// The containers' resources, where the policy steers them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceRecord>,
}

/// The nearest reading of a signal that would have changed a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TurningPoint {
    /// The signal.
    pub signal: String,
    /// The reading, in the unit of the record.
    pub value: f64,
    /// What was read; `null` when nothing was.
    pub now: Option<f64>,
}

/// A record, and what would have made it another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The latest record of the policy.
    pub record: DecisionRecord,
    /// The least reading of each signal that would raise; one of them is enough.
    pub up: Vec<TurningPoint>,
    /// What stands in the way upwards, or would have to last; empty if nothing.
    pub up_note: String,
    /// The largest reading of each signal that would lower; all of them are needed.
    pub down: Vec<TurningPoint>,
    /// The same downwards.
    pub down_note: String,
}

/// A policy and its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The policy's name.
    pub policy: ObjectName,
    /// Kind of the target.
    pub kind: String,
    /// The target.
    pub workload: ObjectName,
    /// As written.
    pub mode: Mode,
    /// Paused by an operator at run time: it goes on recommending, and writes nothing.
    pub paused: bool,
    /// Fewest replicas.
    pub min: u32,
    /// Most replicas.
    pub max: u32,
    /// The latest record.
    pub last: Option<DecisionRecord>,
}

/// What a container of a replica has now, as Kubernetes quantities; an empty one is not set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerResources {
    /// Name of the container.
    pub container: String,
    /// CPU set aside for it, such as `100m`.
    #[serde(default)]
    pub cpu_request: String,
    /// CPU beyond which it is throttled.
    #[serde(default)]
    pub cpu_limit: String,
    /// Memory set aside for it, such as `48Mi`.
    #[serde(default)]
    pub memory_request: String,
    /// Memory beyond which it is killed.
    #[serde(default)]
    pub memory_limit: String,
}

/// One replica of a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Name of the pod.
    pub name: String,
    /// `Pending`, `Running`, `CrashLoopBackOff`, `Terminating`, `Failed`.
    pub state: String,
    /// Whether traffic is sent to it.
    pub ready: bool,
    /// How often it was restarted.
    pub restarts: u32,
    /// Seconds since it was made.
    pub age_seconds: f64,
    /// Why it is not well, in words, with the replica's last words where there are some; else empty.
    pub message: String,
    /// Where it runs; empty before it is placed, and where there are no nodes.
    #[serde(default)]
    pub node: String,
    /// How far an asked-for change of its resources has come, in words; empty when there is none.
    #[serde(default)]
    pub resize: String,
    /// What each of its containers has now.
    #[serde(default)]
    pub resources: Vec<ContainerResources>,
}

/// A workload as the cluster sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// `Deployment` or `StatefulSet`.
    pub kind: String,
    /// The workload.
    pub workload: ObjectName,
    /// Replicas asked for.
    pub desired: u32,
    /// Replicas that receive traffic.
    pub ready: u32,
    /// Whether a new version is being rolled out or has failed to; empty when neither.
    pub rollout: String,
    /// The name of the policy that steers it, if one does.
    pub policy: Option<String>,
    /// Its replicas.
    pub replicas: Vec<ReplicaStatus>,
    /// Others that steer it, such as `HorizontalPodAutoscaler shop/order`: it is left to them.
    #[serde(default)]
    pub conflicts: Vec<String>,
}

/// Kubernetes' two kinds of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// As intended.
    Normal,
    /// Someone may want to look.
    Warning,
}

/// Something the cluster tells about a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    /// What it is about.
    pub workload: ObjectName,
    /// Normal or Warning.
    pub kind: EventKind,
    /// CamelCase code, such as `BackOff`, `SuccessfulRescale`, `OOMKilled`.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// How other resources are brought to replicas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ResizeApply {
    /// To running replicas, without a restart.
    #[default]
    InPlace,
    /// By a rolling update: every replica is replaced.
    Rollout,
}

/// Resources asked for; what is left out stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ResourcesAsked {
    /// CPU set aside, such as `100m`.
    pub cpu_request: Option<Quantity>,
    /// CPU beyond which it is throttled.
    pub cpu_limit: Option<Quantity>,
    /// Memory set aside, such as `64Mi`.
    pub memory_request: Option<Quantity>,
    /// Memory beyond which it is killed.
    pub memory_limit: Option<Quantity>,
}

/// The body of `POST /api/v1/workloads/{namespace}/{kind}/{name}/resize`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResizeRequest {
    /// The container.
    pub container: String,
    /// What it is to have.
    pub resources: ResourcesAsked,
    /// How.
    #[serde(default)]
    pub apply: ResizeApply,
}

/// The answer to a [`ResizeRequest`] that was taken: how far it has come is told by each replica's `resize`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResizeAnswer {
    /// What was asked of the cluster, in one sentence.
    pub message: String,
}

/// A client of the autoscaler's API.
#[derive(Debug, Clone)]
pub struct ScalingClient {
    http: HttpClient,
}

impl ScalingClient {
    /// `base` is the autoscaler's URL.
    pub fn new(base: Url) -> Self {
        Self { http: HttpClient::new(base) }
    }

    /// Sends the token that the autoscaler asks of whoever changes something.
    #[must_use]
    pub fn with_token(self, token: Option<String>) -> Self {
        Self { http: self.http.with_token(token) }
    }

    /// `GET /api/v1/policies`.
    pub async fn policies(&self) -> Result<Vec<PolicyStatus>, CallError> {
        self.http.get("api/v1/policies", &[]).await
    }

    /// `GET /api/v1/workloads`.
    pub async fn workloads(&self) -> Result<Vec<WorkloadStatus>, CallError> {
        self.http.get("api/v1/workloads", &[]).await
    }

    /// `GET /api/v1/decisions`: newest first; `workload` by name, `since` excludes sequence numbers up to it.
    pub async fn decisions(
        &self,
        workload: Option<&str>,
        since: Option<u64>,
        limit: usize,
    ) -> Result<Vec<DecisionRecord>, CallError> {
        let (since, limit) = (since.map(|s| s.to_string()), limit.to_string());
        let mut query = vec![("limit", limit.as_str())];
        if let Some(workload) = workload {
            query.push(("workload", workload));
        }
        if let Some(since) = &since {
            query.push(("since", since));
        }
        self.http.get("api/v1/decisions", &query).await
    }

    /// `GET /api/v1/slos`: how the service level objectives are.
    pub async fn slos(&self) -> Result<Vec<ObjectiveStatus>, CallError> {
        self.http.get("api/v1/slos", &[]).await
    }

    /// `GET /api/v1/policies/{namespace}/{name}/explanation`: the latest record, and what would have made it another.
    pub async fn explanation(&self, policy: &ObjectName) -> Result<Explanation, CallError> {
        self.http.get(&format!("api/v1/policies/{}/{}/explanation", policy.namespace, policy.name), &[]).await
    }

    /// `GET /api/v1/events?limit=`: newest first.
    pub async fn events(&self, limit: usize) -> Result<Vec<EventRecord>, CallError> {
        self.http.get("api/v1/events", &[("limit", &limit.to_string())]).await
    }

    /// `POST /api/v1/policies/{namespace}/{name}/pause`: it goes on recommending, and writes nothing.
    pub async fn pause(&self, policy: &ObjectName) -> Result<PolicyStatus, CallError> {
        self.http.post_json(&format!("api/v1/policies/{}/{}/pause", policy.namespace, policy.name), &()).await
    }

    /// `POST /api/v1/policies/{namespace}/{name}/resume`.
    pub async fn resume(&self, policy: &ObjectName) -> Result<PolicyStatus, CallError> {
        self.http.post_json(&format!("api/v1/policies/{}/{}/resume", policy.namespace, policy.name), &()).await
    }

    /// `POST /api/v1/workloads/{namespace}/{kind}/{name}/resize`: other resources for a container of all replicas.
    pub async fn resize(
        &self,
        kind: &str,
        workload: &ObjectName,
        request: &ResizeRequest,
    ) -> Result<ResizeAnswer, CallError> {
        let ObjectName { namespace, name } = workload;
        self.http.post_json(&format!("api/v1/workloads/{namespace}/{kind}/{name}/resize"), request).await
    }
}
