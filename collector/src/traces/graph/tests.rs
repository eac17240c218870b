//! Claims about the graph.

use super::*;
use crate::traces::example::{START_MS, span};
use crate::traces::learner::{Learner, LearnerLimits};
use crate::traces::span::{Kind, Span};

/// The gateway calls order, which fails because payment, which is down, does; order also asks its database.
fn outage() -> Vec<Span> {
    vec![
        span("gateway", "POST /checkout", Kind::Server, 1, 0).during(0, 100).failing(),
        span("gateway", "POST", Kind::Client, 2, 1).during(10, 90).failing(),
        span("order", "POST /orders", Kind::Server, 3, 2).during(20, 80).failing(),
        span("order", "POST", Kind::Client, 4, 3).during(30, 60).failing().with("peer.service", "payment"),
        span("order", "SELECT", Kind::Client, 5, 3).during(60, 70).with("db.system.name", "sqlite"),
    ]
}

fn graph(repeat: u128) -> Graph {
    let mut learner = Learner::new(&LearnerLimits::default());
    let spans = outage();
    for trace in 1..=repeat {
        learner.observe(spans.iter().map(|span| (trace, span)), START_MS + 1_000);
    }
    learner.advance(START_MS + 30_000);
    build(learner.window(), START_MS + 10_900, 60_000)
}

#[test]
fn says_who_calls_whom_and_where_errors_are_born() {
    let graph = graph(20);
    assert_eq!((graph.at_ms, graph.window_seconds), (START_MS + 10_000, 10.0));
    let nodes: Vec<_> =
        graph.nodes.iter().map(|n| (n.service.as_str(), n.kind, n.red.rate, n.own_error_ratio)).collect();
    assert_eq!(
        nodes,
        [
            ("gateway", NodeKind::Service, 2.0, 0.0),
            ("order", NodeKind::Service, 2.0, 0.0),
            ("payment", NodeKind::Virtual, 2.0, 1.0),
            ("sqlite", NodeKind::Database, 2.0, 0.0),
        ]
    );
    let own: Vec<_> = graph.nodes.iter().map(|n| n.own_time_ms).collect();
    assert_eq!(own, [Some(20.0), Some(20.0), Some(30.0), Some(10.0)]);
    let edges: Vec<_> = graph.edges.iter().map(|e| (e.client.as_str(), e.server.as_str(), e.red.error_ratio)).collect();
    assert_eq!(edges, [("gateway", "order", 1.0), ("order", "payment", 1.0), ("order", "sqlite", 0.0)]);
    let p50 = graph.edges[0].red.p50_ms.expect("there are calls");
    assert!((p50 - 80.0).abs() < 5.0, "{p50}");
}

#[test]
fn requests_that_were_sent_before_are_counted_apart() {
    let mut learner = Learner::new(&LearnerLimits::default());
    let call = |id, resent: i64| {
        let client = span("gateway", "POST", Kind::Client, id, 1).during(10, 90);
        if resent > 0 { client.with("http.request.resend_count", resent) } else { client }
    };
    let serve = |id| span("order", "POST /orders", Kind::Server, id + 10, id).during(20, 80);
    let spans = [call(2, 0), serve(2), call(3, 1), serve(3), call(4, 2), serve(4)];
    learner.observe(spans.iter().map(|span| (1, span)), START_MS + 1_000);
    learner.advance(START_MS + 30_000);
    let graph = build(learner.window(), START_MS + 1_000, 60_000);
    let order = graph.nodes.iter().find(|node| node.service == "order").expect("it served");
    assert_eq!((order.red.rate, order.red.retry_rate), (3.0, 2.0));
    assert_eq!((graph.edges[0].red.rate, graph.edges[0].red.retry_rate), (3.0, 2.0));
}

#[test]
fn an_empty_collector_has_an_empty_graph() {
    let mut window = Window::default();
    window.advance(START_MS);
    let graph = build(&window, START_MS, 60_000);
    assert_eq!((graph.nodes.len(), graph.edges.len(), graph.window_seconds), (0, 0, 60.0));
}

#[test]
fn a_window_is_bounded() {
    assert_eq!(parse_window("5m"), Ok(Duration::from_secs(300)));
    assert_eq!(parse_window("1h").unwrap_err(), "window: 1h is not between 1s and 15m");
    assert!(parse_window("10ms").is_err());
    assert!(parse_window("soon").unwrap_err().starts_with("window: "));
}
