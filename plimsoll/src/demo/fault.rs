//! Faults of the demo: `SERVICE:KIND[=VALUE]@START[+DURATION]` on the command line, and switching them on and off in
//! every replica of a service, those included that start while the fault is on.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use demo_services::service;

/// Kinds of fault that the shop's admin port knows, and whether each takes a value.
const KINDS: [(&str, Value); 5] = [
    ("error", Value::Ratio),
    ("latency", Value::Duration),
    ("crash", Value::None),
    ("hang", Value::None),
    ("cpu", Value::Cores),
];

/// The longest latency that a replica's admin port takes.
const LATENCY_MAX: Duration = Duration::from_secs(60);
const LATENCY_SHAPE: &str = "a duration such as 300ms, up to 1m";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    None,
    Ratio,
    Duration,
    Cores,
}

/// One fault and when it is on, in seconds since the demo is ready.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultSpec {
    /// The service.
    pub service: String,
    /// `error`, `latency`, `crash`, `hang` or `cpu`.
    pub kind: String,
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
        let (service, fault) = what.split_once(':').ok_or_else(|| problem("no SERVICE:KIND"))?;
        if !service::NAMES.contains(&service) {
            return Err(problem(format!("there is no service {service:?}: there are {}", service::NAMES.join(", "))));
        }
        let (kind, value) = match fault.split_once('=') {
            Some((kind, value)) => (kind, Some(value.to_owned())),
            None => (fault, None),
        };
        let known = KINDS.iter().find(|(name, _)| *name == kind);
        let Some((_, expected)) = known else {
            let names: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
            return Err(problem(format!("there is no fault {kind:?}: there are {}", names.join(", "))));
        };
        check_value(kind, *expected, value.as_deref())?;
        let (start, duration) = match when.split_once('+') {
            Some((start, duration)) => (start, Some(seconds(duration)?)),
            None => (when, None),
        };
        Ok(Self { service: service.to_owned(), kind: kind.to_owned(), value, start: seconds(start)?, duration })
    }
}

fn check_value(kind: &str, expected: Value, value: Option<&str>) -> Result<(), FaultSpecError> {
    let number = |value: &str| value.parse::<f64>().ok().filter(|v| v.is_finite());
    let (is_right, shape) = match (expected, value) {
        (Value::None, value) => (value.is_none(), "no value"),
        (Value::Ratio, Some(v)) => (number(v).is_some_and(|v| (0.0..=1.0).contains(&v)), "a ratio from 0 to 1"),
        (Value::Cores, Some(v)) => (number(v).is_some_and(|v| v > 0.0 && v <= 64.0), "a number of cores"),
        (Value::Duration, Some(v)) => {
            (protocol::duration::parse(v).is_ok_and(|latency| latency <= LATENCY_MAX), LATENCY_SHAPE)
        }
        (Value::Ratio, None) => (false, "a ratio from 0 to 1"),
        (Value::Cores, None) => (false, "a number of cores"),
        (Value::Duration, None) => (false, LATENCY_SHAPE),
    };
    if is_right { Ok(()) } else { Err(problem(format!("the fault {kind} takes {shape}"))) }
}

/// Seconds as a bare number, or a duration with its unit.
fn seconds(text: &str) -> Result<Duration, FaultSpecError> {
    let bare = text.parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    bare.or_else(|| protocol::duration::parse(text).ok())
        .ok_or_else(|| problem(format!("{text:?} is not a time in seconds")))
}

impl FaultSpec {
    /// Whether the fault is on so long after the start.
    pub fn is_on(&self, elapsed: Duration) -> bool {
        let has_ended = self.duration.is_some_and(|d| elapsed >= self.start + d);
        elapsed >= self.start && !has_ended
    }

    /// As written, without its times.
    pub fn label(&self) -> String {
        let value = self.value.as_ref().map_or_else(String::new, |v| format!("={v}"));
        format!("{}:{}{value}", self.service, self.kind)
    }

    /// Switches the fault on in one replica; switching on what is on changes nothing.
    pub async fn switch_on(&self, http: &reqwest::Client, admin: SocketAddr) -> Result<(), reqwest::Error> {
        let url = format!("http://{admin}/faults/{}", self.kind);
        let body = serde_json::json!({ "value": self.value });
        http.put(url).json(&body).send().await?.error_for_status()?;
        Ok(())
    }

    /// Switches the fault off in one replica; one that does not run has no fault.
    pub async fn switch_off(&self, http: &reqwest::Client, admin: SocketAddr) -> Result<(), reqwest::Error> {
        let url = format!("http://{admin}/faults/{}", self.kind);
        match http.delete(url).send().await {
            Err(error) if error.is_connect() && !error.is_timeout() => Ok(()),
            answer => answer?.error_for_status().map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let spec: FaultSpec = "payment:error=1@30+30".parse().unwrap();
        assert_eq!((spec.service.as_str(), spec.kind.as_str(), spec.value.as_deref()), ("payment", "error", Some("1")));
        assert_eq!((spec.start, spec.duration), (Duration::from_secs(30), Some(Duration::from_secs(30))));
        let spec: FaultSpec = "search:latency=300ms@1m".parse().unwrap();
        assert_eq!((spec.start, spec.duration), (Duration::from_secs(60), None));
        assert!("order:crash@5".parse::<FaultSpec>().is_ok());
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
            ("payments:error=1@3", "there is no service \"payments\""),
            ("payment:explode@3", "there is no fault \"explode\""),
            ("payment:error=2@3", "the fault error takes a ratio from 0 to 1"),
            ("payment:latency@3", "the fault latency takes a duration such as 300ms"),
            ("payment:latency=2m@3", "the fault latency takes a duration such as 300ms, up to 1m"),
            ("payment:crash=1@3", "the fault crash takes no value"),
            ("payment:crash@soon", "\"soon\" is not a time in seconds"),
        ] {
            let message = text.parse::<FaultSpec>().unwrap_err().to_string();
            assert!(message.starts_with(expected) && message.contains("such as payment:error=1@30+30"), "{message}");
        }
    }
}
