//! A collector that runs, and a target that prints what a test tells it to.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use collector::store::OpenStoreError;
use collector::{Collector, Endpoints, Options, StartError, StatsHandle};
use lifecycle::CancellationToken;
use parking_lot::Mutex;
use protocol::prometheus::{Envelope, LabelMap, PrometheusClient, QueryData, Targets};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(15);

/// What a target does.
#[derive(Clone)]
pub struct Target {
    pub address: String,
    state: Arc<Mutex<TargetState>>,
}

struct TargetState {
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
    compressed: bool,
    last_headers: HeaderMap,
}

impl Target {
    pub async fn start(tasks: &mut JoinSet<()>) -> Self {
        let state = Arc::new(Mutex::new(TargetState {
            status: StatusCode::OK,
            content_type: "text/plain; version=0.0.4",
            body: Vec::new(),
            compressed: false,
            last_headers: HeaderMap::new(),
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let routes = Router::new().route("/metrics", get(answer)).with_state(state.clone());
        tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, state }
    }

    pub fn prints(&self, body: &str) {
        let mut state = self.state.lock();
        state.status = StatusCode::OK;
        body.as_bytes().clone_into(&mut state.body);
    }

    pub fn prints_as(&self, content_type: &'static str, body: &str) {
        self.prints(body);
        self.state.lock().content_type = content_type;
    }

    /// Answers with bytes of any format.
    pub fn answers(&self, content_type: &'static str, body: &[u8]) {
        let mut state = self.state.lock();
        (state.status, state.content_type) = (StatusCode::OK, content_type);
        body.clone_into(&mut state.body);
    }

    /// Answers with gzip, if that is accepted.
    pub fn compresses(&self) {
        self.state.lock().compressed = true;
    }

    pub fn fails(&self) {
        self.state.lock().status = StatusCode::INTERNAL_SERVER_ERROR;
    }

    pub fn last_headers(&self) -> HeaderMap {
        self.state.lock().last_headers.clone()
    }
}

async fn answer(State(state): State<Arc<Mutex<TargetState>>>, headers: HeaderMap) -> Response {
    let mut state = state.lock();
    state.last_headers = headers;
    let accepts = |name: &str| state.last_headers.get(header::ACCEPT_ENCODING).is_some_and(|value| value == name);
    if state.compressed && accepts("gzip") {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&state.body).unwrap();
        let headers = [(header::CONTENT_TYPE, state.content_type), (header::CONTENT_ENCODING, "gzip")];
        return (state.status, headers, gzip.finish().unwrap()).into_response();
    }
    (state.status, [(header::CONTENT_TYPE, state.content_type)], state.body.clone()).into_response()
}

/// A running collector.
pub struct Running {
    pub endpoints: Endpoints,
    pub client: PrometheusClient,
    pub stats: StatsHandle,
    shutdown: CancellationToken,
}

impl Running {
    pub async fn start(tasks: &mut JoinSet<()>, folder: &Path, config: &str) -> Self {
        Self::start_with(tasks, folder, config, |_| {}).await
    }

    /// With other options than usual.
    pub async fn start_with(
        tasks: &mut JoinSet<()>,
        folder: &Path,
        config: &str,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let file = folder.join("scrape.yml");
        std::fs::write(&file, config).unwrap();
        let mut options = options(&file, folder);
        change(&mut options);
        let collector = bind(options).await;
        let endpoints = collector.endpoints();
        let shutdown = CancellationToken::new();
        let stats = collector.stats();
        let running = collector.run(shutdown.clone());
        tasks.spawn(async move { running.await.unwrap() });
        let client = PrometheusClient::new(format!("http://{}", endpoints.http).parse().unwrap());
        Self { endpoints, client, stats, shutdown }
    }

    pub fn stop(&self) {
        self.shutdown.cancel();
    }

    /// The result of an instant query, by what `label` holds.
    pub async fn query(&self, query: &str) -> Vec<(LabelMap, f64)> {
        match self.client.query(query, None).await.unwrap() {
            QueryData::Vector(series) => series.into_iter().map(|s| (s.metric, s.value.value())).collect(),
            other => panic!("{query}: {other:?}"),
        }
    }

    /// Waits until a query gives one series with this value.
    pub async fn becomes(&self, query: &str, value: f64) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let found = self.query(query).await;
            if matches!(found.as_slice(), [(_, only)] if *only == value) {
                return;
            }
            assert!(Instant::now() < deadline, "{query} did not become {value}: {found:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a query gives nothing.
    pub async fn ends(&self, query: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.query(query).await.is_empty() {
            assert!(Instant::now() < deadline, "{query} did not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Targets, also those that are not scraped.
    pub async fn all_targets(&self) -> Targets {
        let envelope: Envelope<Targets> = serde_json::from_str(&self.get("/api/v1/targets").await.1).unwrap();
        envelope.data.unwrap()
    }

    pub async fn post(&self, path: &str) -> (StatusCode, String) {
        let client = reqwest::Client::new();
        let response = client.post(format!("http://{}{path}", self.endpoints.http)).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    pub async fn get(&self, path: &str) -> (StatusCode, String) {
        let response = reqwest::get(format!("http://{}{path}", self.endpoints.http)).await.unwrap();
        (response.status(), response.text().await.unwrap())
    }
}

/// Waits for a collector that was dropped just before to let go of the folder.
async fn bind(options: Options) -> Collector {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match Collector::bind(options.clone()).await {
            Err(StartError::Store(OpenStoreError::InUse { .. })) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return result.unwrap_or_else(|error| panic!("{error}")),
        }
    }
}

pub fn options(config: &Path, folder: &Path) -> Options {
    let mut options = Options::new(config, folder.join("data"));
    let free = "127.0.0.1:0".parse().unwrap();
    (options.listen, options.otlp_grpc, options.otlp_http) = (free, free, free);
    options
}

/// A configuration that scrapes these addresses ten times a second.
pub fn scrape(addresses: &[&str]) -> String {
    format!(
        "global: {{ scrape_interval: 100ms }}\nscrape_configs:\n- job_name: t\n  static_configs: [{{ targets: {addresses:?} }}]\n"
    )
}
