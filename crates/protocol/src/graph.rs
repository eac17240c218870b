//! `/api/v1/graph`: who calls whom, with rate, errors and latency of every service and edge over a window.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::http_client::{CallError, HttpClient};

/// Rate, errors and duration over the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Red {
    /// Requests a second.
    pub rate: f64,
    /// Those of them that had been sent before: work, and no demand. As far as their clients say so (`http.request.resend_count`).
    #[serde(default)]
    pub retry_rate: f64,
    /// Share of requests that failed, 0 to 1.
    pub error_ratio: f64,
    /// Milliseconds; `null` without requests.
    pub p50_ms: Option<f64>,
    /// Milliseconds; `null` without requests.
    pub p95_ms: Option<f64>,
    /// Milliseconds; `null` without requests.
    pub p99_ms: Option<f64>,
}

/// What a node of the graph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// Sends spans itself.
    Service,
    /// Known only from client spans with database attributes.
    Database,
    /// Known only from producer or consumer spans.
    MessagingSystem,
    /// Known only from its peers' spans.
    Virtual,
}

/// A service, or a peer known only from its clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// `service.name`.
    pub service: String,
    /// What it is.
    pub kind: NodeKind,
    /// Of the requests it served.
    #[serde(flatten)]
    pub red: Red,
    /// Share of requests that failed here although no call below them failed, 0 to 1.
    pub own_error_ratio: f64,
    /// Mean milliseconds of a request spent here and not in calls below; `null` without requests.
    pub own_time_ms: Option<f64>,
}

/// Calls from one service to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// Who calls.
    pub client: String,
    /// Who is called.
    pub server: String,
    /// As seen by the client.
    #[serde(flatten)]
    pub red: Red,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// Milliseconds since the epoch at the end of the window.
    pub at_ms: i64,
    /// Seconds that the rates cover.
    pub window_seconds: f64,
    /// Sorted by name.
    pub nodes: Vec<Node>,
    /// Sorted by client, then server.
    pub edges: Vec<Edge>,
}

/// A client of the collector's own API.
#[derive(Debug, Clone)]
pub struct GraphClient {
    http: HttpClient,
}

impl GraphClient {
    /// `base` is the collector's URL.
    pub fn new(base: Url) -> Self {
        Self { http: HttpClient::new(base) }
    }

    /// The graph over the last `window` seconds.
    pub async fn graph(&self, window_seconds: u64) -> Result<Graph, CallError> {
        let window = format!("{window_seconds}s");
        self.http.get("api/v1/graph", &[("window", &window)]).await
    }
}
