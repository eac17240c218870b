//! Aggregations that make one value of a group's values at each step.

use crate::promql::numbers::{Mean, Sum, count, quantile};
use crate::promql::value::Column;

/// What is made of the values.
pub(super) enum Fold {
    Sum,
    Average,
    Count,
    Min,
    Max,
    Group,
    Deviation,
    Variance,
    /// With φ for each step.
    Quantile(Vec<f64>),
}

impl Fold {
    /// As it is called in a query.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Average => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Deviation => "stddev",
            Self::Variance => "stdvar",
            Self::Quantile(_) => "quantile",
        }
    }

    /// Of the numbers; histograms are passed over.
    pub fn apply<'a>(&self, columns: impl Iterator<Item = &'a Column>, steps: usize) -> Column {
        match self {
            Self::Sum => folded(columns, steps, Sum::new, Sum::add, Sum::total),
            Self::Average => folded(columns, steps, Mean::of, Mean::add, Mean::mean),
            Self::Count => folded(columns, steps, |_| 1usize, |seen, _| *seen += 1, count),
            Self::Group => folded(columns, steps, |_| (), |(), _| (), |()| 1.0),
            Self::Min => folded(columns, steps, |value| value, min, |least| least),
            Self::Max => folded(columns, steps, |value| value, max, |most| most),
            Self::Deviation => folded(columns, steps, Spread::of, Spread::add, |spread| spread.variance().sqrt()),
            Self::Variance => folded(columns, steps, Spread::of, Spread::add, Spread::variance),
            Self::Quantile(phis) => {
                let values = gathered(columns, steps);
                let mut column = Column::absent(steps);
                for (step, mut values) in values.into_iter().enumerate().filter(|(_, values)| !values.is_empty()) {
                    column.set(step, quantile(phis[step], &mut values));
                }
                column
            }
        }
    }
}

impl Mean {
    fn of(value: f64) -> Self {
        let mut mean = Self::default();
        mean.add(value);
        mean
    }
}

/// Running variance (Welford).
#[derive(Clone, Copy)]
struct Spread {
    seen: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn of(value: f64) -> Self {
        Self { seen: 1.0, mean: value, squares: if value.is_finite() { 0.0 } else { f64::NAN } }
    }

    fn add(&mut self, value: f64) {
        self.seen += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.seen;
        self.squares += delta * (value - self.mean);
    }

    fn variance(self) -> f64 {
        self.squares / self.seen
    }
}

fn min(least: &mut f64, value: f64) {
    if value < *least || least.is_nan() {
        *least = value;
    }
}

fn max(most: &mut f64, value: f64) {
    if value > *most || most.is_nan() {
        *most = value;
    }
}

fn folded<'a, S: Clone>(
    columns: impl Iterator<Item = &'a Column>,
    steps: usize,
    start: impl Fn(f64) -> S,
    add: impl Fn(&mut S, f64),
    finish: impl Fn(S) -> f64,
) -> Column {
    let mut states: Vec<Option<S>> = vec![None; steps];
    for column in columns {
        for (step, value) in column.floats() {
            match &mut states[step] {
                Some(state) => add(state, value),
                empty => *empty = Some(start(value)),
            }
        }
    }
    let mut result = Column::absent(steps);
    for (step, state) in states.into_iter().enumerate() {
        if let Some(state) = state {
            result.set(step, finish(state));
        }
    }
    result
}

fn gathered<'a>(columns: impl Iterator<Item = &'a Column>, steps: usize) -> Vec<Vec<f64>> {
    let mut values = vec![Vec::new(); steps];
    for column in columns {
        column.floats().for_each(|(step, value)| values[step].push(value));
    }
    values
}
