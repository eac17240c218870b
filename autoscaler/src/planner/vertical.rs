//! Decides how much CPU and memory each container should request, and says why. Pure, as all of the planner. Replicas are judged by
//! what the manifest requests, never by what is decided here, so that the two cannot drive each other. Start at `plan`; what is
//! remembered is in `log`, how much is needed by what was used in `models`, and by what was not let be used in `evidence`.

pub mod evidence;
mod explain;
mod histogram;
pub mod log;
pub mod models;
pub mod seen;
pub mod slots;
pub mod usage;

use std::cmp::Ordering;

use protocol::scaling::{AmountGuardRecord, ModelRecord, Outcome, ResourceRecord};

use self::evidence::{Cause, Kill};
use self::explain::{Story, amount};
use self::log::ContainerLog;
use self::models::DEADBAND;
use self::seen::{Amounts, Container, Containers};
use self::usage::Usage;
use super::{History, Observation, may_write};
use crate::policy::{AmountBounds, Apply, Policy, Resource, ResourcePolicy};

/// Memory is given with so much room above what was used within eight days, and never cut below that.
const ROOM: f64 = 1.15;

/// And with so much before a quarter of an hour has passed: the first readings are not the highest.
const ROOM_YOUNG: f64 = 1.3;

/// Nothing is cut before it is known what was used for a day; an hour of it may be missing.
const HISTORY_HOURS: f64 = 23.0;

/// Nothing is cut so soon after a change: two changes a day, a rise and a cut, are what constant load may cause.
const CUT_AFTER_MS: i64 = 24 * 3_600_000;

/// A cut takes at most this share.
const CUT_MOST: f64 = 0.5;

/// A mebibyte, to which memory is rounded up.
const MEBIBYTE: f64 = 1_048_576.0;

/// What should be done about one container.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerPlan {
    /// Its name.
    pub container: String,
    /// What each resource should be and why, cpu first.
    pub records: Vec<ResourceRecord>,
    /// What to write; `None` when there is nothing to write or the policy forbids it.
    pub write: Option<ContainerAmounts>,
    /// How.
    pub apply: Apply,
}

/// What a container is to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContainerAmounts {
    /// CPU.
    pub cpu: Amounts,
    /// Memory.
    pub memory: Amounts,
}

impl ContainerPlan {
    /// Lets nothing be written, and says why.
    pub fn hold(&mut self, why: &str) {
        if self.write.take().is_some() {
            let changes = self.records.iter_mut().filter(|record| record.wish != record.from);
            changes.for_each(|record| record.message.push_str(&format!(" (not carried out: {why})")));
        }
    }
}

/// Plans the containers of one workload. `replicas` is what was planned of their number in the same tick.
pub fn plan(policy: &Policy, observation: &Observation, history: &History, replicas: Outcome) -> Vec<ContainerPlan> {
    let (Some(resources), Some(seen)) = (&policy.resources, &observation.containers) else { return Vec::new() };
    let planner = Planner { policy, resources, observation, seen, history, replicas };
    let covered = seen.each.iter().filter(|container| resources.covers(&container.name));
    covered.map(|container| planner.container(container)).collect()
}

struct Planner<'a> {
    policy: &'a Policy,
    resources: &'a ResourcePolicy,
    observation: &'a Observation,
    seen: &'a Containers,
    history: &'a History,
    replicas: Outcome,
}

/// The way from what a model gives to what is planned.
struct Course {
    value: f64,
    guards: Vec<AmountGuardRecord>,
}

impl Course {
    fn pass(&mut self, guard: &str, after: f64, note: impl FnOnce() -> String) {
        let before = std::mem::replace(&mut self.value, after);
        let note = if before == after { String::new() } else { note() };
        self.guards.push(AmountGuardRecord { guard: guard.to_owned(), before, after, note });
    }

    /// Stays at `from` if there is a reason to.
    fn hold(&mut self, guard: &str, from: f64, why: Option<String>) {
        let after = if why.is_some() { from } else { self.value };
        self.pass(guard, after, || why.unwrap_or_default());
    }

    fn raise(&mut self, guard: &str, least: Option<f64>, note: impl FnOnce() -> String) {
        if let Some(least) = least {
            // Levels are kept as 32 bits: what differs by less does not differ.
            let after = if least > self.value * (1.0 + 1e-6) { least } else { self.value };
            self.pass(guard, after, note);
        }
    }
}

impl Planner<'_> {
    fn container(&self, container: &Container) -> ContainerPlan {
        let log = self.history.containers.of(&container.name);
        let mut amounts = ContainerAmounts { cpu: container.cpu, memory: container.memory };
        let (mut records, mut writes) = (Vec::with_capacity(2), false);
        for resource in [Resource::Cpu, Resource::Memory] {
            let Some(bounds) = self.resources.bounds(resource) else { continue };
            let (record, write) = self.resource(container, log, resource, bounds);
            if let (Some(from), Some(wish), true) = (record.from, record.wish, write) {
                let scaled = scaled(container.amounts(resource), resource, wish, wish / from);
                *match resource {
                    Resource::Cpu => &mut amounts.cpu,
                    Resource::Memory => &mut amounts.memory,
                } = scaled;
                writes = true;
            }
            records.push(record);
        }
        let (container, apply) = (container.name.clone(), self.resources.apply);
        ContainerPlan { container, records, write: writes.then_some(amounts), apply }
    }

    fn resource(
        &self,
        container: &Container,
        log: Option<&ContainerLog>,
        resource: Resource,
        bounds: AmountBounds,
    ) -> (ResourceRecord, bool) {
        let now_ms = self.observation.now_ms;
        let amounts = container.amounts(resource);
        let usage = log.map(|log| &log.of(resource).usage);
        let units = |millis: i64| millis as f64 / 1000.0;
        let from = amounts.request.filter(|request| *request > 0).map(units);
        let models = usage.into_iter().flat_map(Usage::models);
        let model =
            |(model, wish, cost): (models::Model, f64, f64)| ModelRecord { model: model.name().to_owned(), wish, cost };
        let believed = usage.and_then(Usage::believed);
        let mut record = ResourceRecord {
            container: container.name.clone(),
            resource: resource.to_string(),
            from,
            limit: amounts.limit.map(units),
            hours_known: usage.map_or(0.0, |usage| usage.hours_known(now_ms)),
            models: models.map(model).collect(),
            model: believed.map(|(model, _)| model.name().to_owned()),
            unbounded: None,
            wish: None,
            guards: Vec::new(),
            applied: false,
            refused: String::new(),
            message: String::new(),
        };
        let (Some(from), Some(log)) = (from, log) else {
            record.message = explain::no_request(&record);
            return (record, false);
        };
        let mut course = Course { value: believed.map_or(from, |(_, wish)| wish), guards: Vec::new() };
        self.raise(&mut course, log, resource);
        let rounded = round_up(resource, course.value);
        course.pass("rounding", rounded, String::new);
        record.unbounded = Some(rounded);
        let (min, max) = (units(bounds.min), units(bounds.max));
        course.pass("bounds", rounded.clamp(min, max), || {
            let (least, most) = (amount(resource, min), amount(resource, max));
            if rounded > max {
                format!("{most} are the most allowed: raise resources.{resource}.max")
            } else {
                format!("{least} are the least allowed")
            }
        });
        match course.value.total_cmp(&from) {
            Ordering::Less => self.hold_cut(&mut course, log, container, resource, from),
            Ordering::Greater => {
                // Neither a bound that cuts the need short nor one that is above it makes it small.
                let is_near = is_near(from, rounded.max(course.value));
                hold_rise(&mut course, log, container, (resource, from, is_near), now_ms);
            }
            Ordering::Equal => {}
        }
        let outcome = match course.value.total_cmp(&from) {
            Ordering::Less => Outcome::ScaleDown,
            Ordering::Greater => Outcome::ScaleUp,
            Ordering::Equal => Outcome::Hold,
        };
        (record.wish, record.guards) = (Some(course.value), course.guards);
        let write =
            self.resources.apply != Apply::Recommend && may_write(self.policy.mode, self.observation.paused, outcome);
        record.message = Story { record: &record, resource, outcome }.sentence();
        if outcome != Outcome::Hold && !write {
            let why = match (self.observation.paused, self.resources.apply) {
                (true, _) => "paused".to_owned(),
                (false, Apply::Recommend) => "apply is Recommend".to_owned(),
                (false, _) => format!("mode is {:?}", self.policy.mode),
            };
            record.message.push_str(&format!(" (not carried out: {why})"));
        }
        (record, write)
    }

    /// What must be given at least, whatever the models say.
    fn raise(&self, course: &mut Course, log: &ContainerLog, resource: Resource) {
        let now_ms = self.observation.now_ms;
        let of = log.of(resource);
        let weekly = of.usage.weekly_peak();
        let room = if resource == Resource::Memory { ROOM } else { 1.0 };
        let said = |peak: Option<f64>| amount(resource, peak.unwrap_or_default());
        course.raise("weeklyPeak", weekly.map(|peak| peak * room), || {
            format!("{} was used within the last eight days", said(weekly))
        });
        if resource == Resource::Memory {
            let recent = of.usage.recent_peak(now_ms);
            let room = if weekly.is_some() { ROOM } else { ROOM_YOUNG };
            course.raise("room", recent.map(|peak| peak * room), || {
                format!("{} was used within the last hour", said(recent))
            });
        }
        if let Some(push) = of.push.filter(|push| push.holds(now_ms)) {
            let guard = if push.cause == Cause::Throttling { "throttling" } else { "pressure" };
            course.raise(guard, Some(push.amount), || explain::push_words(&push));
        }
        if let Some(kill) = kill_of(log, resource).filter(|kill| kill.holds(now_ms)) {
            course.raise("kill", Some(kill.amount()), || explain::kill_words(&kill));
        }
    }

    /// Cuts only what is known not to be needed.
    fn hold_cut(&self, course: &mut Course, log: &ContainerLog, container: &Container, resource: Resource, from: f64) {
        let now_ms = self.observation.now_ms;
        let gap = self.seen.gap.as_ref();
        course.hold("freshness", from, gap.map(ToString::to_string));
        course.hold("deadBand", from, is_near(from, course.value).then(dead_band_words));
        let hours = log.of(resource).usage.hours_known(now_ms);
        let is_short = hours < HISTORY_HOURS;
        course.hold("history", from, is_short.then(|| format!("of the last day {hours:.0} h are known")));
        let since_ms = log.of(resource).changed_ms.map(|changed_ms| now_ms - changed_ms);
        let recent = since_ms.filter(|since_ms| *since_ms < CUT_AFTER_MS);
        course.hold("pace", from, recent.map(|since_ms| format!("it was changed {} ago", explain::ago(since_ms))));
        course.hold("resizing", from, explain::resizing_words(&container.resizing));
        let moves = self.replicas != Outcome::Hold;
        course.hold("replicas", from, moves.then(|| "the number of replicas changes first".to_owned()));
        let burning = self.observation.budget.as_ref().filter(|budget| budget.forbids_less());
        course.hold("burnRate", from, burning.map(|budget| format!("its {} burns fast", budget.objective)));
        if course.value < from {
            let least = round_up(resource, from * CUT_MOST).min(from);
            course.raise("step", Some(least), || "a cut takes at most half".to_owned());
        }
    }
}

/// Raises when that is more than noise, and when what was read was used with what there is now. Whoever was killed does not wait.
fn hold_rise(
    course: &mut Course,
    log: &ContainerLog,
    container: &Container,
    (resource, from, is_near): (Resource, f64, bool),
    now_ms: i64,
) {
    let of = log.of(resource);
    let is_new = |kill: &Kill| of.changed_ms.is_none_or(|changed_ms| kill.at_ms > changed_ms);
    if kill_of(log, resource).filter(is_new).is_none() {
        course.hold("deadBand", from, is_near.then(dead_band_words));
        let waits = !of.has_settled(now_ms);
        course.hold("pace", from, waits.then(|| "what was read is from before the last change".to_owned()));
    }
    course.hold("resizing", from, explain::resizing_words(&container.resizing));
}

fn kill_of(log: &ContainerLog, resource: Resource) -> Option<Kill> {
    log.kill.filter(|_| resource == Resource::Memory)
}

fn is_near(from: f64, wish: f64) -> bool {
    (wish - from).abs() <= DEADBAND * from
}

fn dead_band_words() -> String {
    format!("it differs by no more than {:.0}%", DEADBAND * 100.0)
}

/// Up to a whole millicore or mebibyte; what is a hair above one is that one.
fn round_up(resource: Resource, value: f64) -> f64 {
    match resource {
        Resource::Cpu => (value * 1000.0 - 1e-6).ceil() / 1000.0,
        Resource::Memory => (value / MEBIBYTE - 1e-6).ceil() * MEBIBYTE,
    }
}

/// What is to be written: the request, and the limit in the ratio that it had to the request.
fn scaled(before: Amounts, resource: Resource, request: f64, ratio: f64) -> Amounts {
    let millis = |value: f64| (value * 1000.0).round() as i64;
    let request = millis(request);
    let limit = |limit: i64| millis(round_up(resource, limit as f64 / 1000.0 * ratio)).max(request);
    Amounts { request: Some(request), limit: before.limit.map(limit) }
}

#[cfg(test)]
mod tests;
