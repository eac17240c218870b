//! The values of an evaluation: what a query answers, and the columns it is computed on (one value a step and series).
//! Native histograms will join `Column` beside floats; nothing else names the type of a value.

use std::collections::HashMap;

use crate::promql::QueryError;
use crate::series::{Labels, METRIC_NAME, STALE_NAN_BITS, Sample, SeriesSamples};

/// What a query answers.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryData {
    /// A number.
    Scalar(Sample),
    /// A text, at the time of evaluation.
    Text {
        /// Milliseconds since the epoch.
        timestamp_ms: i64,
        /// The text.
        text: String,
    },
    /// One sample a series.
    Vector(Vec<InstantSample>),
    /// Samples of series over time, sorted by labels.
    Matrix(Vec<SeriesSamples>),
}

/// A series with its sample at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct InstantSample {
    /// Which series.
    pub labels: Labels,
    /// Its sample.
    pub sample: Sample,
}

/// The answer to a query, with what is to be said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryOutput {
    /// The answer.
    pub data: QueryData,
    /// What is wrong with the query or its data, though it could be answered.
    pub warnings: Vec<String>,
    /// What is odd about them.
    pub infos: Vec<String>,
}

/// The times at which an expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    pub start_ms: i64,
    pub step_ms: i64,
    pub count: usize,
}

impl Grid {
    pub fn instant(at_ms: i64) -> Self {
        Self { start_ms: at_ms, step_ms: 1, count: 1 }
    }

    /// Every `step_ms` from the start to the end; the end itself only if a step falls on it.
    pub fn range(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        let step_ms = step_ms.max(1);
        let count = end_ms.checked_sub(start_ms).filter(|length| *length >= 0).map_or(0, |length| length / step_ms + 1);
        Self { start_ms, step_ms, count: usize::try_from(count).unwrap_or(0) }
    }

    pub fn at(&self, step: usize) -> i64 {
        let offset = i64::try_from(step).unwrap_or(i64::MAX).saturating_mul(self.step_ms);
        self.start_ms.saturating_add(offset)
    }

    pub fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |step| self.at(step))
    }
}

/// A value for each step of a grid, or none. Absence is the bit pattern of the stale marker: stored markers are taken out
/// on selection and no arithmetic makes one, so it is free to mean "no sample here".
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column(Vec<f64>);

const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

fn is_absent(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

impl Column {
    pub fn absent(steps: usize) -> Self {
        Self(vec![ABSENT; steps])
    }

    /// A value at every step.
    pub fn full(values: Vec<f64>) -> Self {
        Self(values)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, step: usize) -> Option<f64> {
        self.0.get(step).copied().filter(|value| !is_absent(*value))
    }

    pub fn has(&self, step: usize) -> bool {
        self.get(step).is_some()
    }

    pub fn set(&mut self, step: usize, value: f64) {
        self.0[step] = value;
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|value| is_absent(*value))
    }

    /// Present values with their steps.
    pub fn present(&self) -> impl Iterator<Item = (usize, f64)> {
        self.0.iter().copied().enumerate().filter(|(_, value)| !is_absent(*value))
    }

    /// Applies a function to each present value.
    pub fn map(&mut self, apply: impl Fn(f64) -> f64) {
        for value in self.0.iter_mut().filter(|value| !is_absent(**value)) {
            *value = apply(*value);
        }
    }

    /// Applies a function to each present value; where it gives none, the value goes.
    pub fn filter_map(&mut self, apply: impl Fn(usize, f64) -> Option<f64>) {
        for (step, value) in self.0.iter_mut().enumerate().filter(|(_, value)| !is_absent(**value)) {
            *value = apply(step, *value).unwrap_or(ABSENT);
        }
    }

    /// The value of the first step at all of `steps` steps.
    fn spread(&self, steps: usize) -> Self {
        Self(vec![self.0.first().copied().unwrap_or(ABSENT); steps])
    }
}

/// A series of an intermediate result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub labels: Labels,
    /// The name is still there for label functions to see, and goes at the end.
    pub drop_name: bool,
    pub column: Column,
}

/// An intermediate result.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Scalar(Vec<f64>),
    Vector(Vec<Series>),
    Text(String),
}

impl Value {
    /// How many values it holds.
    pub fn cells(&self) -> usize {
        match self {
            Self::Scalar(values) => values.len(),
            Self::Vector(series) => series.iter().map(|one| one.column.len()).sum(),
            Self::Text(_) => 0,
        }
    }

    /// The value of the one step it was evaluated at, for all of `steps` steps.
    pub fn spread(self, steps: usize) -> Self {
        match self {
            Self::Scalar(values) => Self::Scalar(vec![values.first().copied().unwrap_or(f64::NAN); steps]),
            Self::Vector(series) => {
                Self::Vector(series.into_iter().map(|one| Series { column: one.column.spread(steps), ..one }).collect())
            }
            Self::Text(text) => Self::Text(text),
        }
    }
}

/// Joins series that have the same labels; they may not have samples at the same step.
pub(super) fn join_same(series: Vec<Series>) -> Result<Vec<Series>, QueryError> {
    if series.len() < 2 {
        return Ok(series);
    }
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(series.len());
    let mut joined: Vec<Series> = Vec::with_capacity(series.len());
    for one in series {
        match places.get(&one.labels) {
            None => {
                places.insert(one.labels.clone(), joined.len());
                joined.push(one);
            }
            Some(place) => overlay(&mut joined[*place], &one)?,
        }
    }
    Ok(joined)
}

fn overlay(onto: &mut Series, other: &Series) -> Result<(), QueryError> {
    onto.drop_name |= other.drop_name;
    for (step, value) in other.column.present() {
        if onto.column.has(step) {
            return Err(QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned()));
        }
        onto.column.set(step, value);
    }
    Ok(())
}

/// Labels without the metric's name.
pub(super) fn nameless(labels: &Labels) -> Labels {
    if labels.get(METRIC_NAME).is_none() {
        return labels.clone();
    }
    filtered(labels, |name| name != METRIC_NAME)
}

/// Only the labels that `keep` accepts.
pub(super) fn filtered(labels: &Labels, keep: impl Fn(&str) -> bool) -> Labels {
    Labels::new(labels.pairs().iter().filter(|(name, _)| keep(name)).cloned())
}

/// Labels with one set to another value; an empty value takes it away.
pub(super) fn with_label(labels: &Labels, name: &str, value: &str) -> Labels {
    let others = labels.pairs().iter().filter(|(known, _)| **known != *name).cloned();
    Labels::new(others.chain(std::iter::once((name.into(), value.into()))))
}
