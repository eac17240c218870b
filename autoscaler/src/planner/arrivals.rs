//! How many requests come a second, as well as that can be known: a mean over as long as they have come steadily, so that the chance of a
//! few seconds is not taken for load; and the newest window alone once it is no chance any more. What a workload must still carry with
//! fewer replicas is told by the highest of the last minutes. Pure: the same counts in the same order say the same.

use std::collections::VecDeque;

use super::learning::Likely;

/// Over so long a rate is taken for one at most: its mean is then a minute old, in which no day's wave is seen to move.
const STEADY_MS: i64 = 120_000;

/// Windows that are kept: those of ticks of two seconds. More seldom ticks need fewer.
const WINDOWS_MAX: usize = 64;

/// Counts that are so many deviations apart are not of one rate: by chance three of 1,000 are (normal distribution).
const APART: f64 = 3.0;

/// Both ends of a rate: 95 % of a normal distribution lie between them.
const DEVIATIONS: f64 = 1.96;

/// What is so old counts half in how much counts vary.
const HALF_LIFE_MS: f64 = 300_000.0;

/// Before they are seen to vary more, counts are taken to vary as those of a Poisson stream do, as if that had been seen so often.
const POISSON_WINDOWS: f64 = 5.0;

/// What fewer replicas must carry: so many times the highest rate of so many last milliseconds, whichever is least. The nearer they would be
/// to their limit, the longer must they have been enough.
const ROOM: [(f64, i64); 4] = [(2.0, 30_000), (1.5, 120_000), (1.25, 240_000), (1.1, 480_000)];

/// Requests counted over a window.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Window {
    /// Milliseconds since the epoch of its end.
    at_ms: i64,
    seconds: f64,
    rate: f64,
}

impl Window {
    fn begins_ms(self) -> i64 {
        self.at_ms - (self.seconds * 1000.0) as i64
    }
}

/// Requests of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arrivals {
    /// The oldest first.
    windows: VecDeque<Window>,
    /// Milliseconds since the epoch since when it is known without a gap what came.
    since_ms: i64,
    /// How much windows vary, as a multiple of a Poisson stream's variance, and how often that was seen.
    varied: f64,
    seen: f64,
    /// The highest rates that are sure since, falling: milliseconds since the epoch, and the rate.
    highest: VecDeque<(i64, f64)>,
}

impl Arrivals {
    /// Takes in a rate over a window that ends at a time; windows may overlap.
    pub(super) fn observe(&mut self, at_ms: i64, seconds: f64, rate: f64) {
        let last_ms = self.windows.back().map(|window| window.at_ms);
        if !(rate.is_finite() && rate >= 0.0 && seconds > 0.0) || last_ms.is_some_and(|last| last >= at_ms) {
            return;
        }
        let window = Window { at_ms, seconds, rate };
        if last_ms.is_none_or(|last| last < at_ms - STEADY_MS) {
            self.since_ms = window.begins_ms();
        }
        self.learn_variance(window, last_ms);
        self.windows.push_back(window);
        let is_old = |window: &Window| window.begins_ms() < at_ms - STEADY_MS;
        while self.windows.len() > WINDOWS_MAX || (self.windows.len() > 1 && self.windows.front().is_some_and(is_old)) {
            self.windows.pop_front();
        }
        let Some((mean, error)) = self.steady() else { return };
        let sure = (mean - error).max(0.0);
        while self.highest.back().is_some_and(|(_, lower)| *lower <= sure) {
            self.highest.pop_back();
        }
        self.highest.push_back((at_ms, sure));
        let oldest_ms = at_ms - ROOM.iter().map(|(_, last_ms)| *last_ms).max().unwrap_or_default();
        while self.highest.front().is_some_and(|(at_ms, _)| *at_ms < oldest_ms) {
            self.highest.pop_front();
        }
    }

    /// Compares a window with the one right before it. What is no chance is a change of the load, and not how much it varies.
    fn learn_variance(&mut self, window: Window, last_ms: Option<i64>) {
        let Some(last_ms) = last_ms else { return };
        let Some(before) = self.windows.iter().rfind(|before| before.at_ms <= window.begins_ms()) else { return };
        let [now, before] = [window, *before].map(|window| window.rate * window.seconds);
        if now + before <= 0.0 {
            return;
        }
        let passed_ms = (window.at_ms - last_ms) as f64;
        let decay = 0.5f64.powf(passed_ms / HALF_LIFE_MS);
        let share = (passed_ms / 1000.0 / window.seconds).min(1.0);
        let varied = ((now - before) * (now - before) / (now + before)).min(APART * APART);
        self.varied = self.varied * decay + varied * share;
        self.seen = self.seen * decay + share;
    }

    /// How much counts vary, as a multiple of a Poisson stream's variance.
    fn dispersion(&self) -> f64 {
        ((self.varied + POISSON_WINDOWS) / (self.seen + POISSON_WINDOWS)).max(1.0)
    }

    /// The mean over as long as it has been the same, and how far off it may be.
    fn steady(&self) -> Option<(f64, f64)> {
        let newest = self.windows.back()?;
        let dispersion = self.dispersion();
        let (mut count, mut seconds, mut begins_ms) =
            (newest.rate * newest.seconds, newest.seconds, newest.begins_ms());
        for window in self.windows.iter().rev().skip(1) {
            if window.at_ms > begins_ms {
                continue;
            }
            let together = (count + window.rate * window.seconds) / (seconds + window.seconds);
            let variance = dispersion * together * (1.0 / seconds + 1.0 / window.seconds);
            let apart = count / seconds - window.rate;
            if apart * apart > APART * APART * variance {
                break;
            }
            count += window.rate * window.seconds;
            seconds += window.seconds;
            begins_ms = window.begins_ms();
        }
        let mean = count / seconds;
        Some((mean, DEVIATIONS * (dispersion * mean / seconds).sqrt()))
    }

    /// The rate at the end of the window that was observed last, if that was at `at_ms`: surely, most likely, and what fewer replicas than
    /// there are must be able to carry.
    pub(super) fn likely(&self, at_ms: i64) -> Option<Likely> {
        self.windows.back().filter(|newest| newest.at_ms == at_ms)?;
        let (mean, error) = self.steady()?;
        let highest = |last_ms: i64| {
            let first = self.highest.partition_point(|(seen_ms, _)| *seen_ms < at_ms - last_ms);
            self.highest.get(first).map_or(0.0, |(_, rate)| *rate)
        };
        let is_known = |last_ms: i64| last_ms == ROOM[0].1 || self.since_ms <= at_ms - last_ms;
        let rooms = ROOM.iter().filter(|(_, last_ms)| is_known(*last_ms));
        let room = rooms.map(|(times, last_ms)| times * highest(*last_ms)).fold(f64::INFINITY, f64::min);
        Some(Likely { low: (mean - error).max(0.0), mean, high: room.max(mean + error) })
    }
}

#[cfg(test)]
mod tests;
