//! Decimal numbers at the start of a text: the usual ones eight digits at a time, all others by the standard library. Both give the
//! nearest float, to the bit.

/// Powers of ten that are floats without error: 10^22 is the last one.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Whole numbers up to this are floats without error. With one of [`POWERS`] there is one rounding, which is the nearest float
/// (W. D. Clinger, How to read floating point numbers accurately, 1990).
const WHOLE_MAX: u64 = 1 << 53;

/// Digits that cannot overflow a word.
const DIGITS_MAX: usize = 19;

/// Reads `-12.5e+07` up to the first other byte: the number, and how long it is. `None` if it is of another kind, or if the
/// nearest float takes more work: `parse` tells.
pub fn leading(text: &[u8]) -> Option<(f64, usize)> {
    let negative = text.first() == Some(&b'-');
    let mut at = usize::from(negative);
    let begun = at;
    let (mut whole, mut scale) = (0u64, 0i32);
    digits(text, &mut at, &mut whole);
    let mut digit_count = at - begun;
    if text.get(at) == Some(&b'.') {
        at += 1;
        let fraction = at;
        digits(text, &mut at, &mut whole);
        digit_count += at - fraction;
        scale = -i32::try_from(at - fraction).ok()?;
    }
    if digit_count == 0 || digit_count > DIGITS_MAX || whole > WHOLE_MAX {
        return None;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        let sign = text.get(at).copied();
        at += usize::from(matches!(sign, Some(b'+' | b'-')));
        let exponent_at = at;
        let mut exponent = 0;
        digits(text, &mut at, &mut exponent);
        // More than three digits are beyond all floats, or leading zeros.
        if at == exponent_at || at - exponent_at > 3 {
            return None;
        }
        let exponent = i32::try_from(exponent).ok()?;
        scale += if sign == Some(b'-') { -exponent } else { exponent };
    }
    let power = *POWERS.get(usize::try_from(scale.unsigned_abs()).ok()?)?;
    let value = if scale < 0 { whole as f64 / power } else { whole as f64 * power };
    Some((if negative { -value } else { value }, at))
}

/// As [`leading`], and with more work a number that takes it; `None` if it is of another kind.
pub fn leading_any(text: &[u8]) -> Option<(f64, usize)> {
    leading(text).or_else(|| {
        let is_other = |byte: &u8| !matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E');
        let length = text.iter().position(is_other).unwrap_or(text.len());
        let value = std::str::from_utf8(&text[..length]).ok()?.parse().ok()?;
        Some((value, length))
    })
}

/// What a number is to be multiplied with so that so many digits fit behind it.
const PLACES: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Moves over digits and adds them to a number, which may overflow if there are more than [`DIGITS_MAX`].
fn digits(text: &[u8], at: &mut usize, number: &mut u64) {
    while let Some(eight) = text.get(*at..).and_then(<[u8]>::first_chunk) {
        let (digits, count) = leading_digits(u64::from_le_bytes(*eight));
        *number = number.wrapping_mul(PLACES[count]).wrapping_add(digits);
        *at += count;
        if count < 8 {
            return;
        }
    }
    while let Some(digit) = text.get(*at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        *number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        *at += 1;
    }
}

/// The number that eight characters begin with, the first of them in the lowest byte, and how many digits it has.
fn leading_digits(characters: u64) -> (u64, usize) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let digits = characters ^ (EACH * 0x30);
    // The high bit of each byte that is more than 9; what is carried goes to bytes behind the first of these.
    let others = (digits.wrapping_add(EACH * 0x76) | digits) & (EACH * 0x80);
    let count = others.trailing_zeros() / 8;
    if count == 0 {
        return (0, 0);
    }
    // What is behind the digits goes, and zeros come in front of them. Then neighbours are joined: to pairs, fours, and eight.
    let ones = digits << (64 - 8 * count);
    let pairs = (ones * 10 + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let eight = (fours * 10_000 + (fours >> 32)) & 0xffff_ffff;
    (eight, count as usize)
}

/// A number as both formats write it; `Inf` and `NaN` in any case.
pub fn parse(text: &str) -> Option<f64> {
    match leading(text.as_bytes()) {
        Some((value, length)) if length == text.len() => Some(value),
        _ => text.parse().ok(),
    }
}

/// A bound of a bucket or a quantile as Prometheus 3 stores it: OpenMetrics' canonical numbers, and Go's shortest form for the large
/// and the small.
pub fn canonical(bound: f64) -> String {
    if bound.is_nan() {
        return "NaN".to_owned();
    }
    if bound.is_infinite() {
        return if bound > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if bound == 0.0 {
        return "0.0".to_owned();
    }
    if (1e-4..1e6).contains(&bound.abs()) {
        return format!("{bound:?}");
    }
    let text = format!("{bound:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_up_to_what_is_no_number() {
        for (text, wanted) in [
            ("12 x", Some((12.0, 2))),
            ("-0.5\n", Some((-0.5, 4))),
            ("1.5e+09", Some((1.5e9, 7))),
            ("1e-7,", Some((1e-7, 4))),
            (".5", Some((0.5, 2))),
            ("5.", Some((5.0, 2))),
            ("9007199254740993", None),
            ("123456789012345678901", None),
            ("1e400", None),
            ("1e0001", None),
            ("1e", None),
            (".", None),
            ("-", None),
            ("+1", None),
            ("NaN", None),
            ("", None),
        ] {
            assert_eq!(leading(text.as_bytes()), wanted, "{text}");
        }
        assert_eq!(leading(b"-0").map(|(value, _)| value.to_bits()), Some((-0.0f64).to_bits()));
        assert_eq!(
            (parse("+1"), parse("9007199254740993"), parse("1_0")),
            (Some(1.0), Some(9_007_199_254_740_992.0), None)
        );
    }

    #[test]
    fn numbers_of_many_digits_are_read_where_they_stand() {
        for (text, wanted) in [
            ("9007199254740993 1", Some((9_007_199_254_740_992.0, 16))),
            ("0.12345678901234568\n", Some((0.123_456_789_012_345_68, 19))),
            ("1e400\n", Some((f64::INFINITY, 5))),
            ("+1", Some((1.0, 2))),
            ("9007199254740993-1\n", None),
            ("Inf", None),
            ("-\n", None),
            ("", None),
        ] {
            assert_eq!(leading_any(text.as_bytes()), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn digits_are_read_wherever_they_end(number in any::<u64>(), length in 0usize..20, behind in "[^0-9]{0,12}") {
            let number = number % 10u64.pow(19);
            let text = format!("{number:0length$}");
            let (mut at, mut read) = (0, 0);
            digits(format!("{text}{behind}").as_bytes(), &mut at, &mut read);
            prop_assert_eq!((at, read), (text.len(), number));
        }

        #[test]
        fn as_the_standard_library_reads_it(text in "[+-]?[0-9]{0,20}(\\.[0-9]{0,12})?([eE][+-]?[0-9]{1,3})?") {
            let wanted: Option<f64> = text.parse().ok();
            prop_assert_eq!(parse(&text).map(f64::to_bits), wanted.map(f64::to_bits));
        }

        #[test]
        fn words_are_as_the_standard_library_reads_them(text in "[+-]?([iI][nN][fF]([iI]nity)?|[nN][aA][nN]|[0-9.eE+_xp-]{1,6})") {
            let wanted: Option<f64> = text.parse().ok();
            prop_assert_eq!(parse(&text).map(f64::to_bits), wanted.map(f64::to_bits));
        }

        #[test]
        fn every_float_comes_back(bits in any::<u64>(), exponent in any::<bool>()) {
            let value = f64::from_bits(bits);
            let text = if exponent { format!("{value:e}") } else { value.to_string() };
            let back = parse(&text).unwrap();
            prop_assert!(back.to_bits() == bits || value.is_nan() && back.is_nan());
        }
    }
}
