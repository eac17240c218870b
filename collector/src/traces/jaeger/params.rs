//! Reads the parameters of Jaeger's query API: times in microseconds, durations as Go writes them, tags twofold.

use std::collections::BTreeMap;

use url::form_urlencoded;

use crate::traces::search::{LIMIT_DEFAULT, LIMIT_MAX, Search};
use crate::traces::span::TraceId;

/// How far back dependencies go unless the question says otherwise; Jaeger's day.
pub const LOOKBACK_DEFAULT_MS: i64 = 86_400_000;

/// A parameter that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadParam {
    /// It must be there.
    #[error("parameter '{0}' is required")]
    Missing(&'static str),
    /// It is not what it should be.
    #[error("parameter '{name}': {value:?} is not {expected}")]
    Malformed {
        /// Which.
        name: &'static str,
        /// What it is.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Nothing can be that long and that short.
    #[error("'maxDuration' should be greater than 'minDuration'")]
    DurationsCrossed,
}

/// The parameters of a question, in order.
#[derive(Debug)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query string.
    pub fn parse(query: Option<&str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    fn all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter.
    pub fn first<'p>(&'p self, name: &'p str) -> Option<&'p str> {
        self.all(name).next()
    }

    /// The value of a parameter that must be there.
    pub fn required(&self, name: &'static str) -> Result<&str, BadParam> {
        self.first(name).filter(|value| !value.is_empty()).ok_or(BadParam::Missing(name))
    }

    /// A whole number.
    pub fn number(&self, name: &'static str) -> Result<Option<i64>, BadParam> {
        self.read(name, "a whole number", |value| value.parse().ok())
    }

    fn read<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, BadParam> {
        let Some(value) = self.first(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        let malformed = || BadParam::Malformed { name, value: value.to_owned(), expected };
        read(value).map(Some).ok_or_else(malformed)
    }

    /// Traces asked for by their ids.
    pub fn trace_ids(&self) -> Result<Vec<TraceId>, BadParam> {
        self.all("traceID").take(LIMIT_MAX).map(trace_id).collect()
    }

    /// What to search for.
    pub fn search(&self) -> Result<Search, BadParam> {
        let micros = |value: &str| value.parse::<u64>().ok().map(|us| us.saturating_mul(1_000));
        let time = "a time in microseconds since the epoch";
        let duration = "a duration such as 100ms, 1.2s or 5us";
        let limit = self.read("limit", "a positive number", |value| value.parse().ok().filter(|n: &usize| *n > 0))?;
        let search = Search {
            service: self.required("service")?.to_owned(),
            operation: self.first("operation").unwrap_or_default().to_owned(),
            tags: self.tags()?,
            duration_min_ns: self.read("minDuration", duration, go_duration_ns)?.unwrap_or(0),
            duration_max_ns: self.read("maxDuration", duration, go_duration_ns)?.unwrap_or(u64::MAX),
            start_ns: self.read("start", time, micros)?.unwrap_or(0),
            // A span's start is kept in nanoseconds: the last microsecond counts in full.
            end_ns: self.read("end", time, micros)?.map_or(u64::MAX, |ns| ns.saturating_add(999)),
            limit: limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX),
        };
        if search.duration_max_ns < search.duration_min_ns {
            return Err(BadParam::DurationsCrossed);
        }
        Ok(search)
    }

    /// `tag=key:value`, repeated, and `tags={"key":"value"}`.
    fn tags(&self) -> Result<Vec<(String, String)>, BadParam> {
        let malformed = |name, value: &str, expected| BadParam::Malformed { name, value: value.to_owned(), expected };
        let mut tags = Vec::new();
        for value in self.all("tag") {
            let pair = value.split_once(':').ok_or_else(|| malformed("tag", value, "key:value"))?;
            tags.push((pair.0.to_owned(), pair.1.to_owned()));
        }
        for value in self.all("tags").filter(|value| !value.is_empty()) {
            let map: BTreeMap<String, serde_json::Value> = serde_json::from_str(value)
                .map_err(|_| malformed("tags", value, "a JSON object such as {\"error\":\"true\"}"))?;
            tags.extend(map.into_iter().map(|(key, value)| match value {
                serde_json::Value::String(text) => (key, text),
                other => (key, other.to_string()),
            }));
        }
        Ok(tags)
    }
}

/// Up to 32 hexadecimal digits; a short id is padded with zeros on the left.
pub fn trace_id(text: &str) -> Result<TraceId, BadParam> {
    let malformed =
        || BadParam::Malformed { name: "traceID", value: text.to_owned(), expected: "1 to 32 hexadecimal digits" };
    if text.is_empty() || text.len() > 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(malformed());
    }
    TraceId::from_str_radix(text, 16).map_err(|_| malformed())
}

/// Go's durations: `1h2m3.5s`, `100ms`, `5us`, `5µs`, `7ns`.
fn go_duration_ns(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 8] =
        [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9)];
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += number * UNITS.iter().find(|(unit, _)| *unit == &rest[..letters])?.1;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(total as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_writes_them() {
        let cases: [(&str, Option<u64>); 10] = [
            ("100ms", Some(100_000_000)),
            ("1.2s", Some(1_200_000_000)),
            ("5us", Some(5_000)),
            ("5µs", Some(5_000)),
            ("1h2m3s", Some(3_723_000_000_000)),
            ("7ns", Some(7)),
            ("", None),
            ("5", None),
            ("ms", None),
            ("5 ms", None),
        ];
        for (text, expected) in cases {
            assert_eq!(go_duration_ns(text), expected, "{text}");
        }
    }

    #[test]
    fn bad_parameters_are_named() {
        let cases = [
            ("operation=x", "parameter 'service' is required"),
            ("service=a&limit=0", "parameter 'limit': \"0\" is not a positive number"),
            (
                "service=a&start=yesterday",
                "parameter 'start': \"yesterday\" is not a time in microseconds since the epoch",
            ),
            ("service=a&minDuration=2s&maxDuration=1s", "'maxDuration' should be greater than 'minDuration'"),
            ("service=a&tag=error", "parameter 'tag': \"error\" is not key:value"),
            ("service=a&tags=error", "parameter 'tags': \"error\" is not a JSON object such as {\"error\":\"true\"}"),
        ];
        for (query, expected) in cases {
            assert_eq!(Params::parse(Some(query)).search().unwrap_err().to_string(), expected, "{query}");
        }
        assert!(trace_id("+1").is_err());
        assert!(trace_id(&"f".repeat(33)).is_err());
        assert_eq!(trace_id("abc"), Ok(0xabc));
    }
}
