//! Answers and errors in Prometheus' envelope.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use protocol::prometheus::{
    Envelope, Histogram, HistogramBucket, HistogramPoint, InstantSeries, LabelMap, Point, QueryData as WireData,
    RangeSeries, format_value,
};
use serde::Serialize;

use crate::promql::{QueryData, QueryError, QueryOutput, histogram};
use crate::series::{self, HistogramSample, Labels, Sample};

/// Why a request has no answer, as Prometheus classes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    #[error("{0}")]
    BadData(String),
    #[error("{0}")]
    Execution(String),
    #[error("{0}")]
    Timeout(String),
    #[error("{0}")]
    Canceled(String),
    #[error("{0}")]
    Internal(String),
}

impl ApiError {
    /// A parameter that cannot be used.
    pub fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::BadData(format!("invalid parameter {name:?}: {reason}"))
    }

    fn class(&self) -> (&'static str, StatusCode) {
        match self {
            Self::BadData(_) => ("bad_data", StatusCode::BAD_REQUEST),
            Self::Execution(_) => ("execution", StatusCode::UNPROCESSABLE_ENTITY),
            Self::Timeout(_) => ("timeout", StatusCode::SERVICE_UNAVAILABLE),
            Self::Canceled(_) => ("canceled", StatusCode::SERVICE_UNAVAILABLE),
            Self::Internal(_) => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::Parse(_) => Self::parameter("query", error),
            QueryError::Execution(_) | QueryError::TooManySamples(_) | QueryError::TooManySeries(_) => {
                Self::Execution(error.to_string())
            }
            QueryError::Storage(_) => Self::Internal(error.to_string()),
            QueryError::Timeout => Self::Timeout(error.to_string()),
            QueryError::Cancelled => Self::Canceled(error.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (kind, status) = self.class();
        let envelope = Envelope::<()> {
            status: "error".to_owned(),
            data: None,
            error_type: Some(kind.to_owned()),
            error: Some(self.to_string()),
            warnings: Vec::new(),
            infos: Vec::new(),
        };
        match written(&envelope) {
            Ok(body) => json(status, body),
            Err(_) => status.into_response(),
        }
    }
}

/// A body that is JSON already.
pub(super) struct Json(pub Bytes);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        json(StatusCode::OK, self.0)
    }
}

fn json(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Writes an envelope.
fn written<T: Serialize>(envelope: &Envelope<T>) -> Result<Bytes, ApiError> {
    let body = serde_json::to_vec(envelope);
    body.map(Bytes::from).map_err(|error| ApiError::Internal(format!("the answer cannot be written: {error}")))
}

/// A successful answer.
pub(super) fn success<T: Serialize>(data: T) -> Result<Json, ApiError> {
    written(&Envelope::success(data)).map(Json)
}

/// A successful answer that may be one of many.
pub(super) fn success_with<T: Serialize>(data: T, warnings: Vec<String>) -> Result<Json, ApiError> {
    written(&Envelope { warnings, ..Envelope::success(data) }).map(Json)
}

/// What is said of an answer that has been cut to its limit.
pub(super) const TRUNCATED: &str = "results truncated due to limit";

/// The answer to a query, with at most `limit` series; zero is no limit.
pub(super) fn query_answer(output: QueryOutput, limit: usize) -> Result<Json, ApiError> {
    let mut warnings = output.warnings;
    let data = match output.data {
        QueryData::Scalar(sample) => WireData::Scalar(point(sample)),
        QueryData::Text { timestamp_ms, text } => WireData::String(Point(seconds(timestamp_ms), text)),
        QueryData::Vector(mut found) => {
            cut(&mut found, limit, &mut warnings);
            let series = found.into_iter();
            let series = series.map(|one| {
                let (value, histogram) = match one.point {
                    series::Point::Float(sample) => (point(sample), None),
                    series::Point::Histogram(sample) => (Point::absent(), Some(histogram_point(&sample))),
                };
                InstantSeries { metric: label_map(&one.labels), value, histogram }
            });
            WireData::Vector(series.collect())
        }
        QueryData::Matrix(mut found) => {
            cut(&mut found, limit, &mut warnings);
            let series = found.into_iter().map(|one| RangeSeries {
                metric: label_map(&one.labels),
                values: one.samples.into_iter().map(point).collect(),
                histograms: one.histograms.iter().map(histogram_point).collect(),
            });
            WireData::Matrix(series.collect())
        }
    };
    written(&Envelope { warnings, infos: output.infos, ..Envelope::success(data) }).map(Json)
}

/// Cuts to the limit, and says so; zero is no limit.
pub(super) fn cut<T>(found: &mut Vec<T>, limit: usize, warnings: &mut Vec<String>) {
    if limit > 0 && found.len() > limit {
        found.truncate(limit);
        warnings.push(TRUNCATED.to_owned());
    }
}

/// Labels as the API writes them.
pub(super) fn label_map(labels: &Labels) -> LabelMap {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn point(sample: Sample) -> Point {
    Point::new(seconds(sample.timestamp_ms), sample.value)
}

fn histogram_point(sample: &HistogramSample) -> HistogramPoint {
    let histogram = &sample.histogram;
    let filled = histogram::ascending(histogram).filter(|bucket| bucket.count != 0.0);
    HistogramPoint(
        seconds(sample.timestamp_ms),
        Histogram {
            count: format_value(histogram.count),
            sum: format_value(histogram.sum),
            buckets: filled.map(|bucket| histogram_bucket(&bucket)).collect(),
        },
    )
}

fn histogram_bucket(bucket: &histogram::Bucket) -> HistogramBucket {
    let bounds = match (bucket.lower_inclusive, bucket.upper_inclusive) {
        (false, true) => 0,
        (true, false) => 1,
        (false, false) => 2,
        (true, true) => 3,
    };
    HistogramBucket(bounds, format_value(bucket.lower), format_value(bucket.upper), format_value(bucket.count))
}

/// Seconds since the epoch.
#[expect(clippy::cast_precision_loss, reason = "times that matter are far below 2^53 ms")]
pub(super) fn seconds(timestamp_ms: i64) -> f64 {
    timestamp_ms as f64 / 1000.0
}
