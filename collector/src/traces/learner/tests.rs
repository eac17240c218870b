//! Claims about what spans teach.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::traces::example::{START_MS, span};
use crate::traces::window::Tally;

/// What is known once everything has settled.
fn learn(batches: &[Vec<Span>]) -> (Tally, BTreeMap<String, f64>) {
    let mut learner = Learner::new(&LearnerLimits::default());
    for (at, batch) in batches.iter().enumerate() {
        learner.observe(batch.iter().map(|span| (1, span)), START_MS + 200 + at as i64);
    }
    let now_ms = START_MS + 60_000;
    let samples = learner.samples(now_ms);
    let values = samples.into_iter().filter(|(_, sample)| sample.timestamp_ms == now_ms);
    let values = values.map(|(labels, sample)| (labels.to_string(), sample.value)).collect();
    (learner.window().sum(START_MS, START_MS + 50_000), values)
}

#[test]
fn series_have_the_names_that_dashboards_ask_for() {
    let spans = vec![
        span("gateway", "POST", Kind::Client, 2, 1).during(10, 90),
        span("order", "POST /orders", Kind::Server, 3, 2).during(20, 80).failing(),
    ];
    let (_, values) = learn(&[spans]);
    let operation =
        r#"service="order", span_kind="SPAN_KIND_SERVER", span_name="POST /orders", status_code="STATUS_CODE_ERROR""#;
    let edge = r#"client="gateway", server="order""#;
    let expected = [
        (format!("traces_spanmetrics_calls_total{{{operation}}}"), 1.0),
        (format!("traces_spanmetrics_latency_count{{{operation}}}"), 1.0),
        (format!("traces_spanmetrics_latency_sum{{{operation}}}"), 0.06),
        (format!("traces_service_graph_request_total{{{edge}}}"), 1.0),
        (format!("traces_service_graph_request_failed_total{{{edge}}}"), 1.0),
        (format!("traces_service_graph_request_client_seconds_sum{{{edge}}}"), 0.08),
        (format!("traces_service_graph_request_server_seconds_sum{{{edge}}}"), 0.06),
        ("traces_service_graph_unpaired_spans_total{}".to_owned(), 0.0),
        ("traces_service_graph_dropped_spans_total{}".to_owned(), 0.0),
    ];
    for (series, value) in expected {
        assert_eq!(values.get(&series), Some(&value), "{series} among {:#?}", values.keys());
    }
}

#[test]
fn nothing_is_appended_before_the_first_span() {
    let mut learner = Learner::new(&LearnerLimits::default());
    assert_eq!(learner.samples(START_MS), []);
}

#[test]
fn operations_are_bounded() {
    let mut learner = Learner::new(&LearnerLimits { operations_max: 3, ..LearnerLimits::default() });
    let spans: Vec<Span> = (0..10).map(|id| span("a", &format!("GET /{id}"), Kind::Internal, id + 1, 0)).collect();
    learner.observe(spans.iter().map(|span| (1, span)), START_MS);
    let samples = learner.samples(START_MS + 1_000);
    let calls = samples.iter().filter(|(labels, _)| labels.name() == "traces_spanmetrics_calls_total");
    // A zero and a value each.
    assert_eq!((calls.count(), learner.refused()), (6, 7));
}

/// Requests that fan out over services: every client span with the server span that answers it, and work inside.
fn trace_strategy() -> impl Strategy<Value = Vec<Span>> {
    let call = (0usize..20, 0usize..4, 0u64..50, 1u64..50, any::<bool>(), any::<bool>(), any::<bool>());
    prop::collection::vec(call, 1..12).prop_map(|calls| {
        let names = ["gateway", "order", "payment", "search"];
        let mut spans = vec![span(names[0], "GET /", Kind::Server, 1, 0).during(0, 200)];
        let mut servers = vec![(1, names[0])];
        for (above, service, from, long, fails, answered, nested) in calls {
            let (mut parent, caller) = servers[above % servers.len()];
            let id = spans.len() as u64 + 1;
            if nested {
                spans.push(span(caller, "work", Kind::Internal, id + 200, parent).during(from, from + long));
                parent = id + 200;
            }
            let client = span(caller, "call", Kind::Client, id, parent).during(from, from + long);
            let client = client.with("peer.service", names[service]);
            spans.push(if fails { client.failing() } else { client });
            if answered {
                let server = span(names[service], "GET /x", Kind::Server, id + 100, id).during(from, from + long);
                spans.push(if fails { server.failing() } else { server });
                servers.push((id + 100, names[service]));
            }
        }
        spans
    })
}

proptest! {
    #[test]
    fn shuffled_spans_teach_the_same(
        (spans, shuffled) in trace_strategy().prop_flat_map(|spans| (Just(spans.clone()), Just(spans).prop_shuffle())),
        cut in 1usize..8,
    ) {
        let batches: Vec<Vec<Span>> = shuffled.chunks(cut).map(<[Span]>::to_vec).collect();
        let (tally, values) = learn(&[spans]);
        let (other_tally, other_values) = learn(&batches);
        prop_assert_eq!(tally, other_tally);
        prop_assert_eq!(values, other_values);
    }
}
