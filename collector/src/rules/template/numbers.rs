//! Literals as Go reads them: numbers, characters, quoted texts; and numbers as `strconv` writes them. Pure.

use protocol::number::Exponent;

/// A number or character: whole, if it is, and as a float.
pub(super) fn number(text: &str) -> Option<(Option<i64>, f64)> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let unquoted = unescape(quoted.strip_suffix('\'')?)?;
        let mut chars = unquoted.chars();
        let c = chars.next().filter(|_| chars.next().is_none())?;
        return Some((Some(i64::from(u32::from(c))), f64::from(u32::from(c))));
    }
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let clean = digits.replace('_', "");
    let lower = clean.to_ascii_lowercase();
    let radix =
        [("0x", 16), ("0o", 8), ("0b", 2)].into_iter().find_map(|(p, radix)| Some((lower.strip_prefix(p)?, radix)));
    let whole = match radix {
        Some((digits, radix)) => Some(i64::from_str_radix(digits, radix).ok()?),
        // As in Go, a leading zero means octal.
        None if lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|b| b.is_ascii_digit()) => {
            Some(i64::from_str_radix(&lower, 8).ok()?)
        }
        None => lower.parse().ok(),
    };
    #[expect(clippy::cast_precision_loss, reason = "what Go does, too")]
    let float = match whole {
        Some(whole) => whole as f64,
        None => parse_float(&lower)?,
    };
    // A float without a fraction can stand for a whole number, but is printed as a float.
    let signed = |number: f64| if is_negative { -number } else { number };
    Some((whole.map(|whole| if is_negative { -whole } else { whole }), signed(float)))
}

fn parse_float(text: &str) -> Option<f64> {
    text.starts_with(|c: char| c.is_ascii_digit() || c == '.').then(|| text.parse().ok()).flatten()
}

/// A number as Go's `strconv.ParseFloat` reads it.
pub(super) fn go_float(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    if text.len() - unsigned.len() > 1 {
        return None;
    }
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    match unsigned.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => Some(sign * f64::INFINITY),
        "nan" => Some(f64::NAN),
        lower => parse_float(lower).filter(|number| number.is_finite()).map(|number| sign * number),
    }
}

/// The text inside of quotes or backticks.
pub(super) fn unquote(quoted: &str) -> Option<String> {
    if let Some(raw) = quoted.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', ""));
    }
    unescape(quoted.strip_prefix('"')?.strip_suffix('"')?)
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes: Vec<u8> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let push = |bytes: &mut Vec<u8>, c: char| bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    while let Some(c) = chars.next() {
        if c != '\\' {
            push(&mut bytes, c);
            continue;
        }
        match chars.next()? {
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(11),
            c @ ('\\' | '"' | '\'') => push(&mut bytes, c),
            'x' => bytes.push(u8::try_from(digits(&mut chars, 2, 16)?).ok()?),
            'u' => push(&mut bytes, char::from_u32(digits(&mut chars, 4, 16)?)?),
            'U' => push(&mut bytes, char::from_u32(digits(&mut chars, 8, 16)?)?),
            c @ '0'..='7' => {
                let rest = digits(&mut chars, 2, 8)?;
                bytes.push(u8::try_from(c.to_digit(8)? * 64 + rest).ok()?);
            }
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn digits(chars: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    (0..count).try_fold(0u32, |number, _| Some(number.checked_mul(radix)? + chars.next()?.to_digit(radix)?))
}

/// A text in Go's quotes: `strconv.Quote`.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A float as `%g` writes it: the shortest digits that read back, or so many.
pub(super) fn float_g(value: f64, precision: Option<usize>) -> String {
    if let Some(special) = special(value) {
        return special.to_owned();
    }
    let Some(precision) = precision.map(|precision| precision.max(1)) else {
        return protocol::number::text(value, Exponent::General);
    };
    let scientific = format!("{value:.*e}", precision - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let digits = i32::try_from(mantissa.bytes().filter(u8::is_ascii_digit).count()).unwrap_or(0);
    let limit = i32::try_from(precision).unwrap_or(i32::MAX);
    let limit = if limit > digits && digits > exponent { digits } else { limit };
    if exponent < -4 || exponent >= limit {
        return with_exponent(mantissa, exponent);
    }
    let decimals = usize::try_from(digits - 1 - exponent).unwrap_or(0);
    format!("{value:.decimals$}")
}

/// A float as `%e` writes it.
pub(super) fn float_e(value: f64, precision: usize) -> String {
    if let Some(special) = special(value) {
        return special.to_owned();
    }
    let scientific = format!("{value:.precision$e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    with_exponent(mantissa, exponent.parse().unwrap_or(0))
}

/// A float as `%f` writes it.
pub(super) fn float_f(value: f64, precision: usize) -> String {
    special(value).map_or_else(|| format!("{value:.precision$}"), str::to_owned)
}

fn special(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_nan() => Some("NaN"),
        f64::INFINITY => Some("+Inf"),
        f64::NEG_INFINITY => Some("-Inf"),
        _ => None,
    }
}

fn with_exponent(mantissa: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}
