//! The Jaeger query API's JSON (the shapes that Grafana's Jaeger data source decodes) and a client for it.
//! Source of the shapes: Jaeger's `internal/uimodel`. Times are microseconds since the epoch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::http_client::{CallError, HttpClient};

/// The envelope of every answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer<T> {
    /// The answer.
    pub data: T,
    /// How many there are.
    pub total: usize,
    /// The limit asked for, 0 when none.
    pub limit: usize,
    /// Always 0: there is no paging.
    pub offset: usize,
    /// What went wrong; `null` when nothing did.
    pub errors: Option<Vec<ApiError>>,
}

/// An error inside an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiError {
    /// HTTP status code.
    pub code: u16,
    /// In words.
    pub msg: String,
}

/// All known spans of one trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// 32 hexadecimal digits.
    #[serde(rename = "traceID")]
    pub trace_id: String,
    /// In order of start.
    pub spans: Vec<Span>,
    /// What the spans' `process_id` refers to.
    pub processes: BTreeMap<String, Process>,
    /// Oddities of the trace.
    pub warnings: Option<Vec<String>>,
}

/// One span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// 32 hexadecimal digits.
    #[serde(rename = "traceID")]
    pub trace_id: String,
    /// 16 hexadecimal digits.
    #[serde(rename = "spanID")]
    pub span_id: String,
    /// Name of the span.
    pub operation_name: String,
    /// The parent (`CHILD_OF`) and links (`FOLLOWS_FROM`).
    pub references: Vec<Reference>,
    /// Microseconds since the epoch.
    pub start_time: u64,
    /// Microseconds.
    pub duration: u64,
    /// Attributes; `error=true` and `span.kind` are among them.
    pub tags: Vec<Tag>,
    /// Events of the span.
    pub logs: Vec<Log>,
    /// Key into [`Trace::processes`].
    #[serde(rename = "processID")]
    pub process_id: String,
    /// Oddities of the span.
    pub warnings: Option<Vec<String>>,
}

/// A reference to another span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// `CHILD_OF` or `FOLLOWS_FROM`.
    pub ref_type: String,
    /// Trace of the other span.
    #[serde(rename = "traceID")]
    pub trace_id: String,
    /// The other span.
    #[serde(rename = "spanID")]
    pub span_id: String,
}

/// An attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tag {
    /// Name.
    pub key: String,
    /// `string`, `bool`, `int64`, `float64` or `binary`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The value in the JSON type that fits.
    pub value: serde_json::Value,
}

/// An event of a span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// Microseconds since the epoch.
    pub timestamp: u64,
    /// Its name (`event`) and attributes.
    pub fields: Vec<Tag>,
}

/// Who made a span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// `service.name`.
    pub service_name: String,
    /// Resource attributes.
    pub tags: Vec<Tag>,
}

impl Trace {
    /// The service that made a span of this trace.
    pub fn service_of(&self, span: &Span) -> &str {
        self.processes.get(&span.process_id).map_or("", |p| p.service_name.as_str())
    }
}

impl Span {
    /// The parent inside the same trace.
    pub fn parent_id(&self) -> Option<&str> {
        self.references.iter().find(|r| r.ref_type == "CHILD_OF").map(|r| r.span_id.as_str())
    }

    /// Whether the span ended in an error (`error=true`).
    pub fn is_error(&self) -> bool {
        self.tags.iter().any(|t| t.key == "error" && t.value == serde_json::Value::Bool(true))
    }
}

/// What to search for; empty fields do not restrict.
#[derive(Debug, Clone, Default)]
pub struct TraceSearch {
    /// Service of any span of the trace.
    pub service: String,
    /// Name of a span of that service.
    pub operation: String,
    /// Attributes that a span of that service has, such as `error=true`.
    pub tags: BTreeMap<String, String>,
    /// At most so many traces, newest first; 0 is the server's default (20).
    pub limit: usize,
    /// Microseconds since the epoch; 0 is open.
    pub start_us: u64,
    /// Microseconds since the epoch; 0 is open.
    pub end_us: u64,
}

/// A client of the Jaeger query API.
#[derive(Debug, Clone)]
pub struct JaegerClient {
    http: HttpClient,
}

impl JaegerClient {
    /// `base` is the URL below which `/api/traces` is.
    pub fn new(base: Url) -> Self {
        Self { http: HttpClient::new(base) }
    }

    /// Services that have sent spans.
    pub async fn services(&self) -> Result<Vec<String>, CallError> {
        Ok(self.http.get::<Answer<Vec<String>>>("api/services", &[]).await?.data)
    }

    /// Traces that match, newest first.
    pub async fn search(&self, search: &TraceSearch) -> Result<Vec<Trace>, CallError> {
        let tags = serde_json::to_string(&search.tags).unwrap_or_default();
        let (limit, start, end) = (search.limit.to_string(), search.start_us.to_string(), search.end_us.to_string());
        let mut query = vec![("service", search.service.as_str())];
        for (name, value, is_set) in [
            ("operation", search.operation.as_str(), !search.operation.is_empty()),
            ("tags", tags.as_str(), !search.tags.is_empty()),
            ("limit", limit.as_str(), search.limit > 0),
            ("start", start.as_str(), search.start_us > 0),
            ("end", end.as_str(), search.end_us > 0),
        ] {
            if is_set {
                query.push((name, value));
            }
        }
        Ok(self.http.get::<Answer<Vec<Trace>>>("api/traces", &query).await?.data)
    }

    /// One trace by its id; an unknown one is [`CallError::Refused`] with status 404.
    pub async fn trace(&self, trace_id: &str) -> Result<Option<Trace>, CallError> {
        let path = format!("api/traces/{trace_id}");
        Ok(self.http.get::<Answer<Vec<Trace>>>(&path, &[]).await?.data.into_iter().next())
    }
}
