//! The values of an evaluation: what a query answers, the times it is asked for, and the series it is computed on. What a
//! series has at each step is in `column`.

mod column;

use std::collections::HashMap;

pub(super) use self::column::{Cell, Column};
use crate::promql::QueryError;
use crate::series::{Labels, METRIC_NAME, Point, Sample, SeriesSamples};

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
    /// Its sample, of either kind.
    pub point: Point,
}

impl InstantSample {
    /// The value, if it is a number.
    pub fn float(&self) -> Option<f64> {
        match &self.point {
            Point::Float(sample) => Some(sample.value),
            Point::Histogram(_) => None,
        }
    }
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
            Self::Vector(series) => series.iter().map(|one| one.column.cells()).sum(),
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
    if onto.column.overlay(&other.column) {
        Ok(())
    } else {
        Err(QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned()))
    }
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
