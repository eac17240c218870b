//! Answers and errors in Prometheus' envelope.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use protocol::prometheus::{Envelope, LabelMap};
use serde::Serialize;

use super::body::query_body;
use crate::promql::{QueryData, QueryError, QueryOutput};
use crate::series::Labels;

/// Why a request has no answer, as Prometheus classes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    #[error("{0}")]
    BadData(String),
    #[error("{0}")]
    Execution(String),
    #[error("{0}")]
    Timeout(String),
    #[error("{0}")]
    Canceled(String),
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    Internal(String),
}

impl ApiError {
    /// A parameter that cannot be used.
    pub fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::BadData(format!("invalid parameter {name:?}: {reason}"))
    }

    fn class(&self) -> (&'static str, StatusCode) {
        match self {
            Self::BadData(_) => ("bad_data", StatusCode::BAD_REQUEST),
            Self::Execution(_) => ("execution", StatusCode::UNPROCESSABLE_ENTITY),
            Self::Timeout(_) => ("timeout", StatusCode::SERVICE_UNAVAILABLE),
            Self::Canceled(_) => ("canceled", StatusCode::SERVICE_UNAVAILABLE),
            Self::Unavailable(_) => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::Internal(_) => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::Parse(_) => Self::parameter("query", error),
            QueryError::Execution(_) | QueryError::TooManySamples(_) | QueryError::TooManySeries(_) => {
                Self::Execution(error.to_string())
            }
            QueryError::Storage(_) => Self::Internal(error.to_string()),
            QueryError::Timeout => Self::Timeout(error.to_string()),
            QueryError::Cancelled => Self::Canceled(error.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (kind, status) = self.class();
        let envelope = Envelope::<()> {
            status: "error".to_owned(),
            data: None,
            error_type: Some(kind.to_owned()),
            error: Some(self.to_string()),
            warnings: Vec::new(),
            infos: Vec::new(),
        };
        match written(&envelope) {
            Ok(body) => json(status, body),
            Err(_) => status.into_response(),
        }
    }
}

/// A body that is JSON already.
pub(super) struct Json(pub Bytes);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        json(StatusCode::OK, self.0)
    }
}

fn json(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Writes an envelope.
fn written<T: Serialize>(envelope: &Envelope<T>) -> Result<Bytes, ApiError> {
    let body = serde_json::to_vec(envelope);
    body.map(Bytes::from).map_err(|error| ApiError::Internal(format!("the answer cannot be written: {error}")))
}

/// A successful answer.
pub(super) fn success<T: Serialize>(data: T) -> Result<Json, ApiError> {
    written(&Envelope::success(data)).map(Json)
}

/// A successful answer that may be one of many.
pub(super) fn success_with<T: Serialize>(data: T, warnings: Vec<String>) -> Result<Json, ApiError> {
    written(&Envelope { warnings, ..Envelope::success(data) }).map(Json)
}

/// What is said of an answer that has been cut to its limit.
pub(super) const TRUNCATED: &str = "results truncated due to limit";

/// The answer to a query, with at most `limit` series; zero is no limit.
pub(super) fn query_answer(output: QueryOutput, limit: usize) -> Json {
    let QueryOutput { mut data, mut warnings, infos } = output;
    match &mut data {
        QueryData::Scalar(_) | QueryData::Text { .. } => {}
        QueryData::Vector(found) => cut(found, limit, &mut warnings),
        QueryData::Matrix(found) => cut(found, limit, &mut warnings),
    }
    Json(query_body(&data, &warnings, &infos).into())
}

/// Cuts to the limit, and says so; zero is no limit.
pub(super) fn cut<T>(found: &mut Vec<T>, limit: usize, warnings: &mut Vec<String>) {
    if limit > 0 && found.len() > limit {
        found.truncate(limit);
        warnings.push(TRUNCATED.to_owned());
    }
}

/// Labels as the API writes them.
pub(super) fn label_map(labels: &Labels) -> LabelMap {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Seconds since the epoch.
#[expect(clippy::cast_precision_loss, reason = "times that matter are far below 2^53 ms")]
pub(super) fn seconds(timestamp_ms: i64) -> f64 {
    timestamp_ms as f64 / 1000.0
}
