//! The guards that look beyond a workload's own readings, in their places on a plan's course: whose trouble it is, what others leave,
//! what depends on it, and whether what was taken last is missed. What each does stands in a module of its own; here it is made
//! a record.

use protocol::scaling::GuardFacts;

use super::change::Guarded;
use super::isolation::{self, Cut, Doubt, Wish};
use super::observation::Reading;
use super::track::BEFORE_MS;
use super::{Course, Planner, Reason, downstream};
use crate::policy::{Aim, Resource, Signal};

impl Course {
    /// As `pass`, with the numbers behind it.
    fn pass_with(&mut self, guard: &str, after: i32, note: String, facts: Option<GuardFacts>) {
        self.pass(guard, after, note);
        if let Some(record) = self.guards.last_mut() {
            record.facts = facts;
        }
    }

    /// Cuts the wish, and what an earlier wish could raise it to again; whether it did.
    fn cut(&mut self, guard: &str, cut: Cut) -> bool {
        let after = self.value.min(cut.most);
        let is_cut = after < self.value;
        let note = if is_cut { cut.note } else { String::new() };
        self.pass_with(guard, after, note, Some(cut.facts));
        self.ceiling = Some(self.ceiling.map_or(cut.most, |ceiling| ceiling.min(cut.most)));
        is_cut
    }
}

/// Whether a signal asks for the same, whatever becomes of what its service calls.
fn is_apart_from_culprits(signal: &Signal, reading: Option<&Reading>) -> bool {
    match (&signal.aim, reading) {
        (Aim::Schedule(_), _) => true,
        // Sized by time in the service itself, or by its CPU; not by what a request takes with all its waiting.
        (Aim::Demand(sizing) | Aim::Upstream(sizing), Some(Reading::Demand(demand))) => {
            sizing.workers.is_none() || demand.service.own_seconds.is_some()
        }
        _ => false,
    }
}

/// Whether a signal asks for the same, however long its service waits for others.
fn is_apart_from_waiting(signal: &Signal, reading: Option<&Reading>) -> bool {
    matches!(signal.aim, Aim::Utilization { resource: Resource::Cpu, .. }) || is_apart_from_culprits(signal, reading)
}

/// Whether a signal asks for the same, however often requests are sent again.
fn is_apart_from_retries(signal: &Signal) -> bool {
    matches!(signal.aim, Aim::Schedule(_) | Aim::Demand(_) | Aim::Upstream(_) | Aim::Backlog { .. })
}

impl Planner<'_> {
    /// The most that some of the signals ask for.
    fn most_of(&self, counts: impl Fn(&Signal, Option<&Reading>) -> bool) -> i32 {
        let said = self.policy.signals.iter().zip(&self.verdicts).enumerate();
        let those = said.filter(|(place, (signal, _))| counts(signal, self.observation.readings.get(*place)));
        those.filter_map(|(_, (_, verdict))| verdict.proposal.as_ref().ok()).map(|p| p.replicas).fold(0, i32::max)
    }

    /// Cuts what a culprit or retries have raised. Says why nothing is left of a wish, where nothing is.
    pub(super) fn isolate(&self, course: &mut Course) -> Option<Reason> {
        let (from, track) = (self.from, &self.history.track);
        let (now_ms, around) = (self.observation.now_ms, &self.observation.around);
        let traffic = around.traffic(now_ms);
        let mut reason = None;
        if let Some(suffering) = around.suffering(now_ms) {
            let wish = Wish { from, wish: course.value, trusted: self.most_of(is_apart_from_culprits) };
            let up = self.policy.tolerance().up;
            if course.cut("culprit", isolation::victim(wish, suffering, track.base(now_ms), traffic, up)) {
                reason = Some(Reason::VictimOfCulprit);
            }
        }
        if let Some(traffic) = traffic {
            let (up, base) = (self.policy.tolerance().up, track.before(now_ms - BEFORE_MS, from));
            let trusted = self.most_of(is_apart_from_waiting);
            let wish = Wish { from, wish: course.value, trusted };
            let usual = track.metastable.usual_seconds().filter(|_| around.suffering(now_ms).is_none());
            let cut = usual.and_then(|usual| isolation::waiting(wish, traffic, usual, &base, up));
            if cut.is_some_and(|cut| course.cut("waiting", cut)) {
                reason = Some(Reason::WaitsForOthers);
            }
            let trusted = self.most_of(|signal, _| is_apart_from_retries(signal));
            let queried = self.most_of(|signal, _| matches!(signal.aim, Aim::Query { .. } | Aim::Expression { .. }));
            let doubt = Doubt {
                rising: track.rising_by(traffic, now_ms, from),
                least: track.least_since(traffic.at_ms, course.value),
                is_queried: queried >= course.value,
                has_grown: isolation::has_grown(&base, traffic, up),
            };
            let cut = isolation::retries(Wish { from, wish: course.value, trusted }, traffic, doubt, now_ms);
            let why = if cut.is_doubt { Reason::LoadUnconfirmed } else { Reason::RetriesNotDemand };
            if course.cut("retries", cut) {
                reason = Some(why);
            }
        }
        reason.filter(|_| course.value == from)
    }

    /// Takes nothing from who does not recover. Says why, where that changes anything.
    pub(super) fn freeze(&self, course: &mut Course) -> Option<Reason> {
        self.observation.around.traffic(self.observation.now_ms)?;
        let found = self.history.track.metastable.found()?;
        let held = course.value.max(self.from);
        let is_held = held > course.value;
        let note = if is_held { found.note(self.observation.now_ms) } else { String::new() };
        course.pass_with("metastable", held, note, Some(found.facts()));
        is_held.then_some(Reason::MetastableForbidsDown)
    }

    /// Keeps to what others leave of what is shared.
    pub(super) fn share_downstream(&self, course: &mut Course) {
        let allowances = &self.observation.around.downstream;
        if allowances.is_empty() {
            return;
        }
        let (held, note) = downstream::hold(allowances, self.from, course.value);
        if held == self.from && held != course.value {
            course.reason = Reason::DownstreamBudget;
        }
        course.pass_with("downstreamBudget", held, note, downstream::facts(allowances));
    }

    /// Takes no more at once of services that depend on each other than they bear.
    pub(super) fn bear(&self, course: &mut Course) {
        let Some(share) = &self.observation.around.cone else { return };
        let step = self.from.saturating_sub(course.value).max(0).unsigned_abs();
        let is_held = step > 0 && !share.bears(step);
        let (after, note) = if is_held { (self.from, share.note()) } else { (course.value, String::new()) };
        if is_held {
            course.reason = Reason::BlastCap;
        }
        course.pass_with("blastCap", after, note, Some(share.facts()));
    }

    /// Gives back what is missed, and takes nothing for a while after.
    pub(super) fn mind_the_last_change(&self, course: &mut Course) {
        let (now_ms, change) = (self.observation.now_ms, &self.history.track.change);
        let Some(facts) = change.facts() else { return };
        let (after, reason) = match change.guard(now_ms, self.from, course.value) {
            Guarded::Undo(replicas) => {
                let within = replicas.min(self.policy.bounds.max);
                let (shared, _) = downstream::hold(&self.observation.around.downstream, self.from, within);
                (shared.max(course.value), Some(Reason::ChangeUndone))
            }
            Guarded::Wait => (self.from, Some(Reason::ChangeBackOff)),
            Guarded::Pass => (course.value, None),
        };
        let reason = reason.filter(|_| after != course.value);
        let note = if reason.is_some() { change.note(now_ms) } else { String::new() };
        if let Some(reason) = reason {
            course.reason = reason;
        }
        course.pass_with("changeGuard", after, note, Some(facts));
    }
}
