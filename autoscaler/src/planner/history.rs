//! What the planner remembers of a workload: earlier wishes and changes made. A value that the reconciler keeps and hands
//! in; the planner only reads it. What is forgotten, and when, follows Kubernetes v1.36, because it can be seen from
//! outside: an old entry gives its place to a new one, and one that is not replaced still counts where it is in range.

use std::time::Duration;

use super::learning::Learnt;
use super::observation::{Observation, Reading};
use super::track::Track;
use super::vertical::log::ContainerLogs;
use super::{Plan, Reason};
use crate::policy::{Behavior, Change, DOWN_WINDOW_DEFAULT, Policy, ScalingRules};

/// A wish of an earlier tick, before it was stabilised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recommendation {
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    /// Replicas.
    pub replicas: i32,
}

/// A change that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScaleEvent {
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    /// By how many replicas; never negative.
    pub change: i32,
    outdated: bool,
}

impl ScaleEvent {
    /// A change made at a time.
    pub fn new(at_ms: i64, change: i32) -> Self {
        Self { at_ms, change, outdated: false }
    }
}

/// What is remembered of one workload.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Wishes.
    pub recommendations: Vec<Recommendation>,
    /// Changes upwards.
    pub ups: Vec<ScaleEvent>,
    /// Changes downwards.
    pub downs: Vec<ScaleEvent>,
    /// Milliseconds since the epoch from which on no signal could say; `None` while one can.
    pub blind_since_ms: Option<i64>,
    /// What readings have taught of the workload.
    pub learnt: Learnt,
    /// How it went in the last minutes.
    pub track: Track,
    /// What its containers used.
    pub containers: ContainerLogs,
}

impl History {
    /// A workload seen for the first time: what it has is what was wished, so that a new autoscaler does not lower first.
    pub fn begin(now_ms: i64, desired: i32) -> Self {
        Self { recommendations: vec![Recommendation { at_ms: now_ms, replicas: desired }], ..Self::default() }
    }

    /// Learns from a tick's readings; before the tick is planned, so that its plan knows what they say.
    pub fn learn(&mut self, policy: &Policy, observation: &Observation) {
        self.track.see(observation);
        if let (Some(resources), Some(containers)) = (&policy.resources, &observation.containers) {
            self.containers.learn(resources, containers, observation.now_ms);
        }
        for (signal, reading) in policy.signals.iter().zip(&observation.readings) {
            match reading {
                Reading::Demand(demand) => self.learnt.demand(demand, observation),
                Reading::Backlog { waiting, at_ms: Some(at_ms), throughput: Ok(throughput) } => {
                    self.learnt.backlog(&signal.name, *at_ms, *waiting, throughput.rate, observation.ready);
                }
                Reading::Backlog { .. }
                | Reading::Pods(_)
                | Reading::Total { .. }
                | Reading::Inputs(_)
                | Reading::Clock
                | Reading::Missing(_) => {}
            }
        }
    }

    /// Remembers what a plan tells those that come after it.
    pub fn planned(&mut self, policy: &Policy, observation: &Observation, plan: &Plan) {
        let now_ms = observation.now_ms;
        if let Some(wish) = plan.recommendation {
            self.remember(now_ms, wish, policy.behavior.as_ref());
        }
        self.blind_since_ms = plan.blind.then(|| self.blind_since_ms.unwrap_or(now_ms));
        self.track.planned(now_ms, plan.from, plan.unguarded, observation.around.traffic(now_ms));
        self.track.change.planned(plan.reason == Reason::ChangeUndone && plan.write.is_some());
    }

    /// Remembers a wish, in the place of one that can count no more if there is one.
    pub fn remember(&mut self, now_ms: i64, replicas: i32, behavior: Option<&Behavior>) {
        let window = behavior.map_or(DOWN_WINDOW_DEFAULT, |b| b.up.window.max(b.down.window));
        let cutoff = now_ms - millis(window);
        let wish = Recommendation { at_ms: now_ms, replicas };
        match self.recommendations.iter().rposition(|r| r.at_ms < cutoff) {
            Some(old) => self.recommendations[old] = wish,
            None => self.recommendations.push(wish),
        }
    }

    /// Remembers a change that was made; without rate policies only what became of it.
    pub fn changed(&mut self, now_ms: i64, from: i32, to: i32, behavior: Option<&Behavior>) {
        self.track.change.made(now_ms, from, to);
        let Some(behavior) = behavior else { return };
        let (events, rules) = if to > from { (&mut self.ups, &behavior.up) } else { (&mut self.downs, &behavior.down) };
        let cutoff = now_ms - millis(rules.longest_period());
        for event in events.iter_mut().filter(|e| e.at_ms < cutoff) {
            event.outdated = true;
        }
        let event = ScaleEvent::new(now_ms, (to - from).abs());
        match events.iter().rposition(|e| e.outdated) {
            Some(old) => events[old] = event,
            None => events.push(event),
        }
    }

    /// The most replicas that the rate policies allow from `current`.
    pub(super) fn up_limit(&self, now_ms: i64, current: i32, rules: &ScalingRules) -> i32 {
        let proposals = rules.policies.iter().map(|policy| {
            let start = self.at_start(now_ms, current, policy.period);
            match policy.change {
                Change::Pods(pods) => start.saturating_add(pods),
                // Rounded up, so that a small share of few replicas still is one.
                Change::Percent(percent) => (f64::from(start) * (1.0 + f64::from(percent) / 100.0)).ceil() as i32,
            }
        });
        match rules.select {
            crate::policy::Select::Disabled => current,
            crate::policy::Select::Min => proposals.min().unwrap_or(i32::MAX),
            crate::policy::Select::Max => proposals.max().unwrap_or(i32::MIN),
        }
    }

    /// The fewest replicas that the rate policies allow from `current`.
    pub(super) fn down_limit(&self, now_ms: i64, current: i32, rules: &ScalingRules) -> i32 {
        let proposals = rules.policies.iter().map(|policy| {
            let start = self.at_start(now_ms, current, policy.period);
            match policy.change {
                Change::Pods(pods) => start.saturating_sub(pods),
                Change::Percent(percent) => (f64::from(start) * (1.0 - f64::from(percent) / 100.0)) as i32,
            }
        });
        match rules.select {
            crate::policy::Select::Disabled => current,
            crate::policy::Select::Min => proposals.max().unwrap_or(i32::MIN),
            crate::policy::Select::Max => proposals.min().unwrap_or(i32::MAX),
        }
    }

    /// Replicas at the start of the period that ends now: changes of both directions are taken back.
    fn at_start(&self, now_ms: i64, current: i32, period: Duration) -> i32 {
        let cutoff = now_ms - millis(period);
        let sum = |events: &[ScaleEvent]| -> i32 {
            events.iter().filter(|e| e.at_ms > cutoff).fold(0i32, |sum, e| sum.saturating_add(e.change))
        };
        current.saturating_sub(sum(&self.ups)).saturating_add(sum(&self.downs))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
