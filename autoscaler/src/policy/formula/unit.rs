//! Units of what a formula computes with: `requests/s`, `bytes`, `1/s`. Words and their powers; which words is up to whoever writes
//! them, for only that two are equal or not says anything. Converts nothing: `ms` and `s` are two units.

use std::collections::BTreeMap;
use std::fmt;

/// Longest unit in bytes.
pub const UNIT_BYTES_MAX: usize = 64;

/// Words with their powers; none is a plain number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    powers: BTreeMap<String, i32>,
}

impl Unit {
    /// Reads words of letters with `*` and `/` between them, such as `requests/s`; `1` is a plain number, and `s` is `seconds`.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > UNIT_BYTES_MAX {
            return None;
        }
        let mut unit = Self::default();
        let mut power = 1;
        let mut rest = text;
        loop {
            let end = rest.find(['*', '/']).unwrap_or(rest.len());
            unit.add(rest[..end].trim(), power)?;
            match rest[end..].chars().next() {
                None => return Some(unit),
                Some(sign) => power = if sign == '*' { 1 } else { -1 },
            }
            rest = &rest[end + 1..];
        }
    }

    fn add(&mut self, word: &str, power: i32) -> Option<()> {
        match word {
            "1" => return Some(()),
            word if word.is_empty() || !word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') => return None,
            word => self.raise(if word == "s" { "seconds" } else { word }, power),
        }
        Some(())
    }

    fn raise(&mut self, word: &str, power: i32) {
        let sum = self.powers.get(word).copied().unwrap_or(0) + power;
        if sum == 0 {
            self.powers.remove(word);
        } else {
            self.powers.insert(word.to_owned(), sum);
        }
    }

    /// The unit of a product.
    #[must_use]
    pub fn times(mut self, other: &Self) -> Self {
        other.powers.iter().for_each(|(word, power)| self.raise(word, *power));
        self
    }

    /// The unit of a quotient.
    #[must_use]
    pub fn per(mut self, other: &Self) -> Self {
        other.powers.iter().for_each(|(word, power)| self.raise(word, -power));
        self
    }
}

impl fmt::Display for Unit {
    /// `requests*bytes/seconds/cores`; a plain number is `1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repeated = |positive: bool| {
            let of_sign = self.powers.iter().filter(move |(_, power)| (**power > 0) == positive);
            of_sign.flat_map(|(word, power)| std::iter::repeat_n(word.as_str(), power.unsigned_abs() as usize))
        };
        let above: Vec<&str> = repeated(true).collect();
        f.write_str(if above.is_empty() { "1" } else { "" })?;
        f.write_str(&above.join("*"))?;
        repeated(false).try_for_each(|word| write!(f, "/{word}"))
    }
}
