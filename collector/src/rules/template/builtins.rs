//! What Go's own template functions do: comparing, counting, choosing, escaping. Pure.

use std::cmp::Ordering;

use super::value::Value;

/// The groups of types between which Go compares.
#[derive(PartialEq)]
enum Basic {
    Bool,
    Int,
    Float,
    Text,
}

fn basic(value: &Value) -> Option<Basic> {
    match value {
        Value::Bool(_) => Some(Basic::Bool),
        Value::Int(_) | Value::Named { .. } => Some(Basic::Int),
        Value::Float(_) => Some(Basic::Float),
        Value::Text(_) => Some(Basic::Text),
        _ => None,
    }
}

/// Whether the first equals any of the others.
pub(super) fn eq(args: &[Value]) -> Result<bool, String> {
    let [first, others @ ..] = args else { return Err("missing argument for comparison".to_owned()) };
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn incompatible(a: &Value, b: &Value) -> String {
    format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name())
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    if *a == Value::Nil || *b == Value::Nil {
        return Ok(a == b);
    }
    if basic(a) != basic(b) {
        return Err(incompatible(a, b));
    }
    match (a, b) {
        (Value::Texts(_) | Value::Args(_) | Value::Samples(_), _) => {
            Err(format!("non-comparable type {}: {}", a.text(), a.type_name()))
        }
        (Value::Int(a) | Value::Named { number: a, .. }, Value::Int(b) | Value::Named { number: b, .. }) => Ok(a == b),
        _ => Ok(a == b),
    }
}

fn order(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    let (Some(kind), Some(other)) = (basic(a), basic(b)) else {
        return Err("invalid type for comparison".to_owned());
    };
    if kind != other {
        return Err(incompatible(a, b));
    }
    match (a, b) {
        (Value::Int(a) | Value::Named { number: a, .. }, Value::Int(b) | Value::Named { number: b, .. }) => {
            Ok(Some(a.cmp(b)))
        }
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        _ => Err("invalid type for comparison".to_owned()),
    }
}

pub(super) fn lt(a: &Value, b: &Value) -> Result<bool, String> {
    order(a, b).map(|order| order == Some(Ordering::Less))
}

pub(super) fn le(a: &Value, b: &Value) -> Result<bool, String> {
    order(a, b).map(|order| matches!(order, Some(Ordering::Less | Ordering::Equal)))
}

pub(super) fn len(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::Texts(texts) => texts.len(),
        Value::Args(args) => args.len(),
        Value::Samples(samples) => samples.len(),
        Value::Nil => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

/// The part of a value at one index after the other.
pub(super) fn index(args: &[Value]) -> Result<Value, String> {
    let [item, indexes @ ..] = args else { return Err("index of untyped nil".to_owned()) };
    indexes.iter().try_fold(item.clone(), |item, index| index_one(&item, index))
}

fn index_one(item: &Value, index: &Value) -> Result<Value, String> {
    match item {
        Value::Texts(texts) => Ok(texts.get(key(index)?).cloned().unwrap_or_default().into()),
        Value::Args(args) => Ok(args.get(key(index)?).cloned().unwrap_or(Value::Nil)),
        Value::Samples(samples) => match samples.get(position(index, samples.len())?) {
            Some(sample) => Ok(Value::Sample(sample.clone())),
            None => Err("reflect: slice index out of range".to_owned()),
        },
        Value::Text(text) => match text.as_bytes().get(position(index, text.len())?) {
            Some(byte) => Ok(Value::Int((*byte).into())),
            None => Err("reflect: string index out of range".to_owned()),
        },
        Value::Nil => Err("index of untyped nil".to_owned()),
        other => Err(format!("can't index item of type {}", other.type_name())),
    }
}

fn key(index: &Value) -> Result<&str, String> {
    match index {
        Value::Text(text) => Ok(text),
        Value::Nil => Err("value is nil; should be of type string".to_owned()),
        other => Err(format!("value has type {}; should be string", other.type_name())),
    }
}

/// A position from 0 to the length; Go notices in another place that the last is none of an item.
fn position(index: &Value, length: usize) -> Result<usize, String> {
    match index {
        Value::Int(number) => {
            let found = usize::try_from(*number).ok().filter(|position| *position <= length);
            found.ok_or_else(|| format!("index out of range: {number}"))
        }
        Value::Nil => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!("cannot index slice/array with type {}", other.type_name())),
    }
}

/// A part of a text or of a query's result, from one position to another.
pub(super) fn slice(args: &[Value]) -> Result<Value, String> {
    let [item, indexes @ ..] = args else { return Err("slice of untyped nil".to_owned()) };
    let length = match item {
        Value::Text(text) => text.len(),
        Value::Samples(samples) => samples.len(),
        Value::Nil => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    if indexes.len() > 2 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let at = |i: usize, default| indexes.get(i).map_or(Ok(default), |index| position(index, length));
    let (from, to) = (at(0, 0)?, at(1, length)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match item {
        Value::Samples(samples) => Value::Samples(std::rc::Rc::new(samples[from..to].to_vec())),
        Value::Text(text) => String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned().into(),
        _ => Value::Nil,
    })
}

/// Values as one text, as the escaping functions take them.
pub(super) fn joined(args: &[Value]) -> String {
    match args {
        [Value::Text(text)] => text.to_string(),
        args => super::fmt::sprint(args),
    }
}

pub(super) fn html(args: &[Value]) -> String {
    let mut escaped = String::new();
    for c in joined(args).chars() {
        match c {
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\0' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

pub(super) fn js(args: &[Value]) -> String {
    let mut escaped = String::new();
    for c in joined(args).chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\'' => escaped.push_str("\\'"),
            '"' => escaped.push_str("\\\""),
            '<' | '>' | '&' | '=' => escaped.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_control() => escaped.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A text as a part of a URL's query: Go's `url.QueryEscape`.
pub(super) fn url_query(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => escaped.push('+'),
            b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// Each word with a capital, the rest as it is. A word goes on over what may stand inside of one.
pub(super) fn title(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut titled = String::with_capacity(text.len());
    let mut is_inside = false;
    for (i, c) in chars.iter().enumerate() {
        let goes_on = c.is_alphanumeric()
            || *c == '_'
            || (['\'', '’', '.', ':', '·'].contains(c)
                && is_inside
                && chars.get(i + 1).is_some_and(|next| next.is_alphabetic())
                && i.checked_sub(1).is_some_and(|before| chars[before].is_alphabetic()));
        if goes_on && !is_inside && c.is_alphabetic() {
            titled.extend(c.to_uppercase());
            is_inside = true;
        } else {
            titled.push(*c);
            is_inside = goes_on && (is_inside || c.is_alphanumeric());
        }
    }
    titled
}
