//! The notation of series in scripts: `name{label="value"} 1 2+3x4 _ stale`.

use super::native::{self, Native};
use crate::promql::histogram::Sign;
use crate::series::{Labels, METRIC_NAME};

/// One step of a series.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Notation {
    Value(f64),
    Stale,
    Omitted,
    Native(Native),
}

/// The most steps that one item may expand to.
const STEPS_MAX: usize = 1_000_000;

/// Reads a series with its steps.
pub(super) fn series(text: &str) -> Result<(Labels, Vec<Notation>), String> {
    let (labels, mut rest) = labels(text)?;
    let mut steps = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok((labels, steps));
        }
        rest = item(rest, &mut steps)?;
    }
}

/// Reads one item such as `1+2x10`; what follows is returned.
fn item<'a>(text: &'a str, steps: &mut Vec<Notation>) -> Result<&'a str, String> {
    if let Some(rest) = text.strip_prefix("stale") {
        steps.push(Notation::Stale);
        return Ok(rest);
    }
    if let Some(rest) = text.strip_prefix('_') {
        let (times, rest) = times(rest)?.unwrap_or((1, rest));
        steps.extend(std::iter::repeat_n(Notation::Omitted, times));
        return Ok(rest);
    }
    if text.starts_with("{{") {
        return natives(text, steps);
    }
    let (first, rest) = number(text).ok_or_else(|| format!("expected a value, found {text:?}"))?;
    let (delta, rest) = match rest.as_bytes().first() {
        Some(b'+' | b'-') => number(rest).ok_or_else(|| format!("expected a difference, found {rest:?}"))?,
        _ => (0.0, rest),
    };
    let (times, rest) = times(rest)?.map_or((0, rest), |(times, rest)| (times, rest));
    let mut value = first;
    for _ in 0..=times {
        steps.push(Notation::Value(value));
        value += delta;
    }
    Ok(rest)
}

/// Reads an item such as `{{count:1}}+{{count:2}}x10`; what follows is returned.
fn natives<'a>(text: &'a str, steps: &mut Vec<Notation>) -> Result<&'a str, String> {
    let (first, rest) = native::native(text)?;
    let sign = match rest.as_bytes().first() {
        Some(b'+') => Some(Sign::Plus),
        Some(b'-') => Some(Sign::Minus),
        _ => None,
    };
    let Some(sign) = sign else {
        let (times, rest) = times(rest)?.map_or((0, rest), |(times, rest)| (times, rest));
        steps.extend(std::iter::repeat_n(Notation::Native(first), times + 1));
        return Ok(rest);
    };
    let (delta, rest) = native::native(&rest[1..])?;
    let (times, rest) = times(rest)?.ok_or_else(|| format!("expected how many times, found {rest:?}"))?;
    steps.extend(native::series(&first, &delta, sign, times)?.into_iter().map(Notation::Native));
    Ok(rest)
}

/// Reads `xN`.
fn times(text: &str) -> Result<Option<(usize, &str)>, String> {
    let Some(rest) = text.strip_prefix('x') else { return Ok(None) };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let times: usize = rest[..end].parse().map_err(|_| format!("expected how many times, found {rest:?}"))?;
    if times > STEPS_MAX {
        return Err(format!("more than {STEPS_MAX} steps"));
    }
    Ok(Some((times, &rest[end..])))
}

/// Reads a number with its sign; what follows is returned.
pub(super) fn number(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let word = unsigned.get(..3).map(str::to_ascii_lowercase);
    let length = match word.as_deref() {
        Some("nan" | "inf") => 3,
        _ => decimal_length(unsigned.as_bytes()),
    };
    let end = text.len() - unsigned.len() + length;
    let value = text[..end].parse().ok()?;
    Some((value, &text[end..]))
}

fn decimal_length(bytes: &[u8]) -> usize {
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut length = digits(0);
    if bytes.get(length) == Some(&b'.') {
        length += 1 + digits(length + 1);
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let exponent = bytes.get(length + 1 + sign..).map_or(0, |_| digits(length + 1 + sign));
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    length
}

/// Reads `name{label="value"}`; what follows is returned.
fn labels(text: &str) -> Result<(Labels, &str), String> {
    let end = text.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut pairs = vec![(METRIC_NAME.to_owned(), name.to_owned())];
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside.trim_start();
        while !rest.starts_with('}') {
            let (pair, after) = pair(rest)?;
            pairs.push(pair);
            rest = after.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        rest = &rest[1..];
    }
    Ok((Labels::new(pairs), rest))
}

fn pair(text: &str) -> Result<((String, String), &str), String> {
    let (name, rest) = text.split_once('=').ok_or_else(|| format!("expected a label, found {text:?}"))?;
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')).ok_or("expected a quoted value")?;
    let mut value = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if quote != '`' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, other)) => value.push(other),
                None => break,
            },
            _ if character == quote => return Ok(((name.trim().to_owned(), value), &rest[at + 1..])),
            _ => value.push(character),
        }
    }
    Err(format!("expected {quote} at the end of {rest:?}"))
}
