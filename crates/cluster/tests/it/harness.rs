//! Starts a real local runtime on the fixture manifests and waits for conditions with a deadline.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cluster::local::{ExternalService, LocalCluster, Manifests, Options, manifest};
use cluster::{Cluster, Replica, Workload, WorkloadKind, WorkloadRef};
use lifecycle::CancellationToken;
use protocol::yaml;
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub const FIXTURE: &str = include_str!("../fixtures/shop.yaml");

/// A runtime that ends, with all its replicas, when the test does.
pub struct Running {
    pub cluster: LocalCluster,
    pub data: TempDir,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

pub fn manifests(text: &str) -> Manifests {
    manifest::load_documents(yaml::split(&PathBuf::from("shop.yaml"), text)).unwrap()
}

pub fn options(data: PathBuf) -> Options {
    let collector = ExternalService {
        name: "collector".to_owned(),
        ip: [127, 0, 0, 1].into(),
        ports: vec![("otlp-http".to_owned(), 4318)],
    };
    Options { external_services: vec![collector], ..Options::new(data) }
}

impl Running {
    pub async fn start(text: &str) -> Self {
        Self::start_with(text, |options| options).await
    }

    pub async fn start_with(text: &str, change: impl FnOnce(Options) -> Options) -> Self {
        let data = tempfile::tempdir().unwrap();
        let options = change(options(data.path().to_owned()));
        let (cluster, runtime) = LocalCluster::bind(options, manifests(text)).await.unwrap();
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let task = tokio::spawn(async move { runtime.run(token).await.unwrap() });
        Self { cluster, data, shutdown, task }
    }

    pub async fn start_ready(text: &str) -> Self {
        let running = Self::start(text).await;
        running.cluster.wait_ready(Duration::from_secs(10)).await.unwrap();
        running
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }

    pub async fn workload(&self, name: &str) -> Workload {
        let workloads = self.cluster.workloads().await.unwrap();
        workloads.into_iter().find(|workload| workload.reference.name == name).unwrap()
    }

    pub async fn replicas(&self, name: &str) -> Vec<Replica> {
        self.workload(name).await.replicas
    }

    pub async fn get(&self, service: &str, path: &str) -> (u16, String) {
        let url = format!("{}{path}", self.cluster.service_url(service).unwrap());
        fetch(&url).await
    }

    pub async fn api(&self, path: &str) -> String {
        fetch(&format!("http://{}{path}", self.cluster.endpoints().api)).await.1
    }

    pub fn pid(&self, pod: &str) -> u32 {
        self.cluster.processes().into_iter().find(|(name, _)| name == pod).unwrap().1
    }
}

pub async fn fetch(url: &str) -> (u16, String) {
    let response = reqwest::get(url).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

pub fn reference(name: &str) -> WorkloadRef {
    WorkloadRef { kind: WorkloadKind::Deployment, namespace: "default".to_owned(), name: name.to_owned() }
}

/// Asks again until the answer is yes.
pub async fn eventually<F: Future<Output = bool>>(what: &str, within: Duration, mut condition: impl FnMut() -> F) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
