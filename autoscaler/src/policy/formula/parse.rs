//! Reads a formula by recursive descent and checks it on the way: names, units, constants, depth. Panics at nothing.

use super::unit::Unit;
use super::{DEPTH_MAX, FORMULA_BYTES_MAX, Formula, FormulaError, Function, Node, Operator};

/// What may follow a part, for errors.
const AFTER_A_PART: &str = "expected + - * / ?? or the end";

/// Reads a formula; see [`Formula::parse`].
pub(super) fn parse(
    text: &str,
    inputs: &[(String, Option<Unit>)],
    result: Option<&Unit>,
) -> Result<Formula, FormulaError> {
    let mut parser = Parser { text, at: 0, depth: 0, inputs, used: vec![false; inputs.len()] };
    if text.len() > FORMULA_BYTES_MAX {
        return parser
            .fail(FORMULA_BYTES_MAX, format!("found {} bytes, expected at most {FORMULA_BYTES_MAX}", text.len()));
    }
    let part = parser.sum()?;
    if let Some(found) = parser.peek() {
        return parser.fail(parser.at, unexpected(found, parser.rest()));
    }
    if let (Measure::In(unit), Some(expected)) = (&part.measure, result)
        && unit != expected
    {
        return parser.fail(
            0,
            format!("the formula gives {unit}, and its unit is said to be {expected}: change the one or the other"),
        );
    }
    if let Some(unused) = parser.used.iter().position(|used| !used) {
        let name = &inputs[unused].0;
        return parser.fail(0, format!("the query {name} is not in the formula: use it or remove it"));
    }
    Ok(Formula { root: part.node, names: inputs.iter().map(|(name, _)| name.clone()).collect() })
}

/// What a part is measured in.
#[derive(Debug, Clone, PartialEq)]
enum Measure {
    /// A number that was written: it takes the unit of what it is added to, and none when it is multiplied by.
    Plain,
    /// Nobody has said.
    Unknown,
    /// This.
    In(Unit),
}

/// A part that has been read.
struct Part {
    node: Node,
    measure: Measure,
    /// There is no input in it.
    is_constant: bool,
}

struct Parser<'a> {
    text: &'a str,
    /// Bytes read.
    at: usize,
    depth: usize,
    inputs: &'a [(String, Option<Unit>)],
    used: Vec<bool>,
}

type Parsed<T> = Result<T, FormulaError>;

impl Parser<'_> {
    fn fail<T>(&self, at: usize, what: String) -> Parsed<T> {
        let before = self.text.get(..at.min(self.text.len())).map_or(at, |text| text.chars().count());
        Err(FormulaError { what, at: before + 1 })
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// The next character that is no blank.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    fn take(&mut self, sign: &str) -> bool {
        let is_next = self.peek().is_some() && self.rest().starts_with(sign);
        if is_next {
            self.at += sign.len();
        }
        is_next
    }

    fn sum(&mut self) -> Parsed<Part> {
        self.chain(&[Operator::Add, Operator::Subtract], Self::product)
    }

    fn product(&mut self) -> Parsed<Part> {
        self.chain(&[Operator::Multiply, Operator::Divide], Self::signed)
    }

    fn chain(&mut self, operators: &[Operator], next: impl Fn(&mut Self) -> Parsed<Part>) -> Parsed<Part> {
        let mut left = next(self)?;
        loop {
            self.peek();
            let at = self.at;
            // `**` is a power elsewhere, and no operator here.
            let is_power = self.rest().starts_with("**");
            let Some(operator) = operators.iter().find(|o| !is_power && self.take(o.sign())) else { return Ok(left) };
            let right = next(self)?;
            left = self.join(*operator, left, right, at)?;
        }
    }

    fn signed(&mut self) -> Parsed<Part> {
        if !self.take("-") {
            return self.with_else();
        }
        let Part { node, measure, is_constant } = self.deeper(Self::signed)?;
        Ok(Part { node: Node::Negated(Box::new(node)), measure, is_constant })
    }

    fn with_else(&mut self) -> Parsed<Part> {
        self.chain(&[Operator::Else], Self::primary)
    }

    fn deeper<T>(&mut self, read: impl Fn(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fail(self.at, format!("brackets and signs are nested more than {DEPTH_MAX} deep"));
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn primary(&mut self) -> Parsed<Part> {
        match self.peek() {
            Some('(') => {
                self.at += 1;
                let part = self.deeper(Self::sum)?;
                if !self.take(")") {
                    return self.fail(self.at, "expected ) to the bracket that was opened".to_owned());
                }
                Ok(part)
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.named(),
            Some(c) => self.fail(self.at, format!("found {c:?}, expected a number, a query's name, a function or (")),
            None => self
                .fail(self.at, "the formula ends here, expected a number, a query's name, a function or (".to_owned()),
        }
    }

    fn number(&mut self) -> Parsed<Part> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut end = digits(start);
        if bytes.get(end) == Some(&b'.') {
            end = digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = end + 1 + sign;
            end = if digits(exponent) > exponent { digits(exponent) } else { end };
        }
        self.at = end;
        let text = &self.text[start..end];
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                Ok(Part { node: Node::Number(number), measure: Measure::Plain, is_constant: true })
            }
            Ok(_) => self.fail(start, format!("{text} is too large to be a number")),
            Err(_) => self.fail(start, format!("{text:?} is no number")),
        }
    }

    fn named(&mut self) -> Parsed<Part> {
        let start = self.at;
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = self.rest().split(|c| !is_of_name(c)).next().unwrap_or_default().to_owned();
        self.at += name.len();
        if self.take("(") {
            let Some(function) = Function::ALL.into_iter().find(|function| function.name() == name) else {
                let known: Vec<&str> = Function::ALL.iter().map(|function| function.name()).collect();
                return self.fail(start, format!("there is no function {name}, expected one of {}", known.join(", ")));
            };
            return self.call(function, start);
        }
        let Some(place) = self.inputs.iter().position(|(input, _)| *input == name) else {
            let known: Vec<&str> = self.inputs.iter().map(|(name, _)| name.as_str()).collect();
            return self.fail(start, format!("there is no query {name}, expected one of {}", known.join(", ")));
        };
        self.used[place] = true;
        let measure = self.inputs[place].1.clone().map_or(Measure::Unknown, Measure::In);
        Ok(Part { node: Node::Input(place), measure, is_constant: false })
    }

    fn call(&mut self, function: Function, at: usize) -> Parsed<Part> {
        let first = self.deeper(Self::sum)?;
        let (mut measure, mut is_constant, mut nodes) = (first.measure, first.is_constant, vec![first.node]);
        while self.take(",") {
            let part = self.deeper(Self::sum)?;
            measure = self.alike(function.name(), measure, part.measure, at)?;
            is_constant &= part.is_constant;
            nodes.push(part.node);
        }
        if !self.take(")") {
            return self.fail(self.at, format!("expected , or ) in the call of {}", function.name()));
        }
        if nodes.len() > 1 && !function.takes_many() {
            return self.fail(at, format!("{} takes one number, found {}", function.name(), nodes.len()));
        }
        self.constant(Part { node: Node::Call(function, nodes), measure, is_constant }, at)
    }

    fn join(&self, operator: Operator, left: Part, right: Part, at: usize) -> Parsed<Part> {
        let measure = match operator {
            Operator::Add | Operator::Subtract | Operator::Else => {
                self.alike(operator.sign(), left.measure, right.measure, at)?
            }
            Operator::Multiply => product(left.measure, right.measure, Unit::times),
            Operator::Divide => product(left.measure, right.measure, Unit::per),
        };
        if operator == Operator::Divide
            && right.is_constant
            && right.node.evaluate(&[]).is_some_and(|divisor| divisor.number == 0.0)
        {
            return self.fail(at, "it is divided by 0, which gives no number ever".to_owned());
        }
        let is_constant = left.is_constant && right.is_constant;
        let node = Node::Binary(operator, Box::new(left.node), Box::new(right.node));
        self.constant(Part { node, measure, is_constant }, at)
    }

    /// What two parts that must be alike are measured in.
    fn alike(&self, between: &str, left: Measure, right: Measure, at: usize) -> Parsed<Measure> {
        match (left, right) {
            (Measure::In(left), Measure::In(right)) if left != right => self.fail(
                at,
                format!("{between} has {left} on one side and {right} on the other: bring both to one unit first"),
            ),
            (Measure::In(unit), _) | (_, Measure::In(unit)) => Ok(Measure::In(unit)),
            (Measure::Plain, Measure::Plain) => Ok(Measure::Plain),
            _ => Ok(Measure::Unknown),
        }
    }

    /// Numbers alone must give a number.
    fn constant(&self, part: Part, at: usize) -> Parsed<Part> {
        if part.is_constant && part.node.evaluate(&[]).is_none() {
            return self.fail(at, "the numbers here give none that is finite".to_owned());
        }
        Ok(part)
    }
}

fn product(left: Measure, right: Measure, combine: impl Fn(Unit, &Unit) -> Unit) -> Measure {
    match (left, right) {
        (Measure::Unknown, _) | (_, Measure::Unknown) => Measure::Unknown,
        (Measure::Plain, Measure::Plain) => Measure::Plain,
        (Measure::In(unit), Measure::Plain) => Measure::In(unit),
        (Measure::Plain, Measure::In(unit)) => Measure::In(combine(Unit::default(), &unit)),
        (Measure::In(left), Measure::In(right)) => Measure::In(combine(left, &right)),
    }
}

/// What to say of something after a part.
fn unexpected(found: char, rest: &str) -> String {
    let word: String = rest.chars().take_while(|c| "<>=!&|?:%^*".contains(*c)).collect();
    if word.is_empty() {
        return format!("found {found:?}, {AFTER_A_PART}");
    }
    format!("{word} is not known here, {AFTER_A_PART}; of comparisons max and min say most")
}
