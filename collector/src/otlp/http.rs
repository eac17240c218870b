//! OTLP over HTTP: `POST /v1/traces` and `/v1/metrics`, protobuf or JSON, plain or gzip; answers in the request's content type.

use std::io::Read;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::admission::{Admission, Admitted, Refused};
use super::metrics::MetricSink;
use super::status::{Code, RpcStatus};
use super::{BLOCKING_BYTES_MIN, REQUEST_BYTES_MAX, RETRY_AFTER};
use crate::traces::SpanSink;

/// The same for packed bodies, which may unpack to a thousand times as much.
const BLOCKING_PACKED_BYTES_MIN: usize = 16 << 10;

/// The routes `/v1/traces` and `/v1/metrics`; without a sink for metrics that says how to get one.
pub fn http_routes(spans: Arc<SpanSink>, metrics: Option<Arc<MetricSink>>) -> Router {
    Router::new().route("/v1/traces", post(export)).with_state(spans).merge(metric_routes("/v1/metrics", metrics))
}

/// The same for metrics where Prometheus has it.
pub fn prometheus_routes(metrics: Option<Arc<MetricSink>>) -> Router {
    metric_routes("/api/v1/otlp/v1/metrics", metrics)
}

fn metric_routes(path: &str, metrics: Option<Arc<MetricSink>>) -> Router {
    match metrics {
        Some(metrics) => Router::new().route(path, post(export_metrics)).with_state(metrics),
        None => Router::new().route(path, post(async || (StatusCode::NOT_FOUND, METRICS_OFF))),
    }
}

/// What an exporter is told where metrics are not taken in.
pub(super) const METRICS_OFF: &str = "this collector takes no pushed metrics; start it with --receive-metrics\n";

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(Self::Protobuf.content_type()) {
            Some(Self::Protobuf)
        } else if essence.eq_ignore_ascii_case(Self::Json.content_type()) {
            Some(Self::Json)
        } else {
            None
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    fn write(self, status: StatusCode, protobuf: &impl Message, json: &impl Serialize) -> Response {
        let body = match self {
            Self::Protobuf => protobuf.encode_to_vec(),
            Self::Json => serde_json::to_vec(json).unwrap_or_default(),
        };
        (status, [(header::CONTENT_TYPE, self.content_type())], body).into_response()
    }
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the content type must be application/x-protobuf or application/json")]
    ContentType,
    #[error("the content encoding must be gzip or identity, not {0:?}")]
    ContentEncoding(String),
    #[error("the body could not be read: {0}")]
    Unreadable(String),
    #[error("the body is no OTLP request of its kind: {0}")]
    Malformed(String),
    #[error("the body is larger than {REQUEST_BYTES_MAX} bytes, after decompression")]
    TooLarge,
    #[error("too many requests are in flight")]
    Busy,
    #[error("{0}; try again later")]
    Failed(String),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::ContentType | Self::ContentEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unreadable(_) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy | Self::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn reason(&self) -> Refused {
        match self {
            Self::TooLarge => Refused::TooLarge,
            Self::Busy | Self::Failed(_) => Refused::Busy,
            Self::ContentType | Self::ContentEncoding(_) | Self::Unreadable(_) | Self::Malformed(_) => {
                Refused::Malformed
            }
        }
    }

    fn into_response(self, admission: &Admission, encoding: Encoding) -> Response {
        admission.refuse(self.reason());
        if matches!(self, Self::Busy | Self::Failed(_)) {
            let body = RpcStatus::retry_after(self.to_string(), RETRY_AFTER);
            let mut response = encoding.write(self.status(), &body, &body);
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER.as_secs().into());
            return response;
        }
        let body = RpcStatus::new(Code::InvalidArgument, self.to_string());
        encoding.write(self.status(), &body, &body)
    }
}

async fn export(State(sink): State<Arc<SpanSink>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Some(encoding) = Encoding::of(&head.headers) else {
        return Refusal::ContentType.into_response(sink.admission(), Encoding::Json);
    };
    let taking = {
        let sink = Arc::clone(&sink);
        move |plain: Bytes| {
            let protobuf = match encoding {
                Encoding::Protobuf => plain,
                Encoding::Json => decode::<ExportTraceServiceRequest>(&plain, encoding)?.encode_to_vec().into(),
            };
            super::receive(&sink, &protobuf).map_err(|error| Refusal::Malformed(error.to_string()))
        }
    };
    match receive(sink.admission(), &head.headers, body, taking).await {
        Ok(answer) => encoding.write(StatusCode::OK, &answer, &json_answer(&answer)),
        Err(refusal) => refusal.into_response(sink.admission(), encoding),
    }
}

async fn export_metrics(State(sink): State<Arc<MetricSink>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Some(encoding) = Encoding::of(&head.headers) else {
        return Refusal::ContentType.into_response(sink.admission(), Encoding::Json);
    };
    let stored = async {
        let decoding = move |plain: Bytes| decode::<ExportMetricsServiceRequest>(&plain, encoding);
        let request = receive(sink.admission(), &head.headers, body, decoding).await?;
        // Writing may wait for the disk.
        let sink = Arc::clone(&sink);
        let storing = tokio::task::spawn_blocking(move || sink.receive(request));
        let stored = storing.await.map_err(|stopped| Refusal::Failed(stopped.to_string()))?;
        stored.map_err(|failed| Refusal::Failed(failed.to_string()))
    };
    match stored.await {
        Ok(answer) => encoding.write(StatusCode::OK, &answer, &json_metrics_answer(&answer)),
        Err(refusal) => refusal.into_response(sink.admission(), encoding),
    }
}

/// As [`json_answer`].
fn json_metrics_answer(answer: &ExportMetricsServiceResponse) -> serde_json::Value {
    match &answer.partial_success {
        None => json!({}),
        Some(partial) => json!({ "partialSuccess": {
            "rejectedDataPoints": partial.rejected_data_points.to_string(),
            "errorMessage": partial.error_message,
        }}),
    }
}

/// Protobuf's JSON form: what is unset is left out, 64-bit numbers are texts.
fn json_answer(answer: &ExportTraceServiceResponse) -> serde_json::Value {
    match &answer.partial_success {
        None => json!({}),
        Some(partial) => json!({ "partialSuccess": {
            "rejectedSpans": partial.rejected_spans.to_string(),
            "errorMessage": partial.error_message,
        }}),
    }
}

/// Reads a body and does with it what is to be done, on a thread of its own if it is long.
async fn receive<T: Send + 'static>(
    admission: &Arc<Admission>,
    headers: &HeaderMap,
    body: Body,
    take: impl FnOnce(Bytes) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let is_gzip = is_gzip(headers)?;
    let admitted = admission.admit().ok_or(Refusal::Busy)?;
    let body = collect(body, &admitted).await?;
    let is_long = body.len() >= if is_gzip { BLOCKING_PACKED_BYTES_MIN } else { BLOCKING_BYTES_MIN };
    let taking = move || {
        let plain = if is_gzip { unpack(&body, &admitted)? } else { body };
        take(plain)
    };
    if !is_long {
        return taking();
    }
    let taking = tokio::task::spawn_blocking(taking);
    taking.await.unwrap_or_else(|stopped| Err(Refusal::Unreadable(stopped.to_string())))
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Refusal> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(false) };
    match value.to_str().unwrap_or("?").trim() {
        "gzip" => Ok(true),
        "identity" | "" => Ok(false),
        other => Err(Refusal::ContentEncoding(other.to_owned())),
    }
}

async fn collect(mut body: Body, admitted: &Admitted) -> Result<Bytes, Refusal> {
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::Unreadable(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if collected.len() + data.len() > REQUEST_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        if !admitted.grow(data.len()) {
            return Err(Refusal::Busy);
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

fn unpack(packed: &[u8], admitted: &Admitted) -> Result<Bytes, Refusal> {
    const CHUNK_BYTES: usize = 64 << 10;
    let mut decoder = MultiGzDecoder::new(packed);
    let mut plain = Vec::new();
    loop {
        let before = plain.len();
        let chunk = decoder.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut plain);
        let read = chunk.map_err(|error| Refusal::Unreadable(error.to_string()))?;
        if read == 0 {
            return Ok(plain.into());
        }
        if plain.len() > REQUEST_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        if !admitted.grow(plain.len() - before) {
            return Err(Refusal::Busy);
        }
    }
}

fn decode<M: Message + Default + DeserializeOwned>(body: &[u8], encoding: Encoding) -> Result<M, Refusal> {
    match encoding {
        Encoding::Protobuf => M::decode(body).map_err(|e| Refusal::Malformed(e.to_string())),
        Encoding::Json => serde_json::from_slice(body).map_err(|e| Refusal::Malformed(e.to_string())),
    }
}

#[cfg(test)]
mod tests;
