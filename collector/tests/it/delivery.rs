//! Alerts on their way: every Alertmanager is told, one that is away is told later, a webhook hears of each event once. And a real
//! Alertmanager takes them, where `ALERTMANAGER=/path/to/alertmanager` says there is one; without it that is skipped, and said.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::running::{Running, Target, scrape};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

const RULES: &str = "groups:\n- name: g\n  interval: 100ms\n  rules:\n  - alert: High\n    expr: load > 3\n    \
    labels: { severity: page, replica: r1 }\n    annotations: { summary: 'load is {{ $value }}' }\n";

/// What was posted: path, credentials, body.
type Posts = Arc<Mutex<Vec<(String, Option<String>, Value)>>>;

/// Takes posts, unless it is told to be away.
#[derive(Clone)]
struct Receiver {
    address: String,
    posts: Posts,
    status: Arc<Mutex<StatusCode>>,
}

impl Receiver {
    async fn start(tasks: &mut JoinSet<()>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap().to_string(),
            posts: Posts::default(),
            status: Arc::new(Mutex::new(StatusCode::OK)),
        };
        let routes = Router::new().route("/{*path}", post(take)).with_state(receiver.clone());
        tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        receiver
    }

    fn answers(&self, status: StatusCode) {
        *self.status.lock() = status;
    }

    /// Waits until something was posted that is as wanted.
    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> (String, Option<String>, Value) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = self.posts.lock().iter().find(|(_, _, body)| holds(body)) {
                return found.clone();
            }
            assert!(Instant::now() < deadline, "never {what}: {:?}", self.posts.lock());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn take(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: String) -> StatusCode {
    let status = *receiver.status.lock();
    if status.is_success() {
        let credentials = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        receiver.posts.lock().push((uri.path().to_owned(), credentials, serde_json::from_str(&body).unwrap()));
    }
    status
}

fn config(target: &Target, alerting: &str) -> String {
    let scrape = scrape(&[&target.address]).replace("global: {", "global: { external_labels: { site: s },");
    format!("rule_files: ['*.rules']\nalerting:\n{alerting}{scrape}")
}

async fn start(tasks: &mut JoinSet<()>, folder: &Path, alerting: &str) -> (Target, Running) {
    let target = Target::start(tasks).await;
    target.prints("load{host=\"a\"} 5\n");
    std::fs::write(folder.join("a.rules"), RULES).unwrap();
    let running = Running::start_with(tasks, folder, &config(&target, alerting), |options| {
        options.external_url = Some("http://example.org/p".parse().unwrap());
        options.rules.resend_delay = Duration::from_millis(300);
    })
    .await;
    (target, running)
}

fn is_firing(body: &Value) -> bool {
    body[0]["labels"]["alertname"] == "High"
}

fn time(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn every_alertmanager_is_told_and_one_that_is_away_is_told_later() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let (first, second) = (Receiver::start(&mut tasks).await, Receiver::start(&mut tasks).await);
    second.answers(StatusCode::SERVICE_UNAVAILABLE);
    std::fs::write(folder.path().join("am.json"), format!("[{{ \"targets\": [{:?}] }}]", second.address)).unwrap();
    let alerting = format!(
        "  alert_relabel_configs: [{{ action: labeldrop, regex: replica }}]\n  alertmanagers:\n  - path_prefix: /am\n    \
         basic_auth: {{ username: u, password: p }}\n    static_configs: [{{ targets: [{:?}] }}]\n    \
         alert_relabel_configs: [{{ target_label: to, replacement: first }}]\n  \
         - file_sd_configs: [{{ files: [am.json] }}]\n",
        first.address
    );
    let (target, running) = start(&mut tasks, folder.path(), &alerting).await;
    let (path, credentials, body) = first.until("told", is_firing).await;
    assert_eq!((&*path, credentials.as_deref()), ("/am/api/v2/alerts", Some("Basic dTpw")));
    let alert = &body[0];
    let wanted = json!({ "alertname": "High", "host": "a", "severity": "page", "site": "s", "to": "first" });
    let mut labels = alert["labels"].clone();
    for automatic in ["instance", "job"] {
        assert!(labels.as_object_mut().unwrap().remove(automatic).is_some());
    }
    assert_eq!((&labels, &alert["annotations"]), (&wanted, &json!({ "summary": "load is 5" })));
    assert_eq!(alert["generatorURL"], "http://example.org/p/graph?g0.expr=load+%3E+3&g0.tab=1");
    assert!(time(&alert["endsAt"]) > time(&alert["startsAt"]));

    assert!(second.posts.lock().is_empty());
    second.answers(StatusCode::OK);
    let (path, credentials, body) = second.until("told later", is_firing).await;
    assert_eq!((&*path, credentials), ("/api/v2/alerts", None));
    assert_eq!(body[0]["labels"].get("to"), None, "what is relabelled for one is not for the other");

    target.prints("load{host=\"a\"} 1\n");
    let ended = |body: &Value| is_firing(body) && time(&body[0]["endsAt"]) <= jiff::Timestamp::now();
    for receiver in [&first, &second] {
        receiver.until("told that it ended", ended).await;
    }
    let known: Value = serde_json::from_str(&running.get("/api/v1/alertmanagers").await.1).unwrap();
    let urls = known["data"]["activeAlertmanagers"].as_array().unwrap();
    assert_eq!(urls.len(), 2, "{known}");
    let metrics = running.get("/metrics").await.1;
    for line in [
        "plimsoll_collector_notifications_alertmanagers_discovered 2".to_owned(),
        "plimsoll_collector_notifications_dropped_total{reason=\"queue_full\"} 0".to_owned(),
        format!(
            "plimsoll_collector_notifications_sent_total{{alertmanager=\"http://{}/am/api/v2/alerts\"}}",
            first.address
        ),
    ] {
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn a_webhook_hears_of_each_event_once() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let receiver = Receiver::start(&mut tasks).await;
    let alerting = format!("  webhooks: [{{ url: 'http://{}/hook' }}]\n", receiver.address);
    let (target, running) = start(&mut tasks, folder.path(), &alerting).await;
    let (path, _, body) = receiver.until("told", |body| body["status"] == "firing").await;
    assert_eq!(
        (&*path, &body["version"], &body["groupLabels"]),
        ("/hook", &json!("4"), &json!({ "alertname": "High" }))
    );
    assert_eq!(body["alerts"][0]["annotations"]["summary"], "load is 5");
    // The rules have said it again several times by then.
    let sent_again = "ALERTS_FOR_STATE{alertname=\"High\"} < bool time() - 2";
    running.becomes(sent_again, 1.0).await;
    target.prints("load{host=\"a\"} 1\n");
    receiver.until("told that it ended", |body| body["status"] == "resolved").await;
    assert_eq!(receiver.posts.lock().len(), 2);
    let shown = running.get("/api/v1/status/config").await.1;
    assert!(shown.contains("webhooks") && !shown.contains("/hook"), "{shown}");
}

#[tokio::test]
async fn a_webhook_that_was_away_hears_what_still_fires() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let receiver = Receiver::start(&mut tasks).await;
    receiver.answers(StatusCode::SERVICE_UNAVAILABLE);
    let alerting = format!("  webhooks: [{{ url: 'http://{}/hook' }}]\n", receiver.address);
    let (_target, running) = start(&mut tasks, folder.path(), &alerting).await;
    // What was said once is true for four times the delay of 300 ms after which it is said again.
    running.becomes("ALERTS_FOR_STATE{alertname=\"High\"} < bool time() - 3", 1.0).await;
    receiver.answers(StatusCode::OK);
    receiver.until("told", |body| body["status"] == "firing").await;
    let metrics = running.get("/metrics").await.1;
    assert!(metrics.contains("notifications_dropped_total{reason=\"expired\"} 0"), "{metrics}");
}

/// An Alertmanager of our own, ended when dropped.
struct Alertmanager {
    child: Child,
    address: String,
}

impl Alertmanager {
    fn start(folder: &Path) -> Option<Self> {
        let Ok(binary) = std::env::var("ALERTMANAGER") else {
            eprintln!("SKIPPED: ALERTMANAGER=/path/to/alertmanager is not set, no real one was told");
            return None;
        };
        let config = folder.join("alertmanager.yml");
        std::fs::write(&config, "route: { receiver: none }\nreceivers: [{ name: none }]\n").unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let child = Command::new(&binary)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{binary}: {error}"));
        Some(Self { child, address })
    }

    async fn alerts(&self) -> Value {
        match reqwest::get(format!("http://{}/api/v2/alerts", self.address)).await {
            Ok(response) => serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null),
            Err(_) => Value::Null,
        }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let alerts = self.alerts().await;
            if holds(&alerts) {
                return alerts;
            }
            assert!(Instant::now() < deadline, "never {what}: {alerts}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_real_alertmanager_takes_alerts_and_their_end() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let Some(alertmanager) = Alertmanager::start(folder.path()) else { return };
    let alerting = format!("  alertmanagers: [{{ static_configs: [{{ targets: [{:?}] }}] }}]\n", alertmanager.address);
    let (target, _running) = start(&mut tasks, folder.path(), &alerting).await;
    let alerts = alertmanager.until("told", |alerts| alerts[0]["status"]["state"] == "active").await;
    assert_eq!(alerts[0]["annotations"], json!({ "summary": "load is 5" }));
    assert_eq!((&alerts[0]["labels"]["site"], &alerts[0]["labels"]["severity"]), (&json!("s"), &json!("page")));
    assert_eq!(alerts[0]["generatorURL"], "http://example.org/p/graph?g0.expr=load+%3E+3&g0.tab=1");
    target.prints("load{host=\"a\"} 1\n");
    alertmanager.until("told that it ended", |alerts| *alerts == json!([])).await;
}
