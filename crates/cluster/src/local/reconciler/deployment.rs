//! One Deployment and its replicas as the reconciler keeps them, and how far its rollout has come.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::Id;
use tokio::time::Instant;

use super::Reconciler;
use crate::local::cgroup::Cgroup;
use crate::local::manifest::model::{self, Port, Template};
use crate::local::proxy::InFlight;
use crate::local::replica::Order;
use crate::local::rollout::{self, Bounds, Plan};
use crate::{EventKind, ReplicaState, Resources, Rollout};

/// A Deployment.
pub(super) struct Deployment {
    /// As written, its template being the one to roll out to.
    pub spec: model::Deployment,
    pub revision: u64,
    /// The last template of which all replicas were available, to go back to.
    pub proven: Option<Template>,
    pub desired: u32,
    /// What new replicas are given: the template's, or what `resize` asked for.
    pub resources: Resources,
    pub rollout: Rollout,
    pub pods: Vec<Pod>,
    /// No longer among the manifests: goes when its last replica has gone.
    pub removed: bool,
    /// When a replica of this revision last became available, and how many there were at most.
    progress: (Instant, usize),
    overdue: bool,
    /// The last reason why a replica could not be created, so that it is told once.
    pub create_failure: Option<String>,
}

/// A replica.
pub(super) struct Pod {
    pub id: u64,
    pub name: String,
    pub revision: u64,
    pub ip: IpAddr,
    pub labels: Arc<BTreeMap<String, String>>,
    pub annotations: Arc<BTreeMap<String, String>>,
    pub ports: Arc<[Port]>,
    pub state: ReplicaState,
    pub ready: bool,
    pub ready_since: Option<Instant>,
    pub started_at_ms: Option<i64>,
    pub ready_changed_at_ms: Option<i64>,
    pub restarts: u32,
    /// Those with the lowest are ended first.
    pub deletion_cost: i32,
    pub message: String,
    pub pid: Option<u32>,
    pub resources: Resources,
    /// Until then, or until it is ready, the CPU limit is left off.
    pub boosted_until: Option<Instant>,
    pub cgroup: Option<Arc<Cgroup>>,
    pub oom_kills: u64,
    pub orders: watch::Sender<Order>,
    /// The task that lives its life.
    pub task: Option<Id>,
    pub in_flight: Arc<InFlight>,
}

impl Pod {
    pub fn is_ending(&self) -> bool {
        self.state == ReplicaState::Terminating
    }
}

impl Deployment {
    pub fn new(spec: model::Deployment) -> Self {
        let resources = spec.template.container.resources.into();
        Self {
            revision: spec.template.revision(),
            proven: None,
            desired: spec.replicas,
            resources,
            rollout: Rollout::Progressing,
            pods: Vec::new(),
            removed: false,
            progress: (Instant::now(), 0),
            overdue: false,
            create_failure: None,
            spec,
        }
    }

    /// Begins to roll out another version of the Deployment.
    pub fn update(&mut self, spec: model::Deployment) {
        if spec.replicas != self.spec.replicas {
            // Only when the manifest itself changed: what an autoscaler set since is not undone by applying again.
            self.desired = spec.replicas;
        }
        let template_changed = spec.template != self.spec.template;
        if spec.template.container.resources != self.spec.template.container.resources {
            self.resources = spec.template.container.resources.into();
        }
        self.spec = spec;
        if template_changed {
            self.begin(Rollout::Progressing);
        }
    }

    fn begin(&mut self, rollout: Rollout) {
        self.revision = self.spec.template.revision();
        self.rollout = rollout;
        self.progress = (Instant::now(), 0);
        self.overdue = false;
        self.create_failure = None;
    }

    fn is_available(&self, pod: &Pod, now: Instant) -> bool {
        pod.ready && pod.ready_since.is_some_and(|since| now.duration_since(since) >= self.spec.min_ready)
    }

    pub fn plan(&self, now: Instant) -> Plan {
        let living = self.pods.iter().filter(|pod| !pod.is_ending());
        let replicas: Vec<_> = living
            .map(|pod| rollout::Replica {
                id: pod.id,
                current: pod.revision == self.revision,
                available: self.is_available(pod, now),
                cost: pod.deletion_cost,
            })
            .collect();
        let bounds = Bounds {
            surge: self.spec.max_surge.rounded_up(self.desired),
            unavailable: self.spec.max_unavailable.rounded_down(self.desired),
        };
        rollout::plan(&replicas, self.desired, bounds)
    }
}

impl Reconciler {
    /// Notes progress, completion or failure of a rollout; whether anything changed.
    pub(super) fn observe_rollout(&mut self, index: usize, now: Instant) -> bool {
        let deployment = &mut self.deployments[index];
        let ours = |pod: &&Pod| pod.revision == deployment.revision && !pod.is_ending();
        let available = deployment.pods.iter().filter(ours).filter(|pod| deployment.is_available(pod, now)).count();
        let old = deployment.pods.iter().any(|pod| pod.revision != deployment.revision && !pod.is_ending());
        if available >= deployment.desired as usize && !old {
            if deployment.proven.as_ref() != Some(&deployment.spec.template) {
                deployment.proven = Some(deployment.spec.template.clone());
            }
            let was_progressing = deployment.rollout == Rollout::Progressing;
            if was_progressing {
                deployment.rollout = Rollout::Complete;
            }
            return was_progressing;
        }
        if deployment.rollout != Rollout::Progressing {
            return false;
        }
        if available > deployment.progress.1 {
            deployment.progress = (now, available);
        }
        if now.duration_since(deployment.progress.0) < deployment.spec.progress_deadline || deployment.overdue {
            return false;
        }
        deployment.overdue = true;
        self.give_up_rollout(index);
        true
    }

    /// The new version did not become ready in time: back to the last one that did, if there is one.
    fn give_up_rollout(&mut self, index: usize) {
        let deployment = &mut self.deployments[index];
        let culprit = deployment.pods.iter().find(|pod| pod.revision == deployment.revision && !pod.ready);
        let told = culprit.map_or_else(
            || deployment.create_failure.clone().unwrap_or_else(|| "no replica was created".to_owned()),
            |pod| format!("{}: {}", pod.name, pod.message),
        );
        let deadline = deployment.spec.progress_deadline;
        let reason = format!("no further replica became ready within {deadline:?}; {told}");
        let workload = deployment.spec.reference.clone();
        let event = match deployment.proven.clone().filter(|proven| *proven != deployment.spec.template) {
            Some(proven) => {
                deployment.resources = proven.container.resources.into();
                deployment.spec.template = proven;
                deployment.begin(Rollout::RolledBack { reason: reason.clone() });
                "ReplicaSetRolledBack"
            }
            None => "ProgressDeadlineExceeded",
        };
        let Self { surroundings, .. } = self;
        surroundings.events.tell(surroundings.clock.now_ms(), &workload, EventKind::Warning, event, reason);
    }
}
