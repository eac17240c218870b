//! Scalars of manifests that need more than serde's defaults: strict text, int-or-percent, refused and harmless fields.
//! Knows no kind of object.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A string as Kubernetes wants it: a bare `1` or `true` is refused, because the API server refuses it too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string (put quotes around numbers and true/false)")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// A whole number or a text: a count or percentage of replicas, a port's number or name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NumberOrText {
    /// A number.
    Number(u32),
    /// A text, such as `25%` or `http`.
    Text(String),
}

impl<'de> Deserialize<'de> for NumberOrText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrTextVisitor;
        impl Visitor<'_> for NumberOrTextVisitor {
            type Value = NumberOrText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or a string")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<NumberOrText, E> {
                u32::try_from(number).map(NumberOrText::Number).map_err(E::custom)
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<NumberOrText, E> {
                u32::try_from(number).map(NumberOrText::Number).map_err(E::custom)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<NumberOrText, E> {
                Ok(NumberOrText::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(NumberOrTextVisitor)
    }
}

/// A replica count or a percentage of the replicas asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Share {
    /// So many replicas.
    Count(u32),
    /// So many percent.
    Percent(u32),
}

impl Share {
    /// Of `replicas`, rounded up: Kubernetes' rule for maxSurge.
    pub fn rounded_up(self, replicas: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => replicas.saturating_mul(percent).div_ceil(100),
        }
    }

    /// Of `replicas`, rounded down: Kubernetes' rule for maxUnavailable.
    pub fn rounded_down(self, replicas: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => replicas.saturating_mul(percent) / 100,
        }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(count) => Ok(Self::Count(count)),
            NumberOrText::Text(text) => text
                .strip_suffix('%')
                .and_then(|percent| percent.parse().ok())
                .filter(|percent| *percent <= 100)
                .map(Self::Percent)
                .ok_or_else(|| D::Error::custom(format!("{text:?} is neither a count nor a percentage such as 25%"))),
        }
    }
}

/// A field that Kubernetes has and the local runtime has not: naming it in a manifest is an error, since leaving it
/// out silently would make the two behave differently.
#[derive(Debug, Clone, Copy)]
pub struct Refused;

impl<'de> Deserialize<'de> for Refused {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer)?;
        Err(D::Error::custom("the local runtime does not support this field"))
    }
}

/// A field that changes nothing for processes on one machine and is accepted with any content.
pub type Harmless = Option<serde::de::IgnoredAny>;
