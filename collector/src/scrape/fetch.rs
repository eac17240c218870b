//! One HTTP request to a target: headers as Prometheus sends them, redirects, the text within its limit. Reads no line of it.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use url::{Position, Url};

use super::gunzip::gunzip;
use crate::config::ScrapeJob;
use crate::config::protocols::Protocol;
use crate::discovery::target::Target;
use crate::exposition::MediaType;
use crate::transport::Transport;

/// How we name ourselves to targets and sources.
pub(crate) const USER_AGENT: &str = concat!("Plimsoll/", env!("CARGO_PKG_VERSION"));

/// Redirects that are followed: as Go's client.
const REDIRECTS_MAX: usize = 10;

/// The longest text that is read where no `body_size_limit` is set: far more than any honest target prints.
const BODY_BYTES_MAX: usize = 256 << 20;

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// It is longer than it may be.
    #[error("the text is longer than body_size_limit ({0} bytes)")]
    TooLong(usize),
    /// It did not come, or is no text of ours.
    #[error("{0}")]
    Failed(String),
}

impl From<String> for FetchError {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// The innermost cause: "connection refused" says more than "error sending request".
pub(crate) fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}

/// Fetches a target's text into `body`, which is emptied first. `compressed` is memory for what comes in compressed.
pub(super) async fn fetch(
    transport: &Transport,
    job: &ScrapeJob,
    target: &Target,
    body: &mut Vec<u8>,
    compressed: &mut Vec<u8>,
) -> Result<MediaType, FetchError> {
    body.clear();
    let body_bytes_max = job.limits.body_bytes.unwrap_or(BODY_BYTES_MAX);
    let answer = async {
        let response = answer(transport, job, target).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Failed(format!("the target answered {}", response.status())));
        }
        let media_type = media_type(response.headers(), job)?;
        if is_gzip(response.headers()) {
            compressed.clear();
            collect(response, body_bytes_max, compressed).await?;
            gunzip(compressed, body_bytes_max, body).map_err(|reason| format!("the text is no gzip: {reason}"))?;
            if body.len() > body_bytes_max {
                return Err(FetchError::TooLong(body_bytes_max));
            }
        } else {
            collect(response, body_bytes_max, body).await?;
        }
        Ok(media_type)
    };
    match tokio::time::timeout(target.timeout, answer).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {}", protocol::duration::Display(target.timeout)).into()),
    }
}

/// The target's answer, or that of the place it points to; asked once more if the credentials were refused and have changed.
async fn answer(transport: &Transport, job: &ScrapeJob, target: &Target) -> Result<Response<Incoming>, String> {
    let mut current = transport.current().await?;
    let (mut url, mut redirects, mut renewed) = (target.url.clone(), 0, false);
    loop {
        // Credentials are for the target, not for whom it points to.
        let is_own = url[Position::BeforeHost..Position::AfterPort] == *target.address();
        let response = match current.send(request(job, target, &url)?, is_own).await {
            Ok(response) if response.status() != StatusCode::UNAUTHORIZED || renewed => response,
            refused => {
                // Credentials and authorities rotate: with new ones, the same request may do.
                let fresh = if renewed { None } else { transport.renewed(&current).await };
                renewed = true;
                match fresh {
                    Some(fresh) => {
                        current = fresh;
                        continue;
                    }
                    None => refused?,
                }
            }
        };
        match redirected(&response, &url).filter(|_| job.follow_redirects) {
            Some(_) if redirects == REDIRECTS_MAX => {
                return Err(format!("the target redirects more than {REDIRECTS_MAX} times"));
            }
            Some(next) => (url, redirects) = (next, redirects + 1),
            None => return Ok(response),
        }
    }
}

fn request(job: &ScrapeJob, target: &Target, url: &Url) -> Result<Request<Full<Bytes>>, String> {
    let timeout = target.timeout.as_secs_f64().to_string();
    let mut request = Request::get(url.as_str())
        .header(header::ACCEPT, job.negotiation.accept())
        .header(header::USER_AGENT, USER_AGENT)
        .header("X-Prometheus-Scrape-Timeout-Seconds", timeout);
    if job.enable_compression {
        request = request.header(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    }
    request.body(Full::default()).map_err(|error| format!("{url} cannot be asked for: {error}"))
}

/// Where an answer points to.
fn redirected(response: &Response<Incoming>, from: &Url) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    from.join(location).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

/// How the answer is to be read.
fn media_type(headers: &HeaderMap, job: &ScrapeJob) -> Result<MediaType, String> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let announced = MediaType::from_content_type(content_type.unwrap_or_default());
    announced.or(job.negotiation.fallback.map(Protocol::media_type)).ok_or_else(|| match content_type {
        Some(other) => format!(
            "the target's Content-Type is {other:?}, which is no format for metrics; if they are in one nevertheless, name it in \
             fallback_scrape_protocol"
        ),
        None => "the target sends no Content-Type; name the format of its metrics in fallback_scrape_protocol".to_owned(),
    })
}

fn is_gzip(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"gzip"))
}

async fn collect(response: Response<Incoming>, body_bytes_max: usize, body: &mut Vec<u8>) -> Result<(), FetchError> {
    let mut incoming = response.into_body();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| cause(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        if body.len() + data.len() > body_bytes_max {
            return Err(FetchError::TooLong(body_bytes_max));
        }
        body.extend_from_slice(data);
    }
    Ok(())
}
