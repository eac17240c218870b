//! Brings pods to the sizes planned for them that come later or were missed, as long as this process leads; removes plans that a
//! newer template has overruled, and says once what stands in the way. Plans nothing itself.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use lifecycle::CancellationToken;
use tokio::time::{Instant, sleep, sleep_until};

use super::Claim;
use super::plan::{Change, Step};
use crate::kubernetes::patience::BackOff;
use crate::kubernetes::state::{Key, Missized, PodTarget, Target};
use crate::kubernetes::steering::{Steering, WRITES_AT_ONCE};
use crate::kubernetes::wire::PLANNED_ANNOTATION;
use crate::kubernetes::writing::{Failure, Place};
use crate::{ClusterError, Event, EventKind, WorkloadKind, WorkloadRef};

/// Changes come in bursts; pods that come together are looked at together.
const GATHER: Duration = Duration::from_millis(100);

/// Looking takes at most one part in so many of the time, however large the cluster is.
const LOOK_SHARE: u32 = 20;

/// Pods are looked at this often even if nothing seems to change.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What is overdue, such as a pod that somebody else has in hand, and whether this process leads and sees the cluster, is looked
/// at no more often than this: nothing tells of either.
const LOOK_SOON: Duration = Duration::from_secs(1);

/// The same kind of trouble with a workload's pods is told of at most this often, however many of them it meets, and in the
/// same words only once: as often as `recording` writes that an event came again.
const TELL_AGAIN: Duration = Duration::from_secs(5 * 60);

/// What is told of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Topic {
    /// A size cannot be had in place.
    Refused,
    /// A write was not taken.
    Failed(Discriminant<Failure>),
    /// A planned container is there no more.
    Gone(String),
    /// Its plan cannot be read.
    Unreadable,
    /// Its plan cannot be written anew.
    Unwritten,
}

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

/// A plan that could not be written anew; a workload of another generation is tried at once.
#[derive(Debug)]
struct Unwritten {
    generation: i64,
    again: Instant,
    back_off: BackOff,
}

/// A pod to be resized.
struct Todo {
    claim: Claim,
    workload: WorkloadRef,
    pod: PodTarget,
    changes: Vec<Change>,
    differs: bool,
}

struct Keeper {
    steering: Arc<Steering>,
    /// Whether at the last look this process led and saw the cluster.
    acts: bool,
    setbacks: HashMap<Key, Setback>,
    unwritten: HashMap<WorkloadRef, Unwritten>,
    /// When and what was told last.
    told: HashMap<(WorkloadRef, Topic), (Instant, String)>,
}

/// Keeps sizes until `shutdown`.
pub(in crate::kubernetes) async fn keep_sizes(
    steering: Arc<Steering>,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    let mut changes = steering.picture.changes.subscribe();
    let (setbacks, unwritten, told) = (HashMap::new(), HashMap::new(), HashMap::new());
    let mut keeper = Keeper { steering, acts: false, setbacks, unwritten, told };
    let mut gather = GATHER;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
            () = sleep_until(keeper.next_look(Instant::now())) => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = async {
                sleep(gather).await;
                changes.mark_unchanged();
                gather = keeper.look().await.saturating_mul(LOOK_SHARE).max(GATHER);
            } => {}
        }
    }
}

impl Keeper {
    fn next_look(&self, now: Instant) -> Instant {
        if !self.acts {
            return now + LOOK_SOON;
        }
        let setbacks = self.setbacks.values().map(|setback| setback.again);
        let due = setbacks.chain(self.unwritten.values().map(|unwritten| unwritten.again)).min();
        due.map_or(now + LOOK_AGAIN, |due| due.clamp(now + LOOK_SOON, now + LOOK_AGAIN))
    }

    /// Looks for pods that are not of their planned size, and resizes them; answers how long the looking took.
    async fn look(&mut self) -> Duration {
        let leads = self.steering.writer.fence.as_ref().is_none_or(|fence| fence.check().is_ok());
        if !leads {
            // Whoever leads next begins anew.
            self.setbacks.clear();
            self.unwritten.clear();
        }
        self.acts = leads && self.steering.picture.board.judge().trouble().is_none();
        if !self.acts {
            return Duration::ZERO;
        }
        if let Err(error) = self.steering.settle_doubts().await {
            tracing::debug!(%error, "sizes of pods are looked at when that is known");
            self.acts = false;
            return Duration::ZERO;
        }
        let began = Instant::now();
        let (missized, worn) = {
            let state = self.steering.picture.state.lock();
            (state.missized(), state.worn_plans())
        };
        let looked = began.elapsed();
        self.forget_all_but(&missized, &worn);
        for (workload, target) in worn {
            self.renew_plan(workload, target).await;
        }
        let now = Instant::now();
        let mut todo = Vec::new();
        for Missized { workload, pod, step, differs } in missized {
            match step {
                Step::Nothing => {}
                Step::Refused(reason) => self.tell_of_pod(&workload, Topic::Refused, &pod, &reason).await,
                Step::Patch(changes) => {
                    let again = self.setbacks.get(&pod.key).is_none_or(|setback| {
                        let other = setback.generation.is_some_and(|generation| generation != pod.generation);
                        now >= setback.again || other || setback.changes != changes
                    });
                    if let Some(claim) = again.then(|| self.steering.claim(&pod.key)).flatten() {
                        todo.push(Todo { claim, workload, pod, changes, differs });
                    }
                }
            }
        }
        self.resize_missized(todo).await;
        looked
    }

    fn forget_all_but(&mut self, missized: &[Missized], worn: &[(WorkloadRef, Target)]) {
        let pods: HashSet<&Key> = missized.iter().map(|found| &found.pod.key).collect();
        self.setbacks.retain(|key, _| pods.contains(key));
        let worn: HashSet<&WorkloadRef> = worn.iter().map(|(workload, _)| workload).collect();
        self.unwritten.retain(|workload, _| worn.contains(workload));
        let troubled: HashSet<&WorkloadRef> = missized.iter().map(|found| &found.workload).collect();
        self.told.retain(|(workload, _), (at, _)| {
            at.elapsed() < TELL_AGAIN || troubled.contains(workload) || worn.contains(workload)
        });
    }

    /// Resizes them, but not those of a template that is newer than the one known here: a plan says nothing about them.
    async fn resize_missized(&mut self, todo: Vec<Todo>) {
        let doubted: HashSet<&WorkloadRef> = todo.iter().filter(|t| t.differs).map(|todo| &todo.workload).collect();
        let mut outdated: HashSet<WorkloadRef> = HashSet::new();
        for workload in doubted {
            if !self.steering.is_current(workload).await {
                outdated.insert(workload.clone());
            }
        }
        let (steering, outdated) = (&self.steering, &outdated);
        let patches = todo.into_iter().map(|todo| async move {
            let Todo { claim, workload, pod, changes, .. } = todo;
            let result = match outdated.contains(&workload) {
                true => Err(Failure::Conflict),
                false => steering.resize_pod(&pod, &changes).await,
            };
            drop(claim);
            (workload, pod, changes, result)
        });
        let results: Vec<_> = stream::iter(patches).buffer_unordered(WRITES_AT_ONCE).collect().await;
        for (workload, pod, changes, result) in results {
            self.take_note(&workload, &pod, changes, result).await;
        }
    }

    async fn take_note(
        &mut self,
        workload: &WorkloadRef,
        pod: &PodTarget,
        changes: Vec<Change>,
        result: Result<(), Failure>,
    ) {
        let mut back_off = self.setbacks.get(&pod.key).map(|setback| setback.back_off).unwrap_or_default();
        let wait = match &result {
            // The pod is of its size now, and this is forgotten at the next look, or somebody else changes what we write.
            Ok(()) | Err(Failure::Denied { .. } | Failure::Forbidden { .. }) => back_off.slow(),
            // It has changed, or is said to be gone, though no watch says so, or not answered at all: it may pass by itself.
            Err(_) => back_off.next(),
        };
        let generation = result.is_err().then_some(pod.generation);
        let setback = Setback { generation, changes, again: Instant::now() + wait, back_off };
        self.setbacks.insert(pod.key.clone(), setback);
        match result {
            Ok(()) => tracing::info!(%workload, pod = pod.key.name(), "a pod was resized as planned"),
            Err(Failure::NotFound | Failure::Conflict | Failure::NotLeader { .. }) => {}
            Err(failure) => {
                let topic = Topic::Failed(discriminant(&failure));
                let reason = failure.about(workload).to_string();
                self.tell_of_pod(workload, topic, pod, &reason).await;
            }
        }
    }

    /// Says what of a workload's plan does not hold, and removes what a newer template has overruled.
    async fn renew_plan(&mut self, workload: WorkloadRef, target: Target) {
        if let Some(error) = &target.plan.unreadable {
            let message = unreadable(&workload, error);
            self.tell(&workload, Topic::Unreadable, "PlanUnreadable", message).await;
        }
        for void in target.plan.void.iter().filter(|void| !void.superseded) {
            let topic = Topic::Gone(void.container.clone());
            self.tell(&workload, topic, "PlanOutdated", void.words.clone()).await;
        }
        let superseded = target.plan.void.iter().filter(|void| void.superseded);
        let words: Vec<String> = superseded.map(|void| void.words.clone()).collect();
        let known = self.unwritten.get(&workload);
        let waits =
            known.is_some_and(|known| Instant::now() < known.again && known.generation == target.version.generation);
        if words.is_empty() || waits {
            return;
        }
        match self.steering.write_plan(&workload, &target, &target.plan.sizes).await {
            Ok(()) => {
                self.unwritten.remove(&workload);
                for message in words {
                    tracing::info!(%workload, message, "a plan was removed");
                    self.record(&workload, EventKind::Normal, "PlanSuperseded", message).await;
                }
            }
            Err(error) => self.put_off(workload, &target, &error).await,
        }
    }

    async fn put_off(&mut self, workload: WorkloadRef, target: &Target, error: &ClusterError) {
        let mut back_off = self.unwritten.get(&workload).map(|known| known.back_off).unwrap_or_default();
        let passes = matches!(
            error,
            ClusterError::NotLeader { .. } | ClusterError::Unavailable { .. } | ClusterError::Unknown { .. }
        );
        let wait = if passes { back_off.next() } else { back_off.slow() };
        let unwritten = Unwritten { generation: target.version.generation, again: Instant::now() + wait, back_off };
        self.unwritten.insert(workload.clone(), unwritten);
        if !matches!(error, ClusterError::NotLeader { .. }) {
            let message =
                format!("a planned size that a newer pod template has overruled could not be removed: {error}");
            self.tell(&workload, Topic::Unwritten, "PlanNotRemoved", message).await;
        }
    }

    async fn tell_of_pod(&mut self, workload: &WorkloadRef, topic: Topic, pod: &PodTarget, reason: &str) {
        let pod = pod.key.name();
        self.tell(workload, topic, "ResizeRefused", format!("{pod} is not of its planned size: {reason}")).await;
    }

    /// Warns once in a while for each workload and topic.
    async fn tell(&mut self, workload: &WorkloadRef, topic: Topic, code: &str, message: String) {
        let key = (workload.clone(), topic);
        if self.told.get(&key).is_some_and(|(at, known)| at.elapsed() < TELL_AGAIN || *known == message) {
            return;
        }
        self.told.insert(key, (Instant::now(), message.clone()));
        tracing::warn!(%workload, code, message, "pods are not of their planned size");
        self.record(workload, EventKind::Warning, code, message).await;
    }

    async fn record(&self, workload: &WorkloadRef, kind: EventKind, code: &str, message: String) {
        let at_ms = self.steering.picture.clock.now_ms();
        let event = Event { at_ms, workload: workload.clone(), kind, reason: code.to_owned(), message };
        if let Err(error) = self.steering.record_event(event).await {
            tracing::warn!(%error, "an event could not be recorded");
        }
    }
}

impl Steering {
    /// Whether a workload is still as it is known here: the watch of pods may be ahead of that of their workloads.
    async fn is_current(&self, workload: &WorkloadRef) -> bool {
        let now = self.writer.metadata(Place::workload(workload)).await;
        now.is_ok_and(|now| self.picture.state.lock().generation(workload) == Some(now.metadata.generation))
    }
}

fn unreadable(workload: &WorkloadRef, error: &str) -> String {
    let kind = match workload.kind {
        WorkloadKind::Deployment => "deployment",
        WorkloadKind::StatefulSet => "statefulset",
    };
    let WorkloadRef { namespace, name, .. } = workload;
    format!(
        "the annotation {PLANNED_ANNOTATION} of {workload} cannot be read, and no pod is resized by it: {error}; ask for the \
         resize again, or remove it with `kubectl annotate {kind} {name} -n {namespace} {PLANNED_ANNOTATION}-`"
    )
}
