//! A formula over named numbers: `max(a, b * 2) ?? 3`. Read into a tree and checked once, when the policy is loaded; evaluated each
//! tick without allocation. Whatever is no finite number is no data, and only `??` says what holds then. Never reads a metric.

mod parse;
pub mod unit;

use std::fmt;

use self::unit::Unit;

/// Longest formula in bytes: a page of it is no formula any more, and evaluation stays within a few microseconds.
pub const FORMULA_BYTES_MAX: usize = 512;

/// How deep brackets, calls and signs may be nested: reading one level takes a few frames of the stack.
pub const DEPTH_MAX: usize = 32;

/// A formula whose names, units and constants are right.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    root: Node,
    /// Names of the inputs; a node knows its input by position.
    names: Vec<String>,
}

/// A part of a formula.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// Finite, and not negative.
    Number(f64),
    /// An input by its position.
    Input(usize),
    /// With the other sign.
    Negated(Box<Node>),
    /// Two parts and what is between them.
    Binary(Operator, Box<Node>, Box<Node>),
    /// A function of at least one part.
    Call(Function, Vec<Node>),
}

/// What may stand between two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    /// `??`: the left one, or the right one where the left has no data.
    Else,
}

/// What may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Max,
    Min,
    Ceil,
    Abs,
}

/// What is wrong with a formula, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} (at character {at})")]
pub struct FormulaError {
    /// What was found and what was expected.
    pub what: String,
    /// The character at which, from 1.
    pub at: usize,
}

/// What an input reads now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Input {
    /// The number; one that is not finite counts as no data.
    pub value: f64,
    /// Milliseconds since the epoch of the newest sample behind it.
    pub at_ms: i64,
}

/// What a formula gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value {
    /// Finite.
    pub number: f64,
    /// The time of the input that is furthest behind, of those that count; `None` when none does.
    pub at_ms: Option<i64>,
    /// Some part is what `??` puts in the place of missing data, without data of its own.
    pub made_up: bool,
}

impl Formula {
    /// Reads a formula over these inputs, each with its unit where that is known. `result` is the unit that must come out, where that
    /// is known. Every input must be used.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str, inputs: &[(String, Option<Unit>)], result: Option<&Unit>) -> Result<Self, FormulaError> {
        parse::parse(text, inputs, result)
    }

    /// Computes it; `None` is no data. `inputs` are in the order of those it was read with; a missing one has no data.
    pub fn evaluate(&self, inputs: &[Option<Input>]) -> Option<Value> {
        self.root.evaluate(inputs)
    }
}

impl Value {
    fn constant(number: f64) -> Self {
        Self { number, at_ms: None, made_up: false }
    }

    /// Of two values one, whose data is as old as the older one's.
    fn with(self, other: Self, combine: impl Fn(f64, f64) -> f64) -> Option<Self> {
        let at_ms = match (self.at_ms, other.at_ms) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        let made_up = self.made_up || other.made_up;
        Self { number: combine(self.number, other.number), at_ms, made_up }.finite()
    }

    fn map(self, change: impl Fn(f64) -> f64) -> Option<Self> {
        Self { number: change(self.number), ..self }.finite()
    }

    fn finite(self) -> Option<Self> {
        self.number.is_finite().then_some(self)
    }
}

impl Node {
    fn evaluate(&self, inputs: &[Option<Input>]) -> Option<Value> {
        match self {
            Self::Number(number) => Some(Value::constant(*number)),
            Self::Input(place) => {
                let Input { value, at_ms } = inputs.get(*place).copied().flatten()?;
                Value { number: value, at_ms: Some(at_ms), made_up: false }.finite()
            }
            Self::Negated(part) => part.evaluate(inputs)?.map(|number| -number),
            Self::Binary(Operator::Else, left, right) => left.evaluate(inputs).or_else(|| {
                let value = right.evaluate(inputs)?;
                Some(Value { made_up: value.made_up || value.at_ms.is_none(), ..value })
            }),
            Self::Binary(operator, left, right) => {
                let (left, right) = (left.evaluate(inputs)?, right.evaluate(inputs)?);
                left.with(right, |left, right| match operator {
                    Operator::Add => left + right,
                    Operator::Subtract => left - right,
                    Operator::Multiply => left * right,
                    Operator::Divide | Operator::Else => left / right,
                })
            }
            Self::Call(Function::Ceil, parts) => parts.first()?.evaluate(inputs)?.map(f64::ceil),
            Self::Call(Function::Abs, parts) => parts.first()?.evaluate(inputs)?.map(f64::abs),
            Self::Call(Function::Max, parts) => fold(parts, inputs, f64::max),
            Self::Call(Function::Min, parts) => fold(parts, inputs, f64::min),
        }
    }

    /// How tightly it binds: 0 a sum, 1 a product, 2 a sign, 3 `??`, 4 what needs no brackets anywhere.
    fn binding(&self) -> u8 {
        match self {
            Self::Binary(operator, ..) => operator.binding(),
            Self::Negated(_) => NEGATED,
            Self::Number(_) | Self::Input(_) | Self::Call(..) => PRIMARY,
        }
    }
}

fn fold(parts: &[Node], inputs: &[Option<Input>], choose: impl Fn(f64, f64) -> f64 + Copy) -> Option<Value> {
    let (first, rest) = parts.split_first()?;
    rest.iter().try_fold(first.evaluate(inputs)?, |best, part| best.with(part.evaluate(inputs)?, choose))
}

const NEGATED: u8 = 2;
const PRIMARY: u8 = 4;

impl Operator {
    /// See [`Node::binding`]. `??` binds tightest, as in the formulas of KEDA: `a + b ?? 3` is `a + (b ?? 3)`.
    fn binding(self) -> u8 {
        match self {
            Self::Add | Self::Subtract => 0,
            Self::Multiply | Self::Divide => 1,
            Self::Else => 3,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Else => "??",
        }
    }
}

impl Function {
    const ALL: [Self; 4] = [Self::Max, Self::Min, Self::Ceil, Self::Abs];

    fn name(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::Min => "min",
            Self::Ceil => "ceil",
            Self::Abs => "abs",
        }
    }

    fn takes_many(self) -> bool {
        matches!(self, Self::Max | Self::Min)
    }
}

impl fmt::Display for Formula {
    /// As it would be written with no more brackets than it needs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(&self.root, f)
    }
}

impl Formula {
    fn write(&self, node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match node {
            // Very large and very small ones with an exponent, or they would fill pages.
            Node::Number(number) if *number != 0.0 && !(1e-5..1e16).contains(number) => write!(f, "{number:e}"),
            Node::Number(number) => write!(f, "{number}"),
            Node::Input(place) => f.write_str(self.names.get(*place).map_or("?", String::as_str)),
            Node::Negated(part) => {
                f.write_str("-")?;
                self.write_bound(part, NEGATED, f)
            }
            Node::Binary(operator, left, right) => {
                self.write_bound(left, operator.binding(), f)?;
                write!(f, " {} ", operator.sign())?;
                self.write_bound(right, operator.binding() + 1, f)
            }
            Node::Call(function, parts) => {
                write!(f, "{}(", function.name())?;
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    self.write(part, f)?;
                }
                f.write_str(")")
            }
        }
    }

    /// In brackets unless it binds at least so tightly.
    fn write_bound(&self, node: &Node, least: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if node.binding() >= least {
            return self.write(node, f);
        }
        f.write_str("(")?;
        self.write(node, f)?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests;
