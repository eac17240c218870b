//! Aggregates of a window that moves forward over samples, for windows that overlap much: each sample is merged a constant
//! number of times however long the window is. Nothing is ever subtracted, so that no digit is lost by it.

use super::Window;
use crate::promql::numbers::Sum;
use crate::promql::select::Slide;
use crate::series::Sample;

/// Overlapping windows of a series: those of one step and the next have most samples in common.
const OVERLAP_MIN: i64 = 4;

/// Whether windows of this length, so far apart, are worth it; otherwise reading each of them costs less.
pub(super) fn pays(range_ms: i64, step_ms: i64, steps: usize) -> bool {
    steps > 1 && range_ms / step_ms.max(1) >= OVERLAP_MIN
}

/// What is known of some samples that follow each other.
pub(super) trait Merge: Copy {
    fn of(value: f64) -> Self;

    /// Of these samples and the later ones.
    fn merged(self, later: Self) -> Self;

    /// The function's value; `None` if it has to be found sample by sample.
    fn finish(self) -> Option<f64>;
}

/// The aggregate of a window as two parts: what comes before the middle, from every place to the middle; and what comes after
/// it, all in one. When the window leaves the middle behind, its end becomes the middle.
pub(super) struct Sliding<M> {
    /// From `middle - 1 - index` to the middle.
    before: Vec<M>,
    middle: usize,
    after: Option<M>,
    high: usize,
}

impl<M> Default for Sliding<M> {
    fn default() -> Self {
        Self { before: Vec::new(), middle: 0, after: None, high: 0 }
    }
}

impl<M: Merge> Sliding<M> {
    /// The function's value of a window that is not empty.
    pub fn apply(&mut self, window: &Window<'_>, plain: fn(&[Sample]) -> Option<f64>) -> Option<f64> {
        self.over(window.all, window.slide).finish().or_else(|| plain(window.samples()))
    }

    fn over(&mut self, all: &[Sample], Slide { low, high }: Slide) -> M {
        if low >= self.middle {
            self.begin_anew(&all[low..high], high);
        } else {
            for sample in &all[self.high..high] {
                let one = M::of(sample.value);
                self.after = Some(self.after.map_or(one, |after| after.merged(one)));
            }
        }
        self.high = high;
        let before = self.before[self.middle - 1 - low];
        self.after.map_or(before, |after| before.merged(after))
    }

    fn begin_anew(&mut self, samples: &[Sample], middle: usize) {
        self.before.clear();
        for sample in samples.iter().rev() {
            let one = M::of(sample.value);
            self.before.push(self.before.last().map_or(one, |later| one.merged(*later)));
        }
        (self.middle, self.after) = (middle, None);
    }
}

/// `sum_over_time`
#[derive(Clone, Copy)]
pub(super) struct Total(Sum);

impl Merge for Total {
    fn of(value: f64) -> Self {
        Self(Sum::new(value))
    }

    fn merged(self, later: Self) -> Self {
        Self(self.0.merged(later.0))
    }

    fn finish(self) -> Option<f64> {
        Some(self.0.total()).filter(|total| total.is_finite())
    }
}

/// `avg_over_time`
#[derive(Clone, Copy)]
pub(super) struct Average {
    sum: Sum,
    count: f64,
}

impl Merge for Average {
    fn of(value: f64) -> Self {
        Self { sum: Sum::new(value), count: 1.0 }
    }

    fn merged(self, later: Self) -> Self {
        Self { sum: self.sum.merged(later.sum), count: self.count + later.count }
    }

    fn finish(self) -> Option<f64> {
        Some(self.sum.over(self.count)).filter(|mean| mean.is_finite())
    }
}

/// `min_over_time`; anything is better than NaN.
#[derive(Clone, Copy)]
pub(super) struct Least(f64);

impl Merge for Least {
    fn of(value: f64) -> Self {
        Self(value)
    }

    fn merged(self, later: Self) -> Self {
        if later.0 < self.0 || self.0.is_nan() { later } else { self }
    }

    fn finish(self) -> Option<f64> {
        Some(self.0)
    }
}

/// `max_over_time`
#[derive(Clone, Copy)]
pub(super) struct Most(f64);

impl Merge for Most {
    fn of(value: f64) -> Self {
        Self(value)
    }

    fn merged(self, later: Self) -> Self {
        if later.0 > self.0 || self.0.is_nan() { later } else { self }
    }

    fn finish(self) -> Option<f64> {
        Some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::over_time;
    use super::*;

    fn slides<M: Merge>(samples: &[Sample], windows: &[(usize, usize)]) -> Vec<Option<f64>> {
        let mut sliding = Sliding::<M>::default();
        let (mut low, mut high) = (0, 0);
        let mut found = Vec::new();
        for (enter, leave) in windows {
            high = (high + enter).min(samples.len());
            low = (low + leave).min(high);
            found.push((low < high).then(|| sliding.over(samples, Slide { low, high }).finish()).flatten());
        }
        found
    }

    fn plainly(name: &str, samples: &[Sample], windows: &[(usize, usize)]) -> Vec<Option<f64>> {
        let (plain, _) = over_time::by_name(name).unwrap();
        let (mut low, mut high) = (0, 0);
        let mut found = Vec::new();
        for (enter, leave) in windows {
            high = (high + enter).min(samples.len());
            low = (low + leave).min(high);
            found.push((low < high).then(|| plain(&samples[low..high])).flatten());
        }
        found
    }

    fn near(a: &[Option<f64>], b: &[Option<f64>]) -> bool {
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-12 * a.abs().max(b.abs()).max(1e-300);
        a.iter().zip(b).all(|pair| match pair {
            (Some(a), Some(b)) => close(*a, *b),
            (a, b) => a.is_none() && b.is_none(),
        })
    }

    proptest! {
        #[test]
        fn a_window_that_slides_has_what_a_window_that_is_read_has(
            values in prop::collection::vec(prop_oneof![-1e6..1e6f64, Just(1e15), Just(-1e15), Just(0.1)], 1..80),
            windows in prop::collection::vec((0usize..6, 0usize..6), 1..60),
        ) {
            let samples: Vec<Sample> =
                values.iter().map(|value| Sample { timestamp_ms: 0, value: *value }).collect();
            for (name, found) in [
                ("sum_over_time", slides::<Total>(&samples, &windows)),
                ("avg_over_time", slides::<Average>(&samples, &windows)),
                ("min_over_time", slides::<Least>(&samples, &windows)),
                ("max_over_time", slides::<Most>(&samples, &windows)),
            ] {
                let wanted = plainly(name, &samples, &windows);
                prop_assert!(near(&found, &wanted), "{}: {:?} {:?}", name, found, wanted);
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_left_to_be_read() {
        let samples = [f64::INFINITY, 1.0, f64::NAN, 1e308, 1e308].map(|value| Sample { timestamp_ms: 0, value });
        assert_eq!(slides::<Total>(&samples, &[(2, 0), (1, 1), (2, 2)]), [None, None, None]);
        assert_eq!(slides::<Most>(&samples, &[(3, 1), (2, 0)]), [Some(1.0), Some(1e308)]);
    }
}
