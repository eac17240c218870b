//! What the server is and does: build, configuration, targets, metadata.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::Shared;
use super::answer::{ApiError, Json, success};
use super::params::Params;

/// The Prometheus whose API this is. Clients such as Grafana choose features by it.
const PROMETHEUS_VERSION: &str = "3.5.0";

/// `/api/v1/status/buildinfo`. A field `features` would make Grafana take this for Mimir.
pub(super) async fn build_info() -> Result<Json, ApiError> {
    success(json!({
        "version": PROMETHEUS_VERSION,
        "revision": concat!("plimsoll-", env!("CARGO_PKG_VERSION")),
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    }))
}

/// `/api/v1/status/runtimeinfo`
pub(super) async fn runtime_info(State(shared): State<Arc<Shared>>) -> Result<Json, ApiError> {
    let folder = std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default();
    let reload = shared.api.targets.last_reload();
    success(json!({
        "startTime": rfc_3339(shared.api.server.started_ms),
        "CWD": folder,
        "serverTime": rfc_3339(shared.api.clock.now_ms()),
        "reloadConfigSuccess": reload.successful,
        "lastConfigTime": rfc_3339(reload.succeeded_ms),
        "corruptionCount": 0,
        "storageRetention": shared.api.server.retention,
    }))
}

pub(super) fn rfc_3339(timestamp_ms: i64) -> String {
    Timestamp::from_millisecond(timestamp_ms).map(|time| time.to_string()).unwrap_or_default()
}

/// `/api/v1/status/config`
pub(super) async fn config(State(shared): State<Arc<Shared>>) -> Result<Json, ApiError> {
    success(json!({ "yaml": shared.api.targets.config_yaml() }))
}

/// `/api/v1/status/flags`
pub(super) async fn flags(State(shared): State<Arc<Shared>>) -> Result<Json, ApiError> {
    let flags = shared.api.server.flags.iter();
    success(flags.map(|(name, value)| (name.as_str(), value.as_str())).collect::<BTreeMap<_, _>>())
}

/// `/api/v1/targets`
pub(super) async fn targets(State(shared): State<Arc<Shared>>, params: Params) -> Result<Json, ApiError> {
    let mut targets = shared.api.targets.targets();
    let state = params.get("state").unwrap_or("any").to_ascii_lowercase();
    if !["any", "active"].contains(&&*state) {
        targets.active_targets.clear();
    }
    if !["any", "dropped"].contains(&&*state) {
        targets.dropped_targets.clear();
        targets.dropped_target_counts.clear();
    }
    if let Some(pool) = params.get("scrapePool") {
        targets.active_targets.retain(|target| target.scrape_pool == pool);
        targets.dropped_targets.retain(|target| target.discovered_labels.get("job").is_some_and(|job| job == pool));
        targets.dropped_target_counts.retain(|name, _| name == pool);
    }
    success(targets)
}

/// `/api/v1/scrape_pools`
pub(super) async fn scrape_pools(State(shared): State<Arc<Shared>>) -> Result<Json, ApiError> {
    let targets = shared.api.targets.targets();
    let mut pools: Vec<String> = targets.active_targets.into_iter().map(|target| target.scrape_pool).collect();
    pools.extend(targets.dropped_target_counts.into_keys());
    pools.sort();
    pools.dedup();
    success(json!({ "scrapePools": pools }))
}

#[derive(Serialize, PartialEq)]
struct WireMetadata {
    #[serde(rename = "type")]
    kind: String,
    help: String,
    unit: String,
}

/// `/api/v1/metadata`
pub(super) async fn metadata(State(shared): State<Arc<Shared>>, params: Params) -> Result<Json, ApiError> {
    // Unlike elsewhere in the API, a limit of zero is one, and a negative one is none.
    let limit = params.integer("limit")?.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let per_metric = params.integer("limit_per_metric")?.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0);
    let mut metrics: BTreeMap<String, Vec<WireMetadata>> = BTreeMap::new();
    for (name, metadata) in shared.api.targets.metadata() {
        if params.get("metric").is_some_and(|wanted| wanted != name) {
            continue;
        }
        if metrics.len() >= limit && !metrics.contains_key(&name) {
            continue;
        }
        let known = metrics.entry(name).or_default();
        let wire = WireMetadata { kind: metadata.kind, help: metadata.help, unit: metadata.unit };
        if !known.contains(&wire) && (per_metric == 0 || known.len() < per_metric) {
            known.push(wire);
        }
    }
    success(metrics)
}
