//! What a request carries with it through a service and to its peers: trace, deadline, who is signed in.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer};
use tokio::time::Instant;

use super::context::Context;
use super::deadline::Deadline;
use super::error::AppError;
use crate::contract::USER_HEADER;

/// Passed to every call to a peer. A handler takes it as an argument.
#[derive(Debug, Clone)]
pub struct RequestContext {
    pub(super) trace: opentelemetry::Context,
    deadline: Deadline,
    user: Option<Arc<str>>,
}

impl RequestContext {
    pub(super) fn new(trace: opentelemetry::Context, deadline: Deadline, headers: &HeaderMap) -> Self {
        let user = headers.get(USER_HEADER).and_then(|value| value.to_str().ok()).filter(|user| !user.is_empty());
        Self { trace, deadline, user: user.map(Arc::from) }
    }

    /// For work that no request asked for, such as delivering an outbox: a trace of its own, whose span ends when the last
    /// clone of this is dropped.
    pub fn background(context: &Context, what: &'static str, timeout: Duration) -> Self {
        let span = context.tracer().span_builder(what).with_kind(SpanKind::Internal);
        let span = span.start_with_context(context.tracer(), &opentelemetry::Context::new());
        Self {
            trace: opentelemetry::Context::new().with_span(span),
            deadline: Deadline::after(Instant::now(), timeout),
            user: None,
        }
    }

    /// The same trace and user with a deadline of its own, for work that goes on when the caller is gone.
    #[must_use]
    pub fn detached(&self, timeout: Duration) -> Self {
        Self { deadline: Deadline::after(Instant::now(), timeout), ..self.clone() }
    }

    /// The same with at most this much time.
    #[must_use]
    pub fn within(&self, timeout: Duration) -> Self {
        Self { deadline: self.deadline.at_most(Instant::now(), timeout), ..self.clone() }
    }

    /// The same on behalf of `user`.
    #[must_use]
    pub fn as_user(&self, user: Option<&str>) -> Self {
        Self { user: user.map(Arc::from), ..self.clone() }
    }

    /// Until when an answer is wanted.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Time left.
    pub fn remaining(&self) -> Duration {
        self.deadline.remaining(Instant::now())
    }

    /// Who is signed in.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The trace's id in hexadecimal.
    pub fn trace_id(&self) -> String {
        self.trace.span().span_context().trace_id().to_string()
    }

    /// Notes something on the span: `request.annotate("order.id", id)`.
    pub fn annotate(&self, key: &'static str, value: impl Into<opentelemetry::Value>) {
        self.trace.span().set_attribute(KeyValue::new(key, value));
    }

    /// Marks the span as failed.
    pub fn failed(&self, why: impl Into<std::borrow::Cow<'static, str>>) {
        self.trace.span().set_status(Status::error(why));
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestContext {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AppError> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| AppError::internal("a route is served outside the chassis"))
    }
}

/// The id of the signed-in user; a request without one is answered 401.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn(pub String);

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AppError> {
        let request = RequestContext::from_request_parts(parts, state).await?;
        request.user().map(|user| Self(user.to_owned())).ok_or_else(|| AppError::unauthorized("sign in first"))
    }
}
