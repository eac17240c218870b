//! `rate`, `increase` and `delta`, extrapolated to the window as Prometheus does, and what counts along a series: `resets`
//! and `changes`.

use super::Window;
use crate::promql::numbers::count;
use crate::promql::select::seconds;
use crate::series::Sample;

/// Indexes of samples that differ from the one before in a way that matters, in order.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<usize>);

impl Marks {
    /// Where the value falls: a counter that began again.
    pub fn drops(samples: &[Sample]) -> Self {
        Self::between(samples, |before, after| after < before)
    }

    /// Where the value is another; NaN after NaN is none.
    pub fn changes(samples: &[Sample]) -> Self {
        Self::between(samples, |before, after| before != after && !(before.is_nan() && after.is_nan()))
    }

    fn between(samples: &[Sample], differs: impl Fn(f64, f64) -> bool) -> Self {
        let pairs = samples.windows(2).enumerate();
        Self(pairs.filter(|(_, pair)| differs(pair[0].value, pair[1].value)).map(|(index, _)| index + 1).collect())
    }

    /// Marks of a window: those whose sample and the one before are both inside.
    fn inside(&self, window: &Window<'_>) -> &[usize] {
        let from = self.0.partition_point(|mark| *mark <= window.slide.low);
        let to = self.0.partition_point(|mark| *mark < window.slide.high);
        &self.0[from.min(to)..to]
    }
}

/// How many marks are in the window.
#[expect(clippy::unnecessary_wraps, reason = "the shape of every range function")]
pub(super) fn marked(window: &Window<'_>, marks: &Marks) -> Option<f64> {
    Some(count(marks.inside(window).len()))
}

/// Which of the three functions it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delta {
    pub counter: bool,
    pub per_second: bool,
}

/// A gap to the window's edge of up to this many sample intervals is taken as chance, and bridged.
const GAP_MAX: f64 = 1.1;

/// Where the samples of a window lie in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sampled {
    /// At least two.
    pub samples: usize,
    pub first_ms: i64,
    pub last_ms: i64,
    /// The window's start, exclusive.
    pub start_ms: i64,
    pub end_ms: i64,
}

impl Sampled {
    /// By how much more than between first and last sample something rose over the whole window. A counter is given with
    /// its first value and its rise: it was never below zero.
    pub fn factor(self, counter: Option<(f64, f64)>) -> f64 {
        let sampled = seconds(self.last_ms - self.first_ms);
        let interval = sampled / count(self.samples - 1);
        let bridged = |gap: f64| if gap >= interval * GAP_MAX { interval / 2.0 } else { gap };
        let mut before = bridged(seconds(self.first_ms - self.start_ms));
        let after = bridged(seconds(self.end_ms - self.last_ms));
        if let Some((first, rise)) = counter.filter(|(first, rise)| *rise > 0.0 && *first >= 0.0) {
            // It cannot have begun before it would have been zero.
            before = before.min(sampled * (first / rise));
        }
        if sampled == 0.0 { 1.0 } else { (sampled + before + after) / sampled }
    }
}

impl Delta {
    pub fn apply(self, window: &Window<'_>, drops: &Marks) -> Option<f64> {
        let samples = window.samples();
        let [first, .., last] = samples else { return None };
        let mut difference = last.value - first.value;
        if self.counter {
            difference += drops.inside(window).iter().map(|mark| window.all[mark - 1].value).sum::<f64>();
        }
        let sampled = Sampled {
            samples: samples.len(),
            first_ms: first.timestamp_ms,
            last_ms: last.timestamp_ms,
            start_ms: window.start_ms,
            end_ms: window.end_ms,
        };
        let mut factor = sampled.factor(self.counter.then_some((first.value, difference)));
        if self.per_second {
            factor /= seconds(window.range_ms);
        }
        Some(difference * factor)
    }
}
