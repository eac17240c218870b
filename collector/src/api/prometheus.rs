//! Prometheus' HTTP API, as Grafana and `promtool` call it. <https://prometheus.io/docs/prometheus/latest/querying/api/>
//! Start at `routes`.

use std::sync::Arc;

use axum::Router;
use lifecycle::Clock;

use crate::api::views::{ExemplarSource, TargetsView};
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

/// `/api/v1/*` of Prometheus.
pub fn routes(api: PrometheusApi) -> Router {
    let api = Arc::new(api);
    Router::new().with_state(api)
}
