//! A real cluster, in a namespace of its own: runs with `PLIMSOLL_E2E_KUBECONFIG`, and `PLIMSOLL_E2E_IMAGE` for an image whose
//! entrypoint is busybox. Says so loudly when it is skipped.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use cluster::kubernetes::access::{Access, Connection};
use cluster::kubernetes::{Health, KubernetesCluster, KubernetesOptions};
use cluster::{Cluster, Workload, WorkloadKind, WorkloadRef};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use lifecycle::CancellationToken;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::contract::keeps_the_contract;
use crate::harness::eventually;

mod resizes;

/// Pods start on machines that are busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace that goes when the test does.
pub struct Lab {
    pub cluster: KubernetesCluster,
    pub connection: Connection,
    pub namespace: String,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Lab {
    /// `None`, said loudly, without a cluster.
    pub async fn start(test: &str) -> Option<Self> {
        let Some(kubeconfig) = std::env::var_os("PLIMSOLL_E2E_KUBECONFIG") else {
            // Not println: the test harness swallows that.
            let said = format!("SKIPPED {test}: set PLIMSOLL_E2E_KUBECONFIG and PLIMSOLL_E2E_IMAGE to run it\n");
            std::io::stderr().write_all(said.as_bytes()).unwrap();
            return None;
        };
        let access = Access { kubeconfig: Some(PathBuf::from(kubeconfig)), context: None };
        let connection = Connection::open(&access).await.unwrap();
        let namespace = format!("cluster-{test}-{:06x}", rand::random::<u32>() & 0xff_ffff);
        let namespaces: Api<Namespace> = Api::all(connection.client().clone());
        namespaces.create(&PostParams::default(), &object(json!({"metadata": {"name": namespace}}))).await.unwrap();
        let options = KubernetesOptions { namespaces: vec![namespace.clone()], ..KubernetesOptions::default() };
        let (cluster, watches) = KubernetesCluster::start(&connection, options);
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let task = tokio::spawn(async move { watches.run(token).await.unwrap() });
        let mut health = cluster.health();
        tokio::time::timeout(PATIENCE, health.wait_for(|health| *health == Health::Well)).await.unwrap().unwrap();
        Some(Self { cluster, connection, namespace, shutdown, task })
    }

    pub async fn stop(mut self) {
        remove(self.connection.client().clone(), &self.namespace).await;
        self.namespace.clear();
        self.shutdown.cancel();
        (&mut self.task).await.unwrap();
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.connection.client().clone(), &self.namespace)
    }

    pub fn reference(&self, name: &str) -> WorkloadRef {
        WorkloadRef { kind: WorkloadKind::Deployment, namespace: self.namespace.clone(), name: name.to_owned() }
    }

    /// Makes a Deployment of a small web server, and waits until it is ready.
    pub async fn deploy(&self, name: &str, replicas: u32, resources: Value) -> WorkloadRef {
        let image = std::env::var("PLIMSOLL_E2E_IMAGE").unwrap_or_else(|_| "k8slab.local/busybox:1".to_owned());
        let deployment = json!({
            "metadata": { "name": name },
            "spec": {
                "replicas": replicas,
                "selector": { "matchLabels": { "app": name } },
                "template": {
                    "metadata": { "labels": { "app": name } },
                    "spec": {
                        "terminationGracePeriodSeconds": 0,
                        "containers": [{
                            "name": "web",
                            "image": image,
                            "args": ["httpd", "-f", "-p", "8080"],
                            "resources": resources,
                            "readinessProbe": { "tcpSocket": { "port": 8080 }, "periodSeconds": 1 },
                        }],
                    },
                },
            },
        });
        self.api::<Deployment>().create(&PostParams::default(), &object(deployment)).await.unwrap();
        let reference = self.reference(name);
        eventually("ready", PATIENCE, || async {
            self.find(&reference).await.is_some_and(|workload| workload.ready().0 == replicas)
        })
        .await;
        reference
    }

    pub async fn find(&self, reference: &WorkloadRef) -> Option<Workload> {
        let workloads = self.cluster.workloads().await.unwrap();
        workloads.into_iter().find(|workload| workload.reference == *reference)
    }
}

async fn remove(client: Client, namespace: &str) {
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.delete(namespace, &DeleteParams::default()).await.unwrap();
}

impl Drop for Lab {
    /// Also a test that fails leaves nothing behind.
    fn drop(&mut self) {
        if self.namespace.is_empty() {
            return;
        }
        let namespace = std::mem::take(&mut self.namespace);
        let client = self.connection.client().clone();
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(remove(client, &namespace)));
    }
}

pub fn object<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

pub fn small() -> Value {
    json!({ "requests": { "cpu": "10m", "memory": "16Mi" }, "limits": { "cpu": "100m", "memory": "32Mi" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_keeps_the_contract() {
    let Some(lab) = Lab::start("contract").await else { return };
    let workload = lab.deploy("front", 2, small()).await;
    keeps_the_contract(&lab.cluster, &workload).await;
    lab.stop().await;
}
