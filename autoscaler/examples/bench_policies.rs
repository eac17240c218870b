//! `cargo run --release -p autoscaler --example bench_policies [POLICIES PODS TICKS]`: the whole autoscaler over thousands of policies and pods, with everything around it in memory: a
//! cluster, an API server for the policies, and a Prometheus over real HTTP. Prints how long ticks take, how much memory the process
//! has (fakes included), and what is written when nothing changes. Judges nothing: what is promised stands in the design.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use async_trait::async_trait;
use autoscaler::{Autoscaler, Options, Policies, PolicySet};
use axum::Router;
use axum::extract::{Form, State};
use axum::routing::post;
use cluster::kubernetes::policies::{PolicyEvent, PolicyObject, PolicyObjects, PolicyStore, StoreError};
use cluster::{
    Cluster, ClusterError, Container, Event, Replica, ReplicaState, Replicas, Resources, Rollout, Workload,
    WorkloadKind, WorkloadRef,
};
use lifecycle::CancellationToken;
use protocol::quantity::Quantity;
use serde_json::json;
use tokio::sync::watch;
use url::Url;

/// Namespaces that the policies are spread over.
const NAMESPACES: usize = 50;

/// Time between ticks: shorter than the 15 s of a cluster, so that a minute gives enough of them.
const INTERVAL: Duration = Duration::from_secs(2);

fn main() -> anyhow::Result<()> {
    let given: Vec<usize> =
        std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>().context("expected numbers")?;
    let [policies, pods, ticks] = match given[..] {
        [] => [5_000, 10_000, 30],
        [policies, pods, ticks] if policies > 0 && pods >= policies && ticks > 0 => [policies, pods, ticks],
        _ => bail!("expected POLICIES PODS TICKS: at least one of each, and a pod for each policy"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(policies, pods, ticks))
}

async fn measure(policies: usize, pods: usize, ticks: usize) -> anyhow::Result<()> {
    let fleet = Arc::new(Fleet { policies, pods_each: pods / policies });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let prometheus = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    let router = Router::new().route("/api/v1/query", post(query)).with_state(Arc::clone(&fleet));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.context("the fake Prometheus ended") });

    let bare = rss()?;
    let store = Arc::new(FakeStore::new(&fleet));
    let mut options = Options::new(prometheus, PolicySet::default());
    options.policies = Policies::Objects(Arc::clone(&store) as Arc<dyn PolicyStore>);
    options.listen = "127.0.0.1:0".parse()?;
    options.interval = INTERVAL;
    let autoscaler = Autoscaler::bind(options, Arc::new(FakeCluster::new(&fleet))).await?;
    let counts = autoscaler.counts();
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tasks.spawn(async move { autoscaler.run(stop).await.context("the autoscaler ended") });

    let patience = Duration::from_secs(120) + INTERVAL * u32::try_from(ticks)? * 4;
    let deadline = Instant::now() + patience;
    // The first ticks write every status; figures are of those that come after.
    while store.written.load(Ordering::SeqCst) < policies as u64 {
        if Instant::now() > deadline {
            bail!("only {} statuses were written in time", store.written.load(Ordering::SeqCst));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (warm, first) = (counts.ticks().len(), store.written.load(Ordering::SeqCst));
    while counts.ticks().len() < warm + ticks {
        if Instant::now() > deadline {
            bail!("only {} ticks in time", counts.ticks().len() - warm);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let idle = store.written.load(Ordering::SeqCst) - first;
    let mut took = counts.ticks().split_off(warm);
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1000.0;
    println!("policies {policies}, pods {}, ticks {}", fleet.pods_each * policies, took.len());
    println!("tick: p50 {:.0} ms, p99 {:.0} ms, longest {:.0} ms", at(0.5), at(0.99), at(1.0));
    println!("memory: {} MiB resident, {} MiB of them before it started", rss()?, bare);
    println!("statuses written: {first} at the start, {idle} in {ticks} idle ticks");
    shutdown.cancel();
    tasks.shutdown().await;
    Ok(())
}

/// Resident memory of this process in MiB.
fn rss() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc/self/status")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib / 1024)
}

/// How many of everything, and what they are called.
struct Fleet {
    policies: usize,
    pods_each: usize,
}

impl Fleet {
    fn namespace(index: usize) -> String {
        format!("team-{}", index % NAMESPACES)
    }

    fn workload(index: usize) -> String {
        format!("service-{index}")
    }

    fn pod(index: usize, pod: usize) -> String {
        format!("service-{index}-6b794dd699-{pod:05}")
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Every pod uses near what is aimed at, and never quite the same.
async fn query(
    State(fleet): State<Arc<Fleet>>,
    Form(form): Form<std::collections::HashMap<String, String>>,
) -> ([(&'static str, &'static str); 1], String) {
    let is_time = form.get("query").is_some_and(|query| query.contains("timestamp("));
    let (now, mut text) = (now(), String::with_capacity(fleet.policies * fleet.pods_each * 140));
    text.push_str(r#"{"status":"success","data":{"resultType":"vector","result":["#);
    for index in 0..fleet.policies {
        for pod in 0..fleet.pods_each {
            let value =
                if is_time { now - 1.0 } else { 0.065 + ((index + pod) % 7) as f64 / 2000.0 + now % 1.0 / 1000.0 };
            let comma = if index + pod == 0 { "" } else { "," };
            let (namespace, pod) = (Fleet::namespace(index), Fleet::pod(index, pod));
            let _ = write!(
                text,
                r#"{comma}{{"metric":{{"namespace":"{namespace}","pod":"{pod}","container":"main"}},"value":[{now},"{value}"]}}"#
            );
        }
    }
    text.push_str("]}}");
    ([("content-type", "application/json")], text)
}

/// Workloads that are always well.
struct FakeCluster {
    workloads: Vec<Workload>,
    changes: watch::Sender<u64>,
}

impl FakeCluster {
    fn new(fleet: &Fleet) -> Self {
        let resources = Resources {
            cpu_request: Quantity::parse("100m").ok(),
            memory_request: Quantity::parse("64Mi").ok(),
            ..Resources::default()
        };
        let replica = |name: String| Replica {
            name,
            state: ReplicaState::Running,
            ready: true,
            started_at_ms: Some(1_000),
            ready_changed_at_ms: Some(2_000),
            restarts: 0,
            containers: vec![Container { name: "main".to_owned(), resources }],
            resize: None,
            node: "node-1".to_owned(),
            message: String::new(),
        };
        let workload = |index: usize| Workload {
            reference: WorkloadRef {
                kind: WorkloadKind::Deployment,
                namespace: Fleet::namespace(index),
                name: Fleet::workload(index),
            },
            desired: Replicas(u32::try_from(fleet.pods_each).unwrap_or(1)),
            replicas: (0..fleet.pods_each).map(|pod| replica(Fleet::pod(index, pod))).collect(),
            rollout: Rollout::Complete,
            conflicts: Vec::new(),
        };
        Self { workloads: (0..fleet.policies).map(workload).collect(), changes: watch::Sender::new(0) }
    }
}

#[async_trait]
impl Cluster for FakeCluster {
    async fn workloads(&self) -> Result<Vec<Workload>, ClusterError> {
        Ok(self.workloads.clone())
    }

    async fn wanted(&self, _: &WorkloadRef) -> Result<Vec<Container>, ClusterError> {
        Ok(Vec::new())
    }

    async fn specified(&self, _: &WorkloadRef) -> Result<Vec<Container>, ClusterError> {
        Ok(Vec::new())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn set_replicas(&self, _: &WorkloadRef, _: Replicas) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn resize(&self, _: &WorkloadRef, _: &str, _: Resources) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn roll_out(&self, _: &WorkloadRef, _: &str, _: Resources) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn set_deletion_costs(&self, _: &WorkloadRef, _: &[(String, i32)]) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn record_event(&self, _: Event) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn events(&self, _: usize) -> Result<Vec<Event>, ClusterError> {
        Ok(Vec::new())
    }
}

/// Keeps policies as an API server does.
struct FakeStore {
    objects: watch::Sender<PolicyObjects>,
    written: AtomicU64,
}

impl FakeStore {
    fn new(fleet: &Fleet) -> Self {
        let object = |index: usize| {
            let (namespace, name) = (Fleet::namespace(index), Fleet::workload(index));
            let manifest = json!({
                "apiVersion": "plimsoll.dev/v1alpha1",
                "kind": "ScalingPolicy",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {
                    "target": {"kind": "Deployment", "name": name},
                    "mode": "Auto",
                    "replicas": {"min": 1, "max": 20},
                    "signals": [{"utilization": {"resource": "cpu", "target": "65%", "maxAge": "2m"}}],
                    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
                },
            });
            Arc::new(PolicyObject {
                uid: format!("00000000-0000-0000-0000-{index:012}"),
                generation: 1,
                created_at_ms: 0,
                paused: false,
                resource_version: "1".to_owned(),
                manifest: manifest.to_string(),
                status: "null".to_owned(),
                namespace,
                name,
            })
        };
        let mut objects: Vec<Arc<PolicyObject>> = (0..fleet.policies).map(object).collect();
        objects.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        let all = PolicyObjects { objects: Arc::new(objects), trouble: None };
        Self { objects: watch::Sender::new(all), written: AtomicU64::new(0) }
    }
}

#[async_trait]
impl PolicyStore for FakeStore {
    fn objects(&self) -> watch::Receiver<PolicyObjects> {
        self.objects.subscribe()
    }

    async fn write_status(&self, object: &PolicyObject, status: &serde_json::Value) -> Result<(), StoreError> {
        self.written.fetch_add(1, Ordering::SeqCst);
        self.objects.send_modify(|all| {
            let key = |known: &Arc<PolicyObject>| (known.namespace.clone(), known.name.clone());
            let wanted = (object.namespace.clone(), object.name.clone());
            if let Ok(place) = all.objects.binary_search_by_key(&wanted, key) {
                let objects = Arc::make_mut(&mut all.objects);
                let (resource_version, status) = (format!("{}1", object.resource_version), status.to_string());
                objects[place] = Arc::new(PolicyObject { resource_version, status, ..objects[place].as_ref().clone() });
            }
        });
        Ok(())
    }

    async fn set_paused(&self, _: &str, _: &str, _: bool) -> Result<String, StoreError> {
        Err(StoreError::Gone)
    }

    async fn record_event(&self, _: PolicyEvent) -> Result<(), StoreError> {
        Ok(())
    }
}
