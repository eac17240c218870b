//! The only place that knows PromQL's syntax: checks a query and lists its selectors, from which the age of the newest
//! sample behind it can be asked. Evaluates nothing.

use std::convert::Infallible;

use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};

/// The bare selectors of a query, without ranges, offsets and `@`; each once.
///
/// # Errors
/// Why it is not PromQL.
pub fn selectors(promql: &str) -> Result<Vec<String>, String> {
    let expression = parser::parse(promql)?;
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
}
