//! Claims about what is kept and what is found.

use super::*;
use crate::traces::example::{START_NS, span};
use crate::traces::span::{Kind, Scope, Value};

fn store() -> SpanStore {
    SpanStore::new(1_000, usize::MAX)
}

fn server(id: u64) -> Arc<Span> {
    Arc::new(span("order", "POST /orders", Kind::Server, id, 0))
}

#[test]
fn the_trace_that_arrived_first_makes_room() {
    let mut store = SpanStore::new(3, usize::MAX);
    for trace in 1..=4 {
        assert_eq!(store.insert(trace, server(1), 0), Stored::Kept);
    }
    assert!(store.trace(1).is_none());
    assert!(store.trace(4).is_some());
    assert_eq!((store.spans(), store.traces(), store.spans_evicted()), (3, 3, 1));
}

#[test]
fn bytes_bound_as_spans_do() {
    let one = server(1).estimated_bytes();
    let mut store = SpanStore::new(usize::MAX, 10 * one);
    (1..=100).for_each(|trace| {
        store.insert(trace, server(1), 0);
    });
    assert_eq!((store.spans(), store.bytes()), (10, 10 * one));
}

#[test]
fn a_span_sent_again_is_kept_once() {
    let mut store = store();
    store.insert(7, server(1), 0);
    assert_eq!(store.insert(7, server(1), 0), Stored::Duplicate);
    // A client and its server may share an id.
    assert_eq!(store.insert(7, Arc::new(span("gateway", "POST", Kind::Client, 1, 0)), 0), Stored::Kept);
    assert_eq!(store.spans(), 2);
}

#[test]
fn a_full_trace_takes_no_more() {
    let mut store = SpanStore::new(usize::MAX, usize::MAX);
    for id in 1..=TRACE_SPANS_MAX as u64 {
        assert_eq!(store.insert(7, server(id), 0), Stored::Kept);
    }
    assert_eq!(store.insert(7, server(0xffff_ffff), 0), Stored::TraceFull);
}

#[test]
fn newest_first_also_when_the_root_comes_last() {
    let mut store = store();
    store.insert(1, Arc::new(span("order", "a", Kind::Server, 1, 0).during(500, 600)), 0);
    store.insert(2, Arc::new(span("order", "b", Kind::Server, 1, 9).during(700, 800)), 0);
    store.insert(2, Arc::new(span("order", "c", Kind::Server, 9, 0).during(100, 900)), 0);
    let order = |store: &SpanStore| store.search(&Search::default()).map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(order(&store), [1, 2]);
    store.insert(3, Arc::new(span("order", "d", Kind::Server, 1, 0).during(600, 700)), 0);
    assert_eq!(order(&store), [3, 1, 2]);
}

#[test]
fn finds_what_is_asked_for_and_nothing_else() {
    let mut store = store();
    let slow = span("order", "POST /orders", Kind::Server, 1, 0).during(0, 900);
    let mut slow = slow.failing().with("http.response.status_code", 503).with("http.route", "/orders");
    slow.scope = Some(Arc::new(Scope { name: "shop".into(), version: "1".into() }));
    store.insert(1, Arc::new(slow), 0);
    store.insert(2, Arc::new(span("order", "GET /orders", Kind::Server, 1, 0).during(2_000, 2_050)), 0);
    store.insert(3, Arc::new(span("search", "GET /search", Kind::Server, 1, 0).during(3_000, 3_010)), 0);
    let tag = |key: &str, value: &str| Search { tags: vec![(key.into(), value.into())], ..Search::default() };
    let cases: Vec<(Search, &[TraceId])> = vec![
        (Search::default(), &[3, 2, 1]),
        (Search { limit: 2, ..Search::default() }, &[3, 2]),
        (Search { service: "order".into(), ..Search::default() }, &[2, 1]),
        (Search { service: "nobody".into(), ..Search::default() }, &[]),
        (Search { operation: "GET /orders".into(), ..Search::default() }, &[2]),
        (Search { service: "search".into(), operation: "GET /orders".into(), ..Search::default() }, &[]),
        (Search { duration_min_ns: 50_000_000, ..Search::default() }, &[2, 1]),
        (Search { duration_max_ns: 50_000_000, ..Search::default() }, &[3, 2]),
        (Search { start_ns: START_NS + 1, ..Search::default() }, &[3, 2]),
        (Search { end_ns: START_NS + 2_000_000_000, ..Search::default() }, &[2, 1]),
        (tag("error", "true"), &[1]),
        (tag("error", "false"), &[3, 2]),
        (tag("http.response.status_code", "503"), &[1]),
        (tag("http.response.status_code", "50"), &[]),
        (tag("otel.status_code", "ERROR"), &[1]),
        (tag("otel.scope.name", "shop"), &[1]),
        (tag("span.kind", "server"), &[3, 2, 1]),
        (tag("span.kind", "client"), &[]),
    ];
    for (search, expected) in cases {
        let found: Vec<TraceId> = store.search(&search).map(|(id, _)| id).collect();
        assert_eq!(found, expected, "{search:?}");
    }
}

fn decided(ordinary_per_second: u32, spans_max: usize) -> SpanStore {
    let mut store = SpanStore::new(spans_max, usize::MAX);
    store.keep_with(Sampler::new(ordinary_per_second));
    store
}

fn ids(fragments: &[Fragment]) -> Vec<(TraceId, Vec<u64>)> {
    fragments.iter().map(|f| (f.id, f.spans.iter().map(|span| span.id).collect())).collect()
}

#[test]
fn a_trace_is_handed_out_once_when_it_rests() {
    let mut store = decided(10, 1_000);
    store.insert(1, server(1), 0);
    store.insert(1, server(2), REST_MS - 1);
    store.settle(REST_MS);
    assert_eq!((ids(&store.take_waiting()), store.oldest_open_ms()), (vec![], Some(0)), "it does not rest yet");
    store.settle(2 * REST_MS);
    assert_eq!(ids(&store.take_waiting()), [(1, vec![1, 2])]);
    store.settle(3 * REST_MS);
    assert_eq!((ids(&store.take_waiting()), store.oldest_open_ms()), (vec![], None));
    assert_eq!(store.trace(1).unwrap().kept().map(Kept::probability), Some(1.0));
}

#[test]
fn a_trace_that_never_rests_is_decided_all_the_same() {
    let mut store = decided(10, 100_000);
    for second in 0..40 {
        store.insert(1, server(second + 1), second as i64 * 1_000);
        store.settle(second as i64 * 1_000);
    }
    let found = ids(&store.take_waiting());
    assert_eq!(found.iter().map(|(_, spans)| spans.len()).sum::<usize>(), 40);
    assert!(found[0].1.len() >= 30, "all that were there, then each one that came later: {found:?}");
}

#[test]
fn what_is_late_follows_the_decision_also_when_its_trace_has_made_room() {
    let mut store = decided(0, 2);
    store.insert(1, Arc::new(span("order", "a", Kind::Server, 1, 0).failing()), 0);
    store.insert(2, server(1), 0);
    // Neither rests, and both make room.
    store.insert(3, server(1), 1);
    store.insert(4, server(1), 2);
    assert!(store.trace(1).is_none() && store.trace(2).is_none());
    assert_eq!(ids(&store.take_waiting()), [(1, vec![1])]);
    assert_eq!(store.lost(), (1, 0));
    assert_eq!(store.insert(1, server(2), 3), Stored::Kept);
    assert_eq!(store.insert(2, server(2), 3), Stored::Late);
    assert_eq!(ids(&store.take_waiting()), [(1, vec![2])]);
}

#[test]
fn what_is_decided_makes_room_first() {
    let mut store = decided(10, 3);
    store.insert(1, server(1), 0);
    store.insert(2, server(1), 0);
    store.settle(REST_MS);
    store.insert(3, server(1), REST_MS);
    store.insert(2, server(2), REST_MS);
    assert!(store.trace(1).is_none() && store.trace(3).is_some());
}

#[test]
fn what_waits_for_the_disk_is_bounded_and_counted() {
    let mut store = decided(u32::MAX, usize::MAX);
    let large = |trace: TraceId| {
        let one =
            span("order", "a", Kind::Server, trace as u64, 0).with("text", Value::Text("x".repeat(1 << 20).into()));
        Arc::new(one)
    };
    (1..=20).for_each(|trace| _ = store.insert(trace, large(trace), 0));
    store.settle(REST_MS);
    let (sampled_out, behind) = store.lost();
    assert!(store.waiting_bytes() <= WAITING_BYTES_MAX && sampled_out == 0 && (4..=6).contains(&behind), "{behind}");
    let taken = store.take_waiting();
    store.give_back(taken.clone());
    assert_eq!(store.take_waiting().len(), taken.len(), "for another attempt");
}

#[test]
fn names_without_number_are_bounded() {
    let mut store = store();
    for service in 0..10 {
        for name in 0..NAMES_MAX + 10 {
            store.learn_name(&format!("s{service}").into(), &format!("GET /{name}").into(), Kind::Server);
        }
    }
    assert_eq!(store.names.values().map(BTreeSet::len).sum::<usize>(), OPERATION_NAMES_MAX);
    assert!(store.names.values().all(|operations| operations.len() <= NAMES_MAX));
    assert_eq!(store.services().count(), 10);
}
