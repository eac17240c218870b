//! `/api/v1/status/tsdb`, `/api/v1/status/tsdb/blocks` and `/api/v1/admin/tsdb/snapshot`: what the store tells of itself, and
//! what an administrator may ask of it. The latter only if the command line allows, as in Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use serde_json::json;

use super::answer::{ApiError, Json, success};
use super::params::Params;
use crate::api::views::StorageView;

/// Entries of each list unless `limit` asks for others: Prometheus' number.
const ENTRIES_DEFAULT: i64 = 10;

/// What the handlers share.
#[derive(Clone)]
struct Storage {
    view: Arc<dyn StorageView>,
    admin: bool,
}

/// The routes; `admin` allows what changes the disk.
pub fn storage_routes(view: Arc<dyn StorageView>, admin: bool) -> Router {
    Router::new()
        .route("/api/v1/status/tsdb", get(cardinality))
        .route("/api/v1/status/tsdb/blocks", get(blocks))
        .route("/api/v1/admin/tsdb/snapshot", post(snapshot).put(snapshot))
        .with_state(Storage { view, admin })
}

impl Storage {
    /// Runs what may take long or read the disk where it holds up nobody.
    async fn on_thread<T: Send + 'static>(
        self,
        work: impl FnOnce(&dyn StorageView) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let task = tokio::task::spawn_blocking(move || work(&*self.view));
        task.await.map_err(|_| ApiError::Internal("the store's answer was given up".to_owned()))
    }
}

async fn cardinality(State(storage): State<Storage>, params: Params) -> Result<Json, ApiError> {
    let limit = params.integer("limit")?.unwrap_or(ENTRIES_DEFAULT);
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| ApiError::BadData("limit must be a positive number".to_owned()))?;
    success(storage.on_thread(move |view| view.cardinality(limit)).await?)
}

async fn blocks(State(storage): State<Storage>) -> Result<Json, ApiError> {
    success(storage.on_thread(|view| json!({ "blocks": view.blocks() })).await?)
}

async fn snapshot(State(storage): State<Storage>, params: Params) -> Result<Json, ApiError> {
    if !storage.admin {
        return Err(ApiError::Unavailable("admin APIs disabled".to_owned()));
    }
    let skip_head = match params.get("skip_head") {
        None => false,
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
        Some(other) => {
            return Err(ApiError::parameter("skip_head", format!("unable to parse boolean {other:?}")));
        }
    };
    let name = storage.on_thread(move |view| view.snapshot(skip_head)).await?;
    success(json!({ "name": name.map_err(ApiError::Internal)? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::views::{Cardinality, NamedCount};
    use axum::body::Body;
    use http::{Request, StatusCode};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    struct Scene;

    impl StorageView for Scene {
        fn cardinality(&self, limit: usize) -> Cardinality {
            let one = NamedCount { name: "up".to_owned(), value: limit as u64 };
            Cardinality { series_count_by_metric_name: vec![one], ..Cardinality::default() }
        }

        fn blocks(&self) -> Vec<serde_json::Value> {
            vec![json!({ "ulid": "01" })]
        }

        fn snapshot(&self, skip_head: bool) -> Result<String, String> {
            if skip_head { Err("/data/x: no space left".to_owned()) } else { Ok("20260101T000000Z-1".to_owned()) }
        }
    }

    async fn ask(method: &str, uri: &str, admin: bool) -> (StatusCode, serde_json::Value) {
        let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
        let answer = storage_routes(Arc::new(Scene), admin).oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn answers_as_prometheus_does() {
        let (_, answer) = ask("GET", "/api/v1/status/tsdb?limit=3", false).await;
        assert_eq!(answer["data"]["seriesCountByMetricName"], json!([{ "name": "up", "value": 3 }]));
        assert_eq!(answer["data"]["headStats"]["numSeries"], 0);
        assert_eq!(ask("GET", "/api/v1/status/tsdb?limit=0", false).await.0, StatusCode::BAD_REQUEST);
        let (_, answer) = ask("GET", "/api/v1/status/tsdb/blocks", false).await;
        assert_eq!(answer["data"]["blocks"][0]["ulid"], "01");
        let (status, answer) = ask("POST", "/api/v1/admin/tsdb/snapshot", false).await;
        assert_eq!((status, &answer["errorType"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable")));
        let (_, answer) = ask("PUT", "/api/v1/admin/tsdb/snapshot", true).await;
        assert_eq!(answer["data"]["name"], "20260101T000000Z-1");
        let (status, answer) = ask("POST", "/api/v1/admin/tsdb/snapshot?skip_head=true", true).await;
        assert_eq!((status, &answer["error"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!("/data/x: no space left")));
        assert_eq!(ask("POST", "/api/v1/admin/tsdb/snapshot?skip_head=maybe", true).await.0, StatusCode::BAD_REQUEST);
    }
}
