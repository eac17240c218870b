//! `POST /api/v1/write`: remote write 1.0 and 2.0. Says 204 only when everything is stored, 400 for what must not be sent again
//! (with what was stored all the same), 429 when too much is in flight, 500 when the store cannot write.
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/> Start at `routes`.

mod batch;
mod cache;
mod write;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;

use self::write::Outcome;
pub use self::write::{Counts, Failed, MetadataSink, Writer};
use super::decode::{self, Message, Unreadable};
use crate::otlp::admission::{Admission, Admitted};

/// When a sender that was refused for pressure should come back: a request is stored in far less.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Of a request's bytes after decompression, how many times as much it takes while it is stored.
const BYTES_FACTOR: usize = 3;

/// `/api/v1/write`; without a writer it says how to get one.
pub fn routes(writer: Option<Arc<Writer>>) -> Router {
    match writer {
        Some(writer) => {
            let shared = Shared { writer, admission: Arc::default() };
            Router::new().route(PATH, post(write_request)).with_state(Arc::new(shared))
        }
        None => Router::new().route(PATH, post(async || (StatusCode::NOT_FOUND, OFF))),
    }
}

const PATH: &str = "/api/v1/write";

/// What a sender reads where nothing is taken in.
const OFF: &str = "this collector takes no pushed metrics; start it with --receive-metrics\n";

struct Shared {
    writer: Arc<Writer>,
    admission: Arc<Admission>,
}

/// Why a request is refused as a whole.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the content type must be application/x-protobuf, not {0:?}")]
    ContentType(String),
    #[error(
        "there is no message {0:?}; {v1} and {v2} are understood",
        v1 = Message::V1.name(),
        v2 = Message::V2.name()
    )]
    Message(String),
    #[error("the content encoding must be snappy, not {0:?}")]
    ContentEncoding(String),
    #[error("the body could not be read: {0}")]
    Body(String),
    #[error("the body is longer than {max} bytes, after decompression; send smaller requests", max = decode::REQUEST_BYTES_MAX)]
    TooLong,
    #[error("the body is not compressed as a snappy block: {0}")]
    Snappy(#[from] snap::Error),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("too much is in flight; try again later")]
    Busy,
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::ContentType(_) | Self::Message(_) | Self::ContentEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(_) | Self::TooLong | Self::Snappy(_) | Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

async fn write_request(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let counts = &shared.writer.counts;
    let (head, body) = request.into_parts();
    let message = match message(&head.headers) {
        Ok(message) => message,
        Err(refusal) => return refuse(counts, None, &refusal),
    };
    match receive(&shared, message, body).await {
        Ok(outcome) => answer(counts, message, &outcome),
        Err(refusal) => refuse(counts, Some(message), &refusal),
    }
}

fn refuse(counts: &Counts, message: Option<Message>, refusal: &Refusal) -> Response {
    counts.answered(refusal.status());
    let mut response = (refusal.status(), format!("{refusal}\n")).into_response();
    if matches!(refusal, Refusal::Busy) {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER.as_secs().into());
    }
    if message == Some(Message::V2) {
        written(response.headers_mut(), &Outcome::default());
    }
    response
}

fn answer(counts: &Counts, message: Message, outcome: &Outcome) -> Response {
    let mut response = match outcome.problem() {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(problem) => (StatusCode::BAD_REQUEST, format!("{problem}\n")).into_response(),
    };
    counts.answered(response.status());
    // A 1.0 sender does not know them, and the specification has them for 2.0 only.
    if message == Message::V2 {
        written(response.headers_mut(), outcome);
    }
    response
}

fn written(headers: &mut HeaderMap, outcome: &Outcome) {
    let mut say = |name, count: usize| headers.insert(name, HeaderValue::from(count));
    say("x-prometheus-remote-write-samples-written", outcome.samples);
    say("x-prometheus-remote-write-histograms-written", outcome.histograms);
    say("x-prometheus-remote-write-exemplars-written", outcome.exemplars);
}

/// Which message the body is, by its headers. Without any it is 1.0, compressed, as the oldest senders have it.
fn message(headers: &HeaderMap) -> Result<Message, Refusal> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?").trim());
    match text(header::CONTENT_ENCODING) {
        None | Some("") => {}
        Some(encoding) if encoding.eq_ignore_ascii_case("snappy") => {}
        Some(encoding) => return Err(Refusal::ContentEncoding(encoding.to_owned())),
    }
    let Some(content_type) = text(header::CONTENT_TYPE).filter(|text| !text.is_empty()) else { return Ok(Message::V1) };
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/x-protobuf")) {
        return Err(Refusal::ContentType(content_type.to_owned()));
    }
    for parameter in parts {
        let Some((name, value)) = parameter.split_once('=') else {
            return Err(Refusal::ContentType(content_type.to_owned()));
        };
        if name.eq_ignore_ascii_case("proto") {
            let value = value.trim_matches('"');
            let known = [Message::V1, Message::V2].into_iter().find(|message| message.name() == value);
            return known.ok_or_else(|| Refusal::Message(value.to_owned()));
        }
    }
    Ok(Message::V1)
}

async fn receive(shared: &Arc<Shared>, message: Message, body: Body) -> Result<Outcome, Refusal> {
    let admitted = shared.admission.admit().ok_or(Refusal::Busy)?;
    let packed = collect(body, &admitted).await?;
    let writer = shared.writer.clone();
    // Reading takes time, and writing may wait for the disk.
    let storing = tokio::task::spawn_blocking(move || {
        let plain = unpack(&packed, &admitted)?;
        drop(packed);
        writer.write(message, &plain)
    });
    storing.await.unwrap_or_else(|stopped| Err(Refusal::Body(stopped.to_string())))
}

async fn collect(mut body: Body, admitted: &Admitted) -> Result<Bytes, Refusal> {
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::Body(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if collected.len() + data.len() > decode::REQUEST_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        if !admitted.grow(data.len()) {
            return Err(Refusal::Busy);
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

/// The length stands in front, so nothing is made room for that is too long.
fn unpack(packed: &[u8], admitted: &Admitted) -> Result<Vec<u8>, Refusal> {
    let length = snap::raw::decompress_len(packed)?;
    if length > decode::REQUEST_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    if !admitted.grow(length * BYTES_FACTOR) {
        return Err(Refusal::Busy);
    }
    Ok(snap::raw::Decoder::new().decompress_vec(packed)?)
}

#[cfg(test)]
mod tests;
