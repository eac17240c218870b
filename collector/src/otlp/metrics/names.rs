//! OpenTelemetry's names as Prometheus': units and types become suffixes, what Prometheus' names cannot hold becomes an underscore.
//! Pure. <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>

use crate::config::otlp::Translation;

/// Units as OpenTelemetry writes them (UCUM) and as Prometheus does.
const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// The same behind a slash.
const UNITS_PER: [(&str, &str); 7] =
    [("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

/// What decides a metric's suffixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A sum that only grows: `_total`.
    Counter,
    /// A value; without a unit, `_ratio`.
    Gauge,
    /// All others.
    Other,
}

/// A metric's name.
pub fn metric(translation: Translation, name: &str, unit: &str, shape: Shape) -> String {
    match translation {
        Translation::UnderscoresWithSuffixes => compliant(name, unit, shape),
        Translation::Utf8WithSuffixes => with_suffixes(name, unit, shape),
        Translation::None => name.to_owned(),
    }
}

/// A label's name.
pub fn label(translation: Translation, name: &str) -> String {
    if translation != Translation::UnderscoresWithSuffixes || name.is_empty() {
        return name.to_owned();
    }
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) {
        format!("key_{plain}")
    } else if plain.starts_with('_') && !plain.starts_with("__") {
        format!("key{plain}")
    } else {
        plain
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn compliant(name: &str, unit: &str, shape: Shape) -> String {
    let (main, per) = units(unit);
    let (main, mut per) = (clean(&main), clean(&per));
    let mut tokens: Vec<&str> = name.split(|c| !is_plain(c)).filter(|token| !token.is_empty()).collect();
    per = if per == "per_" { String::new() } else { per.strip_suffix('_').unwrap_or(&per).to_owned() };
    let has = |tokens: &[&str], token: &str| tokens.contains(&token);
    let adds_main = !main.is_empty() && !has(&tokens, &main);
    let adds_per = !per.is_empty() && !has(&tokens, &per);
    let main = if adds_per { main.strip_suffix('_').unwrap_or(&main) } else { &main };
    if adds_main && !main.is_empty() {
        tokens.push(main);
    }
    if adds_per {
        tokens.push(&per);
    }
    let ending = match shape {
        Shape::Counter => Some("total"),
        Shape::Gauge if unit == "1" => Some("ratio"),
        Shape::Gauge | Shape::Other => None,
    };
    if let Some(ending) = ending {
        tokens.retain(|token| *token != ending);
        tokens.push(ending);
    }
    let joined = tokens.join("_");
    if joined.starts_with(|c: char| c.is_ascii_digit()) { format!("_{joined}") } else { joined }
}

fn with_suffixes(name: &str, unit: &str, shape: Shape) -> String {
    let (main, per) = units(unit);
    let ending = match shape {
        Shape::Counter => "total",
        Shape::Gauge if unit == "1" => "ratio",
        Shape::Gauge | Shape::Other => "",
    };
    let mut made = name.to_owned();
    for suffix in [&*main, &*per, ending].into_iter().filter(|suffix| !suffix.is_empty()) {
        made.push('_');
        made.push_str(suffix);
    }
    made
}

/// What a unit adds: `By/s` is `bytes` and `per_second`. What stands in braces is a remark.
fn units(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let known = |unit: &str, table: &[(&str, &str)]| {
        let unit = unit.trim();
        if unit.contains(['{', '}']) {
            return String::new();
        }
        table.iter().find(|(from, _)| *from == unit).map_or(unit, |(_, to)| to).to_owned()
    };
    let per = known(per, &UNITS_PER);
    (known(main, &UNITS), if per.is_empty() { per } else { format!("per_{per}") })
}

/// A unit that no table knows: what names cannot hold becomes an underscore, several become one, and none stands in front.
fn clean(unit: &str) -> String {
    let mut cleaned = String::with_capacity(unit.len());
    for c in unit.chars().map(|c| if is_plain(c) { c } else { '_' }) {
        if c != '_' || !cleaned.ends_with('_') {
            cleaned.push(c);
        }
    }
    cleaned.strip_prefix('_').map(str::to_owned).unwrap_or(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_what_prometheus_makes_of_them() {
        let cases = [
            ("http.server.duration", "ms", Shape::Other, "http_server_duration_milliseconds"),
            ("http.server.requests", "{request}", Shape::Counter, "http_server_requests_total"),
            ("requests_total", "1", Shape::Counter, "requests_total"),
            ("total.requests", "", Shape::Counter, "requests_total"),
            ("system.cpu.utilization", "1", Shape::Gauge, "system_cpu_utilization_ratio"),
            ("system.io", "By/s", Shape::Gauge, "system_io_bytes_per_second"),
            ("system.io", "By", Shape::Counter, "system_io_bytes_total"),
            ("memory.bytes.used", "By", Shape::Gauge, "memory_bytes_used"),
            ("speed", "m/s", Shape::Gauge, "speed_meters_per_second"),
            ("speed", "{packet}/h", Shape::Gauge, "speed_per_hour"),
            ("speed", "By/", Shape::Gauge, "speed_bytes"),
            ("2xx.answers", "", Shape::Other, "_2xx_answers"),
            ("a__b..c", "", Shape::Other, "a_b_c"),
            ("odd", "$/°", Shape::Gauge, "odd"),
            ("odd", "weird unit", Shape::Gauge, "odd_weird_unit"),
            ("trie:d", "%", Shape::Gauge, "trie:d_percent"),
        ];
        for (name, unit, shape, expected) in cases {
            let made = metric(Translation::UnderscoresWithSuffixes, name, unit, shape);
            assert_eq!(made, expected, "{name} in {unit}");
        }
        let made = |translation| metric(translation, "http.io", "By/s", Shape::Counter);
        assert_eq!(made(Translation::Utf8WithSuffixes), "http.io_bytes_per_second_total");
        assert_eq!(made(Translation::None), "http.io");
    }

    #[test]
    fn labels_become_what_prometheus_makes_of_them() {
        let cases = [
            ("http.route", "http_route"),
            ("1st", "key_1st"),
            ("_private", "key_private"),
            ("__name", "__name"),
            ("a.b-c d", "a_b_c_d"),
            ("ü", "key_"),
        ];
        for (name, expected) in cases {
            assert_eq!(label(Translation::UnderscoresWithSuffixes, name), expected);
            assert_eq!(label(Translation::None, name), name);
        }
    }
}
