//! Who steers the simulated cluster. Ours is `planner::plan` with the very memory of the live loop; HPA and KEDA are the planner's
//! own replica calculation and limits, which `cargo xtask conformance hpa` holds against Kubernetes' code; static does nothing.

use std::time::Duration;

use cluster::Replicas;
use cluster::simulated::{Graph, Simulation};

use protocol::scaling::Mode;

use super::ReplayError;
use super::meters::{Meter, Way, next};
use super::question::{Question, named};
use crate::observe::{pod, thousandths};
use crate::planner::combine::combine;
use crate::planner::limits::limit;
use crate::planner::observation::Startup;
use crate::planner::replicas::{Fleet, Proposal, for_share, for_utilization};
use crate::planner::surroundings::Surroundings;
use crate::planner::{Gap, History, Observation, Reading, beyond};
use crate::policy::{Behavior, Policy, PolicySet, Resource, ScalingRules};
use crate::reconciler::memory::Memory;
use crate::reconciler::round;

/// HPA's `--horizontal-pod-autoscaler-sync-period`.
const HPA_SYNC_MS: i64 = 15_000;

/// The rate that KEDA's prometheus scaler is usually given: its documentation's own example is over two minutes, most over one.
const KEDA_WINDOW: Duration = Duration::from_secs(60);

/// The scrape interval of that Prometheus: Prometheus' own default is 1 minute, that of its operator 30 s, of most users 15 s.
const KEDA_SCRAPE: Duration = Duration::from_secs(15);

/// How the live loop is set up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cadence {
    /// Time between ticks.
    pub interval: Duration,
    /// How often metrics are scraped.
    pub scrape: Duration,
    /// Window of CPU readings.
    pub rate_window: Duration,
    /// How long a starting pod's CPU is not believed.
    pub startup: Startup,
}

/// A way of steering, with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Settings {
    /// The policies, as the live autoscaler carries them out.
    Plimsoll,
    /// As many replicas as carry the highest rate at this share of their capacity, all the time.
    Static {
        /// Share of the capacity.
        load: f64,
    },
    /// `HorizontalPodAutoscaler` v2 on CPU, with the bounds of the policies.
    Hpa {
        /// Percent of the request.
        percent: i32,
        /// Its `behavior.scaleDown.stabilizationWindowSeconds`.
        down: Duration,
    },
    /// KEDA's prometheus scaler on request rates, through HPA, with the bounds of the policies.
    Keda {
        /// Requests a second for each replica, as a share of what one can serve.
        load: f64,
        /// Its `scaleDown.stabilizationWindowSeconds`.
        down: Duration,
    },
}

impl Settings {
    /// The contender's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plimsoll => "plimsoll",
            Self::Static { .. } => "static",
            Self::Hpa { .. } => "hpa",
            Self::Keda { .. } => "keda",
        }
    }
}

impl std::fmt::Display for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plimsoll => f.write_str("as its policies say"),
            Self::Static { load } => write!(f, "peak at {:.0} % of capacity", load * 100.0),
            Self::Hpa { percent, down } => write!(f, "cpu {percent} %, down after {} s", down.as_secs()),
            Self::Keda { load, down } => {
                write!(f, "requests at {:.0} % of capacity, down after {} s", load * 100.0, down.as_secs())
            }
        }
    }
}

/// A workload that is steered, and what is seen of it.
struct Seat {
    service: usize,
    policy: Policy,
    questions: Vec<Question>,
    meter: Meter,
    /// The fleet's version when its pods were last looked at.
    version: Option<u64>,
    observation: Observation,
    history: History,
    /// For KEDA: thousandths of requests a second for each replica.
    per_replica: i64,
}

/// A contender at work on one simulated cluster.
pub(super) struct Contender {
    settings: Settings,
    seats: Vec<Seat>,
    memory: Memory,
    every_ms: i64,
    next_ms: i64,
    changes: u64,
}

impl Contender {
    /// Takes its seat. `phase_ms` says when its loop's first tick comes.
    ///
    /// # Errors
    /// A policy that cannot be replayed on this graph.
    pub fn new(
        settings: Settings,
        policies: &PolicySet,
        graph: &Graph,
        cadence: Cadence,
        phase_ms: i64,
    ) -> Result<Self, ReplayError> {
        let (way, every_ms) = match settings {
            Settings::Plimsoll => {
                let way = Way::Scraped { every: cadence.scrape, window: cadence.rate_window };
                (way, i64::try_from(cadence.interval.as_millis()).unwrap_or(i64::MAX / 4).max(1))
            }
            Settings::Hpa { .. } | Settings::Static { .. } => (Way::MetricsServer, HPA_SYNC_MS),
            Settings::Keda { .. } => (Way::Scraped { every: KEDA_SCRAPE, window: KEDA_WINDOW }, HPA_SYNC_MS),
        };
        let startup = if settings == Settings::Plimsoll { cadence.startup } else { Startup::default() };
        let mut seats = Vec::with_capacity(policies.len());
        for (place, policy) in policies.iter().enumerate() {
            let service = graph.find(&policy.target).ok_or_else(|| ReplayError::NoSuchWorkload {
                policy: named(policy),
                workload: policy.target.to_string(),
            })?;
            let questions = Question::of(policy, graph)?;
            let mut policy = policy.clone();
            if let Settings::Hpa { down, .. } | Settings::Keda { down, .. } = settings {
                let down = ScalingRules { window: down, ..ScalingRules::down_default() };
                policy.behavior = Some(Behavior { up: ScalingRules::up_default(), down });
            }
            let asked = match settings {
                Settings::Plimsoll => questions.clone(),
                _ => vec![Question::Requests { service, window: KEDA_WINDOW }],
            };
            let asked = asked.iter().filter_map(|question| question.requests());
            let per_replica = match settings {
                Settings::Keda { load, .. } => thousandths(load * graph.capacity(service)),
                _ => 0,
            };
            // Not everything is read in the same moment: each workload has a phase of its own.
            let meter = Meter::new(way, service, phase_ms + i64::try_from(place).unwrap_or_default() * 1000, asked);
            let observation = Observation {
                now_ms: 0,
                desired: 0,
                ready: 0,
                pods: Vec::new(),
                readings: questions.iter().map(|_| Reading::Missing(Gap::Empty)).collect(),
                startup,
                paused: false,
                budget: None,
                around: Surroundings::default(),
                containers: None,
            };
            let history = History::default();
            seats.push(Seat { service, policy, questions, meter, version: None, observation, history, per_replica });
        }
        let memory = Memory::default();
        Ok(Self { settings, seats, memory, every_ms, next_ms: next(0, every_ms, phase_ms), changes: 0 })
    }

    /// Gives every workload as many replicas as carry this rate at this share of their capacity, within its bounds.
    pub fn size(&self, simulation: &mut Simulation, journeys_a_second: f64, load: f64) {
        for seat in &self.seats {
            let requests = journeys_a_second * simulation.graph().visits(seat.service);
            let wanted = (requests / (simulation.graph().capacity(seat.service) * load)).ceil() as i32;
            let within = wanted.clamp(seat.policy.bounds.min, seat.policy.bounds.max);
            simulation.scale(seat.service, within.unsigned_abs());
        }
    }

    /// The services that it steers.
    pub fn services(&self) -> impl Iterator<Item = usize> {
        self.seats.iter().map(|seat| seat.service)
    }

    /// Changes of a number of replicas so far.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Reads what it is time to read, and decides and writes if its time has come.
    pub fn act(&mut self, simulation: &mut Simulation) {
        if matches!(self.settings, Settings::Static { .. }) {
            return;
        }
        for seat in &mut self.seats {
            seat.meter.read(simulation);
        }
        let now_ms = simulation.now_ms();
        if now_ms < self.next_ms {
            return;
        }
        self.next_ms = next(now_ms, self.every_ms, self.next_ms);
        for seat in &mut self.seats {
            seat.look(simulation, self.settings);
        }
        let writes: Vec<Option<i32>> = match self.settings {
            Settings::Plimsoll => self.plan(now_ms),
            Settings::Hpa { percent, .. } => self.seats.iter_mut().map(|seat| seat.hpa(Some(percent))).collect(),
            Settings::Keda { .. } => self.seats.iter_mut().map(|seat| seat.hpa(None)).collect(),
            Settings::Static { .. } => Vec::new(),
        };
        for (seat, write) in self.seats.iter().zip(writes) {
            let (Some(to), desired) = (write, seat.observation.desired) else { continue };
            simulation.scale(seat.service, Replicas(to.unsigned_abs()).0);
            if self.settings == Settings::Plimsoll {
                self.memory.changed(&seat.policy, now_ms, desired, to);
            }
            self.changes += 1;
        }
    }

    /// Plans as the live loop does, all workloads in one round; what each seat is to write.
    fn plan(&mut self, now_ms: i64) -> Vec<Option<i32>> {
        let Self { seats, memory, .. } = self;
        let mut round: Vec<round::Seat<'_>> = Vec::with_capacity(seats.len());
        for seat in seats.iter_mut().filter(|seat| seat.policy.mode != Mode::Off) {
            memory.recall(&seat.policy, now_ms, seat.observation.desired, false);
            round.push(round::Seat { policy: &seat.policy, observation: &mut seat.observation });
        }
        let mut plans = round::plan_round(&mut round, &[], memory, None).into_iter();
        let write = |seat: &Seat| if seat.policy.mode == Mode::Off { None } else { plans.next()?.write };
        seats.iter().map(write).collect()
    }
}

impl Seat {
    /// Brings the observation up to date: pods through `observe`, readings through the meter.
    fn look(&mut self, simulation: &Simulation, settings: Settings) {
        let (now_ms, fleet) = (simulation.now_ms(), simulation.fleet(self.service));
        let observation = &mut self.observation;
        observation.now_ms = now_ms;
        if self.version.replace(fleet.version()) != Some(fleet.version()) {
            let workload = fleet.observed(now_ms);
            observation.desired = i32::try_from(workload.desired.0).unwrap_or(i32::MAX);
            observation.ready = workload.ready().0;
            observation.pods.clear();
            observation.pods.extend(workload.replicas.iter().map(pod));
        }
        let meter = &self.meter;
        match settings {
            Settings::Plimsoll => {
                for (question, reading) in self.questions.iter().zip(&mut observation.readings) {
                    answer(*question, meter, simulation, reading);
                }
            }
            Settings::Hpa { .. } => one(&mut observation.readings, Question::Cpu, meter, simulation),
            Settings::Keda { .. } => {
                let requests = Question::Requests { service: self.service, window: KEDA_WINDOW };
                one(&mut observation.readings, requests, meter, simulation);
            }
            Settings::Static { .. } => {}
        }
    }

    /// What HPA v2 does with its one metric: CPU as a percentage of requests, or an external one for each replica.
    fn hpa(&mut self, percent: Option<i32>) -> Option<i32> {
        let Self { policy, observation, history, .. } = self;
        let Observation { now_ms, desired, pods, readings, startup, .. } = &*observation;
        if *desired == 0 {
            return None;
        }
        if history.recommendations.is_empty() {
            *history = History::begin(*now_ms, *desired);
        }
        if let Some((bound, _)) = beyond(policy.bounds, *desired) {
            return Some(bound);
        }
        let tolerance = policy.tolerance();
        let proposal: Result<Proposal, Gap> = match (percent, readings.first()) {
            (Some(percent), Some(Reading::Pods(samples))) => {
                let fleet = Fleet { pods, samples, now_ms: *now_ms, startup: *startup };
                for_utilization(fleet, Resource::Cpu, None, percent, *desired, tolerance)
            }
            (None, Some(Reading::Total { millis, .. })) => {
                Ok(for_share(*millis, self.per_replica, *desired, tolerance))
            }
            _ => Err(Gap::Empty),
        };
        let wish = combine(&[proposal], *desired).replicas?;
        let limited = limit(policy.behavior.as_ref(), policy.bounds, *desired, wish, history, *now_ms);
        history.remember(*now_ms, wish, policy.behavior.as_ref());
        if limited.replicas == *desired {
            return None;
        }
        history.changed(*now_ms, *desired, limited.replicas, policy.behavior.as_ref());
        Some(limited.replicas)
    }
}

/// The one reading of a baseline, whatever the policy's signals are.
fn one(readings: &mut Vec<Reading>, question: Question, meter: &Meter, simulation: &Simulation) {
    readings.truncate(1);
    if let Some(reading) = readings.first_mut() {
        answer(question, meter, simulation, reading);
    }
}

fn answer(question: Question, meter: &Meter, simulation: &Simulation, reading: &mut Reading) {
    match question {
        Question::Cpu => {
            let mut samples = match std::mem::replace(reading, Reading::Missing(Gap::Empty)) {
                Reading::Pods(samples) => samples,
                _ => Vec::new(),
            };
            meter.cpu(simulation, &mut samples);
            *reading = Reading::Pods(samples);
        }
        Question::Requests { service, window } => {
            *reading = match meter.requests(service, simulation.now_ms(), window) {
                Some(rate) => Reading::Total { millis: thousandths(rate.value), at_ms: Some(rate.at_ms) },
                None => Reading::Missing(Gap::Empty),
            };
        }
    }
}
