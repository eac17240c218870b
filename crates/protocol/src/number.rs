//! Numbers as Go's `strconv` writes them, and so Prometheus: the shortest digits that read back; of those, the nearest to the
//! number; of two that are as near, the even one. (The standard library takes the upper one: a value would be another text.)
//! Start at `text`.

/// Where an exponent is written rather than zeros. What stands behind it has at least two digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exponent {
    /// Nowhere: Go's `f`. Values that become labels.
    Never,
    /// Everywhere: Go's `e`.
    Always,
    /// Below 1e-4 and from 1e6 on: Go's `g`. Values in texts for people.
    General,
    /// Below 1e-6 and from 1e21 on. Values in answers of the API.
    Json,
}

/// Whole numbers below this are written digit by digit: from 2^53 on not every whole number has a value of its own.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A number as a text; `NaN`, `+Inf` and `-Inf` for what is none.
pub fn text(value: f64, exponent: Exponent) -> String {
    let mut out = Vec::new();
    write(value, exponent, &mut out);
    String::from_utf8(out).expect("digits and signs")
}

/// The same into a buffer: an answer has hundreds of thousands of numbers.
pub fn write(value: f64, exponent: Exponent, out: &mut Vec<u8>) {
    if !value.is_finite() {
        let text = if value.is_nan() { "NaN" } else { ["+Inf", "-Inf"][usize::from(value < 0.0)] };
        out.extend_from_slice(text.as_bytes());
        return;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let size = value.abs();
    let plain = size == 0.0 && exponent != Exponent::Always || exponent.is_plain(size);
    if plain && size < WHOLE_MAX && size.fract() == 0.0 {
        write_whole(whole(size), out);
        return;
    }
    // Its digits are those that Go chooses; within these bounds they are laid out in the same way, too.
    let start = out.len();
    serde_json::to_writer(&mut *out, &size).expect("a finite number goes into a buffer");
    if !(plain && (1e-4..1e15).contains(&size)) {
        let written = String::from_utf8(out.split_off(start)).expect("JSON is text");
        let decimal = Decimal::of(&written);
        let text = if plain { decimal.plain() } else { decimal.scientific() };
        out.extend_from_slice(text.as_bytes());
    }
}

/// A whole number, digit by digit.
pub fn write_whole(number: u64, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &number).expect("a whole number goes into a buffer");
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, not negative and below 2^53")]
fn whole(size: f64) -> u64 {
    size as u64
}

impl Exponent {
    fn is_plain(self, size: f64) -> bool {
        match self {
            Self::Never => true,
            Self::Always => false,
            Self::General => (1e-4..1e6).contains(&size),
            Self::Json => (1e-6..1e21).contains(&size),
        }
    }
}

/// `0.DIGITS` times ten to the power of `point`.
struct Decimal {
    digits: String,
    point: i32,
}

impl Decimal {
    /// Of a number as JSON writes it, with an exponent or without.
    fn of(json: &str) -> Self {
        let (mantissa, exponent) = json.split_once('e').unwrap_or((json, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let digits = all.trim_start_matches('0');
        let exponent: i32 = exponent.parse().expect("JSON writes whole exponents");
        let places = |count: usize| i32::try_from(count).expect("a number has some hundred digits at most");
        let point = places(whole.len()) - places(all.len() - digits.len()) + exponent;
        match digits.trim_end_matches('0') {
            "" => Self { digits: "0".to_owned(), point: 1 },
            digits => Self { digits: digits.to_owned(), point },
        }
    }

    fn plain(&self) -> String {
        let (digits, count) = (&self.digits, self.digits.len());
        match usize::try_from(self.point) {
            Ok(point) if point >= count => format!("{digits:0<point$}"),
            Ok(point) if point > 0 => format!("{}.{}", &digits[..point], &digits[point..]),
            _ => format!("0.{digits:0>width$}", width = count + self.point.unsigned_abs() as usize),
        }
    }

    fn scientific(&self) -> String {
        let (first, rest) = self.digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let exponent = self.point - 1;
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{first}{point}{rest}e{sign}{:02}", exponent.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Exponent::{Always, General, Json, Never};
    use super::*;

    /// As Go's `strconv.FormatFloat` writes them with `f`, `e` and `g`, and Prometheus its API.
    const KNOWN: [(f64, &str, &str, &str, &str); 15] = [
        (0.0, "0", "0e+00", "0", "0"),
        (-0.0, "-0", "-0e+00", "-0", "-0"),
        (-17.0, "-17", "-1.7e+01", "-17", "-17"),
        (0.1, "0.1", "1e-01", "0.1", "0.1"),
        (123_456.789, "123456.789", "1.23456789e+05", "123456.789", "123456.789"),
        (1e6, "1000000", "1e+06", "1e+06", "1000000"),
        (
            9_007_199_254_740_991.0,
            "9007199254740991",
            "9.007199254740991e+15",
            "9.007199254740991e+15",
            "9007199254740991",
        ),
        (1e20, "100000000000000000000", "1e+20", "1e+20", "100000000000000000000"),
        (1e21, "1000000000000000000000", "1e+21", "1e+21", "1e+21"),
        (0.0001, "0.0001", "1e-04", "0.0001", "0.0001"),
        (0.000_012_5, "0.0000125", "1.25e-05", "1.25e-05", "0.0000125"),
        (0.000_001, "0.000001", "1e-06", "1e-06", "0.000001"),
        (1.25e-7, "0.000000125", "1.25e-07", "1.25e-07", "1.25e-07"),
        // As near to ...813 and to ...84.3: the standard library writes those.
        (
            f64::from_bits(0x4066_bfc0_4000_0000),
            "181.99221801757812",
            "1.8199221801757812e+02",
            "181.99221801757812",
            "181.99221801757812",
        ),
        (
            f64::from_bits(0x431f_cbbd_fd38_ac21),
            "2237435283909384.2",
            "2.2374352839093842e+15",
            "2.2374352839093842e+15",
            "2237435283909384.2",
        ),
    ];

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        for (value, plain, scientific, general, json) in KNOWN {
            let found = [Never, Always, General, Json].map(|exponent| text(value, exponent));
            assert_eq!(found, [plain, scientific, general, json]);
        }
        for (value, scientific) in [(-5e-324, "-5e-324"), (f64::MAX, "1.7976931348623157e+308")] {
            assert_eq!([Always, General, Json].map(|exponent| text(value, exponent)), [scientific; 3]);
        }
        for (value, name) in [(f64::NAN, "NaN"), (f64::INFINITY, "+Inf"), (f64::NEG_INFINITY, "-Inf")] {
            assert_eq!([Never, Always, General, Json].map(|exponent| text(value, exponent)), [name; 4]);
        }
    }

    proptest! {
        #[test]
        fn every_form_reads_back_and_none_is_longer_than_need_be(
            bits in any::<u64>(),
            small in -1e7..1e7f64,
            whole in any::<i64>(),
            exponent in -330..310,
        ) {
            #[expect(clippy::cast_precision_loss, reason = "any number will do")]
            let numbers = [f64::from_bits(bits), small, whole as f64, small / 1e9, small * 1e9, 10f64.powi(exponent)];
            for value in numbers.into_iter().filter(|value| value.is_finite()) {
                let digits = |text: &str| {
                    let mantissa = text.split('e').next().unwrap_or_default();
                    mantissa.bytes().filter(u8::is_ascii_digit).collect::<Vec<u8>>()
                };
                let scientific = text(value, Always);
                prop_assert_eq!(digits(&scientific).len(), digits(&format!("{value:e}")).len());
                for form in [Never, Always, General, Json] {
                    let text = text(value, form);
                    prop_assert_eq!(text.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()), "{}", text);
                    prop_assert_eq!(text.contains('e'), !form.is_plain(value.abs()) && (value != 0.0 || form == Always));
                }
            }
        }
    }
}
