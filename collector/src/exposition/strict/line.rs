//! The grammar of one line of OpenMetrics, exactly.

use super::super::series_text::{is_metric_name, unescape};
use super::Verdict;
use crate::series::METRIC_NAME;

/// The most characters that an exemplar's labels may have together.
const EXEMPLAR_LABELS_MAX: usize = 128;

/// Names and values in order, values without their escapes.
pub(super) type Labels = Vec<(String, String)>;

/// A line.
#[derive(Debug, PartialEq)]
pub(super) enum StrictLine<'a> {
    Type { name: &'a str, kind: Kind },
    Help { name: &'a str },
    Unit { name: &'a str, unit: &'a str },
    Sample(StrictSample<'a>),
}

/// A sample.
#[derive(Debug, PartialEq)]
pub(super) struct StrictSample<'a> {
    pub name: &'a str,
    pub labels: Labels,
    pub value: f64,
    pub timestamp: Option<f64>,
    pub has_exemplar: bool,
}

/// A metric's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
    Unknown,
}

const KINDS: [(&str, Kind); 8] = [
    ("counter", Kind::Counter),
    ("gauge", Kind::Gauge),
    ("histogram", Kind::Histogram),
    ("gaugehistogram", Kind::GaugeHistogram),
    ("summary", Kind::Summary),
    ("info", Kind::Info),
    ("stateset", Kind::StateSet),
    ("unknown", Kind::Unknown),
];

pub(super) fn parse(line: &str) -> Verdict<StrictLine<'_>> {
    if line.is_empty() {
        return Err("the line is empty");
    }
    match line.strip_prefix('#') {
        Some(comment) => parse_metadata(comment),
        None => parse_sample(line).map(StrictLine::Sample),
    }
}

fn parse_metadata(comment: &str) -> Verdict<StrictLine<'_>> {
    const WRONG: &str = "a comment is none of TYPE, HELP, UNIT and EOF";
    let (keyword, rest) = comment.strip_prefix(' ').and_then(|c| c.split_once(' ')).ok_or(WRONG)?;
    if !["TYPE", "HELP", "UNIT"].contains(&keyword) {
        return Err(WRONG);
    }
    let (name, text) = rest.split_once(' ').ok_or("the metadata is incomplete")?;
    if !is_metric_name(name) {
        return Err("the metric's name is not valid");
    }
    match keyword {
        "HELP" => Ok(StrictLine::Help { name }),
        "UNIT" => Ok(StrictLine::Unit { name, unit: text }),
        _ => match KINDS.iter().find(|(known, _)| *known == text) {
            Some((_, kind)) => Ok(StrictLine::Type { name, kind: *kind }),
            None => Err("the type is not one of OpenMetrics'"),
        },
    }
}

fn parse_sample(line: &str) -> Verdict<StrictSample<'_>> {
    let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap_or(line.len()));
    if !is_metric_name(name) {
        return Err("the metric's name is not valid");
    }
    let (labels, rest) = if rest.starts_with('{') { parse_labels(rest)? } else { (Labels::new(), rest) };
    let (before, exemplar) = match rest.split_once(" # ") {
        Some((before, exemplar)) => (before, Some(exemplar)),
        None => (rest, None),
    };
    let (value, timestamp) = parse_numbers(before)?;
    if let Some(exemplar) = exemplar {
        check_exemplar(exemplar)?;
    }
    Ok(StrictSample { name, labels, value, timestamp, has_exemplar: exemplar.is_some() })
}

fn check_exemplar(text: &str) -> Verdict {
    if !text.starts_with('{') {
        return Err("the exemplar has no labels");
    }
    let (labels, rest) = parse_labels(text)?;
    let length: usize = labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    if length > EXEMPLAR_LABELS_MAX {
        return Err("the exemplar's labels are longer than 128 characters");
    }
    parse_numbers(rest).map(|_| ())
}

/// ` VALUE[ TIMESTAMP]`, each after exactly one space.
fn parse_numbers(text: &str) -> Verdict<(f64, Option<f64>)> {
    let text = text.strip_prefix(' ').ok_or("there is no value")?;
    let (value, timestamp) = match text.split_once(' ') {
        Some((value, timestamp)) => (value, Some(timestamp)),
        None => (text, None),
    };
    let value = parse_number(value).ok_or("the value is not a number")?;
    let finite = |text| parse_real(text).filter(|seconds| seconds.is_finite());
    let timestamp = timestamp.map(|t| finite(t).ok_or("the timestamp is not a number")).transpose()?;
    Ok((value, timestamp))
}

pub(super) fn parse_number(text: &str) -> Option<f64> {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text).to_ascii_lowercase();
    match bare.as_str() {
        "inf" | "infinity" => text.parse().ok(),
        "nan" if bare.len() == text.len() => Some(f64::NAN),
        _ => parse_real(text),
    }
}

fn parse_real(text: &str) -> Option<f64> {
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    if text.chars().all(allowed) { text.parse().ok() } else { None }
}

/// Labels from their `{` on, and what follows their `}`.
fn parse_labels(text: &str) -> Verdict<(Labels, &str)> {
    let mut rest = text.strip_prefix('{').ok_or("the labels have no opening brace")?;
    let mut labels = Labels::new();
    if let Some(after) = rest.strip_prefix('}') {
        return Ok((labels, after));
    }
    loop {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        // The metric's name stands before the brace.
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || name == METRIC_NAME {
            return Err("a label's name is not valid");
        }
        if labels.iter().any(|(known, _)| known == name) {
            return Err("a label comes twice");
        }
        let quoted = after.strip_prefix("=\"").ok_or("a label has no quoted value")?;
        let end = closing_quote(quoted).ok_or("a quote is not closed")?;
        labels.push((name.to_owned(), unescape(&quoted[..end]).into_owned()));
        rest = &quoted[end + 1..];
        match rest.as_bytes().first() {
            Some(b',') => rest = &rest[1..],
            Some(b'}') => return Ok((labels, &rest[1..])),
            _ => return Err("there is neither a comma nor a brace after a label"),
        }
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}
