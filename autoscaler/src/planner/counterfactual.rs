//! What would have to be otherwise for a decision to be another: from the record of a tick and its policy, by the very `plan`. For
//! each signal the workload is made up again as the record knows it, and the nearest reading that changes the plan is looked for.
//! Windows and earlier changes only delay: they are said beside it. Pure.

use std::time::Duration;

use protocol::scaling::{DecisionRecord, Explanation, GuardRecord, Mode, SizingRecord, TurningPoint};

use super::observation::{ContainerRequest, Phase, Pod, PodSample, ReadyCondition, Requests, ResourceRequest, Startup};
use super::surroundings::Surroundings;
use super::{History, Observation, Reading, plan, sizing};
use crate::policy::{
    Aim, Behavior, Change, DOWN_WINDOW_DEFAULT, Policy, QueryTarget, RatePolicy, ScalingRules, Select, Signal,
};

/// What each made-up replica requests, in thousandths.
const REQUEST_MILLIS: i64 = 100_000;

/// Readings are looked for up to so many times the target.
const FACTOR_MAX: i64 = 1_000;

/// Long ago enough for a replica to be no starting one.
const LONG_MS: i64 = 24 * 3_600_000;

/// Explains a record by what would have changed it. `policy` is the one that it was made by.
pub fn explain(policy: &Policy, record: &DecisionRecord) -> Explanation {
    let from = i32::try_from(record.from).unwrap_or(i32::MAX);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for signal in policy.signals.iter().filter(|signal| signal.aim.reads()) {
        let recorded = record.signals.iter().find(|recorded| recorded.signal == signal.name);
        if signal.aim.sizes() {
            let load =
                recorded.and_then(|recorded| recorded.sizing.as_ref()).map(|sizing| Load { policy, sizing, from });
            up.extend(load.as_ref().and_then(|load| load.rises_at(&signal.name)));
            down.extend(load.as_ref().and_then(|load| load.falls_at(&signal.name)));
            continue;
        }
        let scene = Scene { policy: alone(policy, signal, from), signal, from, at_ms: record.at_ms };
        let now = recorded.and_then(|recorded| recorded.value);
        let point = |value: i64| TurningPoint { signal: signal.name.clone(), value: shown(signal, value), now };
        up.extend(scene.rises_at().map(point));
        down.extend(scene.falls_at().map(point));
    }
    let [up_note, down_note] = [true, false].map(|upwards| {
        let mut notes = notes(policy, from, upwards, record.at_ms);
        notes.extend(in_the_way(record, upwards));
        notes.join("; ")
    });
    Explanation { record: record.clone(), up, up_note, down, down_note }
}

/// One signal alone: whoever raises does so whatever the others say, and whoever lowers needs all of them.
fn alone(policy: &Policy, signal: &Signal, from: i32) -> Policy {
    let tolerance = policy.tolerance();
    let at_once = |tolerance: f64| ScalingRules {
        window: Duration::ZERO,
        select: Select::Max,
        policies: vec![RatePolicy { change: Change::Pods(from.max(1)), period: Duration::from_secs(1) }],
        tolerance,
    };
    let aim = match &signal.aim {
        Aim::Utilization { resource, percent, .. } => {
            Aim::Utilization { resource: *resource, container: None, percent: *percent }
        }
        // A number is a number, however it was computed.
        Aim::Expression { target, .. } => Aim::Query { promql: String::new(), selectors: Vec::new(), target: *target },
        other => other.clone(),
    };
    Policy {
        signals: vec![Signal { aim, ..signal.clone() }],
        behavior: Some(Behavior { up: at_once(tolerance.up), down: at_once(tolerance.down) }),
        fallback: None,
        ..policy.clone()
    }
}

/// A workload with one signal. Readings are whole numbers of the finest step: percent, or thousandths.
struct Scene<'a> {
    policy: Policy,
    signal: &'a Signal,
    from: i32,
    at_ms: i64,
}

impl Scene<'_> {
    /// The least reading that raises.
    fn rises_at(&self) -> Option<i64> {
        turn(self.most(), |value| self.planned(value) > self.from)
    }

    /// The largest reading that lowers.
    fn falls_at(&self) -> Option<i64> {
        turn(self.most(), |value| self.planned(value) >= self.from).map(|value| value - 1)
    }

    fn most(&self) -> i64 {
        let target = match &self.signal.aim {
            Aim::Utilization { percent, .. } => i64::from(*percent),
            Aim::Query { target, .. } | Aim::Expression { target, .. } => {
                let (QueryTarget::PerReplica(millis) | QueryTarget::Total(millis)) = *target;
                millis
            }
            Aim::Schedule(_) | Aim::Demand(_) | Aim::Upstream(_) | Aim::Backlog { .. } => 0,
        };
        target.saturating_mul(FACTOR_MAX)
    }

    fn planned(&self, value: i64) -> i32 {
        let observation = Observation {
            now_ms: self.at_ms,
            desired: self.from,
            ready: u32::try_from(self.from).unwrap_or(0),
            pods: (0..self.from).map(|number| self.pod(number)).collect(),
            readings: vec![self.reading(value)],
            startup: Startup::default(),
            paused: false,
            budget: None,
            around: Surroundings::default(),
            containers: None,
        };
        plan(&self.policy, &observation, &History::default()).wish
    }

    /// The reading that a record tells as this value.
    fn reading(&self, value: i64) -> Reading {
        let (at_ms, window) = (self.at_ms, Duration::ZERO);
        let replicas = match &self.signal.aim {
            Aim::Utilization { .. } => {
                let millis = value.saturating_mul(REQUEST_MILLIS / 100);
                let sample = |number| PodSample { pod: pod_name(number), millis, at_ms, window };
                return Reading::Pods((0..self.from).map(sample).collect());
            }
            Aim::Query { target: QueryTarget::PerReplica(_), .. }
            | Aim::Expression { target: QueryTarget::PerReplica(_), .. } => i64::from(self.from),
            _ => 1,
        };
        Reading::Total { millis: value.saturating_mul(replicas), at_ms: Some(at_ms) }
    }

    fn pod(&self, number: i32) -> Pod {
        let long_ago_ms = self.at_ms - LONG_MS;
        let request = ResourceRequest { cpu: Some(REQUEST_MILLIS), memory: Some(REQUEST_MILLIS) };
        let containers = vec![ContainerRequest { name: "all".to_owned(), request }];
        Pod {
            name: pod_name(number),
            phase: Phase::Running,
            terminating: false,
            started_ms: Some(long_ago_ms),
            ready: Some(ReadyCondition { status: Some(true), changed_ms: long_ago_ms }),
            requests: Requests { containers, pod: None },
        }
    }
}

/// The first of 1..=`most` for which something holds that holds from some value on, and not at 0.
fn turn(most: i64, holds: impl Fn(i64) -> bool) -> Option<i64> {
    let (mut low, mut high) = (0, most);
    if holds(low) || !holds(high) {
        return None;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// A size and what it follows from: requests a second, or how much waits. Everything else stays as it was recorded.
struct Load<'a> {
    policy: &'a Policy,
    sizing: &'a SizingRecord,
    from: i32,
}

impl Load<'_> {
    /// The least load that raises.
    fn rises_at(&self, signal: &str) -> Option<TurningPoint> {
        let value = turn(self.most(), |value| self.wish(value) > self.from)?;
        Some(self.point(signal, value))
    }

    /// The largest load that lowers.
    fn falls_at(&self, signal: &str) -> Option<TurningPoint> {
        let value = turn(self.most(), |value| self.wish(value) >= self.from)?;
        Some(self.point(signal, value - 1))
    }

    fn now(&self) -> f64 {
        match self.sizing {
            SizingRecord::Queue { likely, .. } => likely.rate,
            SizingRecord::Drain { waiting, .. } => *waiting,
        }
    }

    fn point(&self, signal: &str, millis: i64) -> TurningPoint {
        TurningPoint { signal: signal.to_owned(), value: millis as f64 / 1000.0, now: Some(self.now()) }
    }

    /// Without any load now nothing says how sure its rate would be.
    fn most(&self) -> i64 {
        ((self.now() * 1000.0) as i64).saturating_mul(FACTOR_MAX)
    }

    /// What would be wished under so many thousandths of load.
    fn wish(&self, millis: i64) -> i32 {
        let factor = millis as f64 / 1000.0 / self.now();
        let mut record = *self.sizing;
        match &mut record {
            SizingRecord::Queue { likely, least, most, .. } => {
                [likely, least, most].into_iter().for_each(|case| case.rate *= factor);
            }
            SizingRecord::Drain { waiting, .. } => *waiting *= factor,
        }
        let Ok(counts) = sizing::replicas(&record) else { return self.policy.bounds.max };
        let counts = counts.map(|count| i32::try_from(count).unwrap_or(i32::MAX));
        sizing::wish(counts, self.from).0.clamp(self.policy.bounds.min, self.policy.bounds.max)
    }
}

fn pod_name(number: i32) -> String {
    format!("replica-{number}")
}

/// As records write it.
fn shown(signal: &Signal, value: i64) -> f64 {
    match signal.aim {
        Aim::Utilization { .. } => value as f64,
        _ => value as f64 / 1000.0,
    }
}

/// What the record's guards held that look beyond the workload: whatever its readings, they would go on to.
fn in_the_way(record: &DecisionRecord, upwards: bool) -> impl Iterator<Item = String> {
    let looks_beyond = move |guard: &&GuardRecord| {
        let is_cut = if upwards { guard.after < guard.before } else { guard.after > guard.before };
        is_cut && guard.facts.is_some()
    };
    record.guards.iter().filter(looks_beyond).map(|guard| guard.note.clone())
}

/// What stands in the way, and what would have to last.
fn notes(policy: &Policy, from: i32, upwards: bool, at_ms: i64) -> Vec<String> {
    let mut notes = Vec::new();
    let bounds = policy.bounds;
    if upwards && from >= bounds.max {
        notes.push(format!("{} are the most allowed", bounds.max));
    }
    if !upwards && from <= bounds.min {
        notes.push(format!("{} are the fewest allowed", bounds.min));
    }
    if from == 0 {
        notes.push("someone has set it to zero, so it is left alone".to_owned());
    }
    let rules = policy.behavior.as_ref().map(|behavior| if upwards { &behavior.up } else { &behavior.down });
    if rules.is_some_and(|rules| rules.select == Select::Disabled) {
        let direction = if upwards { "scaleUp" } else { "scaleDown" };
        notes.push(format!("behavior.{direction}.selectPolicy is Disabled"));
    }
    let otherwise = if upwards { Duration::ZERO } else { DOWN_WINDOW_DEFAULT };
    let window = rules.map_or(otherwise, |rules| rules.window);
    if window > Duration::ZERO {
        notes.push(format!("it must last {} s", window.as_secs()));
    }
    let writes = match policy.mode {
        Mode::Auto => true,
        Mode::ScaleUpOnly => upwards,
        Mode::ScaleDownOnly => !upwards,
        Mode::Off | Mode::Recommend => false,
    };
    if !writes {
        notes.push(format!("it would not be carried out: mode is {:?}", policy.mode));
    }
    for signal in &policy.signals {
        let Aim::Schedule(schedule) = &signal.aim else { continue };
        if !upwards && schedule.is_open(at_ms) && schedule.replicas() >= from {
            notes.push(format!("{} asks for {} now", signal.name, schedule.replicas()));
        }
        if upwards
            && schedule.replicas() > from
            && let Some(time) = schedule.next_opening(at_ms).and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        {
            notes.push(format!("{} asks for {} from {time} on", signal.name, schedule.replicas()));
        }
    }
    notes
}
