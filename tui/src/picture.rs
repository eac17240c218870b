//! What the screen knows: the last good answer of every source, how old it is, and what is wrong with the source.
//! Fetches nothing and judges nothing; `feed` writes it, `triage` and the screens read it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use protocol::faults::{Faults, Timeline};
use protocol::graph::{Graph, Red};
use protocol::jaeger::Trace;
use protocol::scaling::{DecisionRecord, EventRecord, Explanation, ObjectName, PolicyStatus, WorkloadStatus};

use crate::heat::{Heat, HeatWish};

/// Why a source has no fresh answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The backend does not have this at all; says what to start to get it.
    Missing(String),
    /// It did not answer this time; it is asked again.
    Down(String),
}

/// The last good answer of one source, and its trouble since.
#[derive(Debug, Clone)]
pub struct Source<T> {
    /// The last good answer.
    pub data: Option<Arc<T>>,
    /// When it came, in milliseconds since the epoch.
    pub at_ms: Option<i64>,
    /// Why the last call gave none; `None` when it did.
    pub trouble: Option<Trouble>,
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self { data: None, at_ms: None, trouble: None }
    }
}

/// An answer older than this is called stale: three missed rounds of the usual two seconds.
pub const STALE_AFTER_MS: i64 = 6_000;

/// How much an answer may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// No answer and no error yet.
    Waiting,
    /// Answered so many milliseconds ago.
    Fresh(i64),
    /// The last answer is this old.
    Stale(i64),
    /// Never answered.
    Down,
    /// The backend does not have it.
    Missing,
}

impl<T> Source<T> {
    /// A source that is known not to exist.
    pub fn missing(reason: &str) -> Self {
        Self { data: None, at_ms: None, trouble: Some(Trouble::Missing(reason.to_owned())) }
    }

    /// Takes an answer.
    pub fn answered(&mut self, data: T, at_ms: i64) {
        *self = Self { data: Some(Arc::new(data)), at_ms: Some(at_ms), trouble: None };
    }

    /// Takes a failure; the last good answer stays.
    pub fn failed(&mut self, trouble: Trouble) {
        self.trouble = Some(trouble);
    }

    /// How fresh it is at `now_ms`.
    pub fn freshness(&self, now_ms: i64) -> Freshness {
        match (self.at_ms, &self.trouble) {
            (_, Some(Trouble::Missing(_))) => Freshness::Missing,
            (None, None) => Freshness::Waiting,
            (None, Some(Trouble::Down(_))) => Freshness::Down,
            (Some(at_ms), _) => {
                let age = (now_ms - at_ms).max(0);
                if age > STALE_AFTER_MS { Freshness::Stale(age) } else { Freshness::Fresh(age) }
            }
        }
    }

    /// The trouble in words; empty when there is none.
    pub fn trouble_text(&self) -> &str {
        match &self.trouble {
            Some(Trouble::Missing(text) | Trouble::Down(text)) => text,
            None => "",
        }
    }
}

/// Names a service: on a cluster two namespaces may each have one of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Its name; first, so that services of one name stand together.
    pub name: String,
    /// Its namespace; empty where nothing tells one.
    pub namespace: String,
}

impl ServiceKey {
    /// The service of a namespace.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { name: name.to_owned(), namespace: namespace.to_owned() }
    }

    /// Whether a workload or policy is about this service.
    pub fn is(&self, object: &ObjectName) -> bool {
        self.name == object.name && self.namespace == object.namespace
    }
}

impl From<&ObjectName> for ServiceKey {
    fn from(object: &ObjectName) -> Self {
        Self::new(&object.namespace, &object.name)
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

/// Processor use of all replicas of a service, in cores.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cpu {
    /// Used.
    pub used: f64,
    /// Allowed; 0 when there is no limit.
    pub limit: f64,
}

/// Replicas of a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplicaCount {
    /// Receive traffic.
    pub ready: u32,
    /// Asked for.
    pub desired: u32,
}

/// What the metrics say about one service over the window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceMetrics {
    /// It is one that requests are made of; other workloads are only measured.
    pub serves: bool,
    /// Of the requests it served.
    pub red: Red,
    /// Processor use, where containers are measured.
    pub cpu: Option<Cpu>,
    /// From `kube_deployment_*`, where they exist.
    pub replicas: Option<ReplicaCount>,
}

/// What customers get from one journey over the window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct JourneyMetrics {
    /// Journeys a second.
    pub rate: f64,
    /// Share that failed, 0 to 1.
    pub error_ratio: f64,
    /// Milliseconds.
    pub p50_ms: Option<f64>,
    /// Milliseconds.
    pub p99_ms: Option<f64>,
}

/// A circuit breaker that is not closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    /// Of both; empty where nothing tells one.
    pub namespace: String,
    /// Whose breaker.
    pub service: String,
    /// Towards whom.
    pub peer: String,
    /// Lets single requests through, to see.
    pub half_open: bool,
}

/// What one round of PromQL gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// Seconds that the rates cover.
    pub window_seconds: f64,
    /// Seconds between two scrapes of a target; `None` in the first minute.
    pub scrape_seconds: Option<f64>,
    /// Services, and workloads that are measured as well.
    pub services: BTreeMap<ServiceKey, ServiceMetrics>,
    /// By name; with the namespace in front of it where there are several.
    pub journeys: BTreeMap<String, JourneyMetrics>,
    /// Breakers that are open or half open.
    pub breakers: Vec<Breaker>,
    /// Breakers that are so, or were in the last seconds.
    pub breakers_of_late: Vec<Breaker>,
}

/// The last minutes of one service, oldest first, one value a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceHistory {
    /// Requests a second.
    pub rate: Vec<f64>,
    /// Share of errors, 0 to 1.
    pub error_ratio: Vec<f64>,
}

/// The histories of all services.
pub type History = BTreeMap<ServiceKey, ServiceHistory>;

/// The history that is fetched for the service on screen only.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Detail {
    /// Which service.
    pub service: ServiceKey,
    /// Milliseconds.
    pub p99_ms: Vec<f64>,
}

/// What the autoscaler decided, newest first, and the policies in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scaling {
    /// Newest first.
    pub decisions: Vec<DecisionRecord>,
    /// Every policy.
    pub policies: Vec<PolicyStatus>,
}

/// What would have changed a policy's latest decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The policy.
    pub policy: ObjectName,
    /// Its latest record, and what would have made it another.
    pub explanation: Explanation,
}

/// What traces somebody wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceWish {
    /// Of the services of this name, as spans tell no namespace; of any when empty.
    pub service: String,
    /// Only such as hold an error.
    pub errors_only: bool,
    /// Only such as began between these, microseconds since the epoch; 0 is open.
    pub between_us: (u64, u64),
}

impl TraceWish {
    /// All traces of a service.
    pub fn of(service: impl Into<String>) -> Self {
        Self { service: service.into(), ..Self::default() }
    }

    /// The traces of a service that hold an error.
    pub fn errors_of(service: impl Into<String>) -> Self {
        Self { service: service.into(), errors_only: true, ..Self::default() }
    }

    /// The same as a search in Jaeger's words, path and query; `None` when it is none of a service.
    pub fn from_search(search: &str) -> Option<Self> {
        let (_, query) = search.split_once('?')?;
        let mut wish = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "service" => wish.service = value.into_owned(),
                "start" => wish.between_us.0 = value.parse().unwrap_or(0),
                "end" => wish.between_us.1 = value.parse().unwrap_or(0),
                "tags" => wish.errors_only = value.contains("\"error\":\"true\""),
                _ => {}
            }
        }
        (!wish.service.is_empty()).then_some(wish)
    }
}

/// A piece of evidence's numbers over time that somebody wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CurveWish {
    /// PromQL.
    pub query: String,
    /// When it began to differ from the usual, milliseconds since the epoch.
    pub since_ms: i64,
}

/// What a query gave over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curves {
    /// The wish.
    pub wish: CurveWish,
    /// Seconds since the epoch at the first value.
    pub start_seconds: f64,
    /// Seconds between two values.
    pub step_seconds: f64,
    /// Each series' labels in words and its values, `NaN` where it has none.
    pub series: Vec<(String, Vec<f64>)>,
}

/// Traces and the wish that they answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TraceList {
    /// The wish.
    pub wish: TraceWish,
    /// Newest first.
    pub traces: Vec<Trace>,
}

/// Everything. Cloning is cheap: answers are shared.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// PromQL, now.
    pub metrics: Source<Metrics>,
    /// PromQL, the last minutes.
    pub history: Source<History>,
    /// The p99 of the service on screen.
    pub detail: Source<Detail>,
    /// Who calls whom.
    pub graph: Source<Graph>,
    /// Replicas.
    pub workloads: Source<Vec<WorkloadStatus>>,
    /// Decisions and policies.
    pub scaling: Source<Scaling>,
    /// What the cluster tells.
    pub events: Source<Vec<EventRecord>>,
    /// The traces asked for.
    pub traces: Source<TraceList>,
    /// What is broken and by what evidence, as the collector judges it.
    pub faults: Source<Faults>,
    /// What began, ended and changed, as the collector saw it.
    pub timeline: Source<Timeline>,
    /// What the evidence on screen looks like over time.
    pub curves: Source<Curves>,
    /// Latencies over time of the service on screen.
    pub heat: Source<Heat>,
    /// What would have changed the latest decision of the policy on screen.
    pub explanation: Source<Explained>,
}

/// What the screen wants fetched beyond what is always fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// Details of this service.
    pub service: Option<ServiceKey>,
    /// Traces.
    pub traces: Option<TraceWish>,
    /// What began, ended and changed.
    pub timeline: bool,
    /// Numbers over time.
    pub curves: Option<CurveWish>,
    /// Latencies over time.
    pub heat: Option<HeatWish>,
    /// What would change this policy's decision.
    pub policy: Option<ObjectName>,
    /// Grows when the user asks for fresh answers now.
    pub refresh: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_in_evidence_is_a_wish_for_those_traces() {
        let search =
            "/api/traces?service=order+api&start=5000000&end=9000000&limit=20&tags=%7B%22error%22%3A%22true%22%7D";
        let wish = TraceWish { service: "order api".to_owned(), errors_only: true, between_us: (5_000_000, 9_000_000) };
        assert_eq!(TraceWish::from_search(search), Some(wish));
        let slow = TraceWish::from_search("/api/traces?service=search&start=x").unwrap();
        assert_eq!(slow, TraceWish::of("search"));
        for none in ["", "/api/traces", "/api/traces?limit=20"] {
            assert_eq!(TraceWish::from_search(none), None, "{none}");
        }
    }
}
