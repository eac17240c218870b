//! `label_replace` and `label_join`: set a label from others.

use promql_parser::parser::Expr;
use regex::Regex;

use crate::promql::QueryError;
use crate::promql::evaluator::Evaluator;
use crate::promql::value::{Grid, Value, join_same, with_label};
use crate::series::METRIC_NAME;

impl Evaluator<'_> {
    pub(super) fn label_replace(&mut self, arguments: &[Box<Expr>], grid: Grid) -> Result<Value, QueryError> {
        let (target, replacement) = (self.text(&arguments[1])?, self.text(&arguments[2])?);
        let (source, pattern) = (self.text(&arguments[3])?, self.text(&arguments[4])?);
        let regex = Regex::new(&format!("^(?s:{pattern})$"))
            .map_err(|_| error(format!("invalid regular expression in label_replace(): {pattern}")))?;
        check_name(&target, "label_replace")?;
        let mut series = self.vector(&arguments[0], grid)?;
        for one in &mut series {
            let value = one.labels.get(&source).unwrap_or_default();
            let Some(captures) = regex.captures(value) else { continue };
            let mut replaced = String::new();
            captures.expand(&replacement, &mut replaced);
            one.labels = with_label(&one.labels, &target, &replaced);
            one.drop_name &= target != METRIC_NAME;
        }
        join_same(series).map(Value::Vector)
    }

    pub(super) fn label_join(&mut self, arguments: &[Box<Expr>], grid: Grid) -> Result<Value, QueryError> {
        let (target, separator) = (self.text(&arguments[1])?, self.text(&arguments[2])?);
        let sources: Vec<String> =
            arguments[3..].iter().map(|argument| self.text(argument)).collect::<Result<_, _>>()?;
        check_name(&target, "label_join")?;
        let mut series = self.vector(&arguments[0], grid)?;
        for one in &mut series {
            let values: Vec<&str> = sources.iter().map(|source| one.labels.get(source).unwrap_or_default()).collect();
            one.labels = with_label(&one.labels, &target, &values.join(&separator));
            one.drop_name &= target != METRIC_NAME;
        }
        join_same(series).map(Value::Vector)
    }
}

fn check_name(name: &str, function: &str) -> Result<(), QueryError> {
    if name.is_empty() || name.contains('\u{fffd}') {
        return Err(error(format!("invalid destination label name in {function}(): {name}")));
    }
    Ok(())
}

fn error(text: String) -> QueryError {
    QueryError::Execution(text)
}
