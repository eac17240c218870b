//! An API server with pods, their list, and their ports by WebSocket: two channels, data and errors, each begun by the port's number.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::get;
use futures::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use kube::{Client, Config};
use lifecycle::CancellationToken;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::DEADLINE;

const PORT: u16 = 9090;

/// What a pod's port does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Answers every word.
    Answers,
    /// Nobody listens on it.
    Refuses,
    /// Takes words and says nothing.
    Hangs,
    /// The pod is not ready.
    NotReady,
    /// Its node is gone, which nobody has noticed: what is open to it is silent, what is new hangs.
    Lost,
}

#[derive(Default)]
struct Script {
    pods: BTreeMap<String, Port>,
    lists: usize,
    lists_answer: Option<u16>,
    forwards_answer: Option<u16>,
    hangs: bool,
}

#[derive(Clone)]
struct Shared {
    script: Arc<Mutex<Script>>,
    /// Grows when pods are replaced: their connections end.
    generation: watch::Sender<u64>,
    heard: watch::Sender<u64>,
}

/// The server.
pub struct Fake {
    address: SocketAddr,
    shared: Shared,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Fake {
    pub async fn start(pods: &[(&str, Port)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared { script: Arc::default(), generation: watch::Sender::new(0), heard: watch::Sender::new(0) };
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, shared.clone(), stop.clone()));
        let fake = Self { address, shared, stop, task };
        fake.replace(pods);
        fake
    }

    pub fn client(&self) -> Client {
        let config = Config::new(format!("http://{}", self.address).parse().unwrap());
        Client::try_from(config).unwrap()
    }

    pub fn replace(&self, pods: &[(&str, Port)]) {
        self.shared.script.lock().pods = pods.iter().map(|(name, port)| ((*name).to_owned(), *port)).collect();
        self.shared.generation.send_modify(|generation| *generation += 1);
    }

    /// Another thing that a port does from now on; its connections stay.
    pub fn set(&self, pod: &str, port: Port) {
        self.shared.script.lock().pods.insert(pod.to_owned(), port);
    }

    pub fn fail_lists(&self, code: u16) {
        self.shared.script.lock().lists_answer = Some(code);
    }

    pub fn fail_forwards(&self, code: u16) {
        self.shared.script.lock().forwards_answer = Some(code);
    }

    pub fn hang(&self) {
        self.shared.script.lock().hangs = true;
    }

    pub fn lists(&self) -> usize {
        self.shared.script.lock().lists
    }

    /// Waits until a pod has got a word.
    pub async fn until_heard(&self) {
        let mut heard = self.shared.heard.subscribe();
        tokio::time::timeout(DEADLINE, heard.wait_for(|count| *count > 0)).await.expect("a word").expect("it runs");
    }

    /// Goes away with all its connections.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        self.shared.generation.send_modify(|generation| *generation += 1);
        (&mut self.task).await.unwrap();
    }

    /// Comes back at the same address.
    pub async fn start_again(&mut self) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        self.stop = CancellationToken::new();
        self.task = tokio::spawn(serve(listener, self.shared.clone(), self.stop.clone()));
    }
}

/// Serves each connection in a task that ends with the server, as those of a process that dies.
async fn serve(listener: TcpListener, shared: Shared, stop: CancellationToken) {
    let router = Router::new()
        .route("/api/v1/namespaces/plimsoll/pods", get(list))
        .route("/api/v1/namespaces/plimsoll/pods/{name}/portforward", get(forward))
        .with_state(shared);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (connection, _) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted.unwrap(),
        };
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            let builder = hyper::server::conn::http1::Builder::new();
            builder.serve_connection(TokioIo::new(connection), service).with_upgrades().await
        });
    }
    connections.shutdown().await;
}

fn status(code: u16) -> Response<Body> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "code": code});
    Response::builder().status(code).body(Body::from(body.to_string())).unwrap()
}

fn pod(name: &str, port: Port) -> Value {
    let (phase, ready, waiting) = match port {
        Port::NotReady => ("Pending", "False", json!({"waiting": {"reason": "ImagePullBackOff"}})),
        _ => ("Running", "True", json!({"running": {}})),
    };
    json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "creationTimestamp": "2026-11-23T00:00:00Z"},
        "spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": PORT}]}]},
        "status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [
                {"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": waiting},
            ],
        },
    })
}

async fn list(State(shared): State<Shared>) -> Response<Body> {
    if shared.script.lock().hangs {
        std::future::pending::<()>().await;
    }
    let mut script = shared.script.lock();
    script.lists += 1;
    if let Some(code) = script.lists_answer {
        return status(code);
    }
    let items: Vec<Value> = script.pods.iter().map(|(name, port)| pod(name, *port)).collect();
    let body = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
    Response::new(Body::from(body.to_string()))
}

async fn forward(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response<Body> {
    let (port, answer) = {
        let script = shared.script.lock();
        (script.pods.get(&name).copied(), script.forwards_answer)
    };
    let Some(port) = port else { return status(404) };
    if port == Port::Lost {
        std::future::pending::<()>().await;
    }
    if let Some(code) = answer {
        return status(code);
    }
    let key = derive_accept_key(headers["sec-websocket-key"].as_bytes());
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.unwrap();
        let mut generation = shared.generation.subscribe();
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        tokio::select! {
            () = speak(socket, &name, port, &shared) => {}
            _ = generation.changed() => {}
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("upgrade", "websocket")
        .header("connection", "Upgrade")
        .header("sec-websocket-accept", key)
        .header("sec-websocket-protocol", "v4.channel.k8s.io")
        .body(Body::empty())
        .unwrap()
}

async fn speak(
    mut socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>,
    name: &str,
    port: Port,
    shared: &Shared,
) {
    let [low, high] = PORT.to_le_bytes();
    for channel in [0, 1] {
        let _ = socket.send(Message::binary(vec![channel, low, high])).await;
    }
    if port == Port::Refuses {
        let words = b"\x01dial tcp 127.0.0.1:9090: connect: connection refused\n";
        let _ = socket.send(Message::binary(words.to_vec())).await;
        let _ = socket.close(None).await;
    }
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(bytes) = message else { continue };
        shared.heard.send_modify(|count| *count += 1);
        let is_lost = shared.script.lock().pods.get(name) == Some(&Port::Lost);
        if port == Port::Answers && !is_lost {
            let words = format!("\0{name} heard {}", String::from_utf8_lossy(&bytes[1..]));
            let _ = socket.send(Message::binary(words.into_bytes())).await;
        }
    }
}
