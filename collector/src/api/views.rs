//! What the HTTP API asks of the other parts: targets, metadata, configuration, rules and exemplars, as traits that they
//! implement, so that the API knows nothing of how they work.

use std::sync::Arc;

use protocol::prometheus::Targets;
use serde::Serialize;

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

/// What a store tells of itself, and what an administrator may ask of it. May read the disk.
pub trait StorageView: Send + Sync + 'static {
    /// How many series there are in memory, and by which labels; at most `limit` of each list.
    fn cardinality(&self, limit: usize) -> Cardinality;

    /// Descriptions of the blocks on disk, with Prometheus' fields, in order of time.
    fn blocks(&self) -> Vec<serde_json::Value>;

    /// Copies everything into a folder of its own, whose name it gives; without what is in memory if so asked.
    ///
    /// # Errors
    /// The file that could not be made.
    fn snapshot(&self, skip_head: bool) -> Result<String, String>;
}

/// How many of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedCount {
    /// Of what.
    pub name: String,
    /// How many.
    pub value: u64,
}

/// What is in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadStats {
    /// Series.
    pub num_series: u64,
    /// Different labels.
    pub num_label_pairs: u64,
    /// Chunks of samples.
    pub chunk_count: u64,
    /// Milliseconds since the epoch.
    pub min_time: i64,
    /// Milliseconds since the epoch.
    pub max_time: i64,
}

/// Series in memory by their labels, each list with the most first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cardinality {
    /// All together.
    pub head_stats: HeadStats,
    /// Series by the name of their metric.
    pub series_count_by_metric_name: Vec<NamedCount>,
    /// Different values of each label.
    pub label_value_count_by_label_name: Vec<NamedCount>,
    /// Bytes of the values of each label, counted for each series.
    pub memory_in_bytes_by_label_name: Vec<NamedCount>,
    /// Series by `name=value`.
    pub series_count_by_label_value_pair: Vec<NamedCount>,
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
