//! One HTTP request to a target: headers as Prometheus sends them, the text within its limit. Reads no line of it.

use std::time::Duration;

use http::header;

use crate::config::ScrapeJob;
use crate::discovery::target::Target;
use crate::exposition::Format;

/// How we name ourselves to targets and sources.
pub(crate) const USER_AGENT: &str = concat!("Plimsoll/", env!("CARGO_PKG_VERSION"));

/// Formats we read, the best first.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                      application/openmetrics-text;version=0.0.1;q=0.4,\
                      text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";

/// Redirects that are followed: as Go's client.
const REDIRECTS_MAX: usize = 10;

/// How long an idle connection is kept: longer than usual scrape intervals, as in Prometheus.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// The longest text that is read where no `body_size_limit` is set: far more than any honest target prints.
const BODY_BYTES_MAX: usize = 256 << 20;

/// The innermost cause: "connection refused" says more than "error sending request".
pub(crate) fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut current: &dyn std::error::Error = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}

/// A client for the targets of a job.
pub(super) fn client(job: &ScrapeJob) -> reqwest::Client {
    let redirects = if job.follow_redirects {
        reqwest::redirect::Policy::limited(REDIRECTS_MAX)
    } else {
        reqwest::redirect::Policy::none()
    };
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .gzip(job.enable_compression)
        .redirect(redirects)
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(1)
        .no_proxy()
        .build()
        .expect("a client without TLS and proxies has nothing to fail on")
}

/// Fetches a target's text into `body`, which is emptied first.
pub(super) async fn fetch(
    client: &reqwest::Client,
    target: &Target,
    body_bytes_max: Option<usize>,
    body: &mut Vec<u8>,
) -> Result<Format, String> {
    body.clear();
    let body_bytes_max = body_bytes_max.unwrap_or(BODY_BYTES_MAX);
    let request = client
        .get(target.url.clone())
        .header(header::ACCEPT, ACCEPT)
        .header("X-Prometheus-Scrape-Timeout-Seconds", target.timeout.as_secs_f64().to_string());
    let answer = async {
        let mut response = request.send().await.map_err(|error| cause(&error))?;
        if response.status() != http::StatusCode::OK {
            return Err(format!("the target answered {}", response.status()));
        }
        let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let format = Format::from_content_type(content_type.unwrap_or_default()).ok_or_else(|| match content_type {
            Some(other) => format!("the target's Content-Type is {other:?}, which is no format for metrics"),
            None => "the target sends no Content-Type".to_owned(),
        })?;
        while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
            if body.len() + chunk.len() > body_bytes_max {
                return Err(format!("the text is longer than body_size_limit ({body_bytes_max} bytes)"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(format)
    };
    match tokio::time::timeout(target.timeout, answer).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {}", protocol::duration::Display(target.timeout))),
    }
}
