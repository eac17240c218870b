//! PromQL as people write it, for objectives with a window left open: `sum(rate(errors_total[{{.window}}]))`. The only place outside
//! the collector that knows PromQL's syntax; the queries of scaling policies are read here, too. Evaluates nothing.

use std::convert::Infallible;
use std::fmt;

use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};

/// How the window is written; Sloth's word, so that its queries can be taken over as they are.
pub const WINDOW: &str = "{{.window}}";

/// The longest query: what the collector takes.
const QUERY_BYTES_MAX: usize = 64 * 1024;

/// The most operators and brackets of a query: the parser recurses over the tree that it builds. As in the collector.
const OPERATORS_MAX: usize = 2_000;

/// Stands for the window while a query is parsed: a length that nobody writes, and that comes out of the parser as it goes in.
const STAND_IN: &str = "987654s";

/// A query with its window left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    unit: Unit,
}

/// What a query's number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// So many a second: `rate`.
    PerSecond,
    /// So many in the window: `increase` and everything else.
    Amount,
}

/// Whether a bare metric counts on and on or goes up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Counts on and on.
    Counter,
    /// Is what happened since the last sample.
    Gauge,
}

impl Template {
    /// Checks a query with [`WINDOW`] where its window is to stand.
    ///
    /// # Errors
    /// Why it is no such query.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = normal(text);
        if !text.contains(WINDOW) {
            return Err(format!("write {WINDOW} where the window is to stand, as in rate(errors_total[{WINDOW}])"));
        }
        // Within brackets, as it is used: a comment at its end would not survive them, and a plain number is no series.
        let expression = parsed(&format!("sum({})", text.replace(WINDOW, STAND_IN)))?;
        let mut per_second = false;
        walk(&expression, &mut |e| {
            per_second |= matches!(e, Expr::Call(call) if ["rate", "irate"].contains(&call.func.name));
        });
        Ok(Self { unit: if per_second { Unit::PerSecond } else { Unit::Amount }, text })
    }

    /// Makes a template of a query over bare metrics by putting each under a window: as an increase, or as a sum over time.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub fn over(text: &str, metric: Metric) -> Result<Self, String> {
        let mut expression = parsed(text)?;
        let mut has_range = false;
        walk(&expression, &mut |e| has_range |= matches!(e, Expr::MatrixSelector(_) | Expr::Subquery(_)));
        if has_range {
            return Err(format!("it has a range of its own; write [{WINDOW}] for it"));
        }
        let function = if metric == Metric::Counter { "increase" } else { "sum_over_time" };
        let mut found = 0;
        put_under(&mut expression, function, &mut found)?;
        if found == 0 {
            return Err("it reads no metric".to_owned());
        }
        let mark = parsed(&format!("x[{STAND_IN}]"))?.to_string();
        let mark = mark.trim_start_matches('x').trim_matches(['[', ']']).to_owned();
        Self::new(&expression.to_string().replace(&mark, WINDOW))
    }

    /// The query over a window such as `5m`.
    pub fn with(&self, window: &str) -> String {
        self.text.replace(WINDOW, window)
    }

    /// What its number is.
    pub fn unit(&self) -> Unit {
        self.unit
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a query is PromQL.
///
/// # Errors
/// Why it is not.
#[cfg(test)]
pub fn check(text: &str) -> Result<(), String> {
    parsed(text).map(|_| ())
}

/// The bare selectors of a query, without ranges, offsets and `@`; each once.
///
/// # Errors
/// Why it is not PromQL.
pub fn selectors(promql: &str) -> Result<Vec<String>, String> {
    let expression = parsed(promql)?;
    let mut found = Found::default();
    let Ok(_) = walk_expr(&mut found, &expression);
    Ok(found.selectors)
}

#[derive(Default)]
struct Found {
    selectors: Vec<String>,
}

impl Found {
    fn add(&mut self, selector: &VectorSelector) {
        let bare = VectorSelector { offset: None, at: None, ..selector.clone() };
        let text = bare.to_string();
        if !self.selectors.contains(&text) {
            self.selectors.push(text);
        }
    }
}

impl ExprVisitor for Found {
    type Error = Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Infallible> {
        match expression {
            Expr::VectorSelector(selector) => self.add(selector),
            Expr::MatrixSelector(matrix) => self.add(&matrix.vs),
            _ => {}
        }
        Ok(true)
    }
}

/// Without blanks around it, and with the window written in one way.
fn normal(text: &str) -> String {
    let variants = ["{{ .window }}", "{{ .window}}", "{{.window }}"];
    variants.iter().fold(text.trim().to_owned(), |text, variant| text.replace(variant, WINDOW))
}

/// Reads a query, whoever wrote it. The parser panics over some numbers that are no durations.
fn parsed(promql: &str) -> Result<Expr, String> {
    let is_operator = |word: &&str| ["and", "or", "unless", "atan2"].contains(&&*word.to_ascii_lowercase());
    let words = promql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(is_operator).count();
    let signs = promql.bytes().filter(|byte| b"(+-*/%^=!<>[".contains(byte)).count();
    if promql.len() > QUERY_BYTES_MAX || words + signs > OPERATORS_MAX {
        return Err(format!("it is longer than {QUERY_BYTES_MAX} bytes, or has more than {OPERATORS_MAX} operators"));
    }
    let parsed = std::panic::catch_unwind(|| parser::parse(promql));
    parsed.unwrap_or_else(|_| Err("it cannot be read".to_owned()))
}

fn walk(expression: &Expr, visit: &mut impl FnMut(&Expr)) {
    visit(expression);
    match expression {
        Expr::Aggregate(aggregate) => walk(&aggregate.expr, visit),
        Expr::Unary(unary) => walk(&unary.expr, visit),
        Expr::Binary(binary) => {
            walk(&binary.lhs, visit);
            walk(&binary.rhs, visit);
        }
        Expr::Paren(paren) => walk(&paren.expr, visit),
        Expr::Subquery(subquery) => walk(&subquery.expr, visit),
        Expr::Call(call) => call.args.args.iter().for_each(|argument| walk(argument, visit)),
        _ => {}
    }
}

fn put_under(expression: &mut Expr, function: &str, found: &mut usize) -> Result<(), String> {
    match expression {
        Expr::Aggregate(aggregate) => put_under(&mut aggregate.expr, function, found),
        Expr::Unary(unary) => put_under(&mut unary.expr, function, found),
        Expr::Binary(binary) => {
            put_under(&mut binary.lhs, function, found)?;
            put_under(&mut binary.rhs, function, found)
        }
        Expr::Paren(paren) => put_under(&mut paren.expr, function, found),
        Expr::Call(call) => call.args.args.iter_mut().try_for_each(|argument| put_under(argument, function, found)),
        Expr::VectorSelector(selector) => {
            *found += 1;
            *expression = under(selector, function)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn under(selector: &VectorSelector, function: &str) -> Result<Expr, String> {
    if selector.offset.is_some() || selector.at.is_some() {
        return Err("it has an offset or @, which an objective's window does not".to_owned());
    }
    parsed(&format!("{function}({selector}[{STAND_IN}])"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_metrics_are_put_under_the_window() {
        let of = |text: &str, metric| Template::over(text, metric).map(|t| t.to_string());
        assert_eq!(
            of(r#"sum(http_requests{code=~"2xx|3xx"}) / 2"#, Metric::Counter).unwrap(),
            r#"sum(increase(http_requests{code=~"2xx|3xx"}[{{.window}}])) / 2"#
        );
        assert_eq!(
            of("a - b", Metric::Gauge).unwrap(),
            "sum_over_time(a[{{.window}}]) - sum_over_time(b[{{.window}}])"
        );
        assert!(of("sum(rate(x[5m]))", Metric::Counter).unwrap_err().contains("range of its own"));
        assert!(of("1 + 1", Metric::Counter).unwrap_err().contains("no metric"));
        assert!(of("x offset 5m", Metric::Counter).unwrap_err().contains("offset"));
    }

    #[test]
    fn a_template_knows_whether_it_counts_by_the_second() {
        assert_eq!(Template::new("sum(rate(x[{{ .window }}]))").unwrap().unit(), Unit::PerSecond);
        assert_eq!(Template::new("sum(\n  increase(x[{{.window}}])\n)").unwrap().unit(), Unit::Amount);
        assert_eq!(Template::new("sum(increase(x[{{.window}}]))").unwrap().with("5m"), "sum(increase(x[5m]))");
        assert!(Template::new("sum(rate(x[5m]))").unwrap_err().contains("{{.window}}"));
        assert!(Template::new("sum(rate(x[{{.window}}])").is_err());
    }

    #[test]
    fn finds_each_selector_once_and_bare() {
        let query = r#"sum(rate(http_requests_total{service="order"}[1m] offset 5m)) / count(up{job="x"} @ 10) + count(up{job="x"})"#;
        let expected = [r#"http_requests_total{service="order"}"#, r#"up{job="x"}"#];
        assert_eq!(selectors(query).unwrap(), expected);
    }

    #[test]
    fn refuses_what_is_not_promql() {
        assert!(selectors("sum(rate(x[1m])").is_err());
        assert!(selectors("").is_err());
    }

    #[test]
    fn refuses_what_the_parser_would_not_survive() {
        for query in ["up[1e300]".to_owned(), format!("{}up", "-(".repeat(50_000)), "up + ".repeat(5_000) + "up"] {
            assert!(selectors(&query).is_err(), "{}", &query[..9]);
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,60}") {
            let _ = (Template::new(&text), Template::over(&text, Metric::Counter), check(&text));
        }
    }
}
