//! One contender's way through a part of a trace.

use cluster::simulated::Simulation;
use protocol::quantity::Quantity;

use super::contender::{Contender, Settings};
use super::score::{Moment, Score, Scorer};
use super::{ReplayError, Setup};

/// Virtual seconds at the first rate before anything counts: replicas have started, metrics are there, and HPA's five minutes of
/// stabilisation have passed.
const WARM_IN_SECONDS: f64 = 600.0;

/// Everybody begins with as many replicas as carry the first rate at this share of their capacity.
const FIRST_LOAD: f64 = 0.5;

/// What nobody steers has replicas that carry the trace's peak at this share of their capacity: it is not what is compared.
const UNSTEERED_LOAD: f64 = 0.5;

/// A part of a trace, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub from: f64,
    pub to: f64,
}

/// Who goes, with which randomness, through what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    pub settings: Settings,
    pub seed: u64,
    pub span: Span,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub score: Score,
    pub moments: Vec<Moment>,
}

/// Gives services that nobody steers enough for the peak, and at least what they begin with.
fn suffice(simulation: &mut Simulation, contender: &Contender, peak: f64) {
    let services = simulation.graph().services().len();
    for service in 0..services {
        if !contender.services().any(|steered| steered == service) {
            let requests = peak * simulation.graph().visits(service);
            let wanted = (requests / (simulation.graph().capacity(service) * UNSTEERED_LOAD)).ceil() as u32;
            let now = simulation.fleet(service).desired();
            simulation.scale(service, wanted.max(now));
        }
    }
}

impl Course {
    /// Goes through it.
    pub fn run(&self, setup: &Setup) -> Result<Run, ReplayError> {
        let begins_ms = setup.begins_ms + ((self.span.from - WARM_IN_SECONDS) / 60.0).floor() as i64 * 60_000;
        let mut simulation = Simulation::beginning_at(setup.graph.clone(), self.seed, setup.step_ms, begins_ms);
        // Loops do not begin on the full minute: each seed has its own moment, the same for all contenders.
        let phase_ms = i64::try_from(self.seed % 15).unwrap_or_default() * 1000;
        let Setup { policies, graph, cadence, .. } = setup;
        let mut contender = Contender::new(self.settings, policies, graph, *cadence, begins_ms, phase_ms)?;
        let first = setup.trace.rate_at(self.span.from);
        match self.settings {
            Settings::Static { load } => contender.size(&mut simulation, self.highest(setup), load),
            _ => contender.size(&mut simulation, first, FIRST_LOAD),
        }
        suffice(&mut simulation, &contender, setup.trace.peak());
        let requests: Vec<(usize, f64)> = contender
            .services()
            .map(|service| {
                let request = setup.graph.services().nth(service).and_then(|s| s.resources.cpu_request);
                (service, request.map_or(0.0, Quantity::as_f64))
            })
            .collect();
        let seconds = simulation.step_seconds();
        let steps = |length: f64| (length / seconds).round() as u64;
        for _ in 0..steps(WARM_IN_SECONDS) {
            contender.act(&mut simulation);
            simulation.step(first);
        }
        let before = contender.changes();
        let mut scorer = Scorer::new(setup.objective, self.seed == 0);
        for step in 0..steps(self.span.to - self.span.from) {
            contender.act(&mut simulation);
            let rate = setup.trace.rate_at(self.span.from + (step as f64 + 0.5) * seconds);
            let (mut replicas, mut cores) = (0.0, 0.0);
            for (service, request) in &requests {
                let pods = simulation.fleet(*service).pods().len() as f64;
                replicas += pods;
                cores += pods * request;
            }
            let answers = simulation.step(rate);
            scorer.add(seconds, rate, answers, replicas, cores);
        }
        let (score, moments) = scorer.finish(contender.changes() - before);
        Ok(Run { score, moments: moments.unwrap_or_default() })
    }

    /// The highest rate that whoever sizes replicas once could have known: that of all before, or on the first part of its own.
    fn highest(&self, setup: &Setup) -> f64 {
        let to = if self.span.from > 0.0 { self.span.from } else { self.span.to };
        let minutes = (to / 10.0).ceil() as u64;
        (0..=minutes).map(|place| setup.trace.rate_at((place as f64 * 10.0).min(to))).fold(0.0, f64::max)
    }
}
