//! Jaeger's query API over the kept traces: the shapes that Grafana's Jaeger data source decodes.

mod params;
mod shape;

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use protocol::jaeger::{Answer, ApiError};
use serde::Serialize;

use self::params::{BadParam, Params};
use super::Core;

/// The routes below `/api`.
pub(super) fn routes() -> Router<Arc<Core>> {
    Router::new()
        .route("/api/services", get(services))
        .route("/api/services/{service}/operations", get(operation_names))
        .route("/api/operations", get(operations))
        .route("/api/traces", get(search))
        .route("/api/traces/{id}", get(trace))
        .route("/api/dependencies", get(dependencies))
}

fn answer<T: Serialize>(data: Vec<T>) -> Response {
    Json(Answer { total: data.len(), data, limit: 0, offset: 0, errors: None }).into_response()
}

fn failure(status: StatusCode, msg: impl Into<String>) -> Response {
    let errors = Some(vec![ApiError { code: status.as_u16(), msg: msg.into() }]);
    (status, Json(Answer { data: None::<()>, total: 0, limit: 0, offset: 0, errors })).into_response()
}

impl IntoResponse for BadParam {
    fn into_response(self) -> Response {
        failure(StatusCode::BAD_REQUEST, self.to_string())
    }
}

async fn services(State(core): State<Arc<Core>>) -> Response {
    answer(core.store.lock().services().map(ToString::to_string).collect())
}

async fn operation_names(State(core): State<Arc<Core>>, Path(service): Path<String>) -> Response {
    let mut names: Vec<String> = core.store.lock().operations(&service).map(|(name, _)| name.to_string()).collect();
    names.dedup();
    answer(names)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Operation {
    name: String,
    span_kind: &'static str,
}

async fn operations(State(core): State<Arc<Core>>, RawQuery(query): RawQuery) -> Result<Response, BadParam> {
    let params = Params::parse(query.as_deref());
    let service = params.required("service")?;
    let kind = params.first("spanKind").filter(|kind| !kind.is_empty());
    let store = core.store.lock();
    let known = store.operations(service).map(|(name, kind)| (name, kind.unwrap_or_default()));
    let fitting = known.filter(|(_, known)| kind.is_none_or(|kind| kind == *known));
    Ok(answer(fitting.map(|(name, span_kind)| Operation { name: name.to_string(), span_kind }).collect()))
}

/// Says of an answer that there may be more: Grafana fails on `errors`, and nobody reads a log for that.
const CUT: (&str, &str) =
    ("plimsoll-search", "cut: not all blocks of that time were looked at; narrow the time or name the service");

async fn search(State(core): State<Arc<Core>>, RawQuery(query): RawQuery) -> Result<Response, BadParam> {
    let params = Params::parse(query.as_deref());
    let ids = params.trace_ids()?;
    if !ids.is_empty() {
        return Ok(answer(core.traces(ids).await.into_iter().map(shape::trace).collect()));
    }
    let answered = core.search(params.search()?).await;
    let traces = answer(answered.traces.into_iter().map(shape::trace).collect());
    Ok(if answered.is_cut { ([CUT], traces).into_response() } else { traces })
}

async fn trace(State(core): State<Arc<Core>>, Path(id): Path<String>) -> Result<Response, BadParam> {
    let found = core.trace(params::trace_id(&id)?).await;
    Ok(found
        .map_or_else(|| failure(StatusCode::NOT_FOUND, "trace not found"), |trace| answer(vec![shape::trace(trace)])))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    parent: String,
    child: String,
    call_count: u64,
}

async fn dependencies(State(core): State<Arc<Core>>, RawQuery(query): RawQuery) -> Result<Response, BadParam> {
    let params = Params::parse(query.as_deref());
    let end_ms = params.number("endTs")?.unwrap_or_else(|| core.clock.now_ms());
    let lookback_ms = params.number("lookback")?.unwrap_or(params::LOOKBACK_DEFAULT_MS);
    let tally = core.learner.lock().window().sum(end_ms.saturating_sub(lookback_ms), end_ms.saturating_add(1_000));
    let dependencies = tally.edges.into_iter().map(|((client, server, _), requests)| Dependency {
        parent: client.to_string(),
        child: server.to_string(),
        call_count: requests.durations.count(),
    });
    Ok(answer(dependencies.collect()))
}

#[cfg(test)]
mod tests;
