//! Decides how many replicas a workload should have, and says why. Pure: no I/O, no clock, no randomness, no async; the same
//! policy, observation and history always give the same plan. Start at `plan`; the arithmetic is in `replicas`, `combine`
//! and `limits`, the guards that look beyond the workload in `guards`, the words in `explain`.

pub mod arrivals;
pub mod budget;
mod change;
pub mod combine;
pub mod cone;
pub mod counterfactual;
pub mod downstream;
mod explain;
mod guards;
pub mod history;
mod isolation;
mod judge;
pub mod learning;
pub mod limits;
mod metastable;
pub mod observation;
pub mod reason;
pub mod replicas;
pub mod sizing;
pub mod surroundings;
pub mod track;
pub mod vertical;

use protocol::scaling::{GuardRecord, Mode, Outcome, SignalRecord};

pub use self::budget::ErrorBudget;
use self::combine::combine;
use self::explain::Story;
pub use self::history::History;
use self::judge::{Verdict, judge};
use self::limits::{Limit, Limited, limit};
pub use self::observation::{Gap, Observation, Reading};
pub use self::reason::Reason;
use self::replicas::Rule;
pub use self::vertical::ContainerPlan;
use crate::policy::{Aim, Bounds, Policy, Signal};

/// What should be done about one workload, with everything from which that follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Replicas asked for now.
    pub from: i32,
    /// Replicas that the policy asks for.
    pub wish: i32,
    /// The number to write; `None` when there is nothing to write or the mode forbids it.
    pub write: Option<i32>,
    /// Direction from `from` to `wish`.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// Why, in one sentence.
    pub message: String,
    /// What each signal said.
    pub signals: Vec<SignalRecord>,
    /// Name of the signal that won.
    pub winner: Option<String>,
    /// What each guard did, in order.
    pub guards: Vec<GuardRecord>,
    /// The wish before fault isolation, to be remembered; `None` when nothing trustworthy was wished.
    pub unguarded: Option<i32>,
    /// The wish before stabilisation, to be remembered; `None` when nothing trustworthy was wished.
    pub recommendation: Option<i32>,
    /// No signal could say anything.
    pub blind: bool,
    /// What is planned of the containers' resources in the same tick.
    pub resources: Vec<ContainerPlan>,
}

/// Plans one workload. `observation.readings` are in the order of `policy.signals`; a missing one counts as no reading.
pub fn plan(policy: &Policy, observation: &Observation, history: &History) -> Plan {
    let verdicts: Vec<Verdict> = policy
        .signals
        .iter()
        .enumerate()
        .map(|(index, signal)| {
            judge(signal, observation.readings.get(index), observation, &history.learnt, policy.tolerance())
        })
        .collect();
    let planner = Planner { policy, observation, history, verdicts, from: observation.desired };
    let course = planner.course();
    planner.finish(course)
}

/// The bound that a number of replicas is beyond: it is brought back whatever the signals say.
pub fn beyond(bounds: Bounds, replicas: i32) -> Option<(i32, Reason)> {
    if replicas > bounds.max {
        Some((bounds.max, Reason::AboveMaximum))
    } else if replicas < bounds.min {
        Some((bounds.min, Reason::BelowMinimum))
    } else {
        None
    }
}

struct Planner<'a> {
    policy: &'a Policy,
    observation: &'a Observation,
    history: &'a History,
    verdicts: Vec<Verdict>,
    from: i32,
}

/// The way from what the signals ask for to what is planned.
pub(crate) struct Course {
    value: i32,
    guards: Vec<GuardRecord>,
    winner: Option<usize>,
    unguarded: Option<i32>,
    recommendation: Option<i32>,
    /// The most that any earlier wish may raise it to.
    ceiling: Option<i32>,
    blind: bool,
    reason: Reason,
}

impl Course {
    fn new(start: i32, reason: Reason) -> Self {
        let (winner, unguarded, recommendation) = (None, None, None);
        Self {
            value: start,
            guards: Vec::new(),
            winner,
            unguarded,
            recommendation,
            ceiling: None,
            blind: false,
            reason,
        }
    }

    fn pass(&mut self, guard: &str, after: i32, note: String) {
        let before = self.value;
        let (before, after_unsigned) = (unsigned(before), unsigned(after));
        self.guards.push(GuardRecord { guard: guard.to_owned(), before, after: after_unsigned, note, facts: None });
        self.value = after;
    }
}

impl Planner<'_> {
    fn course(&self) -> Course {
        let (from, bounds) = (self.from, self.policy.bounds);
        if from == 0 {
            return Course::new(0, Reason::ScaledToZero);
        }
        if let Some((bound, reason)) = beyond(bounds, from) {
            let mut course = Course::new(from, reason);
            let which = if reason == Reason::AboveMaximum { "most" } else { "fewest" };
            course.pass("bounds", bound, format!("{bound} are the {which} allowed"));
            self.share_downstream(&mut course);
            return course;
        }
        // What is asked for at a time can be said without readings; it counts when it asks for more than there is.
        let loudest = self.verdicts.iter().filter_map(|v| v.proposal.as_ref().ok()).map(|p| p.raw).max();
        if self.reads_nothing() && loudest.is_none_or(|raw| raw <= from) { self.blind() } else { self.sighted() }
    }

    /// Whether none of the signals that need a reading has one.
    fn reads_nothing(&self) -> bool {
        let mut readers = self.policy.signals.iter().zip(&self.verdicts).filter(|(s, _)| s.aim.reads()).peekable();
        readers.peek().is_some() && readers.all(|(_, v)| v.proposal.is_err())
    }

    /// No signal can say: hold, or go up to the fallback once that has lasted.
    fn blind(&self) -> Course {
        let gap = self.verdicts.iter().find_map(|v| v.proposal.as_ref().err());
        let reason = match gap.map(Gap::cause) {
            Some(Gap::Source(_)) => Reason::MetricsUnavailable,
            Some(Gap::Stale { .. }) => Reason::MetricStale,
            _ => Reason::MetricMissing,
        };
        let mut course = Course::new(self.from, reason);
        course.blind = true;
        course.pass("freshness", self.from, gap.map(ToString::to_string).unwrap_or_default());
        let now_ms = self.observation.now_ms;
        let blind_ms = self.history.blind_since_ms.map_or(0, |since| now_ms - since);
        if let Some(fallback) = self.policy.fallback
            && i128::from(blind_ms) >= i128::try_from(fallback.after_missing.as_millis()).unwrap_or(i128::MAX)
            && fallback.replicas > self.from
        {
            course.pass("fallback", fallback.replicas, format!("nothing could be read for {} s", blind_ms / 1000));
            course.reason = Reason::FallbackReplicas;
            self.apply_limits(&mut course);
        }
        course
    }

    fn sighted(&self) -> Course {
        let said: Vec<(usize, i32, Rule)> = self
            .verdicts
            .iter()
            .enumerate()
            .filter_map(|(index, v)| v.proposal.as_ref().ok().map(|p| (index, p.raw, p.rule)))
            .collect();
        let loudest = said.iter().copied().rev().max_by_key(|(_, raw, _)| *raw);
        let (_, start, loudest_rule) = loudest.unwrap_or((0, self.from, Rule::Ratio));
        let proposals: Vec<_> = self.verdicts.iter().map(|v| v.proposal.clone()).collect();
        let combined = combine(&proposals, self.from);

        let mut course = Course::new(start, Reason::SameCount);
        course.winner = combined.winner;
        course.blind = self.reads_nothing();
        let doubt = self.doubt().filter(|_| start < self.from);
        let doubted = doubt.is_some();
        let fresh = if doubted { self.from } else { start };
        course.pass("freshness", fresh, doubt.unwrap_or_default());
        let settled = if doubted { fresh } else { combined.replicas.unwrap_or(self.from) };
        course.pass("tolerance", settled, tolerance_note(fresh, settled, loudest_rule));
        if doubted {
            course.reason = Reason::MetricMissingForbidsDown;
        } else {
            course.unguarded = Some(course.value);
            let isolated = self.isolate(&mut course);
            self.pack(&mut course);
            let frozen = self.freeze(&mut course);
            course.recommendation = Some(course.value);
            let rule = if settled == start {
                combined.winner.and_then(|w| proposals[w].as_ref().ok()).map_or(Rule::Ratio, |p| p.rule)
            } else {
                loudest_rule
            };
            course.reason = match rule {
                Rule::Ratio => Reason::SameCount,
                Rule::WithinTolerance | Rule::WithinToleranceAssumed | Rule::Uncertain => Reason::WithinTolerance,
                Rule::WouldTurnRound => Reason::ReadingsIncomplete,
            };
            course.reason = frozen.or(isolated).unwrap_or(course.reason);
        }
        self.apply_limits(&mut course);
        course
    }

    /// Why the wish may be too low to be believed, if it may be.
    fn doubt(&self) -> Option<String> {
        for (verdict, signal) in self.verdicts.iter().zip(&self.policy.signals) {
            if let Err(gap) = &verdict.proposal {
                return Some(format!("{} cannot say: {gap}", signal.name));
            }
            if verdict.unread > 0 {
                let replicas = explain::count(verdict.unread, "ready replica has", "ready replicas have");
                return Some(format!("{replicas} no fresh reading of {}", signal.name));
            }
            if verdict.made_up {
                return Some(format!("{} has no data for a part of its formula, and makes it up", signal.name));
            }
        }
        None
    }

    /// Lets a healthy error budget do with fewer replicas. Before stabilisation, so that the most of its window counts here too.
    fn pack(&self, course: &mut Course) {
        let Some(budget) = self.observation.budget.as_ref().filter(|budget| budget.packing) else { return };
        let is_load = |signal: &Signal| !matches!(signal.aim, Aim::Schedule(_));
        let said = || self.policy.signals.iter().zip(&self.verdicts);
        let mut ratios = said().filter(|(signal, _)| is_load(signal)).map(|(_, verdict)| match &verdict.proposal {
            Ok(proposal) if proposal.missing + proposal.unready == 0 && !verdict.made_up => Some(proposal.ratio),
            _ => None,
        });
        // A ratio is of the replicas that there are only where all of them were read.
        let loudest = ratios.try_fold(0.0, |most: f64, ratio| ratio.map(|ratio| most.max(ratio)));
        let (packed, note) = match loudest {
            Some(ratio) if i64::from(self.observation.ready) == i64::from(self.from) => {
                let demand = ratio * f64::from(self.from);
                budget::pack(budget, course.value, self.from, demand, self.policy.tolerance().up)
            }
            _ => (course.value, String::new()),
        };
        // What is asked for at a time is no load: fewer do not carry it.
        let scheduled = said().filter(|(signal, _)| !is_load(signal)).filter_map(|(_, v)| v.proposal.as_ref().ok());
        let packed = scheduled.map(|proposal| proposal.raw).fold(packed, i32::max);
        let note = if packed == course.value { String::new() } else { note };
        course.pass("errorBudget", packed, note);
    }

    fn apply_limits(&self, course: &mut Course) {
        let Self { policy, observation, history, from, .. } = self;
        let wish = course.value;
        let limited = limit(policy.behavior.as_ref(), policy.bounds, *from, wish, history, observation.now_ms);
        let Limited { stabilization, limit: by, .. } = limited;
        // An earlier wish may be one that a culprit or retries had raised.
        let highest = course.ceiling.map_or(i32::MAX, |ceiling| ceiling.max(*from));
        let [stabilized, rated, replicas] =
            [limited.stabilized, limited.rated, limited.replicas].map(|number| number.min(highest));
        let note = explain::stabilization_note(policy, stabilization, stabilized);
        course.pass("stabilization", stabilized, if stabilized == wish { String::new() } else { note });
        if stabilized != *from {
            let guard = if stabilized > *from { "scaleUpPolicies" } else { "scaleDownPolicies" };
            let note = if rated == stabilized { String::new() } else { format!("{rated} are allowed now") };
            course.pass(guard, rated, note);
        }
        let is_wished = course.reason;
        self.share_downstream(course);
        let shared = course.value;
        let replicas = match shared.cmp(&rated) {
            std::cmp::Ordering::Less => replicas.min(shared),
            std::cmp::Ordering::Equal => replicas,
            std::cmp::Ordering::Greater => shared,
        };
        let note = match by {
            _ if replicas == shared => String::new(),
            Some(Limit::Fewest) => format!("{replicas} are the fewest allowed"),
            _ => format!("{replicas} are the most allowed"),
        };
        course.pass("bounds", replicas, note);
        course.reason = match replicas.cmp(from) {
            std::cmp::Ordering::Greater if is_wished == Reason::FallbackReplicas => Reason::FallbackReplicas,
            std::cmp::Ordering::Greater if wish <= *from => Reason::RecentWishHigher,
            std::cmp::Ordering::Greater => Reason::SignalAboveTarget,
            std::cmp::Ordering::Less => Reason::SignalBelowTarget,
            std::cmp::Ordering::Equal if course.reason == Reason::DownstreamBudget => Reason::DownstreamBudget,
            std::cmp::Ordering::Equal if wish == *from => is_wished,
            std::cmp::Ordering::Equal if wish < *from && stabilized >= *from => Reason::ScaleDownStabilized,
            std::cmp::Ordering::Equal => match by {
                Some(Limit::UpRate) => Reason::ScaleUpLimit,
                Some(Limit::DownRate) => Reason::ScaleDownLimit,
                Some(Limit::Most) => Reason::AtMaximum,
                Some(Limit::Fewest) => Reason::AtMinimum,
                None => Reason::ScaleUpStabilized,
            },
        };
        if let Some(budget) = &observation.budget {
            let (held, note) = budget::hold(budget, *from, course.value);
            if held != course.value {
                course.reason = Reason::FastBurnForbidsDown;
            }
            course.pass("burnRate", held, note);
        }
        self.bear(course);
        self.mind_the_last_change(course);
    }

    fn finish(self, course: Course) -> Plan {
        let Self { policy, observation, verdicts, from, .. } = &self;
        let (from, wish) = (*from, course.value);
        let outcome = match wish.cmp(&from) {
            std::cmp::Ordering::Greater => Outcome::ScaleUp,
            std::cmp::Ordering::Less => Outcome::ScaleDown,
            std::cmp::Ordering::Equal => Outcome::Hold,
        };
        let write = may_write(policy.mode, observation.paused, outcome).then_some(wish);
        let story = Story { policy, verdicts, course: &course, from, wish };
        let mut message = story.sentence();
        if outcome != Outcome::Hold && write.is_none() {
            let why = if observation.paused { "paused".to_owned() } else { format!("mode is {:?}", policy.mode) };
            message.push_str(&format!(" (not carried out: {why})"));
        }
        let signals = policy.signals.iter().zip(verdicts).map(|(s, v)| explain::signal_record(s, v, observation, from));
        let resources = vertical::plan(policy, observation, self.history, outcome);
        Plan {
            from,
            wish,
            write,
            outcome,
            reason: course.reason,
            message,
            signals: signals.collect(),
            winner: course.winner.map(|index| policy.signals[index].name.clone()),
            guards: course.guards,
            unguarded: course.unguarded,
            recommendation: course.recommendation,
            blind: course.blind,
            resources,
        }
    }
}

fn tolerance_note(before: i32, after: i32, rule: Rule) -> String {
    match rule {
        _ if before == after => String::new(),
        Rule::WouldTurnRound => {
            "with unread and starting replicas counted in, the direction would turn round".to_owned()
        }
        Rule::Uncertain => "the load is not known surely enough, or for long enough, to go further".to_owned(),
        _ => "within tolerance of the target".to_owned(),
    }
}

fn may_write(mode: Mode, paused: bool, outcome: Outcome) -> bool {
    !paused
        && match outcome {
            Outcome::Hold => false,
            Outcome::ScaleUp => matches!(mode, Mode::Auto | Mode::ScaleUpOnly),
            Outcome::ScaleDown => matches!(mode, Mode::Auto | Mode::ScaleDownOnly),
        }
}

/// Replicas as the record writes them; the planner's wishes are never negative.
pub(crate) fn unsigned(replicas: i32) -> u32 {
    u32::try_from(replicas).unwrap_or(0)
}

#[cfg(test)]
mod tests;
