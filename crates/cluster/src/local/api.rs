//! The runtime API: discovery for scrapers, metrics under Kubernetes' names, workloads and events. Read-only.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lifecycle::{Liveness, Readiness};
use serde::{Deserialize, Serialize};

use super::LocalCluster;
use super::reconciler::Endpoint;
use crate::state_metrics::CONTENT_TYPE;
use crate::{Event, Workload};

mod discovery;
mod metrics;

/// Events answered unless `limit` asks for another number.
const EVENTS_DEFAULT: usize = 100;

#[derive(Clone)]
struct Api {
    cluster: LocalCluster,
    endpoints: Arc<[Endpoint]>,
}

/// All routes.
pub(super) fn router(
    cluster: LocalCluster,
    endpoints: Arc<[Endpoint]>,
    readiness: &Readiness,
    liveness: &Liveness,
) -> Router {
    Router::new()
        .route("/sd/{port}", get(discover))
        .route("/metrics", get(metrics))
        .route("/api/v1/workloads", get(workloads))
        .route("/api/v1/events", get(events))
        .with_state(Api { cluster, endpoints })
        .merge(readiness.routes(liveness))
}

async fn discover(State(api): State<Api>, Path(port): Path<String>) -> Json<Vec<discovery::Group>> {
    Json(discovery::groups(&api.cluster.snapshot.borrow(), &port))
}

async fn metrics(State(api): State<Api>) -> Response {
    let snapshot = api.cluster.snapshot.borrow().clone();
    // A few small files a replica: not for the threads that carry requests.
    let text = tokio::task::spawn_blocking(move || metrics::text(&snapshot, &api.endpoints)).await;
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[derive(Serialize)]
struct Workloads {
    /// How CPU and memory limits are enforced, or why they are not.
    limits: String,
    workloads: Vec<Workload>,
}

async fn workloads(State(api): State<Api>) -> Json<Workloads> {
    let workloads = api.cluster.snapshot.borrow().workloads.clone();
    Json(Workloads { limits: api.cluster.limits.to_string(), workloads })
}

#[derive(Deserialize)]
struct EventsQuery {
    limit: Option<usize>,
}

async fn events(State(api): State<Api>, Query(query): Query<EventsQuery>) -> Json<Vec<Event>> {
    Json(api.cluster.events.newest(query.limit.unwrap_or(EVENTS_DEFAULT)))
}
