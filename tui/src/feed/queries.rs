//! The PromQL that the screen asks, with the windows it asks for. Works on any Prometheus-compatible server.

use crate::heat::{HeatWish, Measured};
use crate::picture::ServiceKey;

/// Seconds that rates cover on a server that scrapes each second: long enough that a peer behind an open breaker,
/// which sees only probes, still has requests in it, and short enough that an outage is not told for long after its end.
pub const WINDOW_SECONDS: u64 = 20;

/// Seconds that rates cover where enough happens in them: an outage shows whole, and is over when it is over.
pub const WINDOW_SECONDS_RECENT: u64 = 10;

/// Requests that are enough to judge errors by the last seconds alone: one error among them is no failing share yet.
pub const REQUESTS_ENOUGH_RECENTLY: f64 = 11.0;

/// So many are enough when none failed, or half and more: an outage is over, or goes on behind a breaker that lets little
/// through.
pub const REQUESTS_ENOUGH_IF_PLAIN: f64 = 5.0;

/// The window on servers of which nobody knows how often they scrape: enough for one that does it every 30 seconds.
pub const WINDOW_SECONDS_SLOW: u64 = 120;

/// The widest window: rates over more than five minutes tell no outage in time.
pub const WINDOW_SECONDS_MAX: u64 = 300;

/// The window where targets are scraped every so many seconds: Grafana's rule of four scrapes a window.
pub fn window_for(scrape_seconds: f64) -> u64 {
    window_min_for(scrape_seconds).max(WINDOW_SECONDS)
}

/// The same where columns stand side by side: four scrapes, however short that is.
pub fn window_min_for(scrape_seconds: f64) -> u64 {
    ((scrape_seconds * 4.0).ceil() as u64).clamp(1, WINDOW_SECONDS_MAX)
}

/// Points of a sparkline.
pub const HISTORY_STEPS: usize = 60;

/// Seconds between two points: 60 of them are five minutes.
pub const HISTORY_STEP_SECONDS: u64 = 5;

/// Targets' scrapes in a minute, half of the targets having more; of those that were there a minute ago.
pub const SCRAPES_A_MINUTE: &str = "quantile(0.5, count_over_time(up[1m]) and up offset 1m)";

/// Services that serve requests, also while nobody makes any.
pub const SERVING: &str = "count by (namespace, service) (http_server_active_requests)";

/// 0 closed, 1 half-open, 2 open.
pub const BREAKERS: &str = "max by (namespace, service, peer) (circuit_breaker_state)";
/// The worst state in the seconds that errors are judged by, and the two that scraping takes.
pub fn breakers_of_late() -> String {
    let window = WINDOW_SECONDS_RECENT + 2;
    format!("max by (namespace, service, peer) (max_over_time(circuit_breaker_state[{window}s]))")
}
/// Cores allowed, by deployment.
pub const CPU_LIMIT: &str = r#"sum by (namespace, deployment) (kube_pod_container_resource_limits{resource="cpu"})"#;
/// Replicas asked for, by deployment.
pub const DESIRED: &str = "max by (namespace, deployment) (kube_deployment_spec_replicas)";
/// Replicas ready, by deployment.
pub const READY: &str = "max by (namespace, deployment) (kube_deployment_status_replicas_ready)";

/// Requests a second by service and status code.
pub fn rate_by_code(window: u64) -> String {
    let rate = format!("rate(http_server_request_duration_seconds_count[{window}s])");
    format!("sum by (namespace, service, http_response_status_code) ({rate})")
}

/// The latency histogram by service.
pub fn buckets(window: u64) -> String {
    format!("sum by (namespace, service, le) (rate(http_server_request_duration_seconds_bucket[{window}s]))")
}

/// The latency histogram of one service; of all of its name where nothing tells its namespace.
pub fn buckets_of(service: &ServiceKey, window: u64) -> String {
    let matchers = matchers(service);
    format!("sum by (le) (rate(http_server_request_duration_seconds_bucket{{{matchers}}}[{window}s]))")
}

fn matchers(service: &ServiceKey) -> String {
    let mut matchers = format!("service={}", quoted(&service.name));
    if !service.namespace.is_empty() {
        // A server that knows no namespaces has series without one.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let escape = |c: char| if plain(c) { vec![c] } else { vec!['\\', c] };
        let namespace: String = service.namespace.chars().flat_map(escape).collect();
        matchers.push_str(&format!(",namespace=~{}", quoted(&format!("{namespace}|"))));
    }
    matchers
}

fn measured(service: &ServiceKey, measured: Measured) -> String {
    match measured {
        Measured::Requests => matchers(service),
        // Spans tell no namespace.
        Measured::Spans => format!("service={},span_kind=\"SPAN_KIND_SERVER\"", quoted(&service.name)),
    }
}

/// The latency histogram that a map is made of.
pub fn heat(wish: &HeatWish, from: Measured, window: u64) -> String {
    let mut matchers = measured(&wish.service, from);
    if let Some((_, operation)) = &wish.operation {
        for (label, value) in from.labels().iter().zip(&operation.values) {
            matchers.push_str(&format!(",{label}={}", quoted(value)));
        }
    }
    format!("sum by (le) (rate({}_bucket{{{matchers}}}[{window}s]))", from.metric())
}

/// The operations of a service.
pub fn operations(service: &ServiceKey, from: Measured) -> String {
    let (labels, matchers) = (from.labels().join(", "), measured(service, from));
    format!("count by ({labels}) ({}_count{{{matchers}}})", from.metric())
}

/// A text as PromQL quotes it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Journeys a second by outcome.
pub fn journeys(window: u64) -> String {
    format!("sum by (namespace, journey, outcome) (rate(journeys_total[{window}s]))")
}

/// The journeys' durations.
pub fn journey_buckets(window: u64) -> String {
    format!("sum by (namespace, journey, le) (rate(journey_duration_seconds_bucket[{window}s]))")
}

/// Cores used by deployment. Kubelets tell no deployment: there it comes from what else is known of the pod.
pub fn cpu_used(window: u64) -> String {
    let used = |matchers: &str| format!("rate(container_cpu_usage_seconds_total{{{matchers}}}[{window}s])");
    let (told, untold) = (used("deployment!=\"\""), used("deployment=\"\",container!=\"\""));
    let owner = "max by (namespace, pod, deployment) (kube_pod_container_status_ready{deployment!=\"\"} >= bool 0)";
    format!(
        "sum by (namespace, deployment) ({told}) or sum by (namespace, deployment) \
         ({untold} * on (namespace, pod) group_left (deployment) {owner})"
    )
}
