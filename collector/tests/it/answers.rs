//! Compares two answers of Prometheus' API: status, class of error, result, warnings. Words of errors may differ.

use serde_json::Value;

/// Two computations of one number may differ by this much of it.
const TOLERANCE: f64 = 1e-9;

/// The longest piece of an answer that is quoted.
const QUOTE_MAX: usize = 400;

/// An answer; `Null` if its body is no JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

/// Whether ours agrees with theirs, or where it does not.
pub fn agrees(ours: &Answer, theirs: &Answer, ordered: bool) -> Result<(), String> {
    let quoted = |part: &Value| part.to_string().chars().take(QUOTE_MAX).collect::<String>();
    let differ = |what: &str, our: &Value, their: &Value| {
        Err(format!("{what}\n    ours:   {}\n    theirs: {}", quoted(our), quoted(their)))
    };
    if ours.status != theirs.status {
        return differ(&format!("status {}, not {}", ours.status, theirs.status), &ours.body, &theirs.body);
    }
    if ours.body["errorType"] != theirs.body["errorType"] {
        return differ("class of error", &ours.body, &theirs.body);
    }
    let (mut our, mut their) = (ours.body["data"].clone(), theirs.body["data"].clone());
    if !ordered {
        sort(&mut our);
        sort(&mut their);
    }
    if !same(&our, &their) {
        return differ("data", &our, &their);
    }
    for notes in ["warnings", "infos"] {
        let (mut our, mut their) = (ours.body[notes].clone(), theirs.body[notes].clone());
        sort_list(&mut our);
        sort_list(&mut their);
        if our != their {
            return differ(notes, &our, &their);
        }
    }
    Ok(())
}

/// Series in one order.
fn sort(data: &mut Value) {
    sort_list(data);
    if let Some(result) = data.get_mut("result") {
        sort_list(result);
    }
}

/// Lists of pairs of time and value are in an order of their own.
fn sort_list(list: &mut Value) {
    if let Value::Array(items) = list
        && !items.first().is_some_and(Value::is_number)
    {
        items.sort_by_key(|item| item.get("metric").unwrap_or(item).to_string());
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::String(a), Value::String(b)) => a == b || near(a, b),
        _ => a == b,
    }
}

/// Two values as texts; what is no number is not near.
fn near(a: &str, b: &str) -> bool {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.is_nan() && b.is_nan() || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()),
        _ => false,
    }
}
