//! What the HTTP API asks of the other parts: targets, metadata, configuration, rules and exemplars, as traits that they
//! implement, so that the API knows nothing of how they work.

use std::sync::Arc;

use protocol::prometheus::Targets;

use crate::rules::report::GroupReport;
use crate::series::{Labels, Matcher, MetricMetadata};

/// What is scraped, and by which configuration.
pub trait TargetsView: Send + Sync + 'static {
    /// All targets, active and dropped, as of now.
    fn targets(&self) -> Targets;

    /// Metrics by name with what their targets say of them; a name may come more than once when targets disagree.
    fn metadata(&self) -> Vec<(String, MetricMetadata)>;

    /// The configuration in force, as YAML without secrets.
    fn config_yaml(&self) -> String;

    /// How the configuration was read last.
    fn last_reload(&self) -> LastReload;
}

/// How the configuration was read last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastReload {
    /// Whether it could be read.
    pub successful: bool,
    /// When the one in force was, milliseconds since the epoch.
    pub succeeded_ms: i64,
}

/// What is evaluated, and who is told about alerts.
pub trait RulesView: Send + Sync + 'static {
    /// All groups, in order of file and name.
    fn groups(&self) -> Arc<Vec<Arc<GroupReport>>>;

    /// Addresses of the Alertmanagers that are told.
    fn alertmanagers(&self) -> Alertmanagers;
}

/// Addresses of Alertmanagers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alertmanagers {
    /// Those that are told.
    pub active: Vec<String>,
    /// Those that relabelling dropped.
    pub dropped: Vec<String>,
}

/// A sample's pointer to a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// The exemplar's own labels, such as `trace_id`.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
}

/// A series with its exemplars in order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplars {
    /// Which series.
    pub labels: Labels,
    /// In order of time.
    pub exemplars: Vec<Exemplar>,
}

/// Keeps exemplars.
pub trait ExemplarSource: Send + Sync + 'static {
    /// Exemplars in `start_ms ..= end_ms` of the series that fit all matchers of at least one of the `selectors`, each
    /// series once.
    fn exemplars(&self, selectors: &[Vec<Matcher>], start_ms: i64, end_ms: i64) -> Vec<SeriesExemplars>;
}
