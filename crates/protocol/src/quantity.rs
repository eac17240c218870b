//! Kubernetes quantities: `150m`, `0.5`, `64Mi`, `1G`, `1e3`. Kept as an exact number of thousandths.
//! Source of the grammar: Kubernetes API conventions, `apimachinery/pkg/api/resource/quantity.go`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A quantity in thousandths of its unit: CPU in millicores, memory in milli-bytes. Rounded up, as Kubernetes does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantity {
    millis: i128,
}

/// Why a text is not a quantity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a quantity: write a number such as 150m, 0.5, 2, 64Mi or 1Gi")]
pub struct ParseQuantityError {
    text: String,
}

/// Suffixes and their factor as a fraction of (numerator, denominator).
const SUFFIXES: [(&str, i128, i128); 16] = [
    ("n", 1, 1_000_000_000),
    ("u", 1, 1_000_000),
    ("m", 1, 1_000),
    ("", 1, 1),
    ("k", 1_000, 1),
    ("M", 1_000_000, 1),
    ("G", 1_000_000_000, 1),
    ("T", 1_000_000_000_000, 1),
    ("P", 1_000_000_000_000_000, 1),
    ("E", 1_000_000_000_000_000_000, 1),
    ("Ki", 1 << 10, 1),
    ("Mi", 1 << 20, 1),
    ("Gi", 1 << 30, 1),
    ("Ti", 1 << 40, 1),
    ("Pi", 1 << 50, 1),
    ("Ei", 1 << 60, 1),
];

/// More digits than any real quantity has; keeps the arithmetic far from overflow.
const DIGITS_MAX: usize = 18;

impl Quantity {
    /// From thousandths of the unit.
    pub fn from_millis(millis: i64) -> Self {
        Self { millis: i128::from(millis) }
    }

    /// From whole units (cores, bytes).
    pub fn from_units(units: i64) -> Self {
        Self { millis: i128::from(units) * 1000 }
    }

    /// Thousandths of the unit: millicores for CPU; saturates at the limits of `i64`.
    pub fn millis(self) -> i64 {
        i64::try_from(self.millis).unwrap_or(if self.millis < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whole units, rounded up: bytes for memory; saturates at the limits of `i64`.
    pub fn units(self) -> i64 {
        let units = self.millis.div_euclid(1000) + i128::from(self.millis.rem_euclid(1000) != 0);
        i64::try_from(units).unwrap_or(if units < 0 { i64::MIN } else { i64::MAX })
    }

    /// As a floating number of units.
    pub fn as_f64(self) -> f64 {
        self.millis as f64 / 1000.0
    }

    /// Parses a Kubernetes quantity.
    pub fn parse(text: &str) -> Result<Self, ParseQuantityError> {
        Self::parse_inner(text).ok_or_else(|| ParseQuantityError { text: text.to_owned() })
    }

    fn parse_inner(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || digits.len() > DIGITS_MAX || fraction.contains('.') {
            return None;
        }
        let value: i128 = digits.parse().ok()?;
        let fraction_digits = u32::try_from(fraction.len()).ok()?;
        let (up, down) = factor(suffix)?;
        let numerator = value.checked_mul(up)?.checked_mul(1000)?;
        let denominator = down.checked_mul(10i128.checked_pow(fraction_digits)?)?;
        let millis = numerator.div_euclid(denominator) + i128::from(numerator.rem_euclid(denominator) != 0);
        Some(Self { millis: if negative { -millis } else { millis } })
    }
}

fn factor(suffix: &str) -> Option<(i128, i128)> {
    if let Some((_, up, down)) = SUFFIXES.iter().find(|(name, _, _)| *name == suffix) {
        return Some((*up, *down));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = 10i128.checked_pow(exponent.unsigned_abs().min(19))?;
    Some(if exponent < 0 { (1, power) } else { (power, 1) })
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.millis % 1000 != 0 {
            return write!(f, "{}m", self.millis);
        }
        let units = self.millis / 1000;
        for (name, factor) in [("Gi", 1i128 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
            if units != 0 && units % factor == 0 {
                return write!(f, "{}{name}", units / factor);
            }
        }
        write!(f, "{units}")
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity such as 150m, 0.5, 2 or 64Mi")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Quantity, E> {
                Quantity::parse(text).map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity::from_units(number))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Quantity, E> {
                i64::try_from(number).map(Quantity::from_units).map_err(E::custom)
            }
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Quantity, E> {
                Quantity::parse(&number.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kubernetes_quantities() {
        for (text, millis) in [
            ("150m", 150),
            ("0.5", 500),
            ("2", 2000),
            ("1e3", 1_000_000),
            ("64Mi", 67_108_864_000),
            ("1k", 1_000_000),
            ("1u", 1),
        ] {
            assert_eq!(Quantity::parse(text).map(Quantity::millis), Ok(millis), "{text}");
        }
        for text in ["", "m", "1.2.3", "12Q", "--1", "1 Mi", "Mi", "99999999999999999999"] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn writes_the_short_form() {
        for text in ["150m", "2", "64Mi", "1Gi", "1500m"] {
            assert_eq!(Quantity::parse(text).map(|q| q.to_string()).as_deref(), Ok(text));
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,24}") {
            let _ = Quantity::parse(&text);
        }
    }
}
