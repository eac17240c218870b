//! Selectors: fetches each one's samples once for all steps, then slides over them.

use promql_parser::parser::{Expr, MatrixSelector, SubqueryExpr, VectorSelector};

use super::evaluator::Evaluator;
use super::parse::{at_ms, matchers, millis, offset_ms};
use super::value::{Column, Grid, Series, Value};
use crate::promql::QueryError;
use crate::series::{Labels, Point, Sample, SeriesSamples, is_stale};

/// The step of a subquery that names none: Prometheus' default `evaluation_interval`.
const SUBQUERY_STEP_MS: i64 = 60_000;

/// What a range function works on: series with all samples that any step needs, and which of them each step sees.
pub(super) struct Ranges {
    pub series: Vec<RangeSeries>,
    pub window: WindowShape,
}

/// A series with its samples in order of time, without stale markers.
pub(super) struct RangeSeries {
    pub labels: Labels,
    pub drop_name: bool,
    pub samples: Vec<Sample>,
}

/// How far a window reaches back, and from where.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowShape {
    pub range_ms: i64,
    moved: Moved,
}

/// The effect of `offset` and `@` on the time of evaluation.
#[derive(Debug, Clone, Copy)]
struct Moved {
    offset_ms: i64,
    fixed_ms: Option<i64>,
}

impl Moved {
    fn time(&self, at_ms: i64) -> i64 {
        self.fixed_ms.unwrap_or(at_ms).saturating_sub(self.offset_ms)
    }
}

impl WindowShape {
    /// Start (exclusive) and end (inclusive) of a step's window.
    pub fn bounds(&self, grid: Grid, step: usize) -> (i64, i64) {
        let end = self.moved.time(grid.at(step));
        (end.saturating_sub(self.range_ms), end)
    }

    /// Start (exclusive) and end (inclusive) of all windows together.
    fn hull(&self, grid: Grid) -> (i64, i64) {
        (self.bounds(grid, 0).0, self.bounds(grid, grid.count.saturating_sub(1)).1)
    }
}

/// The samples of a window as indexes; moves forward only.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slide {
    pub low: usize,
    pub high: usize,
}

impl Slide {
    /// Moves to the samples after `start_ms` and up to `end_ms`.
    pub fn advance(&mut self, samples: &[Sample], (start_ms, end_ms): (i64, i64)) {
        while samples.get(self.high).is_some_and(|sample| sample.timestamp_ms <= end_ms) {
            self.high += 1;
        }
        while self.low < self.high && samples[self.low].timestamp_ms <= start_ms {
            self.low += 1;
        }
    }
}

/// What an instant selector gives for a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Value,
    /// Seconds since the epoch of the sample itself.
    Timestamp,
}

impl Reading {
    fn of(self, sample: Sample) -> f64 {
        match self {
            Self::Value => sample.value,
            Self::Timestamp => seconds(sample.timestamp_ms),
        }
    }
}

impl Evaluator<'_> {
    pub(super) fn vector_selector(
        &mut self,
        selector: &VectorSelector,
        grid: Grid,
        reading: Reading,
    ) -> Result<Value, QueryError> {
        let window = WindowShape { range_ms: millis(self.options.lookback), moved: self.moved(selector) };
        if grid.count == 1 {
            return self.newest(selector, window.bounds(grid, 0), reading);
        }
        let selected = self.fetch(selector, window.hull(grid))?;
        let mut series = Vec::with_capacity(selected.len());
        for one in selected {
            self.stop.check()?;
            let column = latest(&one.samples, window, grid, reading);
            if !column.is_empty() {
                self.charge(column.len())?;
                series.push(Series { labels: one.labels, drop_name: false, column });
            }
        }
        Ok(Value::Vector(series))
    }

    /// At one step only the newest sample of each series matters, which a store may find without reading the others.
    fn newest(
        &mut self,
        selector: &VectorSelector,
        (after_ms, until_ms): (i64, i64),
        reading: Reading,
    ) -> Result<Value, QueryError> {
        let matchers = matchers(selector.name.as_deref(), &selector.matchers)?;
        let found = self.source.latest(&matchers, after_ms.saturating_add(1), until_ms, &self.budget);
        let found = found.map_err(|error| self.budget.why(&error))?;
        let series = found.into_iter().filter_map(|(labels, point)| match point {
            Point::Float(sample) if !is_stale(sample.value) => {
                Some(Series { labels, drop_name: false, column: Column::full(vec![reading.of(sample)]) })
            }
            _ => None,
        });
        Ok(Value::Vector(series.collect()))
    }

    /// The argument of a range function: a range selector or a subquery, in parentheses or not.
    pub(super) fn range_argument(&mut self, expr: &Expr, grid: Grid) -> Result<Ranges, QueryError> {
        match super::parse::bare(expr) {
            Expr::MatrixSelector(selector) => self.matrix_selector(selector, grid),
            Expr::Subquery(subquery) => self.subquery(subquery, grid),
            _ => Err(QueryError::Execution("expected a range vector".to_owned())),
        }
    }

    fn matrix_selector(&mut self, selector: &MatrixSelector, grid: Grid) -> Result<Ranges, QueryError> {
        let window = WindowShape { range_ms: millis(selector.range), moved: self.moved(&selector.vs) };
        let mut series = Vec::new();
        for one in self.fetch(&selector.vs, window.hull(grid))? {
            let mut samples = one.samples;
            samples.retain(|sample| !is_stale(sample.value));
            if !samples.is_empty() {
                series.push(RangeSeries { labels: one.labels, drop_name: false, samples });
            }
        }
        Ok(Ranges { series, window })
    }

    /// Evaluates the inner expression once, at all steps that any window needs; steps are multiples of the step's length.
    fn subquery(&mut self, subquery: &SubqueryExpr, grid: Grid) -> Result<Ranges, QueryError> {
        let (start_ms, end_ms) = (self.scope.start_ms, self.scope.end_ms);
        let moved = Moved {
            offset_ms: offset_ms(subquery.offset.as_ref()),
            fixed_ms: at_ms(subquery.at.as_ref(), start_ms, end_ms),
        };
        let window = WindowShape { range_ms: millis(subquery.range), moved };
        let step_ms = subquery.step.map_or(SUBQUERY_STEP_MS, millis).max(1);
        let (after_ms, until_ms) = window.hull(grid);
        let first = after_ms.div_euclid(step_ms).saturating_add(1).saturating_mul(step_ms);
        let inner = Grid::range(first, until_ms, step_ms);
        let Value::Vector(evaluated) = self.eval(&subquery.expr, inner)? else {
            return Err(QueryError::Execution("a subquery needs an instant vector".to_owned()));
        };
        let series = evaluated.into_iter().map(|one| RangeSeries {
            labels: one.labels,
            drop_name: one.drop_name,
            samples: one.column.present().map(|(step, value)| Sample { timestamp_ms: inner.at(step), value }).collect(),
        });
        Ok(Ranges { series: series.filter(|one| !one.samples.is_empty()).collect(), window })
    }

    fn moved(&self, selector: &VectorSelector) -> Moved {
        let (start_ms, end_ms) = (self.scope.start_ms, self.scope.end_ms);
        Moved {
            offset_ms: offset_ms(selector.offset.as_ref()),
            fixed_ms: at_ms(selector.at.as_ref(), start_ms, end_ms),
        }
    }

    fn fetch(
        &mut self,
        selector: &VectorSelector,
        (after_ms, until_ms): (i64, i64),
    ) -> Result<Vec<SeriesSamples>, QueryError> {
        let matchers = matchers(selector.name.as_deref(), &selector.matchers)?;
        let selected = self.source.select(&matchers, after_ms.saturating_add(1), until_ms, &self.budget);
        selected.map_err(|error| self.budget.why(&error))
    }
}

/// The latest sample of each step's window; a stale marker means none.
fn latest(samples: &[Sample], window: WindowShape, grid: Grid, reading: Reading) -> Column {
    let mut column = Column::absent(grid.count);
    let mut slide = Slide::default();
    for step in 0..grid.count {
        slide.advance(samples, window.bounds(grid, step));
        let Some(sample) = samples[slide.low..slide.high].last().filter(|sample| !is_stale(sample.value)) else {
            continue;
        };
        column.set(step, reading.of(*sample));
    }
    column
}

/// Seconds of a time in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "times that matter are far below 2^53 ms")]
pub(super) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}
