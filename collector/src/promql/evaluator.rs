//! Walks a query's tree, bottom up, evaluating each node once for all steps together. Holds the limits of the evaluation.
//! Start at `Evaluator::eval`.

use promql_parser::parser::{Call, Expr};

use super::budget::Budget;
use super::histogram;
use super::notes::Notes;
use super::places::Places;
use super::select::Reading;
use super::stop::Stop;
use super::value::{Grid, Series, Value, join_same, nameless};
use crate::promql::{EngineOptions, QueryError};
use crate::series::{METRIC_NAME, Queryable};

/// Functions whose result depends on the time of evaluation even when their arguments do not.
const CLOCK_FUNCTIONS: [&str; 11] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
];

/// The times that the query asks for; its end need not be one of its steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
    /// Asked at one time, so that the order of series matters.
    pub instant: bool,
}

/// One evaluation of one query.
pub(super) struct Evaluator<'a> {
    pub source: &'a dyn Queryable,
    pub options: &'a EngineOptions,
    pub scope: Scope,
    pub places: Places,
    pub notes: Notes,
    pub stop: &'a Stop,
    pub budget: Budget<'a>,
    pub drop_names_late: bool,
}

impl Evaluator<'_> {
    /// The value of an expression at all times of a grid.
    pub fn eval(&mut self, expr: &Expr, grid: Grid) -> Result<Value, QueryError> {
        self.stop.check()?;
        let held = self.budget.held();
        if grid.count > self.options.samples_max {
            return Err(QueryError::TooManySamples(self.options.samples_max));
        }
        let value = if grid.count > 1 && is_fixed(expr) {
            self.eval_node(expr, Grid { count: 1, ..grid })?.spread(grid.count)
        } else {
            self.eval_node(expr, grid)?
        };
        // What was held below is gone, save for the value itself.
        self.budget.release_to(held);
        self.charge(value.cells())?;
        Ok(value)
    }

    fn eval_node(&mut self, expr: &Expr, grid: Grid) -> Result<Value, QueryError> {
        match expr {
            Expr::Paren(paren) => self.eval_node(&paren.expr, grid),
            Expr::NumberLiteral(number) => Ok(Value::Scalar(vec![number.val; grid.count])),
            Expr::StringLiteral(text) => Ok(Value::Text(text.val.clone())),
            Expr::VectorSelector(selector) => self.vector_selector(selector, grid, Reading::Value),
            Expr::Unary(unary) => {
                let value = self.eval(&unary.expr, grid)?;
                self.negated(value)
            }
            Expr::Binary(binary) => self.binary(expr, binary, grid),
            Expr::Aggregate(aggregate) => self.aggregate(expr, aggregate, grid),
            Expr::Call(call) => self.call(expr, call, grid),
            Expr::MatrixSelector(_) | Expr::Subquery(_) => {
                Err(QueryError::Execution("a range vector is not a value on its own".to_owned()))
            }
            Expr::Extension(_) => Err(QueryError::Parse("parse error: extensions are not supported".to_owned())),
        }
    }

    fn negated(&self, value: Value) -> Result<Value, QueryError> {
        match value {
            Value::Scalar(values) => Ok(Value::Scalar(values.into_iter().map(|value| -value).collect())),
            Value::Vector(mut series) => {
                for one in &mut series {
                    one.column.change_floats(|_, value| Some(-value));
                    one.column.change_histograms(|histogram| histogram::scaled(histogram, -1.0));
                }
                self.nameless(series)
            }
            Value::Text(_) => Err(QueryError::Execution("a text cannot be negated".to_owned())),
        }
    }

    /// A vector whose metric names are to go.
    pub fn nameless(&self, mut series: Vec<Series>) -> Result<Value, QueryError> {
        if self.drop_names_late {
            series.iter_mut().for_each(|one| one.drop_name = true);
            return Ok(Value::Vector(series));
        }
        // Series of one metric stay apart without its name.
        let is_one_metric = one_name(&series);
        for one in &mut series {
            one.labels = nameless(&one.labels);
        }
        if is_one_metric { Ok(Value::Vector(series)) } else { join_same(series).map(Value::Vector) }
    }

    /// Whether names go at the end of the query rather than at once.
    pub fn drops_names_late(&self) -> bool {
        self.drop_names_late
    }

    /// Counts values that are about to be held; an error if they are too many.
    pub fn charge(&mut self, values: usize) -> Result<(), QueryError> {
        self.budget.charge(values)
    }

    /// An argument that is a number at each step.
    pub fn scalar(&mut self, expr: &Expr, grid: Grid) -> Result<Vec<f64>, QueryError> {
        match self.eval(expr, grid)? {
            Value::Scalar(values) => Ok(values),
            Value::Vector(_) | Value::Text(_) => Err(QueryError::Execution("expected a scalar".to_owned())),
        }
    }

    /// An argument that is a vector.
    pub fn vector(&mut self, expr: &Expr, grid: Grid) -> Result<Vec<Series>, QueryError> {
        match self.eval(expr, grid)? {
            Value::Vector(series) => Ok(series),
            Value::Scalar(_) | Value::Text(_) => Err(QueryError::Execution("expected an instant vector".to_owned())),
        }
    }

    /// An argument that is a text.
    pub fn text(&mut self, expr: &Expr) -> Result<String, QueryError> {
        match super::parse::bare(expr) {
            Expr::StringLiteral(text) => Ok(text.val.clone()),
            _ => Err(QueryError::Execution("expected a string literal".to_owned())),
        }
    }
}

/// Whether all series have a name, and the same one.
fn one_name(series: &[Series]) -> bool {
    let Some(name) = series.first().and_then(|first| first.labels.get(METRIC_NAME)) else { return false };
    series.iter().all(|one| one.labels.get(METRIC_NAME) == Some(name))
}

/// Whether an expression has the same value at every step, because all its selectors are fixed by `@`.
fn is_fixed(expr: &Expr) -> bool {
    match expr {
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => true,
        Expr::VectorSelector(selector) => selector.at.is_some(),
        Expr::MatrixSelector(selector) => selector.vs.at.is_some(),
        Expr::Subquery(subquery) => subquery.at.is_some(),
        Expr::Call(call) => !reads_clock(call) && call.args.args.iter().all(|argument| is_fixed(argument)),
        _ => super::parse::children(expr).into_iter().all(is_fixed),
    }
}

fn reads_clock(call: &Call) -> bool {
    CLOCK_FUNCTIONS.contains(&call.func.name)
}
