//! Functions over range vectors: each is evaluated for all series and steps, its window sliding forward over the samples.
//! Start at `Evaluator::range_call`.

mod extrapolate;
mod histograms;
mod over_time;
mod sliding;
mod trend;

use promql_parser::parser::{Call, Expr};
use protocol::number::{self, Exponent};

use super::evaluator::Evaluator;
use super::notes::Remarks;
use super::select::{RangeSeries, Ranges, Slide, WindowShape};
use super::stop::Stop;
use super::value::{Cell, Column, Grid, Series, Value};
use crate::promql::QueryError;
use crate::series::{HistogramSample, Labels, METRIC_NAME, Sample};

use extrapolate::{Delta, Marks};
pub(super) use histograms::Resets;
use histograms::{Both, Kind};
use over_time::OverTime;
use sliding::{Average, Least, Merge, Most, Sliding, Total};

/// What a function sees at one step.
pub(super) struct Window<'a> {
    /// All samples of the series.
    all: &'a [Sample],
    slide: Slide,
    /// Exclusive.
    start_ms: i64,
    end_ms: i64,
    /// The time of evaluation, whatever `@` and `offset` made of the window.
    at_ms: i64,
    step: usize,
    range_ms: i64,
}

impl Window<'_> {
    fn samples(&self) -> &[Sample] {
        self.slide.of(self.all)
    }
}

/// What is evaluated, and how, whatever the series.
struct Shape<'a> {
    node: &'a Expr,
    grid: Grid,
    kind: Kind,
    keeps_name: bool,
}

impl<'a> Shape<'a> {
    /// A function that passes over histograms.
    fn of_numbers(node: &'a Expr, grid: Grid) -> Self {
        Self { node, grid, kind: Kind::Ignores, keeps_name: false }
    }
}

/// Suffixes of the names of counters; `rate` of anything else is worth a note.
const COUNTER_SUFFIXES: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];

impl Evaluator<'_> {
    /// A function with a range vector among its arguments; nothing if it is no such function.
    pub(super) fn range_call(&mut self, node: &Expr, call: &Call, grid: Grid) -> Result<Option<Value>, QueryError> {
        let arguments = &call.args.args;
        if call.func.name == "absent_over_time" {
            return self.absent_over_time(&arguments[0], grid).map(Some);
        }
        let place = usize::from(call.func.name == "quantile_over_time");
        if let Some((apply, kind)) = over_time::by_name(call.func.name) {
            let ranges = self.range_argument(&arguments[0], grid)?;
            let shape = Shape { node, grid, kind, keeps_name: matches!(kind, Kind::Last | Kind::First) };
            if sliding::pays(ranges.window.range_ms, grid.step_ms, grid.count) {
                match call.func.name {
                    "sum_over_time" => return self.slide_merging::<Total>(&ranges, &shape, apply).map(Some),
                    "avg_over_time" => return self.slide_merging::<Average>(&ranges, &shape, apply).map(Some),
                    "min_over_time" => return self.slide_merging::<Least>(&ranges, &shape, apply).map(Some),
                    "max_over_time" => return self.slide_merging::<Most>(&ranges, &shape, apply).map(Some),
                    _ => {}
                }
            }
            return self.slide_over(&ranges, &shape, |_| (), |window, _| apply(window.samples())).map(Some);
        }
        let delta = match call.func.name {
            "rate" => Delta { counter: true, per_second: true },
            "increase" => Delta { counter: true, per_second: false },
            "delta" => Delta { counter: false, per_second: false },
            name @ ("resets" | "changes") => {
                let ranges = self.range_argument(&arguments[0], grid)?;
                let (marks, kind) = if name == "resets" {
                    (Marks::drops as fn(&[Sample]) -> Marks, Kind::Resets)
                } else {
                    (Marks::changes as fn(&[Sample]) -> Marks, Kind::Changes)
                };
                let shape = Shape { node, grid, kind, keeps_name: false };
                return self
                    .slide_over(&ranges, &shape, marks, |window, marks| extrapolate::marked(window, marks))
                    .map(Some);
            }
            "predict_linear" => return self.predict_linear(node, arguments, grid).map(Some),
            "quantile_over_time" => return self.quantile_over_time(node, arguments, place, grid).map(Some),
            "double_exponential_smoothing" => return self.smoothing(node, arguments, grid).map(Some),
            _ => return Ok(None),
        };
        let ranges = self.range_argument(&arguments[0], grid)?;
        let shape = Shape { node, grid, kind: Kind::Delta(delta), keeps_name: false };
        let marks = |samples: &[Sample]| if delta.counter { Marks::drops(samples) } else { Marks::default() };
        self.slide_over(&ranges, &shape, marks, |window, marks| delta.apply(window, marks)).map(Some)
    }

    /// Applies a function to windows that overlap much, without reading each of them whole.
    fn slide_merging<M: Merge>(
        &mut self,
        ranges: &Ranges<'_>,
        shape: &Shape<'_>,
        plain: OverTime,
    ) -> Result<Value, QueryError> {
        let apply = |window: &Window<'_>, sliding: &mut Sliding<M>| sliding.apply(window, plain);
        self.slide_over(ranges, shape, |_| Sliding::default(), apply)
    }

    /// Applies a function to each window of each series; `prepare` looks at the numbers of the whole series once.
    fn slide_over<P>(
        &mut self,
        ranges: &Ranges<'_>,
        shape: &Shape<'_>,
        prepare: impl Fn(&[Sample]) -> P + Sync,
        apply: impl Fn(&Window<'_>, &mut P) -> Option<f64> + Sync,
    ) -> Result<Value, QueryError> {
        let (window, stop, budget) = (ranges.window, self.stop, &self.budget);
        let made = ranges.map(budget, |one| {
            let mut prepared = prepare(&one.samples);
            let apply = |window: &Window<'_>| apply(window, &mut prepared);
            let (column, remarks) = if one.histograms.is_empty() {
                (slide(one, window, shape.grid, stop, apply)?, Remarks::default())
            } else {
                slide_over_both(one, window, shape, stop, apply)?
            };
            if column.is_empty() && remarks.is_empty() {
                return Ok(None);
            }
            budget.charge(column.cells())?;
            Ok(Some((Series { labels: one.labels.clone(), drop_name: one.drop_name, column }, remarks)))
        })?;
        let mut found = Vec::with_capacity(made.len());
        for (one, remarks) in made {
            if !remarks.is_empty() {
                let place = self.places.argument(shape.node, 0);
                self.notes.remark(&remarks, one.labels.get(METRIC_NAME).unwrap_or_default(), &place);
            }
            if !one.column.is_empty() {
                self.note_gauge(shape, &one);
                found.push(one);
            }
        }
        if shape.keeps_name { Ok(Value::Vector(found)) } else { self.nameless(found) }
    }

    /// Notes that a rate of numbers may be that of a gauge.
    fn note_gauge(&mut self, shape: &Shape<'_>, series: &Series) {
        if !matches!(shape.kind, Kind::Delta(Delta { counter: true, .. })) || series.column.floats().next().is_none() {
            return;
        }
        let name = series.labels.get(METRIC_NAME).unwrap_or_default();
        if !name.is_empty() && !COUNTER_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
            let text = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket";
            let place = self.places.argument(shape.node, 0);
            self.notes.info(&format!("{text}: {name:?}"), &place);
        }
    }

    fn predict_linear(&mut self, node: &Expr, arguments: &[Box<Expr>], grid: Grid) -> Result<Value, QueryError> {
        let ahead = self.scalar(&arguments[1], grid)?;
        let ranges = self.range_argument(&arguments[0], grid)?;
        let apply =
            |window: &Window<'_>, (): &mut ()| trend::predict(window.samples(), window.at_ms, ahead[window.step]);
        self.slide_over(&ranges, &Shape::of_numbers(node, grid), |_| (), apply)
    }

    fn quantile_over_time(
        &mut self,
        node: &Expr,
        arguments: &[Box<Expr>],
        place: usize,
        grid: Grid,
    ) -> Result<Value, QueryError> {
        let phis = self.scalar(&arguments[0], grid)?;
        let ranges = self.range_argument(&arguments[place], grid)?;
        let apply = |window: &Window<'_>, (): &mut ()| over_time::quantile_of(window.samples(), phis[window.step]);
        let found = self.slide_over(&ranges, &Shape::of_numbers(node, grid), |_| (), apply)?;
        if matches!(&found, Value::Vector(series) if !series.is_empty()) {
            self.check_quantiles(node, 0, &phis);
        }
        Ok(found)
    }

    fn smoothing(&mut self, node: &Expr, arguments: &[Box<Expr>], grid: Grid) -> Result<Value, QueryError> {
        let factors = self.scalar(&arguments[1], grid)?;
        let trends = self.scalar(&arguments[2], grid)?;
        for (name, values) in [("smoothing", &factors), ("trend", &trends)] {
            if let Some(wrong) = values.iter().find(|value| !(**value > 0.0 && **value < 1.0)) {
                let text = format!("invalid {name} factor. Expected: 0 < {} < 1, got: {wrong:.6}", &name[..1]);
                return Err(QueryError::Execution(text));
            }
        }
        let ranges = self.range_argument(&arguments[0], grid)?;
        let apply = |window: &Window<'_>, (): &mut ()| {
            trend::smoothed(window.samples(), factors[window.step], trends[window.step])
        };
        self.slide_over(&ranges, &Shape::of_numbers(node, grid), |_| (), apply)
    }

    fn absent_over_time(&mut self, argument: &Expr, grid: Grid) -> Result<Value, QueryError> {
        let ranges = self.range_argument(argument, grid)?;
        let mut present = vec![false; grid.count];
        let columns = ranges.map(&self.budget, |one| {
            let column = if one.histograms.is_empty() {
                slide(one, ranges.window, grid, self.stop, |_| Some(1.0))?
            } else {
                slide_both(one, ranges.window, grid, self.stop, |_, _| Some(Cell::Float(1.0)))?
            };
            self.budget.charge(column.cells())?;
            Ok(Some(column))
        })?;
        columns.iter().flat_map(Column::steps).for_each(|step| present[step] = true);
        Ok(Value::Vector(absent_series(absent_labels(argument), &present)))
    }

    /// Notes φs outside of 0 to 1.
    pub(super) fn check_quantiles(&mut self, node: &Expr, argument: usize, phis: &[f64]) {
        let place = self.places.argument(node, argument);
        for phi in phis.iter().filter(|phi| !(**phi >= 0.0 && **phi <= 1.0)) {
            self.notes.warn(&format!("quantile value should be between 0 and 1, got {}", shown(*phi)), &place);
        }
    }
}

/// A number in a note.
pub(super) fn shown(value: f64) -> String {
    number::text(value, Exponent::General)
}

/// Samples that are looked at before the time is: about a millisecond's work.
const SAMPLES_BETWEEN_LOOKS: usize = 200_000;

fn slide(
    series: &RangeSeries,
    shape: WindowShape,
    grid: Grid,
    stop: &Stop,
    mut apply: impl FnMut(&Window<'_>) -> Option<f64>,
) -> Result<Column, QueryError> {
    let mut column = Column::absent(grid.count);
    let mut slide = Slide::default();
    let mut looked_at = 0;
    for (step, at_ms) in grid.times().enumerate() {
        let (start_ms, end_ms) = shape.bounds(grid, step);
        slide.advance(&series.samples, (start_ms, end_ms));
        looked_at += 1 + slide.high - slide.low;
        if looked_at >= SAMPLES_BETWEEN_LOOKS {
            looked_at = 0;
            stop.check()?;
        }
        if slide.low == slide.high {
            continue;
        }
        let window = Window { all: &series.samples, slide, start_ms, end_ms, at_ms, step, range_ms: shape.range_ms };
        if let Some(value) = apply(&window) {
            column.set(step, value);
        }
    }
    Ok(column)
}

/// The same for a series that has histograms, and what is to be said about it.
fn slide_over_both(
    series: &RangeSeries,
    window: WindowShape,
    shape: &Shape<'_>,
    stop: &Stop,
    mut apply: impl FnMut(&Window<'_>) -> Option<f64>,
) -> Result<(Column, Remarks), QueryError> {
    let mut remarks = Remarks::default();
    let column = slide_both(series, window, shape.grid, stop, |floats, histograms| {
        let both = Both {
            floats: floats.samples(),
            histograms,
            start_ms: floats.start_ms,
            end_ms: floats.end_ms,
            range_ms: floats.range_ms,
        };
        let mut own = Remarks::default();
        let cell = shape.kind.apply(&both, || apply(floats), &mut own);
        remarks.merge(&own);
        cell
    })?;
    Ok((column, remarks))
}

/// The same over both kinds of samples; the function sees windows that hold at least one.
fn slide_both(
    series: &RangeSeries,
    shape: WindowShape,
    grid: Grid,
    stop: &Stop,
    mut apply: impl FnMut(&Window<'_>, &[HistogramSample]) -> Option<Cell>,
) -> Result<Column, QueryError> {
    let mut column = Column::absent(grid.count);
    let (mut slide, mut histograms) = (Slide::default(), Slide::default());
    for (step, at_ms) in grid.times().enumerate() {
        let (start_ms, end_ms) = shape.bounds(grid, step);
        slide.advance(&series.samples, (start_ms, end_ms));
        histograms.advance(&series.histograms, (start_ms, end_ms));
        let inside = histograms.of(&series.histograms);
        if slide.low == slide.high && inside.is_empty() {
            continue;
        }
        // A histogram costs far more than a number: worth a look at the time for each window.
        stop.check()?;
        let window = Window { all: &series.samples, slide, start_ms, end_ms, at_ms, step, range_ms: shape.range_ms };
        if let Some(cell) = apply(&window, inside) {
            column.put(step, cell);
        }
    }
    Ok(column)
}

/// 1 at every step at which nothing is present.
pub(super) fn absent_series(labels: Labels, present: &[bool]) -> Vec<Series> {
    let mut column = Column::absent(present.len());
    for (step, _) in present.iter().enumerate().filter(|(_, present)| !**present) {
        column.set(step, 1.0);
    }
    if column.is_empty() { Vec::new() } else { vec![Series { labels, drop_name: false, column }] }
}

/// The labels that a selector pins down by equality; a label with several conditions is not pinned down.
pub(super) fn absent_labels(argument: &Expr) -> Labels {
    let selector = match argument {
        Expr::VectorSelector(selector) => selector,
        Expr::MatrixSelector(selector) => &selector.vs,
        _ => return Labels::default(),
    };
    let matchers = &selector.matchers.matchers;
    let pinned = matchers.iter().filter(|matcher| {
        let alone = matchers.iter().filter(|other| other.name == matcher.name).count() == 1;
        matches!(matcher.op, promql_parser::label::MatchOp::Equal) && alone && matcher.name != METRIC_NAME
    });
    Labels::new(pinned.map(|matcher| (matcher.name.as_str(), matcher.value.as_str())))
}
