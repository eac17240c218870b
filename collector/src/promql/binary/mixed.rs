//! What operators do where histograms take part: add, subtract, scale, tell whether they are the same. Nothing else goes.
//! Start at `Operator::cells`.

use std::sync::Arc;

use super::operator::Operator;
use crate::promql::histogram::{self, Combined, Incompatible, Sign};
use crate::promql::notes::{Notes, Operation, Remark, Remarks};
use crate::promql::value::Cell;
use crate::series::{CounterReset, Histogram};

/// What is to be said about an operation, each thing once.
#[derive(Debug, Default)]
pub(super) struct Findings {
    remarks: Remarks,
    /// Kinds that the operator cannot take.
    kinds: Vec<(&'static str, &'static str)>,
    /// Exponential and custom buckets.
    layouts: bool,
}

impl Findings {
    /// Says it all, at the place of the operation.
    pub fn note(&self, operator: Operator, notes: &mut Notes, place: &str) {
        let symbol = operator.symbol;
        for (left, right) in &self.kinds {
            let text = "incompatible sample types encountered for binary operator";
            notes.info(&format!("{text} {symbol:?}: {left} {symbol} {right}"), place);
        }
        if self.layouts {
            notes.warn(&format!("incompatible bucket layout encountered for binary operator {symbol}"), place);
        }
        notes.remark(&self.remarks, "", place);
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty() && !self.layouts && self.remarks.is_empty()
    }

    /// The operator was to take two numbers, and cannot.
    pub fn of_numbers(&mut self) {
        self.kinds(&Cell::Float(0.0), &Cell::Float(0.0));
    }

    fn kinds(&mut self, left: &Cell, right: &Cell) {
        let name = |cell: &Cell| if matches!(cell, Cell::Float(_)) { "float" } else { "histogram" };
        let kinds = (name(left), name(right));
        if !self.kinds.contains(&kinds) {
            self.kinds.push(kinds);
        }
    }
}

impl Operator {
    /// The result between numbers or histograms. A comparison keeps `value` if it holds.
    pub fn cells(self, left: &Cell, right: &Cell, value: &Cell, findings: &mut Findings) -> Option<Cell> {
        if let Some(kept) = self.trims() {
            if let (Cell::Histogram(histogram), Cell::Float(at)) = (left, right) {
                return Some(Cell::Histogram(Arc::new(histogram::trimmed(histogram, *at, kept))));
            }
            findings.kinds(left, right);
            return None;
        }
        match (left, right, self.symbol) {
            (Cell::Float(a), Cell::Float(b), _) => match value {
                Cell::Float(value) => self.kept(*a, *b, *value).map(Cell::Float),
                Cell::Histogram(_) => None,
            },
            (Cell::Histogram(histogram), Cell::Float(factor), "*")
            | (Cell::Float(factor), Cell::Histogram(histogram), "*") => {
                Some(compacted(histogram::scaled(histogram, *factor)))
            }
            (Cell::Histogram(histogram), Cell::Float(divisor), "/") => {
                Some(compacted(histogram::divided(histogram, *divisor)))
            }
            (Cell::Histogram(a), Cell::Histogram(b), "+") => combined(a, b, Sign::Plus, findings),
            (Cell::Histogram(a), Cell::Histogram(b), "-") => combined(a, b, Sign::Minus, findings),
            (Cell::Histogram(a), Cell::Histogram(b), "==") => self.compared(histogram::same(a, b), value),
            (Cell::Histogram(a), Cell::Histogram(b), "!=") => self.compared(!histogram::same(a, b), value),
            _ => {
                findings.kinds(left, right);
                None
            }
        }
    }

    fn compared(self, holds: bool, value: &Cell) -> Option<Cell> {
        if self.as_bool { Some(Cell::Float(f64::from(u8::from(holds)))) } else { holds.then(|| value.clone()) }
    }
}

fn compacted(mut histogram: Histogram) -> Cell {
    histogram::compact(&mut histogram);
    Cell::Histogram(Arc::new(histogram))
}

fn combined(left: &Histogram, right: &Histogram, sign: Sign, findings: &mut Findings) -> Option<Cell> {
    let operation = if sign == Sign::Plus { Operation::Addition } else { Operation::Subtraction };
    match histogram::combined(left, right, sign) {
        Ok((_, Combined { collision: true, .. })) => {
            findings.remarks.add(Remark::Collision(operation));
            None
        }
        Ok((mut result, Combined { reconciled, .. })) => {
            if reconciled {
                findings.remarks.add(Remark::Reconciled(operation));
            }
            if sign == Sign::Minus {
                result.reset = CounterReset::Gauge;
            }
            Some(Cell::Histogram(Arc::new(result)))
        }
        Err(Incompatible) => {
            findings.layouts = true;
            None
        }
    }
}
