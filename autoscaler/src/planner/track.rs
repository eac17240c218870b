//! How a workload went in the last minutes: what was wished of it and what came to it, how it stood before it began to suffer, and what
//! was taken from it last. Part of the history: the planner only reads it. Pure.

use std::collections::VecDeque;

use super::change::LastChange;
use super::metastable::{Detector, Sample};
use super::observation::Observation;
use super::surroundings::Traffic;

/// How long wishes and requests are remembered: a fault is named within half a minute, and told from when it began.
const KEPT_MS: i64 = 180_000;

/// Wishes closer together than this are one, the least of them.
const POINT_MS: i64 = 1_000;

/// What came is remembered so often.
const LOAD_MS: i64 = 10_000;

/// Who has suffered less long ago still does: a verdict comes and goes while a fault begins or ends.
const SUFFERING_PAUSE_MS: i64 = 60_000;

/// What came so long ago was before what is seen now: the call graph's window and lag.
pub(super) const BEFORE_MS: i64 = 30_000;

/// A tick.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    at_ms: i64,
    desired: i32,
    /// Wished before any guard but freshness and tolerance; `None` before the tick is planned.
    wish: Option<i32>,
}

/// How a workload stood before its service began to suffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Base {
    /// Replicas asked for.
    pub replicas: i32,
    /// Requests a second, those sent again left out; `None` where they are not known.
    pub offered: Option<f64>,
    /// Seconds over which they were counted.
    pub seconds: f64,
}

/// More was wished than one replica more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rising {
    /// Since when, milliseconds since the epoch.
    pub since_ms: i64,
    /// Replicas asked for before.
    pub base: i32,
}

impl Rising {
    /// Whether the requests are known that it follows from: those of half a window tell what they are.
    pub(super) fn is_seen(self, traffic: &Traffic) -> bool {
        traffic.at_ms >= self.since_ms + traffic.window_ms() / 2
    }
}

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Track {
    points: VecDeque<Point>,
    /// When, and how many requests a second over how many seconds.
    loads: VecDeque<(i64, f64, f64)>,
    rising: Option<Rising>,
    /// How it stood before, and when it suffered last.
    base: Option<(i64, Base)>,
    /// Whether its service fails to recover.
    pub metastable: Detector,
    /// What was taken from it last.
    pub change: LastChange,
}

impl Track {
    /// Learns from a tick's surroundings, before it is planned.
    pub(super) fn see(&mut self, observation: &Observation) {
        let Observation { now_ms, desired, around, .. } = observation;
        self.forget(*now_ms);
        let suffering = around.suffering(*now_ms);
        if let Some(suffering) = suffering {
            let known = self.base.filter(|(last_ms, _)| now_ms - last_ms <= SUFFERING_PAUSE_MS);
            let base = known.map_or_else(|| self.before(suffering.since_ms, *desired), |(_, base)| base);
            self.base = Some((*now_ms, base));
        }
        if let Some(traffic) = around.traffic(*now_ms) {
            self.hear(traffic);
            let sample = Sample { traffic: *traffic, ready: observation.ready, suffers: suffering.is_some() };
            self.metastable.observe(sample);
        }
        self.change.see(observation);
    }

    fn hear(&mut self, traffic: &Traffic) {
        if self.loads.back().is_none_or(|(last_ms, ..)| traffic.at_ms - last_ms >= LOAD_MS) {
            self.loads.push_back((traffic.at_ms, traffic.offered(), traffic.window_seconds));
        }
    }

    fn forget(&mut self, now_ms: i64) {
        // The latest before that says how things stood when it began.
        while self.points.get(1).is_some_and(|point| point.at_ms < now_ms - KEPT_MS) {
            self.points.pop_front();
        }
        while self.loads.front().is_some_and(|(at_ms, ..)| *at_ms < now_ms - KEPT_MS) {
            self.loads.pop_front();
        }
    }

    /// How things stood at a time.
    pub(super) fn before(&self, at_ms: i64, desired: i32) -> Base {
        let then = self.points.iter().rev().find(|point| point.at_ms <= at_ms).or(self.points.front());
        let known = self.loads.iter().filter(|(counted_ms, ..)| *counted_ms <= at_ms);
        let (sum, seconds) =
            known.fold((0.0, 0.0), |(sum, all), (_, rate, seconds)| (sum + rate * seconds, all + seconds));
        Base {
            replicas: then.map_or(desired, |point| point.desired),
            offered: (seconds > 0.0).then(|| sum / seconds),
            seconds,
        }
    }

    /// Remembers what was wished of a tick, once it is planned; `traffic` is what it knew of requests.
    pub(super) fn planned(&mut self, now_ms: i64, desired: i32, wish: Option<i32>, traffic: Option<&Traffic>) {
        match self.points.back_mut().filter(|last| now_ms - last.at_ms < POINT_MS) {
            Some(last) => {
                last.wish = match (last.wish, wish) {
                    (Some(before), Some(now)) => Some(before.min(now)),
                    (before, now) => before.or(now),
                };
            }
            None => self.points.push_back(Point { at_ms: now_ms, desired, wish }),
        }
        let wish = wish.unwrap_or(desired);
        let Some(traffic) = traffic else {
            self.rising = None;
            return;
        };
        let rising = self.rising_by(traffic, now_ms, desired);
        let is_seen = wish <= desired.saturating_add(1) && rising.is_seen(traffic);
        let is_over = wish <= rising.base.saturating_add(1) || is_seen;
        self.rising = (!is_over).then_some(rising);
    }

    /// The least that was wished since a time, then included, and `wish` of now.
    pub(super) fn least_since(&self, at_ms: i64, wish: i32) -> i32 {
        let then = self.points.iter().rposition(|point| point.at_ms <= at_ms).unwrap_or(0);
        self.points.range(then..).filter_map(|point| point.wish).fold(wish, i32::min)
    }

    /// Since when more is wished than one replica more; now, if it was not before: more than there were when the requests began that the
    /// call graph knows.
    pub(super) fn rising_by(&self, traffic: &Traffic, now_ms: i64, desired: i32) -> Rising {
        let first_ms = traffic.at_ms - traffic.window_ms();
        let before = || self.points.iter().filter(|point| point.at_ms >= first_ms).map(|point| point.desired);
        self.rising.unwrap_or_else(|| Rising { since_ms: now_ms, base: before().fold(desired, i32::min) })
    }

    /// How the workload stood before its service began to suffer; `None` while it does not.
    pub(super) fn base(&self, now_ms: i64) -> Option<&Base> {
        self.base.as_ref().filter(|(last_ms, _)| now_ms - last_ms <= SUFFERING_PAUSE_MS).map(|(_, base)| base)
    }
}
