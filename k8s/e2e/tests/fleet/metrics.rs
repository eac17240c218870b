//! Answers the autoscaler's questions about the CPU of a fleet's pods, as any Prometheus would: half of what they request, and
//! as much as they request where the load was doubled. Knows no other question.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::task::JoinSet;

use super::kubelet::PodsSeen;

/// Cores used by a pod at rest: half of the 100m that it requests, which is what its policy aims at.
const AT_REST: f64 = 0.05;

#[derive(Clone)]
struct Answers {
    pods: PodsSeen,
    doubled: Arc<Mutex<HashSet<String>>>,
}

/// The server; ends with it.
pub struct FakeMetrics {
    url: String,
    answers: Answers,
    _task: JoinSet<()>,
}

impl FakeMetrics {
    /// Listens on a free port.
    pub async fn start(pods: PodsSeen) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let answers = Answers { pods, doubled: Arc::default() };
        let router = Router::new().route("/api/v1/query", get(query).post(query)).with_state(answers.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            drop(axum::serve(listener, router).await);
        });
        Ok(Self { url, answers, _task: task })
    }

    /// Where it is reached.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Doubles the load of these Deployments until their replicas have doubled, as load that is spread evenly does.
    pub fn double(&self, deployments: impl Iterator<Item = String>) {
        self.answers.doubled.lock().extend(deployments);
    }
}

#[derive(Deserialize)]
struct Asked {
    query: String,
}

async fn query(State(answers): State<Answers>, Form(asked): Form<Asked>) -> Response {
    let now = jiff::Timestamp::now().as_millisecond() as f64 / 1000.0;
    let (time, rate) =
        (asked.query.contains("timestamp("), asked.query.contains("rate(container_cpu_usage_seconds_total"));
    assert!(time || rate, "an unexpected question: {}", asked.query);
    let doubled = answers.doubled.lock().clone();
    let mut replicas = std::collections::HashMap::<String, f64>::new();
    answers.pods.each(|_, _, deployment| *replicas.entry(deployment.to_owned()).or_default() += 1.0);
    let mut text = String::from(r#"{"status":"success","data":{"resultType":"vector","result":["#);
    let mut first = true;
    answers.pods.each(|namespace, pod, deployment| {
        let spread = if doubled.contains(deployment) { 4.0 / replicas[deployment] } else { 1.0 };
        let value = if time { now } else { AT_REST * spread };
        let comma = if std::mem::take(&mut first) { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"metric":{{"namespace":"{namespace}","pod":"{pod}","container":"app"}},"value":[{now},"{value}"]}}"#
        );
    });
    text.push_str("]}}");
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
