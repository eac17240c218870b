//! Operators between numbers and vectors. Series are matched once by their labels; each match is then computed step by step.
//! Start at `Evaluator::binary`.

mod matching;
mod operator;
mod sets;

use promql_parser::parser::token::{T_LAND, T_LOR, T_LUNLESS};
use promql_parser::parser::{BinaryExpr, VectorMatchCardinality};

use super::evaluator::Evaluator;
use super::value::{Grid, Series, Value};
use crate::promql::QueryError;

use matching::{Cardinality, Matching};
use operator::Operator;
use sets::SetOperator;

impl Evaluator<'_> {
    pub(super) fn binary(&mut self, expr: &BinaryExpr, grid: Grid) -> Result<Value, QueryError> {
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
        let operator = Operator::new(expr.op.id(), modifier.is_some_and(|modifier| modifier.return_bool))
            .ok_or_else(|| QueryError::Execution(format!("unknown operator {}", expr.op)))?;
        match (left, right) {
            (Value::Scalar(left), Value::Scalar(right)) => {
                let values = left.into_iter().zip(right);
                Ok(Value::Scalar(values.map(|(left, right)| operator.number(left, right)).collect()))
            }
            (Value::Vector(series), Value::Scalar(numbers)) => {
                self.with_numbers(series, operator, |step, value| operator.kept(value, numbers[step], value))
            }
            (Value::Scalar(numbers), Value::Vector(series)) => {
                self.with_numbers(series, operator, |step, value| operator.kept(numbers[step], value, value))
            }
            (Value::Vector(left), Value::Vector(right)) => {
                let cardinality = match modifier.map(|modifier| &modifier.card) {
                    Some(VectorMatchCardinality::ManyToOne(_)) => Cardinality::ManyToOne,
                    Some(VectorMatchCardinality::OneToMany(_)) => Cardinality::OneToMany,
                    _ => Cardinality::OneToOne,
                };
                let late = self.drops_names_late();
                let found = matching.join(&left, &right, operator, (cardinality, late), grid)?;
                self.stop.check()?;
                Ok(Value::Vector(found))
            }
            _ => Err(QueryError::Execution(format!("operator {} needs numbers or vectors", expr.op))),
        }
    }

    fn with_numbers(
        &mut self,
        mut series: Vec<Series>,
        operator: Operator,
        apply: impl Fn(usize, f64) -> Option<f64>,
    ) -> Result<Value, QueryError> {
        for one in &mut series {
            one.column.filter_map(&apply);
        }
        series.retain(|one| !one.column.is_empty());
        if operator.keeps_name() { Ok(Value::Vector(series)) } else { self.nameless(series) }
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
