//! The PromQL that the screen asks, with the windows it asks for. Works on any Prometheus-compatible server.

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

/// The window on servers that scrape every 15 to 30 seconds: Grafana's rule of four scrapes a window.
pub const WINDOW_SECONDS_SLOW: u64 = 120;

/// Points of a sparkline.
pub const HISTORY_STEPS: usize = 60;

/// Seconds between two points: 60 of them are five minutes.
pub const HISTORY_STEP_SECONDS: u64 = 5;

/// 0 closed, 1 half-open, 2 open.
pub const BREAKERS: &str = "max by (service, peer) (circuit_breaker_state)";
/// The worst state in the seconds that errors are judged by, and the two that scraping takes.
pub fn breakers_of_late() -> String {
    format!("max by (service, peer) (max_over_time(circuit_breaker_state[{}s]))", WINDOW_SECONDS_RECENT + 2)
}
/// Cores allowed, by deployment.
pub const CPU_LIMIT: &str = r#"sum by (deployment) (kube_pod_container_resource_limits{resource="cpu"})"#;
/// Replicas asked for, by deployment.
pub const DESIRED: &str = "max by (deployment) (kube_deployment_spec_replicas)";
/// Replicas ready, by deployment.
pub const READY: &str = "max by (deployment) (kube_deployment_status_replicas_ready)";
/// Scraped targets.
pub const UP: &str = "up";

/// Requests a second by service and status code.
pub fn rate_by_code(window: u64) -> String {
    format!("sum by (service, http_response_status_code) (rate(http_server_request_duration_seconds_count[{window}s]))")
}

/// The latency histogram by service.
pub fn buckets(window: u64) -> String {
    format!("sum by (service, le) (rate(http_server_request_duration_seconds_bucket[{window}s]))")
}

/// The latency histogram of one service.
pub fn buckets_of(service: &str, window: u64) -> String {
    let service = service.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("sum by (le) (rate(http_server_request_duration_seconds_bucket{{service=\"{service}\"}}[{window}s]))")
}

/// Journeys a second by outcome.
pub fn journeys(window: u64) -> String {
    format!("sum by (journey, outcome) (rate(journeys_total[{window}s]))")
}

/// The journeys' durations.
pub fn journey_buckets(window: u64) -> String {
    format!("sum by (journey, le) (rate(journey_duration_seconds_bucket[{window}s]))")
}

/// Cores used by deployment.
pub fn cpu_used(window: u64) -> String {
    format!("sum by (deployment) (rate(container_cpu_usage_seconds_total[{window}s]))")
}
