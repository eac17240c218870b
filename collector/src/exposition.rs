//! Reads the Prometheus text format 0.0.4 and OpenMetrics 1.0, line by line and borrowing, and the protobuf format: a line or a
//! metric that cannot be read is a problem beside the samples, never the end of them. Never panics, stores nothing. Start at
//! `parse_line`; a caller that already knows a line's series reads only the rest of it with `parse_reading`; `protobuf` has the
//! other format; `strict_openmetrics` judges by the letter.

mod number;
pub mod protobuf;
mod series_text;
mod strict;

use std::fmt;

pub(crate) use self::number::{canonical, leading_any as leading_number, parse as parse_number};
pub use self::series_text::{SeriesParts, parse_series};
pub use self::strict::strict_openmetrics;
use crate::api::views::Exemplar;
use crate::series::Labels;

/// The longest piece of a line that a problem quotes.
const QUOTE_MAX: usize = 120;

/// How a text is written. Both are read leniently; they differ in timestamps, exemplars and the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4: timestamps in milliseconds.
    Text,
    /// OpenMetrics 1.0: timestamps in seconds, exemplars, ends with `# EOF`.
    OpenMetrics,
}

/// How a target's answer is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// As one of the texts.
    Text(Format),
    /// As delimited messages `io.prometheus.client.MetricFamily`.
    Protobuf,
}

impl From<Format> for MediaType {
    fn from(format: Format) -> Self {
        Self::Text(format)
    }
}

impl MediaType {
    /// What a `Content-Type` announces; `None` if it is none of ours.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        match media_type.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => Some(Self::Text(Format::OpenMetrics)),
            "text/plain" => Some(Self::Text(Format::Text)),
            "application/vnd.google.protobuf" => parts.all(is_metric_families).then_some(Self::Protobuf),
            _ => None,
        }
    }
}

/// Whether a parameter of protobuf's media type leaves it what we read: the format has other encodings, which nobody asks for.
fn is_metric_families(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return true };
    let value = value.trim().trim_matches('"');
    match name.trim().to_ascii_lowercase().as_str() {
        "proto" => value == "io.prometheus.client.MetricFamily",
        "encoding" => value == "delimited",
        _ => true,
    }
}

/// Where something stands; everything counts from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line of a text.
    Line(usize),
    /// A family of metrics.
    Family(usize),
    /// A metric of a family.
    Metric {
        /// Which family.
        family: usize,
        /// Which of its metrics.
        metric: usize,
    },
}

impl From<usize> for Place {
    fn from(line: usize) -> Self {
        Self::Line(line)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Family(family) => write!(f, "family {family}"),
            Self::Metric { family, metric } => write!(f, "family {family}, metric {metric}"),
        }
    }
}

/// A line or a metric that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// The line, or the metric's name or series, shortened.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Problem {
    /// A problem with what stands at a place.
    pub fn new(place: impl Into<Place>, text: &str, reason: &'static str) -> Self {
        Self { place: place.into(), text: text.chars().take(QUOTE_MAX).collect(), reason }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.reason, self.text)
    }
}

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Line<'a> {
    /// Nothing, or a comment without meaning.
    Blank,
    /// `# EOF`
    Eof,
    /// `# TYPE`, `# HELP` or `# UNIT`: the metric's name and the rest.
    Metadata(Metadata, &'a str, &'a str),
    /// A sample.
    Sample {
        /// Name and labels as written; [`parse_series`] reads them.
        series: &'a str,
        /// The rest.
        reading: Reading<'a>,
    },
}

/// Which metadata a line gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    /// `# TYPE`
    Type,
    /// `# HELP`
    Help,
    /// `# UNIT`
    Unit,
}

/// What follows the series on a sample's line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading<'a> {
    /// The value.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
    /// As written, from its `{` on; [`parse_exemplar`] reads it.
    pub exemplar: Option<&'a str>,
}

/// Reads a line, without its line feed.
pub fn parse_line(line: &str, format: Format) -> Result<Line<'_>, &'static str> {
    let trimmed = series_text::skip_space(line);
    let trimmed = trimmed.strip_suffix('\r').unwrap_or(trimmed);
    if trimmed.is_empty() {
        return Ok(Line::Blank);
    }
    if let Some(comment) = trimmed.strip_prefix('#') {
        return Ok(parse_comment(comment, format));
    }
    let (series, rest) = series_text::split_series(trimmed)?;
    Ok(Line::Sample { series, reading: parse_reading(rest, format)? })
}

fn parse_comment(comment: &str, format: Format) -> Line<'_> {
    if format == Format::OpenMetrics && comment == " EOF" {
        return Line::Eof;
    }
    let comment = comment.trim_start_matches([' ', '\t']);
    let Some((keyword, rest)) = comment.split_once([' ', '\t']) else { return Line::Blank };
    let kind = match keyword {
        "TYPE" => Metadata::Type,
        "HELP" => Metadata::Help,
        "UNIT" => Metadata::Unit,
        _ => return Line::Blank,
    };
    let rest = rest.trim_start_matches([' ', '\t']);
    let (name, text) = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
        None => rest.split_once([' ', '\t']).unwrap_or((rest, "")),
    };
    let text = text.trim_start_matches([' ', '\t']);
    let text = if kind == Metadata::Help { text } else { text.trim_end_matches([' ', '\t']) };
    Line::Metadata(kind, name, text)
}

/// Reads what follows the series on a sample's line.
pub fn parse_reading(rest: &str, format: Format) -> Result<Reading<'_>, &'static str> {
    let (value, rest) = token(rest);
    if value.is_empty() {
        return Err("there is no value");
    }
    let value = number::parse(value).ok_or("the value is not a number")?;
    let mut reading = Reading { value, timestamp_ms: None, exemplar: None };
    let (mut next, mut rest) = token(rest);
    if !next.is_empty() && !next.starts_with('#') {
        reading.timestamp_ms = Some(parse_timestamp(next, format).ok_or("the timestamp is not a number")?);
        (next, rest) = token(rest);
    }
    match (next, format) {
        ("", _) => Ok(reading),
        ("#", Format::OpenMetrics) => {
            let exemplar = rest.trim_matches([' ', '\t']);
            if !exemplar.starts_with('{') {
                return Err("the exemplar has no labels");
            }
            reading.exemplar = Some(exemplar);
            Ok(reading)
        }
        _ => Err("there is text after the sample"),
    }
}

/// The first word of a text, and what follows it.
fn token(text: &str) -> (&str, &str) {
    let text = series_text::skip_space(text);
    let end = text.bytes().position(series_text::is_space).unwrap_or(text.len());
    text.split_at(end)
}

fn parse_timestamp(text: &str, format: Format) -> Option<i64> {
    match format {
        Format::Text => text.parse().ok(),
        Format::OpenMetrics => {
            let seconds = number::parse(text)?;
            seconds.is_finite().then_some((seconds * 1_000.0) as i64)
        }
    }
}

/// Reads an exemplar: `{trace_id="..."} VALUE [SECONDS]`. Without a time of its own it gets the sample's.
pub fn parse_exemplar(text: &str, sample_ms: i64) -> Result<Exemplar, &'static str> {
    let (labels, rest) = series_text::split_series(text)?;
    let parts = series_text::parse_labels(labels)?;
    let reading = parse_reading(rest, Format::OpenMetrics)?;
    if reading.exemplar.is_some() {
        return Err("there is text after the exemplar");
    }
    let labels = Labels::new(parts.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())));
    Ok(Exemplar { labels, value: reading.value, timestamp_ms: reading.timestamp_ms.unwrap_or(sample_ms) })
}

/// Undoes the escapes of a `# HELP` text.
pub fn unescape_help(text: &str) -> String {
    series_text::unescape(text).into_owned()
}

#[cfg(test)]
mod tests;
