//! Who steers the simulated cluster. Ours is `planner::plan` with the very memory of the live loop; HPA and KEDA are the planner's
//! own replica calculation and limits, which `cargo xtask conformance hpa` holds against Kubernetes' code; static does nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster::Replicas;
use cluster::simulated::{Graph, Simulation};
use protocol::scaling::Mode;

use super::ReplayError;
use super::meters::{Way, next};
use super::seat::{Demands, Seat};
use super::spans::Spans;
use crate::planner::observation::Startup;
use crate::policy::PolicySet;
use crate::reconciler::memory::Memory;
use crate::reconciler::round;

/// HPA's `--horizontal-pod-autoscaler-sync-period`.
const HPA_SYNC_MS: i64 = 15_000;

/// The rate that KEDA's prometheus scaler is usually given: its documentation's own example is over two minutes, most over one.
pub(super) const KEDA_WINDOW: Duration = Duration::from_secs(60);

/// The scrape interval of that Prometheus: Prometheus' own default is 1 minute, that of its operator 30 s, of most users 15 s.
const KEDA_SCRAPE: Duration = Duration::from_secs(15);

/// How the live loop is set up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cadence {
    /// Time between ticks.
    pub interval: Duration,
    /// How often metrics are scraped.
    pub scrape: Duration,
    /// Window of readings of CPU and of the call graph.
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

/// A contender at work on one simulated cluster.
pub(super) struct Contender {
    settings: Settings,
    seats: Vec<Seat>,
    /// The call graph, where a policy asks for it.
    spans: Option<Spans>,
    memory: Memory,
    every_ms: i64,
    next_ms: i64,
    changes: u64,
}

impl Contender {
    /// Takes its seats at `now_ms`. `phase_ms` says when after a full minute its loop ticks.
    ///
    /// # Errors
    /// A policy that cannot be replayed on this graph.
    pub fn new(
        settings: Settings,
        policies: &PolicySet,
        graph: &Graph,
        cadence: Cadence,
        now_ms: i64,
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
            // Not everything is read in the same moment: each workload has a phase of its own.
            let phase_ms = phase_ms + i64::try_from(place).unwrap_or_default() * 1000;
            seats.push(Seat::new(settings, policy, graph, way, startup, phase_ms)?);
        }
        let reads_spans = settings == Settings::Plimsoll && seats.iter().any(Seat::asks_spans);
        let spans = reads_spans.then(|| Spans::new(graph, cadence.rate_window));
        let memory = Memory::default();
        Ok(Self { settings, seats, spans, memory, every_ms, next_ms: next(now_ms, every_ms, phase_ms), changes: 0 })
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
        self.seats.iter_mut().for_each(|seat| seat.read(simulation));
        if let Some(spans) = &mut self.spans {
            spans.read(simulation);
        }
        let now_ms = simulation.now_ms();
        if now_ms < self.next_ms {
            return;
        }
        self.next_ms = next(now_ms, self.every_ms, self.next_ms);
        let demands = self.demands(simulation);
        for seat in &mut self.seats {
            seat.look(simulation, self.settings, &demands);
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

    /// What the policies' services are asked to do, as spans tell it.
    fn demands(&mut self, simulation: &Simulation) -> Demands {
        let Some(spans) = &mut self.spans else { return Demands::default() };
        let services: BTreeSet<&str> = self.seats.iter().map(|seat| &*seat.policy.service).collect();
        spans.demands(simulation, &services)
    }
}

#[cfg(test)]
mod tests;
