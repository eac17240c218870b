//! Selectors: fetches each one's samples once for all steps, then slides over them.

use std::sync::Arc;

use promql_parser::parser::{Expr, MatrixSelector, SubqueryExpr, VectorSelector};

use super::budget::Budget;
use super::evaluator::Evaluator;
use super::parallel;
use super::parse::{at_ms, matchers, millis, offset_ms};
use super::value::{Cell, Column, Grid, Series, Value};
use crate::promql::QueryError;
use crate::series::{
    CounterReset, Histogram, HistogramSample, Labels, Point, Sample, Scratch, Selection, Timed, is_stale,
};

/// The step of a subquery that names none: Prometheus' default `evaluation_interval`.
const SUBQUERY_STEP_MS: i64 = 60_000;

/// What a range function works on: series with all samples that any step needs, and which of them each step sees.
pub(super) struct Ranges<'a> {
    source: Source<'a>,
    pub window: WindowShape,
}

/// Where the series of a range come from.
enum Source<'a> {
    /// A selector: they are read one after the other.
    Stored(Box<dyn Selection + 'a>),
    /// A subquery.
    Evaluated(Vec<RangeSeries>),
}

impl Ranges<'_> {
    /// What `work` makes of each series that has samples, in order. A series is held no longer than the work on it.
    pub fn map<T: Send>(
        &self,
        budget: &Budget<'_>,
        work: impl Fn(&RangeSeries) -> Result<Option<T>, QueryError> + Sync,
    ) -> Result<Vec<T>, QueryError> {
        let made = match &self.source {
            Source::Stored(selection) => each_stored(&**selection, budget, |series| {
                series.samples.retain(|sample| !is_stale(sample.value));
                series.histograms.retain(|sample| !sample.histogram.is_stale());
                if series.is_empty() { Ok(None) } else { work(series) }
            }),
            Source::Evaluated(series) => parallel::map(series.len(), || (), |(), index| work(&series[index])),
        };
        Ok(made?.into_iter().flatten().collect())
    }
}

/// What `work` makes of each series of a selection, in order.
fn each_stored<T: Send>(
    selection: &dyn Selection,
    budget: &Budget<'_>,
    work: impl Fn(&mut RangeSeries) -> Result<T, QueryError> + Sync,
) -> Result<Vec<T>, QueryError> {
    parallel::map(selection.len(), Scratch::default, |scratch, index| {
        selection.read(index, scratch, budget).map_err(|error| budget.why(&error))?;
        let weight = scratch.weight();
        let mut series = RangeSeries {
            labels: selection.labels(index).clone(),
            drop_name: false,
            samples: std::mem::take(&mut scratch.samples),
            histograms: std::mem::take(&mut scratch.histograms),
        };
        let made = work(&mut series);
        // The next series is read into the same memory.
        *scratch = Scratch { samples: series.samples, histograms: series.histograms };
        budget.give_back(weight);
        made
    })
}

/// A series with its samples in order of time, without stale markers.
pub(super) struct RangeSeries {
    pub labels: Labels,
    pub drop_name: bool,
    pub samples: Vec<Sample>,
    pub histograms: Vec<HistogramSample>,
}

impl RangeSeries {
    fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.histograms.is_empty()
    }
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
    pub fn advance<S: Timed>(&mut self, samples: &[S], (start_ms, end_ms): (i64, i64)) {
        while samples.get(self.high).is_some_and(|sample| sample.timestamp_ms() <= end_ms) {
            self.high += 1;
        }
        while self.low < self.high && samples[self.low].timestamp_ms() <= start_ms {
            self.low += 1;
        }
    }

    /// The samples of the window.
    pub fn of<S>(self, samples: &[S]) -> &[S] {
        &samples[self.low..self.high]
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

    fn of_histogram(self, sample: &HistogramSample) -> Cell {
        match self {
            Self::Value => Cell::Histogram(Arc::clone(&sample.histogram)),
            Self::Timestamp => Cell::Float(seconds(sample.timestamp_ms)),
        }
    }
}

impl<'a> Evaluator<'a> {
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
        let selection = self.find(selector, window.hull(grid))?;
        let series = each_stored(&*selection, &self.budget, |one| {
            let column = if one.histograms.is_empty() {
                latest(&one.samples, window, grid, reading)
            } else {
                latest_of_both(one, window, grid, reading)
            };
            if column.is_empty() {
                return Ok(None);
            }
            self.budget.charge(column.cells())?;
            Ok(Some(Series { labels: one.labels.clone(), drop_name: false, column }))
        })?;
        Ok(Value::Vector(series.into_iter().flatten().collect()))
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
        let present = found.into_iter().filter(|(_, point)| !point.is_stale());
        let series = present.map(|(labels, point)| {
            let cell = match point {
                Point::Float(sample) => Cell::Float(reading.of(sample)),
                Point::Histogram(sample) => reading.of_histogram(&sample),
            };
            Series { labels, drop_name: false, column: Column::single(cell) }
        });
        Ok(Value::Vector(series.collect()))
    }

    /// The argument of a range function: a range selector or a subquery, in parentheses or not.
    pub(super) fn range_argument(&mut self, expr: &Expr, grid: Grid) -> Result<Ranges<'a>, QueryError> {
        match super::parse::bare(expr) {
            Expr::MatrixSelector(selector) => self.matrix_selector(selector, grid),
            Expr::Subquery(subquery) => self.subquery(subquery, grid),
            _ => Err(QueryError::Execution("expected a range vector".to_owned())),
        }
    }

    fn matrix_selector(&mut self, selector: &MatrixSelector, grid: Grid) -> Result<Ranges<'a>, QueryError> {
        let window = WindowShape { range_ms: millis(selector.range), moved: self.moved(&selector.vs) };
        Ok(Ranges { source: Source::Stored(self.find(&selector.vs, window.hull(grid))?), window })
    }

    /// Evaluates the inner expression once, at all steps that any window needs; steps are multiples of the step's length.
    fn subquery(&mut self, subquery: &SubqueryExpr, grid: Grid) -> Result<Ranges<'a>, QueryError> {
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
        let series = evaluated.into_iter().filter(|one| !one.column.is_empty()).map(|mut one| {
            let histograms = one.column.take_histograms().into_iter();
            let at = |step: usize| inner.at(step);
            RangeSeries {
                histograms: histograms
                    .map(|(step, histogram)| HistogramSample { timestamp_ms: at(step), histogram: unsure(histogram) })
                    .collect(),
                samples: one.column.floats().map(|(step, value)| Sample { timestamp_ms: at(step), value }).collect(),
                labels: one.labels,
                drop_name: one.drop_name,
            }
        });
        Ok(Ranges { source: Source::Evaluated(series.collect()), window })
    }

    fn moved(&self, selector: &VectorSelector) -> Moved {
        let (start_ms, end_ms) = (self.scope.start_ms, self.scope.end_ms);
        Moved {
            offset_ms: offset_ms(selector.offset.as_ref()),
            fixed_ms: at_ms(selector.at.as_ref(), start_ms, end_ms),
        }
    }

    fn find(
        &self,
        selector: &VectorSelector,
        (after_ms, until_ms): (i64, i64),
    ) -> Result<Box<dyn Selection + 'a>, QueryError> {
        let matchers = matchers(selector.name.as_deref(), &selector.matchers)?;
        let found = self.source.find(&matchers, after_ms.saturating_add(1), until_ms, &self.budget);
        found.map_err(|error| self.budget.why(&error))
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

/// The same of a series that has histograms: what is latest of either kind.
fn latest_of_both(series: &RangeSeries, window: WindowShape, grid: Grid, reading: Reading) -> Column {
    let mut column = Column::absent(grid.count);
    let (mut floats, mut histograms) = (Slide::default(), Slide::default());
    for step in 0..grid.count {
        let bounds = window.bounds(grid, step);
        floats.advance(&series.samples, bounds);
        histograms.advance(&series.histograms, bounds);
        let float = floats.of(&series.samples).last();
        let histogram = histograms.of(&series.histograms).last();
        let cell = match (float, histogram) {
            (Some(float), Some(histogram)) if float.timestamp_ms > histogram.timestamp_ms => from_float(float, reading),
            (Some(float), None) => from_float(float, reading),
            (_, Some(sample)) if !sample.histogram.is_stale() => Some(reading.of_histogram(sample)),
            _ => None,
        };
        if let Some(cell) = cell {
            column.put(step, cell);
        }
    }
    column
}

fn from_float(sample: &Sample, reading: Reading) -> Option<Cell> {
    (!is_stale(sample.value)).then(|| Cell::Float(reading.of(*sample)))
}

/// A subquery may leave samples out, or repeat them: what a histogram says of resets since the one before does not hold.
fn unsure(histogram: Arc<Histogram>) -> Arc<Histogram> {
    match histogram.reset {
        CounterReset::Unknown | CounterReset::Gauge => histogram,
        CounterReset::Reset | CounterReset::NotReset => {
            Arc::new(Histogram { reset: CounterReset::Unknown, ..Histogram::clone(&histogram) })
        }
    }
}

/// Seconds of a time in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "times that matter are far below 2^53 ms")]
pub(super) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}
