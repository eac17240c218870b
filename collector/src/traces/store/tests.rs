//! Claims about what is kept and what is found.

use super::*;
use crate::traces::example::{START_NS, span};
use crate::traces::span::{Kind, Scope};

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
        assert_eq!(store.insert(trace, server(1)), Stored::Kept);
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
        store.insert(trace, server(1));
    });
    assert_eq!((store.spans(), store.bytes()), (10, 10 * one));
}

#[test]
fn a_span_sent_again_is_kept_once() {
    let mut store = store();
    store.insert(7, server(1));
    assert_eq!(store.insert(7, server(1)), Stored::Duplicate);
    // A client and its server may share an id.
    assert_eq!(store.insert(7, Arc::new(span("gateway", "POST", Kind::Client, 1, 0))), Stored::Kept);
    assert_eq!(store.spans(), 2);
}

#[test]
fn a_full_trace_takes_no_more() {
    let mut store = SpanStore::new(usize::MAX, usize::MAX);
    for id in 1..=TRACE_SPANS_MAX as u64 {
        assert_eq!(store.insert(7, server(id)), Stored::Kept);
    }
    assert_eq!(store.insert(7, server(0xffff_ffff)), Stored::TraceFull);
}

#[test]
fn newest_first_also_when_the_root_comes_last() {
    let mut store = store();
    store.insert(1, Arc::new(span("order", "a", Kind::Server, 1, 0).during(500, 600)));
    store.insert(2, Arc::new(span("order", "b", Kind::Server, 1, 9).during(700, 800)));
    store.insert(2, Arc::new(span("order", "c", Kind::Server, 9, 0).during(100, 900)));
    let order = |store: &SpanStore| store.search(&Search::default()).map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(order(&store), [1, 2]);
    store.insert(3, Arc::new(span("order", "d", Kind::Server, 1, 0).during(600, 700)));
    assert_eq!(order(&store), [3, 1, 2]);
}

#[test]
fn finds_what_is_asked_for_and_nothing_else() {
    let mut store = store();
    let slow = span("order", "POST /orders", Kind::Server, 1, 0).during(0, 900);
    let mut slow = slow.failing().with("http.response.status_code", 503).with("http.route", "/orders");
    slow.scope = Some(Arc::new(Scope { name: "shop".into(), version: "1".into() }));
    store.insert(1, Arc::new(slow));
    store.insert(2, Arc::new(span("order", "GET /orders", Kind::Server, 1, 0).during(2_000, 2_050)));
    store.insert(3, Arc::new(span("search", "GET /search", Kind::Server, 1, 0).during(3_000, 3_010)));
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
