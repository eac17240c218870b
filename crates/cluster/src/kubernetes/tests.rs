//! How the cluster is watched and steered when its API server pages, forgets, forbids, falls silent or refuses. Time is paused:
//! minutes pass at once.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::CancellationToken;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use self::fake_api::FakeApi;
use super::{Fence, Health, KubernetesCluster, KubernetesOptions};
use crate::{Cluster, Replicas, Workload, WorkloadKind, WorkloadRef};

pub(super) mod fake_api;
mod plans;
mod sizes;
mod watches;
mod writes;

/// A cluster on a fake API server.
struct Bench {
    api: FakeApi,
    cluster: KubernetesCluster,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Bench {
    fn start(api: FakeApi) -> Self {
        Self::start_with(api, KubernetesOptions::default())
    }

    fn start_with(api: FakeApi, options: KubernetesOptions) -> Self {
        let user = "system:serviceaccount:plimsoll:autoscaler".to_owned();
        let (cluster, watches) = KubernetesCluster::on(api.client(), user, options);
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let task = tokio::spawn(async move { watches.run(token).await.unwrap() });
        Self { api, cluster, shutdown, task }
    }

    /// With a Deployment `shop/order` that has as many pods.
    async fn with_pods(count: u32) -> Self {
        let bench = Self::start(shop(count));
        bench.well().await;
        bench
    }

    async fn well(&self) {
        let mut health = self.cluster.health();
        let well = health.wait_for(|health| *health == Health::Well);
        timeout(Duration::from_secs(60), well).await.expect("it should be well by now").unwrap();
    }

    async fn order(&self) -> Workload {
        let workloads = self.cluster.workloads().await.unwrap();
        workloads.into_iter().find(|workload| workload.reference == order()).unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn order() -> WorkloadRef {
    let (namespace, name) = ("shop".to_owned(), "order".to_owned());
    WorkloadRef { kind: WorkloadKind::Deployment, namespace, name }
}

/// An API server with a Deployment `shop/order` that has as many pods.
fn shop(count: u32) -> FakeApi {
    let api = FakeApi::new();
    api.put("deployments", deployment(count));
    let owner = json!([{ "kind": "Deployment", "uid": "deployments-shop-order", "controller": true }]);
    api.put("replicasets", json!({ "metadata": { "namespace": "shop", "name": "order-1", "ownerReferences": owner } }));
    (0..count).for_each(|number| api.put("pods", pod(number)));
    api.put(
        "nodes",
        json!({ "metadata": { "name": "a" }, "status": { "allocatable": { "cpu": "4", "memory": "8Gi" } } }),
    );
    api
}

fn containers() -> Value {
    json!([{ "name": "order", "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } } }])
}

fn deployment(replicas: u32) -> Value {
    json!({
        "metadata": { "namespace": "shop", "name": "order" },
        "spec": { "replicas": replicas, "template": { "spec": { "containers": containers() } } },
        "status": { "observedGeneration": 100, "replicas": replicas, "updatedReplicas": replicas },
    })
}

fn pod(number: u32) -> Value {
    json!({
        "metadata": {
            "namespace": "shop",
            "name": format!("order-1-{number}"),
            "ownerReferences": [{ "kind": "ReplicaSet", "uid": "replicasets-shop-order-1", "controller": true }],
        },
        "spec": { "nodeName": "a", "containers": containers() },
        "status": {
            "phase": "Running",
            "startTime": "2026-11-23T04:00:00Z",
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T04:00:05Z" }],
        },
    })
}

/// A fence that tests open and close.
struct Gate(Mutex<Result<Duration, String>>);

impl Gate {
    fn new(answer: Result<Duration, String>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(answer)))
    }

    fn options(self: &Arc<Self>) -> KubernetesOptions {
        KubernetesOptions { fence: Some(self.clone() as Arc<dyn Fence>), ..KubernetesOptions::default() }
    }
}

impl Fence for Gate {
    fn check(&self) -> Result<Instant, String> {
        self.0.lock().clone().map(|within| Instant::now() + within)
    }
}

async fn scale(bench: &Bench, replicas: u32) -> Result<(), crate::ClusterError> {
    bench.cluster.set_replicas(&order(), Replicas(replicas)).await
}
