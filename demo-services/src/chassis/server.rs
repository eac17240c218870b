//! What happens to every request around its handler: span, metrics, deadline, load shedding, faults, work. Probes and
//! `/metrics` pass by all of it but the faults `hang` and `zone`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::{Method, StatusCode};
use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::context::Context;
use super::deadline::Deadline;
use super::error::AppError;
use super::farewell::{self, Farewell};
use super::meters::ServedLabels;
use super::request::RequestContext;

/// nginx's status for a caller that hung up; nobody sees it but the metrics.
const CALLER_GONE: u16 = 499;

#[derive(Clone)]
struct Layer {
    context: Context,
    slots: Arc<Semaphore>,
}

/// The service's routes with all that surrounds them, and the probes and metrics beside them.
pub(super) fn router(context: &Context, service: Router) -> Router {
    let layer = Layer { context: context.clone(), slots: Arc::new(Semaphore::new(context.config().in_flight_max)) };
    service
        .fallback(|| async { AppError::not_found("such path") })
        .method_not_allowed_fallback(|| async {
            AppError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the path knows other methods")
        })
        .layer(from_fn_with_state(layer, around))
        .merge(context.ready().routes())
        .merge(context.metrics().routes())
        .layer(from_fn_with_state(context.clone(), hang))
        .layer(from_fn_with_state(Farewell::new(context.ready().clone()), farewell::say))
}

async fn hang(State(context): State<Context>, request: Request, next: Next) -> Response {
    context.faults().hang().await;
    next.run(request).await
}

async fn around(State(layer): State<Layer>, mut request: Request, next: Next) -> Response {
    let context = &layer.context;
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let deadline = Deadline::from_headers(request.headers(), Instant::now());
    let trace = start_span(context, &request, &route);
    let carried = RequestContext::new(trace.clone(), deadline, request.headers());
    let mut served = Served::begin(context, trace, method_label(request.method()), route);
    request.extensions_mut().insert(carried);

    let response = match layer.slots.try_acquire() {
        Err(_) => {
            context.meters().shed("in_flight");
            AppError::unavailable_as("overloaded", "too many requests are under way").into_response()
        }
        Ok(_slot) => tokio::time::timeout_at(deadline.instant(), handle(context, deadline, request, next))
            .await
            .unwrap_or_else(|_| AppError::deadline_exceeded().into_response()),
    };
    served.end(response.status());
    response
}

async fn handle(context: &Context, deadline: Deadline, request: Request, next: Next) -> Response {
    if let Err(error) = context.faults().strike().await {
        return error.into_response();
    }
    // Half of its time may pass in waiting for the CPU, so that there is time left to answer. Told "not now" sooner, its
    // caller leaves this replica in peace and need not think it dead.
    let patience = || deadline.remaining(Instant::now()) / 2;
    let has_turn = context.work().burn(patience()).await;
    let missed = missed(context, &request);
    if !has_turn || !fill_cache(context, missed, patience()).await {
        context.meters().shed("cpu");
        return AppError::unavailable_as("overloaded", "the replica has no CPU time to spare").into_response();
    }
    // A panic must cost its own request and be seen; without this the connection would just break.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => AppError::internal("a handler panicked").into_response(),
    }
}

/// The route whose cached answer has expired, and what it costs to compute; none without the fault `stampede`.
fn missed(context: &Context, request: &Request) -> Option<(String, Duration)> {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    context.faults().has_missed(route).map(|cost| (route.to_owned(), cost))
}

/// Computes what was missed; `false` when there was no CPU for it.
async fn fill_cache(context: &Context, missed: Option<(String, Duration)>, patience: Duration) -> bool {
    let Some((route, cost)) = missed else { return true };
    let computed = context.work().burn_for(cost, patience).await;
    if computed {
        context.faults().has_filled(&route);
    }
    computed
}

fn start_span(context: &Context, request: &Request, route: &str) -> opentelemetry::Context {
    let parent = TraceContextPropagator::new()
        .extract_with_context(&opentelemetry::Context::new(), &HeaderExtractor(request.headers()));
    let method = request.method().as_str();
    let builder = context.tracer().span_builder(format!("{method} {route}")).with_kind(SpanKind::Server);
    let builder = builder.with_attributes([
        KeyValue::new("http.request.method", method.to_owned()),
        KeyValue::new("http.route", route.to_owned()),
        KeyValue::new("url.path", request.uri().path().to_owned()),
    ]);
    let span = builder.start_with_context(context.tracer(), &parent);
    parent.with_span(span)
}

/// The conventions' way to keep strange methods from making series.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

/// A request under way. Dropped before its end, the caller has hung up.
struct Served {
    context: Context,
    trace: opentelemetry::Context,
    begun: Instant,
    labels: ServedLabels,
}

impl Served {
    fn begin(context: &Context, trace: opentelemetry::Context, method: &'static str, route: String) -> Self {
        context.meters().active.inc();
        let labels =
            ServedLabels { http_route: route, http_request_method: method, http_response_status_code: CALLER_GONE };
        Self { context: context.clone(), trace, begun: Instant::now(), labels }
    }

    fn end(&mut self, status: StatusCode) {
        self.labels.http_response_status_code = status.as_u16();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let status = self.labels.http_response_status_code;
        let span = self.trace.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 500 {
            span.set_status(Status::error(""));
        }
        let trace_id = span.span_context().trace_id().to_string();
        span.end();
        let meters = self.context.meters();
        meters.active.dec();
        meters.served(&self.labels, self.begun.elapsed(), Some(trace_id));
    }
}
