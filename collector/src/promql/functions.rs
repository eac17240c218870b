//! Functions of instant vectors, numbers and time. Functions of range vectors are in `range`.
//! Start at `Evaluator::call`.

mod buckets;
mod calendar;
mod estimate;
mod labels;
mod mathematics;
mod order;

use promql_parser::parser::{Call, Expr};

use super::evaluator::Evaluator;
use super::histogram;
use super::numbers::count;
use super::range::{absent_labels, absent_series};
use super::select::{Reading, seconds};
use super::value::{Column, Grid, Series, Value};
use crate::promql::QueryError;
use crate::series::{Histogram, Labels};

impl Evaluator<'_> {
    pub(super) fn call(&mut self, node: &Expr, call: &Call, grid: Grid) -> Result<Value, QueryError> {
        let arguments = &call.args.args;
        let name = call.func.name;
        if let Some(value) = self.range_call(node, call, grid)? {
            return Ok(value);
        }
        if let Some(apply) = mathematics::by_name(name) {
            let mut series = self.vector(&arguments[0], grid)?;
            series.iter_mut().for_each(|one| one.column.map_floats(apply));
            return self.nameless(series);
        }
        if let Some(field) = calendar::by_name(name) {
            return self.calendar(field, arguments.first().map(|argument| &**argument), grid);
        }
        if let Some(value) = self.number_call(name, arguments, grid)? {
            return Ok(value);
        }
        match name {
            "absent" => self.absent(&arguments[0], grid),
            "scalar" => self.scalar_of(&arguments[0], grid),
            "vector" => {
                let column = Column::full(self.scalar(&arguments[0], grid)?);
                Ok(Value::Vector(vec![Series { labels: Labels::default(), drop_name: false, column }]))
            }
            "timestamp" => self.timestamp(&arguments[0], grid),
            "clamp" | "clamp_min" | "clamp_max" => self.clamp(name, arguments, grid),
            "round" => self.round(arguments, grid),
            "label_replace" => self.label_replace(arguments, grid),
            "label_join" => self.label_join(arguments, grid),
            "sort" | "sort_desc" => self.sort(node, &arguments[0], name == "sort_desc", grid),
            "sort_by_label" | "sort_by_label_desc" => {
                self.sort_by_label(node, arguments, name == "sort_by_label_desc", grid)
            }
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                self.estimate(node, name, arguments, grid)
            }
            "histogram_avg" => self.of_histograms(&arguments[0], histogram::mean_of, grid),
            "histogram_count" => self.of_histograms(&arguments[0], |histogram| histogram.count, grid),
            "histogram_sum" => self.of_histograms(&arguments[0], |histogram| histogram.sum, grid),
            "histogram_stdvar" => self.of_histograms(&arguments[0], histogram::variance, grid),
            "histogram_stddev" => {
                self.of_histograms(&arguments[0], |histogram| histogram::variance(histogram).sqrt(), grid)
            }
            _ => Err(QueryError::Execution(format!("function {name} is not supported"))),
        }
    }

    /// A number for each native histogram; anything else is passed over.
    fn of_histograms(
        &mut self,
        argument: &Expr,
        apply: impl Fn(&Histogram) -> f64,
        grid: Grid,
    ) -> Result<Value, QueryError> {
        let mut series = self.vector(argument, grid)?;
        series.retain(|one| !one.column.histograms().is_empty());
        for one in &mut series {
            let mut column = Column::absent(grid.count);
            for (step, histogram) in one.column.histograms() {
                column.set(*step, apply(histogram));
            }
            one.column = column;
        }
        self.nameless(series)
    }

    /// Functions whose result is a number.
    fn number_call(&mut self, name: &str, arguments: &[Box<Expr>], grid: Grid) -> Result<Option<Value>, QueryError> {
        let whole = self.scope;
        let span = seconds(whole.end_ms.saturating_sub(whole.start_ms));
        let constant = |value: f64| Ok(Some(Value::Scalar(vec![value; grid.count])));
        match name {
            "time" => Ok(Some(Value::Scalar(grid.times().map(seconds).collect()))),
            "pi" => constant(std::f64::consts::PI),
            "start" => constant(seconds(whole.start_ms)),
            "end" => constant(seconds(whole.end_ms)),
            "range" => constant(span),
            "step" => constant(seconds(whole.step_ms)),
            "min_of" | "max_of" => {
                let (left, right) = (self.scalar(&arguments[0], grid)?, self.scalar(&arguments[1], grid)?);
                let pick = if name == "min_of" { mathematics::min } else { mathematics::max };
                Ok(Some(Value::Scalar(left.into_iter().zip(right).map(|(a, b)| pick(a, b)).collect())))
            }
            _ => Ok(None),
        }
    }

    fn absent(&mut self, argument: &Expr, grid: Grid) -> Result<Value, QueryError> {
        let mut present = vec![false; grid.count];
        for one in self.vector(argument, grid)? {
            one.column.steps().for_each(|step| present[step] = true);
        }
        Ok(Value::Vector(absent_series(absent_labels(argument), &present)))
    }

    /// The value of the only series at each step; NaN where there are none or several.
    fn scalar_of(&mut self, argument: &Expr, grid: Grid) -> Result<Value, QueryError> {
        let mut values = vec![f64::NAN; grid.count];
        let mut seen = vec![0usize; grid.count];
        for one in self.vector(argument, grid)? {
            for (step, value) in one.column.floats() {
                seen[step] += 1;
                values[step] = if seen[step] == 1 { value } else { f64::NAN };
            }
        }
        Ok(Value::Scalar(values))
    }

    /// The time of the sample that a selector finds; of anything computed, the time of evaluation.
    fn timestamp(&mut self, argument: &Expr, grid: Grid) -> Result<Value, QueryError> {
        let series = match super::parse::bare(argument) {
            Expr::VectorSelector(selector) => match self.vector_selector(selector, grid, Reading::Timestamp)? {
                Value::Vector(series) => series,
                Value::Scalar(_) | Value::Text(_) => Vec::new(),
            },
            computed => {
                let mut series = self.vector(computed, grid)?;
                series.iter_mut().for_each(|one| one.column = one.column.at_steps(|step| seconds(grid.at(step))));
                series
            }
        };
        self.nameless(series)
    }

    fn clamp(&mut self, name: &str, arguments: &[Box<Expr>], grid: Grid) -> Result<Value, QueryError> {
        let mut series = self.vector(&arguments[0], grid)?;
        let limit = self.scalar(&arguments[1], grid)?;
        let (least, most) = match name {
            "clamp" => (limit, self.scalar(&arguments[2], grid)?),
            "clamp_min" => (limit, vec![f64::INFINITY; grid.count]),
            _ => (vec![f64::NEG_INFINITY; grid.count], limit),
        };
        for one in &mut series {
            one.column.filter_map_floats(|step, value| {
                let clamped = mathematics::max(least[step], mathematics::min(most[step], value));
                (most[step] >= least[step] || most[step].is_nan() || least[step].is_nan()).then_some(clamped)
            });
        }
        series.retain(|one| !one.column.is_empty());
        self.nameless(series)
    }

    fn round(&mut self, arguments: &[Box<Expr>], grid: Grid) -> Result<Value, QueryError> {
        let mut series = self.vector(&arguments[0], grid)?;
        let nearest = match arguments.get(1) {
            Some(nearest) => self.scalar(nearest, grid)?,
            None => vec![1.0; grid.count],
        };
        for one in &mut series {
            one.column.filter_map_floats(|step, value| {
                // Multiplying by the inverse keeps digits that dividing would lose; ties go up.
                let inverse = 1.0 / nearest[step];
                Some((value * inverse + 0.5).floor() / inverse)
            });
        }
        self.nameless(series)
    }

    fn calendar(&mut self, field: calendar::Field, argument: Option<&Expr>, grid: Grid) -> Result<Value, QueryError> {
        let Some(argument) = argument else {
            let column = Column::full(grid.times().map(|time| field(seconds(time))).collect());
            return Ok(Value::Vector(vec![Series { labels: Labels::default(), drop_name: false, column }]));
        };
        let mut series = self.vector(argument, grid)?;
        series.iter_mut().for_each(|one| one.column.map_floats(field));
        self.nameless(series)
    }
}

/// A whole number as a value.
fn whole(number: u32) -> f64 {
    count(usize::try_from(number).unwrap_or(usize::MAX))
}
