//! Other resources for running pods, without a restart (KEP-1287). What is planned is written to the workload first, so that it
//! outlives this process; then to its pods, and by `keep_sizes` to those that come later or were missed. Waiting for room
//! (Deferred) is the kubelet's part, and what it calls Infeasible is as planned already, so that neither is asked for again.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use kube::api::Patch;
use lifecycle::CancellationToken;
use parking_lot::Mutex;
use protocol::quantity::Quantity;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::patience::BackOff;
use super::state::{Key, PodTarget};
use super::steering::{Steering, WRITES_AT_ONCE};
use super::wire::Pod;
use super::writing::{Failure, Place};
use crate::{ClusterError, Event, EventKind, Resources, WorkloadRef};
use plan::{Change, Nodes, Planned, Role, Step, step};
use quota::Growth;

pub(super) mod plan;
pub(super) mod quota;

/// Changes come in bursts; pods that come together are looked at together.
const GATHER: Duration = Duration::from_millis(100);

/// Looking takes at most one part in so many of the time, however large the cluster is.
const LOOK_SHARE: u32 = 20;

/// Pods are looked at this often even if nothing seems to change.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

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
        let target = self.target(workload)?;
        let refused = |reason: String| ClusterError::Refused { workload: workload.clone(), reason };
        let mut planned = target.planned.clone();
        planned.insert(container.to_owned(), resources);
        let (pods, rooms, quotas) = {
            let state = self.picture.state.lock();
            (state.living_pods(workload), state.rooms(), state.quotas(&workload.namespace))
        };
        // Pods yet to come are made from the template: it must be able to get there too.
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
        if planned != target.planned {
            self.write_plan(workload, &target, &planned).await?;
        }
        let Err((failure, all_failed)) = self.resize_pods(claimed).await else { return Ok(()) };
        if all_failed && matches!(failure, Failure::Denied { .. } | Failure::Forbidden { .. }) {
            // What the cluster forbids is not kept as a plan, or it would be carried out later, when nobody asks for it any more.
            let back = self.write_plan(workload, &self.target(workload)?, &target.planned).await;
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
        // What `keep_sizes` left to us it is to look at again.
        self.picture.changed(results.iter().any(|(_, result)| result.is_err()));
        let failed = results.into_iter().filter_map(|(pod, result)| Some((pod, result.err()?)));
        // What changed meanwhile is seen again by `keep_sizes`; who went needs nothing.
        let mut failed =
            failed.filter(|(_, failure)| !matches!(failure, Failure::Conflict | Failure::NotFound)).peekable();
        let Some((first, failure)) = failed.next() else { return Ok(()) };
        let count = 1 + failed.count();
        let name = first.key.name().to_owned();
        let counted = move |reason: String| format!("{count} of {all} pods, such as {name}: {reason}");
        let failure = match failure {
            Failure::Denied { reason } => Failure::Denied { reason: counted(reason) },
            Failure::Unavailable { reason } => Failure::Unavailable { reason: counted(reason) },
            other => other,
        };
        Err((failure, count == all))
    }

    async fn resize_pod(&self, pod: &PodTarget, changes: &[Change]) -> Result<(), Failure> {
        let place = Place::pod(pod.key.namespace(), pod.key.name()).sub("resize");
        let changed: Pod = self.writer.patch(place, &Patch::Strategic(patch(pod, changes))).await?;
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

/// The same kind of trouble with a workload's pods is told of at most this often, however many of them it meets, and in the
/// same words only once: as often as `recording` writes that an event came again.
const TELL_AGAIN: Duration = Duration::from_secs(5 * 60);

/// When and what was told last: of which workload, and which kind of failure, or that it cannot be done in place.
type Told = HashMap<(WorkloadRef, Option<Discriminant<Failure>>), (Instant, String)>;

/// What did not bring a pod to its size.
#[derive(Debug)]
struct Setback {
    /// Another plan may fare better at once, and another generation, unless the API server took the change and the pod still
    /// differs: then somebody else changes it, and each of their changes is another generation.
    generation: Option<i64>,
    changes: Vec<Change>,
    again: Instant,
    back_off: BackOff,
}

/// Brings pods to the sizes planned for them, as long as this process leads, until `shutdown`.
pub(super) async fn keep_sizes(steering: Arc<Steering>, shutdown: CancellationToken) -> Result<(), Infallible> {
    let mut changes = steering.picture.changes.subscribe();
    let mut setbacks: HashMap<Key, Setback> = HashMap::new();
    let mut told = Told::new();
    let mut gather = GATHER;
    loop {
        let next = setbacks.values().map(|setback| setback.again).min();
        let next = next.unwrap_or_else(|| Instant::now() + LOOK_AGAIN).min(Instant::now() + LOOK_AGAIN);
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
            () = sleep_until(next) => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = async {
                sleep(gather).await;
                changes.mark_unchanged();
                gather = look(&steering, &mut setbacks, &mut told).await.saturating_mul(LOOK_SHARE).max(GATHER);
            } => {}
        }
    }
}

/// Looks for pods that are not of their planned size, and resizes them; answers how long the looking took.
async fn look(steering: &Steering, setbacks: &mut HashMap<Key, Setback>, told: &mut Told) -> Duration {
    let leads = steering.writer.fence.as_ref().is_none_or(|fence| fence.check().is_ok());
    if !leads {
        // Whoever leads next begins anew, and a setback that has passed must not wake who may do nothing.
        setbacks.clear();
    }
    if !leads || steering.picture.board.judge().trouble().is_some() {
        return Duration::ZERO;
    }
    let began = Instant::now();
    let missized = steering.picture.state.lock().missized();
    let looked = began.elapsed();
    let pods: HashSet<&Key> = missized.iter().map(|(_, pod, _)| &pod.key).collect();
    setbacks.retain(|key, _| pods.contains(key));
    let workloads: HashSet<&WorkloadRef> = missized.iter().map(|(workload, _, _)| workload).collect();
    told.retain(|(workload, _), (at, _)| at.elapsed() < TELL_AGAIN || workloads.contains(workload));
    let now = Instant::now();
    let mut todo = Vec::new();
    for (workload, pod, step) in missized {
        match step {
            Step::Nothing => {}
            Step::Refused(reason) => tell(steering, told, (&workload, None), &pod, &reason).await,
            Step::Patch(changes) => {
                let again = setbacks.get(&pod.key).is_none_or(|setback| {
                    let other = setback.generation.is_some_and(|generation| generation != pod.generation);
                    now >= setback.again || other || setback.changes != changes
                });
                if let Some(claim) = again.then(|| steering.claim(&pod.key)).flatten() {
                    todo.push((claim, workload, pod, changes));
                }
            }
        }
    }
    resize_missized(steering, setbacks, told, todo).await;
    looked
}

async fn resize_missized(
    steering: &Steering,
    setbacks: &mut HashMap<Key, Setback>,
    told: &mut Told,
    todo: Vec<(Claim, WorkloadRef, PodTarget, Vec<Change>)>,
) {
    let patches = todo.into_iter().map(|(claim, workload, pod, changes)| async move {
        let result = steering.resize_pod(&pod, &changes).await;
        drop(claim);
        (workload, pod, changes, result)
    });
    let results: Vec<_> = stream::iter(patches).buffer_unordered(WRITES_AT_ONCE).collect().await;
    for (workload, pod, changes, result) in results {
        let mut back_off = setbacks.get(&pod.key).map(|setback| setback.back_off).unwrap_or_default();
        let wait = match &result {
            Err(Failure::Conflict | Failure::NotLeader { .. }) => continue,
            // Said to be gone, though no watch says so, or not answered at all: it may pass by itself.
            Err(Failure::NotFound | Failure::Unavailable { .. }) => back_off.next(),
            // The pod is of its size now, and this is forgotten at the next look, or somebody else changes what we write.
            Ok(()) | Err(_) => back_off.slow(),
        };
        let generation = result.is_err().then_some(pod.generation);
        let setback = Setback { generation, changes, again: Instant::now() + wait, back_off };
        setbacks.insert(pod.key.clone(), setback);
        match result {
            Ok(()) => tracing::info!(%workload, pod = pod.key.name(), "a pod was resized as planned"),
            Err(Failure::NotFound) => {}
            Err(failure) => {
                let reason = failure.clone().about(&workload).to_string();
                tell(steering, told, (&workload, Some(&failure)), &pod, &reason).await;
            }
        }
    }
}

/// Says once in a while for each workload and kind of failure why pods are not of their planned size.
async fn tell(
    steering: &Steering,
    told: &mut Told,
    (workload, failure): (&WorkloadRef, Option<&Failure>),
    pod: &PodTarget,
    reason: &str,
) {
    let kind = (workload.clone(), failure.map(discriminant));
    if told.get(&kind).is_some_and(|(at, known)| at.elapsed() < TELL_AGAIN || known == reason) {
        return;
    }
    told.insert(kind, (Instant::now(), reason.to_owned()));
    let pod = pod.key.name();
    tracing::warn!(%workload, pod, reason, "a pod is not of its planned size");
    let at_ms = steering.picture.clock.now_ms();
    let message = format!("{pod} is not of its planned size: {reason}");
    let (kind, reason) = (EventKind::Warning, "ResizeRefused".to_owned());
    let event = Event { at_ms, workload: workload.clone(), kind, reason, message };
    if let Err(error) = steering.record_event(event).await {
        tracing::warn!(%error, "an event could not be recorded");
    }
}
