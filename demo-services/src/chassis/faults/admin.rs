//! The admin port: faults are set, cleared and listed, and `/metrics` says which are on. Decides nothing.

use axum::Router;
use axum::extract::State;
use axum::routing::{get, put};
use http::StatusCode;
use serde::Deserialize;

use super::{Fault, FaultError, Faults};
use crate::chassis::error::AppError;
use crate::chassis::extract::{Json, Path};

/// Body of `PUT /faults/{kind}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultValue {
    value: Option<String>,
}

impl Faults {
    /// The admin API.
    pub(in crate::chassis) fn routes(&self) -> Router {
        Router::new()
            .route("/faults", get(list).delete(clear_all))
            .route("/faults/{kind}", put(set).delete(clear))
            .with_state(self.clone())
            .merge(self.0.truth.routes())
    }
}

impl From<FaultError> for AppError {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::UnknownKind(_) => Self::new(StatusCode::NOT_FOUND, "not_found", error.to_string()),
            FaultError::WrongValue { .. } | FaultError::DoesNotFit { .. } => Self::invalid(error.to_string()),
        }
    }
}

async fn list(State(faults): State<Faults>) -> Json<Vec<Fault>> {
    Json(faults.list())
}

async fn set(
    State(faults): State<Faults>,
    Path(kind): Path<String>,
    Json(body): Json<FaultValue>,
) -> Result<StatusCode, AppError> {
    // Whoever wants a fault to hold says so again and again; that must not drown what else the replica says.
    if faults.set(&kind, body.value.as_deref())? {
        tracing::info!(kind, value = body.value, "a fault was set");
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn clear(State(faults): State<Faults>, Path(kind): Path<String>) -> Result<StatusCode, AppError> {
    faults.clear(&kind)?;
    tracing::info!(kind, "a fault was cleared");
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_all(State(faults): State<Faults>) -> StatusCode {
    faults.clear_all();
    tracing::info!("all faults were cleared");
    StatusCode::NO_CONTENT
}
