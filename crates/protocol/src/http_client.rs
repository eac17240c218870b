//! The one way our typed clients call an HTTP API: deadline, status check, JSON, and an error that names the URL.

use std::time::Duration;

use serde::de::DeserializeOwned;
use url::Url;

/// How long a call may take unless the caller says otherwise; a screen or a tick must never hang on a peer.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// A call that did not give its answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The peer could not be reached, or did not answer in time.
    #[error("{url} did not answer: {reason}")]
    Unreachable {
        /// The URL called, without its query.
        url: String,
        /// The cause in words.
        reason: String,
    },
    /// The peer answered with an error of its own.
    #[error("{url} answered {status}: {message}")]
    Refused {
        /// The URL called, without its query.
        url: String,
        /// HTTP status code.
        status: u16,
        /// What the peer said, shortened.
        message: String,
    },
    /// The answer is not what this API answers.
    #[error("{url} answered something else than expected: {reason}")]
    Malformed {
        /// The URL called, without its query.
        url: String,
        /// What could not be read.
        reason: String,
    },
}

/// A base URL and a connection pool.
#[derive(Clone)]
pub struct HttpClient {
    base: Url,
    http: reqwest::Client,
    token: Option<String>,
}

impl std::fmt::Debug for HttpClient {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client of the API below `base`, such as `http://127.0.0.1:9090`.
    pub fn new(base: Url) -> Self {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT_DEFAULT)
            .connect_timeout(Duration::from_secs(2))
            .build()
            .expect("a client without TLS and proxies has nothing to fail on");
        Self { base, http, token: None }
    }

    /// Sends this token with every call, as `Authorization: Bearer`.
    #[must_use]
    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// The base URL.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// GETs `path` below the base URL with query parameters and reads JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, CallError> {
        let url = self.url(path);
        let request = self.http.get(url.clone()).query(query);
        self.call(&url, request).await
    }

    /// POSTs a form and reads JSON.
    pub async fn post_form<T: DeserializeOwned>(&self, path: &str, form: &[(&str, &str)]) -> Result<T, CallError> {
        let url = self.url(path);
        let request = self.http.post(url.clone()).form(form);
        self.call(&url, request).await
    }

    /// POSTs JSON and reads JSON.
    pub async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<T, CallError> {
        let url = self.url(path);
        let request = self.http.post(url.clone()).json(body);
        self.call(&url, request).await
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}/{}", path.trim_start_matches('/')));
        url
    }

    async fn call<T: DeserializeOwned>(&self, url: &Url, request: reqwest::RequestBuilder) -> Result<T, CallError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let unreachable =
            |error: reqwest::Error| CallError::Unreachable { url: url.to_string(), reason: cause(&error) };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(CallError::Refused {
                url: url.to_string(),
                status: status.as_u16(),
                message: error_message(&body),
            });
        }
        serde_json::from_slice(&body)
            .map_err(|error| CallError::Malformed { url: url.to_string(), reason: error.to_string() })
    }
}

/// The innermost cause: "connection refused" says more than "error sending request".
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut current: &dyn std::error::Error = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}

/// The `error` field of a JSON body if there is one (Prometheus and our own APIs), else the start of the text.
fn error_message(body: &[u8]) -> String {
    let from_json = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|value| value.get("error").and_then(|e| e.as_str().map(str::to_owned)));
    from_json.unwrap_or_else(|| String::from_utf8_lossy(body).chars().take(200).collect())
}
