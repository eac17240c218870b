//! From text to a tree that the evaluator can take: syntax by `promql-parser`, then what it lets through and Prometheus does not.

use promql_parser::label::{MatchOp as ParsedOp, Matchers};
use promql_parser::parser::{AtModifier, Expr, Offset, VectorMatchFillValues};
use regex::Regex;
use std::time::{Duration, SystemTime};

use crate::promql::QueryError;
use crate::series::{METRIC_NAME, MatchOp, Matcher};

/// The longest query that is read. Dashboards write some kilobytes; this leaves room for generated ones.
const QUERY_BYTES_MAX: usize = 64 * 1024;

/// The deepest tree that is evaluated, so that recursion stays within a thread's stack of 2 MiB with ample room.
const DEPTH_MAX: usize = 256;

/// The most operators and parentheses of a query: the parser, too, recurses over the tree that it builds.
const OPERATORS_MAX: usize = 2_000;

/// Functions of the syntax that need native histograms, start timestamps or info metrics.
const UNSUPPORTED: [&str; 3] = ["info", "integral", "start_timestamp"];

/// Reads and checks a query.
pub fn parse(query: &str) -> Result<Expr, QueryError> {
    check_size(query)?;
    if super::places::has_endless_duration(query) {
        return Err(error("duration out of range"));
    }
    let plain = super::places::for_parser(query);
    // The parser panics over some numbers that are no durations; what the check above does not see ends here.
    let parsed = std::panic::catch_unwind(|| promql_parser::parser::parse(&plain));
    let expr =
        parsed.unwrap_or_else(|_| Err("the query cannot be read".to_owned())).map_err(|reason| error(&reason))?;
    check_tree(&expr)?;
    Ok(expr)
}

/// A query as it is kept: in the parser's spelling.
///
/// # Errors
/// If it is none.
pub fn canonical(query: &str) -> Result<String, QueryError> {
    printed(query, ToString::to_string)
}

/// A query as people like to read it: over several lines, if it is long.
///
/// # Errors
/// If it is none.
pub fn prettified(query: &str) -> Result<String, QueryError> {
    printed(query, Expr::prettify)
}

/// A query, printed. One that would say something else then stays as it was written: the parser prints neither what it does not
/// know, such as `</`, nor every text and number as it reads them.
fn printed(query: &str, print: impl Fn(&Expr) -> String) -> Result<String, QueryError> {
    let expr = parse(query)?;
    let text = print(&expr);
    let is_same = !super::places::has_trims(query) && parse(&text).is_ok_and(|again| again == expr);
    Ok(if is_same { text } else { query.trim().to_owned() })
}

/// Reads a selector such as `up{job="x"}` into matchers.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    match parse(text)? {
        Expr::VectorSelector(selector) if selector.offset.is_none() && selector.at.is_none() => {
            matchers(selector.name.as_deref(), &selector.matchers)
        }
        _ => Err(error("expected a series selector such as up{job=\"node\"}")),
    }
}

/// The selectors of a query, wherever in it they stand.
pub fn selectors(query: &str) -> Result<Vec<Vec<Matcher>>, QueryError> {
    let expr = parse(query)?;
    let mut found = Vec::new();
    let mut pending = vec![&expr];
    while let Some(node) = pending.pop() {
        match node {
            Expr::VectorSelector(selector) => found.push(matchers(selector.name.as_deref(), &selector.matchers)?),
            Expr::MatrixSelector(range) => found.push(matchers(range.vs.name.as_deref(), &range.vs.matchers)?),
            _ => {}
        }
        pending.extend(children(node));
    }
    Ok(found)
}

fn error(reason: &str) -> QueryError {
    QueryError::Parse(format!("parse error: {reason}"))
}

fn check_size(query: &str) -> Result<(), QueryError> {
    if query.len() > QUERY_BYTES_MAX {
        return Err(error(&format!("the query is longer than {QUERY_BYTES_MAX} bytes")));
    }
    if super::places::operators(query) > OPERATORS_MAX {
        return Err(error(&format!("the query has more than {OPERATORS_MAX} operators and parentheses")));
    }
    if let Some(text) = super::places::text_with_byte_escape(query) {
        return Err(QueryError::Execution(format!("invalid label name {text}")));
    }
    Ok(())
}

fn check_tree(expr: &Expr) -> Result<(), QueryError> {
    let mut pending = vec![(expr, 1usize)];
    while let Some((node, depth)) = pending.pop() {
        if depth > DEPTH_MAX {
            return Err(error(&format!("the query nests deeper than {DEPTH_MAX} levels")));
        }
        check_node(node)?;
        pending.extend(children(node).into_iter().map(|child| (child, depth + 1)));
    }
    Ok(())
}

/// Durations and times that Prometheus, which counts nanoseconds and milliseconds in 64 bits, has no room for.
fn check_times(
    offset: Option<&Offset>,
    at: Option<&AtModifier>,
    ranges: &[Option<Duration>],
) -> Result<(), QueryError> {
    let offset = offset.map(|offset| match offset {
        Offset::Pos(duration) | Offset::Neg(duration) => *duration,
    });
    let too_long = |duration: &Duration| i64::try_from(duration.as_nanos()).is_err();
    if ranges.iter().copied().chain([offset]).flatten().any(|duration| too_long(&duration)) {
        return Err(error("duration out of range"));
    }
    match at_ms(at, 0, 0) {
        Some(ms) if ms.unsigned_abs() >= i64::MAX.unsigned_abs() => {
            Err(error("timestamp out of bounds for @ modifier"))
        }
        _ => Ok(()),
    }
}

fn check_node(node: &Expr) -> Result<(), QueryError> {
    match node {
        Expr::VectorSelector(selector) => check_times(selector.offset.as_ref(), selector.at.as_ref(), &[])?,
        Expr::MatrixSelector(selector) => {
            check_times(selector.vs.offset.as_ref(), selector.vs.at.as_ref(), &[Some(selector.range)])?;
        }
        Expr::Subquery(subquery) => {
            check_times(subquery.offset.as_ref(), subquery.at.as_ref(), &[Some(subquery.range), subquery.step])?;
        }
        _ => {}
    }
    match node {
        Expr::VectorSelector(selector) => check_matchers(&selector.matchers),
        Expr::MatrixSelector(selector) if selector.range.is_zero() => Err(error("duration must be greater than 0")),
        Expr::MatrixSelector(selector) => check_matchers(&selector.vs.matchers),
        Expr::Subquery(subquery) if subquery.range.is_zero() || subquery.step.is_some_and(|step| step.is_zero()) => {
            Err(error("duration must be greater than 0"))
        }
        Expr::Call(call) if UNSUPPORTED.contains(&call.func.name) => {
            Err(error(&format!("function {} is not supported", call.func.name)))
        }
        Expr::Binary(binary) => match &binary.modifier {
            Some(modifier) if modifier.fill_values != VectorMatchFillValues::default() => {
                Err(error("fill modifiers are not supported"))
            }
            _ => Ok(()),
        },
        Expr::Extension(_) => Err(error("extensions are not supported")),
        _ => Ok(()),
    }
}

fn check_matchers(matchers: &Matchers) -> Result<(), QueryError> {
    if matchers.or_matchers.is_empty() { Ok(()) } else { Err(error("unexpected \"or\" inside of braces")) }
}

/// The expressions directly below, in the order of the text.
pub(super) fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Aggregate(aggregate) => aggregate.param.iter().map(|p| &**p).chain([&*aggregate.expr]).collect(),
        Expr::Unary(unary) => vec![&unary.expr],
        Expr::Binary(binary) => vec![&binary.lhs, &binary.rhs],
        Expr::Paren(paren) => vec![&paren.expr],
        Expr::Subquery(subquery) => vec![&subquery.expr],
        Expr::Call(call) => call.args.args.iter().map(|argument| &**argument).collect(),
        Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Extension(_) => Vec::new(),
    }
}

/// The expression inside of any parentheses.
pub(super) fn bare(mut expr: &Expr) -> &Expr {
    while let Expr::Paren(paren) = expr {
        expr = &paren.expr;
    }
    expr
}

/// A selector's conditions, with the metric's name as one of them.
pub(super) fn matchers(name: Option<&str>, parsed: &Matchers) -> Result<Vec<Matcher>, QueryError> {
    let named = name.map(|name| Ok(Matcher::equal(METRIC_NAME, name)));
    named.into_iter().chain(parsed.matchers.iter().map(matcher)).collect()
}

fn matcher(parsed: &promql_parser::label::Matcher) -> Result<Matcher, QueryError> {
    let op = match &parsed.op {
        ParsedOp::Equal => MatchOp::Equal(parsed.value.clone()),
        ParsedOp::NotEqual => MatchOp::NotEqual(parsed.value.clone()),
        ParsedOp::Re(parsed_regex) => MatchOp::Regex(anchored(&parsed.value, parsed_regex)),
        ParsedOp::NotRe(parsed_regex) => MatchOp::NotRegex(anchored(&parsed.value, parsed_regex)),
    };
    Ok(Matcher { name: parsed.name.clone(), op })
}

/// As in Prometheus 3, `.` fits a line break too; where that reading fails, the parser's own, more forgiving one stands.
fn anchored(pattern: &str, parsed: &Regex) -> Regex {
    Regex::new(&format!("^(?s:{pattern})$")).unwrap_or_else(|_| parsed.clone())
}

/// Whole milliseconds; what does not fit is as long as can be.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How far back a selector is moved, in milliseconds; negative is forward.
pub(super) fn offset_ms(offset: Option<&Offset>) -> i64 {
    match offset {
        None => 0,
        Some(Offset::Pos(duration)) => millis(*duration),
        Some(Offset::Neg(duration)) => -millis(*duration),
    }
}

/// The fixed time of an `@`, given the start and end of the query.
pub(super) fn at_ms(at: Option<&AtModifier>, start_ms: i64, end_ms: i64) -> Option<i64> {
    Some(match at? {
        AtModifier::Start => start_ms,
        AtModifier::End => end_ms,
        AtModifier::At(time) => match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        },
    })
}
