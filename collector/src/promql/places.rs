//! Where in a query's text its parts stand, so that notes can say so. The parser keeps no places; functions, parentheses and
//! operands come in the same order in the text and in a walk over the tree, and that is all this relies on.

mod outline;

use std::borrow::Cow;
use std::collections::HashMap;

use promql_parser::parser::Expr;

use super::histogram::Kept;
use crate::promql::QueryError;
use outline::{Kind, Part};

/// Places of the parts of one query.
#[derive(Debug, Default)]
pub(super) struct Places {
    query: String,
    by_node: HashMap<usize, Part>,
    /// Operations that trim histograms. The parser does not know them, and has read comparisons: see `for_parser`.
    trims: HashMap<usize, Kept>,
    /// There are such operations, and which they are is not known.
    trims_lost: bool,
}

impl Places {
    /// Finds all places; none if text and tree do not agree.
    pub fn of(query: &str, expr: &Expr) -> Self {
        let found = outline::read(query).unwrap_or_default();
        let (mut nodes, mut operations) = (Vec::new(), Vec::new());
        parts_of_tree(expr, &mut nodes, &mut operations);
        let agree = found.parts.iter().map(|part| part.kind).eq(nodes.iter().map(|(_, kind)| *kind));
        if !agree || found.operators.len() != operations.len() {
            return Self { trims_lost: !trims(query).is_empty(), ..Self::default() };
        }
        let by_node = nodes.into_iter().map(|(node, _)| node).zip(found.parts).collect();
        let trims = operations.into_iter().zip(found.operators);
        let trims = trims.filter_map(|(node, kept)| kept.map(|kept| (node, kept))).collect();
        Self { query: query.to_owned(), by_node, trims, trims_lost: false }
    }

    /// What an operation trims, if it is `</` or `>/`.
    pub fn trim(&self, node: &Expr) -> Result<Option<Kept>, QueryError> {
        if self.trims_lost {
            return Err(QueryError::Parse("parse error: \"</\" and \">/\" are not understood here".to_owned()));
        }
        Ok(self.trims.get(&identity(node)).copied())
    }

    /// ` (line:column)` of an expression, or nothing.
    pub fn start(&self, node: &Expr) -> String {
        self.shown(self.begin(node))
    }

    /// ` (line:column)` of a function's argument, or nothing.
    pub fn argument(&self, node: &Expr, index: usize) -> String {
        let part = self.by_node.get(&identity(node));
        self.shown(part.and_then(|part| part.arguments.get(index)).copied())
    }

    /// Where an expression begins: an operation where its left side does.
    fn begin(&self, node: &Expr) -> Option<usize> {
        match node {
            Expr::Binary(binary) => self.begin(&binary.lhs),
            Expr::Subquery(subquery) => self.begin(&subquery.expr),
            Expr::Unary(unary) => self.first(&unary.expr).map(|part| part.sign),
            _ => self.first(node).map(|part| part.start),
        }
    }

    /// The part with which an expression begins.
    fn first(&self, node: &Expr) -> Option<&Part> {
        match node {
            Expr::Binary(binary) => self.first(&binary.lhs),
            Expr::Subquery(subquery) => self.first(&subquery.expr),
            Expr::Unary(unary) => self.first(&unary.expr),
            _ => self.by_node.get(&identity(node)),
        }
    }

    fn shown(&self, at: Option<usize>) -> String {
        at.map_or_else(String::new, |at| format!(" ({})", line_and_column(&self.query, at)))
    }
}

fn identity(node: &Expr) -> usize {
    std::ptr::from_ref(node).addr()
}

/// Parts, and operations with two sides, in order of the text.
fn parts_of_tree(expr: &Expr, nodes: &mut Vec<(usize, Kind)>, operations: &mut Vec<usize>) {
    let kind = match expr {
        Expr::Call(_) | Expr::Aggregate(_) => Some(Kind::Call),
        Expr::Paren(_) => Some(Kind::Paren),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::VectorSelector(_) | Expr::MatrixSelector(_) => {
            Some(Kind::Leaf)
        }
        Expr::Unary(_) | Expr::Binary(_) | Expr::Subquery(_) | Expr::Extension(_) => None,
    };
    nodes.extend(kind.map(|kind| (identity(expr), kind)));
    for (place, child) in super::parse::children(expr).into_iter().enumerate() {
        if place == 1 && matches!(expr, Expr::Binary(_)) {
            operations.push(identity(expr));
        }
        parts_of_tree(child, nodes, operations);
    }
}

/// Where the second character of each `</` and `>/` is.
fn trims(query: &str) -> Vec<usize> {
    let tokens = tokens(query);
    let pairs = tokens.windows(2).filter(|pair| {
        matches!(pair[0].0, Token::Other(b'<' | b'>')) && pair[1].0 == Token::Other(b'/') && pair[0].2 == pair[1].1
    });
    pairs.map(|pair| pair[1].1).collect()
}

/// Whether there are `</` or `>/`.
pub(super) fn has_trims(query: &str) -> bool {
    !trims(query).is_empty()
}

/// The query as the parser reads it: with comparisons in place of `</` and `>/`, which bind alike, and offsets of nothing as a
/// number, since it takes no other.
pub(super) fn for_parser(query: &str) -> Cow<'_, str> {
    let (trims, offsets) = (trims(query), empty_offsets(query));
    if trims.is_empty() && offsets.is_empty() {
        return Cow::Borrowed(query);
    }
    let mut plain = query.to_owned();
    for at in trims {
        plain.replace_range(at..=at, " ");
    }
    // From the last to the first, so that places in front stay what they are.
    for (start, end) in offsets.into_iter().rev() {
        plain.replace_range(start..end, "0.0");
    }
    Cow::Owned(plain)
}

/// Where durations of nothing, such as `0s`, stand after `offset`.
fn empty_offsets(query: &str) -> Vec<(usize, usize)> {
    let tokens = tokens(query);
    let text = |index: usize| tokens.get(index).map_or("", |(_, start, end)| &query[*start..*end]);
    let is_empty = |text: &str| {
        let digits = text.chars().all(|c| c == '0' || "msdhwy".contains(c));
        digits && text.starts_with('0')
    };
    let after_offset = (0..tokens.len()).filter(|index| text(*index).eq_ignore_ascii_case("offset"));
    let durations = after_offset.map(|index| index + 1 + usize::from(["+", "-"].contains(&text(index + 1))));
    durations.filter(|index| is_empty(text(*index))).map(|index| (tokens[index].1, tokens[index].2)).collect()
}

/// A token with where it begins and ends.
type Placed = (Token, usize, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Word,
    Open,
    Close,
    Comma,
    Other(u8),
}

/// How many operators and parentheses stand outside of braces: no tree of the query is deeper than that.
pub(super) fn operators(query: &str) -> usize {
    let mut braces = 0usize;
    let mut count = 0;
    for (token, start, end) in tokens(query) {
        let counts = match token {
            Token::Open => true,
            Token::Other(b'{') => {
                braces += 1;
                false
            }
            Token::Other(b'}') => {
                braces = braces.saturating_sub(1);
                false
            }
            Token::Other(byte) => braces == 0 && b"+-*/%^<>=![".contains(&byte),
            Token::Word => ["and", "or", "unless", "atan2"].contains(&query[start..end].to_ascii_lowercase().as_str()),
            Token::Close | Token::Comma => false,
        };
        count += usize::from(counts);
    }
    count
}

/// A quoted text that writes a byte above 127 by an escape, quotes included. In Go such a text may not be Unicode, which no
/// label is; here texts are Unicode, and the escape would silently mean another character.
pub(super) fn text_with_byte_escape(query: &str) -> Option<&str> {
    let quoted = tokens(query).into_iter().filter(|(token, _, _)| matches!(token, Token::Other(b'"' | b'\'')));
    quoted.map(|(_, start, end)| &query[start..end]).find(|text| has_byte_escape(text.as_bytes()))
}

/// Whether a number stands for a duration, after `offset` or in brackets, and is none or longer than any: the parser would
/// panic.
pub(super) fn has_endless_duration(query: &str) -> bool {
    // 2^63 nanoseconds in seconds.
    const SECONDS_MAX: f64 = 9.223_372_036e9;
    let tokens = tokens(query);
    let text = |index: usize| tokens.get(index).map_or("", |(_, start, end)| &query[*start..*end]);
    (0..tokens.len()).any(|index| {
        let first = match tokens[index].0 {
            Token::Other(b'[') => index + 1,
            Token::Word if !text(index).eq_ignore_ascii_case("offset") => return false,
            Token::Word => index + 1 + usize::from(["+", "-"].contains(&text(index + 1))),
            _ => return false,
        };
        let rest = tokens.get(first).map_or("", |(_, start, _)| &query[*start..]);
        let number = rest.split([' ', '\t', '\n', '\r', ']', ')', '}', ',']).next().unwrap_or_default();
        number.split(':').any(|part| part.parse().is_ok_and(|seconds: f64| seconds.is_nan() || seconds > SECONDS_MAX))
    })
}

fn has_byte_escape(text: &[u8]) -> bool {
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'\\', [b'x', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..] | [b'2'..=b'3', b'0'..=b'7', ..]) => {
                return true;
            }
            (b'\\', [_, beyond @ ..]) => beyond,
            _ => after,
        };
    }
    false
}

fn tokens(query: &str) -> Vec<Placed> {
    let bytes = query.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let token = match bytes[at] {
            b'#' => {
                at = end_of(bytes, at, |byte| byte != b'\n');
                continue;
            }
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            quote @ (b'"' | b'\'' | b'`') => {
                at = end_of_text(bytes, at, quote);
                Token::Other(quote)
            }
            byte if is_word(byte) => {
                at = end_of(bytes, at, |byte| is_word(byte) || byte == b'.');
                Token::Word
            }
            byte => {
                at += 1;
                match byte {
                    b'(' => Token::Open,
                    b')' => Token::Close,
                    b',' => Token::Comma,
                    other => Token::Other(other),
                }
            }
        };
        // A character of several bytes outside of texts is not PromQL; its bytes are no places to cut at.
        if query.is_char_boundary(start) && query.is_char_boundary(at) {
            tokens.push((token, start, at));
        }
    }
    tokens
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

fn end_of(bytes: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    bytes[from..].iter().position(|byte| !belongs(*byte)).map_or(bytes.len(), |length| from + length)
}

fn end_of_text(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut at = from + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' && quote != b'`' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn line_and_column(query: &str, at: usize) -> String {
    let before = &query.as_bytes()[..at];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    format!("{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(query: &str) -> (Expr, Vec<String>) {
        let expr = promql_parser::parser::parse(query).unwrap();
        let places = Places::of(query, &expr);
        let mut nodes = Vec::new();
        parts_of_tree(&expr, &mut nodes, &mut Vec::new());
        let at = |at: usize| line_and_column(query, at);
        let shown = nodes.iter().map(|(node, _)| &places.by_node[node]).map(|part| at(part.start)).collect();
        (expr, shown)
    }

    #[test]
    fn finds_functions_operands_and_parentheses() {
        let query = "sum by (a, b) (\n  rate(x{l=\"f(\"}[5m] @ start())) + topk(2, (y))";
        assert_eq!(places(query).1, ["1:1", "2:3", "2:8", "2:36", "2:41", "2:44", "2:45"]);
    }

    #[test]
    fn finds_arguments_and_where_operations_begin() {
        let query =
            "histogram_quantile(0.9, sum without (le) (x) * 2) > bool on (a) group_left (b) -y{c=\"d\"} offset -5m";
        let (expr, _) = places(query);
        let places = Places::of(query, &expr);
        assert_eq!(places.start(&expr), " (1:1)");
        let Expr::Binary(binary) = &expr else { panic!("no operation") };
        assert_eq!(
            (places.argument(&binary.lhs, 0), places.argument(&binary.lhs, 1)),
            (" (1:20)".into(), " (1:25)".into())
        );
        let Expr::Call(call) = &*binary.lhs else { panic!("no call") };
        assert_eq!(places.start(&call.args.args[1]), " (1:25)");
        assert_eq!(places.start(&binary.rhs), " (1:80)");
    }

    #[test]
    fn text_and_tree_agree_on_all_that_is_syntax() {
        for query in [
            "1e-5 + 1.5E+3 * .5 - 0x1f",
            "-(-x)",
            "-1",
            "x[5m:1m] offset 1m",
            "max_over_time((x + y)[5m:])",
            "{__name__=\"a\"} and on () {\"b c\"}",
            "count_values(\"v\", x) by (a)",
            "avg(x) without (a,)",
            "x @ 5 unless y @ end()",
            "x ^ -y atan2 z",
            "x<=y != bool 3",
            "vector(Inf) == bool NaN",
            "time()",
            "x </ 5 >/ on () group_left y",
        ] {
            let expr = crate::promql::parse(query).unwrap();
            assert!(!Places::of(query, &expr).by_node.is_empty(), "{query}");
        }
    }

    #[test]
    fn tells_trimming_from_comparing() {
        let query = "a < \"</\" >/ (b </ 2) > c";
        assert_eq!(for_parser(query), "a < \"</\" >  (b <  2) > c");
        let query = "a < (b </ 2) >/ c";
        let expr = crate::promql::parse(query).unwrap();
        let places = Places::of(query, &expr);
        let Expr::Binary(outer) = &expr else { panic!("no operation") };
        let Expr::Binary(inner) = &*outer.lhs else { panic!("no operation") };
        assert_eq!((places.trim(&expr), places.trim(&outer.lhs)), (Ok(Some(Kept::Above)), Ok(None)));
        assert_eq!(places.trim(super::super::parse::bare(&inner.rhs)), Ok(Some(Kept::Below)));
    }
}
