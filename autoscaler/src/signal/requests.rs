//! The PromQL behind demand where the collector's call graph does not say it: span metrics, as our collector and Tempo's generator make
//! them, or else the histogram of OpenTelemetry's HTTP conventions. Retries count as requests here, and nothing is known of front
//! doors.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use protocol::prometheus::InstantSeries;

use super::{ServiceDemand, millis};

/// Namespace and service; spans know no namespace.
pub type ServiceKey = (Option<String>, String);

/// The three questions: requests a second, seconds a second that they took, when they were counted last.
pub fn questions(wanted: &BTreeSet<(&str, &str)>, window: Duration) -> [String; 3] {
    let any = |names: BTreeSet<&str>| names.into_iter().map(escaped).collect::<Vec<_>>().join("|");
    let services = any(wanted.iter().map(|(_, service)| *service).collect());
    let namespaces = any(wanted.iter().map(|(namespace, _)| *namespace).collect());
    let kinds = "SPAN_KIND_SERVER|SPAN_KIND_CONSUMER";
    let window = protocol::duration::Display(window);
    let ask = |part: &str, value: &dyn Fn(&str) -> String, over: &str| {
        let spans = format!(r#"traces_spanmetrics_latency_{part}{{service=~"{services}", span_kind=~"{kinds}"}}"#);
        let http = format!(
            r#"http_server_request_duration_seconds_{part}{{namespace=~"{namespaces}", service=~"{services}"}}"#
        );
        let of = |selector: &str, by: &str| format!("{over} by ({by}) ({})", value(selector));
        // The histogram is set apart by its namespace, so that both sets of series are answered.
        format!("{} or {}", of(&spans, "service"), of(&http, "namespace, service"))
    };
    let rate = |selector: &str| format!("rate({selector}[{window}])");
    let time = |selector: &str| format!("timestamp({selector})");
    [ask("count", &rate, "sum"), ask("sum", &rate, "sum"), ask("count", &time, "max")]
}

/// What each service is asked to do, from the three answers. A rate without a time is none.
pub fn demands([rates, seconds, times]: [&[InstantSeries]; 3], window: Duration) -> HashMap<ServiceKey, ServiceDemand> {
    let by_key = |answers: &[InstantSeries]| -> HashMap<ServiceKey, f64> {
        answers.iter().map(|series| (key(series), series.value.value())).filter(|(_, v)| v.is_finite()).collect()
    };
    let (seconds, times) = (by_key(seconds), by_key(times));
    let known = by_key(rates).into_iter().filter(|(_, rate)| *rate >= 0.0);
    known
        .filter_map(|(key, rate)| {
            let at_ms = millis(*times.get(&key)?);
            let took = seconds.get(&key).filter(|_| rate > 0.0).map(|seconds| seconds / rate);
            let demand = ServiceDemand {
                at_ms,
                window_seconds: window.as_secs_f64(),
                served: rate,
                asked: rate,
                front: None,
                own_seconds: None,
                whole_seconds: took,
            };
            Some((key, demand))
        })
        .collect()
}

fn key(series: &InstantSeries) -> ServiceKey {
    let label = |name: &str| series.metric.get(name).filter(|text| !text.is_empty()).cloned();
    (label("namespace"), label("service").unwrap_or_default())
}

/// A name inside a matcher's regular expression inside PromQL's quotes.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '"' | '\\' => text.push_str(if c == '"' { "\\\"" } else { "\\\\\\\\" }),
            '\n' => text.push_str("\\n"),
            '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' | '|' => {
                text.push_str("\\\\");
                text.push(c);
            }
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests;
