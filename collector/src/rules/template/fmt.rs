//! Go's `fmt`: what `print`, `println` and `printf` make of values, bad verbs and missing values included. Pure.

use super::numbers::{float_e, float_f, float_g, quote};
use super::value::Value;

/// The widest field and the longest fraction: wider than any line, and no way to fill the memory.
const WIDTH_MAX: usize = 1_000;

/// `print`: spaces stand between values that are both no texts.
pub(super) fn sprint(values: &[Value]) -> String {
    let mut written = String::new();
    for (i, value) in values.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if i > 0 && !is_text(value) && !is_text(&values[i - 1]) {
            written.push(' ');
        }
        written.push_str(&value.text());
    }
    written
}

/// `println`
pub(super) fn sprintln(values: &[Value]) -> String {
    let texts: Vec<String> = values.iter().map(Value::text).collect();
    texts.join(" ") + "\n"
}

/// What stands between a `%` and its verb.
#[derive(Default, Clone, Copy)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// `printf`
pub(super) fn sprintf(format: &str, values: &[Value]) -> String {
    let mut written = String::new();
    let mut values_left = values.iter();
    let mut rest = format;
    while let Some(percent) = rest.find('%') {
        written.push_str(&rest[..percent]);
        rest = &rest[percent + 1..];
        let flags = read_flags(&mut rest, &mut values_left, &mut written);
        let Some(verb) = rest.chars().next() else {
            written.push_str("%!(NOVERB)");
            break;
        };
        rest = &rest[verb.len_utf8()..];
        if verb == '%' {
            written.push('%');
            continue;
        }
        match values_left.next() {
            Some(value) => written.push_str(&one(value, verb, flags)),
            None => written.push_str(&format!("%!{verb}(MISSING)")),
        }
    }
    written.push_str(rest);
    let extra: Vec<String> = values_left.map(typed).collect();
    if !extra.is_empty() {
        written.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    written
}

fn read_flags(rest: &mut &str, values: &mut std::slice::Iter<'_, Value>, written: &mut String) -> Flags {
    let mut flags = Flags::default();
    while let Some(c) = rest.chars().next() {
        match c {
            '-' => flags.minus = true,
            '+' => flags.plus = true,
            '#' => flags.sharp = true,
            ' ' => flags.space = true,
            '0' => flags.zero = true,
            _ => break,
        }
        *rest = &rest[1..];
    }
    flags.width = read_number(rest, values, "WIDTH", written);
    if let Some(after) = rest.strip_prefix('.') {
        *rest = after;
        flags.precision = Some(read_number(rest, values, "PREC", written).unwrap_or(0));
    }
    flags
}

fn read_number(
    rest: &mut &str,
    values: &mut std::slice::Iter<'_, Value>,
    what: &str,
    written: &mut String,
) -> Option<usize> {
    if let Some(after) = rest.strip_prefix('*') {
        *rest = after;
        return match values.next() {
            Some(Value::Int(number)) if *number >= 0 => usize::try_from(*number).ok().map(|n| n.min(WIDTH_MAX)),
            _ => {
                written.push_str(&format!("%!(BAD{what})"));
                None
            }
        };
    }
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let number = rest[..digits].parse::<usize>().ok();
    *rest = &rest[digits..];
    number.map(|number| number.min(WIDTH_MAX))
}

/// A value with its type, as `fmt` shows what does not fit.
fn typed(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        value => format!("{}={}", value.type_name(), value.text()),
    }
}

fn bad(value: &Value, verb: char) -> String {
    format!("%!{verb}({})", typed(value))
}

fn one(value: &Value, verb: char, flags: Flags) -> String {
    match (value, verb) {
        (value, 'T') => pad(value.type_name(), flags),
        (Value::Nil, 'v') => pad("<nil>", flags),
        (Value::Bool(value), 't' | 'v') => pad(&value.to_string(), flags),
        (Value::Int(number), _) => integer(value, *number, verb, flags),
        (Value::Named { number, .. }, 'd' | 'x' | 'X' | 'b' | 'o') => integer(value, *number, verb, flags),
        (Value::Duration(number), 'd') => integer(value, *number, verb, flags),
        (Value::Float(number), _) => float(value, *number, verb, flags),
        (Value::Text(text), _) => text_verb(value, text, verb, flags),
        (Value::Texts(texts), _) => {
            let each = |text: &String| one(&Value::Text(text.as_str().into()), verb, flags);
            let pairs = texts.iter().map(|(name, text)| format!("{}:{}", each(name), each(text)));
            format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
        }
        (Value::Time(_) | Value::Duration(_) | Value::Named { .. } | Value::Histogram(_), 's' | 'q') => {
            text_verb(value, &value.text(), verb, flags)
        }
        (value, 'v') => pad(&value.text(), flags),
        (value, verb) => bad(value, verb),
    }
}

fn text_verb(value: &Value, text: &str, verb: char, flags: Flags) -> String {
    let cut: String = match flags.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    let hex = |upper: bool| {
        let separator = if flags.space { " " } else { "" };
        let bytes = cut.bytes().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        bytes.collect::<Vec<_>>().join(separator)
    };
    match verb {
        'v' if flags.sharp => pad(&quote(text), flags),
        's' | 'v' => pad(&cut, flags),
        'q' => pad(&if flags.sharp && !cut.contains('`') { format!("`{cut}`") } else { quote(&cut) }, flags),
        'x' => pad(&hex(false), flags),
        'X' => pad(&hex(true), flags),
        _ => bad(value, verb),
    }
}

fn integer(value: &Value, number: i64, verb: char, flags: Flags) -> String {
    let size = number.unsigned_abs();
    let character = || u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    let (prefix, digits) = match verb {
        'd' | 'v' => ("", size.to_string()),
        'b' => (if flags.sharp { "0b" } else { "" }, format!("{size:b}")),
        'o' => (if flags.sharp { "0" } else { "" }, format!("{size:o}")),
        'O' => ("0o", format!("{size:o}")),
        'x' => (if flags.sharp { "0x" } else { "" }, format!("{size:x}")),
        'X' => (if flags.sharp { "0X" } else { "" }, format!("{size:X}")),
        'c' => return pad(&character().to_string(), flags),
        'q' => return pad(&format!("'{}'", character()), flags),
        'U' => return pad(&format!("U+{:04X}", u32::from(character())), flags),
        _ => return bad(value, verb),
    };
    if flags.precision == Some(0) && number == 0 {
        return pad("", flags);
    }
    let digits = format!("{digits:0>width$}", width = flags.precision.unwrap_or(0));
    let flags = Flags { zero: flags.zero && flags.precision.is_none(), ..flags };
    signed(sign(number < 0, flags), &format!("{prefix}{digits}"), flags)
}

fn float(value: &Value, number: f64, verb: char, flags: Flags) -> String {
    let written = match verb {
        'e' | 'E' => float_e(number, flags.precision.unwrap_or(6)),
        'f' | 'F' => float_f(number, flags.precision.unwrap_or(6)),
        'g' | 'G' | 'v' => float_g(number, flags.precision),
        _ => return bad(value, verb),
    };
    let written = if verb.is_uppercase() && number.is_finite() { written.to_uppercase() } else { written };
    let (is_negative, size) = match written.strip_prefix(['-', '+']) {
        Some(size) => (written.starts_with('-'), size),
        None => (false, written.as_str()),
    };
    // Go writes the sign of infinity always, and pads what is no number with spaces.
    let sign = if number == f64::INFINITY && !flags.space { "+" } else { sign(is_negative, flags) };
    signed(sign, size, Flags { zero: flags.zero && number.is_finite(), ..flags })
}

fn sign(is_negative: bool, flags: Flags) -> &'static str {
    match (is_negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    }
}

/// Zeros stand between sign and digits, spaces before or behind both.
fn signed(sign: &str, digits: &str, flags: Flags) -> String {
    if flags.zero && !flags.minus {
        let width = flags.width.unwrap_or(0).saturating_sub(sign.len());
        return format!("{sign}{digits:0>width$}");
    }
    pad(&format!("{sign}{digits}"), Flags { zero: false, ..flags })
}

fn pad(text: &str, flags: Flags) -> String {
    let width = flags.width.unwrap_or(0);
    match (flags.minus, flags.zero) {
        (true, _) => format!("{text:<width$}"),
        (false, true) => format!("{text:0>width$}"),
        (false, false) => format!("{text:>width$}"),
    }
}
