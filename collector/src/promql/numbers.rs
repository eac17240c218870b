//! Arithmetic that has to agree with Prometheus to the last digit that matters: compensated sums, means, quantiles.

use std::cmp::Ordering;

/// A sum with the error of its additions kept beside it (Kahan's summation, as improved by Neumaier).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    sum: f64,
    error: f64,
}

impl Sum {
    pub fn new(first: f64) -> Self {
        Self { sum: first, error: 0.0 }
    }

    pub fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.error = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.error += (self.sum - total) + value;
        } else {
            self.error += (value - total) + self.sum;
        }
        self.sum = total;
    }

    pub fn total(self) -> f64 {
        self.sum + self.error
    }

    /// Of the values of both.
    pub fn merged(mut self, later: Self) -> Self {
        self.add(later.sum);
        self.error += later.error;
        self
    }

    /// Divided by a number of values.
    pub fn over(self, count: f64) -> f64 {
        self.sum / count + self.error / count
    }

    /// Adds another sum, and its error.
    pub fn absorb(&mut self, other: Self) {
        self.add(other.sum);
        if other.error != 0.0 {
            self.add(other.error);
        }
    }

    /// Applies what may be done to each of two addends: multiplying, dividing.
    pub fn map(self, apply: impl Fn(f64) -> f64) -> Self {
        Self { sum: apply(self.sum), error: apply(self.error) }
    }

    pub fn is_nothing(self) -> bool {
        self.sum == 0.0 && self.error == 0.0
    }

    pub fn is_infinite(self) -> bool {
        self.sum.is_infinite()
    }
}

/// A mean: the sum divided, until the sum would overflow; from there on the running mean.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mean {
    sum: Sum,
    count: f64,
    running: bool,
}

impl Mean {
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.sum = Sum::new(value);
            return;
        }
        if !self.running {
            let mut next = self.sum;
            next.add(value);
            if !next.sum.is_infinite() {
                self.sum = next;
                return;
            }
            self.running = true;
            let before = self.count - 1.0;
            self.sum = Sum { sum: self.sum.sum / before, error: self.sum.error / before };
        }
        let share = (self.count - 1.0) / self.count;
        self.sum = Sum { sum: self.sum.sum * share, error: self.sum.error * share };
        self.sum.add(value / self.count);
    }

    pub fn mean(self) -> f64 {
        if self.running { self.sum.total() } else { self.sum.over(self.count) }
    }
}

/// The φ-quantile, interpolated between neighbours; NaN counts as the smallest value. Sorts the values.
pub(super) fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| nan_first(*a, *b));
    let last = count(values.len()) - 1.0;
    let rank = phi * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    values[index(lower)] * (1.0 - weight) + values[index(upper)] * weight
}

fn nan_first(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// Ascending, with NaN last.
pub(super) fn nan_last(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Descending, with NaN last.
pub(super) fn nan_last_descending(a: f64, b: f64) -> Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// A number of things as a value.
#[expect(clippy::cast_precision_loss, reason = "no query has 2^53 samples")]
pub(super) fn count(things: usize) -> f64 {
    things as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within a slice, never negative")]
fn index(rank: f64) -> usize {
    rank as usize
}

/// Equal up to a relative difference; NaN equals NaN.
pub(super) fn almost_equal(a: f64, b: f64, tolerance: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (difference, size) = ((a - b).abs(), a.abs() + b.abs());
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return difference < tolerance * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < tolerance
}
