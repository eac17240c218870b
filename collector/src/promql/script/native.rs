//! The notation of native histograms in scripts: `{{schema:0 sum:5 count:4 buckets:[1 2 1]}}`.

use std::sync::Arc;

use super::values::number;
use crate::promql::histogram::{Sign, combined};
use crate::series::{CounterReset, Histogram, SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MIN, Span};

/// A histogram as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Native {
    pub histogram: Arc<Histogram>,
    /// It says what is known of resets, so that this is compared, too.
    pub says_reset: bool,
}

/// Reads a histogram; what follows is returned.
pub(super) fn native(text: &str) -> Result<(Native, &str), String> {
    let inside = text.strip_prefix("{{").ok_or_else(|| format!("expected {{{{...}}}}, found {text:?}"))?;
    let (mut inside, rest) = inside.split_once("}}").ok_or_else(|| format!("expected }}}} in {text:?}"))?;
    let mut histogram = Histogram::default();
    let mut says_reset = false;
    let (mut offset, mut negative_offset) = (0, 0);
    loop {
        inside = inside.trim_start();
        if inside.is_empty() {
            break;
        }
        let (key, value, after) = entry(inside)?;
        match key {
            "schema" => histogram.schema = schema(value)?,
            "sum" => histogram.sum = float(value)?,
            "count" => histogram.count = float(value)?,
            "z_bucket" => histogram.zero_count = float(value)?,
            "z_bucket_w" => histogram.zero_threshold = float(value)?,
            "custom_values" => histogram.custom_bounds = floats(value)?.into(),
            "buckets" => histogram.positive_buckets = floats(value)?,
            "n_buckets" => histogram.negative_buckets = floats(value)?,
            "offset" => offset = whole(value)?,
            "n_offset" => negative_offset = whole(value)?,
            "counter_reset_hint" => {
                says_reset = true;
                histogram.reset = reset(value)?;
            }
            _ => return Err(format!("unknown part {key:?} of a histogram")),
        }
        inside = after;
    }
    histogram.positive_spans = spans(offset, histogram.positive_buckets.len());
    histogram.negative_spans = spans(negative_offset, histogram.negative_buckets.len());
    Ok((Native { histogram: Arc::new(histogram), says_reset }, rest))
}

/// Splits `key:value` or `key:[values]` from what follows.
fn entry(text: &str) -> Result<(&str, &str, &str), String> {
    let (key, value) = text.split_once(':').ok_or_else(|| format!("expected key:value, found {text:?}"))?;
    let end = match value.strip_prefix('[') {
        Some(list) => list.find(']').map(|end| end + 2).ok_or_else(|| format!("expected ] in {value:?}"))?,
        None => value.find(char::is_whitespace).unwrap_or(value.len()),
    };
    Ok((key.trim(), &value[..end], &value[end..]))
}

fn float(text: &str) -> Result<f64, String> {
    let read = number(text).filter(|(_, rest)| rest.is_empty());
    read.map(|(value, _)| value).ok_or_else(|| format!("expected a number, found {text:?}"))
}

fn floats(text: &str) -> Result<Vec<f64>, String> {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let inside = inside.ok_or_else(|| format!("expected [...], found {text:?}"))?;
    inside.split_whitespace().map(float).collect()
}

fn whole(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("expected a whole number, found {text:?}"))
}

fn schema(text: &str) -> Result<i32, String> {
    let schema = whole(text)?;
    let known = schema == SCHEMA_CUSTOM || (SCHEMA_MIN..=SCHEMA_MAX).contains(&schema);
    known.then_some(schema).ok_or_else(|| format!("unknown schema {schema}"))
}

fn reset(text: &str) -> Result<CounterReset, String> {
    Ok(match text {
        "unknown" => CounterReset::Unknown,
        "reset" => CounterReset::Reset,
        "not_reset" => CounterReset::NotReset,
        "gauge" => CounterReset::Gauge,
        _ => return Err(format!("unknown counter_reset_hint {text:?}")),
    })
}

fn spans(offset: i32, buckets: usize) -> Vec<Span> {
    match u32::try_from(buckets) {
        Ok(length) if length > 0 => vec![Span { offset, length }],
        _ => Vec::new(),
    }
}

/// `times` more histograms, each that before plus or minus another.
pub(super) fn series(first: &Native, delta: &Native, sign: Sign, times: usize) -> Result<Vec<Native>, String> {
    let mut all = vec![Native { says_reset: delta.says_reset, ..first.clone() }];
    for _ in 0..times {
        let before = &all[all.len() - 1].histogram;
        let (next, _) = combined(before, &delta.histogram, sign)
            .map_err(|_| "histograms of different schemas cannot be added".to_owned())?;
        all.push(Native { histogram: Arc::new(next), says_reset: delta.says_reset });
    }
    Ok(all)
}
