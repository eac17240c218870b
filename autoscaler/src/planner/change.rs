//! Watches what was taken from a workload: if more requests fail since, or an objective burns its budget fast, by more than chance, it
//! is given back, and nothing is taken for a while that doubles each time. Pure; without the call graph and without objectives
//! nothing can be told, and nothing is undone.

use std::collections::VecDeque;

use protocol::scaling::GuardFacts;

use super::observation::Observation;
use super::unsigned;

/// So long a change is watched.
const WATCH_MS: i64 = 180_000;

/// After the first change that was undone nothing is taken for so long ...
const PAUSE_MS: i64 = 300_000;

/// ... which doubles with each in a row, up to so long.
const PAUSE_MAX_MS: i64 = 7_200_000;

/// Standard errors between the shares of failures before and since: by chance more than that comes once in 700 times.
const DEVIATIONS: f64 = 3.0;

/// A smaller share of failures more is none that anybody would undo a change for.
const SHARE_MIN: f64 = 0.01;

/// Requests, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Answered {
    requests: f64,
    failed: f64,
}

impl Answered {
    fn share(self) -> Option<f64> {
        (self.requests > 0.0).then(|| self.failed / self.requests)
    }

    /// Whether so many more fail than `before` that it is no chance.
    fn is_worse_than(self, before: Self) -> bool {
        let (Some(was), Some(is)) = (before.share(), self.share()) else { return false };
        let all = (self.failed + before.failed) / (self.requests + before.requests);
        let error = (all * (1.0 - all) * (1.0 / self.requests + 1.0 / before.requests)).sqrt();
        is - was >= SHARE_MIN && is - was > DEVIATIONS * error
    }
}

/// Something that was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Taken {
    at_ms: i64,
    from: i32,
    to: i32,
    before: Answered,
    burned_before: bool,
}

/// What was taken last, and what became of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LastChange {
    taken: Option<Taken>,
    /// Windows that do not overlap: when each ended, how long it was, and how its requests went.
    windows: VecDeque<(i64, i64, Answered)>,
    burns: bool,
    /// Undone in a row.
    undone: u32,
    until_ms: Option<i64>,
    /// The tick's plan is to give back.
    giving_back: bool,
}

/// What the guard does.
#[derive(Debug, Clone, PartialEq)]
pub enum Guarded {
    /// It is given back: so many replicas.
    Undo(i32),
    /// Nothing may be taken.
    Wait,
    /// Nothing.
    Pass,
}

impl LastChange {
    /// Learns how requests go.
    pub(super) fn see(&mut self, observation: &Observation) {
        let now_ms = observation.now_ms;
        self.burns = observation.budget.as_ref().is_some_and(super::ErrorBudget::forbids_less);
        while self.windows.front().is_some_and(|(at_ms, ..)| *at_ms < now_ms - 2 * WATCH_MS) {
            self.windows.pop_front();
        }
        if let Some(traffic) = observation.around.traffic(now_ms) {
            let window_ms = traffic.window_ms();
            if self.windows.back().is_none_or(|(last_ms, ..)| traffic.at_ms - window_ms >= *last_ms) {
                let requests = traffic.attempts * traffic.window_seconds;
                let answered = Answered { requests, failed: requests * traffic.failed_share };
                self.windows.push_back((traffic.at_ms, window_ms, answered));
            }
        }
        // What others have caused says nothing of the change, and what has lasted was right.
        let suffers = observation.around.suffering(now_ms).is_some();
        if self.taken.is_some_and(|taken| now_ms - taken.at_ms > WATCH_MS) {
            self.taken = None;
            self.undone = 0;
        } else if suffers {
            self.taken = None;
        }
        if self.until_ms.is_some_and(|until_ms| now_ms >= until_ms) {
            self.until_ms = None;
        }
    }

    /// Remembers whether the plan is to give back.
    pub(super) fn planned(&mut self, gives_back: bool) {
        self.giving_back = gives_back;
    }

    /// Remembers a change that was made.
    pub(super) fn made(&mut self, now_ms: i64, from: i32, to: i32) {
        if to < from {
            let earlier = self.taken.filter(|taken| taken.to == from);
            let fresh = || Taken { at_ms: now_ms, from, to, before: self.before(now_ms), burned_before: self.burns };
            self.taken = Some(Taken { at_ms: now_ms, to, ..earlier.unwrap_or_else(fresh) });
            return;
        }
        if std::mem::take(&mut self.giving_back) && self.taken.is_some() {
            let pause_ms = PAUSE_MS.saturating_mul(1 << self.undone.min(16)).min(PAUSE_MAX_MS);
            self.undone += 1;
            self.until_ms = Some(now_ms + pause_ms);
        }
        self.taken = None;
    }

    fn before(&self, now_ms: i64) -> Answered {
        sum(self.windows.iter().filter(|(at_ms, ..)| *at_ms <= now_ms && *at_ms > now_ms - WATCH_MS))
    }

    fn since(&self, taken: &Taken) -> Answered {
        sum(self.windows.iter().filter(|(at_ms, window_ms, _)| at_ms - window_ms >= taken.at_ms))
    }

    /// What is to be done to a wish of `value` for a workload that has `from`.
    pub(super) fn guard(&self, now_ms: i64, from: i32, value: i32) -> Guarded {
        if let Some(taken) = self.taken.filter(|taken| taken.to == from && value < taken.from)
            && (self.since(&taken).is_worse_than(taken.before) || (self.burns && !taken.burned_before))
        {
            return Guarded::Undo(taken.from);
        }
        let is_paused = self.until_ms.is_some_and(|until_ms| now_ms < until_ms);
        if is_paused && value < from { Guarded::Wait } else { Guarded::Pass }
    }

    /// Why, for people.
    pub(super) fn note(&self, now_ms: i64) -> String {
        let percent = |answered: Answered| answered.share().unwrap_or_default() * 100.0;
        match (&self.taken, self.until_ms) {
            (Some(taken), _) => {
                let seconds = (now_ms - taken.at_ms).max(0) / 1000;
                let since = self.since(taken);
                let what = if since.is_worse_than(taken.before) {
                    format!("{:.1}% of requests fail since, {:.1}% did before", percent(since), percent(taken.before))
                } else {
                    "an objective burns its error budget fast since".to_owned()
                };
                format!("{} -> {} of {seconds} s ago is undone, as {what}", taken.from, taken.to)
            }
            (None, Some(until_ms)) => {
                let times =
                    if self.undone == 1 { "once".to_owned() } else { format!("{} times in a row", self.undone) };
                let seconds = (until_ms - now_ms).max(0) / 1000;
                format!("what was taken was missed {times}, so nothing is taken for another {seconds} s")
            }
            (None, None) => String::new(),
        }
    }

    /// The numbers behind it; `None` where nothing was taken of late.
    pub(super) fn facts(&self) -> Option<GuardFacts> {
        let (taken, until_ms) = (self.taken.as_ref(), self.until_ms);
        if taken.is_none() && until_ms.is_none() {
            return None;
        }
        Some(GuardFacts::Change {
            changed_ms: taken.map_or(0, |taken| taken.at_ms),
            from_replicas: taken.map_or(0, |taken| unsigned(taken.from)),
            to_replicas: taken.map_or(0, |taken| unsigned(taken.to)),
            failed_before: taken.and_then(|taken| taken.before.share()),
            failed_since: taken.and_then(|taken| self.since(taken).share()),
            burns: self.burns,
            undone: self.undone,
            until_ms,
        })
    }
}

fn sum<'a>(windows: impl Iterator<Item = &'a (i64, i64, Answered)>) -> Answered {
    windows.fold(Answered::default(), |sum, (_, _, one)| Answered {
        requests: sum.requests + one.requests,
        failed: sum.failed + one.failed,
    })
}

#[cfg(test)]
mod tests;
