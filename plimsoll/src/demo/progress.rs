//! What a headless demo prints: a line every few seconds, and a summary at the end.

use std::fmt::Write;
use std::time::Duration;

use cluster::Workload;

use super::report::Report;
use super::stack::View;

/// One line about now.
pub fn line(view: &View, workloads: &[Workload], elapsed: Duration) -> String {
    let shoppers = view.shoppers.stats();
    let requests: u64 = shoppers.journeys.iter().map(|j| j.requests).sum();
    let errors: u64 = shoppers.journeys.iter().map(|j| j.errors).sum();
    let counts = view.autoscaler.counts();
    let collector = view.collector.stats();
    let mut line = format!(
        "{:4.0} s  journeys {requests} errors {errors} · targets {}/{} up · scaled up {} down {} · replicas",
        elapsed.as_secs_f64(),
        collector.targets_up,
        collector.targets,
        counts.scale_up,
        counts.scale_down,
    );
    for workload in workloads {
        let (ready, desired) = (workload.ready().0, workload.desired.0);
        let _ = if ready == desired {
            write!(line, " {} {desired}", workload.reference.name)
        } else {
            write!(line, " {} {ready}/{desired}", workload.reference.name)
        };
    }
    line
}

/// Lines about the whole run.
pub fn summary(report: &Report) -> String {
    let mut text = format!("after {:.0} s:", report.seconds);
    let milliseconds = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.0}"));
    let _ = write!(
        text,
        "\n  {:<16} {:<9} {:>9} {:>7} {:>7} {:>7} {:>13} {:>8}",
        "service", "health", "requests", "errors", "p50 ms", "p99 ms", "replicas", "restarts"
    );
    for service in &report.services {
        let replicas = format!("{}-{}, now {}", service.replicas.min, service.replicas.max, service.replicas.last);
        let _ = write!(
            text,
            "\n  {:<16} {:<9} {:>9} {:>7} {:>7} {:>7} {replicas:>13} {:>8}",
            service.name,
            service.health,
            service.requests,
            service.errors,
            milliseconds(service.p50_ms),
            milliseconds(service.p99_ms),
            service.restarts
        );
    }
    let _ = write!(text, "\n  {:<16} {:>9} {:>7} {:>7} {:>7}", "journey", "requests", "errors", "p50 ms", "p99 ms");
    for journey in &report.journeys {
        let (p50, p99) = (milliseconds(journey.p50_ms), milliseconds(journey.p99_ms));
        let _ =
            write!(text, "\n  {:<16} {:>9} {:>7} {p50:>7} {p99:>7}", journey.name, journey.requests, journey.errors);
    }
    let (decisions, orders) = (&report.decisions, &report.orders);
    let _ = write!(
        text,
        "\n  decisions {}: scaled up {}, down {}, held {}\n  orders placed {}: confirmed {}, pending {}, cancelled {}; lost {}, charged twice {}, oversold {}",
        decisions.total,
        decisions.scale_up,
        decisions.scale_down,
        decisions.hold,
        orders.placed,
        orders.confirmed,
        orders.pending,
        orders.cancelled,
        orders.lost,
        orders.charged_twice,
        orders.oversold,
    );
    text
}
