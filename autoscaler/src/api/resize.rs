//! `POST /api/v1/workloads/{namespace}/{kind}/{name}/resize`: other resources for a container, because a person asks for them. Says
//! what the cluster says; each command is a log line and an event about the workload.

use std::cmp::Ordering;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, State as Shared};
use axum::response::{IntoResponse, Response};
use cluster::{ClusterError, Event, EventKind, Resources, WorkloadKind, WorkloadRef};
use http::StatusCode;
use protocol::quantity::Quantity;
use protocol::scaling::{Mode, ObjectName, ResizeAnswer, ResizeApply, ResizeRequest, ResourcesAsked};

use super::guard::Caller;
use super::{Api, DRY_RUN, error, listed};
use crate::state::State;

/// Said of a cluster that takes longer than it may.
const NO_ANSWER: &str = "no answer in time";

/// Carries the command out.
pub async fn resize(
    Shared(api): Shared<Api>,
    Extension(caller): Extension<Caller>,
    Path((namespace, kind, name)): Path<(String, String, String)>,
    body: Result<Json<ResizeRequest>, JsonRejection>,
) -> Response {
    let Json(request) = match body {
        Ok(body) => body,
        Err(rejection) => return error(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let kind = match kind.as_str() {
        "Deployment" => WorkloadKind::Deployment,
        "StatefulSet" => WorkloadKind::StatefulSet,
        _ => return error(StatusCode::BAD_REQUEST, &format!("found {kind:?}, expected Deployment or StatefulSet")),
    };
    if request.resources == ResourcesAsked::default() {
        let fields = "cpuRequest, cpuLimit, memoryRequest or memoryLimit";
        return error(
            StatusCode::BAD_REQUEST,
            &format!("resources: nothing is asked for; write at least one of {fields}"),
        );
    }
    if api.dry_run {
        return error(StatusCode::FORBIDDEN, DRY_RUN);
    }
    let reference = WorkloadRef { kind, namespace, name };
    let workload = match listed(&api.state).await {
        Ok(all) => all.into_iter().find(|workload| workload.reference == reference),
        Err(refusal) => return refusal,
    };
    let Some(workload) = workload else {
        return error(StatusCode::NOT_FOUND, &ClusterError::NotFound { workload: reference }.to_string());
    };
    if !workload.conflicts.is_empty() {
        let others = workload.conflicts.join(", ");
        return error(StatusCode::CONFLICT, &format!("{reference}: {others} steers it too; remove one of the two"));
    }
    let before = match wanted(&api, &reference, &request.container).await {
        Ok(before) => before,
        Err(cause) => return error(status_of(&cause), &cause.to_string()),
    };
    let resources = filled(&before, request.resources);
    if let Err((status, reason)) = permit(&api.state, &reference, &before, &resources) {
        return error(status, &format!("{reference}: {reason}"));
    }
    carry_out(&api, &caller, &reference, &request, resources).await
}

/// What the container is to have, as planned or specified; nothing where there is no such container, which the cluster says.
async fn wanted(api: &Api, workload: &WorkloadRef, container: &str) -> Result<Resources, ClusterError> {
    let cluster = &api.state.cluster;
    let late = |_| Err(ClusterError::Unavailable { reason: NO_ANSWER.to_owned() });
    let wanted = tokio::time::timeout(cluster.patience(), cluster.wanted(workload)).await.unwrap_or_else(late)?;
    let found = wanted.into_iter().find(|known| known.name == container);
    Ok(found.map(|found| found.resources).unwrap_or_default())
}

/// Whether the policy that steers the workload lets its resources be so. Without one nobody has said that they may be changed.
fn permit(
    state: &State,
    workload: &WorkloadRef,
    before: &Resources,
    resources: &Resources,
) -> Result<(), (StatusCode, String)> {
    let policies = state.policies();
    let Some(policy) = policies.steering(workload) else {
        let remedy = "write a ScalingPolicy for it, in mode Auto";
        return Err((StatusCode::CONFLICT, format!("no policy steers it, so that nothing of it is changed; {remedy}")));
    };
    let ObjectName { namespace, name } = &policy.name;
    if state.is_paused(&policy.name) {
        return Err((StatusCode::CONFLICT, format!("the policy {namespace}/{name} is paused: resume it first")));
    }
    let against = match policy.mode {
        Mode::Auto => return Ok(()),
        Mode::Off | Mode::Recommend => "which changes nothing",
        Mode::ScaleUpOnly if differs(before, resources, Ordering::Less) => "and this asks for less",
        Mode::ScaleDownOnly if differs(before, resources, Ordering::Greater) => "and this asks for more",
        Mode::ScaleUpOnly | Mode::ScaleDownOnly => return Ok(()),
    };
    Err((StatusCode::FORBIDDEN, format!("the policy {namespace}/{name} has mode {:?}, {against}", policy.mode)))
}

/// Whether some number is to be so compared with what it was to be. No request is the least there is, no limit the most.
fn differs(now: &Resources, wanted: &Resources, how: Ordering) -> bool {
    let requests = [(wanted.cpu_request, now.cpu_request), (wanted.memory_request, now.memory_request)];
    let limits = [(wanted.cpu_limit, now.cpu_limit), (wanted.memory_limit, now.memory_limit)];
    let of_limits = |(wanted, now): (Option<Quantity>, Option<Quantity>)| {
        (wanted.is_none(), wanted).cmp(&(now.is_none(), now)) == how
    };
    requests.into_iter().any(|(wanted, now)| wanted.cmp(&now) == how) || limits.into_iter().any(of_limits)
}

async fn carry_out(
    api: &Api,
    caller: &Caller,
    reference: &WorkloadRef,
    request: &ResizeRequest,
    resources: Resources,
) -> Response {
    let (cluster, container) = (&api.state.cluster, request.container.as_str());
    let (how, call) = match request.apply {
        ResizeApply::InPlace => ("in place", cluster.resize(reference, container, resources)),
        ResizeApply::Rollout => ("by a rolling update", cluster.roll_out(reference, container, resources)),
    };
    let outcome = tokio::time::timeout(cluster.patience(), call).await;
    let outcome = outcome
        .unwrap_or_else(|_| Err(ClusterError::Unknown { workload: reference.clone(), reason: NO_ANSWER.to_owned() }));
    let asked = in_words(request.resources);
    let message = format!("container {container} of {reference} is to have {asked}, {how}");
    let (kind, reason, message) = match &outcome {
        Ok(()) => (EventKind::Normal, "ResizeRequested", message),
        Err(cause) => (EventKind::Warning, "FailedResize", format!("{message}: {cause}")),
    };
    tracing::info!(
        workload = %reference, container, asked, how, %caller, outcome = reason, "an operator asked for a resize"
    );
    let event = Event {
        at_ms: api.clock.now_ms(),
        workload: reference.clone(),
        kind,
        reason: reason.to_owned(),
        message: message.clone(),
    };
    if !matches!(outcome, Err(ClusterError::NotLeader { .. } | ClusterError::Unavailable { .. }))
        && let Ok(Err(cause)) = tokio::time::timeout(cluster.patience(), cluster.record_event(event)).await
    {
        tracing::warn!(reason = %cause, "an event about a resize was not recorded");
    }
    match outcome {
        Ok(()) => Json(ResizeAnswer { message }).into_response(),
        Err(cause) => error(status_of(&cause), &cause.to_string()),
    }
}

fn status_of(cause: &ClusterError) -> StatusCode {
    match cause {
        ClusterError::NotFound { .. } => StatusCode::NOT_FOUND,
        ClusterError::Refused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        ClusterError::Forbidden { .. } => StatusCode::FORBIDDEN,
        ClusterError::Unknown { .. } => StatusCode::GATEWAY_TIMEOUT,
        ClusterError::NotLeader { .. } | ClusterError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// What is asked for, and where nothing is, what the container is to have: not what a replica has, which may be on its way there.
fn filled(before: &Resources, asked: ResourcesAsked) -> Resources {
    let ResourcesAsked { cpu_request, cpu_limit, memory_request, memory_limit } = asked;
    Resources { cpu_request, cpu_limit, memory_request, memory_limit }.or(*before)
}

fn in_words(asked: ResourcesAsked) -> String {
    let ResourcesAsked { cpu_request, cpu_limit, memory_request, memory_limit } = asked;
    let part = |(what, quantity): (&str, Option<Quantity>)| quantity.map(|quantity| format!("{what} {quantity}"));
    [
        ("CPU request", cpu_request),
        ("CPU limit", cpu_limit),
        ("memory request", memory_request),
        ("memory limit", memory_limit),
    ]
    .into_iter()
    .filter_map(part)
    .collect::<Vec<_>>()
    .join(", ")
}
