//! The PromQL of an objective over a window: bad events, all events, and the share of bad ones. Every one of them is a single series
//! without labels, whatever the indicator's author aggregated by.

use std::time::Duration;

use protocol::duration;

use crate::objective::{Indicator, Objective, Subject};
use crate::promql::{Template, Unit};

/// What a histogram's buckets and counts are called, without their suffixes.
const SERVICE_REQUESTS: &str = "http_server_request_duration_seconds";

/// The same for journeys.
const JOURNEY_DURATIONS: &str = "journey_duration_seconds";

/// How one event of an [`Indicator::ErrorRatio`] comes about: the length of time that counts as one.
pub const RATIO_EVENT: Duration = Duration::from_secs(60);

/// Escapes a label's value for a matcher.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// `le` of a bound: a whole number of seconds is written `1` in Prometheus' text and `1.0` in OpenMetrics.
fn le(bound: Duration) -> String {
    let seconds = bound.as_secs_f64().to_string();
    if seconds.contains('.') { format!("le=\"{seconds}\"") } else { format!("le=~\"{seconds}([.]0)?\"") }
}

impl Objective {
    /// The labels that narrow the usual metrics to its subject.
    fn matchers(&self) -> String {
        match &self.subject {
            Subject::Service { namespace, name } => {
                format!("namespace={}, service={}", quoted(namespace), quoted(name))
            }
            Subject::Journey { name } => format!("journey={}", quoted(name)),
        }
    }

    /// Bad events in `window`, as an amount; empty where there was none.
    pub fn bad(&self, window: Duration) -> String {
        let (of, w) = (self.matchers(), duration::Display(window).to_string());
        match (&self.indicator, &self.subject) {
            (Indicator::Availability, Subject::Service { .. }) => {
                format!("sum(increase({SERVICE_REQUESTS}_count{{{of}, http_response_status_code=~\"5..\"}}[{w}]))")
            }
            (Indicator::Availability, Subject::Journey { .. }) => {
                format!("sum(increase(journeys_total{{{of}, outcome=\"error\"}}[{w}]))")
            }
            (Indicator::Latency { below }, subject) => {
                let name = histogram(subject);
                let (all, fast) = (format!("{name}_count{{{of}}}"), format!("{name}_bucket{{{of}, {}}}", le(*below)));
                format!("(sum(increase({all}[{w}])) - sum(increase({fast}[{w}])))")
            }
            (Indicator::Events { bad, .. }, _) => amount(bad, window),
            (Indicator::GoodEvents { good, total }, _) => {
                // Where nothing went well there may be no series of good events: that is all of them bad, and not no data.
                let (good, total) = (amount(good, window), amount(total, window));
                format!("({total} - ({good} or {total} * 0))")
            }
            (Indicator::ErrorRatio { ratio }, _) => {
                format!("(sum({}) * {})", ratio.with(&w), window.as_secs_f64() / RATIO_EVENT.as_secs_f64())
            }
        }
    }

    /// All events in `window`, as an amount; empty where nothing is known.
    pub fn total(&self, window: Duration) -> String {
        let (of, w) = (self.matchers(), duration::Display(window).to_string());
        match (&self.indicator, &self.subject) {
            (Indicator::Availability, Subject::Journey { .. }) => format!("sum(increase(journeys_total{{{of}}}[{w}]))"),
            (Indicator::Availability | Indicator::Latency { .. }, subject) => {
                format!("sum(increase({}_count{{{of}}}[{w}]))", histogram(subject))
            }
            (Indicator::Events { total, .. } | Indicator::GoodEvents { total, .. }, _) => amount(total, window),
            (Indicator::ErrorRatio { ratio }, _) => {
                let events = window.as_secs_f64() / RATIO_EVENT.as_secs_f64();
                format!("(sum({}) * 0 + {events})", ratio.with(&w))
            }
        }
    }
}

fn histogram(subject: &Subject) -> &'static str {
    match subject {
        Subject::Service { .. } => SERVICE_REQUESTS,
        Subject::Journey { .. } => JOURNEY_DURATIONS,
    }
}

fn amount(template: &Template, window: Duration) -> String {
    let query = template.with(&duration::Display(window).to_string());
    match template.unit() {
        Unit::Amount => format!("sum({query})"),
        Unit::PerSecond => format!("(sum({query}) * {})", window.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests;
