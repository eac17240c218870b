//! Decimal numbers at the start of a text: the usual ones in one look at each digit, all others by the standard library. Both
//! give the nearest float, to the bit.

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

/// Moves over digits and adds them to a number, which may overflow if there are more than [`DIGITS_MAX`].
fn digits(text: &[u8], at: &mut usize, number: &mut u64) {
    while let Some(digit) = text.get(*at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        *number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        *at += 1;
    }
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

    proptest! {
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
