//! Loads over time: from a file, or made up. A trace says how many customers come a second; how many exactly is drawn later.
//! Everything is worked out without functions that machines differ in.

use std::path::Path;

/// Rows of a file: a year of minutes.
const ROWS_MAX: usize = 600_000;

/// More customers a second than any shop has.
const RATE_MAX: f64 = 1e7;

/// Longest trace: a year.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

/// Pieces that a shuffled trace is put together of: long enough for a replica to start in one, too short for a pattern.
const SHUFFLE_SECONDS: f64 = 300.0;

/// Why a trace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("cannot read {file}: {source}; expected a file of lines `seconds,rps`, or a profile: {}", PROFILES.join(", "))]
    Read {
        /// The file.
        file: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A line is wrong.
    #[error("{file}:{line}: {why}; expected `seconds,rps` with rising seconds from 0 and a rate of 0 or more")]
    Line {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The file says too little.
    #[error("{file}: {why}; expected lines of `seconds,rps`, such as `0,12.5`")]
    Short {
        /// The file.
        file: String,
        /// What is missing.
        why: &'static str,
    },
}

/// Names of the made-up traces.
pub const PROFILES: [&str; 5] = ["flash-sale", "diurnal", "noisy", "constant", "step3x"];

/// A rate over time, linear between its points.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    name: String,
    /// Seconds from the start, ascending from 0, and customers a second. At least two.
    points: Vec<(f64, f64)>,
}

impl Trace {
    /// A profile by its name, with a peak of 1 a second; `None` if there is no such profile.
    pub fn profile(name: &str) -> Option<Self> {
        let points = match name {
            "flash-sale" => flash_sale(),
            "diurnal" => diurnal(),
            "noisy" => noisy(),
            "constant" => vec![(0.0, 1.0), (4.0 * HOUR, 1.0)],
            "step3x" => step3x(),
            _ => return None,
        };
        Some(Self { name: name.to_owned(), points })
    }

    /// Reads lines of `seconds,rps`. Empty lines, comments (`#`) and one line of column names are passed over.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn read(file: &Path) -> Result<Self, TraceError> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|source| TraceError::Read { file: name.clone(), source })?;
        Self::parse(&name, &text)
    }

    fn parse(file: &str, text: &str) -> Result<Self, TraceError> {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || (points.is_empty() && line == "seconds,rps") {
                continue;
            }
            let wrong = |why: String| TraceError::Line { file: file.to_owned(), line: index + 1, why };
            let (at, rate) = row(line).map_err(wrong)?;
            match points.last() {
                None if at > 0.0 => return Err(wrong(format!("the first row is at {at}"))),
                Some((before, _)) if at <= *before => return Err(wrong(format!("{at} does not come after {before}"))),
                _ if points.len() >= ROWS_MAX => return Err(wrong(format!("more than {ROWS_MAX} rows"))),
                _ => points.push((at, rate)),
            }
        }
        let short = |why| TraceError::Short { file: file.to_owned(), why };
        if points.len() < 2 {
            return Err(short(if points.is_empty() { "has no rows" } else { "has one row and so no length" }));
        }
        if points.iter().all(|(_, rate)| *rate <= 0.0) {
            return Err(short("has no load at all"));
        }
        Ok(Self { name: file.to_owned(), points })
    }

    /// What it is called: a profile's name, or the file's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Seconds from its start to its end.
    pub fn seconds(&self) -> f64 {
        self.points.last().map_or(0.0, |(at, _)| *at)
    }

    /// Its highest rate.
    pub fn peak(&self) -> f64 {
        self.points.iter().map(|(_, rate)| *rate).fold(0.0, f64::max)
    }

    /// The rate at a time; before the start that of the start, after the end that of the end.
    pub fn rate_at(&self, seconds: f64) -> f64 {
        let after = self.points.partition_point(|(at, _)| *at <= seconds);
        match (after.checked_sub(1).map(|before| self.points[before]), self.points.get(after)) {
            (Some((from, low)), Some((to, high))) => low + (high - low) * (seconds - from) / (to - from),
            (Some((_, rate)), None) | (None, Some(&(_, rate))) => rate,
            (None, None) => 0.0,
        }
    }

    /// The same in so many times less time.
    #[must_use]
    pub fn compressed(mut self, times: f64) -> Self {
        self.points.iter_mut().for_each(|(at, _)| *at /= times);
        self
    }

    /// The same with another peak; a trace without load stays without.
    #[must_use]
    pub fn with_peak(mut self, peak: f64) -> Self {
        let now = self.peak();
        if now > 0.0 {
            self.points.iter_mut().for_each(|(_, rate)| *rate *= peak / now);
        }
        self
    }

    /// Its pieces of five minutes in an order that cannot be foreseen: what was learnt of the past says nothing of the future.
    #[must_use]
    pub fn shuffled(self, seed: u64) -> Self {
        let pieces = (self.seconds() / SHUFFLE_SECONDS).floor() as usize;
        if pieces < 2 {
            return self;
        }
        let mut order: Vec<usize> = (0..pieces).collect();
        let mut numbers = Numbers(seed);
        for last in (1..pieces).rev() {
            order.swap(last, (numbers.uniform() * (last + 1) as f64) as usize);
        }
        // A rate every ten seconds, so that a piece's ends do not flow into its new neighbours for long.
        let samples = (SHUFFLE_SECONDS / SHUFFLE_EVERY) as usize;
        let mut points = Vec::with_capacity(pieces * samples + 1);
        for (place, piece) in order.into_iter().enumerate() {
            for sample in 0..samples {
                let within = sample as f64 * SHUFFLE_EVERY;
                let rate = self.rate_at(piece as f64 * SHUFFLE_SECONDS + within);
                points.push((place as f64 * SHUFFLE_SECONDS + within, rate));
            }
        }
        let end = points.last().map_or(0.0, |(_, rate)| *rate);
        points.push((pieces as f64 * SHUFFLE_SECONDS, end));
        Self { name: format!("{}, shuffled", self.name), points }
    }
}

const SHUFFLE_EVERY: f64 = 10.0;

fn row(line: &str) -> Result<(f64, f64), String> {
    let number = |text: &str, what: &str, most: f64| {
        let number = text.trim().parse().ok().filter(|number| (0.0..=most).contains(number));
        number.ok_or_else(|| format!("{:?} is no {what}", text.trim()))
    };
    let (at, rate) = line.split_once(',').ok_or_else(|| format!("{line:?} has no comma"))?;
    Ok((number(at, "number of seconds up to a year", SECONDS_MAX)?, number(rate, "rate up to 10000000", RATE_MAX)?))
}

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;

/// Four hours; in the middle of each, five times as many come for ten minutes, all within 20 s.
fn flash_sale() -> Vec<(f64, f64)> {
    let mut points = vec![(0.0, 0.2)];
    for hour in 0..4 {
        let begins = f64::from(hour) * HOUR + 25.0 * MINUTE;
        let ends = begins + 10.0 * MINUTE;
        points.extend([(begins, 0.2), (begins + 20.0, 1.0), (ends, 1.0), (ends + MINUTE, 0.2)]);
    }
    points.push((4.0 * HOUR, 0.2));
    points
}

/// Two days between a quarter and the whole, as smooth as a sine.
fn diurnal() -> Vec<(f64, f64)> {
    let wave = |minute: u32| {
        // Bhaskara's approximation of a sine, exact at its zeros and peaks and within 0.2 % between.
        let turn = f64::from(minute % 1440) / 1440.0;
        let half = (turn * 2.0).fract();
        let bow = 16.0 * half * (1.0 - half) / (5.0 - 4.0 * half * (1.0 - half));
        0.625 + 0.375 * if turn < 0.5 { bow } else { -bow }
    };
    (0..=2880).step_by(5).map(|minute| (f64::from(minute) * MINUTE, wave(minute))).collect()
}

/// Four hours around six tenths, every 30 s another rate: an autoregressive noise that forgets half in a minute and a half.
fn noisy() -> Vec<(f64, f64)> {
    let mut numbers = Numbers(98);
    let mut drift = 0.0;
    let mut points: Vec<(f64, f64)> = (0..=480)
        .map(|step| {
            drift = 0.8 * drift + 0.12 * (numbers.uniform() + numbers.uniform() + numbers.uniform() - 1.5) * 2.0;
            (f64::from(step) * 30.0, (0.6 + drift).clamp(0.1, 1.0))
        })
        .collect();
    // The name promises a peak of 1.
    points[240].1 = 1.0;
    points
}

/// Two hours; each half an hour three times as many come, from one second to the next, for a quarter of an hour.
fn step3x() -> Vec<(f64, f64)> {
    let third = 1.0 / 3.0;
    let mut points = vec![(0.0, third)];
    for half_hour in 0..4 {
        let begins = f64::from(half_hour) * 30.0 * MINUTE + 10.0 * MINUTE;
        let ends = begins + 15.0 * MINUTE;
        points.extend([(begins, third), (begins + 1.0, 1.0), (ends, 1.0), (ends + 1.0, third)]);
    }
    points.push((2.0 * HOUR, third));
    points
}

/// Uniform numbers: a 64-bit linear congruential generator (Knuth's MMIX), of which the high bits are good.
struct Numbers(u64);

impl Numbers {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_have_a_peak_of_one_and_rise_in_time() {
        for name in PROFILES {
            let trace = Trace::profile(name).unwrap();
            assert!((trace.peak() - 1.0).abs() < 1e-9, "{name}: {}", trace.peak());
            assert!(trace.points.is_sorted_by(|a, b| a.0 < b.0), "{name}");
            assert!(trace.points.iter().all(|(_, rate)| *rate > 0.0), "{name}");
        }
        assert!(Trace::profile("sawtooth").is_none());
    }

    #[test]
    fn rates_are_linear_between_rows() {
        let trace = Trace::parse("t.csv", "# made up\nseconds,rps\n0,10\n10,20\n\n30,0\n").unwrap();
        let rates = [0.0, 5.0, 10.0, 20.0, 30.0, 99.0].map(|at| trace.rate_at(at));
        assert_eq!(rates, [10.0, 15.0, 20.0, 10.0, 0.0, 0.0]);
        let other = trace.compressed(2.0).with_peak(1.0);
        assert_eq!((other.seconds(), other.peak(), other.rate_at(10.0)), (15.0, 1.0, 0.5));
    }

    #[test]
    fn a_bad_file_is_told_line_and_remedy() {
        let says = |text: &str| Trace::parse("t.csv", text).unwrap_err().to_string();
        let remedy = "; expected `seconds,rps` with rising seconds from 0 and a rate of 0 or more";
        assert_eq!(says("0,1\n60;2\n"), format!("t.csv:2: \"60;2\" has no comma{remedy}"));
        assert_eq!(says("seconds,rps\n0,1\n60,-2"), format!("t.csv:3: \"-2\" is no rate up to 10000000{remedy}"));
        assert_eq!(says("0,1\n60,NaN"), format!("t.csv:2: \"NaN\" is no rate up to 10000000{remedy}"));
        assert_eq!(says("0,1\n60,2\n60,3"), format!("t.csv:3: 60 does not come after 60{remedy}"));
        assert_eq!(says("5,1\n"), format!("t.csv:1: the first row is at 5{remedy}"));
        assert!(says("").starts_with("t.csv: has no rows"));
        assert!(says("0,1").starts_with("t.csv: has one row"));
        assert!(says("0,0\n5,0").starts_with("t.csv: has no load at all"));
    }

    #[test]
    fn shuffling_moves_load_and_keeps_it() {
        let trace = Trace::profile("diurnal").unwrap();
        let load = |trace: &Trace| (0..17_280).map(|i| trace.rate_at(f64::from(i) * 10.0)).sum::<f64>();
        let (before, shuffled) = (load(&trace), trace.clone().shuffled(1));
        assert!((load(&shuffled) / before - 1.0).abs() < 1e-6);
        assert_eq!(shuffled.seconds(), trace.seconds());
        assert_ne!(shuffled.rate_at(20_000.0), trace.rate_at(20_000.0));
        assert_eq!(shuffled, trace.shuffled(1));
    }
}
