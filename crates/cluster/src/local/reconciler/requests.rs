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
            Request::RollOut { workload, container, resources, reply } => {
                (self.roll_out(&workload, &container, resources), reply)
            }
            Request::SetDeletionCosts { workload, costs, reply } => (self.set_deletion_costs(&workload, &costs), reply),
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
        let index = self.find_container(workload, container, &resources)?;
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
        let message = format!("{container} now has {resources}{enforced}");
        self.tell(index, EventKind::Normal, "Resized", message);
        Ok(())
    }

    fn roll_out(&mut self, workload: &WorkloadRef, container: &str, resources: Resources) -> Result<(), ClusterError> {
        let index = self.find_container(workload, container, &resources)?;
        let mut spec = self.deployments[index].spec.clone();
        spec.template.container.resources = resources.into();
        if spec.template == self.deployments[index].spec.template {
            return Ok(());
        }
        self.deployments[index].update(spec);
        self.tell(index, EventKind::Normal, "RollingOut", format!("{container} gets {resources}"));
        Ok(())
    }

    fn set_deletion_costs(&mut self, workload: &WorkloadRef, costs: &[(String, i32)]) -> Result<(), ClusterError> {
        let index = self.find(workload)?;
        for (name, cost) in costs {
            if let Some(pod) = self.deployments[index].pods.iter_mut().find(|pod| pod.name == *name) {
                pod.deletion_cost = *cost;
            }
        }
        Ok(())
    }

    /// The workload's position, if it has such a container and that may have such resources.
    fn find_container(
        &self,
        workload: &WorkloadRef,
        container: &str,
        resources: &Resources,
    ) -> Result<usize, ClusterError> {
        let index = self.find(workload)?;
        let refused = |reason: String| ClusterError::Refused { workload: workload.clone(), reason };
        let own = &self.deployments[index].spec.template.container.name;
        if own != container {
            return Err(refused(format!("it has no container {container:?}, only {own:?}")));
        }
        resources.check().map_err(refused)?;
        Ok(index)
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
