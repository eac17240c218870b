//! `/api/v1/faults`: what is broken and by what evidence, whom it hurts, what is safe; `/api/v1/faults/timeline`: what
//! began, ended and changed when.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::graph::NodeKind;
use crate::http_client::{CallError, HttpClient};

/// How far a verdict may be trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// No span has come yet: nothing can be said.
    #[default]
    Blind,
    /// What is usual is not known yet: only plain outages are named.
    Learning,
    /// What is usual is known.
    Watching,
}

/// What a verdict is made from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Single requests, as their spans tell them.
    #[default]
    Spans,
    /// `traces_service_graph_*` that somebody else made of spans: who calls whom, without what each request did.
    Metrics,
}

/// What a service has to do with the faults of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Errors are born or time is lost here.
    Culprit,
    /// Fails or waits because of a culprit.
    Victim,
    /// What it calls fails, yet those who call it are served.
    Isolated,
    /// Has nothing to do with it.
    Unaffected,
}

impl Role {
    /// As in the JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Culprit => "culprit",
            Self::Victim => "victim",
            Self::Isolated => "isolated",
            Self::Unaffected => "unaffected",
        }
    }
}

/// How something is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It answers errors of its own.
    Errors,
    /// It gives no answer: gone, hanging or out of reach.
    NoAnswer,
    /// It answers, but late.
    Slow,
}

/// One reason to suspect a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// `ends_here`, `own_errors`, `own_calls`, `own_clock`, `error_kind`, `no_answer`, `own_time`, `late_share`, `held`,
    /// `time_lost`, `before_callers`, `fewer_calls`, `retries`, `changed`, `breaker_open`. More may come.
    pub kind: String,
    /// For people.
    pub text: String,
    /// The number that the text is about; its unit follows from `kind`: a share, milliseconds, seconds or a count.
    pub value: Option<f64>,
    /// What that number usually is.
    pub usual: Option<f64>,
    /// Since when, milliseconds since the epoch.
    pub since_ms: Option<i64>,
    /// PromQL that shows it, for `/api/v1/query_range`.
    pub query: Option<String>,
    /// Path and query of a search for traces that show it.
    pub traces: Option<String>,
}

/// Somebody who calls the suspect, directly or through others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Who.
    pub service: String,
    /// Calls between the two: 1 calls it directly.
    pub distance: u32,
}

/// Whom a suspect can hurt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BlastRadius {
    /// Nearest first, then by name.
    pub callers: Vec<Caller>,
    /// Share of the front door's requests that usually come by it, 0 to 1.
    pub front_door_share: f64,
    /// The front door's operations that usually come by it, as `service operation`.
    pub journeys: Vec<String>,
}

/// A likely culprit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// `service.name`, or what its clients call it.
    pub service: String,
    /// Whether it sends spans itself.
    pub node: NodeKind,
    /// How it is broken.
    pub fault: FaultKind,
    /// How sure that is, 0 to 1.
    pub score: f64,
    /// When it began, milliseconds since the epoch.
    pub since_ms: i64,
    /// At least two, the strongest first.
    pub evidence: Vec<Evidence>,
    /// Whom it can hurt.
    pub blast_radius: BlastRadius,
}

/// Whether a circuit breaker lets calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// All pass.
    Closed,
    /// One is let through to try.
    HalfOpen,
    /// None passes.
    Open,
}

impl BreakerState {
    /// As in the JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// A circuit breaker between a service and one that it calls; of several replicas the one that is furthest from closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Whom it keeps the service from.
    pub peer: String,
    /// Whether it does.
    pub state: BreakerState,
    /// Since when, milliseconds since the epoch; when it was first seen, if it has not changed since.
    pub since_ms: i64,
}

/// A service's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceRole {
    /// `service.name`, or what its clients call it.
    pub service: String,
    /// Whether it sends spans itself.
    pub node: NodeKind,
    /// Its part.
    pub role: Role,
    /// The culprit that it suffers from or is kept from; empty for others.
    pub because_of: String,
    /// Why, for people; empty for those who are not affected.
    pub why: String,
    /// Since when it fails or waits, milliseconds since the epoch.
    pub since_ms: Option<i64>,
    /// Its circuit breakers, by peer; none where it says nothing of any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breakers: Vec<Breaker>,
}

/// An operation of the front door: a root of traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JourneyRole {
    /// Who answers it.
    pub service: String,
    /// Which.
    pub operation: String,
    /// `victim` fails or waits; `isolated` usually comes by a suspect and is served all the same.
    pub role: Role,
    /// The suspect that it usually comes by; empty for others.
    pub because_of: String,
    /// Requests a second.
    pub rate: f64,
    /// Share that fails, 0 to 1.
    pub error_ratio: f64,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Faults {
    /// Milliseconds since the epoch at the end of the window that was judged.
    pub at_ms: i64,
    /// Seconds of that window.
    pub window_seconds: f64,
    /// How far the verdict may be trusted.
    pub watch: Watch,
    /// What it is made from.
    #[serde(default)]
    pub source: Source,
    /// Seconds since the first span, or the first metrics.
    pub watched_seconds: f64,
    /// The verdict in a sentence.
    pub verdict: String,
    /// The likeliest first; empty when nothing is wrong.
    pub suspects: Vec<Suspect>,
    /// Sorted by name.
    pub services: Vec<ServiceRole>,
    /// Sorted by service, then operation.
    pub journeys: Vec<JourneyRole>,
}

/// What an event of the timeline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimelineKind {
    /// A suspect was named; dated back to when its trouble began.
    FaultBegan,
    /// A suspect is well again.
    FaultEnded,
    /// A circuit breaker opened, tries or closed.
    Breaker,
    /// The number of replicas asked for changed.
    Replicas,
    /// A container's requests or limits changed.
    Resources,
    /// Another image or version runs.
    Version,
    /// A container was started again.
    Restart,
}

impl TimelineKind {
    /// As in the JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::FaultBegan => "fault_began",
            Self::FaultEnded => "fault_ended",
            Self::Breaker => "breaker",
            Self::Replicas => "replicas",
            Self::Resources => "resources",
            Self::Version => "version",
            Self::Restart => "restart",
        }
    }
}

/// Something that began, ended or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEvent {
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// What.
    pub kind: TimelineKind,
    /// To whom; of a breaker the service that calls.
    pub service: String,
    /// For people, without the service and the time: `replicas 3 -> 1`.
    pub text: String,
    /// What it was, where something changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it is since, where something changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// The answer of the timeline: the last hour at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// Oldest first.
    pub events: Vec<TimelineEvent>,
}

/// A client of the collector's own API.
#[derive(Debug, Clone)]
pub struct FaultsClient {
    http: HttpClient,
}

impl FaultsClient {
    /// `base` is the collector's URL.
    pub fn new(base: Url) -> Self {
        Self { http: HttpClient::new(base) }
    }

    /// What is wrong now.
    pub async fn faults(&self) -> Result<Faults, CallError> {
        self.http.get("api/v1/faults", &[]).await
    }

    /// What began, ended or changed at `since_ms` and after, oldest first; all of the last hour without it.
    pub async fn timeline(&self, since_ms: Option<i64>) -> Result<Timeline, CallError> {
        let since = since_ms.map(|ms| ms.to_string());
        let query: Vec<(&str, &str)> = since.iter().map(|since| ("since_ms", since.as_str())).collect();
        self.http.get("api/v1/faults/timeline", &query).await
    }
}
