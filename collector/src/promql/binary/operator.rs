//! What arithmetic and comparison operators do with two numbers. What they do with histograms is in `mixed`.

use promql_parser::parser::token::{
    T_ADD, T_ATAN2, T_DIV, T_EQLC, T_GTE, T_GTR, T_LSS, T_LTE, T_MOD, T_MUL, T_NEQ, T_POW, T_SUB, TokenId,
};

use crate::promql::histogram::Kept;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Arithmetic(fn(f64, f64) -> f64),
    Comparison(fn(&f64, &f64) -> bool),
    /// Takes observations out of a histogram; numbers have none.
    Trim(Kept),
}

/// An operator between numbers or histograms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operator {
    kind: Kind,
    /// As it is written in a query.
    pub symbol: &'static str,
    /// A comparison gives 1 or 0 instead of keeping or dropping.
    pub as_bool: bool,
}

impl Operator {
    /// The operator of that token; nothing for set operators.
    pub fn new(token: TokenId, as_bool: bool) -> Option<Self> {
        let (symbol, kind) = match token {
            T_ADD => ("+", Kind::Arithmetic(|a, b| a + b)),
            T_SUB => ("-", Kind::Arithmetic(|a, b| a - b)),
            T_MUL => ("*", Kind::Arithmetic(|a, b| a * b)),
            T_DIV => ("/", Kind::Arithmetic(|a, b| a / b)),
            T_MOD => ("%", Kind::Arithmetic(|a, b| a % b)),
            T_POW => ("^", Kind::Arithmetic(f64::powf)),
            T_ATAN2 => ("atan2", Kind::Arithmetic(f64::atan2)),
            T_EQLC => ("==", Kind::Comparison(f64::eq)),
            T_NEQ => ("!=", Kind::Comparison(f64::ne)),
            T_GTR => (">", Kind::Comparison(f64::gt)),
            T_LSS => ("<", Kind::Comparison(f64::lt)),
            T_GTE => (">=", Kind::Comparison(f64::ge)),
            T_LTE => ("<=", Kind::Comparison(f64::le)),
            _ => return None,
        };
        Some(Self { kind, symbol, as_bool })
    }

    /// `</` or `>/`.
    pub fn trim(kept: Kept) -> Self {
        let symbol = if kept == Kept::Below { "</" } else { ">/" };
        Self { kind: Kind::Trim(kept), symbol, as_bool: false }
    }

    /// What it trims, if it does.
    pub fn trims(self) -> Option<Kept> {
        match self.kind {
            Kind::Trim(kept) => Some(kept),
            Kind::Arithmetic(_) | Kind::Comparison(_) => None,
        }
    }

    /// Between two scalars, where comparisons are always as numbers.
    pub fn number(self, left: f64, right: f64) -> f64 {
        match self.kind {
            Kind::Arithmetic(apply) => apply(left, right),
            Kind::Comparison(holds) => f64::from(u8::from(holds(&left, &right))),
            Kind::Trim(_) => f64::NAN,
        }
    }

    /// Where a vector takes part: a comparison keeps `value` if it holds.
    pub fn kept(self, left: f64, right: f64, value: f64) -> Option<f64> {
        match self.kind {
            Kind::Comparison(holds) if !self.as_bool => holds(&left, &right).then_some(value),
            Kind::Trim(_) => None,
            _ => Some(self.number(left, right)),
        }
    }

    /// Whether the result is still of the same metric: what a comparison keeps, and what is trimmed.
    pub fn keeps_name(self) -> bool {
        matches!(self.kind, Kind::Comparison(_) | Kind::Trim(_)) && !self.as_bool
    }

    /// Whether it is arithmetic, which takes the name away at once even where names go late.
    pub fn is_arithmetic(self) -> bool {
        matches!(self.kind, Kind::Arithmetic(_))
    }
}
