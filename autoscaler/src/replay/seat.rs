//! One workload that a contender steers, and what it knows of it: pods through `observe`, readings through the meter and spans, in the
//! shape in which the live loop hands them to the planner.

use std::collections::HashMap;

use cluster::simulated::{Graph, Simulation};

use super::ReplayError;
use super::contender::{KEDA_WINDOW, Settings};
use super::meters::{Meter, Way};
use super::question::{Metric, Question, named};
use crate::observe::{cores, pod, thousandths};
use crate::planner::combine::combine;
use crate::planner::limits::limit;
use crate::planner::observation::{Demand, PodSample, ServiceDemand, Startup, Throughput};
use crate::planner::replicas::{Fleet, Proposal, for_share, for_utilization};
use crate::planner::surroundings::Surroundings;
use crate::planner::{Gap, History, Observation, Reading, beyond};
use crate::policy::{Behavior, Policy, Resource, ScalingRules};

/// What services are asked to do, by their names.
pub(super) type Demands = HashMap<String, ServiceDemand>;

/// A workload that is steered, and what is seen of it.
pub(super) struct Seat {
    pub service: usize,
    pub policy: Policy,
    pub observation: Observation,
    questions: Vec<Question>,
    meter: Meter,
    /// The fleet's version when its pods were last looked at.
    version: Option<u64>,
    /// Cores that one replica may use.
    cores: Option<f64>,
    history: History,
    /// For KEDA: thousandths of requests a second for each replica.
    per_replica: i64,
}

impl Seat {
    /// # Errors
    /// A policy that cannot be replayed on this graph.
    pub fn new(
        settings: Settings,
        policy: &Policy,
        graph: &Graph,
        way: Way,
        startup: Startup,
        phase_ms: i64,
    ) -> Result<Self, ReplayError> {
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
        let asked: Vec<Metric> = match settings {
            Settings::Plimsoll => questions.iter().flat_map(Question::metrics).collect(),
            _ => vec![Metric::Requests { service, window: KEDA_WINDOW }],
        };
        let per_replica = match settings {
            Settings::Keda { load, .. } => thousandths(load * graph.capacity(service)),
            _ => 0,
        };
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
        let meter = Meter::new(way, service, phase_ms, asked.into_iter());
        let history = History::default();
        Ok(Self { service, policy, observation, questions, meter, version: None, cores: None, history, per_replica })
    }

    /// Reads what it is time to read.
    pub fn read(&mut self, simulation: &Simulation) {
        self.meter.read(simulation);
    }

    /// Whether one of its questions is answered by spans.
    pub fn asks_spans(&self) -> bool {
        self.questions.iter().any(Question::asks_spans)
    }

    /// Brings the observation up to date.
    pub fn look(&mut self, simulation: &Simulation, settings: Settings, demands: &Demands) {
        let (now_ms, fleet) = (simulation.now_ms(), simulation.fleet(self.service));
        let observation = &mut self.observation;
        observation.now_ms = now_ms;
        if self.version.replace(fleet.version()) != Some(fleet.version()) {
            let workload = fleet.observed(now_ms);
            observation.desired = i32::try_from(workload.desired.0).unwrap_or(i32::MAX);
            observation.ready = workload.ready().0;
            observation.pods.clear();
            observation.pods.extend(workload.replicas.iter().map(pod));
            self.cores = cores(&workload);
        }
        let service = self.policy.service.as_str();
        let known = Known { meter: &self.meter, simulation, service, demand: demands.get(service), cores: self.cores };
        let readings = &mut observation.readings;
        match settings {
            Settings::Plimsoll => {
                self.questions.iter().zip(readings).for_each(|(question, reading)| known.answer(question, reading));
            }
            Settings::Hpa { .. } => known.answer_one(&Question::Cpu, readings),
            Settings::Keda { .. } => {
                let requests = Metric::Requests { service: self.service, window: KEDA_WINDOW };
                known.answer_one(&Question::Number(requests), readings);
            }
            Settings::Static { .. } => {}
        }
    }

    /// What HPA v2 does with its one metric: CPU as a percentage of requests, or an external one for each replica.
    pub fn hpa(&mut self, percent: Option<i32>) -> Option<i32> {
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

/// What answers are made of.
struct Known<'a> {
    meter: &'a Meter,
    simulation: &'a Simulation,
    service: &'a str,
    demand: Option<&'a ServiceDemand>,
    cores: Option<f64>,
}

impl Known<'_> {
    /// The one reading of a baseline, whatever the policy's signals are.
    fn answer_one(&self, question: &Question, readings: &mut Vec<Reading>) {
        readings.truncate(1);
        readings.iter_mut().for_each(|reading| self.answer(question, reading));
    }

    fn answer(&self, question: &Question, reading: &mut Reading) {
        // What was read last lends its memory to what is read now.
        let before = std::mem::replace(reading, Reading::Clock);
        *reading = match question {
            Question::Cpu => match before {
                Reading::Pods(samples) => Reading::Pods(self.cpu(samples)),
                _ => Reading::Pods(self.cpu(Vec::new())),
            },
            Question::Number(metric) => self.total(*metric),
            Question::Numbers(metrics) => Reading::Inputs(metrics.iter().map(|metric| self.total(*metric)).collect()),
            Question::Clock => Reading::Clock,
            Question::Demand => match self.requests() {
                Ok(service) => {
                    let samples = match before {
                        Reading::Demand(demand) => demand.cpu,
                        _ => Vec::new(),
                    };
                    let demand = Demand { service: *service, cpu: self.cpu(samples), cores: self.cores };
                    Reading::Demand(Box::new(demand))
                }
                Err(gap) => Reading::Missing(gap),
            },
            Question::Backlog { waiting, done } => self.backlog(*waiting, *done),
        };
    }

    fn requests(&self) -> Result<&ServiceDemand, Gap> {
        self.demand.ok_or_else(|| Gap::NoRequests(self.service.to_owned()))
    }

    fn cpu(&self, mut samples: Vec<PodSample>) -> Vec<PodSample> {
        self.meter.cpu(self.simulation, &mut samples);
        samples
    }

    fn number(&self, metric: Metric) -> Result<(f64, i64), Gap> {
        self.meter.number(metric, self.simulation.now_ms()).ok_or(Gap::Empty)
    }

    fn total(&self, metric: Metric) -> Reading {
        match self.number(metric) {
            Ok((value, at_ms)) => Reading::Total { millis: thousandths(value), at_ms: Some(at_ms) },
            Err(gap) => Reading::Missing(gap),
        }
    }

    fn backlog(&self, waiting: Metric, done: Option<Metric>) -> Reading {
        let throughput = match done {
            Some(metric) => self.number(metric).map(|(rate, at_ms)| Throughput { rate, at_ms: Some(at_ms) }),
            None => self.requests().map(|known| Throughput { rate: known.served, at_ms: Some(known.at_ms) }),
        };
        match self.number(waiting) {
            Ok((waiting, at_ms)) => Reading::Backlog { waiting, at_ms: Some(at_ms), throughput },
            Err(gap) => Reading::Missing(gap),
        }
    }
}
