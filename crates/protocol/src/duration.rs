//! Durations as Prometheus and Kubernetes users write them: `250ms`, `5s`, `1m30s`, `2h`, `7d`.
//! Units in descending order, each at most once; `0` alone is allowed. Never negative.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Unit suffixes from largest to smallest with their length in milliseconds (Prometheus `model.Duration`).
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is not a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a duration: write a number with a unit such as 250ms, 5s, 1m30s, 2h or 7d")]
pub struct ParseDurationError {
    text: String,
}

/// Parses `1m30s` and its like; whole milliseconds, units in descending order.
pub fn parse(text: &str) -> Result<Duration, ParseDurationError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    parse_millis(text).map(Duration::from_millis).ok_or_else(|| ParseDurationError { text: text.to_owned() })
}

fn parse_millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0u64;
    let mut next_unit = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = UNITS[next_unit..].iter().position(|(name, _)| *name == &rest[..letters])? + next_unit;
        total = total.checked_add(number.checked_mul(UNITS[unit].1)?)?;
        rest = &rest[letters..];
        next_unit = unit + 1;
    }
    Some(total)
}

/// Writes a duration the way [`parse`] reads it, to the millisecond; zero is `0s`.
pub struct Display(pub Duration);

impl fmt::Display for Display {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        for (name, length) in UNITS.iter().filter(|(name, _)| *name != "y" && *name != "w") {
            let count = millis / length;
            if count > 0 {
                write!(f, "{count}{name}")?;
                millis %= length;
            }
        }
        Ok(())
    }
}

/// For `#[serde(with = "protocol::duration")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(serde::de::Error::custom)
}

/// For `#[serde(with = "protocol::duration")]`.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Display(*duration))
}

/// For `#[serde(default, with = "protocol::duration::option")]`.
pub mod option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Reads an optional duration; `null` is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|t| super::parse(&t).map_err(serde::de::Error::custom)).transpose()
    }

    /// Writes an optional duration; none is `null`.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(d) => serializer.collect_str(&super::Display(*d)),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_prometheus_reads() {
        for (text, millis) in
            [("0", 0), ("5s", 5_000), ("1m30s", 90_000), ("250ms", 250), ("2h", 7_200_000), ("1d12h", 129_600_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn refuses_what_prometheus_refuses() {
        for text in ["", "5", "s", "1s1m", "1s1s", "-5s", "1.5h", "5 s", "5sec", "99999999999999999999s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 0u64..10_000_000_000) {
            let duration = Duration::from_millis(millis);
            proptest::prop_assert_eq!(parse(&Display(duration).to_string()), Ok(duration));
        }
    }
}
