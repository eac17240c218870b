//! The series that both are fed with: counters, gauges and classic histograms that move, each value a function of series
//! and time alone, so that every run and both sides see the same.

use std::fmt::Write;

/// Upper bounds of the histograms' buckets, in seconds: the usual ones of client libraries, and two more.
const BOUNDS: [&str; 14] =
    ["0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "+Inf"];

/// Which share of observations is at most each bound, in thousandths.
const SHARES: [u64; 14] = [12, 95, 210, 430, 610, 760, 880, 935, 968, 985, 993, 997, 999, 1_000];

/// Series of one histogram: its buckets, sum and count.
const HISTOGRAM_SERIES: usize = BOUNDS.len() + 2;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];
const STATUSES: [&str; 5] = ["200", "204", "400", "404", "500"];
const OUTCOMES: [&str; 3] = ["ok", "error", "timeout"];

/// Every so many counters one begins again at zero from time to time, as one of a process that is restarted.
const RESTARTING: u64 = 50;

/// Seconds between two restarts.
const RESTART_SECONDS: u64 = 2_500;

/// Labels by name and value.
pub type LabelPairs = Vec<(&'static str, String)>;

/// How a series moves.
#[derive(Debug, Clone, Copy)]
enum Motion {
    /// Whole numbers that only grow, by so much a second on average.
    Counter { rate: f64, restarts: bool },
    /// A bucket or the count: its share (in thousandths) of observations that come at this rate.
    Bucket { rate: f64, share: u64, histogram: u64 },
    /// The sum of observations.
    Sum { rate: f64, mean: f64, histogram: u64 },
    /// A whole number within bounds that wanders.
    Length { around: f64 },
    /// Bytes, in whole pages.
    Bytes { around: f64 },
    /// Between 0 and 1, all digits.
    Ratio,
    /// Two digits behind the point.
    Rounded { around: f64 },
}

/// A series of every target.
#[derive(Debug)]
pub struct Line {
    pub name: &'static str,
    pub labels: LabelPairs,
    motion: Motion,
    /// The text in front of the value, in the exposition format, with `# TYPE` if a family begins here.
    prefix: String,
}

/// The series that every target has; their values differ from target to target.
#[derive(Debug)]
pub struct Generator {
    pub lines: Vec<Line>,
}

impl Generator {
    /// About a third counters, a fifth gauges, the rest histograms.
    pub fn new(series: usize) -> Self {
        let mut lines = Vec::with_capacity(series);
        let counters = series * 3 / 10;
        let histograms = (series / 2) / HISTOGRAM_SERIES;
        counter_lines(&mut lines, counters);
        for number in 0..histograms {
            histogram_lines(&mut lines, number);
        }
        let gauges = series.saturating_sub(lines.len());
        gauge_lines(&mut lines, gauges);
        let mut last = "";
        for line in &mut lines {
            line.prefix = prefix(line, last);
            last = family(line.name);
        }
        Self { lines }
    }

    /// The value of a target's series, `second` seconds after the beginning.
    pub fn value(&self, target: usize, line: usize, second: u64) -> f64 {
        let seed = (target as u64) << 32 | line as u64;
        self.lines[line].motion.value(seed, target as u64, second)
    }

    /// What a target prints.
    pub fn exposition(&self, target: usize, second: u64, out: &mut String) {
        for (index, line) in self.lines.iter().enumerate() {
            out.push_str(&line.prefix);
            writeln!(out, "{}", self.value(target, index, second)).expect("a text takes everything");
        }
    }
}

/// The job of a target, and its instance.
pub fn identity(target: usize) -> (String, String) {
    (format!("service-{}", target / 10), format!("10.0.0.{target}:8080"))
}

fn counter_lines(lines: &mut Vec<Line>, count: usize) {
    let half = count / 2;
    for i in 0..half {
        let labels = vec![
            ("method", METHODS[i % METHODS.len()].to_owned()),
            ("route", format!("/api/v1/resource-{}", i / (METHODS.len() * STATUSES.len()))),
            ("status", STATUSES[i / METHODS.len() % STATUSES.len()].to_owned()),
        ];
        lines.push(line("http_requests_total", labels, counter(i)));
    }
    for i in 0..count - half {
        let labels = vec![
            ("outcome", OUTCOMES[i % OUTCOMES.len()].to_owned()),
            ("peer", format!("peer-{}", i / OUTCOMES.len() % 10)),
            ("procedure", format!("Procedure{}", i / (OUTCOMES.len() * 10))),
        ];
        lines.push(line("rpc_client_calls_total", labels, counter(i)));
    }
}

fn counter(i: usize) -> Motion {
    let rates = [0.2, 1.0, 5.0, 40.0, 700.0];
    Motion::Counter { rate: rates[i * 7 % rates.len()], restarts: (i as u64).is_multiple_of(RESTARTING) }
}

fn histogram_lines(lines: &mut Vec<Line>, number: usize) {
    let rate = [0.5, 3.0, 20.0, 150.0][number % 4];
    let (histogram, route) = (number as u64, format!("/api/v1/resource-{number}"));
    let name = "http_request_duration_seconds_bucket";
    for (bound, share) in BOUNDS.iter().zip(SHARES) {
        let labels = vec![("le", (*bound).to_owned()), ("route", route.clone())];
        lines.push(line(name, labels, Motion::Bucket { rate, share, histogram }));
    }
    let labels = vec![("route", route)];
    let sum = Motion::Sum { rate, mean: 0.087, histogram };
    lines.push(line("http_request_duration_seconds_sum", labels.clone(), sum));
    let count = Motion::Bucket { rate, share: 1_000, histogram };
    lines.push(line("http_request_duration_seconds_count", labels, count));
}

fn gauge_lines(lines: &mut Vec<Line>, count: usize) {
    let kinds: [(&'static str, &'static str, Motion); 4] = [
        ("queue_length", "queue", Motion::Length { around: 40.0 }),
        ("worker_memory_bytes", "worker", Motion::Bytes { around: 6e7 }),
        ("cache_hit_ratio", "cache", Motion::Ratio),
        ("sensor_temperature_celsius", "sensor", Motion::Rounded { around: 45.0 }),
    ];
    for (kind, (name, label, motion)) in kinds.into_iter().enumerate() {
        let until = (kind + 1) * count / kinds.len();
        for i in kind * count / kinds.len()..until {
            lines.push(line(name, vec![(label, format!("{label}-{i}"))], motion));
        }
    }
}

fn line(name: &'static str, labels: LabelPairs, motion: Motion) -> Line {
    Line { name, labels, motion, prefix: String::new() }
}

/// The name of a metric's family.
fn family(name: &'static str) -> &'static str {
    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

fn prefix(line: &Line, last_family: &str) -> String {
    let (mut text, family) = (String::new(), family(line.name));
    if family != last_family {
        let kind = match line.motion {
            Motion::Counter { .. } => "counter",
            Motion::Bucket { .. } | Motion::Sum { .. } => "histogram",
            _ => "gauge",
        };
        text = format!("# HELP {family} A {kind} of the bench.\n# TYPE {family} {kind}\n");
    }
    let labels: Vec<String> = line.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    text + &format!("{}{{{}}} ", line.name, labels.join(","))
}

impl Motion {
    #[expect(clippy::cast_precision_loss, reason = "seconds of some days, far below 2^53")]
    fn value(self, seed: u64, target: u64, second: u64) -> f64 {
        // Days of uptime before the beginning, another number of them for each series.
        let uptime = |seed: u64| (mixed(seed, 1) * 400_000.0).floor();
        match self {
            Self::Counter { rate, restarts: false } => {
                (rate * (uptime(seed) + second as f64 + mixed(seed, second + 2))).floor()
            }
            Self::Counter { rate, restarts: true } => {
                let since = (second + seed % RESTART_SECONDS) % RESTART_SECONDS;
                (rate * (since as f64 + mixed(seed, second + 2))).floor()
            }
            Self::Bucket { rate, share, histogram } => {
                (observations(target, histogram, rate, second) * share as f64 / 1_000.0).floor()
            }
            Self::Sum { rate, mean, histogram } => {
                let count = observations(target, histogram, rate, second);
                // As a sum of measured times: digits down to the nanosecond, and another sum only where something was observed.
                ((count * mean + mean * 0.5 * mixed(seed, count as u64)) * 1e9).round() / 1e9
            }
            Self::Length { around } => (around * wave(seed, second) + 4.0 * mixed(seed, second)).floor(),
            Self::Bytes { around } => (around * wave(seed, second) / 4096.0).floor() * 4096.0,
            Self::Ratio => 0.5 + 0.3 * (wave(seed, second) - 1.0) + 0.2 * mixed(seed, second),
            Self::Rounded { around } => ((around * wave(seed, second) + mixed(seed, second)) * 100.0).round() / 100.0,
        }
    }
}

/// How often something has been observed: the same for all buckets of a histogram.
#[expect(clippy::cast_precision_loss, reason = "seconds of some days, far below 2^53")]
fn observations(target: u64, histogram: u64, rate: f64, second: u64) -> f64 {
    let seed = 0x4857 + (target << 24) + histogram;
    (rate * ((mixed(seed, 1) * 400_000.0).floor() + second as f64 + mixed(seed, second + 2))).floor()
}

/// Up and down around 1, in another rhythm for each series.
#[expect(clippy::cast_precision_loss, reason = "seconds of some days, far below 2^53")]
fn wave(seed: u64, second: u64) -> f64 {
    let period = 600.0 + 3_000.0 * mixed(seed, 3);
    1.0 + 0.4 * (second as f64 / period * std::f64::consts::TAU + 6.0 * mixed(seed, 4)).sin()
}

/// A number between 0 and 1 that looks like chance: the finaliser of MurmurHash3.
#[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
fn mixed(seed: u64, number: u64) -> f64 {
    let mut bits = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_add(0x632b_e59b_d9b4_e019);
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        bits = (bits ^ (bits >> 33)).wrapping_mul(factor);
    }
    ((bits ^ (bits >> 33)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_as_many_series_as_asked_for_and_no_two_are_the_same() {
        for series in [160, 2_000, 2_001] {
            let generator = Generator::new(series);
            let names: HashSet<&str> =
                generator.lines.iter().map(|line| line.prefix.rsplit('\n').next().unwrap()).collect();
            assert_eq!((generator.lines.len(), names.len()), (series, series));
        }
    }

    #[test]
    fn counters_grow_unless_they_begin_again_and_buckets_are_cumulative() {
        let generator = Generator::new(2_000);
        for (index, line) in generator.lines.iter().enumerate() {
            let falls_every = |seconds: u64| {
                let value = |step: u64| generator.value(3, index, step * seconds);
                (0..500).filter(|step| value(step + 1) < value(*step)).count()
            };
            let falls = falls_every(1);
            match line.motion {
                Motion::Counter { restarts: true, .. } => assert!(falls <= 1, "{line:?}"),
                Motion::Counter { .. } | Motion::Bucket { .. } | Motion::Sum { .. } => assert_eq!(falls, 0, "{line:?}"),
                // The slowest gauge takes an hour for its way up and down.
                _ => assert!(falls_every(10) > 0, "{line:?}"),
            }
        }
        let buckets: Vec<usize> = (0..generator.lines.len())
            .filter(|index| generator.lines[*index].name.ends_with("_bucket"))
            .take(BOUNDS.len())
            .collect();
        assert!(buckets.windows(2).all(|pair| generator.value(0, pair[0], 77) <= generator.value(0, pair[1], 77)));
    }

    #[test]
    fn a_family_is_declared_once_in_the_exposition() {
        let (generator, mut text) = (Generator::new(400), String::new());
        generator.exposition(0, 1, &mut text);
        let types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        assert_eq!(types.len(), types.iter().collect::<HashSet<_>>().len());
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 400);
    }
}
