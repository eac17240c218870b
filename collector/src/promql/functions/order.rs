//! `sort` and its kin: the order of an answer at one time. Over time there is no order but that of labels.

use std::cmp::Ordering;

use promql_parser::parser::Expr;

use crate::promql::QueryError;
use crate::promql::evaluator::Evaluator;
use crate::promql::numbers::{nan_last, nan_last_descending};
use crate::promql::value::{Grid, Series, Value};

impl Evaluator<'_> {
    pub(super) fn sort(
        &mut self,
        node: &Expr,
        argument: &Expr,
        descending: bool,
        grid: Grid,
    ) -> Result<Value, QueryError> {
        let mut series = self.vector(argument, grid)?;
        // Histograms have no order.
        series.retain_mut(|one| one.column.take_histograms().is_empty() || !one.column.is_empty());
        if !self.order_matters(node) {
            return Ok(Value::Vector(series));
        }
        let order = if descending { nan_last_descending } else { nan_last };
        let value = |one: &Series| one.column.float(0).unwrap_or(f64::NAN);
        series.sort_by(|a, b| order(value(a), value(b)));
        Ok(Value::Vector(series))
    }

    pub(super) fn sort_by_label(
        &mut self,
        node: &Expr,
        arguments: &[Box<Expr>],
        descending: bool,
        grid: Grid,
    ) -> Result<Value, QueryError> {
        let names: Vec<String> = arguments[1..].iter().map(|argument| self.text(argument)).collect::<Result<_, _>>()?;
        let mut series = self.vector(&arguments[0], grid)?;
        if !self.order_matters(node) {
            return Ok(Value::Vector(series));
        }
        series.sort_by(|a, b| {
            let by_names = names
                .iter()
                .map(|name| natural(a.labels.get(name).unwrap_or_default(), b.labels.get(name).unwrap_or_default()));
            let order = by_names.fold(Ordering::Equal, Ordering::then).then_with(|| a.labels.cmp(&b.labels));
            if descending { order.reverse() } else { order }
        });
        Ok(Value::Vector(series))
    }

    fn order_matters(&mut self, node: &Expr) -> bool {
        if !self.scope.instant {
            let text = "sort is ineffective for range queries since results are always ordered by labels";
            let place = self.places.start(node);
            self.notes.warn(text, &place);
        }
        self.scope.instant
    }
}

/// As people order names: runs of digits count as numbers.
fn natural(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() && !b.is_empty() {
        let (a_run, a_rest) = run(a);
        let (b_run, b_rest) = run(b);
        let order = if a_run.as_bytes()[0].is_ascii_digit() && b_run.as_bytes()[0].is_ascii_digit() {
            let (a_digits, b_digits) = (a_run.trim_start_matches('0'), b_run.trim_start_matches('0'));
            let by_size = a_digits.len().cmp(&b_digits.len()).then_with(|| a_digits.cmp(b_digits));
            by_size.then_with(|| a_run.len().cmp(&b_run.len()))
        } else {
            a_run.cmp(b_run)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
    a.len().cmp(&b.len())
}

/// The leading run of digits, or of anything else, and the rest.
fn run(text: &str) -> (&str, &str) {
    let digits = text.as_bytes()[0].is_ascii_digit();
    let end = text.bytes().position(|byte| byte.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}
