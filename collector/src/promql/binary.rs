//! Operators between numbers and vectors. Series are matched once by their labels; each match is then computed step by step.
//! Start at `Evaluator::binary`.

mod matching;
mod mixed;
mod operator;
mod sets;

use promql_parser::parser::token::{T_LAND, T_LOR, T_LUNLESS};
use promql_parser::parser::{BinaryExpr, Expr, VectorMatchCardinality};

use super::evaluator::Evaluator;
use super::value::{Cell, Grid, Series, Value};
use crate::promql::QueryError;

use matching::{Cardinality, Matching};
use mixed::Findings;
use operator::Operator;
use sets::SetOperator;

impl Evaluator<'_> {
    pub(super) fn binary(&mut self, node: &Expr, expr: &BinaryExpr, grid: Grid) -> Result<Value, QueryError> {
        let left = self.eval(&expr.lhs, grid)?;
        let right = self.eval(&expr.rhs, grid)?;
        let modifier = expr.modifier.as_ref();
        let matching = Matching::new(modifier);
        if let Some(set) = set_operator(expr) {
            let (Value::Vector(left), Value::Vector(right)) = (left, right) else {
                return Err(QueryError::Execution(format!("set operator {} needs vectors", expr.op)));
            };
            return Ok(Value::Vector(set.apply(left, right, &matching, grid)?));
        }
        let operator = self.operator(node, expr)?;
        match (left, right) {
            (Value::Scalar(left), Value::Scalar(right)) => {
                let values = left.into_iter().zip(right);
                Ok(Value::Scalar(values.map(|(left, right)| operator.number(left, right)).collect()))
            }
            (Value::Vector(series), Value::Scalar(numbers)) => {
                let floats = |step: usize, value: f64| operator.kept(value, numbers[step], value);
                let cells = |step: usize, cell: &Cell, findings: &mut Findings| {
                    operator.cells(cell, &Cell::Float(numbers[step]), cell, findings)
                };
                self.with_numbers(node, series, operator, floats, cells)
            }
            (Value::Scalar(numbers), Value::Vector(series)) => {
                let floats = |step: usize, value: f64| operator.kept(numbers[step], value, value);
                let cells = |step: usize, cell: &Cell, findings: &mut Findings| {
                    operator.cells(&Cell::Float(numbers[step]), cell, cell, findings)
                };
                self.with_numbers(node, series, operator, floats, cells)
            }
            (Value::Vector(left), Value::Vector(right)) => {
                let cardinality = match modifier.map(|modifier| &modifier.card) {
                    Some(VectorMatchCardinality::ManyToOne(_)) => Cardinality::ManyToOne,
                    Some(VectorMatchCardinality::OneToMany(_)) => Cardinality::OneToMany,
                    _ => Cardinality::OneToOne,
                };
                let late = self.drops_names_late();
                let mut findings = Findings::default();
                let found = matching.join((&left, &right), operator, (cardinality, late), grid, &mut findings)?;
                self.note(node, operator, &findings);
                self.stop.check()?;
                Ok(Value::Vector(found))
            }
            _ => Err(QueryError::Execution(format!("operator {} needs numbers or vectors", expr.op))),
        }
    }

    fn operator(&self, node: &Expr, expr: &BinaryExpr) -> Result<Operator, QueryError> {
        let as_bool = expr.modifier.as_ref().is_some_and(|modifier| modifier.return_bool);
        match self.places.trim(node)? {
            Some(_) if as_bool => {
                Err(QueryError::Parse("parse error: bool modifier can only be used on comparison operators".to_owned()))
            }
            Some(kept) => Ok(Operator::trim(kept)),
            None => Operator::new(expr.op.id(), as_bool)
                .ok_or_else(|| QueryError::Execution(format!("unknown operator {}", expr.op))),
        }
    }

    fn with_numbers(
        &mut self,
        node: &Expr,
        mut series: Vec<Series>,
        operator: Operator,
        floats: impl Fn(usize, f64) -> Option<f64>,
        cells: impl Fn(usize, &Cell, &mut Findings) -> Option<Cell>,
    ) -> Result<Value, QueryError> {
        let mut findings = Findings::default();
        for one in &mut series {
            if operator.trims().is_some() && one.column.floats().next().is_some() {
                findings.of_numbers();
            }
            one.column.change_floats(&floats);
            for (step, histogram) in one.column.take_histograms() {
                if let Some(cell) = cells(step, &Cell::Histogram(histogram), &mut findings) {
                    one.column.put(step, cell);
                }
            }
        }
        self.note(node, operator, &findings);
        series.retain(|one| !one.column.is_empty());
        if operator.keeps_name() { Ok(Value::Vector(series)) } else { self.nameless(series) }
    }

    fn note(&mut self, node: &Expr, operator: Operator, findings: &Findings) {
        if !findings.is_empty() {
            findings.note(operator, &mut self.notes, &self.places.start(node));
        }
    }
}

fn set_operator(expr: &BinaryExpr) -> Option<SetOperator> {
    match expr.op.id() {
        T_LAND => Some(SetOperator::And),
        T_LOR => Some(SetOperator::Or),
        T_LUNLESS => Some(SetOperator::Unless),
        _ => None,
    }
}
