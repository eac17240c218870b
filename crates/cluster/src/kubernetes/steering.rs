//! What is asked of the cluster: replicas, a rolling update, who ends first, events. Each write carries the version that it was
//! planned on. Resizes in place are in `resize`.

use std::collections::HashSet;
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use kube::api::Patch;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Picture;
use super::doubts::{Doubt, Doubts};
use super::recording::{Entry, Recorder};
use super::resize::annotation;
use super::resize::plan::Planned;
use super::state::{Key, Target, Version};
use super::wire::{Bare, DELETION_COST_ANNOTATION, Deployed, PLANNED_ANNOTATION, Pod};
use super::writing::{Failure, Place, Writer};
use crate::{ClusterError, Container, Event, Replicas, Resources, WorkloadKind, WorkloadRef};

/// Pods written to at once: enough for a storm, few enough for an API server's fair share.
pub(super) const WRITES_AT_ONCE: usize = 8;

/// A workload's status changes while its pods start; a write that was planned before is sent so many times while what was asked
/// for (its generation) is still the same.
const ATTEMPTS: u32 = 4;

/// Everything that a write needs.
pub(super) struct Steering {
    pub writer: Writer,
    pub picture: Arc<Picture>,
    pub recorder: Recorder,
    pub reporter: String,
    /// Pods that are being resized, so that no two do it at once.
    pub in_hand: Arc<Mutex<HashSet<Key>>>,
    pub doubts: Doubts,
}

/// What a Scale says.
#[derive(Debug, Deserialize)]
struct Scale {
    metadata: super::wire::Meta,
    spec: ScaleSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ScaleSpec {
    replicas: u32,
}

impl Steering {
    /// What is known of a workload that something is asked of.
    pub async fn target(&self, workload: &WorkloadRef) -> Result<Target, ClusterError> {
        if let Some(reason) = self.picture.board.judge().trouble() {
            return Err(ClusterError::Unavailable { reason });
        }
        self.settle_doubts().await?;
        let target = self.picture.state.lock().target(workload);
        target.ok_or_else(|| ClusterError::NotFound { workload: workload.clone() })
    }

    pub async fn set_replicas(&self, workload: &WorkloadRef, replicas: Replicas) -> Result<(), ClusterError> {
        let target = self.target(workload).await?;
        if target.desired == replicas.0 {
            return Ok(());
        }
        let place = Place::workload(workload).sub("scale");
        let body = |version: &str| {
            let patch = json!({ "metadata": { "resourceVersion": version }, "spec": { "replicas": replicas.0 } });
            Patch::Merge(patch)
        };
        let scale: Scale = self.on_version(workload, &target.version, place, body).await?;
        let version = &scale.metadata.resource_version;
        self.picture.state.lock().scaled(workload, scale.spec.replicas, version);
        self.picture.changed(true);
        Ok(())
    }

    /// Writes on the version that was planned on, or a later one that asks for the same.
    async fn on_version<T: serde::de::DeserializeOwned>(
        &self,
        workload: &WorkloadRef,
        planned_on: &Version,
        place: Place<'_>,
        body: impl Fn(&str) -> Patch<Value>,
    ) -> Result<T, ClusterError> {
        let mut version = planned_on.resource.to_string();
        let doubt = || Doubt::Workload(workload.clone());
        for _ in 1..ATTEMPTS {
            match self.doubted(doubt(), self.writer.patch(place, &body(&version))).await {
                Err(Failure::Conflict) => {}
                other => return other.map_err(|failure| failure.about(workload)),
            }
            let now = self.writer.metadata(Place::workload(workload)).await;
            let Bare { metadata } = now.map_err(|failure| failure.about(workload))?;
            if metadata.generation != planned_on.generation {
                return Err(Failure::Conflict.about(workload));
            }
            version = metadata.resource_version;
        }
        let last = self.doubted(doubt(), self.writer.patch(place, &body(&version))).await;
        last.map_err(|failure| failure.about(workload))
    }

    /// What its containers are to have.
    pub async fn wanted(&self, workload: &WorkloadRef) -> Result<Vec<Container>, ClusterError> {
        self.target(workload).await?;
        let wanted = self.picture.state.lock().wanted(workload);
        wanted.ok_or_else(|| ClusterError::NotFound { workload: workload.clone() })
    }

    /// What they request by their manifest.
    pub async fn specified(&self, workload: &WorkloadRef) -> Result<Vec<Container>, ClusterError> {
        self.target(workload).await?;
        let specified = self.picture.state.lock().specified(workload);
        specified.ok_or_else(|| ClusterError::NotFound { workload: workload.clone() })
    }

    pub async fn roll_out(
        &self,
        workload: &WorkloadRef,
        container: &str,
        resources: Resources,
    ) -> Result<(), ClusterError> {
        let target = self.target(workload).await?;
        let Some(part) = target.template.part(container) else {
            let known: Vec<&str> = target.template.parts.iter().map(|part| &*part.name).collect();
            let reason = format!("it has no container {container:?}, only {}", known.join(", "));
            return Err(ClusterError::Refused { workload: workload.clone(), reason });
        };
        resources.check().map_err(|reason| ClusterError::Refused { workload: workload.clone(), reason })?;
        let mut planned = target.plan.sizes.clone();
        planned.remove(container);
        if part.resources == resources && planned == target.plan.sizes && !target.plan.is_worn() {
            return Ok(());
        }
        let list = super::resize::list_of(part.role);
        let body = |version: &str| {
            Patch::Strategic(json!({
                "metadata": { "resourceVersion": version, "annotations": annotation(&planned, &target) },
                "spec": { "template": { "spec": { list: [{ "name": container, "resources": merged(&resources) }] } } },
            }))
        };
        let place = Place::workload(workload);
        let changed: Deployed = self.on_version(workload, &target.version, place, body).await?;
        self.take_in(workload, &changed);
        Ok(())
    }

    /// Writes what sizes the pods of a workload are planned to have.
    pub async fn write_plan(
        &self,
        workload: &WorkloadRef,
        target: &Target,
        planned: &Planned,
    ) -> Result<(), ClusterError> {
        let body = |version: &str| {
            Patch::Merge(
                json!({ "metadata": { "resourceVersion": version, "annotations": annotation(planned, target) } }),
            )
        };
        let place = Place::workload(workload);
        let changed: Deployed = self.on_version(workload, &target.version, place, body).await?;
        self.take_in(workload, &changed);
        Ok(())
    }

    pub(super) fn take_in(&self, workload: &WorkloadRef, object: &Deployed) {
        let mut state = self.picture.state.lock();
        let changed = state.answered_workload(workload.kind, object);
        drop(state);
        self.picture.changed(changed);
    }

    pub async fn set_deletion_costs(
        &self,
        workload: &WorkloadRef,
        costs: &[(String, i32)],
    ) -> Result<(), ClusterError> {
        self.target(workload).await?;
        if workload.kind == WorkloadKind::StatefulSet {
            // It ends the one with the highest number first, whatever the costs.
            return Ok(());
        }
        let pods = self.picture.state.lock().living_pods(workload);
        let wanted = pods.into_iter().filter_map(|pod| {
            let (_, cost) = costs.iter().find(|(name, _)| name == pod.key.name())?;
            (pod.deletion_cost != *cost).then_some((pod, *cost))
        });
        let writes = wanted.map(|(pod, cost)| async move {
            let patch = Patch::Merge(json!({
                "metadata": { "uid": pod.uid, "annotations": { DELETION_COST_ANNOTATION: cost.to_string() } },
            }));
            let place = Place::pod(pod.key.namespace(), pod.key.name());
            match self.writer.patch::<Pod>(place, &patch).await {
                Ok(changed) => {
                    self.picture.state.lock().answered_pod(&changed);
                    Ok(())
                }
                // It went meanwhile, or another took its name.
                Err(Failure::NotFound | Failure::Conflict) => Ok(()),
                Err(failure) => Err(failure.about(workload)),
            }
        });
        let results: Vec<Result<(), ClusterError>> =
            stream::iter(writes).buffer_unordered(WRITES_AT_ONCE).collect().await;
        results.into_iter().collect()
    }

    pub async fn record_event(&self, event: Event) -> Result<(), ClusterError> {
        let uid = self.picture.state.lock().target(&event.workload).map(|target| target.uid).unwrap_or_default();
        match self.recorder.entry(&event, &uid, &self.reporter) {
            Entry::Nothing => return Ok(()),
            Entry::Count { name, body } => {
                let written = self.writer.patch::<Bare>(event_place(&event, &name), &Patch::Merge(body)).await;
                match written {
                    Ok(_) => return Ok(()),
                    // The cluster forgets events after an hour.
                    Err(Failure::NotFound) => self.recorder.forget(&event),
                    Err(failure) => return Err(failure.about(&event.workload)),
                }
            }
            Entry::Create { name, body } => return self.create_event(&event, event_place(&event, &name), &body).await,
        }
        match self.recorder.entry(&event, &uid, &self.reporter) {
            Entry::Create { name, body } => self.create_event(&event, event_place(&event, &name), &body).await,
            Entry::Count { .. } | Entry::Nothing => Ok(()),
        }
    }

    async fn create_event(&self, event: &Event, place: Place<'_>, body: &Value) -> Result<(), ClusterError> {
        self.writer.create(place, body).await.map_err(|failure| {
            self.recorder.forget(event);
            failure.about(&event.workload)
        })
    }
}

fn event_place<'a>(event: &'a Event, name: &'a str) -> Place<'a> {
    let namespace = &event.workload.namespace;
    Place { group: "events.k8s.io", plural: "events", namespace, name, subresource: None }
}

/// The annotation that keeps planned sizes; `null` takes it away.
fn annotation(planned: &Planned, over: &Target) -> Value {
    json!({ PLANNED_ANNOTATION: annotation::write(planned, &over.template) })
}

/// Resources as a patch: what is not set is taken away.
fn merged(resources: &Resources) -> Value {
    json!({
        "requests": { "cpu": resources.cpu_request, "memory": resources.memory_request },
        "limits": { "cpu": resources.cpu_limit, "memory": resources.memory_limit },
    })
}
