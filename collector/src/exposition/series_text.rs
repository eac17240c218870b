//! A series as an exposition writes it, `name{a="b"}` or `{"na.me","la.bel"="b"}`: where it ends, and what it says.

use std::borrow::Cow;

use crate::series::METRIC_NAME;

/// Label names and values, the metric's name among them as `__name__`; borrowed where nothing was escaped.
pub type SeriesParts<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Splits a line after its series: at the closing brace, or after the name if there are no braces.
pub(super) fn split_series(line: &str) -> Result<(&str, &str), &'static str> {
    let bytes = line.as_bytes();
    let name_end = bytes.iter().position(|byte| *byte == b'{' || is_space(*byte)).unwrap_or(line.len());
    let after_name = skip_space(&line[name_end..]);
    if !after_name.starts_with('{') {
        return Ok(line.split_at(name_end));
    }
    let mut at = line.len() - after_name.len() + 1;
    loop {
        // Outside quotes.
        match bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'}')).map(|found| at + found) {
            None => return Err("the labels have no closing brace"),
            Some(found) if bytes[found] == b'}' => return Ok(line.split_at(found + 1)),
            Some(found) => at = found + 1,
        }
        at += quote_end(&bytes[at..]).ok_or("a quote is not closed")? + 1;
    }
}

/// Where the quote ends that a text begins within.
fn quote_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + text[at..].iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if text[found] == b'"' {
            return Some(found);
        }
        // What is escaped is no end, and may be missing.
        at = (found + 2).min(text.len());
    }
}

/// Reads a series as a line has it.
pub fn parse_series(text: &str) -> Result<SeriesParts<'_>, &'static str> {
    let brace = text.find('{').unwrap_or(text.len());
    let name = text[..brace].trim_end_matches([' ', '\t']);
    let mut parts = if brace < text.len() { parse_labels(&text[brace..])? } else { Vec::new() };
    if !name.is_empty() {
        if !is_metric_name(name) {
            return Err("the metric's name holds a character that must be quoted");
        }
        parts.push((METRIC_NAME.into(), name.into()));
    }
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    if parts.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err("a label comes twice");
    }
    let named = parts.iter().any(|(label, value)| label == METRIC_NAME && !value.is_empty());
    if named { Ok(parts) } else { Err("the metric has no name") }
}

/// Reads `{a="b",c="d"}`. A quoted text without a value is the metric's name.
pub(super) fn parse_labels(braced: &str) -> Result<SeriesParts<'_>, &'static str> {
    let inner = braced.strip_prefix('{').and_then(|t| t.strip_suffix('}')).ok_or("the labels have no braces")?;
    let mut parts = Vec::new();
    let mut rest = skip_space(inner);
    while !rest.is_empty() {
        let (name, after) = parse_name(rest)?;
        rest = skip_space(after);
        if let Some(after) = rest.strip_prefix('=') {
            let (value, after) = parse_quoted(skip_space(after)).ok_or("a label's value is not quoted")?;
            parts.push((name, value));
            rest = skip_space(after);
        } else if matches!(inner.as_bytes().first(), Some(b'"')) && parts.is_empty() {
            parts.push((METRIC_NAME.into(), name));
        } else {
            return Err("a label has no value");
        }
        rest = match rest.strip_prefix(',') {
            Some(after) => skip_space(after),
            None if rest.is_empty() => rest,
            None => return Err("there is no comma between two labels"),
        };
    }
    Ok(parts)
}

fn parse_name(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    if text.starts_with('"') {
        return parse_quoted(text).ok_or("a quote is not closed");
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let end = text.bytes().position(|byte| !is_name(byte)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("a label's name holds a character that must be quoted");
    }
    Ok((name.into(), rest))
}

fn parse_quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let inner = text.strip_prefix('"')?;
    let end = quote_end(inner.as_bytes())?;
    Some((unescape(&inner[..end]), &inner[end + 1..]))
}

/// Undoes `\\`, `\"` and `\n`; any other escape stays as it is.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some(c @ ('\\' | '"')) => out.push(c),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out.into()
}

pub(super) fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

pub(super) fn skip_space(text: &str) -> &str {
    let spaces = text.bytes().take_while(|byte| is_space(*byte)).count();
    &text[spaces..]
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
pub(super) fn is_metric_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    !name.is_empty() && name.bytes().all(allowed) && !name.starts_with(|c: char| c.is_ascii_digit())
}
