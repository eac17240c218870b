//! A histogram taken apart, so that others can be added to it and taken from it, whatever their resolution, their zero
//! bucket or their own bounds. Start at `Parts::add`.

use std::sync::Arc;

use super::layout::{indexed, laid_out};
use super::{Sign, bounds};
use crate::promql::numbers::Sum;
use crate::series::{CounterReset, Histogram, SCHEMA_CUSTOM, Span};

/// Exponential and custom buckets cannot be combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::promql) struct Incompatible;

/// What is worth a note of two histograms that were combined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::promql) struct Combined {
    /// One said that the counter was reset, the other that it was not.
    pub collision: bool,
    /// Only the bounds that both have are left.
    pub reconciled: bool,
}

/// A number that others are added to: plain, or with the error of its additions.
pub(in crate::promql) trait Amount: Copy {
    fn of(value: f64) -> Self;
    fn absorb(&mut self, other: Self);
    fn scale(&mut self, factor: f64);
    fn divide(&mut self, divisor: f64);
    fn negated(self) -> Self;
    fn value(self) -> f64;
    fn is_zero(self) -> bool;
    fn is_infinite(self) -> bool;
}

impl Amount for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn absorb(&mut self, other: Self) {
        *self += other;
    }

    fn scale(&mut self, factor: f64) {
        *self *= factor;
    }

    fn divide(&mut self, divisor: f64) {
        *self /= divisor;
    }

    fn negated(self) -> Self {
        -self
    }

    fn value(self) -> f64 {
        self
    }

    fn is_zero(self) -> bool {
        self == 0.0
    }

    fn is_infinite(self) -> bool {
        Self::is_infinite(self)
    }
}

impl Amount for Sum {
    fn of(value: f64) -> Self {
        Self::new(value)
    }

    fn absorb(&mut self, other: Self) {
        Self::absorb(self, other);
    }

    fn scale(&mut self, factor: f64) {
        *self = self.map(|part| part * factor);
    }

    fn divide(&mut self, divisor: f64) {
        *self = self.map(|part| part / divisor);
    }

    fn negated(self) -> Self {
        self.map(|part| -part)
    }

    fn value(self) -> f64 {
        self.total()
    }

    fn is_zero(self) -> bool {
        self.is_nothing()
    }

    fn is_infinite(self) -> bool {
        self.is_infinite()
    }
}

/// Buckets of one side with their indexes, ascending.
type Side<N> = Vec<(i32, N)>;

/// A histogram taken apart.
#[derive(Debug, Clone)]
pub(in crate::promql) struct Parts<N> {
    reset: CounterReset,
    schema: i32,
    zero_threshold: f64,
    zero_count: N,
    count: N,
    sum: N,
    positive: Side<N>,
    negative: Side<N>,
    custom_bounds: Arc<[f64]>,
}

impl<N: Amount> Parts<N> {
    pub fn of(histogram: &Histogram) -> Self {
        Self {
            reset: histogram.reset,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero_count: N::of(histogram.zero_count),
            count: N::of(histogram.count),
            sum: N::of(histogram.sum),
            positive: side(&histogram.positive_spans, &histogram.positive_buckets).collect(),
            negative: side(&histogram.negative_spans, &histogram.negative_buckets).collect(),
            custom_bounds: Arc::clone(&histogram.custom_bounds),
        }
    }

    /// The histogram, without empty buckets.
    pub fn finish(self) -> Histogram {
        let laid = |side: Side<N>| {
            laid_out(side.into_iter().map(|(index, count)| (index, count.value())).filter(|(_, count)| *count != 0.0))
        };
        let (positive_spans, positive_buckets) = laid(self.positive);
        let (negative_spans, negative_buckets) = laid(self.negative);
        Histogram {
            reset: self.reset,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.value(),
            count: self.count.value(),
            sum: self.sum.value(),
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            custom_bounds: self.custom_bounds,
        }
    }

    /// Adds a histogram, or takes it away. The result is as coarse as the coarser of both, with a zero bucket that holds
    /// those of both, and of custom bounds those that both have.
    pub fn add(&mut self, other: &Histogram, sign: Sign) -> Result<Combined, Incompatible> {
        if (self.schema == SCHEMA_CUSTOM) != (other.schema == SCHEMA_CUSTOM) {
            return Err(Incompatible);
        }
        let collision = self.join_reset(other.reset);
        let same_bounds = self.schema != SCHEMA_CUSTOM || self.custom_bounds[..] == other.custom_bounds[..];
        let same_zero = self.schema == SCHEMA_CUSTOM || self.zero_threshold.to_bits() == other.zero_threshold.to_bits();
        if self.schema == other.schema && same_bounds && same_zero {
            merge(&mut self.positive, side(&other.positive_spans, &other.positive_buckets), sign);
            merge(&mut self.negative, side(&other.negative_spans, &other.negative_buckets), sign);
            self.zero_count.absorb(signed(N::of(other.zero_count), sign));
        } else {
            let mut other = Self::of(other);
            self.agree_with(&mut other);
            merge(&mut self.positive, other.positive.into_iter(), sign);
            merge(&mut self.negative, other.negative.into_iter(), sign);
            self.zero_count.absorb(signed(other.zero_count, sign));
        }
        self.count.absorb(signed(N::of(other.count), sign));
        self.sum.absorb(signed(N::of(other.sum), sign));
        Ok(Combined { collision, reconciled: !same_bounds })
    }

    /// Makes the resolution coarser.
    pub fn reduce(&mut self, schema: i32) {
        if schema < self.schema && self.schema != SCHEMA_CUSTOM {
            reduce(&mut self.positive, self.schema, schema);
            reduce(&mut self.negative, self.schema, schema);
            self.schema = schema;
        }
    }

    pub fn scale(&mut self, factor: f64) {
        self.each(|amount| amount.scale(factor));
    }

    pub fn divide(&mut self, divisor: f64) {
        self.each(|amount| amount.divide(divisor));
    }

    /// Whether any number has grown beyond all bounds.
    pub fn overflows(&self) -> bool {
        let sides = self.positive.iter().chain(&self.negative).map(|(_, count)| *count);
        sides.chain([self.zero_count, self.count, self.sum]).any(N::is_infinite)
    }

    fn each(&mut self, apply: impl Fn(&mut N)) {
        let sides = self.positive.iter_mut().chain(&mut self.negative).map(|(_, count)| count);
        sides.chain([&mut self.zero_count, &mut self.count, &mut self.sum]).for_each(apply);
    }

    /// What is known of resets after another histogram joined; whether both contradict each other.
    fn join_reset(&mut self, other: CounterReset) -> bool {
        use CounterReset::{Gauge, Unknown};
        let (joined, collision) = match (self.reset, other) {
            (own, other) if own == other => (own, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            _ => (Unknown, true),
        };
        self.reset = joined;
        collision
    }

    /// Gives both the same zero bucket, resolution and bounds.
    fn agree_with(&mut self, other: &mut Self) {
        if self.schema == SCHEMA_CUSTOM {
            let shared: Arc<[f64]> = shared_bounds(&self.custom_bounds, &other.custom_bounds).into();
            for parts in [self, other] {
                rebound(&mut parts.positive, &parts.custom_bounds, &shared);
                parts.custom_bounds = Arc::clone(&shared);
            }
            return;
        }
        // Each may have to be wider still than the other asked for, so as not to cut through a bucket.
        loop {
            if self.zero_threshold < other.zero_threshold {
                self.widen_zero(other.zero_threshold);
            } else if other.zero_threshold < self.zero_threshold {
                other.widen_zero(self.zero_threshold);
            } else {
                break;
            }
        }
        let schema = self.schema.min(other.schema);
        self.reduce(schema);
        other.reduce(schema);
    }

    /// Makes the zero bucket at least so wide, and wider if it would cut through a bucket that holds something; what lies
    /// within moves there.
    pub(super) fn widen_zero(&mut self, at_least: f64) {
        let schema = self.schema;
        let lower = |index: i32| bounds::exponential(index.saturating_sub(1), schema);
        let mut threshold = at_least;
        while let Some(cut) = [&self.positive, &self.negative].into_iter().find_map(|side| {
            let begins_within = side.iter().take_while(|(index, _)| lower(*index) < threshold);
            let ends = begins_within.filter(|(_, count)| !count.is_zero());
            ends.map(|(index, _)| bounds::exponential(*index, schema)).find(|upper| *upper > threshold)
        }) {
            threshold = cut;
        }
        for side in [&mut self.positive, &mut self.negative] {
            let within = side.partition_point(|(index, _)| lower(*index) < threshold);
            side.drain(..within).for_each(|(_, count)| self.zero_count.absorb(count));
        }
        self.zero_threshold = threshold;
    }

    /// The zero bucket's width and count.
    pub(super) fn zero(&self) -> (f64, f64) {
        (self.zero_threshold, self.zero_count.value())
    }

    /// The buckets of both sides.
    pub(super) fn sides(&self) -> [&[(i32, N)]; 2] {
        [&self.positive, &self.negative]
    }
}

fn side<'h, N: Amount + 'h>(spans: &[Span], counts: &'h [f64]) -> impl Iterator<Item = (i32, N)> + 'h {
    indexed(spans, counts).map(|(index, count)| (index, N::of(count)))
}

fn signed<N: Amount>(amount: N, sign: Sign) -> N {
    if sign == Sign::Minus { amount.negated() } else { amount }
}

/// Adds buckets to those of the same index; others find their place.
fn merge<N: Amount>(ours: &mut Side<N>, theirs: impl Iterator<Item = (i32, N)>, sign: Sign) {
    let mut place = 0;
    let known = ours.len();
    for (index, count) in theirs {
        while place < known && ours[place].0 < index {
            place += 1;
        }
        match ours.get_mut(place).filter(|_| place < known) {
            Some((own, amount)) if *own == index => amount.absorb(signed(count, sign)),
            _ => ours.push((index, signed(count, sign))),
        }
    }
    if ours.len() > known {
        // Two ascending runs, which this joins in one pass.
        ours.sort_by_key(|(index, _)| *index);
    }
}

/// Joins the buckets that are one in a coarser schema.
fn reduce<N: Amount>(side: &mut Side<N>, from: i32, to: i32) {
    for (index, _) in side.iter_mut() {
        *index = (index.saturating_sub(1) >> (from - to)) + 1;
    }
    join_same(side);
}

fn join_same<N: Amount>(side: &mut Side<N>) {
    side.dedup_by(|after, before| {
        let same = after.0 == before.0;
        if same {
            before.1.absorb(after.1);
        }
        same
    });
}

/// Moves custom buckets to the next bound that is left.
fn rebound<N: Amount>(side: &mut Side<N>, own: &[f64], shared: &[f64]) {
    let last = shared.len();
    for (index, _) in side.iter_mut() {
        let upper = bounds::upper(*index, SCHEMA_CUSTOM, own);
        let place = shared.partition_point(|bound| *bound < upper).min(last);
        *index = i32::try_from(place).unwrap_or(i32::MAX);
    }
    join_same(side);
}

/// Bounds that are in both; both ascend.
pub(super) fn shared_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let (mut at, mut shared) = (0, Vec::new());
    for bound in a {
        while b.get(at).is_some_and(|other| other < bound) {
            at += 1;
        }
        if b.get(at) == Some(bound) {
            shared.push(*bound);
        }
    }
    shared
}

/// Counts of custom buckets by the bounds that are left, for comparison.
pub(super) fn on_bounds(histogram: &Histogram, shared: &[f64]) -> Vec<(i32, f64)> {
    let mut buckets: Side<f64> = side(&histogram.positive_spans, &histogram.positive_buckets).collect();
    rebound(&mut buckets, &histogram.custom_bounds, shared);
    buckets
}
