//! One attempt of a call: breaker, bulkhead, span, the request itself, and what it teaches the breaker.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry_http::HeaderInjector;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tokio::time::{Instant, timeout_at};

use super::breaker::Permit;
use super::error::CallError;
use super::{Answer, Call, Inner};
use crate::chassis::deadline::Deadline;
use crate::chassis::meters::CalledLabels;
use crate::chassis::request::RequestContext;
use crate::contract::{DEADLINE_HEADER, Problem, USER_HEADER};

/// A call that had less time than this and ran out of it says nothing about the peer.
const BLAME_MIN: Duration = Duration::from_millis(100);

/// Where nobody listens: the port of tcpmux, which is gone from machines and which no service may take.
const NOBODY: &str = "http://127.0.0.1:1";

/// An attempt without an answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub error: CallError,
    /// What the peer answered, if it answered.
    status: Option<StatusCode>,
    /// The peer or a proxy asked for less (Retry-After, a full bulkhead): repeating would make it worse.
    pushed_back: bool,
}

impl Failed {
    fn unanswered(error: CallError) -> Self {
        Self { error, status: None, pushed_back: false }
    }

    fn not_asked(error: CallError) -> Self {
        Self { error, status: None, pushed_back: true }
    }

    /// Whether whoever heeds neither time nor push-back would repeat it.
    pub fn may_be_hammered(&self, idempotent: bool) -> bool {
        match &self.error {
            CallError::Unavailable { unsent, .. } => *unsent || idempotent,
            CallError::DeadlineExceeded { .. } => idempotent,
            CallError::Rejected { .. } | CallError::BreakerOpen { .. } | CallError::Malformed { .. } => false,
        }
    }

    pub fn may_repeat(&self, idempotent: bool) -> bool {
        match &self.error {
            CallError::Unavailable { unsent, .. } => !self.pushed_back && (*unsent || idempotent),
            CallError::Rejected { .. }
            | CallError::BreakerOpen { .. }
            | CallError::DeadlineExceeded { .. }
            | CallError::Malformed { .. } => false,
        }
    }
}

/// Makes one attempt.
pub(super) async fn make(
    call: &Call,
    request: &RequestContext,
    deadline: Deadline,
    number: u32,
) -> Result<Answer, Failed> {
    let peer = &*call.peer.0;
    let begun = Instant::now();
    let allowed = deadline.remaining(begun);
    if allowed.is_zero() {
        return Err(Failed::unanswered(CallError::DeadlineExceeded { peer: peer.name.clone() }));
    }
    let Ok(_slot) = peer.slots.try_acquire() else {
        let why = format!("{} calls to it are under way already", super::IN_FLIGHT_MAX);
        let error = CallError::Unavailable { peer: peer.name.clone(), why, unsent: true };
        return Err(Failed::not_asked(error));
    };
    let Some(verdict) = Verdict::ask(peer) else {
        return Err(Failed::not_asked(CallError::BreakerOpen { peer: peer.name.clone() }));
    };
    let result = ask(call, request, deadline, deadline, number).await;
    verdict.give(judge(&result, allowed));
    result
}

/// Asks the peer, with a span about it; neither breaker nor bulkhead hears of it. The peer is told that there is time until
/// `deadline`, and is waited for until `patience`.
pub(super) async fn ask(
    call: &Call,
    request: &RequestContext,
    deadline: Deadline,
    patience: Deadline,
    number: u32,
) -> Result<Answer, Failed> {
    let span = Calling::begin(call, request, Instant::now(), number);
    let outcome = timeout_at(patience.instant(), exchange(call, request, &span.trace, deadline)).await;
    let peer = &call.peer.0.name;
    let result =
        outcome.unwrap_or_else(|_| Err(Failed::unanswered(CallError::DeadlineExceeded { peer: peer.clone() })));
    span.end(&result);
    result
}

/// What an attempt says about the peer: `None` is nothing.
fn judge(result: &Result<Answer, Failed>, allowed: Duration) -> Option<bool> {
    match result {
        Ok(_) => Some(true),
        Err(failed) if failed.pushed_back => None,
        Err(failed) => match failed.error {
            CallError::Rejected { .. } => Some(true),
            CallError::DeadlineExceeded { .. } if allowed < BLAME_MIN => None,
            _ => Some(false),
        },
    }
}

async fn exchange(
    call: &Call,
    request: &RequestContext,
    trace: &opentelemetry::Context,
    deadline: Deadline,
) -> Result<Answer, Failed> {
    let peer = &*call.peer.0;
    let mut headers = call.headers.clone();
    TraceContextPropagator::new().inject_context(trace, &mut HeaderInjector(&mut headers));
    let left = u64::try_from(deadline.remaining(Instant::now()).as_millis()).unwrap_or(u64::MAX);
    headers.insert(DEADLINE_HEADER, left.into());
    if let Some(user) = request.user().and_then(|user| HeaderValue::from_str(user).ok()) {
        headers.insert(USER_HEADER, user);
    }
    let base = if peer.faults.cannot_reach(&peer.name) { NOBODY } else { &peer.base };
    let mut sending = peer.http.request(call.method.clone(), format!("{base}{}", call.path)).headers(headers);
    if !call.query.is_empty() {
        sending = sending.query(&call.query);
    }
    if !call.body.is_empty() || call.method == Method::POST {
        sending = sending.body(call.body.clone());
    }
    let unreachable = |error: &reqwest::Error| {
        let (why, unsent) = (cause(error), error.is_connect());
        Failed::unanswered(CallError::Unavailable { peer: peer.name.clone(), why, unsent })
    };
    let response = sending.send().await.map_err(|error| unreachable(&error))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.map_err(|error| unreachable(&error))?;
    if status.is_success() {
        return Ok(Answer { status, headers, body, peer: peer.name.clone() });
    }
    Err(refusal(&peer.name, status, &headers, &body))
}

fn refusal(peer: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failed {
    let problem = serde_json::from_slice::<Problem>(body).unwrap_or_else(|_| Problem {
        code: status.canonical_reason().unwrap_or("error").to_lowercase().replace(' ', "_"),
        error: String::from_utf8_lossy(body).chars().take(200).collect(),
    });
    let peer = peer.to_owned();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        let why = format!("it answered {}: {}", status.as_u16(), problem.error);
        let error = CallError::Unavailable { peer, why, unsent: false };
        return Failed { error, status: Some(status), pushed_back: headers.contains_key(header::RETRY_AFTER) };
    }
    Failed { error: CallError::Rejected { peer, status, problem }, status: Some(status), pushed_back: false }
}

/// The innermost cause: "connection refused" says more than "error sending request".
fn cause(error: &reqwest::Error) -> String {
    let mut current: &dyn std::error::Error = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}

/// The breaker's permit for one attempt. Dropped without a verdict (the caller hung up), the permit goes back.
struct Verdict<'a> {
    peer: &'a Inner,
    permit: Option<Permit>,
}

impl<'a> Verdict<'a> {
    fn ask(peer: &'a Inner) -> Option<Self> {
        let mut breaker = peer.breaker.lock();
        let permit = breaker.ask(peer.since.elapsed());
        peer.state.set(breaker.state().as_number());
        permit.map(|permit| Self { peer, permit: Some(permit) })
    }

    fn give(mut self, succeeded: Option<bool>) {
        self.settle(succeeded);
    }

    fn settle(&mut self, succeeded: Option<bool>) {
        let Some(permit) = self.permit.take() else { return };
        let mut breaker = self.peer.breaker.lock();
        let before = breaker.state();
        breaker.settle(permit, succeeded, self.peer.since.elapsed());
        let after = breaker.state();
        drop(breaker);
        self.peer.state.set(after.as_number());
        if before != after {
            tracing::info!(peer = self.peer.name, from = ?before, to = ?after, "a circuit breaker changed");
        }
    }
}

impl Drop for Verdict<'_> {
    fn drop(&mut self) {
        self.settle(None);
    }
}

/// The client span and the client metrics of one attempt; recorded when it ends or is given up.
struct Calling<'a> {
    peer: &'a Inner,
    trace: opentelemetry::Context,
    begun: Instant,
    status: String,
}

impl<'a> Calling<'a> {
    fn begin(call: &'a Call, request: &RequestContext, begun: Instant, number: u32) -> Self {
        let peer = &*call.peer.0;
        let builder = peer.tracer.span_builder(format!("{} {}", call.method, peer.name)).with_kind(SpanKind::Client);
        let mut attributes = vec![
            KeyValue::new("http.request.method", call.method.to_string()),
            KeyValue::new("server.address", peer.name.clone()),
            KeyValue::new("peer.service", peer.name.clone()),
            KeyValue::new("url.path", call.path.split('?').next().unwrap_or_default().to_owned()),
        ];
        if number > 1 {
            attributes.push(KeyValue::new("http.request.resend_count", i64::from(number - 1)));
        }
        let span = builder.with_attributes(attributes).start_with_context(&peer.tracer, &request.trace);
        Self { peer, trace: request.trace.with_span(span), begun, status: String::new() }
    }

    fn end(mut self, result: &Result<Answer, Failed>) {
        let status = match result {
            Ok(answer) => Some(answer.status.as_u16()),
            Err(failed) => failed.status.map(|status| status.as_u16()),
        };
        let span = self.trace.span();
        if let Some(status) = status {
            self.status = status.to_string();
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        }
        // The conventions: a 4xx is an error of the client's span.
        if let Err(failed) = result {
            span.set_status(Status::error(failed.error.to_string()));
        }
    }
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        let span = self.trace.span();
        let trace_id = span.span_context().trace_id().to_string();
        span.end();
        let labels = CalledLabels {
            server_address: self.peer.name.clone(),
            http_response_status_code: std::mem::take(&mut self.status),
        };
        self.peer.meters.called(&labels, self.begun.elapsed(), Some(trace_id));
    }
}
