//! A circuit breaker. Pure: time is an argument, counted from any fixed moment.

use std::time::Duration;

/// Results are judged over this long ...
pub const WINDOW: Duration = Duration::from_secs(10);
/// ... in slices of this long.
const SLICE: Duration = Duration::from_secs(1);
const SLICES: usize = 10;
/// Fewer results say nothing.
pub const RESULTS_MIN: u32 = 10;
/// At this share of failures a peer does more harm asked than left alone.
pub const FAILURES_SHARE: f64 = 0.5;
/// How long the peer is left alone before one call tries it again.
pub const OPEN_FOR: Duration = Duration::from_secs(5);

/// Whether calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    HalfOpen,
    Open,
}

impl State {
    /// As the metric `circuit_breaker_state` shows it.
    pub fn as_number(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// Leave to make one call; given back by [`Breaker::settle`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Permit {
    trial: bool,
    /// Results from before the last change of state do not count.
    epoch: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slice {
    number: u64,
    succeeded: u32,
    failed: u32,
}

/// Counts results; stops calls to a peer that mostly fails, then lets one through now and then.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    slices: [Slice; SLICES],
    opened_at: Duration,
    trial_under_way: bool,
    epoch: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed,
            slices: [Slice::default(); SLICES],
            opened_at: Duration::ZERO,
            trial_under_way: false,
            epoch: 0,
        }
    }
}

impl Breaker {
    pub fn state(&self) -> State {
        self.state
    }

    /// Asks to make a call now.
    pub fn ask(&mut self, now: Duration) -> Option<Permit> {
        if self.state == State::Open && now.saturating_sub(self.opened_at) >= OPEN_FOR {
            self.turn(State::HalfOpen);
        }
        let trial = match self.state {
            State::Closed => false,
            State::HalfOpen if !self.trial_under_way => true,
            State::HalfOpen | State::Open => return None,
        };
        self.trial_under_way = trial;
        Some(Permit { trial, epoch: self.epoch })
    }

    /// Gives a permit back; `succeeded` is `None` when the call says nothing about the peer.
    pub fn settle(&mut self, Permit { trial, epoch }: Permit, succeeded: Option<bool>, now: Duration) {
        if epoch != self.epoch {
            return;
        }
        if trial {
            self.trial_under_way = false;
        }
        match (succeeded, trial) {
            (None, _) => {}
            (Some(true), true) => self.turn(State::Closed),
            (Some(false), true) => self.open(now),
            (Some(succeeded), false) => {
                self.count(succeeded, now);
                // A peer that has just answered well is not left alone for what it did before.
                if !succeeded && self.fails(now) {
                    self.open(now);
                }
            }
        }
    }

    fn open(&mut self, now: Duration) {
        self.opened_at = now;
        self.turn(State::Open);
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
        self.trial_under_way = false;
        self.slices = [Slice::default(); SLICES];
    }

    fn count(&mut self, succeeded: bool, now: Duration) {
        let number = slice_number(now);
        let slice = &mut self.slices[usize::try_from(number).unwrap_or(0) % SLICES];
        if slice.number != number {
            *slice = Slice { number, ..Slice::default() };
        }
        if succeeded {
            slice.succeeded += 1;
        } else {
            slice.failed += 1;
        }
    }

    fn fails(&self, now: Duration) -> bool {
        let oldest = slice_number(now).saturating_sub(slice_number(WINDOW) - 1);
        let recent = self.slices.iter().filter(|slice| slice.number >= oldest);
        let (succeeded, failed) = recent.fold((0, 0), |(s, f), slice| (s + slice.succeeded, f + slice.failed));
        let all = succeeded + failed;
        all >= RESULTS_MIN && f64::from(failed) >= FAILURES_SHARE * f64::from(all)
    }
}

fn slice_number(now: Duration) -> u64 {
    now.as_secs() / SLICE.as_secs()
}

#[cfg(test)]
mod tests;
