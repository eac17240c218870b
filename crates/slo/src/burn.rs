//! How fast an objective's error budget burns, what is left of it, and whether that is worth a page or a ticket: the workbook's rules,
//! and where there are few events a bound instead of a share. Pure. Start at `judge`.

use crate::bound;
use crate::counters::{Counters, Events};
use crate::objective::Target;
use crate::windows::{RULES, Rule, Severity, Span};

/// Where the rule's limit allows fewer bad events than this in the long window, the share alone says little: the usual least number
/// for taking a binomial for a normal distribution.
pub const EXPECTED_ENOUGH: f64 = 10.0;

/// Fewer bad events than this wake nobody, and open no ticket: one failed probe and its retry are no outage.
pub const BAD_ENOUGH: u64 = 3;

/// Fewer events than this in the short window do not say whether it still burns; the next longer window is asked instead. With fewer,
/// one event moves the share by more than a tenth.
pub const EVENTS_ENOUGH: f64 = 10.0;

/// The chance of claiming falsely that a share is above a rule's limit: one in a hundred, for who is exactly at the limit. Ordinary
/// noise is far below it.
pub const ALPHA: f64 = 0.01;

/// How an objective is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing happened, or nothing is known.
    NoData,
    /// The budget lasts.
    Ok,
    /// It will not last: a ticket.
    SlowBurn,
    /// It is going fast: a page.
    FastBurn,
}

/// What is known about an objective's budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Burn {
    /// How it is.
    pub state: State,
    /// The rule that holds, the most urgent of several.
    pub rule: Option<Rule>,
    /// For each of [`Span::ALL`] the burn rate: 1 spends the budget in exactly its window. `None` where nothing happened.
    pub rates: [Option<f64>; 8],
    /// The events of each window.
    pub events: [Events; 8],
    /// The share of the budget that is left, 1 for all of it, negative when more than all is spent; `None` where nothing happened.
    pub budget_left: Option<f64>,
    /// The verdict stands on few events, so on a bound and not on a share.
    pub few_events: bool,
}

/// Judges one objective by what was counted.
pub fn judge(target: Target, counters: &Counters) -> Burn {
    judge_events(target, Span::ALL.map(|span| counters.over(span)))
}

/// The same from the events of every window, in the order of [`Span::ALL`].
pub fn judge_events(target: Target, events: [Events; 8]) -> Burn {
    let budget = target.budget();
    let rates = events.map(|events| events.ratio().map(|ratio| ratio / budget));
    let rule = RULES.iter().copied().find(|rule| holds(rule, budget, &events));
    let of = |span: Span| events[span.index()];
    let state = match rule.map(|rule| rule.severity) {
        Some(Severity::Page) => State::FastBurn,
        Some(Severity::Ticket) => State::SlowBurn,
        None if of(Span::Hours6).total > 0.0 => State::Ok,
        None => State::NoData,
    };
    let few_events = rule.is_some_and(|rule| is_few(&rule, budget, of(rule.long)));
    Burn { state, rule, rates, events, budget_left: rates[Span::Budget.index()].map(|rate| 1.0 - rate), few_events }
}

fn is_few(rule: &Rule, budget: f64, long: Events) -> bool {
    long.total * rule.rate * budget < EXPECTED_ENOUGH
}

fn holds(rule: &Rule, budget: f64, events: &[Events; 8]) -> bool {
    // With a budget so large that the limit is all events, every event being bad is as much as there can be.
    let limit = (rule.rate * budget).min(1.0 - f64::EPSILON);
    let long = events[rule.long.index()];
    let is_burning = |events: Events| events.ratio().is_some_and(|ratio| ratio > limit);
    // The first window from the short one on that has seen enough; at last the long one, which holds anyway.
    let windows = &events[rule.short.index()..=rule.long.index()];
    let still = windows.iter().find(|events| events.total >= EVENTS_ENOUGH).copied().unwrap_or(long);
    if !is_burning(long) || !is_burning(still) {
        return false;
    }
    if !is_few(rule, budget, long) {
        return true;
    }
    // Rounded against the claim: increases are no whole numbers.
    let (bad, total) = (whole(long.bad.floor()), whole(long.total.ceil()));
    bad >= BAD_ENOUGH && bound::is_above(bad, total, limit, ALPHA)
}

fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}

#[cfg(test)]
mod tests;
