//! Names of blocks: ULIDs, so that a listing by name is one by time of making, as in Prometheus.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Crockford's base 32.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Digits of 128 bits.
const LENGTH: usize = 26;

/// A block's name: 48 bits of time in milliseconds, then 80 of chance.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ulid(u128);

impl Ulid {
    /// A name made at a time; of `chance` the low 80 bits are used.
    pub fn new(made_ms: i64, chance: u128) -> Self {
        let made = u128::try_from(made_ms).unwrap_or(0) & ((1 << 48) - 1);
        Self(made << 80 | chance & ((1 << 80) - 1))
    }

    /// This name, or the one next to another if that is not before it: names of one process tell its order.
    pub fn after(self, other: Self) -> Self {
        Self(self.0.max(other.0.saturating_add(1)))
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..LENGTH).rev().try_for_each(|place| {
            let digit = DIGITS[(self.0 >> (5 * place) & 31) as usize];
            write!(f, "{}", char::from(digit))
        })
    }
}

impl FromStr for Ulid {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut value = 0u128;
        if text.len() != LENGTH || text.as_bytes()[0] > b'7' {
            return Err(());
        }
        for digit in text.bytes() {
            let digit = DIGITS.iter().position(|known| *known == digit).ok_or(())?;
            value = value << 5 | digit as u128;
        }
        Ok(Self(value))
    }
}

impl Serialize for Ulid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ulid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom(format!("{text:?} is no ULID")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_come_back_from_text() {
        let (early, late) = (Ulid::new(1_700_000_000_000, u128::MAX), Ulid::new(1_700_000_000_001, 0));
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        for wrong in ["", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "01HF7YAT00U0000000000000000", "01HF7YAT00"] {
            assert_eq!(wrong.parse::<Ulid>(), Err(()), "{wrong}");
        }
    }
}
