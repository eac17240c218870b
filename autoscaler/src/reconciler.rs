//! The loop: read, plan, apply, publish. A tick takes no input and rereads everything, so that start, retry and
//! every day are one path; whatever hangs is given up on in time. Chooses nothing: see `planner`.

mod executor;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Workload, WorkloadRef};
use futures::stream::{self, StreamExt};
use lifecycle::{CancellationToken, Clock, Readiness};
use protocol::scaling::{DecisionRecord, Mode, ObjectName, Outcome};
use tokio::time::{Instant, MissedTickBehavior};

use self::executor::{Written, write};
use crate::counts::{Failure, Instruments};
use crate::decisions::Journal;
use crate::observe::{Circumstances, observe};
use crate::planner::observation::Startup;
use crate::planner::{History, Plan, Reason, plan, unsigned};
use crate::policy::Policy;
use crate::signal::{Readings, Source};
use crate::state::State;

/// How long all queries of a tick may take together; the client's own limit for one call.
const SOURCE_PATIENCE: Duration = protocol::http_client::TIMEOUT_DEFAULT;

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
}

/// The loop and what it remembers.
pub struct Reconciler {
    state: Arc<State>,
    source: Arc<dyn Source>,
    clock: Arc<dyn Clock>,
    instruments: Instruments,
    journal: Option<Journal>,
    pace: Pace,
    histories: Vec<Option<History>>,
    sequence: u64,
    /// What failed in the latest tick: a failure is logged when it begins and when it ends, not every tick.
    ailing: HashMap<Failure, bool>,
}

/// A policy's plan before it is carried out.
struct Pending {
    place: usize,
    ready: u32,
    plan: Plan,
}

impl Reconciler {
    /// A reconciler that has seen nothing yet.
    pub fn new(
        state: Arc<State>,
        source: Arc<dyn Source>,
        clock: Arc<dyn Clock>,
        instruments: Instruments,
        journal: Option<Journal>,
        pace: Pace,
    ) -> Self {
        let histories = state.policies.iter().map(|_| None).collect();
        Self { state, source, clock, instruments, journal, pace, histories, sequence: 0, ailing: HashMap::new() }
    }

    /// Ticks until shutdown; ready after the first tick.
    ///
    /// # Errors
    /// Never: a failed tick is recorded, counted and logged, and the next one comes.
    pub async fn run(mut self, readiness: Readiness, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut ticks = tokio::time::interval(self.pace.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = self.tick() => readiness.set(true),
            }
        }
    }

    /// Reads, plans, applies and publishes once.
    pub async fn tick(&mut self) {
        let started = Instant::now();
        let records = match self.list().await {
            Ok(workloads) => {
                let readings = self.read().await;
                let pending = self.plan_all(&workloads, &readings);
                self.carry_out(pending).await
            }
            Err(reason) => self.hold_all(Reason::ClusterUnavailable, &format!("the cluster did not answer: {reason}")),
        };
        for (place, record) in &records {
            self.instruments.decided(record);
            self.state.publish(*place, record);
        }
        let records: Vec<Arc<DecisionRecord>> = records.into_iter().map(|(_, record)| record).collect();
        if let Some(journal) = &mut self.journal {
            let result = journal.append(&records).await;
            self.note(Failure::Journal, result.err().map(|error| error.to_string()).as_deref());
        }
        self.instruments.ticked(started.elapsed());
    }

    async fn list(&mut self) -> Result<HashMap<WorkloadRef, Workload>, String> {
        let patience = self.state.cluster.patience();
        let listed = match tokio::time::timeout(patience, self.state.cluster.workloads()).await {
            Ok(listed) => listed.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", patience.as_secs_f64())),
        };
        self.note(Failure::Cluster, listed.as_ref().err().map(String::as_str));
        listed.map(|workloads| workloads.into_iter().map(|w| (w.reference.clone(), w)).collect())
    }

    async fn read(&mut self) -> Readings {
        let read = tokio::time::timeout(SOURCE_PATIENCE, self.source.read(&self.state.policies)).await;
        let readings =
            read.unwrap_or_else(|_| Readings::none(&format!("no answer within {} s", SOURCE_PATIENCE.as_secs_f64())));
        self.note(Failure::Metrics, readings.trouble());
        readings
    }

    fn plan_all(&mut self, workloads: &HashMap<WorkloadRef, Workload>, readings: &Readings) -> Vec<Pending> {
        let state = Arc::clone(&self.state);
        // The time at which the readings are complete: what was read is at most as old as it seems.
        let now_ms = self.clock.now_ms();
        let Pace { rate_window, startup, .. } = self.pace;
        let circumstances = Circumstances { now_ms, rate_window, startup };
        let mut pending = Vec::with_capacity(state.policies.len());
        for (place, policy) in state.policies.iter().enumerate().filter(|(_, p)| p.mode != Mode::Off) {
            let Some(workload) = workloads.get(&policy.target) else {
                let from = state.last_known(place).unwrap_or(0);
                let message = format!("{} held: {} does not exist", policy.target.name, policy.target);
                pending.push(Pending { place, ready: 0, plan: held(from, Reason::TargetMissing, message) });
                continue;
            };
            let observation = observe(policy, place, workload, readings, circumstances, state.is_paused(place));
            let history = self.histories[place].get_or_insert_with(|| History::begin(now_ms, observation.desired));
            let plan = plan(policy, &observation, history);
            if let Some(wish) = plan.recommendation {
                history.remember(now_ms, wish, policy.behavior.as_ref());
            }
            history.blind_since_ms = plan.blind.then(|| history.blind_since_ms.unwrap_or(now_ms));
            pending.push(Pending { place, ready: observation.ready, plan });
        }
        pending
    }

    async fn carry_out(&mut self, pending: Vec<Pending>) -> Vec<(usize, Arc<DecisionRecord>)> {
        let (state, now_ms) = (&self.state, self.clock.now_ms());
        let mut done: Vec<(Pending, Option<Written>)> = stream::iter(pending)
            .map(|pending| async move {
                let policy = &state.policies[pending.place];
                let written = write(state.cluster.as_ref(), policy, &pending.plan, now_ms).await;
                (pending, written)
            })
            .buffer_unordered(WRITES_AT_ONCE)
            .collect()
            .await;
        done.sort_by_key(|(pending, _)| pending.place);

        let refused = done.iter().find_map(|(_, written)| written.as_ref().and_then(|w| w.refused.clone()));
        let unrecorded = done.iter().find_map(|(_, written)| written.as_ref().and_then(|w| w.event_refused.clone()));
        if done.iter().any(|(_, written)| written.is_some()) {
            self.note(Failure::Write, refused.as_deref());
            self.note(Failure::Event, unrecorded.as_deref());
        }
        let mut records = Vec::with_capacity(done.len());
        for (Pending { place, ready, mut plan }, written) in done {
            let mut applied = false;
            match written {
                Some(Written { refused: Some(reason), .. }) => {
                    plan.reason = Reason::WriteFailed;
                    plan.message.push_str(&format!(" (not carried out: {reason})"));
                }
                Some(_) => {
                    applied = true;
                    let behavior = self.state.policies[place].behavior.as_ref();
                    if let Some(history) = &mut self.histories[place] {
                        history.changed(now_ms, plan.from, plan.wish, behavior);
                    }
                    tracing::info!(decision = %plan.message, "replicas changed");
                }
                None => {}
            }
            let record = self.record(place, ready, plan, applied);
            records.push((place, record));
        }
        records
    }

    /// Records for all policies that nothing could be planned.
    fn hold_all(&mut self, reason: Reason, because: &str) -> Vec<(usize, Arc<DecisionRecord>)> {
        let state = Arc::clone(&self.state);
        let evaluated = state.policies.iter().enumerate().filter(|(_, p)| p.mode != Mode::Off);
        let hold = |(place, policy): (usize, &Policy)| {
            let from = state.last_known(place).unwrap_or(0);
            let message = format!("{} held at {from}: {because}", policy.target.name);
            (place, self.record(place, 0, held(from, reason, message), false))
        };
        evaluated.map(hold).collect()
    }

    fn record(&mut self, place: usize, ready: u32, plan: Plan, applied: bool) -> Arc<DecisionRecord> {
        self.sequence += 1;
        let policy = &self.state.policies[place];
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
        recommendation: None,
        blind: true,
    }
}

#[cfg(test)]
mod tests;
