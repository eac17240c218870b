//! What others see of the reconciler's state: the replicas behind each Service, and the snapshot.

use std::net::SocketAddr;
use std::sync::Arc;

use super::deployment::{Deployment, Pod};
use super::{Endpoint, Reconciler};
use crate::local::proxy::Backend;
use crate::local::snapshot::{self, Snapshot};
use crate::{Container, Replica, Replicas, Workload};

impl Reconciler {
    /// Tells every route which replicas are ready now.
    pub(super) fn update_endpoints(&self) {
        for endpoint in self.surroundings.endpoints.iter() {
            let known = endpoint.route.backends();
            let mut backends = Vec::new();
            for (deployment, pod) in self.pods().filter(|(_, pod)| pod.ready && !pod.is_ending()) {
                if let Some(address) = address_for(endpoint, deployment, pod) {
                    let kept = known.iter().find(|backend| backend.pod == pod.name).cloned();
                    backends.push(kept.unwrap_or_else(|| Backend::new(&pod.name, address, pod.in_flight.clone())));
                }
            }
            let same = known.len() == backends.len() && known.iter().zip(&backends).all(|(a, b)| Arc::ptr_eq(a, b));
            if !same {
                endpoint.route.set_backends(backends);
            }
        }
    }

    fn pods(&self) -> impl Iterator<Item = (&Deployment, &Pod)> {
        self.deployments.iter().flat_map(|deployment| deployment.pods.iter().map(move |pod| (deployment, pod)))
    }

    /// Shows everybody the state of now.
    pub(super) fn publish(&mut self) {
        let mut order: Vec<&Deployment> = self.deployments.iter().collect();
        order.sort_by(|a, b| a.spec.reference.cmp(&b.spec.reference));
        let snapshot = Snapshot {
            workloads: order.iter().map(|deployment| workload(deployment)).collect(),
            wanted: order.iter().map(|deployment| wanted(deployment)).collect(),
            specified: order.iter().map(|deployment| specified(deployment)).collect(),
            pods: order.iter().flat_map(|d| d.pods.iter().map(|pod| detailed(d, pod))).collect(),
        };
        self.snapshot.send_replace(Arc::new(snapshot));
        self.changes.send_modify(|version| *version += 1);
    }
}

fn address_for(endpoint: &Endpoint, deployment: &Deployment, pod: &Pod) -> Option<SocketAddr> {
    if !endpoint.service.selects(&deployment.spec.reference.namespace, &pod.labels) {
        return None;
    }
    let port = endpoint.service.ports.get(endpoint.port)?.resolve(&pod.ports)?;
    Some(SocketAddr::new(pod.ip, port))
}

fn specified(deployment: &Deployment) -> Vec<Container> {
    let container = &deployment.spec.template.container;
    vec![Container { name: container.name.clone(), resources: container.resources.into() }]
}

fn wanted(deployment: &Deployment) -> Vec<Container> {
    let name = deployment.spec.template.container.name.clone();
    vec![Container { name, resources: deployment.resources }]
}

fn workload(deployment: &Deployment) -> Workload {
    let container = &deployment.spec.template.container.name;
    let replica = |pod: &Pod| Replica {
        name: pod.name.clone(),
        state: pod.state,
        ready: pod.ready,
        started_at_ms: pod.started_at_ms,
        ready_changed_at_ms: pod.ready_changed_at_ms,
        restarts: pod.restarts,
        containers: vec![Container { name: container.clone(), resources: pod.resources }],
        resize: None,
        node: String::new(),
        message: pod.message.clone(),
    };
    Workload {
        reference: deployment.spec.reference.clone(),
        desired: Replicas(deployment.desired),
        replicas: deployment.pods.iter().map(replica).collect(),
        rollout: deployment.rollout.clone(),
        conflicts: Vec::new(),
    }
}

fn detailed(deployment: &Deployment, pod: &Pod) -> snapshot::Pod {
    snapshot::Pod {
        name: pod.name.clone(),
        namespace: deployment.spec.reference.namespace.clone(),
        deployment: deployment.spec.reference.name.clone(),
        container: deployment.spec.template.container.name.clone(),
        ip: pod.ip,
        labels: pod.labels.clone(),
        annotations: pod.annotations.clone(),
        ports: pod.ports.clone(),
        ready: pod.ready,
        state: pod.state,
        pid: pod.pid,
        cgroup: pod.cgroup.clone(),
    }
}
