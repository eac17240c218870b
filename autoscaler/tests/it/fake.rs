//! A cluster in memory for tests: does what it is asked at once, keeps what it was asked, and hangs or refuses on demand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use cluster::{
    Cluster, ClusterError, Container, Event, Replica, ReplicaState, Replicas, Resources, Rollout, Workload,
    WorkloadKind, WorkloadRef,
};
use protocol::quantity::Quantity;
use tokio::sync::watch;

/// One Deployment, `shop/order`, whose replicas are always ready.
pub struct FakeCluster {
    /// Replicas asked for.
    pub desired: Mutex<u32>,
    /// What it was asked to write.
    pub writes: Mutex<Vec<u32>>,
    /// What it was told.
    pub events: Mutex<Vec<Event>>,
    /// Whether it answers at all.
    pub hangs: AtomicBool,
    /// Whether it accepts writes.
    pub refuses: AtomicBool,
    /// Whether it carries writes out and does not say so.
    pub loses_answers: AtomicBool,
    /// What the container is to have; its replicas may have other resources yet.
    pub wanted: Mutex<Resources>,
    /// What its replicas have.
    pub given: Mutex<Resources>,
    /// What it was asked to give the container.
    pub resized: Mutex<Vec<Resources>>,
    /// What it was told of which replicas are to go first.
    pub costs: Mutex<Vec<(String, i32)>>,
    /// Others that steer the Deployment.
    pub conflicts: Mutex<Vec<String>>,
    changes: watch::Sender<u64>,
}

/// The Deployment.
pub fn order() -> WorkloadRef {
    WorkloadRef { kind: WorkloadKind::Deployment, namespace: "shop".to_owned(), name: "order".to_owned() }
}

fn small() -> Resources {
    let amount = |text: &str| Quantity::parse(text).ok();
    Resources { cpu_request: amount("100m"), memory_request: amount("64Mi"), ..Resources::default() }
}

impl FakeCluster {
    pub fn with(replicas: u32) -> Self {
        Self {
            desired: Mutex::new(replicas),
            writes: Mutex::default(),
            events: Mutex::default(),
            hangs: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            loses_answers: AtomicBool::new(false),
            wanted: Mutex::new(small()),
            given: Mutex::new(small()),
            resized: Mutex::default(),
            costs: Mutex::default(),
            conflicts: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    pub fn replicas(&self) -> u32 {
        *self.desired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self) {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Cluster for FakeCluster {
    async fn workloads(&self) -> Result<Vec<Workload>, ClusterError> {
        self.answer().await;
        let resources = *self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let replica = |index: u32| Replica {
            name: format!("order-{index}"),
            state: ReplicaState::Running,
            ready: true,
            started_at_ms: Some(1_000),
            ready_changed_at_ms: Some(2_000),
            restarts: 0,
            containers: vec![Container { name: "order".to_owned(), resources }],
            resize: None,
            node: String::new(),
            message: String::new(),
        };
        let replicas = self.replicas();
        Ok(vec![Workload {
            reference: order(),
            desired: Replicas(replicas),
            replicas: (0..replicas).map(replica).collect(),
            rollout: Rollout::Complete,
            conflicts: self.conflicts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }])
    }

    async fn wanted(&self, _: &WorkloadRef) -> Result<Vec<Container>, ClusterError> {
        let resources = *self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(vec![Container { name: "order".to_owned(), resources }])
    }

    async fn specified(&self, _: &WorkloadRef) -> Result<Vec<Container>, ClusterError> {
        Ok(vec![Container { name: "order".to_owned(), resources: small() }])
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn set_replicas(&self, workload: &WorkloadRef, replicas: Replicas) -> Result<(), ClusterError> {
        self.answer().await;
        if self.refuses.load(Ordering::SeqCst) {
            return Err(ClusterError::Refused { workload: workload.clone(), reason: "an HPA owns it".to_owned() });
        }
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).push(replicas.0);
        *self.desired.lock().unwrap_or_else(PoisonError::into_inner) = replicas.0;
        if self.loses_answers.load(Ordering::SeqCst) {
            return Err(ClusterError::Unknown { workload: workload.clone(), reason: "no answer".to_owned() });
        }
        Ok(())
    }

    async fn resize(&self, _: &WorkloadRef, _: &str, resources: Resources) -> Result<(), ClusterError> {
        self.resized.lock().unwrap_or_else(PoisonError::into_inner).push(resources);
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = resources;
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = resources;
        Ok(())
    }

    async fn roll_out(&self, _: &WorkloadRef, _: &str, _: Resources) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn set_deletion_costs(&self, _: &WorkloadRef, costs: &[(String, i32)]) -> Result<(), ClusterError> {
        *self.costs.lock().unwrap_or_else(PoisonError::into_inner) = costs.to_vec();
        Ok(())
    }

    async fn record_event(&self, event: Event) -> Result<(), ClusterError> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        Ok(())
    }

    async fn events(&self, limit: usize) -> Result<Vec<Event>, ClusterError> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(events.iter().rev().take(limit).cloned().collect())
    }
}
