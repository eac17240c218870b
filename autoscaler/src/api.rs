//! The autoscaler's HTTP API as ARCHITECTURE.md has it: policies, workloads, decisions, events, pause and resume; health
//! and metrics. Every error is JSON `{"error": "..."}`. Decides nothing; who may change something is in `guard`.

mod forward;
mod guard;
mod resize;

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State as Shared};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use cluster::kubernetes::policies::StoreError;
use cluster::{Event, Workload};
use http::{StatusCode, header};
use lifecycle::metrics::Metrics;
use protocol::scaling::{ContainerResources, EventRecord, ObjectName, PolicyStatus, ReplicaStatus, WorkloadStatus};
use protocol::slos::ObjectiveStatus;
use serde::Deserialize;

use self::forward::{Forwarder, forward};
pub use self::guard::ApiToken;
use self::guard::{Caller, Guard, guard};
use crate::counts::Instruments;
use crate::decisions::RECORDS_MAX;
use crate::health::Health;
use crate::lead::Lead;
use crate::pauses::{PauseError, Pauses};
use crate::planner::counterfactual::explain;
use crate::policy::PolicySet;
use crate::reload::Reload;
use crate::state::State;

/// Decisions answered when no limit is asked for.
const DECISIONS_DEFAULT: usize = 100;

/// Events answered when no limit is asked for.
const EVENTS_DEFAULT: usize = 100;

/// Most events that may be asked for at once.
const EVENTS_MAX: usize = 10_000;

/// Why nothing is changed.
const DRY_RUN: &str = "this autoscaler was started with --dry-run: it writes nothing";

/// What the API serves from.
#[derive(Clone)]
pub struct Api {
    /// What is decided.
    pub state: Arc<State>,
    /// Where it is kept who is paused.
    pub pauses: Pauses,
    /// What time it is.
    pub clock: Arc<dyn lifecycle::Clock>,
    /// Who leads.
    pub lead: Lead,
    /// Nothing may be written.
    pub dry_run: bool,
}

/// All routes.
pub fn router(
    api: Api,
    health: &Health,
    metrics: &Metrics,
    token: Option<ApiToken>,
    instruments: Instruments,
    reload: Option<Arc<Reload>>,
) -> Router {
    // Each autoscaler reads its own files: a reload is not the leader's business.
    let reloads = reload.map_or_else(Router::new, Reload::routes);
    let reloads =
        reloads.layer(from_fn_with_state(Guard { token: token.clone(), instruments: instruments.clone() }, guard));
    Router::new()
        .route("/api/v1/policies", get(policies))
        .route("/api/v1/policies/{namespace}/{name}/pause", post(pause))
        .route("/api/v1/policies/{namespace}/{name}/resume", post(resume))
        .route("/api/v1/policies/{namespace}/{name}/explanation", get(explanation))
        .route("/api/v1/workloads", get(workloads))
        .route("/api/v1/workloads/{namespace}/{kind}/{name}/resize", post(resize::resize))
        .route("/api/v1/decisions", get(decisions))
        .route("/api/v1/events", get(events))
        .route("/api/v1/slos", get(slos))
        .layer(from_fn_with_state(Forwarder::new(api.lead.clone()), forward))
        .layer(from_fn_with_state(Guard { token, instruments }, guard))
        .route("/metrics/workloads", get(workload_metrics))
        .merge(reloads)
        .merge(health.routes())
        .merge(metrics.routes())
        .fallback(|| async { error(StatusCode::NOT_FOUND, "there is nothing at this path") })
        .method_not_allowed_fallback(|| async { error(StatusCode::METHOD_NOT_ALLOWED, "this path has another method") })
        .with_state(api)
}

/// An error as this API answers it.
pub(crate) fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(serde_json::json!({ "error": message }))).into_response()
}

async fn policies(Shared(api): Shared<Api>) -> Json<Vec<PolicyStatus>> {
    let state = &api.state;
    Json(state.policies().iter().map(|policy| state.status(policy)).collect())
}

async fn slos(Shared(api): Shared<Api>) -> Json<Vec<ObjectiveStatus>> {
    Json(api.state.budgets().statuses(api.clock.now_ms()))
}

/// The latest record of a policy, and what would have made it another.
async fn explanation(Shared(api): Shared<Api>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let name = ObjectName { namespace, name };
    let shown = format!("{}/{}", name.namespace, name.name);
    let policies = api.state.policies();
    let Some(policy) = policies.named(&name) else {
        return error(StatusCode::NOT_FOUND, &format!("there is no policy {shown}"));
    };
    match api.state.last(&name) {
        Some(record) => Json(explain(policy, &record)).into_response(),
        None => {
            let message = format!(
                "there is no record of {shown} yet: it is not evaluated in mode Off, and before the first tick"
            );
            error(StatusCode::NOT_FOUND, &message)
        }
    }
}

async fn pause(api: Shared<Api>, caller: Extension<Caller>, name: Path<(String, String)>) -> Response {
    set_paused(&api, &caller, name.0, true).await
}

async fn resume(api: Shared<Api>, caller: Extension<Caller>, name: Path<(String, String)>) -> Response {
    set_paused(&api, &caller, name.0, false).await
}

async fn set_paused(api: &Api, caller: &Caller, (namespace, name): (String, String), paused: bool) -> Response {
    if api.dry_run {
        return error(StatusCode::FORBIDDEN, DRY_RUN);
    }
    let name = ObjectName { namespace, name };
    let shown = format!("{}/{}", name.namespace, name.name);
    let policies = api.state.policies();
    let Some(policy) = policies.named(&name) else {
        return error(StatusCode::NOT_FOUND, &format!("there is no policy {shown}"));
    };
    let kept = api.pauses.set(&api.state, &name, paused).await;
    let outcome = kept.as_ref().map_or_else(ToString::to_string, |()| "done".to_owned());
    tracing::info!(policy = shown, paused, %caller, outcome, "an operator asked for a policy to be paused or resumed");
    match kept {
        Ok(()) => Json(api.state.status(policy)).into_response(),
        Err(cause) => error(status_of_pause(&cause), &cause.to_string()),
    }
}

fn status_of_pause(cause: &PauseError) -> StatusCode {
    match cause {
        PauseError::Store(StoreError::Gone) => StatusCode::NOT_FOUND,
        PauseError::Store(StoreError::Forbidden { .. }) => StatusCode::FORBIDDEN,
        PauseError::Store(StoreError::Outrun) => StatusCode::CONFLICT,
        PauseError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        PauseError::File { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionsAsked {
    workload: Option<String>,
    since: Option<u64>,
    limit: Option<usize>,
}

async fn decisions(Shared(api): Shared<Api>, asked: Result<Query<DecisionsAsked>, QueryRejection>) -> Response {
    let Query(asked) = match asked {
        Ok(asked) => asked,
        Err(rejection) => return error(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let limit = match checked(asked.limit, DECISIONS_DEFAULT, RECORDS_MAX) {
        Ok(limit) => limit,
        Err(refusal) => return refusal,
    };
    let records = api.state.ring.newest(asked.workload.as_deref(), asked.since, limit);
    Json(records.iter().map(AsRef::as_ref).collect::<Vec<_>>()).into_response()
}

#[expect(clippy::result_large_err, reason = "the refusal is the answer to one request, made once")]
fn checked(limit: Option<usize>, default: usize, most: usize) -> Result<usize, Response> {
    match limit.unwrap_or(default) {
        limit if (1..=most).contains(&limit) => Ok(limit),
        limit => {
            let message = format!("limit: found {limit}, expected 1 to {most}");
            Err(error(StatusCode::BAD_REQUEST, &message))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsAsked {
    limit: Option<usize>,
}

async fn events(Shared(api): Shared<Api>, asked: Result<Query<EventsAsked>, QueryRejection>) -> Response {
    let Query(asked) = match asked {
        Ok(asked) => asked,
        Err(rejection) => return error(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let limit = match checked(asked.limit, EVENTS_DEFAULT, EVENTS_MAX) {
        Ok(limit) => limit,
        Err(refusal) => return refusal,
    };
    let cluster = &api.state.cluster;
    match tokio::time::timeout(cluster.patience(), cluster.events(limit)).await {
        Ok(Ok(events)) => Json(events.into_iter().map(event_record).collect::<Vec<_>>()).into_response(),
        Ok(Err(cause)) => error(StatusCode::SERVICE_UNAVAILABLE, &cause.to_string()),
        Err(_) => error(StatusCode::SERVICE_UNAVAILABLE, "the cluster did not answer in time"),
    }
}

fn event_record(event: Event) -> EventRecord {
    EventRecord {
        at_ms: event.at_ms,
        workload: ObjectName { namespace: event.workload.namespace, name: event.workload.name },
        kind: match event.kind {
            cluster::EventKind::Normal => protocol::scaling::EventKind::Normal,
            cluster::EventKind::Warning => protocol::scaling::EventKind::Warning,
        },
        reason: event.reason,
        message: event.message,
    }
}

async fn workloads(Shared(api): Shared<Api>) -> Response {
    let (now_ms, policies) = (api.clock.now_ms(), api.state.policies());
    match listed(&api.state).await {
        Ok(workloads) => {
            let status = |workload| workload_status(&policies, workload, now_ms);
            Json(workloads.into_iter().map(status).collect::<Vec<_>>()).into_response()
        }
        Err(refusal) => refusal,
    }
}

/// All workloads, or the answer that says why not.
async fn listed(state: &State) -> Result<Vec<Workload>, Response> {
    match tokio::time::timeout(state.cluster.patience(), state.cluster.workloads()).await {
        Ok(Ok(workloads)) => Ok(workloads),
        Ok(Err(cause)) => Err(error(StatusCode::SERVICE_UNAVAILABLE, &cause.to_string())),
        Err(_) => Err(error(StatusCode::SERVICE_UNAVAILABLE, "the cluster did not answer in time")),
    }
}

/// What kube-state-metrics says of workloads; of several autoscalers only the leader says it, so that nothing counts twice.
async fn workload_metrics(Shared(api): Shared<Api>) -> Response {
    let kind = [(header::CONTENT_TYPE, cluster::state_metrics::CONTENT_TYPE)];
    if !api.lead.is_ours() {
        return (kind, String::new()).into_response();
    }
    match listed(&api.state).await {
        Ok(workloads) => (kind, cluster::state_metrics::render(&workloads)).into_response(),
        Err(refusal) => refusal,
    }
}

fn workload_status(policies: &PolicySet, workload: Workload, now_ms: i64) -> WorkloadStatus {
    let policy = policies.steering(&workload.reference).map(|policy| policy.name.name.clone());
    let ready = workload.ready().0;
    let replicas = workload.replicas.into_iter().map(|replica| ReplicaStatus {
        state: replica.state.to_string(),
        ready: replica.ready,
        restarts: replica.restarts,
        age_seconds: replica.started_at_ms.map_or(0.0, |at_ms| (now_ms - at_ms).max(0) as f64 / 1000.0),
        resources: replica.containers.iter().map(container_resources).collect(),
        resize: replica.resize.map_or_else(String::new, resize_words),
        name: replica.name,
        message: replica.message,
        node: replica.node,
    });
    WorkloadStatus {
        kind: workload.reference.kind.to_string(),
        workload: ObjectName { namespace: workload.reference.namespace, name: workload.reference.name },
        desired: workload.desired.0,
        ready,
        rollout: match workload.rollout {
            cluster::Rollout::Complete => String::new(),
            cluster::Rollout::Progressing => "a new version is being rolled out".to_owned(),
            cluster::Rollout::Stuck { reason } => format!("a new version does not become ready: {reason}"),
            cluster::Rollout::RolledBack { reason } => format!("a new version was rolled back: {reason}"),
        },
        policy,
        replicas: replicas.collect(),
        conflicts: workload.conflicts,
    }
}

fn container_resources(container: &cluster::Container) -> ContainerResources {
    let words = |quantity: Option<protocol::quantity::Quantity>| quantity.map_or_else(String::new, |q| q.to_string());
    let resources = &container.resources;
    ContainerResources {
        container: container.name.clone(),
        cpu_request: words(resources.cpu_request),
        cpu_limit: words(resources.cpu_limit),
        memory_request: words(resources.memory_request),
        memory_limit: words(resources.memory_limit),
    }
}

/// How far a change of resources has come, in words.
fn resize_words(resize: cluster::Resize) -> String {
    let with = |state: &str, message: String| {
        if message.is_empty() { state.to_owned() } else { format!("{state}: {message}") }
    };
    match resize {
        cluster::Resize::Deferred { message } => with("resize deferred", message),
        cluster::Resize::Infeasible { message } => with("resize infeasible", message),
        cluster::Resize::InProgress => "resize in progress".to_owned(),
        cluster::Resize::Error { message } => with("resize failed, is tried again", message),
    }
}
