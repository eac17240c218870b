//! A service in virtual time, a second a step: a queue that its callers do not wait for beyond their timeout, whose work goes on for
//! those who have left, who try again so often; and a cache that only fills with answers that were in time. So it has both loops
//! that keep a service down, retries and slow work, and knows of no detector.

use std::collections::VecDeque;

use crate::planner::surroundings::Traffic;

/// Requests wait for so many seconds of work at most; beyond that they are turned away.
const QUEUE_SECONDS: f64 = 10.0;

/// Callers give up after so long.
const TIMEOUT_SECONDS: f64 = 1.0;

/// Answers in time that fill the cache, in seconds of full work of a warm replica.
const FILL_SECONDS: f64 = 5.0;

/// What is cached is of use for so long.
const EXPIRE_SECONDS: f64 = 200.0;

/// How far behind the call graph is.
const LAG_SECONDS: usize = 5;

/// The service.
pub struct Plant {
    /// Replicas that serve.
    pub replicas: f64,
    /// Requests a second that a warm replica does.
    pub each: f64,
    /// How often callers try at most.
    tries: usize,
    /// How much more a request costs that no cache answers.
    cold_cost: f64,
    /// Nobody that it calls answers: every request fails.
    pub broken: bool,
    /// Share of requests that the cache answers.
    pub warmth: f64,
    queue: f64,
    /// Requests that come again in the next second, by how often they had been sent.
    again: Vec<f64>,
    seconds: VecDeque<Second>,
}

#[derive(Clone, Copy, Default)]
struct Second {
    attempts: f64,
    retried: f64,
    failed: f64,
    took: f64,
    own: f64,
}

impl Plant {
    /// So many replicas that do so much each, whose callers try so often, and whose requests cost so much more without a cache.
    pub fn new(replicas: f64, each: f64, tries: usize, cold_cost: f64) -> Self {
        Self {
            replicas,
            each,
            tries,
            cold_cost,
            broken: false,
            warmth: 0.95,
            queue: 0.0,
            again: Vec::new(),
            seconds: VecDeque::new(),
        }
    }

    /// Lets a second pass with so many new requests; how many were worked on.
    pub fn pass(&mut self, rate: f64) -> f64 {
        let again = std::mem::take(&mut self.again);
        let retried: f64 = again.iter().sum();
        let attempts = rate + retried;
        let cost = self.warmth + (1.0 - self.warmth) * self.cold_cost;
        let capacity = self.replicas * self.each / cost;
        let wait = if capacity > 0.0 { self.queue / capacity } else { f64::INFINITY };
        let served = (self.queue + attempts).min(capacity);
        self.queue = (self.queue + attempts - served).min(capacity * QUEUE_SECONDS);
        let is_late = wait > TIMEOUT_SECONDS || self.broken;
        let failed = if is_late { attempts } else { 0.0 };
        if is_late {
            self.again = std::iter::once(rate).chain(again).take(self.tries.saturating_sub(1)).collect();
        }
        let full = (self.replicas * self.each * FILL_SECONDS).max(1.0);
        self.warmth += (attempts - failed) / full * (1.0 - self.warmth) - self.warmth / EXPIRE_SECONDS;
        self.warmth = self.warmth.clamp(0.0, 1.0);
        let took = wait.min(TIMEOUT_SECONDS) + 0.02 * cost;
        self.seconds.push_back(Second { attempts, retried, failed, took, own: 0.02 * cost });
        served
    }

    /// What the call graph tells at second `now`, over a window.
    pub fn traffic(&self, now_ms: i64, window: usize) -> Option<Traffic> {
        let end = self.seconds.len().checked_sub(LAG_SECONDS)?;
        let seen: Vec<Second> = self.seconds.range(end.checked_sub(window)?..end).copied().collect();
        let mean = |of: fn(&Second) -> f64| seen.iter().map(of).sum::<f64>() / window as f64;
        let mut took: Vec<f64> = seen.iter().map(|second| second.took).collect();
        took.sort_by(f64::total_cmp);
        let (attempts, failed) = (mean(|second| second.attempts), mean(|second| second.failed));
        Some(Traffic {
            at_ms: now_ms - LAG_SECONDS as i64 * 1000,
            window_seconds: window as f64,
            attempts,
            retried: mean(|second| second.retried),
            failed_share: if attempts > 0.0 { failed / attempts } else { 0.0 },
            seconds: took.get(window / 2).copied(),
            own_seconds: Some(mean(|second| second.own)),
            has_callers: true,
        })
    }
}
