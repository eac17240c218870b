//! Claims about who called whom.

use proptest::prelude::*;

use super::*;
use crate::traces::example::span;

const WAIT_MS: i64 = 10_000;

/// Calls of spans of one trace that arrive in this order, after the wait: `client > server connection [failed]`.
fn calls(spans: &[Span]) -> (Vec<String>, Pairing) {
    let mut pairing = Pairing::new(WAIT_MS);
    let mut calls = Vec::new();
    for (at, span) in spans.iter().enumerate() {
        pairing.observe(1, span, at as i64, &mut calls);
    }
    pairing.expire(WAIT_MS + spans.len() as i64, &mut calls);
    let words = calls.iter().map(|call| {
        let failed = if call.failed { " failed" } else { "" };
        format!("{} > {} {:?}{failed}", call.client, call.server, call.connection)
    });
    let mut words: Vec<String> = words.collect();
    words.sort();
    (words, pairing)
}

fn client(service: &str, id: u64) -> Span {
    span(service, "call", Kind::Client, id, 0)
}

fn server(service: &str, id: u64, parent: u64) -> Span {
    span(service, "serve", Kind::Server, id, parent)
}

#[test]
fn a_call_knows_what_its_server_said_and_how_much_longer_it_took() {
    let (begin, end) = (1_000_000, 9_000_000);
    let call = || Span { start_ns: begin, duration_ns: end, ..client("a", 1) };
    let served = |id, duration_ns| Span { start_ns: begin, duration_ns, ..server("b", id, 1) };
    let mut sent = call();
    sent.kind = Kind::Producer;
    let cases: Vec<(Vec<Span>, _)> = vec![
        (vec![], (Answer::Unknown, None)),
        (vec![served(2, 4_000_000)], (Answer::Unknown, None)),
        (vec![call()], (Answer::Missing, None)),
        (vec![call(), served(2, 4_000_000)], (Answer::Well, Some(5_000_000))),
        (vec![served(2, 4_000_000), served(3, 6_000_000).failing(), call()], (Answer::Failed, Some(3_000_000))),
        // By a clock that runs faster.
        (vec![call(), served(2, 11_000_000)], (Answer::Well, Some(0))),
        (vec![sent, served(2, 4_000_000)], (Answer::Well, None)),
    ];
    for (spans, expected) in cases {
        let mut pairing = Pairing::new(WAIT_MS);
        spans.iter().for_each(|span| pairing.observe(1, span, 0, &mut Vec::new()));
        assert_eq!(pairing.answer(1, 1), expected, "{spans:?}");
    }
}

#[test]
fn calls_are_what_spans_say() {
    let cases: Vec<(&str, Vec<Span>, &[&str], u64)> = vec![
        ("paired", vec![client("a", 1), server("b", 2, 1)], &["a > b Direct"], 0),
        ("server first", vec![server("b", 2, 1), client("a", 1)], &["a > b Direct"], 0),
        ("client failed", vec![client("a", 1).failing(), server("b", 2, 1)], &["a > b Direct failed"], 0),
        ("server failed", vec![client("a", 1), server("b", 2, 1).failing()], &["a > b Direct failed"], 0),
        (
            "a refusal is no fault",
            vec![client("a", 1).failing().with("http.response.status_code", 409), server("b", 2, 1)],
            &["a > b Direct"],
            0,
        ),
        (
            "pushing back is one",
            vec![client("a", 1).failing().with("http.response.status_code", 429), server("b", 2, 1)],
            &["a > b Direct failed"],
            0,
        ),
        ("root server", vec![server("a", 1, 0)], &[], 0),
        ("server without client", vec![server("a", 1, 9)], &[], 1),
        ("client without a name", vec![client("a", 1)], &[], 1),
        ("peer by name", vec![client("a", 1).with("peer.service", "p")], &["a > p Virtual"], 0),
        ("peer by address", vec![client("a", 1).with("server.address", "p.example")], &["a > p.example Virtual"], 0),
        (
            "a peer that answers is not guessed",
            vec![client("a", 1).with("peer.service", "other"), server("b", 2, 1)],
            &["a > b Direct"],
            0,
        ),
        (
            "database",
            vec![client("a", 1).with("db.system.name", "postgresql").with("db.namespace", "orders").failing()],
            &["a > orders Database failed"],
            0,
        ),
        ("database without a name", vec![client("a", 1).with("db.system", "sqlite")], &["a > sqlite Database"], 0),
        (
            "queue with two consumers",
            vec![
                span("b", "handle", Kind::Consumer, 2, 1),
                span("a", "send", Kind::Producer, 1, 0),
                span("c", "handle", Kind::Consumer, 3, 1),
            ],
            &["a > b Messaging", "a > c Messaging"],
            0,
        ),
        (
            "queue without consumer",
            vec![span("a", "send", Kind::Producer, 1, 0).with("messaging.system", "kafka")],
            &["a > kafka Messaging"],
            0,
        ),
        ("inside", vec![span("a", "work", Kind::Internal, 1, 0)], &[], 0),
    ];
    for (name, spans, expected, unpaired) in cases {
        let (found, pairing) = calls(&spans);
        assert_eq!(found, expected, "{name}");
        assert_eq!(pairing.unpaired(), unpaired, "{name}");
        assert!(pairing.halves.is_empty() && pairing.deadlines.is_empty(), "{name}");
    }
}

#[test]
fn waits_no_longer_than_asked() {
    let mut pairing = Pairing::new(WAIT_MS);
    let mut found = Vec::new();
    pairing.observe(1, &client("a", 1).with("peer.service", "b"), 0, &mut found);
    pairing.expire(WAIT_MS - 1, &mut found);
    assert!(found.is_empty());
    pairing.expire(WAIT_MS, &mut found);
    assert_eq!(found.len(), 1);
    pairing.observe(1, &server("b", 2, 1), WAIT_MS + 1, &mut found);
    assert_eq!(found.len(), 1);
}

#[test]
fn too_many_halves_make_the_oldest_give_up() {
    let mut pairing = Pairing::new(WAIT_MS);
    let mut found = Vec::new();
    for trace in 0..CALLS_MAX as u128 + 10 {
        pairing.observe(trace, &server("b", 2, 1), 0, &mut found);
    }
    assert_eq!((pairing.halves.len(), pairing.dropped()), (CALLS_MAX, 10));
}

proptest! {
    #[test]
    fn order_of_arrival_does_not_matter(
        shape in prop::collection::vec((0u64..8, 0usize..4, any::<bool>(), any::<bool>()), 1..24),
        seed in any::<u64>(),
    ) {
        let spans: Vec<Span> = shape.iter().enumerate().map(|(at, (parent, service, is_client, fails))| {
            let name = ["a", "b", "c", "d"][*service];
            let id = at as u64 + 1;
            let span = if *is_client { client(name, id) } else { server(name, id, *parent) };
            if *fails { span.failing() } else { span }
        }).collect();
        let mut shuffled = spans.clone();
        let mut state = seed | 1;
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(at, (state >> 33) as usize % (at + 1));
        }
        let (one, first) = calls(&spans);
        let (other, second) = calls(&shuffled);
        prop_assert_eq!(one, other);
        prop_assert_eq!(first.unpaired(), second.unpaired());
    }
}
