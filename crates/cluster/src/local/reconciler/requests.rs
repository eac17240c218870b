//! What may be asked of the runtime: another number of replicas, other resources, other manifests.

use super::deployment::Deployment;
use super::{REPLICAS_MAX, Reconciler, Request};
use crate::local::manifest::Manifests;
use crate::{ClusterError, EventKind, Replicas, Resources, WorkloadRef};

impl Reconciler {
    /// Carries out a request; the answer is sent when everybody can see what it changed.
    pub(super) fn take_request(&mut self, request: Request) {
        let (result, reply) = match request {
            Request::SetReplicas { workload, replicas, reply } => (self.set_replicas(&workload, replicas), reply),
            Request::Resize { workload, container, resources, reply } => {
                (self.resize(&workload, &container, resources), reply)
            }
            Request::Apply { manifests, reply } => (self.apply(*manifests), reply),
        };
        self.answers.push((reply, result));
    }

    pub(super) fn send_answers(&mut self) {
        for (reply, result) in self.answers.drain(..) {
            // Who no longer waits for the answer does not miss it.
            drop(reply.send(result));
        }
    }

    fn find(&self, workload: &WorkloadRef) -> Result<usize, ClusterError> {
        let found = self.deployments.iter().position(|d| d.spec.reference == *workload && !d.removed);
        found.ok_or_else(|| ClusterError::NotFound { workload: workload.clone() })
    }

    fn set_replicas(&mut self, workload: &WorkloadRef, replicas: Replicas) -> Result<(), ClusterError> {
        let index = self.find(workload)?;
        if replicas.0 > REPLICAS_MAX {
            let reason = format!("{} replicas are more than the {REPLICAS_MAX} that may run here", replicas.0);
            return Err(ClusterError::Refused { workload: workload.clone(), reason });
        }
        let before = std::mem::replace(&mut self.deployments[index].desired, replicas.0);
        if before != replicas.0 {
            let direction = if replicas.0 > before { "up" } else { "down" };
            let message = format!("scaled {direction} from {before} to {}", replicas.0);
            self.tell(index, EventKind::Normal, "ScalingReplicaSet", message);
        }
        Ok(())
    }

    fn resize(&mut self, workload: &WorkloadRef, container: &str, resources: Resources) -> Result<(), ClusterError> {
        let index = self.find(workload)?;
        let refused = |reason: String| ClusterError::Refused { workload: workload.clone(), reason };
        let own = &self.deployments[index].spec.template.container.name;
        if own != container {
            return Err(refused(format!("it has no container {container:?}, only {own:?}")));
        }
        check(&resources).map_err(refused)?;
        let deployment = &mut self.deployments[index];
        if deployment.resources == resources {
            return Ok(());
        }
        deployment.resources = resources;
        let mut ids = Vec::new();
        for pod in deployment.pods.iter_mut().filter(|pod| !pod.is_ending()) {
            pod.resources = resources;
            ids.push(pod.id);
        }
        ids.into_iter().for_each(|id| self.set_limits(index, id));
        let enforced = if self.surroundings.cgroups.enforce() { "" } else { " (not enforced)" };
        let message = format!("{container} now has {}{enforced}", describe(&resources));
        self.tell(index, EventKind::Normal, "Resized", message);
        Ok(())
    }

    fn apply(&mut self, manifests: Manifests) -> Result<(), ClusterError> {
        if manifests.services != self.manifests.services {
            let reason = "Services cannot change while the local runtime runs: start it again".to_owned();
            return Err(ClusterError::Unavailable { reason });
        }
        for deployment in &mut self.deployments {
            if !manifests.workloads().any(|workload| *workload == deployment.spec.reference) {
                (deployment.removed, deployment.desired) = (true, 0);
            }
        }
        for spec in &manifests.deployments {
            match self.deployments.iter_mut().find(|d| d.spec.reference == spec.reference) {
                Some(deployment) => {
                    if std::mem::take(&mut deployment.removed) {
                        deployment.desired = spec.replicas;
                    }
                    deployment.update(spec.clone());
                }
                None => self.deployments.push(Deployment::new(spec.clone())),
            }
        }
        self.manifests = manifests;
        Ok(())
    }
}

fn check(resources: &Resources) -> Result<(), String> {
    let pairs = [
        ("cpu", resources.cpu_request, resources.cpu_limit),
        ("memory", resources.memory_request, resources.memory_limit),
    ];
    for (name, request, limit) in pairs {
        if limit.is_some_and(|limit| limit.millis() <= 0) || request.is_some_and(|request| request.millis() < 0) {
            return Err(format!("{name} must be positive"));
        }
        if let (Some(request), Some(limit)) = (request, limit)
            && request > limit
        {
            return Err(format!("the {name} request {request} is more than its limit {limit}"));
        }
    }
    Ok(())
}

fn describe(resources: &Resources) -> String {
    let text = |quantity: Option<protocol::quantity::Quantity>| quantity.map_or("none".to_owned(), |q| q.to_string());
    format!(
        "cpu {} up to {}, memory {} up to {}",
        text(resources.cpu_request),
        text(resources.cpu_limit),
        text(resources.memory_request),
        text(resources.memory_limit)
    )
}
