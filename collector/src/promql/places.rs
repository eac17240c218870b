//! Where in a query's text each function and aggregation stands, so that notes can say so. The parser keeps no places;
//! functions come in the same order in the text and in a walk over the tree, and that is all this relies on.

use std::collections::HashMap;

use promql_parser::parser::Expr;

/// Words before a parenthesis that are not functions.
const KEYWORDS: [&str; 15] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "atan2",
    "fill",
    "fill_left",
    "fill_right",
];

/// Places of the functions and aggregations of one query.
#[derive(Debug, Default)]
pub(super) struct Places {
    by_node: HashMap<usize, Place>,
}

#[derive(Debug, Clone)]
struct Place {
    start: String,
    arguments: Vec<String>,
}

impl Places {
    /// Finds all places; none if text and tree do not agree.
    pub fn of(query: &str, expr: &Expr) -> Self {
        let found = calls_in_text(query);
        let mut nodes = Vec::new();
        calls_in_tree(expr, &mut nodes);
        if found.len() != nodes.len() {
            return Self::default();
        }
        Self { by_node: nodes.into_iter().zip(found).collect() }
    }

    /// ` (line:column)` of a function, or nothing.
    pub fn start(&self, node: &Expr) -> String {
        self.by_node.get(&identity(node)).map_or_else(String::new, |place| format!(" ({})", place.start))
    }

    /// ` (line:column)` of a function's argument, or nothing.
    pub fn argument(&self, node: &Expr, index: usize) -> String {
        let place = self.by_node.get(&identity(node)).and_then(|place| place.arguments.get(index));
        place.map_or_else(String::new, |place| format!(" ({place})"))
    }
}

fn identity(node: &Expr) -> usize {
    std::ptr::from_ref(node).addr()
}

fn calls_in_tree(expr: &Expr, nodes: &mut Vec<usize>) {
    if matches!(expr, Expr::Call(_) | Expr::Aggregate(_)) {
        nodes.push(identity(expr));
    }
    for child in super::parse::children(expr) {
        calls_in_tree(child, nodes);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Word,
    Open,
    Close,
    Comma,
    Other(u8),
}

fn calls_in_text(query: &str) -> Vec<Place> {
    let tokens = tokens(query);
    let text = |index: usize| &query[tokens[index].1..tokens[index].2];
    let kind = |index: usize| tokens.get(index).map(|token| token.0);
    let mut calls = Vec::new();
    for index in 0..tokens.len() {
        let preprocessor = index > 0 && kind(index - 1) == Some(Token::Other(b'@'));
        let word = text(index).to_ascii_lowercase();
        if kind(index) != Some(Token::Word) || preprocessor || KEYWORDS.contains(&word.as_str()) {
            continue;
        }
        let mut open = index + 1;
        let grouped =
            kind(open) == Some(Token::Word) && ["by", "without"].contains(&text(open).to_ascii_lowercase().as_str());
        if grouped && kind(open + 1) == Some(Token::Open) {
            open = (open + 1..tokens.len()).find(|at| kind(*at) == Some(Token::Close)).unwrap_or(index) + 1;
        }
        if kind(open) == Some(Token::Open) {
            let arguments = arguments(&tokens, open).into_iter().map(|at| line_and_column(query, at)).collect();
            calls.push(Place { start: line_and_column(query, tokens[index].1), arguments });
        }
    }
    calls
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

/// Where each argument begins, given the place of the opening parenthesis.
fn arguments(tokens: &[(Token, usize, usize)], open: usize) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut depth = 0usize;
    let mut expecting = true;
    for (token, start, _) in &tokens[open..] {
        if depth == 1 && expecting && *token != Token::Close {
            starts.push(*start);
            expecting = false;
        }
        match token {
            Token::Open | Token::Other(b'[' | b'{') => depth += 1,
            Token::Close | Token::Other(b']' | b'}') => depth = depth.saturating_sub(1),
            Token::Comma if depth == 1 => expecting = true,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    starts
}

fn tokens(query: &str) -> Vec<(Token, usize, usize)> {
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

    #[test]
    fn finds_functions_and_their_arguments() {
        let query = "sum by (a, b) (\n  rate(x{l=\"f(\"}[5m] @ start())) + topk(2, y)";
        let expr = promql_parser::parser::parse(query).unwrap();
        let places = Places::of(query, &expr);
        let mut nodes = Vec::new();
        calls_in_tree(&expr, &mut nodes);
        let starts: Vec<&str> = nodes.iter().map(|node| places.by_node[node].start.as_str()).collect();
        assert_eq!(starts, ["1:1", "2:3", "2:36"]);
        assert_eq!(places.by_node[&nodes[2]].arguments, ["2:41", "2:44"]);
    }
}
