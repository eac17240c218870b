//! Evaluates PromQL: pure, over anything that implements `series::Queryable`. Knows no HTTP and keeps no state.
//! Start at `Engine`; `evaluator` walks the tree, `range`, `functions`, `aggregate` and `binary` do the work of its nodes.

mod aggregate;
mod binary;
mod budget;
mod error;
mod evaluator;
mod functions;
pub(crate) mod histogram;
pub mod memory;
mod notes;
mod numbers;
mod parallel;
mod parse;
mod places;
mod range;
pub mod script;
mod select;
mod stop;
mod value;

use std::sync::Arc;
use std::time::Duration;

use promql_parser::parser::Expr;
use promql_parser::parser::value::ValueType;

pub use budget::Budget;
pub use error::QueryError;
pub use parse::{canonical, parse, parse_selector, prettified, selectors};
pub use stop::{Stop, StopGuard};
pub use value::{InstantSample, QueryData, QueryOutput};

use crate::series::{HistogramSample, Queryable, Sample, SeriesSamples};
use budget::Pool;
use evaluator::{Evaluator, Scope};
use notes::Notes;
use places::Places;
use value::{Grid, Series, Value, join_same, nameless};

/// Limits of an evaluation.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How far back an instant selector looks for a sample.
    pub lookback: Duration,
    /// The most samples that one query may hold in memory.
    pub samples_max: usize,
    /// The most samples that all queries may hold in memory together; those beyond wait. The oldest query does not.
    pub samples_total_max: usize,
    /// The most series that one query may read.
    pub series_max: usize,
    /// How many queries may be evaluated at once; those beyond wait, and their timeout counts.
    pub queries_max: usize,
    /// The longest that one query may take.
    pub timeout: Duration,
}

impl Default for EngineOptions {
    /// Prometheus' defaults: `--query.lookback-delta`, `--query.max-samples`, `--query.max-concurrency`, `--query.timeout`. It has no limit for all
    /// queries together: here it is that of one, 800 MB. A million series are ten times what one collector usually has.
    fn default() -> Self {
        Self {
            lookback: Duration::from_secs(300),
            samples_max: 50_000_000,
            samples_total_max: 50_000_000,
            series_max: 1_000_000,
            queries_max: 20,
            timeout: Duration::from_secs(120),
        }
    }
}

/// Evaluates queries within its options. Clones share what they may hold together.
#[derive(Debug, Clone)]
pub struct Engine {
    options: EngineOptions,
    pool: Arc<Pool>,
    drop_names_late: bool,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new(EngineOptions::default())
    }
}

impl Engine {
    /// An engine with these limits.
    pub fn new(options: EngineOptions) -> Self {
        let pool = Arc::new(Pool::new(options.samples_total_max));
        Self { options, pool, drop_names_late: false }
    }

    /// Keeps names that functions take away until the end, so that label functions still see them: Prometheus' feature
    /// `promql-delayed-name-removal`, off by default there and here.
    #[must_use]
    pub fn drop_names_late(mut self, late: bool) -> Self {
        self.drop_names_late = late;
        self
    }

    /// The same engine with other limits, save that of all queries together.
    #[must_use]
    pub fn with_options(self, options: EngineOptions) -> Self {
        Self { options, ..self }
    }

    /// The limits.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// What one who reads the store beside the evaluator may hold, such as a search for series.
    pub fn budget<'a>(&'a self, stop: &'a Stop) -> Budget<'a> {
        Budget::new(&self.options, &self.pool, stop)
    }

    /// Evaluates a query at one time, within the engine's own timeout.
    pub fn instant(&self, source: &dyn Queryable, query: &str, at_ms: i64) -> Result<QueryOutput, QueryError> {
        self.instant_until(source, query, at_ms, &Stop::after(self.options.timeout))
    }

    /// Evaluates a query at one time, until told to stop.
    pub fn instant_until(
        &self,
        source: &dyn Queryable,
        query: &str,
        at_ms: i64,
        stop: &Stop,
    ) -> Result<QueryOutput, QueryError> {
        let expr = parse(query)?;
        let grid = Grid::instant(at_ms);
        let mut evaluator = self.evaluator(
            source,
            query,
            &expr,
            Scope { start_ms: at_ms, end_ms: at_ms, step_ms: 0, instant: true },
            stop,
        );
        let data = if expr.value_type() == ValueType::Matrix {
            QueryData::Matrix(self.matrix_at(&mut evaluator, &expr, grid)?)
        } else {
            match evaluator.eval(&expr, grid)? {
                Value::Scalar(values) => QueryData::Scalar(scalar_at(&values, at_ms)),
                Value::Text(text) => QueryData::Text { timestamp_ms: at_ms, text },
                Value::Vector(series) => QueryData::Vector(instant_vector(without_dropped_names(series)?, at_ms)),
            }
        };
        Ok(output(evaluator, data))
    }

    /// Evaluates a query from `start_ms` to `end_ms` every `step_ms`, within the engine's own timeout.
    pub fn range(
        &self,
        source: &dyn Queryable,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<QueryOutput, QueryError> {
        self.range_until(source, query, (start_ms, end_ms, step_ms), &Stop::after(self.options.timeout))
    }

    /// Evaluates a query at many times (start, end, step), until told to stop.
    pub fn range_until(
        &self,
        source: &dyn Queryable,
        query: &str,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
        stop: &Stop,
    ) -> Result<QueryOutput, QueryError> {
        let expr = parse(query)?;
        if !matches!(expr.value_type(), ValueType::Scalar | ValueType::Vector) {
            let kind = if expr.value_type() == ValueType::Matrix { "range vector" } else { "string" };
            let text = format!("invalid expression type {kind:?} for range query, must be Scalar or instant Vector");
            return Err(QueryError::Parse(text));
        }
        let grid = Grid::range(start_ms, end_ms, step_ms);
        let mut evaluator =
            self.evaluator(source, query, &expr, Scope { start_ms, end_ms, step_ms, instant: false }, stop);
        let series = match evaluator.eval(&expr, grid)? {
            Value::Vector(series) => without_dropped_names(series)?,
            Value::Scalar(values) => vec![Series {
                labels: crate::series::Labels::default(),
                drop_name: false,
                column: value::Column::full(values),
            }],
            Value::Text(_) => Vec::new(),
        };
        Ok(output(evaluator, QueryData::Matrix(matrix(series, grid))))
    }

    fn evaluator<'a>(
        &'a self,
        source: &'a dyn Queryable,
        query: &str,
        expr: &Expr,
        scope: Scope,
        stop: &'a Stop,
    ) -> Evaluator<'a> {
        Evaluator {
            source,
            options: &self.options,
            scope,
            places: Places::of(query, expr),
            notes: Notes::default(),
            stop,
            budget: self.budget(stop),
            drop_names_late: self.drop_names_late,
        }
    }

    fn matrix_at(
        &self,
        evaluator: &mut Evaluator<'_>,
        expr: &Expr,
        grid: Grid,
    ) -> Result<Vec<SeriesSamples>, QueryError> {
        let ranges = evaluator.range_argument(expr, grid)?;
        let (start_ms, end_ms) = ranges.window.bounds(grid, 0);
        let inside = |timestamp_ms: i64| timestamp_ms > start_ms && timestamp_ms <= end_ms;
        let mut found = ranges.map(&evaluator.budget, |series| {
            let kept = SeriesSamples {
                labels: if series.drop_name { nameless(&series.labels) } else { series.labels.clone() },
                samples: series.samples.iter().filter(|sample| inside(sample.timestamp_ms)).copied().collect(),
                histograms: series.histograms.iter().filter(|sample| inside(sample.timestamp_ms)).cloned().collect(),
            };
            let histograms = kept.histograms.iter().map(HistogramSample::weight).sum::<usize>();
            evaluator.budget.charge(kept.samples.len() + histograms)?;
            Ok(Some(kept).filter(|kept| !kept.is_empty()))
        })?;
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(found)
    }
}

fn output(evaluator: Evaluator<'_>, data: QueryData) -> QueryOutput {
    let (warnings, infos) = evaluator.notes.into_parts();
    QueryOutput { data, warnings, infos }
}

fn scalar_at(values: &[f64], at_ms: i64) -> Sample {
    Sample { timestamp_ms: at_ms, value: values.first().copied().unwrap_or(f64::NAN) }
}

/// Takes away the names that functions have marked; series that become one may not overlap.
fn without_dropped_names(series: Vec<Series>) -> Result<Vec<Series>, QueryError> {
    if !series.iter().any(|one| one.drop_name) {
        return Ok(series);
    }
    let renamed = series.into_iter().map(|one| {
        let labels = if one.drop_name { nameless(&one.labels) } else { one.labels };
        Series { labels, drop_name: false, column: one.column }
    });
    join_same(renamed.collect())
}

fn instant_vector(series: Vec<Series>, at_ms: i64) -> Vec<InstantSample> {
    let present = series.into_iter().filter_map(|one| Some((one.column.cell(0)?, one.labels)));
    present.map(|(cell, labels)| InstantSample { labels, point: cell.at(at_ms) }).collect()
}

fn matrix(series: Vec<Series>, grid: Grid) -> Vec<SeriesSamples> {
    let mut found: Vec<SeriesSamples> = series
        .into_iter()
        .map(|mut one| {
            let histograms = one.column.take_histograms().into_iter();
            let histograms =
                histograms.map(|(step, histogram)| HistogramSample { timestamp_ms: grid.at(step), histogram });
            let samples = one.column.floats().map(|(step, value)| Sample { timestamp_ms: grid.at(step), value });
            SeriesSamples { samples: samples.collect(), histograms: histograms.collect(), labels: one.labels }
        })
        .filter(|one| !one.is_empty())
        .collect();
    found.sort_by(|a, b| a.labels.cmp(&b.labels));
    found
}

#[cfg(test)]
mod tests;
