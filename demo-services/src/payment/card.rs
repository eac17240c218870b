//! Reads a card: Luhn, expiry, brand. Pure; the number it is given goes nowhere but to the card processor.

use crate::contract::Card;

/// A card number has between 12 and 19 digits (ISO/IEC 7812).
const DIGITS: std::ops::RangeInclusive<usize> = 12..=19;

/// Months for which a card may be valid beyond today: issuers give at most 20 years.
const EXPIRY_MONTHS_MAX: i64 = 20 * 12;

/// Why a card is no card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCard {
    #[error("number: expected 12 to 19 digits that satisfy the Luhn check")]
    Number,
    #[error("expiry: expected a month as MM/YY")]
    Expiry,
    #[error("expiry: the card has expired")]
    Expired,
    #[error("cvc: expected 3 or 4 digits")]
    Cvc,
}

/// A card whose number adds up and which has not expired. Prints without its number.
pub struct CheckedCard {
    digits: String,
    pub brand: &'static str,
}

impl std::fmt::Debug for CheckedCard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} …{}", self.brand, self.last4())
    }
}

impl CheckedCard {
    /// Checks a card at a moment given in milliseconds since the epoch.
    pub fn check(card: &Card, now_ms: i64) -> Result<Self, BadCard> {
        let digits: String = card.number.chars().filter(|c| *c != ' ' && *c != '-').collect();
        if !DIGITS.contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) || !luhn(&digits) {
            return Err(BadCard::Number);
        }
        if !(3..=4).contains(&card.cvc.len()) || !card.cvc.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadCard::Cvc);
        }
        let expiry = months(&card.expiry).ok_or(BadCard::Expiry)?;
        let now = month_of(now_ms);
        if expiry < now {
            return Err(BadCard::Expired);
        }
        if expiry - now > EXPIRY_MONTHS_MAX {
            return Err(BadCard::Expiry);
        }
        Ok(Self { brand: brand(&digits), digits })
    }

    /// The last four digits.
    pub fn last4(&self) -> &str {
        &self.digits[self.digits.len() - 4..]
    }

    /// The number, for the card processor only.
    pub fn number(&self) -> &str {
        &self.digits
    }
}

/// Every second digit from the right is doubled; the digits of all must add up to a multiple of ten.
fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            match (place % 2, digit * 2) {
                (0, _) => digit,
                (_, doubled) if doubled > 9 => doubled - 9,
                (_, doubled) => doubled,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// `MM/YY` as months since year 0; a card is valid to the end of its month.
fn months(expiry: &str) -> Option<i64> {
    let (month, year) = expiry.split_once('/')?;
    let two_digits =
        |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?;
    let (month, year): (i64, i64) = (two_digits(month)?, two_digits(year)?);
    (1..=12).contains(&month).then(|| (2000 + year) * 12 + month - 1)
}

fn month_of(now_ms: i64) -> i64 {
    let date = jiff::Timestamp::from_millisecond(now_ms)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    i64::from(date.year()) * 12 + i64::from(date.month()) - 1
}

/// The brand by the number's first digits.
fn brand(digits: &str) -> &'static str {
    let prefix = |length: usize| digits[..length].parse::<u32>().unwrap_or(0);
    match (prefix(1), prefix(2), prefix(4)) {
        (4, _, _) => "visa",
        (_, 51..=55, _) | (_, _, 2221..=2720) => "mastercard",
        (_, 34 | 37, _) => "amex",
        (_, 65, _) | (_, _, 6011) => "discover",
        (_, 36 | 38 | 30, _) => "diners",
        (_, 35, _) => "jcb",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOV_2026: i64 = 1_795_400_000_000;

    fn check(number: &str, expiry: &str, cvc: &str) -> Result<(&'static str, String), BadCard> {
        let card = Card { number: number.into(), expiry: expiry.into(), cvc: cvc.into() };
        CheckedCard::check(&card, NOV_2026).map(|card| (card.brand, card.last4().to_owned()))
    }

    #[test]
    fn cards_are_judged_by_number_expiry_and_cvc() {
        let cases = [
            ("4242 4242 4242 4242", "12/30", "123", Ok(("visa", "4242".to_owned()))),
            ("5555-5555-5555-4444", "11/26", "123", Ok(("mastercard", "4444".to_owned()))),
            ("378282246310005", "01/27", "1234", Ok(("amex", "0005".to_owned()))),
            ("4242424242424241", "12/30", "123", Err(BadCard::Number)),
            ("42", "12/30", "123", Err(BadCard::Number)),
            ("424242424242424x", "12/30", "123", Err(BadCard::Number)),
            ("4242424242424242", "10/26", "123", Err(BadCard::Expired)),
            ("4242424242424242", "13/30", "123", Err(BadCard::Expiry)),
            ("4242424242424242", "1/30", "123", Err(BadCard::Expiry)),
            ("4242424242424242", "12/99", "123", Err(BadCard::Expiry)),
            ("4242424242424242", "12/30", "12", Err(BadCard::Cvc)),
            ("4242424242424242", "12/30", "12a", Err(BadCard::Cvc)),
        ];
        for (number, expiry, cvc, expected) in cases {
            assert_eq!(check(number, expiry, cvc), expected, "{number} {expiry} {cvc}");
        }
    }

    #[test]
    fn a_card_prints_without_its_number() {
        let card = Card { number: "4242424242424242".into(), expiry: "12/30".into(), cvc: "123".into() };
        assert_eq!(format!("{:?}", CheckedCard::check(&card, NOV_2026).unwrap()), "visa …4242");
    }
}
