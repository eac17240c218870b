//! Claims about what spans teach.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::traces::example::{START_MS, span};
use crate::traces::store::{SpanStore, Stored};
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
fn whose_clock_is_off_is_told_and_nobody_elses() {
    let shifted = |mut span: Span, minutes: i64| {
        span.start_ns = span.start_ns.saturating_add_signed(minutes * 60_000_000_000);
        span
    };
    let cases = [
        (Kind::Client, 0, 0, None),
        (Kind::Client, 0, -300, Some(("user", -300))),
        (Kind::Client, 0, 7, Some(("user", 7))),
        (Kind::Client, 300, 0, Some(("gateway", 300))),
        (Kind::Client, -1_440, 0, Some(("gateway", -1_440))),
        // What waits in a queue may wait for hours.
        (Kind::Producer, -300, 0, None),
    ];
    for (kind, client_minutes, server_minutes, expected) in cases {
        let serves = if kind == Kind::Producer { Kind::Consumer } else { Kind::Server };
        let client = shifted(span("gateway", "POST", kind, 2, 1), client_minutes);
        let server = shifted(span("user", "POST /tokens", serves, 3, 2), server_minutes);
        for spans in [[&client, &server], [&server, &client]] {
            let mut learner = Learner::new(&LearnerLimits::default());
            learner.observe(spans.map(|span| (1, span)), START_MS + 200);
            let works = learner.lessons().works;
            let found: Vec<_> = works.iter().filter(|work| *work.operation == *OFF).collect();
            let named = found.iter().map(|work| (&*work.service, work.error));
            let expected = expected.map(|(service, minutes)| (service, Some(ErrorKind::Clock(minutes))));
            assert_eq!(named.collect::<Vec<_>>(), Vec::from_iter(expected), "{client_minutes} {server_minutes}");
            // In the time that the others agree on.
            assert!(found.iter().all(|work| work.end_ns / 1_000_000_000 == START_MS as u64 / 1_000));
        }
    }
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

/// Times that each trace is repeated, so that what is lost of one is there of others.
const REPEATED: u128 = 100;

/// Numbers that look like chance.
fn chance(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Who calls whom, and how often, when this arrives in this order. As in front of the learner, what comes twice counts once.
fn edges(arriving: &[(TraceId, Span)]) -> BTreeMap<(String, String), u64> {
    let (mut learner, mut store) = (Learner::new(&LearnerLimits::default()), SpanStore::new(usize::MAX, usize::MAX));
    for (at, batch) in arriving.chunks(50).enumerate() {
        let fresh =
            batch.iter().filter(|(trace, span)| store.insert(*trace, Arc::new(span.clone()), 0) == Stored::Kept);
        learner.observe(fresh.map(|(trace, span)| (*trace, span)), START_MS + 500 + at as i64);
    }
    learner.advance(START_MS + 60_000);
    let mut edges = BTreeMap::new();
    for ((client, server, _), requests) in learner.window().sum(START_MS - 10_000, START_MS + 50_000).edges {
        *edges.entry((client.to_string(), server.to_string())).or_default() += requests.durations.count();
    }
    edges
}

/// Each trace with its spans, `REPEATED` times.
fn repeated(spans: &[Span]) -> Vec<(TraceId, Span)> {
    (1..=REPEATED).flat_map(|trace| spans.iter().map(move |span| (trace, span.clone()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn disorder_duplicates_and_skewed_clocks_leave_the_edges_as_they_are(spans in trace_strategy(), seed in any::<u64>()) {
        let truth = edges(&repeated(&spans));
        let mut state = seed;
        let mut arriving = repeated(&spans);
        for at in 0..arriving.len() {
            if chance(&mut state).is_multiple_of(10) {
                arriving.push(arriving[at].clone());
            }
        }
        for at in (1..arriving.len()).rev() {
            arriving.swap(at, chance(&mut state) as usize % (at + 1));
        }
        for (_, span) in &mut arriving {
            // Each service's clock is wrong by up to two seconds, in its own way.
            let skew_ms = (u64::from(span.service().bytes().map(u16::from).sum::<u16>()) * 997 + seed % 977) % 4_000;
            span.start_ns = span.start_ns + skew_ms * 1_000_000 - 2_000_000_000;
        }
        prop_assert_eq!(edges(&arriving), truth);
    }

    #[test]
    fn a_tenth_of_the_spans_lost_leaves_the_edges_right(spans in trace_strategy(), seed in any::<u64>()) {
        let truth = edges(&repeated(&spans));
        let mut state = seed;
        let mut arriving = repeated(&spans);
        arriving.retain(|_| !chance(&mut state).is_multiple_of(10));
        let found = edges(&arriving);
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), truth.keys().collect::<Vec<_>>());
        for (edge, count) in &found {
            let share = *count as f64 / truth[edge] as f64;
            prop_assert!((0.7..=1.0).contains(&share), "{:?} {}", edge, share);
        }
    }
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
