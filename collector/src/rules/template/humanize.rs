//! Numbers for people, as Prometheus' template functions write them. Pure.

use super::numbers::float_g;

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const LARGE_1024: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

/// Four digits that count.
fn short(value: f64) -> String {
    float_g(value, Some(4))
}

fn larger(mut value: f64, step: f64, prefixes: &[&'static str]) -> String {
    let mut prefix = "";
    for next in prefixes {
        if value.abs() < step {
            break;
        }
        (prefix, value) = (next, value / step);
    }
    short(value) + prefix
}

fn smaller(mut value: f64) -> String {
    let mut prefix = "";
    for next in SMALL {
        if value.abs() >= 1.0 {
            break;
        }
        (prefix, value) = (next, value * 1000.0);
    }
    short(value) + prefix
}

/// `humanize`
pub(super) fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        short(value)
    } else if value.abs() >= 1.0 {
        larger(value, 1000.0, &LARGE)
    } else {
        smaller(value)
    }
}

/// `humanize1024`
pub(super) fn humanize_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() { short(value) } else { larger(value, 1024.0, &LARGE_1024) }
}

/// `humanizePercentage`
pub(super) fn humanize_percentage(value: f64) -> String {
    short(value * 100.0) + "%"
}

/// `humanizeDuration`, of seconds
pub(super) fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return short(value);
    }
    if value == 0.0 {
        return short(value) + "s";
    }
    if value.abs() < 1.0 {
        return smaller(value) + "s";
    }
    let (sign, value) = if value < 0.0 { ("-", -value) } else { ("", value) };
    #[expect(clippy::cast_possible_truncation, reason = "what is absurd saturates")]
    let whole = value as i64;
    let (seconds, minutes, hours, days) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86_400);
    if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", short(value))
    }
}
