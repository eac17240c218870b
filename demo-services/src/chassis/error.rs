//! What a handler answers when it cannot do what was asked: a status, a stable code and a sentence. What went wrong inside
//! is logged and never shown to the caller.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::peer::CallError;
use crate::contract::Problem;

/// When a caller may come back after "not now".
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An answer that is not 2xx.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {code}: {message}")]
pub struct AppError {
    pub status: StatusCode,
    /// Stable, for programs: `out_of_stock`.
    pub code: Cow<'static, str>,
    /// In words.
    pub message: String,
    /// Set where the caller may come back.
    pub retry_after: Option<Duration>,
}

impl AppError {
    /// Any status and code.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), retry_after: None }
    }

    /// 400 `invalid`: the request cannot be read.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// 422 `invalid`: the request can be read and makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }

    /// 401 `unauthorized`.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// 404 `not_found`: `AppError::not_found("product p-17")`.
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what}"))
    }

    /// 409 with a code of its own.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 503 `unavailable`: come back in a moment.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::unavailable_as("unavailable", message)
    }

    /// 503 with a code of its own.
    pub fn unavailable_as(code: &'static str, message: impl Into<String>) -> Self {
        Self { retry_after: Some(RETRY_AFTER), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message) }
    }

    /// 504 `deadline_exceeded`.
    pub fn deadline_exceeded() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded", "the time for this request is up")
    }

    /// 500 `internal`: the cause is logged, the caller learns that it was not its fault.
    pub fn internal(cause: impl fmt::Display) -> Self {
        tracing::warn!(%cause, "a request failed inside the service");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the service failed; it is not the request's fault")
    }
}

impl From<CallError> for AppError {
    /// A peer's no (4xx) is passed on; its silence or failure is 503, a passed deadline 504.
    fn from(error: CallError) -> Self {
        match error {
            CallError::Rejected { status, problem, .. } => Self::new(status, problem.code, problem.error),
            CallError::DeadlineExceeded { .. } => Self::deadline_exceeded(),
            CallError::Malformed { .. } => Self::new(StatusCode::BAD_GATEWAY, "bad_gateway", error.to_string()),
            CallError::Unavailable { .. } | CallError::BreakerOpen { .. } => Self::unavailable(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for AppError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::unavailable("the store is busy"),
            other => Self::internal(format!("store: {other}")),
        }
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let problem = Problem { code: self.code.into_owned(), error: self.message };
        let mut response = (self.status, axum::Json(problem)).into_response();
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        response
    }
}
