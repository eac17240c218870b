//! The only place that knows PromQL's syntax: checks a query and lists its selectors, from which the age of the newest
//! sample behind it can be asked. Evaluates nothing.

use std::convert::Infallible;

use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};

/// The longest query of a policy: what the collector takes.
const QUERY_BYTES_MAX: usize = 64 * 1024;

/// The most operators and brackets of a query: the parser recurses over the tree that it builds. As in the collector.
const OPERATORS_MAX: usize = 2_000;

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

#[cfg(test)]
mod tests {
    use super::selectors;

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
}
