//! Tells the objects what was decided about them: statuses and events, written by the leader between ticks and never in one, so
//! that a slow API server holds no decision up. Writes what somebody may wait for, and nothing when nothing has changed. What
//! was not taken is tried again after a later tick. Decides nothing about workloads.

mod news;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use cluster::WorkloadRef;
use cluster::kubernetes::policies::{PolicyEvent, PolicyObject, PolicyStore, StoreError};
use futures::stream::{self, StreamExt};
use lifecycle::{CancellationToken, Clock};
use protocol::scaling::{DecisionRecord, Mode, ObjectName};
use tokio::sync::watch;

use self::news::{News, Told};
use crate::counts::{Failure, Instruments};
use crate::health::{Health, Part};
use crate::lead::Lead;
use crate::objects::Sorted;
use crate::planner::Reason;
use crate::policy::PolicySet;
use crate::state::State;
use crate::status::{Difference, Standing, Status, Subject, status};

/// Writes under way at once: enough for a start with thousands of policies, few enough for an API server's fair share.
const WRITES_AT_ONCE: usize = 8;

/// A status in which reasons alone have changed is written no more often than this: a reading that hovers around a limit would
/// make one change a tick.
const REASONS_PAUSE_MS: i64 = 30_000;

/// What a publisher works with.
pub struct Tools {
    /// Where the objects are.
    pub store: Arc<dyn PolicyStore>,
    /// What was decided.
    pub state: Arc<State>,
    /// How the objects stand.
    pub sorted: watch::Receiver<Arc<Sorted>>,
    /// Whether it may write.
    pub lead: Lead,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What counts.
    pub instruments: Instruments,
    /// Who is told how it is.
    pub health: Health,
}

/// Writes statuses and events.
pub struct Publisher {
    tools: Tools,
    known: HashMap<String, Known>,
    /// What ails the writing of statuses, so that it is logged once when it begins and once when it ends.
    ailing: Option<String>,
}

/// What is known of one object, by its uid.
struct Known {
    /// The version of the object from which, or over which, `status` was taken.
    version: String,
    status: Arc<Status>,
    written_at_ms: i64,
    told: Told,
}

/// A status to write.
struct Draft {
    object: Arc<PolicyObject>,
    status: Arc<Status>,
}

impl Publisher {
    /// A publisher that has told nothing yet.
    pub fn new(tools: Tools) -> Self {
        Self { tools, known: HashMap::new(), ailing: None }
    }

    /// Publishes after each tick, and when the objects have changed, until shutdown.
    ///
    /// # Errors
    /// Never: what is not taken is tried again.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let (mut ticks, mut sorted) = (self.tools.state.watch_ticks(), self.tools.sorted.clone());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = ticks.changed() => {}
                Ok(()) = sorted.changed() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = self.round() => {}
            }
        }
    }

    /// Writes what has changed since the last round.
    pub async fn round(&mut self) {
        if !self.tools.lead.is_ours() {
            self.known.clear();
            self.tools.state.take_carried_out();
            return;
        }
        let objects = self.tools.store.objects().borrow().objects.clone();
        let sorted = Arc::clone(&self.tools.sorted.borrow());
        let evaluated = self.tools.state.evaluated();
        let now_ms = self.tools.clock.now_ms();
        let mut drafts = Vec::new();
        let mut events = self.carried_out(&objects);
        for object in objects.iter() {
            let name = ObjectName { namespace: object.namespace.clone(), name: object.name.clone() };
            let standing = sorted.standing(&name);
            // What was decided by another spec than the object has now is no news of this one.
            if *standing == Standing::Steers && !is_evaluated(&sorted.set, &evaluated, &name) {
                continue;
            }
            let policy = sorted.set.named(&name).filter(|_| *standing == Standing::Steers);
            let record = self.tools.state.last(&name);
            // A leader that has just begun knows less than the status that the last one wrote.
            if record.is_none() && policy.is_some_and(|policy| policy.mode != Mode::Off) {
                continue;
            }
            // Of a cluster that cannot be seen readiness speaks; here it would be a write for each policy at each start.
            if record.as_ref().is_some_and(|record| record.reason == Reason::ClusterUnavailable.code()) {
                continue;
            }
            let paused = self.tools.state.is_paused(&name);
            let mode = policy.map(|policy| policy.mode);
            let subject = Subject { generation: object.generation, standing, mode, paused };
            let known = self.known_of(object);
            let now = status(subject, record.as_deref(), Some(&known.status), now_ms);
            let workload = policy.map(|policy| &policy.target);
            if let Some(news) = known.told.trouble(standing, &now, record.as_deref()) {
                events.push(event(object, workload, news));
            }
            let is_due = match now.difference(&known.status) {
                Difference::None => false,
                Difference::Reasons => now_ms - known.written_at_ms >= REASONS_PAUSE_MS,
                Difference::Facts => true,
            };
            if is_due {
                drafts.push(Draft { object: Arc::clone(object), status: Arc::new(now) });
            }
        }
        self.forget_gone(&objects);
        self.write_statuses(drafts, now_ms).await;
        self.record_events(events).await;
    }

    fn forget_gone(&mut self, objects: &[Arc<PolicyObject>]) {
        if self.known.len() > objects.len() {
            let uids: std::collections::HashSet<&str> = objects.iter().map(|object| object.uid.as_str()).collect();
            self.known.retain(|uid, _| uids.contains(uid.as_str()));
        }
    }

    /// What is known of an object; its own status where it has changed since.
    fn known_of(&mut self, object: &PolicyObject) -> &mut Known {
        let read = || Arc::new(Status::parse(&object.status).unwrap_or_default());
        let known = self.known.entry(object.uid.clone()).or_insert_with(|| {
            let status = read();
            let told = Told::by_an_earlier_leader(&status);
            Known { version: object.resource_version.clone(), status, written_at_ms: 0, told }
        });
        if known.version != object.resource_version {
            known.version.clone_from(&object.resource_version);
            known.status = read();
        }
        known
    }

    async fn write_statuses(&mut self, drafts: Vec<Draft>, now_ms: i64) {
        if drafts.is_empty() {
            return;
        }
        let store = &self.tools.store;
        let written: Vec<(Draft, Result<(), StoreError>)> = stream::iter(drafts)
            .map(|draft| async move {
                let outcome = match serde_json::to_value(draft.status.as_ref()) {
                    Ok(status) => store.write_status(&draft.object, &status).await,
                    Err(error) => Err(StoreError::Unavailable { reason: error.to_string() }),
                };
                (draft, outcome)
            })
            .buffer_unordered(WRITES_AT_ONCE)
            .collect()
            .await;
        let mut trouble = None;
        for (draft, outcome) in written {
            match outcome {
                Ok(()) => {
                    self.tools.instruments.status_written();
                    if let Some(known) = self.known.get_mut(&draft.object.uid) {
                        known.status = draft.status;
                        known.written_at_ms = now_ms;
                    }
                }
                // What has become of it comes with the watch; who leads is known elsewhere.
                Err(StoreError::Outrun | StoreError::Gone | StoreError::NotLeader { .. }) => {}
                Err(error) => trouble = Some(error),
            }
        }
        self.note(trouble);
    }

    async fn record_events(&self, events: Vec<PolicyEvent>) {
        let store = &self.tools.store;
        let mut recording = stream::iter(events)
            .map(|event| async move {
                let outcome = store.record_event(event).await;
                outcome.err().filter(|error| !matches!(error, StoreError::NotLeader { .. } | StoreError::Gone))
            })
            .buffer_unordered(WRITES_AT_ONCE);
        while let Some(outcome) = recording.next().await {
            if let Some(error) = outcome {
                self.tools.instruments.failed(Failure::Event);
                tracing::debug!(reason = %error, "an event about a policy was not recorded");
            }
        }
    }

    /// Counts a failure, and says it when it begins and when it ends.
    fn note(&mut self, trouble: Option<StoreError>) {
        // A definition that drops statuses is for an operator to renew, so readiness says it too.
        let is_old = matches!(trouble, Some(StoreError::OldDefinition { .. }));
        let words = trouble.map(|error| error.to_string());
        if is_old {
            self.tools.health.set(Part::Statuses, words.clone());
        } else if words.is_none() {
            self.tools.health.set(Part::Statuses, None);
        }
        if let Some(reason) = &words {
            self.tools.instruments.failed(Failure::Status);
            if self.ailing.as_ref() != Some(reason) {
                tracing::warn!(reason, "statuses of scaling policies are not taken; trying again");
            }
        } else if self.ailing.is_some() {
            tracing::info!("statuses of scaling policies are taken again");
        }
        self.ailing = words;
    }

    /// Events about what was carried out since the last round.
    fn carried_out(&self, objects: &[Arc<PolicyObject>]) -> Vec<PolicyEvent> {
        let records = self.tools.state.take_carried_out();
        let told = |record: Arc<DecisionRecord>| {
            let name = &record.policy;
            let key = |object: &Arc<PolicyObject>| (object.namespace.clone(), object.name.clone());
            let place = objects.binary_search_by_key(&(name.namespace.clone(), name.name.clone()), key).ok()?;
            let workload = workload_of(&record)?;
            Some(event(&objects[place], Some(&workload), News::carried_out(&record)))
        };
        records.into_iter().filter_map(told).collect()
    }
}

/// Whether a policy was evaluated as it is now.
fn is_evaluated(now: &PolicySet, evaluated: &PolicySet, name: &ObjectName) -> bool {
    match (now.named(name), evaluated.named(name)) {
        (Some(now), Some(evaluated)) => std::ptr::eq(now, evaluated),
        _ => false,
    }
}

fn workload_of(record: &DecisionRecord) -> Option<WorkloadRef> {
    let kind = match record.kind.as_str() {
        "Deployment" => cluster::WorkloadKind::Deployment,
        "StatefulSet" => cluster::WorkloadKind::StatefulSet,
        _ => return None,
    };
    let ObjectName { namespace, name } = record.workload.clone();
    Some(WorkloadRef { kind, namespace, name })
}

fn event(object: &PolicyObject, workload: Option<&WorkloadRef>, news: News) -> PolicyEvent {
    let News { kind, reason, action, message } = news;
    PolicyEvent {
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        uid: object.uid.clone(),
        kind,
        reason,
        action,
        message,
        workload: workload.cloned(),
    }
}

#[cfg(test)]
mod tests;
