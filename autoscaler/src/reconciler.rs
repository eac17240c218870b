//! The loop: read, plan, apply, publish. A tick takes no input and rereads everything, so that start, retry, failover and
//! every day are one path; whatever hangs is given up on in time. A follower reads and plans as the leader does, and writes
//! and publishes nothing. Chooses nothing: see `planner`.

mod executor;
mod idle;
pub(crate) mod memory;
mod resources;
pub(crate) mod round;

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cluster::{ClusterError, Workload, WorkloadRef};
use futures::stream::{self, StreamExt};
use lifecycle::{CancellationToken, Clock, Heartbeat};
use protocol::scaling::{DecisionRecord, Mode, ObjectName, Outcome, ResourceRecord};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use self::executor::{Written, write};
use self::memory::Memory;
use self::resources::{Pasts, Resized};
use self::round::{Bystander, Seat, plan_round};
use crate::counts::{Failure, Instruments};
use crate::decisions::Journal;
use crate::health::{Health, Part};
use crate::lead::Lead;
use crate::observe::{Circumstances, Sizes, observe};
use crate::planner::observation::Startup;
use crate::planner::{Plan, Reason, unsigned};
use crate::policy::{Policy, PolicySet};
use crate::signal::{Past, Readings, Source, UnderWay};
use crate::state::State;

/// How long all queries of a tick may take together; the client's own limit for one call.
const SOURCE_PATIENCE: Duration = protocol::http_client::TIMEOUT_DEFAULT;

/// Until the cluster has been read for the first time, it is asked again this soon: nobody waits an interval for a start.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// How long a change of the policies waits for those that come with it: an extra tick a second at most.
const POLICIES_SETTLE: Duration = Duration::from_secs(1);

/// The loop beats at each step of a tick. Between two beats lie at most an interval and the longest step: a write and its event,
/// for each of which a cluster that does not answer gets its patience of 20 s.
const STEP_LONGEST: Duration = Duration::from_secs(60);

/// Intervals without a beat after which only a restart helps: one would do, and a machine may be as busy as to be late.
const INTERVALS_MISSED: u32 = 4;

/// Writes under way at once: enough for a storm, few enough for an API server's fair share.
const WRITES_AT_ONCE: usize = 8;

/// How a reconciler goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Time between ticks.
    pub interval: Duration,
    /// Window of CPU readings.
    pub rate_window: Duration,
    /// How long a starting pod's CPU is not believed.
    pub startup: Startup,
    /// Plans everything and writes nothing.
    pub dry_run: bool,
}

/// The loop and what it remembers.
pub struct Reconciler {
    state: Arc<State>,
    source: Arc<dyn Source>,
    clock: Arc<dyn Clock>,
    instruments: Instruments,
    journal: Option<Journal>,
    pace: Pace,
    lead: Lead,
    health: Health,
    memory: Memory,
    pasts: Pasts,
    /// The policies of the latest tick.
    policies: Arc<PolicySet>,
    /// Whether the cluster has ever listed its workloads: before that there is nothing to hold.
    seen: bool,
    /// Whether the latest tick was a leader's; before the first nobody's changes are one's own.
    led: bool,
    sequence: u64,
    /// Says that the loop goes on, whatever becomes of its ticks.
    heart: Heartbeat,
    /// What failed in the latest tick: a failure is logged when it begins and when it ends, not every tick.
    ailing: HashMap<Failure, bool>,
}

/// What a reconciler works with.
pub struct Tools {
    /// Where readings come from.
    pub source: Arc<dyn Source>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What counts.
    pub instruments: Instruments,
    /// Where records are kept beyond memory.
    pub journal: Option<Journal>,
    /// Whether it may write.
    pub lead: Lead,
    /// Who is told how it is.
    pub health: Health,
}

/// A policy's plan before it is carried out.
struct Pending {
    place: usize,
    ready: u32,
    plan: Plan,
    /// The replicas, where there are to be fewer.
    replicas: Vec<String>,
}

impl Pending {
    fn new(place: usize, ready: u32, plan: Plan) -> Self {
        Self { place, ready, plan, replicas: Vec::new() }
    }
}

/// What is read beside signals.
struct Beside {
    /// What containers are to have, by the place of their policy.
    sizes: HashMap<usize, Result<Sizes, String>>,
    /// What they used before, where it was told just now.
    pasts: HashMap<usize, Past>,
}

impl Reconciler {
    /// A reconciler that has seen nothing yet.
    pub fn new(state: Arc<State>, tools: Tools, pace: Pace) -> Self {
        let Tools { source, clock, instruments, journal, lead, health } = tools;
        let policies = state.policies();
        let patience = pace.interval * INTERVALS_MISSED + STEP_LONGEST;
        let heart = health.liveness().expect("the reconciler", patience);
        Self {
            state,
            source,
            clock,
            instruments,
            journal,
            pace,
            lead,
            health,
            memory: Memory::default(),
            pasts: Pasts::default(),
            policies,
            seen: false,
            led: false,
            sequence: 0,
            heart,
            ailing: HashMap::new(),
        }
    }

    /// Ticks until shutdown: at its interval, and at once when the lead is won or policies have changed.
    ///
    /// # Errors
    /// Never: a failed tick is recorded, counted and logged, and the next one comes.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut ticks = tokio::time::interval(self.pace.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut lead, mut policies) = (self.lead.clone(), self.state.watch_policies());
        let mut at_once = false;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = std::future::ready(()), if at_once => {}
                _ = ticks.tick() => {}
                () = lead.won() => {}
                () = changed_and_settled(&mut policies) => {}
            }
            policies.mark_unchanged();
            let follows = !self.led;
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = self.tick() => at_once = false,
                // A follower's tick writes nothing and may wait for a metrics server that went with the old leader.
                () = lead.won(), if follows => at_once = true,
            }
            if !self.seen {
                ticks.reset_after(READ_AGAIN.min(self.pace.interval));
            }
        }
    }

    /// Reads, plans, and where this process leads applies and publishes, once.
    pub async fn tick(&mut self) {
        let started = Instant::now();
        self.heart.beat();
        self.take_policies();
        let leads = self.lead.is_ours();
        if leads && !self.led {
            // What this process recorded when it led before is not how things stand.
            self.state.forget_records();
            // Records of a leader go on counting where the last one's may have ended: milliseconds run ahead of any count.
            self.sequence = self.sequence.max(self.lead.sequence_floor(self.clock.now_ms()));
        }
        let listed = self.list().await;
        self.heart.beat();
        self.seen |= listed.is_ok();
        let blind = listed.as_ref().err().map(|reason| format!("the cluster did not answer: {reason}"));
        self.health.set(Part::Cluster, blind.clone());
        let was_read = listed.is_ok();
        let records = match (listed, blind) {
            (Ok(workloads), _) => {
                let readings = self.read().await;
                let beside = self.read_beside(&workloads, &readings).await;
                let pending = self.plan_all(&workloads, &readings, &beside, !self.led);
                if leads { self.carry_out(pending).await } else { Vec::new() }
            }
            (Err(_), blind) if leads && self.seen => {
                self.hold_all(Reason::ClusterUnavailable, &blind.unwrap_or_default())
            }
            (Err(_), _) => Vec::new(),
        };
        // The first tick that plans must still count what the last leader changed.
        self.led = leads && (was_read || self.led);
        self.instruments.leads(leads);
        for record in &records {
            self.instruments.decided(record);
            self.state.publish(record);
        }
        if let Some(journal) = self.journal.as_mut().filter(|_| leads) {
            let result = journal.append(&records).await;
            self.note(Failure::Journal, result.err().map(|error| error.to_string()).as_deref());
        }
        self.heart.beat();
        self.instruments.ticked(started.elapsed());
        if self.seen {
            if leads {
                self.state.ticked(Arc::clone(&self.policies));
            }
            self.health.set(Part::Tick, None);
        }
    }

    /// Takes the policies that hold now, and forgets those that are gone.
    fn take_policies(&mut self) {
        let policies = self.state.policies();
        if Arc::ptr_eq(&policies, &self.policies) {
            return;
        }
        for gone in self.policies.iter().filter(|old| policies.steering(&old.target).is_none()) {
            self.instruments.forget(&gone.target);
        }
        self.memory.retain(&policies);
        self.state.retain(&policies);
        self.policies = policies;
    }

    async fn list(&mut self) -> Result<HashMap<WorkloadRef, Workload>, String> {
        let patience = self.state.cluster.patience();
        let listed = match tokio::time::timeout(patience, self.state.cluster.workloads()).await {
            Ok(Err(ClusterError::Unavailable { reason })) => Err(reason),
            Ok(listed) => listed.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", patience.as_secs_f64())),
        };
        // A cluster that is being read for the first time is not a failure; readiness says how far that has come.
        if self.seen || listed.is_ok() {
            self.note(Failure::Cluster, listed.as_ref().err().map(String::as_str));
        }
        listed.map(|workloads| workloads.into_iter().map(|w| (w.reference.clone(), w)).collect())
    }

    async fn read(&mut self) -> Readings {
        let read = tokio::time::timeout(SOURCE_PATIENCE, self.source.read(&self.policies)).await;
        let readings =
            read.unwrap_or_else(|_| Readings::none(&format!("no answer within {} s", SOURCE_PATIENCE.as_secs_f64())));
        self.heart.beat();
        self.note(Failure::Metrics, readings.trouble());
        readings
    }

    /// Reads what resources are planned by: what containers are to have, and at first what they used before.
    async fn read_beside(&mut self, workloads: &HashMap<WorkloadRef, Workload>, readings: &Readings) -> Beside {
        let policies = Arc::clone(&self.policies);
        let sizes = resources::sizes(self.state.cluster.as_ref(), &policies, workloads).await;
        let pasts = match readings.trouble() {
            None => self.pasts.ask(self.source.as_ref(), &policies, self.clock.now_ms()).await,
            Some(_) => HashMap::new(),
        };
        self.heart.beat();
        Beside { sizes, pasts }
    }

    fn plan_all(
        &mut self,
        workloads: &HashMap<WorkloadRef, Workload>,
        readings: &Readings,
        beside: &Beside,
        by_others: bool,
    ) -> Vec<Pending> {
        let policies = Arc::clone(&self.policies);
        // The time at which the readings are complete: what was read is at most as old as it seems.
        let now_ms = self.clock.now_ms();
        let Pace { rate_window, startup, .. } = self.pace;
        let circumstances = Circumstances { now_ms, rate_window, startup };
        let mut pending = Vec::with_capacity(policies.len());
        let (mut observed, mut bystanders) = (Vec::with_capacity(policies.len()), Vec::new());
        for (place, policy) in policies.iter().enumerate() {
            if policy.mode == Mode::Off {
                bystanders.extend(workloads.get(&policy.target).map(|workload| Bystander { policy, workload }));
                continue;
            }
            let name = &policy.target.name;
            let Some(workload) = workloads.get(&policy.target) else {
                let from = self.state.last(&policy.name).map_or(0, |record| record.to);
                let message = format!("{name} held: {} does not exist", policy.target);
                pending.push(Pending::new(place, 0, held(from, Reason::TargetMissing, message)));
                continue;
            };
            let none = Sizes::default();
            let sizes = match (&policy.resources, beside.sizes.get(&place)) {
                (None, _) => &none,
                (Some(_), Some(Ok(sizes))) => sizes,
                // Without them replicas would be judged by what was resized.
                (Some(_), unknown) => {
                    let reason =
                        unknown.and_then(|sizes| sizes.as_ref().err()).map_or("it was not asked", String::as_str);
                    let from = workload.desired.0;
                    let message =
                        format!("{name} held at {from}: what its containers are to have is not known: {reason}");
                    pending.push(Pending::new(place, 0, held(from, Reason::ClusterUnavailable, message)));
                    continue;
                }
            };
            let paused = self.state.is_paused(&policy.name);
            let mut observation = observe(policy, place, (workload, sizes), readings, circumstances, paused);
            observation.budget = self.state.budget_of(&policy.target, now_ms);
            self.memory.recall(policy, now_ms, observation.desired, by_others);
            if let Some(past) = beside.pasts.get(&place) {
                self.memory.restore(policy, past);
            }
            if !workload.conflicts.is_empty() {
                let from = workload.desired.0;
                let message = format!("{name} held at {from}: {} steers it too", workload.conflicts.join(", "));
                let plan = held(from, Reason::Conflict, message);
                pending.push(Pending::new(place, observation.ready, plan));
                bystanders.push(Bystander { policy, workload });
                continue;
            }
            observed.push((place, observation));
        }
        let seats = observed.iter_mut().map(|(place, observation)| Seat { policy: &policies[*place], observation });
        let mut seats: Vec<Seat<'_>> = seats.collect();
        let plans = plan_round(&mut seats, &bystanders, &mut self.memory, readings.landscape.calls.as_ref());
        for ((place, observation), mut plan) in observed.into_iter().zip(plans) {
            if self.pace.dry_run && plan.write.take().is_some() {
                plan.message.push_str(" (not carried out: dry run)");
            }
            if self.pace.dry_run {
                plan.resources.iter_mut().for_each(|container| container.hold("dry run"));
            }
            let mut planned = Pending::new(place, observation.ready, plan);
            if planned.plan.write.is_some_and(|write| write < planned.plan.from) {
                let staying = observation.pods.into_iter().filter(|pod| !pod.terminating);
                planned.replicas = staying.map(|pod| pod.name).collect();
            }
            pending.push(planned);
        }
        pending
    }

    async fn carry_out(&mut self, pending: Vec<Pending>) -> Vec<Arc<DecisionRecord>> {
        let under_way = self.under_way(&pending).await;
        let under_way = &under_way;
        let (state, policies, heart, now_ms) = (&self.state, &self.policies, &self.heart, self.clock.now_ms());
        let mut done: Vec<(Pending, Option<Written>, Vec<Resized>)> = stream::iter(pending)
            .map(|pending| async move {
                let policy = &policies[pending.place];
                let last = state.last(&policy.name);
                let was_refused = last.as_ref().is_some_and(|last| last.reason == Reason::WriteFailed.code());
                let cluster = state.cluster.as_ref();
                let costs = idle::costs(&policy.target.namespace, &pending.replicas, under_way);
                let written = write(cluster, policy, &pending.plan, &costs, now_ms, was_refused).await;
                heart.beat();
                let before = last.as_ref().map_or(&[][..], |last| last.resources.as_slice());
                let resized = resources::resize(cluster, policy, &pending.plan.resources, now_ms, before).await;
                heart.beat();
                (pending, written, resized)
            })
            .buffer_unordered(WRITES_AT_ONCE)
            .collect()
            .await;
        done.sort_by_key(|(pending, _, _)| pending.place);

        let refused = done.iter().find_map(|(_, written, resized)| {
            let of_resized = resized.iter().find_map(|resized| resized.refused.clone());
            written.as_ref().and_then(|w| w.refused.clone()).or(of_resized)
        });
        let unsorted = done.iter().find_map(|(_, written, _)| written.as_ref().and_then(|w| w.costs_refused.clone()));
        let unrecorded = done.iter().find_map(|(_, written, resized)| {
            let of_resized = resized.iter().find_map(|resized| resized.event_refused.clone());
            written.as_ref().and_then(|w| w.event_refused.clone()).or(of_resized)
        });
        if done.iter().any(|(_, written, resized)| written.is_some() || !resized.is_empty()) {
            self.note(Failure::Write, refused.as_deref());
            self.note(Failure::Event, unrecorded.as_deref());
            self.note(Failure::Costs, unsorted.as_deref());
        }
        let policies = Arc::clone(&self.policies);
        let mut records = Vec::with_capacity(done.len());
        for (Pending { place, ready, mut plan, .. }, written, resized) in done {
            let mut applied = false;
            match written {
                Some(Written { refused: Some(reason), unknown, .. }) => {
                    if unknown {
                        self.memory.may_have_changed(&policies[place], now_ms, plan.wish);
                    }
                    plan.reason = Reason::WriteFailed;
                    plan.message.push_str(&format!(" (not carried out: {reason})"));
                }
                Some(_) => {
                    applied = true;
                    self.memory.changed(&policies[place], now_ms, plan.from, plan.wish);
                    tracing::info!(decision = %plan.message, "replicas changed");
                }
                None => {}
            }
            let of_resources = resources::records(std::mem::take(&mut plan.resources), &resized);
            records.push(self.record(&policies[place], ready, plan, applied, of_resources));
        }
        records
    }

    /// What replicas of which some are to end have under way.
    async fn under_way(&self, pending: &[Pending]) -> UnderWay {
        let ending = pending.iter().filter(|pending| !pending.replicas.is_empty());
        let namespaces: BTreeSet<&str> =
            ending.map(|pending| self.policies[pending.place].target.namespace.as_str()).collect();
        if namespaces.is_empty() { UnderWay::default() } else { self.source.under_way(&namespaces).await }
    }

    /// Records for all policies that nothing could be planned.
    fn hold_all(&mut self, reason: Reason, because: &str) -> Vec<Arc<DecisionRecord>> {
        let policies = Arc::clone(&self.policies);
        let hold = |policy: &Policy| {
            let from = self.state.last(&policy.name).map_or(0, |record| record.to);
            let message = format!("{} held at {from}: {because}", policy.target.name);
            self.record(policy, 0, held(from, reason, message), false, Vec::new())
        };
        policies.iter().filter(|p| p.mode != Mode::Off).map(hold).collect()
    }

    fn record(
        &mut self,
        policy: &Policy,
        ready: u32,
        plan: Plan,
        applied: bool,
        resources: Vec<ResourceRecord>,
    ) -> Arc<DecisionRecord> {
        self.sequence += 1;
        let target = &policy.target;
        Arc::new(DecisionRecord {
            sequence: self.sequence,
            at_ms: self.clock.now_ms(),
            policy: policy.name.clone(),
            kind: target.kind.to_string(),
            workload: ObjectName { namespace: target.namespace.clone(), name: target.name.clone() },
            mode: policy.mode,
            from: unsigned(plan.from),
            ready,
            to: unsigned(if applied { plan.wish } else { plan.from }),
            wish: unsigned(plan.wish),
            outcome: plan.outcome,
            applied,
            reason: plan.reason.code().to_owned(),
            message: plan.message,
            signals: plan.signals,
            winner: plan.winner,
            guards: plan.guards,
            resources,
        })
    }

    /// Counts a failure each time, and logs when it begins and when it is over.
    fn note(&mut self, failure: Failure, reason: Option<&str>) {
        let was_ailing = self.ailing.insert(failure, reason.is_some()).unwrap_or(false);
        if let Some(reason) = reason {
            self.instruments.failed(failure);
            if !was_ailing {
                tracing::warn!(?failure, reason, "the autoscaler copes with a failure");
            }
        } else if was_ailing {
            tracing::info!(?failure, "the failure is over");
        }
    }
}

/// Waits until the policies have changed, and then a little for what comes with the change.
async fn changed_and_settled(policies: &mut watch::Receiver<Arc<PolicySet>>) {
    match policies.changed().await {
        Ok(()) => tokio::time::sleep(POLICIES_SETTLE).await,
        // Policies of files never change.
        Err(_) => std::future::pending().await,
    }
}

/// A plan to do nothing because nothing could be observed.
fn held(from: u32, reason: Reason, message: String) -> Plan {
    let from = i32::try_from(from).unwrap_or(i32::MAX);
    Plan {
        from,
        wish: from,
        write: None,
        outcome: Outcome::Hold,
        reason,
        message,
        signals: Vec::new(),
        winner: None,
        guards: Vec::new(),
        unguarded: None,
        recommendation: None,
        blind: true,
        resources: Vec::new(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
