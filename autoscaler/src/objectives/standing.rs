//! From counted events to how each objective is, in words and numbers, and what the objectives of each workload say together. Pure.

use std::cmp::Reverse;
use std::collections::HashMap;

use cluster::WorkloadRef;
use protocol::duration;
use protocol::slos::{BurnWindow, ObjectiveState, ObjectiveStatus};
use slo::burn::{Burn, State, judge};
use slo::counters::{Counters, STEP};
use slo::windows::Span;
use slo::{Objective, Subject};

use crate::planner::ErrorBudget;

/// What was counted up to a time longer ago than this says nothing about now: three minutes' readings were missed.
const STEPS_MISSED: u32 = 3;

/// How all objectives are.
#[derive(Debug, Default)]
pub struct Budgets {
    statuses: Vec<ObjectiveStatus>,
    /// By namespace and name of the service.
    services: HashMap<(String, String), ErrorBudget>,
    /// Milliseconds since the epoch up to which all were counted.
    until_ms: i64,
}

impl Budgets {
    /// Judges all objectives by their counters.
    pub fn judge(objectives: &[Objective], counters: &[Counters]) -> Self {
        let burns: Vec<Burn> = objectives.iter().zip(counters).map(|(o, c)| judge(o.target, c)).collect();
        let until = |counters: &Counters| counters.until_ms().unwrap_or_default();
        let statuses = objectives.iter().zip(&burns).zip(counters);
        let mut together: HashMap<(String, String), Vec<(&Objective, &Burn)>> = HashMap::new();
        for (objective, burn) in objectives.iter().zip(&burns) {
            if let Subject::Service { namespace, name } = &objective.subject {
                together.entry((namespace.clone(), name.clone())).or_default().push((objective, burn));
            }
        }
        Self {
            statuses: statuses.map(|((o, burn), counters)| status(o, burn, until(counters))).collect(),
            services: together.into_iter().filter_map(|(name, all)| Some((name, worst(&all)?))).collect(),
            until_ms: counters.iter().map(until).min().unwrap_or_default(),
        }
    }

    /// How each objective is; nothing is known of one that was not read for long.
    pub fn statuses(&self, now_ms: i64) -> Vec<ObjectiveStatus> {
        let mut statuses = self.statuses.clone();
        for status in statuses.iter_mut().filter(|status| is_old(status.at_ms, now_ms)) {
            status.state = ObjectiveState::NoData;
            status.message = match status.at_ms {
                0 => "it was not read yet".to_owned(),
                at_ms => format!("it was not read for {} s", (now_ms - at_ms) / 1000),
            };
        }
        statuses
    }

    /// What the objectives of a workload's service, which has its name, say together; `None` where it has none.
    pub fn of(&self, workload: &WorkloadRef, now_ms: i64) -> Option<ErrorBudget> {
        // Most autoscalers have no objectives, and need no name.
        if self.services.is_empty() {
            return None;
        }
        let mut budget = self.services.get(&(workload.namespace.clone(), workload.name.clone()))?.clone();
        if is_old(self.until_ms, now_ms) {
            (budget.state, budget.left) = (State::NoData, None);
        }
        Some(budget)
    }
}

fn is_old(until_ms: i64, now_ms: i64) -> bool {
    now_ms - until_ms > super::millis(STEP * (1 + STEPS_MISSED))
}

/// The worst state with its objective, and the least that is left.
fn worst(all: &[(&Objective, &Burn)]) -> Option<ErrorBudget> {
    let (objective, burn) = all.iter().min_by_key(|(_, burn)| Reverse(burn.state))?;
    let over = burn.rule.map_or(Span::Hours1, |rule| rule.long);
    let left: Option<Vec<f64>> = all.iter().map(|(_, burn)| burn.budget_left).collect();
    Some(ErrorBudget {
        state: burn.state,
        objective: objective.name.clone(),
        rate: burn.rule.and_then(|rule| burn.rates[rule.long.index()]).unwrap_or_default(),
        over: over.length(objective.window),
        left: left.map(|left| left.into_iter().fold(f64::INFINITY, f64::min)),
        packing: all.iter().all(|(objective, _)| objective.packing),
    })
}

fn status(objective: &Objective, burn: &Burn, at_ms: i64) -> ObjectiveStatus {
    let windows = Span::ALL.iter().map(|span| {
        let events = burn.events[span.index()];
        BurnWindow {
            window: duration::Display(span.length(objective.window)).to_string(),
            burn_rate: burn.rates[span.index()],
            bad: events.bad,
            total: events.total,
        }
    });
    ObjectiveStatus {
        kind: objective.subject.kind().to_owned(),
        namespace: objective.subject.namespace().to_owned(),
        subject: objective.subject.name().to_owned(),
        objective: objective.name.clone(),
        target: objective.target.share(),
        window_seconds: objective.window.as_secs(),
        state: match burn.state {
            State::NoData => ObjectiveState::NoData,
            State::Ok => ObjectiveState::Ok,
            State::SlowBurn => ObjectiveState::SlowBurn,
            State::FastBurn => ObjectiveState::FastBurn,
        },
        message: message(objective, burn),
        budget_left: burn.budget_left,
        windows: windows.collect(),
        at_ms,
    }
}

fn message(objective: &Objective, burn: &Burn) -> String {
    let left = match burn.budget_left {
        Some(left) if left >= 0.0 => format!("{:.0}% of the budget is left", left * 100.0),
        Some(left) => format!("the budget is overspent by {:.0}%", left * -100.0),
        None => "nothing is known of its budget".to_owned(),
    };
    match burn.rule {
        None if burn.state == State::NoData => "nothing happened in the last 6h".to_owned(),
        None => left,
        Some(rule) => {
            let over = duration::Display(rule.long.length(objective.window));
            let rate = burn.rates[rule.long.index()].unwrap_or_default();
            let few = if burn.few_events { ", and although there were few events it is hardly chance" } else { "" };
            format!("the budget burned {rate:.1} times too fast in the last {over}{few}; {left}")
        }
    }
}
