//! Plays cases tick by tick: makes the observation of each, plans, carries out, and compares. Chooses nothing: see `planner`.

use std::fmt;
use std::time::Duration;

use protocol::duration;

use super::{Case, Cases, Expect, Given, Step};
use crate::RATE_WINDOW_DEFAULT;
use crate::planner::observation::{
    ContainerRequest, Phase, Pod, PodSample, ReadyCondition, Requests, ResourceRequest, Startup,
};
use crate::planner::surroundings::Surroundings;
use crate::planner::{Gap, History, Observation, Plan, Reading, plan, unsigned};
use crate::policy::{Aim, Policy};

/// What each container requests, in thousandths; what it uses is a share of it.
const REQUEST_MILLIS: i64 = 1_000_000;

/// How long replicas that are there at the beginning have been: none of them is starting.
const LONG_MS: i64 = 24 * 3_600_000;

/// What came of a file of cases.
#[derive(Debug, Clone)]
pub struct Report {
    /// How many cases there are.
    pub cases: usize,
    /// How many plans were compared.
    pub compared: usize,
    /// How many cases went otherwise.
    pub failed: usize,
    /// Plans that were not as expected, in their order.
    pub failures: Vec<Failure>,
}

/// A plan that is not as expected.
#[derive(Debug, Clone)]
pub struct Failure {
    case: String,
    at_ms: i64,
    expect: Expect,
    plan: Plan,
}

pub(super) fn run(cases: &Cases) -> Report {
    let mut report = Report { cases: cases.cases.len(), compared: 0, failed: 0, failures: Vec::new() };
    for case in &cases.cases {
        let before = report.failures.len();
        Workload::new(cases, case).play(&mut report);
        report.failed += usize::from(report.failures.len() > before);
    }
    report
}

struct Workload<'a> {
    cases: &'a Cases,
    case: &'a Case,
    /// When each replica was started, in milliseconds since the epoch.
    started_ms: Vec<i64>,
    /// So many of them are ready, if a step has said so.
    ready: Option<u32>,
    paused: bool,
    readings: Vec<Given>,
}

impl<'a> Workload<'a> {
    fn new(cases: &'a Cases, case: &'a Case) -> Self {
        let started_ms = vec![case.start_ms - LONG_MS; case.replicas as usize];
        let readings = vec![Given::Missing; cases.policy.signals.len()];
        Self { cases, case, started_ms, ready: None, paused: false, readings }
    }

    fn play(&mut self, report: &mut Report) {
        let (cases, case) = (self.cases, self.case);
        let policy = &cases.policy;
        let last_ms = case.steps.last().map_or(0, |step| step.at_ms);
        let mut history = History::begin(case.start_ms, i32::try_from(case.replicas).unwrap_or(i32::MAX));
        let mut steps = case.steps.iter().peekable();
        let mut at_ms = 0;
        while at_ms <= last_ms {
            let now_ms = case.start_ms + at_ms;
            let step = steps.next_if(|step| step.at_ms == at_ms);
            if let Some(step) = step {
                self.take(step, now_ms);
            }
            let observation = self.observe(now_ms);
            history.learn(policy, &observation);
            let plan = plan(policy, &observation, &history);
            history.planned(policy, &observation, &plan);
            if let Some(to) = plan.write {
                history.changed(now_ms, plan.from, to, policy.behavior.as_ref());
                self.scale(unsigned(to), now_ms);
            }
            if let Some(expect) = step.and_then(|step| step.expect.as_ref()) {
                report.compared += 1;
                if !is_met(expect, &plan) {
                    let (case, expect) = (case.name.clone(), expect.clone());
                    report.failures.push(Failure { case, at_ms, expect, plan });
                }
            }
            at_ms += cases.every_ms;
        }
    }

    fn take(&mut self, step: &Step, now_ms: i64) {
        if let Some(replicas) = step.replicas {
            self.scale(replicas, now_ms);
        }
        self.ready = step.ready.or(self.ready);
        self.paused = step.paused.unwrap_or(self.paused);
        for (place, given) in &step.readings {
            self.readings[*place] = given.clone();
        }
    }

    /// The newest go first.
    fn scale(&mut self, replicas: u32, now_ms: i64) {
        self.started_ms.resize(replicas as usize, now_ms);
    }

    fn observe(&self, now_ms: i64) -> Observation {
        let policy = &self.cases.policy;
        let containers = containers(policy);
        let pods: Vec<Pod> =
            self.started_ms.iter().enumerate().map(|(n, at)| self.pod(n, *at, now_ms, &containers)).collect();
        let is_ready = |pod: &&Pod| pod.ready.is_some_and(|ready| ready.status == Some(true));
        let ready: Vec<&Pod> = pods.iter().filter(is_ready).collect();
        let read = |(given, aim): (&Given, &Aim)| reading(given, aim, &ready, containers.len(), now_ms);
        let readings = self.readings.iter().zip(policy.signals.iter().map(|signal| &signal.aim)).map(read).collect();
        Observation {
            now_ms,
            desired: i32::try_from(pods.len()).unwrap_or(i32::MAX),
            ready: u32::try_from(ready.len()).unwrap_or(u32::MAX),
            readings,
            pods,
            startup: Startup::default(),
            paused: self.paused,
            budget: None,
            around: Surroundings::default(),
            containers: None,
        }
    }

    fn pod(&self, number: usize, started_ms: i64, now_ms: i64, containers: &[String]) -> Pod {
        let ready_ms = started_ms + self.cases.startup_ms;
        let is_ready = ready_ms <= now_ms && self.ready.is_none_or(|ready| number < ready as usize);
        let changed_ms = if is_ready { ready_ms } else { started_ms };
        let amount = ResourceRequest { cpu: Some(REQUEST_MILLIS), memory: Some(REQUEST_MILLIS) };
        let request = |name: &String| ContainerRequest { name: name.clone(), request: amount };
        Pod {
            name: format!("{}-{number}", self.cases.policy.target.name),
            phase: Phase::Running,
            terminating: false,
            started_ms: Some(started_ms),
            ready: Some(ReadyCondition { status: Some(is_ready), changed_ms }),
            requests: Requests { containers: containers.iter().map(request).collect(), pod: None },
        }
    }
}

/// The containers that the policy's signals name, or one.
fn containers(policy: &Policy) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for signal in &policy.signals {
        if let Aim::Utilization { container: Some(name), .. } = &signal.aim
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    if names.is_empty() { vec![policy.target.name.clone()] } else { names }
}

fn reading(given: &Given, aim: &Aim, ready: &[&Pod], containers: usize, now_ms: i64) -> Reading {
    let parts = match aim {
        Aim::Utilization { container: None, .. } => containers,
        Aim::Utilization { container: Some(_), .. } => 1,
        Aim::Schedule(_) => return Reading::Clock,
        Aim::Query { .. } | Aim::Expression { .. } | Aim::Demand(_) | Aim::Upstream(_) | Aim::Backlog { .. } => 0,
    };
    let request = REQUEST_MILLIS as f64 * parts as f64;
    let sample = |pod: &Pod, percent: f64, age_ms: i64| PodSample {
        pod: pod.name.clone(),
        millis: (request * percent / 100.0).round() as i64,
        at_ms: now_ms - age_ms,
        window: RATE_WINDOW_DEFAULT,
    };
    match given {
        Given::Missing => Reading::Missing(Gap::Empty),
        Given::Unavailable => Reading::Missing(Gap::Source("it is unavailable in this case".to_owned())),
        Given::Number(millis, age_ms) => Reading::Total { millis: *millis, at_ms: Some(now_ms - age_ms) },
        Given::Inputs(inputs) => {
            Reading::Inputs(inputs.iter().map(|given| reading(given, aim, ready, containers, now_ms)).collect())
        }
        Given::Work(percent, age_ms) => {
            let share = percent / ready.len().max(1) as f64;
            Reading::Pods(ready.iter().map(|pod| sample(pod, share, *age_ms)).collect())
        }
        Given::Each(all, age_ms) => {
            let of = |n: usize| all.get(n).or(all.last()).copied().flatten();
            let known = ready.iter().enumerate().filter_map(|(n, pod)| Some((pod, of(n)?)));
            Reading::Pods(known.map(|(pod, percent)| sample(pod, percent, *age_ms)).collect())
        }
    }
}

fn is_met(expect: &Expect, plan: &Plan) -> bool {
    unsigned(plan.wish) == expect.replicas
        && expect.reason.is_none_or(|reason| reason == plan.reason)
        && expect.message.as_ref().is_none_or(|part| plan.message.contains(part.as_str()))
}

impl fmt::Display for Failure {
    /// What was expected and what was planned, line by line, and all that it follows from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, at_ms, expect, plan } = self;
        let at = duration::Display(Duration::from_millis(at_ms.unsigned_abs()));
        writeln!(f, "{case}, at {at}: expected {expect}, planned {} for {}", plan.wish, plan.reason.code())?;
        let mut differs = |what: &str, expected: &str, found: &str| {
            if expected == found { Ok(()) } else { writeln!(f, "  - {what} {expected}\n  + {what} {found}") }
        };
        differs("replicas", &expect.replicas.to_string(), &plan.wish.to_string())?;
        if let Some(reason) = expect.reason {
            differs("reason", reason.code(), plan.reason.code())?;
        }
        if let Some(part) = expect.message.as_ref().filter(|part| !plan.message.contains(part.as_str())) {
            differs("message", &format!("with {part:?}"), &format!("{:?}", plan.message))?;
        }
        writeln!(f, "  it says: {}", plan.message)?;
        for signal in &plan.signals {
            let value = signal.value.map_or_else(|| "nothing".to_owned(), |value| format!("{value}"));
            let wish = signal.wish.map_or_else(|| "cannot say".to_owned(), |wish| format!("asks for {wish}"));
            let note = if signal.note.is_empty() { String::new() } else { format!(" ({})", signal.note) };
            writeln!(f, "  {}: {value} of {}, {wish}{note}", signal.signal, signal.target)?;
        }
        for guard in plan.guards.iter().filter(|guard| guard.before != guard.after) {
            writeln!(f, "  {}: {} -> {}, {}", guard.guard, guard.before, guard.after, guard.note)?;
        }
        Ok(())
    }
}
