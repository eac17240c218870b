//! The shape of a load over time. Pure but for reading a trace's file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A wave's length: two minutes of it hold a clear peak and a clear trough.
const WAVE_SECONDS: f64 = 100.0;
/// A wave's trough, as a share of its peak.
const WAVE_TROUGH: f64 = 0.25;
/// Where a wave begins: below its middle and rising, so that the peak comes after 37.5 s and the trough after 87.5 s.
const WAVE_PHASE: f64 = -std::f64::consts::FRAC_PI_4;

/// A flash sale begins after this many seconds ...
const SALE_BEGINS: f64 = 30.0;
/// ... takes this long to reach its height ...
const SALE_RISES: f64 = 2.0;
/// ... lasts this long ...
const SALE_LASTS: f64 = 30.0;
/// ... and comes again after this long.
const SALE_EVERY: f64 = 120.0;
/// How many times more customers come than before it.
const SALE_FACTOR: f64 = 5.0;

/// Lines of a trace; a day at one a second.
const TRACE_LINES_MAX: usize = 100_000;

/// The shape of a load.
#[derive(Debug, Clone, PartialEq)]
pub enum Profile {
    /// Always the full rate.
    Steady,
    /// Up and down between the full rate and a quarter of it.
    Wave,
    /// A fifth of the rate, and all of it while the sale is on.
    FlashSale,
    /// As a file says.
    Trace(Trace),
}

/// A rate over time, in steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Seconds from the start and journeys a second from then on; ascending, the first at 0.
    steps: Arc<[(f64, f64)]>,
}

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("there is no profile {0:?}; expected steady, wave, flash-sale or trace:FILE")]
    Unknown(String),
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("{file}:{line}: {why}; expected `seconds,rps` with rising seconds")]
    Line { file: String, line: usize, why: String },
    #[error("{file}: has no lines; expected `seconds,rps`")]
    Empty { file: String },
}

impl Profile {
    /// Reads `steady`, `wave`, `flash-sale` or `trace:FILE`; the file is read too.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        match text {
            "steady" => Ok(Self::Steady),
            "wave" => Ok(Self::Wave),
            "flash-sale" => Ok(Self::FlashSale),
            other => match other.strip_prefix("trace:").filter(|file| !file.is_empty()) {
                Some(file) => Trace::read(Path::new(file)).map(Self::Trace),
                None => Err(ProfileError::Unknown(other.to_owned())),
            },
        }
    }

    /// Journeys a second at `seconds` from the start, with `peak` at the profile's peak.
    pub fn rate_at(&self, seconds: f64, peak: f64) -> f64 {
        match self {
            Self::Steady => peak,
            Self::Wave => {
                let (middle, swing) = ((1.0 + WAVE_TROUGH) / 2.0, (1.0 - WAVE_TROUGH) / 2.0);
                let angle = std::f64::consts::TAU * seconds / WAVE_SECONDS + WAVE_PHASE;
                peak * (middle + swing * angle.sin())
            }
            Self::FlashSale => {
                let into = seconds.rem_euclid(SALE_EVERY) - SALE_BEGINS;
                let height = (into / SALE_RISES).min((SALE_LASTS - into) / SALE_RISES).clamp(0.0, 1.0);
                peak / SALE_FACTOR * (1.0 + (SALE_FACTOR - 1.0) * height)
            }
            Self::Trace(trace) => trace.rate_at(seconds),
        }
    }

    /// The highest rate it ever has.
    pub fn peak(&self, peak: f64) -> f64 {
        match self {
            Self::Steady | Self::Wave | Self::FlashSale => peak,
            Self::Trace(trace) => trace.steps.iter().map(|(_, rate)| *rate).fold(0.0, f64::max),
        }
    }

    /// When it is over; only a trace ends.
    pub fn length(&self) -> Option<Duration> {
        match self {
            Self::Steady | Self::Wave | Self::FlashSale => None,
            Self::Trace(trace) => trace.steps.last().map(|(at, _)| Duration::from_secs_f64(*at)),
        }
    }
}

impl Trace {
    fn read(file: &Path) -> Result<Self, ProfileError> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|source| ProfileError::Read { file: name.clone(), source })?;
        Self::parse(&name, &text)
    }

    /// Reads lines of `seconds,rps`; the rate holds until the next line, and the last line ends the trace. Empty lines,
    /// comments (`#`) and one line of column names are passed over.
    pub fn parse(file: &str, text: &str) -> Result<Self, ProfileError> {
        let mut steps: Vec<(f64, f64)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let is_heading = steps.is_empty() && line == "seconds,rps";
            if line.is_empty() || line.starts_with('#') || is_heading {
                continue;
            }
            let wrong = |why: String| ProfileError::Line { file: file.to_owned(), line: index + 1, why };
            let (at, rate) = step(line).map_err(wrong)?;
            match steps.last() {
                None if at > 0.0 => steps.push((0.0, rate)),
                Some((before, _)) if at <= *before => {
                    return Err(wrong(format!("{at} does not come after {before}")));
                }
                _ => {}
            }
            if steps.len() >= TRACE_LINES_MAX {
                return Err(wrong(format!("more than {TRACE_LINES_MAX} lines")));
            }
            steps.push((at, rate));
        }
        if steps.is_empty() {
            return Err(ProfileError::Empty { file: file.to_owned() });
        }
        Ok(Self { steps: steps.into() })
    }

    fn rate_at(&self, seconds: f64) -> f64 {
        let after = self.steps.partition_point(|(at, _)| *at <= seconds);
        self.steps[after.saturating_sub(1)].1
    }
}

fn step(line: &str) -> Result<(f64, f64), String> {
    let number = |text: &str, what: &str, max: f64| {
        let number = text.trim().parse().ok().filter(|number| (0.0..=max).contains(number));
        number.ok_or_else(|| format!("{:?} is no {what}", text.trim()))
    };
    let (at, rate) = line.split_once(',').ok_or_else(|| format!("{line:?} has no comma"))?;
    Ok((number(at, "number of seconds", 1e8)?, number(rate, "rate up to 10000", super::arrivals::RATE_MAX)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_swings_between_a_quarter_and_the_whole_within_two_minutes() {
        let rates: Vec<f64> = (0..=1200).map(|tenth| Profile::Wave.rate_at(f64::from(tenth) / 10.0, 40.0)).collect();
        let (low, high) = rates.iter().fold((f64::MAX, 0.0_f64), |(l, h), r| (l.min(*r), h.max(*r)));
        assert!((low - 10.0).abs() < 0.01 && (high - 40.0).abs() < 0.01, "{low} {high}");
        assert!((Profile::Wave.rate_at(37.5, 40.0) - 40.0).abs() < 0.01);
        assert!((Profile::Wave.rate_at(87.5, 40.0) - 10.0).abs() < 0.01);
    }

    #[test]
    fn a_flash_sale_is_five_times_the_usual() {
        for (at, expected) in [(0.0, 20.0), (29.9, 20.0), (31.0, 60.0), (45.0, 100.0), (61.0, 20.0), (165.0, 100.0)] {
            assert!((Profile::FlashSale.rate_at(at, 100.0) - expected).abs() < 0.01, "at {at}");
        }
    }

    #[test]
    fn a_trace_holds_each_rate_until_the_next_line() {
        let trace = Profile::Trace(Trace::parse("t", "seconds,rps\n# morning\n0,5\n10, 20\n\n30,0\n").unwrap());
        for (at, expected) in [(0.0, 5.0), (9.9, 5.0), (10.0, 20.0), (29.9, 20.0), (30.0, 0.0), (99.0, 0.0)] {
            assert_eq!(trace.rate_at(at, 1.0), expected, "at {at}");
        }
        assert_eq!((trace.peak(1.0), trace.length()), (20.0, Some(Duration::from_secs(30))));
    }

    #[test]
    fn a_wrong_trace_names_file_and_line() {
        for (text, expected) in [
            ("0,5\n10;6", "f.csv:2: \"10;6\" has no comma; expected `seconds,rps` with rising seconds"),
            ("0,5\n\n0,6", "f.csv:3: 0 does not come after 0; expected `seconds,rps` with rising seconds"),
            ("x,5", "f.csv:1: \"x\" is no number of seconds; expected `seconds,rps` with rising seconds"),
            ("0,-5", "f.csv:1: \"-5\" is no rate up to 10000; expected `seconds,rps` with rising seconds"),
            ("# nothing", "f.csv: has no lines; expected `seconds,rps`"),
        ] {
            assert_eq!(Trace::parse("f.csv", text).unwrap_err().to_string(), expected);
        }
        let message = Profile::parse("trace:/no/such/file").unwrap_err().to_string();
        assert!(message.starts_with("cannot read /no/such/file: "), "{message}");
        let message = Profile::parse("waves").unwrap_err().to_string();
        assert_eq!(message, "there is no profile \"waves\"; expected steady, wave, flash-sale or trace:FILE");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9,.#\\n a-]{0,60}") {
            let _ = Trace::parse("f", &text);
        }
    }
}
