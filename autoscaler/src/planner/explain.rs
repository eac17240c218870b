//! The words of a plan: the record of each signal, the notes of guards, and the one sentence. Decides nothing.

mod sized;

use protocol::scaling::{GuardRecord, SignalRecord};

use self::sized::sizing_words;
use super::judge::Verdict;
use super::limits::Stabilization;
use super::replicas::Proposal;
use super::{Course, Observation, Reason, unsigned};
use crate::policy::{Aim, DOWN_WINDOW_DEFAULT, Policy, QueryTarget, Signal};

/// What the sentence is made from.
pub(super) struct Story<'a> {
    pub policy: &'a Policy,
    pub verdicts: &'a [Verdict],
    pub course: &'a Course,
    pub from: i32,
    pub wish: i32,
}

impl Story<'_> {
    /// Why the plan is as it is, in one sentence without a full stop.
    pub fn sentence(&self) -> String {
        let Self { from, wish, .. } = self;
        let name = &self.policy.target.name;
        let because = self.because();
        match wish.cmp(from) {
            std::cmp::Ordering::Equal if self.course.blind => format!("{name} held at {from}: {because}"),
            std::cmp::Ordering::Equal => format!("{name} stays at {from}: {because}"),
            _ => format!("{name} {from} -> {wish}: {because}{}", self.shortfall()),
        }
    }

    fn because(&self) -> String {
        let Self { policy, course, from, wish, .. } = self;
        let bounds = policy.bounds;
        let asked = self.before("stabilization");
        match course.reason {
            Reason::SignalAboveTarget => self.winner("is above"),
            Reason::SignalBelowTarget => format!("{}{}", self.winner("is below"), self.packing()),
            Reason::BelowMinimum => format!("{} are the fewest allowed", bounds.min),
            Reason::AboveMaximum => format!("{} are the most allowed", bounds.max),
            Reason::RecentWishHigher | Reason::ScaleDownStabilized if wish > from => {
                format!(
                    "{} were wished within the last {} s",
                    self.after("stabilization"),
                    window_seconds(policy, false)
                )
            }
            Reason::FallbackReplicas => format!("{}, so the fallback holds", self.note("fallback")),
            Reason::WithinTolerance => format!("within tolerance ({})", self.winner("of target")),
            Reason::SameCount if self.winner_is_schedule() || self.is_sized() => self.winner("of target"),
            Reason::SameCount => format!("{} asks for {from}", self.winner("of target")),
            Reason::ReadingsIncomplete => format!("{}, but {}", self.winner("of target"), self.doubt()),
            Reason::MetricMissingForbidsDown => self.would_be_enough("freshness"),
            Reason::FastBurnForbidsDown => self.would_be_enough("burnRate"),
            Reason::MetastableForbidsDown => self.would_be_enough("metastable"),
            Reason::BlastCap => self.would_be_enough("blastCap"),
            Reason::ChangeBackOff => self.would_be_enough("changeGuard"),
            Reason::VictimOfCulprit => self.are_wished("culprit"),
            Reason::WaitsForOthers => self.are_wished("waiting"),
            Reason::RetriesNotDemand | Reason::LoadUnconfirmed => self.are_wished("retries"),
            Reason::DownstreamBudget => self.are_wished("downstreamBudget"),
            Reason::ChangeUndone => self.note("changeGuard"),
            Reason::ScaleUpStabilized => {
                format!("scale-up to {asked} waits until wished for {} s", window_seconds(policy, true))
            }
            Reason::ScaleDownStabilized | Reason::RecentWishHigher => {
                let highest = self.after("stabilization");
                let window = window_seconds(policy, false);
                format!("scale-down to {asked} waits, {highest} were wished within the last {window} s")
            }
            Reason::ScaleUpLimit => format!("{asked} are wished, but the scaleUp policies allow no more now"),
            Reason::ScaleDownLimit => format!("{asked} are wished, but the scaleDown policies allow no fewer now"),
            Reason::AtMaximum => format!("{}, but {} are the most allowed", self.winner("is above"), bounds.max),
            Reason::AtMinimum => format!("{}, but {} are the fewest allowed", self.winner("is below"), bounds.min),
            Reason::ScaledToZero => "someone has set it to zero, so it is left alone".to_owned(),
            _ => self.note("freshness"),
        }
    }

    /// Why a signal that is off its target changes nothing: the guard's words, or what the signal had to assume.
    fn doubt(&self) -> String {
        let said = self.note("tolerance");
        if !said.is_empty() {
            return said;
        }
        let assumed = self.course.winner.and_then(|index| self.verdicts[index].proposal.as_ref().ok()).map(assumptions);
        match assumed {
            Some(assumed) if !assumed.is_empty() => format!("{assumed}, and {} are there already", self.from),
            _ => "its readings are incomplete".to_owned(),
        }
    }

    /// Why nothing is taken, by the guard that forbids it.
    fn would_be_enough(&self, guard: &str) -> String {
        format!("{} would be enough, but {}", self.before(guard), self.note(guard))
    }

    /// Why nothing is added, by the guard that forbids it.
    fn are_wished(&self, guard: &str) -> String {
        format!("{} are wished, but {}", self.before(guard), self.note(guard))
    }

    /// Why fewer are asked for than the signals do, if packing is.
    fn packing(&self) -> String {
        let note = self.note("errorBudget");
        if note.is_empty() { note } else { format!(", and {note}") }
    }

    /// What the guards took from a move that was made all the same.
    fn shortfall(&self) -> String {
        let limits = |g: &&GuardRecord| matches!(g.guard.as_str(), "culprit" | "waiting" | "retries" | "stabilization");
        let first = self.course.guards.iter().find(limits);
        let asked = first.map_or(self.from, |g| i32::try_from(g.before).unwrap_or(i32::MAX));
        let says_so = matches!(self.course.reason, Reason::RecentWishHigher | Reason::ChangeUndone);
        if says_so || asked == self.wish || first.is_none() {
            return String::new();
        }
        let by: Vec<&str> = self
            .course
            .guards
            .iter()
            .skip_while(|g| !limits(g))
            .filter(|g| g.before != g.after && g.guard != "errorBudget")
            .map(|g| g.guard.as_str())
            .collect();
        format!(" ({asked} wished, limited by {})", by.join(" and "))
    }

    fn winner(&self, relation: &str) -> String {
        let Some(index) = self.course.winner else { return "no signal could say".to_owned() };
        let (signal, verdict) = (&self.policy.signals[index], &self.verdicts[index]);
        match &verdict.proposal {
            Ok(proposal) if matches!(signal.aim, Aim::Schedule(_)) => asked_for(signal, proposal.raw),
            Ok(proposal) => {
                if let Some(sizing) = &verdict.sizing {
                    return sizing_words(sizing);
                }
                let (value, target) = (value_of(signal, proposal), target_of(signal));
                let unit = unit_of(signal);
                format!("{} {}{unit} {relation} {}{}", signal.name, number(value), number(target), percent_of(signal))
            }
            Err(gap) => format!("{} cannot say: {gap}", signal.name),
        }
    }

    fn is_sized(&self) -> bool {
        self.course.winner.is_some_and(|index| self.verdicts[index].sizing.is_some())
    }

    fn winner_is_schedule(&self) -> bool {
        self.course.winner.is_some_and(|index| matches!(self.policy.signals[index].aim, Aim::Schedule(_)))
    }

    fn guard(&self, name: &str) -> Option<&GuardRecord> {
        self.course.guards.iter().find(|g| g.guard == name)
    }

    fn before(&self, guard: &str) -> i32 {
        self.guard(guard).map_or(self.from, |g| i32::try_from(g.before).unwrap_or(i32::MAX))
    }

    fn after(&self, guard: &str) -> i32 {
        self.guard(guard).map_or(self.from, |g| i32::try_from(g.after).unwrap_or(i32::MAX))
    }

    fn note(&self, guard: &str) -> String {
        self.guard(guard).map(|g| g.note.clone()).unwrap_or_default()
    }
}

/// The record of one signal.
pub(super) fn signal_record(signal: &Signal, verdict: &Verdict, observation: &Observation, from: i32) -> SignalRecord {
    let proposal = verdict.proposal.as_ref();
    let now_ms = observation.now_ms;
    SignalRecord {
        signal: signal.name.clone(),
        value: proposal.ok().map(|p| verdict.sizing.as_ref().map_or_else(|| value_of(signal, p), sized::value_of)),
        target: verdict.sizing.as_ref().map_or_else(|| target_of(signal), |sizing| sized::target_of(sizing, from)),
        age_seconds: verdict.newest_ms.map(|at_ms| (now_ms - at_ms).max(0) as f64 / 1000.0),
        wish: proposal.ok().map(|p| unsigned(p.raw)),
        note: match proposal {
            Ok(proposal) if matches!(signal.aim, Aim::Schedule(_)) && proposal.raw == 0 => OUTSIDE.to_owned(),
            Ok(proposal) if verdict.made_up => {
                join("a part of the formula has no data and is made up", &assumptions(proposal))
            }
            Ok(proposal) => assumptions(proposal),
            Err(gap) => gap.to_string(),
        },
        sizing: verdict.sizing,
    }
}

/// What a schedule says outside its windows.
const OUTSIDE: &str = "outside its windows";

fn asked_for(signal: &Signal, replicas: i32) -> String {
    match replicas {
        0 => format!("{} asks for nothing now", signal.name),
        replicas => format!("{} asks for {replicas} now", signal.name),
    }
}

fn join(one: &str, other: &str) -> String {
    if other.is_empty() { one.to_owned() } else { format!("{one}; {other}") }
}

fn assumptions(proposal: &Proposal) -> String {
    let mut notes = Vec::new();
    if proposal.missing > 0 {
        let assumed = match proposal.ratio.total_cmp(&1.0) {
            std::cmp::Ordering::Less => "full",
            _ => "idle",
        };
        let replicas = count(proposal.missing, "replica has", "replicas have");
        notes.push(format!("{replicas} no reading and counted as {assumed}"));
    }
    if proposal.unready > 0 {
        let replicas = count(proposal.unready, "replica is", "replicas are");
        notes.push(format!("{replicas} starting or not ready and left out"));
    }
    notes.join("; ")
}

pub(super) fn stabilization_note(policy: &Policy, stabilization: Stabilization, stabilized: i32) -> String {
    match stabilization {
        Stabilization::Passed => String::new(),
        Stabilization::HeldUp => {
            format!("no more than {stabilized} within the last {} s", window_seconds(policy, true))
        }
        Stabilization::HeldDown => {
            format!("{stabilized} were wished within the last {} s", window_seconds(policy, false))
        }
    }
}

fn window_seconds(policy: &Policy, up: bool) -> u64 {
    let window = match &policy.behavior {
        Some(behavior) if up => behavior.up.window,
        Some(behavior) => behavior.down.window,
        None => DOWN_WINDOW_DEFAULT,
    };
    window.as_secs()
}

fn value_of(signal: &Signal, proposal: &Proposal) -> f64 {
    match signal.aim {
        Aim::Utilization { .. } | Aim::Schedule(_) => proposal.value as f64,
        Aim::Query { .. } | Aim::Expression { .. } => proposal.value as f64 / 1000.0,
        Aim::Demand(_) | Aim::Upstream(_) | Aim::Backlog { .. } => f64::from(proposal.raw),
    }
}

fn target_of(signal: &Signal) -> f64 {
    match &signal.aim {
        Aim::Utilization { percent, .. } => f64::from(*percent),
        Aim::Query { target, .. } | Aim::Expression { target, .. } => {
            let (QueryTarget::PerReplica(millis) | QueryTarget::Total(millis)) = *target;
            millis as f64 / 1000.0
        }
        Aim::Demand(_) | Aim::Upstream(_) | Aim::Backlog { .. } => 0.0,
        Aim::Schedule(schedule) => f64::from(schedule.replicas()),
    }
}

fn unit_of(signal: &Signal) -> &'static str {
    match signal.aim {
        Aim::Utilization { .. } => "%",
        Aim::Query { target: QueryTarget::PerReplica(_), .. }
        | Aim::Expression { target: QueryTarget::PerReplica(_), .. } => " per replica",
        _ => "",
    }
}

fn percent_of(signal: &Signal) -> &'static str {
    if matches!(signal.aim, Aim::Utilization { .. }) { "%" } else { "" }
}

/// About three digits that matter, without trailing zeros.
pub(super) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

/// `1 replica has`, `2 replicas have`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
