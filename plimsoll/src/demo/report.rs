//! The demo's report: what `--report` writes. Its shape is a promise to scripts; fields are only ever added.

use serde::Serialize;

use super::plan::FaultReport;

/// The whole run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Seconds under load.
    pub seconds: f64,
    /// Sorted by name.
    pub services: Vec<ServiceReport>,
    /// As the shoppers measured them.
    pub journeys: Vec<JourneyReport>,
    /// Counted by the autoscaler; `scale_up` and `scale_down` were carried out.
    pub decisions: DecisionsReport,
    /// Counted by the collector.
    pub collector: CollectorReport,
    /// Counted in the shop's own books after the load ended.
    pub orders: demo_services::audit::OrdersReport,
    /// The ground truth: which faults were on, and when.
    pub faults: Vec<FaultReport>,
    /// What the collector said is broken: everybody's part whenever somebody's changed; the culprits of a time first.
    pub suspects: Vec<SuspectReport>,
    /// Where the programs listened.
    pub endpoints: EndpointsReport,
}

/// One service.
#[derive(Debug, Serialize)]
pub struct ServiceReport {
    pub name: String,
    /// At the end of the run: `Healthy`, `Degraded`, `Failing`, `Idle` or `Unknown`.
    pub health: String,
    pub replicas: ReplicasReport,
    /// Requests served during the run.
    pub requests: u64,
    /// Of these, answered with 5xx.
    pub errors: u64,
    /// Milliseconds over the whole run; `null` without requests.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Starts of replicas after their first.
    pub restarts: u64,
}

/// Replicas asked for during the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReplicasReport {
    pub min: u32,
    pub max: u32,
    pub last: u32,
}

/// One journey of the shoppers.
#[derive(Debug, Serialize)]
pub struct JourneyReport {
    pub name: String,
    pub requests: u64,
    pub errors: u64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

/// Somebody's part in the faults of a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuspectReport {
    /// Seconds since the start of the load.
    pub at: f64,
    /// The service, or the journey.
    pub service: String,
    /// `service` or `journey`.
    pub kind: &'static str,
    pub role: protocol::faults::Role,
    /// 0 to 1; how sure it is that a culprit is one.
    pub score: f64,
    /// In words.
    pub evidence: Vec<String>,
}

/// Decision records by outcome.
#[derive(Debug, Serialize)]
pub struct DecisionsReport {
    pub total: u64,
    pub scale_up: u64,
    pub scale_down: u64,
    pub hold: u64,
}

/// What the collector took in.
#[derive(Debug, Serialize)]
pub struct CollectorReport {
    pub targets: u64,
    pub targets_up: u64,
    pub samples: u64,
    pub series: u64,
    pub spans: u64,
    pub traces: u64,
}

/// URLs.
#[derive(Debug, Clone, Serialize)]
pub struct EndpointsReport {
    pub collector: String,
    pub autoscaler: String,
    pub gateway: String,
}
