//! What the autoscaler counts: for the demo's report, and as `plimsoll_autoscaler_*` on `/metrics`. Reads no clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cluster::WorkloadRef;
use lifecycle::metrics::Metrics;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use protocol::scaling::{DecisionRecord, Outcome};
use protocol::slos::{ObjectiveState, ObjectiveStatus};

use crate::planner::Reason;

/// The words for what came of a tick.
const OUTCOMES: [&str; 3] = ["ScaleUp", "ScaleDown", "Hold"];

/// Decisions since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All records.
    pub total: u64,
    /// Records that raised, carried out.
    pub scale_up: u64,
    /// Records that lowered, carried out.
    pub scale_down: u64,
    /// Records that held.
    pub hold: u64,
}

/// Tells the counts at any time, also after the autoscaler has ended.
#[derive(Debug, Clone, Default)]
pub struct CountsHandle(Arc<Tally>);

/// Ticks whose durations are kept: four hours at HPA's interval.
const TICKS_MAX: usize = 1_000;

#[derive(Debug, Default)]
struct Tally {
    ticks: Mutex<VecDeque<Duration>>,
    total: AtomicU64,
    scale_up: AtomicU64,
    scale_down: AtomicU64,
    hold: AtomicU64,
}

impl CountsHandle {
    /// The counts now.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Tally { total, scale_up, scale_down, hold, .. } = self.0.as_ref();
        Counts { total: read(total), scale_up: read(scale_up), scale_down: read(scale_down), hold: read(hold) }
    }

    /// How long the latest ticks took, oldest first.
    pub fn ticks(&self) -> Vec<Duration> {
        self.0.ticks.lock().iter().copied().collect()
    }

    fn ticked(&self, took: Duration) {
        let mut ticks = self.0.ticks.lock();
        if ticks.len() == TICKS_MAX {
            ticks.pop_front();
        }
        ticks.push_back(took);
    }

    fn add(&self, record: &DecisionRecord) {
        let tally = &self.0;
        tally.total.fetch_add(1, Ordering::Relaxed);
        let counter = match (record.outcome, record.applied) {
            (Outcome::ScaleUp, true) => &tally.scale_up,
            (Outcome::ScaleDown, true) => &tally.scale_down,
            (Outcome::Hold, _) => &tally.hold,
            (_, false) => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What failed; every failure is counted under one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The source of metrics did not answer all questions.
    Metrics,
    /// The cluster did not list its workloads.
    Cluster,
    /// The cluster did not accept a number of replicas.
    Write,
    /// The cluster did not record an event.
    Event,
    /// The cluster did not take which replicas are to go first.
    Costs,
    /// The decision log could not be written.
    Journal,
    /// The status of a policy was not taken.
    Status,
    /// The source of metrics did not say how the objectives are.
    Objectives,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Metrics,
        Self::Cluster,
        Self::Write,
        Self::Event,
        Self::Costs,
        Self::Journal,
        Self::Status,
        Self::Objectives,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Cluster => "cluster",
            Self::Write => "write",
            Self::Event => "event",
            Self::Costs => "costs",
            Self::Journal => "journal",
            Self::Status => "status",
            Self::Objectives => "objectives",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    namespace: String,
    workload: String,
    outcome: &'static str,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkloadLabels {
    namespace: String,
    workload: String,
}

/// Those of a journey have no `service` and those of a service no `journey`: an empty label is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectiveLabels {
    namespace: String,
    service: String,
    journey: String,
    slo: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BurnLabels {
    namespace: String,
    service: String,
    journey: String,
    slo: String,
    window: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    during: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

/// The instruments.
#[derive(Debug, Clone)]
pub struct Instruments {
    counts: CountsHandle,
    decisions: Family<DecisionLabels, Counter>,
    desired: Family<WorkloadLabels, Gauge>,
    failures: Family<FailureLabels, Counter>,
    tick_duration: Histogram,
    statuses: Counter,
    leader: Gauge,
    leader_transitions: Counter,
    refusals: Family<RefusalLabels, Counter>,
    objectives: ObjectiveGauges,
    reload_successful: Gauge,
}

/// What is told of objectives.
#[derive(Debug, Clone, Default)]
struct ObjectiveGauges {
    burn_rates: Family<BurnLabels, Gauge<f64, AtomicU64>>,
    budgets_left: Family<ObjectiveLabels, Gauge<f64, AtomicU64>>,
    states: Family<ObjectiveLabels, Gauge>,
}

impl Instruments {
    /// Registers all of them.
    pub fn new(metrics: &Metrics) -> Self {
        // From a tick that only asks a server nearby to one that waits for every timeout.
        let buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let instruments = Self {
            counts: CountsHandle::default(),
            decisions: Family::default(),
            desired: Family::default(),
            failures: Family::default(),
            tick_duration: Histogram::new(buckets),
            statuses: Counter::default(),
            leader: Gauge::default(),
            leader_transitions: Counter::default(),
            refusals: Family::default(),
            objectives: ObjectiveGauges::default(),
            reload_successful: Gauge::default(),
        };
        // Until files were read again, and where policies are no files, none was wrong.
        instruments.reload_successful.set(1);
        for failure in Failure::ALL {
            // Present from the start, so that an increase can be seen as one.
            drop(instruments.failures.get_or_create(&FailureLabels { during: failure.name() }));
        }
        let Self {
            decisions,
            desired,
            failures,
            tick_duration,
            statuses,
            leader,
            leader_transitions,
            refusals,
            reload_successful,
            ..
        } = instruments.clone();
        let ObjectiveGauges { burn_rates, budgets_left, states } = instruments.objectives.clone();
        metrics.register(|registry| {
            let help = "Times too fast that an objective's error budget burned in a window";
            registry.register("plimsoll_autoscaler_slo_burn_rate", help, burn_rates);
            let help = "Share of an objective's error budget that is left, negative when overspent";
            registry.register("plimsoll_autoscaler_slo_budget_remaining", help, budgets_left);
            let help = "State of an objective: 0 no data, 1 ok, 2 slow burn, 3 fast burn";
            registry.register("plimsoll_autoscaler_slo_state", help, states);
            registry.register("plimsoll_autoscaler_decisions", "Decisions by what came of them and why", decisions);
            registry.register("plimsoll_autoscaler_desired_replicas", "Replicas that the policy asks for", desired);
            registry.register("plimsoll_autoscaler_failures", "What failed and was coped with", failures);
            registry.register("plimsoll_autoscaler_tick_duration_seconds", "Time a tick took", tick_duration);
            registry.register("plimsoll_autoscaler_status_writes", "Statuses of policies written", statuses);
            registry.register(
                "plimsoll_autoscaler_api_refusals",
                "Requests to change something that were refused",
                refusals,
            );
            registry.register(
                "plimsoll_autoscaler_policies_last_reload_successful",
                "Whether the policy files were right when they were read last",
                reload_successful,
            );
            registry.register("plimsoll_autoscaler_leader", "Whether this autoscaler leads", leader);
            registry.register(
                "plimsoll_autoscaler_leader_transitions",
                "Times that this autoscaler won or lost the lead",
                leader_transitions,
            );
        });
        instruments
    }

    /// The plain counts.
    pub fn counts(&self) -> CountsHandle {
        self.counts.clone()
    }

    /// Counts a record.
    pub fn decided(&self, record: &DecisionRecord) {
        self.counts.add(record);
        let [up, down, hold] = OUTCOMES;
        let outcome = match record.outcome {
            Outcome::ScaleUp => up,
            Outcome::ScaleDown => down,
            Outcome::Hold => hold,
        };
        let (namespace, workload) = (record.workload.namespace.clone(), record.workload.name.clone());
        let labels = WorkloadLabels { namespace: namespace.clone(), workload: workload.clone() };
        self.desired.get_or_create(&labels).set(i64::from(record.wish));
        let labels = DecisionLabels { namespace, workload, outcome, reason: record.reason.clone() };
        self.decisions.get_or_create(&labels).inc();
    }

    /// Forgets a workload that no policy steers any more.
    pub fn forget(&self, workload: &WorkloadRef) {
        let (namespace, workload) = (workload.namespace.clone(), workload.name.clone());
        self.desired.remove(&WorkloadLabels { namespace: namespace.clone(), workload: workload.clone() });
        for reason in Reason::ALL {
            for outcome in OUTCOMES {
                let (namespace, workload) = (namespace.clone(), workload.clone());
                let reason = reason.code().to_owned();
                self.decisions.remove(&DecisionLabels { namespace, workload, outcome, reason });
            }
        }
    }

    /// Counts a failure.
    pub fn failed(&self, failure: Failure) {
        self.failures.get_or_create(&FailureLabels { during: failure.name() }).inc();
    }

    /// Tells how an objective is. What nothing is known of has no series.
    pub fn objective(&self, status: &ObjectiveStatus) {
        let ObjectiveGauges { burn_rates, budgets_left, states } = &self.objectives;
        let name_if = |kind: &str| if status.kind == kind { status.subject.clone() } else { String::new() };
        let labels = ObjectiveLabels {
            namespace: status.namespace.clone(),
            service: name_if("service"),
            journey: name_if("journey"),
            slo: status.objective.clone(),
        };
        for burn in &status.windows {
            let ObjectiveLabels { namespace, service, journey, slo } = labels.clone();
            let labels = BurnLabels { namespace, service, journey, slo, window: burn.window.clone() };
            match burn.burn_rate {
                Some(rate) => drop(burn_rates.get_or_create(&labels).set(rate)),
                None => drop(burn_rates.remove(&labels)),
            }
        }
        match status.budget_left {
            Some(left) => drop(budgets_left.get_or_create(&labels).set(left)),
            None => drop(budgets_left.remove(&labels)),
        }
        states.get_or_create(&labels).set(match status.state {
            ObjectiveState::NoData => 0,
            ObjectiveState::Ok => 1,
            ObjectiveState::SlowBurn => 2,
            ObjectiveState::FastBurn => 3,
        });
    }

    /// Counts a status that was written.
    pub fn status_written(&self) {
        self.statuses.inc();
    }

    /// Says whether policy files were right when they were read.
    pub fn reloaded(&self, successful: bool) {
        self.reload_successful.set(i64::from(successful));
    }

    /// Counts a request to the API that may not change anything.
    pub fn api_refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&RefusalLabels { reason }).inc();
    }

    /// Says whether this autoscaler leads. What a follower would ask for is nobody's business.
    pub fn leads(&self, leads: bool) {
        if self.leader.set(i64::from(leads)) != i64::from(leads) {
            self.leader_transitions.inc();
        }
        if !leads {
            self.desired.clear();
        }
    }

    /// Notes how long a tick took.
    pub fn ticked(&self, took: Duration) {
        self.tick_duration.observe(took.as_secs_f64());
        self.counts.ticked(took);
    }
}
