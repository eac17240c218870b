//! Faults of the demo as they are written: `SERVICE:KIND[=VALUE]@START[+DURATION]`. Switches nothing on: `switchboard` does.

use std::str::FromStr;
use std::time::Duration;

use demo_services::chassis::FaultKind;
use demo_services::service;

/// One fault and when it is on, in seconds since the demo is ready.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultSpec {
    /// The service.
    pub service: String,
    pub kind: FaultKind,
    /// As written.
    pub value: Option<String>,
    /// When it begins.
    pub start: Duration,
    /// How long it lasts; `None` is until the end.
    pub duration: Option<Duration>,
}

/// What is wrong with a fault on the command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{problem}; write SERVICE:KIND[=VALUE]@START[+DURATION] such as payment:error=1@30+30 or search:latency=300ms@20"
)]
pub struct FaultSpecError {
    problem: String,
}

fn problem(problem: impl Into<String>) -> FaultSpecError {
    FaultSpecError { problem: problem.into() }
}

impl FromStr for FaultSpec {
    type Err = FaultSpecError;

    fn from_str(text: &str) -> Result<Self, FaultSpecError> {
        let (what, when) = text.rsplit_once('@').ok_or_else(|| problem("no @START"))?;
        let (start, duration) = match when.split_once('+') {
            Some((start, duration)) => (start, Some(seconds(duration)?)),
            None => (when, None),
        };
        Self::new(what, seconds(start)?, duration).map_err(problem)
    }
}

/// Seconds as a bare number, or a duration with its unit.
fn seconds(text: &str) -> Result<Duration, FaultSpecError> {
    let bare = text.parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    bare.or_else(|| protocol::duration::parse(text).ok())
        .ok_or_else(|| problem(format!("{text:?} is not a time in seconds")))
}

impl FaultSpec {
    /// From `SERVICE:KIND[=VALUE]` and its times.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(what: &str, start: Duration, duration: Option<Duration>) -> Result<Self, String> {
        let (service, fault) = what.split_once(':').ok_or_else(|| "no SERVICE:KIND".to_owned())?;
        if !service::NAMES.contains(&service) {
            return Err(format!("there is no service {service:?}: there are {}", service::NAMES.join(", ")));
        }
        let (kind, value) = match fault.split_once('=') {
            Some((kind, value)) => (kind, Some(value)),
            None => (fault, None),
        };
        let kind = FaultKind::parse(kind).map_err(|error| error.to_string())?;
        kind.read(service, value).map_err(|error| error.to_string())?;
        Ok(Self { service: service.to_owned(), kind, value: value.map(str::to_owned), start, duration })
    }

    /// Whether its time is over so long after the start.
    pub fn has_ended(&self, elapsed: Duration) -> bool {
        self.duration.is_some_and(|duration| elapsed >= self.start.saturating_add(duration))
    }

    /// Whether the fault is on so long after the start.
    pub fn is_on(&self, elapsed: Duration) -> bool {
        elapsed >= self.start && !self.has_ended(elapsed)
    }

    /// As written, without its times.
    pub fn label(&self) -> String {
        let value = self.value.as_ref().map_or_else(String::new, |v| format!("={v}"));
        format!("{}:{}{value}", self.service, self.kind)
    }
}

/// What `--help` says about `--fault`.
pub fn help() -> String {
    let first = "A fault, in seconds since the shop is ready: SERVICE:KIND[=VALUE]@START[+DURATION], such as \
                 payment:error=1@30+30. May be given several times. No fault outlasts the load. Kinds:";
    format!("{first}\n{}", FaultKind::table())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let spec: FaultSpec = "payment:error=1@30+30".parse().unwrap();
        assert_eq!((spec.service.as_str(), spec.kind, spec.value.as_deref()), ("payment", FaultKind::Error, Some("1")));
        assert_eq!((spec.start, spec.duration), (Duration::from_secs(30), Some(Duration::from_secs(30))));
        let spec: FaultSpec = "search:latency=300ms@1m".parse().unwrap();
        assert_eq!((spec.start, spec.duration), (Duration::from_secs(60), None));
        assert!("order:crash@5".parse::<FaultSpec>().is_ok());
        assert_eq!("order:unreachable=payment@5".parse::<FaultSpec>().unwrap().label(), "order:unreachable=payment");
    }

    #[test]
    fn is_on_from_its_start_until_its_end() {
        let spec: FaultSpec = "payment:error=1@30+30".parse().unwrap();
        let on: Vec<bool> = [29, 30, 59, 60].iter().map(|s| spec.is_on(Duration::from_secs(*s))).collect();
        assert_eq!(on, [false, true, true, false]);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, expected) in [
            ("payment:error=1", "no @START"),
            ("payment@1", "no SERVICE:KIND"),
            ("payments:error=1@3", "there is no service \"payments\""),
            ("payment:explode@3", "there is no fault \"explode\"; expected error, latency, "),
            ("payment:error=2@3", "the fault error was given \"2\"; expected a ratio from 0 to 1"),
            ("payment:latency@3", "the fault latency was given \"nothing\"; expected a duration up to 1m"),
            ("payment:latency=2m@3", "the fault latency was given \"2m\"; expected a duration up to 1m"),
            ("payment:crash=1@3", "the fault crash was given \"1\"; expected no value"),
            ("gateway:pool=4@3", "the fault pool has no hold on gateway, which has no store; choose user, product, "),
            ("payment:crash@soon", "\"soon\" is not a time in seconds"),
        ] {
            let message = text.parse::<FaultSpec>().unwrap_err().to_string();
            assert!(message.starts_with(expected) && message.contains("such as payment:error=1@30+30"), "{message}");
        }
    }

    #[test]
    fn the_help_has_a_line_for_each_kind() {
        let help = help();
        for kind in FaultKind::all() {
            assert!(help.contains(&format!("\n  {}  ", kind.usage())), "{kind}");
        }
    }
}
