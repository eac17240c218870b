//! The Prometheus HTTP API: its envelope and result types, and a client for any compatible server
//! (our collector, Prometheus, Mimir, Thanos, VictoriaMetrics). <https://prometheus.io/docs/prometheus/latest/querying/api/>

use std::collections::BTreeMap;

use serde::ser::SerializeTuple;
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::http_client::{CallError, HttpClient};
use crate::number::{self, Exponent};

mod histogram;

pub use self::histogram::{Histogram, HistogramBucket, HistogramPoint};

/// Label names to values; the metric's name is under `__name__`.
pub type LabelMap = BTreeMap<String, String>;

/// A sample as the API writes it: seconds since the epoch, and the value as text so that NaN and Inf survive JSON.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Point(pub f64, pub String);

impl Serialize for Point {
    /// Whole seconds are written without a point, as Prometheus does.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_pair(self.0, &self.1, serializer)
    }
}

/// `[seconds, value]`, whole seconds without a point.
fn serialize_pair<V: Serialize, S: Serializer>(seconds: f64, value: &V, serializer: S) -> Result<S::Ok, S::Error> {
    let mut pair = serializer.serialize_tuple(2)?;
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
    if seconds.fract() == 0.0 && seconds.abs() < 9_007_199_254_740_992.0 {
        pair.serialize_element(&(seconds as i64))?;
    } else {
        pair.serialize_element(&seconds)?;
    }
    pair.serialize_element(value)?;
    pair.end()
}

impl Point {
    /// Writes a value as Prometheus does: `NaN`, `+Inf`, `-Inf`, else the shortest decimal that reads back.
    pub fn new(seconds: f64, value: f64) -> Self {
        Self(seconds, number::text(value, Exponent::Json))
    }

    /// Stands where a series has a histogram and no number: NaN, at no time. It is never written.
    pub fn absent() -> Self {
        Self::new(f64::NAN, f64::NAN)
    }

    /// Whether it stands for no number.
    pub fn is_absent(&self) -> bool {
        self.0.is_nan()
    }

    /// Seconds since the epoch.
    pub fn seconds(&self) -> f64 {
        self.0
    }

    /// The value; unreadable text is NaN.
    pub fn value(&self) -> f64 {
        match self.1.as_str() {
            "+Inf" | "Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            text => text.parse().unwrap_or(f64::NAN),
        }
    }
}

/// One series of an instant vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstantSeries {
    /// The series' labels.
    pub metric: LabelMap,
    /// Its sample at the evaluation time; [`Point::absent`] if that is a histogram.
    #[serde(default = "Point::absent", skip_serializing_if = "Point::is_absent")]
    pub value: Point,
    /// The sample, if it is a native histogram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<HistogramPoint>,
}

/// One series of a range result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RangeSeries {
    /// The series' labels.
    pub metric: LabelMap,
    /// Its numbers in order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Point>,
    /// Its native histograms in order of time; a series may have both kinds, at different times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub histograms: Vec<HistogramPoint>,
}

/// The `data` of `/api/v1/query` and `/api/v1/query_range`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub enum QueryData {
    /// One sample a series, all at one time.
    Vector(Vec<InstantSeries>),
    /// Samples over a range.
    Matrix(Vec<RangeSeries>),
    /// A number.
    Scalar(Point),
    /// A text.
    String(Point),
}

/// The envelope of every answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// `success` or `error`.
    pub status: String,
    /// The answer; absent on error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<T>,
    /// Kind of error: `bad_data`, `execution`, `timeout`, `canceled`, `internal`, `unavailable`, `not_found`.
    #[serde(rename = "errorType", default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// The error in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Things that are off but did not stop the query.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Notes about the query, such as `rate` over a gauge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub infos: Vec<String>,
}

impl<T> Envelope<T> {
    /// A successful answer.
    pub fn success(data: T) -> Self {
        Self {
            status: "success".to_owned(),
            data: Some(data),
            error_type: None,
            error: None,
            warnings: Vec::new(),
            infos: Vec::new(),
        }
    }
}

/// `/api/v1/targets`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Targets {
    /// Targets that are scraped.
    pub active_targets: Vec<ActiveTarget>,
    /// Targets that are not scraped, by their discovered labels.
    #[serde(default)]
    pub dropped_targets: Vec<DroppedTarget>,
    /// How many were dropped in each scrape pool.
    #[serde(default)]
    pub dropped_target_counts: BTreeMap<String, u64>,
}

/// A target that was found and is not scraped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DroppedTarget {
    /// Labels before relabelling.
    pub discovered_labels: LabelMap,
    /// Ours: why: `relabelling`, `shard` (another collector scrapes it), `invalid` (no address, or a wrong one).
    #[serde(default)]
    pub reason: String,
}

/// A scraped target and how its last scrape went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveTarget {
    /// Labels before relabelling.
    pub discovered_labels: LabelMap,
    /// Labels put on every sample of the target.
    pub labels: LabelMap,
    /// Name of its scrape configuration.
    pub scrape_pool: String,
    /// What is fetched.
    pub scrape_url: String,
    /// The same, as reachable from elsewhere.
    pub global_url: String,
    /// Why the last scrape failed; empty if it did not.
    pub last_error: String,
    /// RFC 3339 time of the last scrape.
    pub last_scrape: String,
    /// Seconds the last scrape took.
    pub last_scrape_duration: f64,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// Prometheus duration.
    pub scrape_interval: String,
    /// Prometheus duration.
    pub scrape_timeout: String,
    /// Ours: samples of the last scrape.
    #[serde(default)]
    pub last_scrape_samples: u64,
    /// Ours: lines of the last scrape that could not be read, and were left out.
    #[serde(default)]
    pub last_scrape_problems: u64,
    /// Ours: the first such line with its problem; empty if there was none.
    #[serde(default)]
    pub last_problem: String,
    /// Ours: bytes of the last text, decompressed.
    #[serde(default)]
    pub last_scrape_bytes: u64,
    /// Ours: series that the target holds since the last scrape.
    #[serde(default)]
    pub last_scrape_series: u64,
    /// Ours: samples of new series in the last scrape that `series_limit` had no room for, and that were left out.
    #[serde(default)]
    pub last_scrape_series_shed: u64,
    /// Ours: why they were, the first of them, and what to do; empty if there were none.
    #[serde(default)]
    pub last_shed: String,
    /// Ours: bytes that a text may have; 0 is no limit.
    #[serde(default)]
    pub body_size_limit: u64,
    /// Ours: samples that a scrape may have; 0 is no limit.
    #[serde(default)]
    pub sample_limit: u64,
    /// Ours: series that the target may hold; 0 is no limit.
    #[serde(default)]
    pub series_limit: u64,
}

/// A client for any Prometheus-compatible server.
#[derive(Debug, Clone)]
pub struct PrometheusClient {
    http: HttpClient,
}

impl PrometheusClient {
    /// `base` is what Grafana calls the server's URL, such as `http://127.0.0.1:9090`.
    pub fn new(base: Url) -> Self {
        Self { http: HttpClient::new(base) }
    }

    /// The server's URL.
    pub fn base(&self) -> &Url {
        self.http.base()
    }

    /// Evaluates `query` at `time` (seconds since the epoch), or now.
    pub async fn query(&self, query: &str, time: Option<f64>) -> Result<QueryData, CallError> {
        let time = time.map(|t| t.to_string());
        let mut form = vec![("query", query)];
        if let Some(time) = &time {
            form.push(("time", time));
        }
        self.data("api/v1/query", &form).await
    }

    /// Evaluates `query` from `start` to `end` (seconds since the epoch) every `step` seconds.
    pub async fn query_range(&self, query: &str, start: f64, end: f64, step: f64) -> Result<QueryData, CallError> {
        let (start, end, step) = (start.to_string(), end.to_string(), step.to_string());
        let form = [("query", query), ("start", &start), ("end", &end), ("step", &step)];
        self.data("api/v1/query_range", &form).await
    }

    /// What the server scrapes.
    pub async fn targets(&self) -> Result<Targets, CallError> {
        let envelope: Envelope<Targets> = self.http.get("api/v1/targets", &[("state", "active")]).await?;
        self.unwrap_envelope("api/v1/targets", envelope)
    }

    async fn data(&self, path: &str, form: &[(&str, &str)]) -> Result<QueryData, CallError> {
        let envelope: Envelope<QueryData> = self.http.post_form(path, form).await?;
        self.unwrap_envelope(path, envelope)
    }

    fn unwrap_envelope<T>(&self, path: &str, envelope: Envelope<T>) -> Result<T, CallError> {
        envelope.data.ok_or_else(|| CallError::Malformed {
            url: format!("{}{path}", self.http.base()),
            reason: envelope.error.unwrap_or_else(|| "no data in the answer".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_prometheus_answers() {
        let text = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"__name__":"up"},"value":[1435781451.781,"+Inf"]}]}}"#;
        let envelope: Envelope<QueryData> = serde_json::from_str(text).unwrap();
        let Some(QueryData::Vector(series)) = envelope.data else { panic!("not a vector") };
        assert_eq!(series[0].value.value(), f64::INFINITY);
    }

    #[test]
    fn whole_seconds_are_written_without_a_point() {
        let points = [Point::new(1_435_781_451.0, 1.0), Point::new(1_435_781_451.781, 1.0)];
        assert_eq!(serde_json::to_string(&points).unwrap(), r#"[[1435781451,"1"],[1435781451.781,"1"]]"#);
    }

    #[test]
    fn values_survive_the_text_form() {
        for value in [0.0, -0.1, 1e300, 5e-324, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Point::new(0.0, value).value(), value);
        }
        assert!(Point::new(0.0, f64::NAN).value().is_nan());
    }
}
