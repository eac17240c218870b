//! Plays kubelet for nodes that do not exist: keeps them Ready, says of every pod placed on them that it runs, and lets go of those
//! that are to end. Runs no container.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::StreamExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::api::Api;

/// Kubelets renew their leases this often; the node controller gives up after 40 s.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// What the nodes claim to have.
const CPUS: usize = 2000;
const PODS: usize = 5000;

/// Namespace and name of a pod, and the Deployment it belongs to.
pub type Pods = Arc<Mutex<BTreeMap<(String, String), String>>>;

/// Kubelets of all fake nodes; they end with it.
pub struct Kubelet {
    pods: Pods,
    _tasks: JoinSet<()>,
}

impl Kubelet {
    /// Registers the nodes and begins to play.
    pub async fn start(api: &Api, nodes: usize) -> anyhow::Result<Self> {
        let (pods, mut tasks) = (Pods::default(), JoinSet::new());
        for n in 0..nodes {
            let name = node(n);
            register(api, &name).await?;
            tasks.spawn(beat(api.clone(), name.clone()));
            tasks.spawn(keep(api.clone(), name, Arc::clone(&pods)));
        }
        Ok(Self { pods, _tasks: tasks })
    }

    /// The pods that run.
    pub fn pods(&self) -> PodsSeen {
        PodsSeen(Arc::clone(&self.pods))
    }
}

/// The pods that run, as they come and go.
#[derive(Clone)]
pub struct PodsSeen(Pods);

impl PodsSeen {
    /// How many run.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Calls back with namespace, name and Deployment of each.
    pub fn each(&self, mut visit: impl FnMut(&str, &str, &str)) {
        for ((namespace, name), deployment) in self.0.lock().iter() {
            visit(namespace, name, deployment);
        }
    }
}

/// The name of a node.
pub fn node(n: usize) -> String {
    format!("plimsoll-fleet-{n}")
}

async fn register(api: &Api, name: &str) -> anyhow::Result<()> {
    let labels = json!({"plimsoll-fleet": "yes"});
    let taints = json!([{"key": "plimsoll-fleet", "effect": "NoSchedule"}]);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {"taints": taints}});
    api.create("/api/v1/nodes", &node).await?;
    let size = json!({"cpu": CPUS.to_string(), "memory": "4Ti", "pods": PODS.to_string()});
    let now = now();
    let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now, "lastTransitionTime": now});
    let status = json!({"status": {"capacity": size, "allocatable": size, "conditions": [ready]}});
    api.merge(&format!("/api/v1/nodes/{name}/status"), &status).await
}

async fn beat(api: Api, name: String) {
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let spec = || json!({"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micro_now()});
    let lease =
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec()});
    said(api.create(leases, &lease).await);
    let mut beats = tokio::time::interval(HEARTBEAT);
    loop {
        beats.tick().await;
        said(api.merge(&format!("{leases}/{name}"), &json!({"spec": spec()})).await);
    }
}

/// Watches one node's pods for as long as the watch lasts, and again.
async fn keep(api: Api, node: String, pods: Pods) {
    loop {
        let path = format!("/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3D{node}");
        if let Ok(mut body) = api.stream(&path).await {
            let mut rest = Vec::new();
            while let Some(Ok(chunk)) = body.next().await {
                rest.extend_from_slice(&chunk);
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    if let Ok(event) = serde_json::from_slice::<Value>(&line) {
                        handle(&api, &event, &pods).await;
                    }
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn handle(api: &Api, event: &Value, pods: &Pods) {
    let (meta, status) = (&event["object"]["metadata"], &event["object"]["status"]);
    let (Some(namespace), Some(name)) = (meta["namespace"].as_str(), meta["name"].as_str()) else { return };
    let key = (namespace.to_owned(), name.to_owned());
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    if event["type"] == "DELETED" {
        pods.lock().remove(&key);
    } else if meta["deletionTimestamp"].is_string() {
        api.delete(&format!("{path}?gracePeriodSeconds=0")).await;
    } else if status["phase"] == "Running" {
        let app = meta["labels"]["app"].as_str().unwrap_or_default();
        pods.lock().insert(key, app.to_owned());
    } else {
        said(api.merge(&format!("{path}/status"), &running()).await);
    }
}

/// A kubelet goes on after a request that failed; the watch brings the pod again.
fn said(outcome: anyhow::Result<()>) {
    if let Err(error) = outcome {
        eprintln!("fake kubelet: {error:#}");
    }
}

fn running() -> Value {
    let now = now();
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
    let conditions: Vec<Value> = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition).into();
    let state = json!({"running": {"startedAt": now}});
    let app = json!({"name": "app", "image": "nothing", "imageID": "", "ready": true, "started": true, "restartCount": 0, "state": state});
    json!({"status": {"phase": "Running", "startTime": now, "conditions": conditions, "containerStatuses": [app]}})
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn micro_now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
