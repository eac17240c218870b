//! How many requests should be under way at once: as many as keep up with what comes in and catch up with what waits. Prometheus'
//! reckoning, by rates that are smoothed in the same way. Pure.

use super::queue::LANES;
use crate::config::remote_write::QueueOptions;

/// How often the number is reckoned anew, in seconds: Prometheus' `shardUpdateDuration`.
pub const INTERVAL_S: u64 = 10;

/// How much the newest rate weighs: Prometheus' `ewmaWeight`.
const WEIGHT: f64 = 0.2;

/// How much of what waits should be caught up with each second.
const CATCH_UP: f64 = 0.05;

/// A wish must differ by so much to be followed: Prometheus' `shardToleranceFraction`.
const TOLERANCE: f64 = 0.3;

/// What has happened so far, each growing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Put into the queue.
    pub incoming: f64,
    /// Taken out of it.
    pub outgoing: f64,
    /// Seconds that requests took, all together.
    pub busy_s: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Rates {
    incoming: f64,
    outgoing: f64,
    busy: f64,
}

/// The reckoning.
#[derive(Debug)]
pub struct Shards {
    min: usize,
    max: usize,
    current: usize,
    /// The wish, before bounds and tolerance.
    pub desired: f64,
    last: Totals,
    rates: Option<Rates>,
}

impl Shards {
    /// Begins with the fewest.
    pub fn new(options: &QueueOptions) -> Self {
        let (min, max) = (options.shards_min.min(LANES), options.shards_max.min(LANES));
        Self { min, max, current: min, desired: min as f64, last: Totals::default(), rates: None }
    }

    /// How many there are.
    pub fn current(&self) -> usize {
        self.current
    }

    /// Reckons anew, `INTERVAL_S` after the last time; `pending` things wait, and `is_behind` says for more than ten seconds.
    pub fn update(&mut self, totals: Totals, pending: f64, is_behind: bool) -> usize {
        let per_second = |now: f64, before: f64| (now - before).max(0.0) / INTERVAL_S as f64;
        let new = Rates {
            incoming: per_second(totals.incoming, self.last.incoming),
            outgoing: per_second(totals.outgoing, self.last.outgoing),
            busy: per_second(totals.busy_s, self.last.busy_s),
        };
        self.last = totals;
        let smooth = |old: f64, new: f64| WEIGHT * new + (1.0 - WEIGHT) * old;
        let rates = self.rates.map_or(new, |old| Rates {
            incoming: smooth(old.incoming, new.incoming),
            outgoing: smooth(old.outgoing, new.outgoing),
            busy: smooth(old.busy, new.busy),
        });
        self.rates = Some(rates);
        if rates.outgoing <= 0.0 {
            return self.current;
        }
        let each_s = rates.busy / rates.outgoing;
        self.desired = each_s * (rates.incoming + CATCH_UP * pending);
        let wish = self.desired.ceil();
        let current = self.current as f64;
        let is_near = (current * (1.0 - TOLERANCE)..=current * (1.0 + TOLERANCE)).contains(&wish);
        if is_near || (wish < current && is_behind) {
            return self.current;
        }
        // Bounded before it is made an integer.
        self.current = wish.clamp(self.min as f64, self.max as f64) as usize;
        self.current
    }
}

#[cfg(test)]
mod tests;
