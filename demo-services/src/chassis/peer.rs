//! Calls to another service: deadline passed on, trace passed on, retries within a budget, a circuit breaker and a bulkhead
//! per peer. Knows no service's paths.

mod attempt;
mod breaker;
mod budget;
mod error;
mod storm;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use opentelemetry_sdk::trace::SdkTracer;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use rand::RngExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;

use self::breaker::Breaker;
use self::budget::RetryBudget;
pub use self::error::CallError;
use super::faults::Faults;
use super::meters::Meters;
use super::request::RequestContext;

/// How long a call may take, its retries included, unless the call says otherwise or its caller has less time.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);
/// The first try and two more.
const ATTEMPTS_MAX: u32 = 3;
/// Back-off before the second try; doubles; the real one is drawn between nothing and this ("full jitter").
const BACKOFF_BASE: Duration = Duration::from_millis(25);
/// Calls to one peer under way. A peer that hangs ties up this many of our requests and no more.
const IN_FLIGHT_MAX: usize = 64;

/// Another service.
#[derive(Clone)]
pub struct Peer(Arc<Inner>);

struct Inner {
    name: String,
    /// Without a slash at its end.
    base: String,
    http: reqwest::Client,
    tracer: SdkTracer,
    meters: Meters,
    state: Gauge,
    retries: Counter<u64, AtomicU64>,
    breaker: Mutex<Breaker>,
    budget: Mutex<RetryBudget>,
    slots: Semaphore,
    /// Breaker and budget count time from here.
    since: Instant,
    faults: Faults,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({})", self.0.name)
    }
}

/// A 2xx answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    peer: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| CallError::Malformed { peer: self.peer.clone(), why: error.to_string() })
    }
}

/// A call about to be made.
#[derive(Debug)]
#[must_use = "a call is made by `send`"]
pub struct Call {
    peer: Peer,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
    idempotent: bool,
    timeout: Duration,
}

impl Peer {
    pub(super) fn new(
        name: &str,
        base: &Url,
        http: reqwest::Client,
        tracer: SdkTracer,
        meters: &Meters,
        faults: Faults,
    ) -> Self {
        let (state, retries) = meters.of_peer(name);
        Self(Arc::new(Inner {
            name: name.to_owned(),
            base: base.as_str().trim_end_matches('/').to_owned(),
            http,
            tracer,
            meters: meters.clone(),
            state,
            retries,
            breaker: Mutex::default(),
            budget: Mutex::default(),
            slots: Semaphore::new(IN_FLIGHT_MAX),
            since: Instant::now(),
            faults,
        }))
    }

    /// The peer's name, such as `payment`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// GETs JSON. Retried.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        request: &RequestContext,
    ) -> Result<T, CallError> {
        self.call(Method::GET, path).query(query).send(request).await?.json()
    }

    /// POSTs JSON and reads JSON. Never retried after it may have reached the peer.
    pub async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        request: &RequestContext,
    ) -> Result<T, CallError> {
        self.call(Method::POST, path).json(body)?.send(request).await?.json()
    }

    /// POSTs JSON to where repeating does no harm, and reads JSON. Retried.
    pub async fn post_idempotent<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        request: &RequestContext,
    ) -> Result<T, CallError> {
        self.call(Method::POST, path).json(body)?.idempotent().send(request).await?.json()
    }

    /// DELETEs; the answer's body does not matter. Retried.
    pub async fn delete(&self, path: &str, request: &RequestContext) -> Result<(), CallError> {
        self.call(Method::DELETE, path).send(request).await.map(drop)
    }

    /// Any call: `peer.call(Method::POST, "/charges/1/refund").idempotent().send(&request).await?`.
    /// GET, HEAD, PUT and DELETE are idempotent without saying so (RFC 9110, 9.2.2).
    pub fn call(&self, method: Method, path: &str) -> Call {
        Call {
            peer: self.clone(),
            idempotent: method.is_idempotent(),
            method,
            path: path.to_owned(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: TIMEOUT_DEFAULT,
        }
    }
}

impl Call {
    /// Query parameters.
    pub fn query(mut self, query: &[(&str, &str)]) -> Self {
        self.query.extend(query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        self
    }

    /// A JSON body.
    pub fn json<B: Serialize + ?Sized>(self, body: &B) -> Result<Self, CallError> {
        let bytes = serde_json::to_vec(body)
            .map_err(|error| CallError::Malformed { peer: self.peer.0.name.clone(), why: error.to_string() })?;
        Ok(self.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json")).body(bytes.into()))
    }

    /// A body as it is.
    pub fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// A header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Repeating this call does no harm.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// At most this long, retries included.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes the call.
    pub async fn send(self, request: &RequestContext) -> Result<Answer, CallError> {
        let deadline = request.deadline().at_most(Instant::now(), self.timeout);
        let peer = &self.peer.0;
        if let Some(patience) = peer.faults.storm_patience() {
            return storm::send(&self, request, deadline, patience).await;
        }
        peer.budget.lock().deposit(peer.since.elapsed());
        let mut attempt = 1;
        loop {
            let error = match attempt::make(&self, request, deadline, attempt).await {
                Ok(answer) => return Ok(answer),
                Err(failed) if attempt >= ATTEMPTS_MAX || !failed.may_repeat(self.idempotent) => {
                    return Err(failed.error);
                }
                Err(failed) => failed.error,
            };
            let pause = rand::rng().random_range(Duration::ZERO..BACKOFF_BASE * 2_u32.pow(attempt - 1));
            if deadline.remaining(Instant::now()) <= pause || !peer.budget.lock().withdraw(peer.since.elapsed()) {
                return Err(error);
            }
            peer.retries.inc();
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }
}
