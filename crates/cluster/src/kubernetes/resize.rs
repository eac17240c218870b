//! Other resources for running pods, without a restart (KEP-1287). What is planned is written to the workload first, so that it
//! outlives this process; then to its pods, and by `keeper` to those that come later or were missed. Waiting for room (Deferred)
//! is the kubelet's part, and what it calls Infeasible is as planned already, so that neither is asked for again.

use std::collections::HashSet;
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use kube::api::Patch;
use parking_lot::Mutex;
use protocol::quantity::Quantity;
use serde_json::{Map, Value, json};

use super::doubts::Doubt;
use super::state::{Key, PodTarget};
use super::steering::{Steering, WRITES_AT_ONCE};
use super::wire::Pod;
use super::writing::{Failure, Place};
use crate::{ClusterError, Resources, WorkloadRef};
use plan::{Change, Nodes, Planned, Role, Step, out_of_reach, step};
use quota::Growth;

pub(super) mod annotation;
pub(super) mod keeper;
pub(super) mod plan;
pub(super) mod quota;

/// The list of a pod's specification in which containers of a role are.
pub(super) fn list_of(role: Role) -> &'static str {
    match role {
        Role::Main => "containers",
        Role::Sidecar | Role::Init => "initContainers",
    }
}

impl Steering {
    /// Plans other resources for a container, and gives them to all pods that there are.
    pub async fn resize(
        &self,
        workload: &WorkloadRef,
        container: &str,
        resources: Resources,
    ) -> Result<(), ClusterError> {
        let target = self.target(workload).await?;
        let refused = |reason: String| ClusterError::Refused { workload: workload.clone(), reason };
        let mut planned = target.plan.sizes.clone();
        planned.insert(container.to_owned(), resources);
        let (pods, rooms, quotas) = {
            let state = self.picture.state.lock();
            (state.living_pods(workload), state.rooms(), state.quotas(&workload.namespace))
        };
        // Pods yet to come are made from the template: it must be able to get there too.
        if let Some(reason) = out_of_reach(&target.template, container) {
            return Err(refused(reason));
        }
        let of_container = Planned::from([(container.to_owned(), resources)]);
        if let Step::Refused(reason) = step(&target.template, &of_container, Nodes::Any(&rooms)) {
            return Err(refused(reason));
        }
        let mut growth = Growth::default();
        let mut todo: Vec<(PodTarget, Vec<Change>)> = Vec::new();
        for pod in pods {
            match step(&pod.shape, &planned, pod.nodes(&rooms)) {
                Step::Nothing => {}
                Step::Refused(reason) => return Err(refused(format!("{}: {reason}", pod.key.name()))),
                Step::Patch(changes) => {
                    growth.add(&pod.shape.parts, &changes);
                    todo.push((pod, changes));
                }
            }
        }
        if let Some(reason) = quota::exceeded(quotas.iter(), &growth) {
            return Err(refused(reason));
        }
        // Whoever keeps sizes sees the plan at once; these pods are ours until they are done.
        let claimed = todo.into_iter().filter_map(|(pod, changes)| Some((self.claim(&pod.key)?, pod, changes)));
        let claimed: Vec<(Claim, PodTarget, Vec<Change>)> = claimed.collect();
        if planned != target.plan.sizes || target.plan.is_worn() {
            self.write_plan(workload, &target, &planned).await?;
        }
        let Err((failure, all_failed)) = self.resize_pods(claimed).await else { return Ok(()) };
        if all_failed && matches!(failure, Failure::Denied { .. } | Failure::Forbidden { .. }) {
            // What the cluster forbids is not kept as a plan, or it would be carried out later, when nobody asks for it any more.
            let back = self.write_plan(workload, &self.target(workload).await?, &target.plan.sizes).await;
            if let Err(error) = back {
                tracing::warn!(%workload, %error, "a plan that was refused could not be taken back");
            }
        }
        Err(failure.about(workload))
    }

    /// Resizes all of them; answers the first failure, counted, and whether all failed.
    async fn resize_pods(&self, todo: Vec<(Claim, PodTarget, Vec<Change>)>) -> Result<(), (Failure, bool)> {
        let all = todo.len();
        let patches = todo.into_iter().map(|(claim, pod, changes)| async move {
            let result = self.resize_pod(&pod, &changes).await;
            drop(claim);
            (pod, result)
        });
        let results: Vec<(PodTarget, Result<(), Failure>)> =
            stream::iter(patches).buffer_unordered(WRITES_AT_ONCE).collect().await;
        // What `keeper` left to us it is to look at again.
        self.picture.changed(results.iter().any(|(_, result)| result.is_err()));
        let failed = results.into_iter().filter_map(|(pod, result)| Some((pod, result.err()?)));
        // What changed meanwhile is seen again by `keeper`; who went needs nothing.
        let mut failed =
            failed.filter(|(_, failure)| !matches!(failure, Failure::Conflict | Failure::NotFound)).peekable();
        let Some((first, failure)) = failed.next() else { return Ok(()) };
        let count = 1 + failed.count();
        let name = first.key.name().to_owned();
        let counted = move |reason: String| format!("{count} of {all} pods, such as {name}: {reason}");
        let failure = match failure {
            Failure::Denied { reason } => Failure::Denied { reason: counted(reason) },
            Failure::Unavailable { reason } => Failure::Unavailable { reason: counted(reason) },
            Failure::Unknown { reason } => Failure::Unknown { reason: counted(reason) },
            other => other,
        };
        Err((failure, count == all))
    }

    async fn resize_pod(&self, pod: &PodTarget, changes: &[Change]) -> Result<(), Failure> {
        let place = Place::pod(pod.key.namespace(), pod.key.name()).sub("resize");
        let patch = Patch::Strategic(patch(pod, changes));
        let changed: Pod = self.doubted(Doubt::Pod(pod.key.clone()), self.writer.patch(place, &patch)).await?;
        let changed = self.picture.state.lock().answered_pod(&changed);
        self.picture.changed(changed);
        Ok(())
    }

    /// Nothing if somebody else is at it.
    fn claim(&self, pod: &Key) -> Option<Claim> {
        let claimed = self.in_hand.lock().insert(pod.clone());
        claimed.then(|| Claim { in_hand: Arc::clone(&self.in_hand), pod: pod.clone() })
    }
}

/// A pod is ours until this is dropped, even if who asked for the resize goes away in the midst of it.
struct Claim {
    in_hand: Arc<Mutex<HashSet<Key>>>,
    pod: Key,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.in_hand.lock().remove(&self.pod);
    }
}

/// The patch for `pods/resize`, on the version of the pod that was planned on.
fn patch(pod: &PodTarget, changes: &[Change]) -> Value {
    let mut spec: Map<String, Value> = Map::new();
    for change in changes {
        let entry = json!({ "name": change.container, "resources": set(&change.resources) });
        match spec.entry(list_of(change.role)).or_insert_with(|| json!([])) {
            Value::Array(list) => list.push(entry),
            other => *other = json!([entry]),
        }
    }
    json!({ "metadata": { "uid": pod.uid, "resourceVersion": pod.version }, "spec": spec })
}

/// Only what is set: nothing can be taken away in place.
fn set(resources: &Resources) -> Value {
    let amounts = |cpu: Option<Quantity>, memory: Option<Quantity>| {
        let cpu = cpu.map(|amount| ("cpu".to_owned(), json!(amount)));
        let memory = memory.map(|amount| ("memory".to_owned(), json!(amount)));
        Value::Object(cpu.into_iter().chain(memory).collect())
    };
    json!({
        "requests": amounts(resources.cpu_request, resources.memory_request),
        "limits": amounts(resources.cpu_limit, resources.memory_limit),
    })
}
