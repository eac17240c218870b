//! As much of a Kubernetes API server as service discovery needs: pods that are listed and watched, and every way to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use futures::StreamExt;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Events that may wait for a slow watch of these tests.
const EVENTS_MAX: usize = 100;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Well,
    /// Every request fails, and watches break off.
    Down,
    Forbidden,
}

#[derive(Clone)]
pub struct FakeApi {
    pub address: String,
    state: Arc<Mutex<Cluster>>,
    pub lists: Arc<AtomicU64>,
    pub requests: Arc<AtomicU64>,
}

struct Cluster {
    mode: Mode,
    version: u64,
    pods: Vec<Value>,
    watches: Vec<mpsc::Sender<String>>,
    /// Changes with their versions: a watch begins with those since the version that it names.
    changes: Vec<(u64, String)>,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    watch: bool,
    #[serde(default, rename = "resourceVersion")]
    version: String,
}

impl FakeApi {
    pub async fn start(tasks: &mut JoinSet<()>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cluster =
            Cluster { mode: Mode::Well, version: 1, pods: Vec::new(), watches: Vec::new(), changes: Vec::new() };
        let api = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            state: Arc::new(Mutex::new(cluster)),
            lists: Arc::default(),
            requests: Arc::default(),
        };
        let routes = Router::new().route("/api/v1/pods", get(pods)).with_state(api.clone());
        tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        api
    }

    /// A job that scrapes every pod.
    pub fn job(&self, name: &str) -> String {
        format!(
            "- job_name: {name}\n  kubernetes_sd_configs: [{{ role: pod, api_server: {:?} }}]\n  \
             relabel_configs: [{{ source_labels: [__meta_kubernetes_pod_name], target_label: pod }}]\n",
            self.address
        )
    }

    pub fn set_mode(&self, mode: Mode) {
        let mut cluster = self.state.lock();
        cluster.mode = mode;
        if mode != Mode::Well {
            cluster.watches.clear();
        }
    }

    /// A pod that listens at an address comes into being.
    pub fn add(&self, name: &str, address: &str) {
        self.change("ADDED", name, address);
    }

    pub fn remove(&self, name: &str) {
        self.change("DELETED", name, "127.0.0.1:1");
    }

    /// What the watches had seen is too old to go on from.
    pub fn forget(&self) {
        let gone =
            json!({ "kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old" });
        self.state.lock().tell("ERROR", &gone);
    }

    fn change(&self, kind: &str, name: &str, address: &str) {
        let (ip, port) = address.rsplit_once(':').unwrap();
        let mut cluster = self.state.lock();
        cluster.version += 1;
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": "shop", "uid": name, "resourceVersion": cluster.version.to_string() },
            "spec": { "containers": [
                { "name": "c", "ports": [{ "containerPort": port.parse::<u16>().unwrap(), "protocol": "TCP" }] },
            ] },
            "status": { "podIP": ip, "phase": "Running" },
        });
        cluster.pods.retain(|known| known["metadata"]["name"] != name);
        if kind != "DELETED" {
            cluster.pods.push(pod.clone());
        }
        let change = (cluster.version, line(kind, &pod));
        cluster.changes.push(change);
        cluster.tell(kind, &pod);
    }
}

fn line(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({ "type": kind, "object": object }))
}

impl Cluster {
    fn tell(&mut self, kind: &str, object: &Value) {
        let line = line(kind, object);
        self.watches.retain(|watch| watch.try_send(line.clone()).is_ok());
    }
}

async fn pods(State(api): State<FakeApi>, Query(asked): Query<Asked>) -> Response {
    api.requests.fetch_add(1, Ordering::Relaxed);
    let mut cluster = api.state.lock();
    match cluster.mode {
        Mode::Well => {}
        Mode::Down => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mode::Forbidden => {
            let message = "pods is forbidden: User \"ann\" cannot list resource \"pods\" at the cluster scope";
            let status = json!({
                "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": message,
            });
            return (StatusCode::FORBIDDEN, Json(status)).into_response();
        }
    }
    if !asked.watch {
        api.lists.fetch_add(1, Ordering::Relaxed);
        let metadata = json!({ "resourceVersion": cluster.version.to_string() });
        let list = json!({ "kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": cluster.pods });
        return Json(list).into_response();
    }
    let (events, watch) = mpsc::channel(EVENTS_MAX);
    let since: u64 = asked.version.parse().unwrap_or(u64::MAX);
    for (_, change) in cluster.changes.iter().filter(|(version, _)| *version > since) {
        events.try_send(change.clone()).unwrap();
    }
    cluster.watches.push(events);
    let lines = futures::stream::unfold(watch, |mut watch| async move { Some((watch.recv().await?, watch)) });
    Body::from_stream(lines.map(Ok::<_, std::convert::Infallible>)).into_response()
}
