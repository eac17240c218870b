//! Prometheus' HTTP API, as Grafana and `promtool` call it. <https://prometheus.io/docs/prometheus/latest/querying/api/>
//! Start at `routes`; evaluation is in `query`, the search for series in `browse`, rules and alerts in `rules`,
//! everything about the server in `status`.

mod answer;
mod body;
mod browse;
mod exemplars;
mod params;
mod query;
mod rules;
mod status;
mod storage;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use lifecycle::Clock;
use tokio::sync::Semaphore;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

pub use self::storage::storage_routes;
use crate::api::views::{ExemplarSource, RulesView, TargetsView};
use crate::promql::Engine;
use crate::series::Queryable;

/// What the API serves from.
pub struct PrometheusApi {
    /// Where samples are.
    pub store: Arc<dyn Queryable>,
    /// Evaluates queries, within its limits.
    pub engine: Engine,
    /// What is scraped.
    pub targets: Arc<dyn TargetsView>,
    /// What is evaluated, and who is told.
    pub rules: Arc<dyn RulesView>,
    /// Where exemplars are, if they are kept.
    pub exemplars: Option<Arc<dyn ExemplarSource>>,
    /// Tells what `now` is for queries without a time.
    pub clock: Arc<dyn Clock>,
    /// Facts about this process.
    pub server: ServerFacts,
}

/// Facts about the process that `/api/v1/status/*` tells.
#[derive(Debug, Clone, Default)]
pub struct ServerFacts {
    /// When the process started, milliseconds since the epoch.
    pub started_ms: i64,
    /// How long samples are kept, as a Prometheus duration or a size.
    pub retention: String,
    /// The command line's flags with their values.
    pub flags: Vec<(String, String)>,
}

/// What all handlers share.
struct Shared {
    api: PrometheusApi,
    permits: Arc<Semaphore>,
}

/// `/api/v1/*` of Prometheus.
pub fn routes(api: PrometheusApi) -> Router {
    let permits = Arc::new(Semaphore::new(api.engine.options().queries_max));
    let shared = Arc::new(Shared { api, permits });
    // Answers are made for a reader on the same machine or near it: little time is better spent than few bytes.
    let compression = CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest);
    Router::new()
        .route("/api/v1/query", get(query::instant).post(query::instant))
        .route("/api/v1/query_range", get(query::range).post(query::range))
        .route("/api/v1/query_exemplars", get(exemplars::exemplars).post(exemplars::exemplars))
        .route("/api/v1/format_query", get(query::format).post(query::format))
        .route("/api/v1/series", get(browse::series).post(browse::series))
        .route("/api/v1/labels", get(browse::labels).post(browse::labels))
        .route("/api/v1/label/{name}/values", get(browse::label_values))
        .route("/api/v1/metadata", get(status::metadata))
        .route("/api/v1/targets", get(status::targets))
        .route("/api/v1/scrape_pools", get(status::scrape_pools))
        .route("/api/v1/rules", get(rules::rules))
        .route("/api/v1/alerts", get(rules::alerts))
        .route("/api/v1/alertmanagers", get(rules::alertmanagers))
        .route("/api/v1/status/buildinfo", get(status::build_info))
        .route("/api/v1/status/runtimeinfo", get(status::runtime_info))
        .route("/api/v1/status/config", get(status::config))
        .route("/api/v1/status/flags", get(status::flags))
        .layer(compression)
        .with_state(shared)
}

#[cfg(test)]
mod tests;
