//! One customer's browser: calls the front door and says in a few words what went wrong.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::contract::{DEADLINE_HEADER, IDEMPOTENCY_HEADER, Problem};

/// A customer's patience with one page.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections kept open; more are opened as customers come.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// An answer that is not what was hoped for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// `GET /api/orders: 503 unavailable`; without ids, so that equal failures count as one.
    pub reason: String,
    pub status: Option<StatusCode>,
    /// The answer's code.
    pub code: String,
}

impl Failure {
    /// Whether asking once more makes sense: no answer, or one that says "not now".
    pub fn may_pass(&self) -> bool {
        match self.status {
            None => true,
            Some(status) => matches!(
                status,
                StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
            ),
        }
    }
}

/// One call: `client.get("/api/orders/{id}", &[id]).token(token)`.
#[derive(Debug)]
pub(super) struct Call<'a> {
    client: &'a Client,
    method: Method,
    /// With `{}` where ids go.
    route: &'static str,
    path: String,
    query: Vec<(&'static str, String)>,
    token: Option<&'a str>,
    key: Option<&'a str>,
    body: Option<Vec<u8>>,
}

/// Calls the front door.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub fn new(gateway: &Url) -> Self {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(Duration::from_secs(1))
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .tcp_nodelay(true)
            .no_gzip()
            .no_proxy()
            .build()
            .expect("a client without TLS and proxies has nothing to fail on");
        Self { http, base: gateway.as_str().trim_end_matches('/').to_owned() }
    }

    pub fn get(&self, route: &'static str) -> Call<'_> {
        self.call(Method::GET, route)
    }

    pub fn post(&self, route: &'static str, body: &impl Serialize) -> Call<'_> {
        let body = serde_json::to_vec(body).expect("the contract's types have text keys and finite numbers only");
        Call { body: Some(body), ..self.call(Method::POST, route) }
    }

    fn call(&self, method: Method, route: &'static str) -> Call<'_> {
        let path = route.to_owned();
        Call { client: self, method, route, path, query: Vec::new(), token: None, key: None, body: None }
    }
}

impl<'a> Call<'a> {
    /// Puts an id where the route has its first `{}`.
    pub fn id(mut self, id: &str) -> Self {
        self.path = self.path.replacen("{}", id, 1);
        self
    }

    pub fn query(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    pub fn token(mut self, token: &'a str) -> Self {
        self.token = Some(token);
        self
    }

    pub fn idempotency_key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    /// Makes the call.
    pub async fn send<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let mut request = self.client.http.request(self.method.clone(), format!("{}{}", self.client.base, self.path));
        request = request.header(DEADLINE_HEADER, PATIENCE.as_millis().to_string());
        if !self.query.is_empty() {
            request = request.query(&self.query);
        }
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        if let Some(key) = self.key {
            request = request.header(IDEMPOTENCY_HEADER, key);
        }
        if let Some(body) = &self.body {
            request = request.header(http::header::CONTENT_TYPE, "application/json").body(body.clone());
        }
        let response = request.send().await.map_err(|error| self.unanswered(&error))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unanswered(&error))?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| self.failure(Some(status), "not_as_expected".to_owned()));
        }
        let code = serde_json::from_slice::<Problem>(&body).map_or_else(|_| "no_reason".to_owned(), |p| p.code);
        Err(self.failure(Some(status), code))
    }

    fn unanswered(&self, error: &reqwest::Error) -> Failure {
        let why = if error.is_timeout() {
            "no answer in time"
        } else if error.is_connect() {
            "no connection"
        } else {
            "connection lost"
        };
        self.failure(None, why.to_owned())
    }

    fn failure(&self, status: Option<StatusCode>, code: String) -> Failure {
        let status_text = status.map_or_else(String::new, |status| format!("{} ", status.as_u16()));
        Failure { reason: format!("{} {}: {status_text}{code}", self.method, self.route), status, code }
    }
}
