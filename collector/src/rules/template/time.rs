//! Times as Go's `time` package writes them, in UTC, which is all that Prometheus' templates know. Pure.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::value::Value;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A time from seconds, as Prometheus cuts it to milliseconds.
pub(super) fn from_seconds(seconds: f64) -> Result<i64, String> {
    let nanos = seconds * 1e9;
    // The bounds of 64 bits.
    if nanos.abs() > 2f64.powi(63) {
        let shown = super::numbers::float_g(seconds, None);
        return Err(format!("{shown} cannot be represented as a nanoseconds timestamp since it overflows int64"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to be within range")]
    Ok(nanos as i64 / 1_000_000)
}

fn civil(millis: i64) -> DateTime {
    Timestamp::from_millisecond(millis).unwrap_or_default().to_zoned(TimeZone::UTC).datetime()
}

/// `2015-06-23 13:19:44.128 +0000 UTC`
pub(super) fn text(millis: i64) -> String {
    format(millis, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// A duration in nanoseconds as Go prints it: `1h2m3.5s`, `1.5ms`.
pub(super) fn duration_text(nanos: i64) -> String {
    let size = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    match size {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(size, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(size, 1_000_000)),
        _ => {
            let (hours, minutes) = (size / 3_600_000_000_000, size / 60_000_000_000 % 60);
            let seconds = decimal(size % 60_000_000_000, 1_000_000_000);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, _) => format!("{sign}{minutes}m{seconds}s"),
                _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// Nanoseconds in a unit of a power of ten of them.
fn decimal(nanos: u64, unit: u64) -> String {
    let fraction = format!("{:0width$}", nanos % unit, width = usize::try_from(unit.ilog10()).unwrap_or(0));
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", nanos / unit)
}

/// The parts of a layout, the longer before those that they begin with.
const PARTS: [&str; 38] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "Z070000",
    "Z07:00:00",
    "Z0700",
    "Z07:00",
    "Z07",
    "-070000",
    "-07:00:00",
    "-0700",
    "-07:00",
    "-07",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "__2",
    "_2006",
    "_2",
    "15",
    "PM",
    "pm",
    ".000000000",
    ".000000",
    ".000",
    ".999999999",
    ".999999",
    ".999",
    "1",
    "2",
    "3",
];

/// Writes a time by an example: Go's reference time is 2006-01-02 15:04:05.
pub(super) fn format(millis: i64, layout: &str) -> String {
    let at = civil(millis);
    let mut written = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        let part = PARTS
            .iter()
            .find(|part| rest.starts_with(**part))
            .or_else(|| ["4", "5"].iter().find(|p| rest.starts_with(**p)));
        match part {
            // "_2006" is an underscore before a year.
            Some(&"_2006") => {
                written.push('_');
                rest = &rest[1..];
            }
            Some(part) => {
                written.push_str(&piece(at, part));
                rest = &rest[part.len()..];
            }
            None => {
                written.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    written
}

fn piece(at: DateTime, part: &str) -> String {
    let month = MONTHS[usize::try_from(at.month() - 1).unwrap_or(0) % 12];
    let day = DAYS[usize::try_from(at.weekday().to_sunday_zero_offset()).unwrap_or(0) % 7];
    let hour_12 = if at.hour() % 12 == 0 { 12 } else { at.hour() % 12 };
    let nanos = format!("{:09}", at.subsec_nanosecond());
    match part {
        "January" => month.to_owned(),
        "Jan" => month[..3].to_owned(),
        "Monday" => day.to_owned(),
        "Mon" => day[..3].to_owned(),
        "MST" => "UTC".to_owned(),
        "2006" => format!("{:04}", at.year()),
        "06" => format!("{:02}", at.year().rem_euclid(100)),
        "01" => format!("{:02}", at.month()),
        "1" => at.month().to_string(),
        "02" => format!("{:02}", at.day()),
        "_2" => format!("{:2}", at.day()),
        "2" => at.day().to_string(),
        "002" => format!("{:03}", at.day_of_year()),
        "__2" => format!("{:3}", at.day_of_year()),
        "15" => format!("{:02}", at.hour()),
        "03" => format!("{hour_12:02}"),
        "3" => hour_12.to_string(),
        "04" => format!("{:02}", at.minute()),
        "4" => at.minute().to_string(),
        "05" => format!("{:02}", at.second()),
        "5" => at.second().to_string(),
        "PM" => if at.hour() >= 12 { "PM" } else { "AM" }.to_owned(),
        "pm" => if at.hour() >= 12 { "pm" } else { "am" }.to_owned(),
        "Z0700" | "Z07:00" | "Z07" | "Z070000" | "Z07:00:00" => "Z".to_owned(),
        "-0700" => "+0000".to_owned(),
        "-07:00" => "+00:00".to_owned(),
        "-07" => "+00".to_owned(),
        "-070000" => "+000000".to_owned(),
        "-07:00:00" => "+00:00:00".to_owned(),
        part if part.starts_with(".0") => format!(".{}", &nanos[..part.len() - 1]),
        part if part.starts_with(".9") => {
            let digits = nanos[..part.len() - 1].trim_end_matches('0');
            if digits.is_empty() { String::new() } else { format!(".{digits}") }
        }
        part => part.to_owned(),
    }
}

/// A method of a time or a duration without arguments; none if Go's has another name.
pub(super) fn method(value: &Value, name: &str) -> Option<Value> {
    match value {
        Value::Time(millis) => time_method(*millis, name),
        Value::Duration(nanos) => duration_method(*nanos, name),
        Value::Named { name: text, .. } if name == "String" => Some(Value::Text((*text).into())),
        _ => None,
    }
}

fn time_method(millis: i64, name: &str) -> Option<Value> {
    let at = civil(millis);
    Some(match name {
        "Unix" => Value::Int(millis.div_euclid(1000)),
        "UnixMilli" => Value::Int(millis),
        "UnixMicro" => Value::Int(millis.saturating_mul(1000)),
        "UnixNano" => Value::Int(millis.saturating_mul(1_000_000)),
        "Year" => Value::Int(at.year().into()),
        "Month" => {
            let number = i64::from(at.month());
            Value::Named { kind: "time.Month", name: MONTHS[usize::try_from(number - 1).unwrap_or(0) % 12], number }
        }
        "Day" => Value::Int(at.day().into()),
        "Hour" => Value::Int(at.hour().into()),
        "Minute" => Value::Int(at.minute().into()),
        "Second" => Value::Int(at.second().into()),
        "Nanosecond" => Value::Int(at.subsec_nanosecond().into()),
        "YearDay" => Value::Int(at.day_of_year().into()),
        "Weekday" => {
            let number = i64::from(at.weekday().to_sunday_zero_offset());
            Value::Named { kind: "time.Weekday", name: DAYS[usize::try_from(number).unwrap_or(0) % 7], number }
        }
        "UTC" | "Local" => Value::Time(millis),
        "IsZero" => Value::Bool(false),
        "String" => text(millis).into(),
        _ => return None,
    })
}

fn duration_method(nanos: i64, name: &str) -> Option<Value> {
    #[expect(clippy::cast_precision_loss, reason = "what Go does, too")]
    let seconds = nanos as f64 / 1e9;
    Some(match name {
        "Hours" => Value::Float(seconds / 3600.0),
        "Minutes" => Value::Float(seconds / 60.0),
        "Seconds" => Value::Float(seconds),
        "Milliseconds" => Value::Int(nanos / 1_000_000),
        "Microseconds" => Value::Int(nanos / 1_000),
        "Nanoseconds" => Value::Int(nanos),
        "String" => duration_text(nanos).into(),
        _ => return None,
    })
}
