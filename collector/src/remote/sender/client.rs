//! One request to a receiver, and what its answer means. Knows no queue.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};

use crate::config::remote_write::{RemoteMessage, RemoteWrite};
use crate::scrape::USER_AGENT;
use crate::transport::Transport;

/// How much of an answer is kept to be told.
const REASON_BYTES_MAX: usize = 512;

/// How much of an answer is read, so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// All is written.
    Written,
    /// It must not be sent again.
    Refused(String),
    /// It must be sent again, not before the wait that the receiver asks for.
    Again(String, Option<Duration>),
}

/// Sends requests over connections of its own.
pub struct Client {
    transport: Transport,
}

impl Client {
    pub fn new(config: &RemoteWrite) -> Self {
        Self { transport: Transport::new(config.http.clone()) }
    }

    /// Sends a compressed message.
    pub async fn send(&self, config: &RemoteWrite, body: Bytes, attempt: u32, has_samples: bool) -> Answer {
        let sending = self.exchange(config, body, attempt);
        match tokio::time::timeout(config.timeout, sending).await {
            Err(_) => {
                let timeout = protocol::duration::Display(config.timeout);
                Answer::Again(format!("no answer within {timeout}"), None)
            }
            Ok(Err(reason)) => Answer::Again(reason, None),
            Ok(Ok((status, headers, text))) => judge(config, status, &headers, &text, has_samples),
        }
    }

    async fn exchange(
        &self,
        config: &RemoteWrite,
        body: Bytes,
        attempt: u32,
    ) -> Result<(StatusCode, HeaderMap, String), String> {
        let mut current = self.transport.current().await?;
        let mut response = current.send(request(config, body.clone(), attempt)?, true).await?;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(renewed) = self.transport.renewed(&current).await
        {
            current = renewed;
            response = current.send(request(config, body, attempt)?, true).await?;
        }
        let (head, mut incoming) = response.into_parts();
        let (mut text, mut read) = (Vec::new(), 0);
        while let Some(Ok(frame)) = incoming.frame().await {
            let Some(data) = frame.data_ref() else { continue };
            read += data.len();
            let room = REASON_BYTES_MAX.saturating_sub(text.len()).min(data.len());
            text.extend_from_slice(&data[..room]);
            if read > ANSWER_BYTES_MAX {
                break;
            }
        }
        Ok((head.status, head.headers, String::from_utf8_lossy(&text).trim().to_owned()))
    }
}

fn request(config: &RemoteWrite, body: Bytes, attempt: u32) -> Result<Request<Full<Bytes>>, String> {
    let (content_type, version) = match config.message {
        RemoteMessage::V1 => ("application/x-protobuf", "0.1.0"),
        RemoteMessage::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
    };
    let mut request = Request::post(config.url.as_str())
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CONTENT_ENCODING, "snappy")
        .header(header::USER_AGENT, USER_AGENT)
        .header("X-Prometheus-Remote-Write-Version", version);
    if attempt > 0 {
        request = request.header("Retry-Attempt", attempt);
    }
    let mut request =
        request.body(Full::new(body)).map_err(|error| format!("{} cannot be called: {error}", config.url))?;
    request.headers_mut().extend(config.headers.iter().cloned());
    Ok(request)
}

fn judge(config: &RemoteWrite, status: StatusCode, headers: &HeaderMap, text: &str, has_samples: bool) -> Answer {
    if status.is_success() {
        // A receiver of 1.0 reads nothing in a message of 2.0, and takes that well.
        let has_said = headers.keys().any(|name| name.as_str().starts_with("x-prometheus-remote-write-"));
        if config.message == RemoteMessage::V2 && has_samples && !has_said {
            let remedy = "set protobuf_message to prometheus.WriteRequest";
            return Answer::Refused(format!("the receiver does not understand remote write 2.0; {remedy}"));
        }
        return Answer::Written;
    }
    let reason = format!("the receiver answered {status}: {text}");
    let is_retried = status == StatusCode::TOO_MANY_REQUESTS && config.queue.retry_on_429;
    if status.is_server_error() || is_retried {
        return Answer::Again(reason, headers.get(header::RETRY_AFTER).and_then(retry_after));
    }
    Answer::Refused(reason)
}

/// The longest wait that a receiver may ask for: it must not be able to stop us for good.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Seconds, or a date as HTTP has it.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let seconds = text.parse::<u64>().ok().map(Duration::from_secs).or_else(|| {
        let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Duration::try_from(at.duration_since(jiff::Timestamp::now())).ok()
    });
    seconds.map(|wait| wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests;
