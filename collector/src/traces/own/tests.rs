//! Claims about own time and own errors.

use proptest::prelude::*;

use super::*;
use crate::traces::example::span;

const WAIT_MS: i64 = 5_000;

/// All work that these spans of one trace stand for.
fn all(spans: impl IntoIterator<Item = Span>) -> Vec<Work> {
    let (mut settling, pairing) = (Settling::new(WAIT_MS), Pairing::new(WAIT_MS));
    let mut settled = Vec::new();
    for span in spans {
        settling.observe(1, &span, 0, &pairing, &mut settled);
    }
    settling.settle(WAIT_MS, &pairing, &mut settled);
    assert!(settling.groups.is_empty() && settling.parts == 0);
    settled
}

/// Own parts as `milliseconds own|passed-on|well`, in order of end.
fn settle(spans: impl IntoIterator<Item = Span>) -> Vec<String> {
    let mut settled = all(spans);
    settled.retain(|work| matches!(work.kind, WorkKind::Entry | WorkKind::Request));
    settled.sort_by_key(|own| (own.end_ns, own.own_ns));
    let words = settled.iter().map(|own| {
        let error = match (own.failed, own.own_failed) {
            (_, true) => "own",
            (true, false) => "passed-on",
            (false, false) => "well",
        };
        format!("{} {error}", own.own_ns / 1_000_000)
    });
    words.collect()
}

fn server(id: u64, parent: u64, from: u64, to: u64) -> Span {
    span("order", "serve", Kind::Server, id, parent).during(from, to)
}

fn client(id: u64, parent: u64, from: u64, to: u64) -> Span {
    span("order", "call", Kind::Client, id, parent).during(from, to)
}

fn inner(id: u64, parent: u64, from: u64, to: u64) -> Span {
    span("order", "work", Kind::Internal, id, parent).during(from, to)
}

#[test]
fn own_is_what_no_call_below_covers() {
    let cases: Vec<(&str, Vec<Span>, &[&str])> = vec![
        ("no calls", vec![server(1, 0, 0, 100)], &["100 well"]),
        ("one call", vec![server(1, 0, 0, 100), client(2, 1, 20, 70)], &["50 well"]),
        ("calls in a row", vec![server(1, 0, 0, 100), client(2, 1, 0, 30), client(3, 1, 40, 90)], &["20 well"]),
        (
            "calls at once count once",
            vec![server(1, 0, 0, 100), client(2, 1, 10, 60), client(3, 1, 20, 50), client(4, 1, 40, 80)],
            &["30 well"],
        ),
        ("a call that outlives its request", vec![server(1, 0, 0, 100), client(2, 1, 60, 400)], &["60 well"]),
        ("calls below inner spans", vec![server(1, 0, 0, 100), inner(2, 1, 0, 90), client(3, 2, 10, 80)], &["30 well"]),
        ("an error of its own", vec![server(1, 0, 0, 100).failing(), client(2, 1, 0, 40)], &["60 own"]),
        ("an error from below", vec![server(1, 0, 0, 100).failing(), client(2, 1, 0, 40).failing()], &["60 passed-on"]),
        (
            "a refusal from below is no error from below",
            vec![server(1, 0, 0, 100).failing(), client(2, 1, 0, 40).failing().with("http.response.status_code", 409)],
            &["60 own"],
        ),
        ("an error below that was coped with", vec![server(1, 0, 0, 100), client(2, 1, 0, 40).failing()], &["60 well"]),
        (
            "a call belongs to the nearest request above",
            vec![
                server(1, 0, 0, 100).failing(),
                client(2, 1, 10, 90),
                server(3, 2, 20, 80).failing(),
                client(4, 3, 30, 70).failing(),
            ],
            &["20 passed-on", "20 own"],
        ),
        ("a call of nobody", vec![server(1, 0, 0, 100), client(2, 9, 10, 90)], &["100 well"]),
        (
            "a circle",
            vec![server(1, 0, 0, 100), inner(2, 3, 0, 1), inner(3, 2, 0, 1), client(4, 2, 0, 9)],
            &["100 well"],
        ),
    ];
    for (name, spans, expected) in cases {
        assert_eq!(settle(spans), expected, "{name}");
    }
}

#[test]
fn waits_until_the_spans_rest() {
    let (mut settling, pairing) = (Settling::new(WAIT_MS), Pairing::new(WAIT_MS));
    let mut settled = Vec::new();
    settling.observe(1, &client(2, 1, 0, 50), 0, &pairing, &mut settled);
    settling.observe(1, &server(1, 0, 0, 100), 3_000, &pairing, &mut settled);
    settling.settle(WAIT_MS, &pairing, &mut settled);
    assert!(settled.is_empty());
    settling.settle(WAIT_MS + 3_000, &pairing, &mut settled);
    assert_eq!(settled.len(), 1);
    assert_eq!(settled[0].own_ns, 50_000_000);
}

#[test]
fn a_trace_that_never_rests_is_settled_all_the_same() {
    let (mut settling, pairing) = (Settling::new(WAIT_MS), Pairing::new(WAIT_MS));
    let mut settled = Vec::new();
    for second in 0..=30u64 {
        let now_ms = second as i64 * 1_000;
        settling.settle(now_ms, &pairing, &mut settled);
        settling.observe(1, &server(second + 1, 0, 0, 10), now_ms, &pairing, &mut settled);
    }
    settling.settle(WAIT_MS * WAITS_MAX, &pairing, &mut settled);
    assert!(settled.len() >= 30, "{}", settled.len());
}

#[test]
fn too_many_spans_settle_early() {
    let (mut settling, pairing) = (Settling::new(WAIT_MS), Pairing::new(WAIT_MS));
    let mut settled = Vec::new();
    // Each is a request of its own.
    for trace in 0..SPANS_MAX as u128 / 2 + 5 {
        settling.observe(trace, &server(1, 0, 0, 10), 0, &pairing, &mut settled);
    }
    assert_eq!((settling.parts, settled.len()), (SPANS_MAX / 2, 5));
}

#[test]
fn work_says_what_it_was_and_whom_it_called() {
    let payment = |id, parent, from, to| client(id, parent, from, to).with("peer.service", "payment");
    let works = all([
        server(1, 0, 0, 100).failing().with("http.response.status_code", 504),
        payment(2, 1, 10, 30).failing().with("error.type", "timeout"),
        payment(3, 1, 30, 100).with("http.request.resend_count", 1),
        inner(10, 0, 0, 50),
        client(11, 10, 0, 40).with("db.system.name", "sqlite").failing(),
        client(20, 99, 0, 7).with("server.address", "user.shop"),
    ]);
    let words: Vec<String> = works
        .iter()
        .map(|work| {
            let calls = work.calls.iter().map(|call| {
                let peer = call.peer.as_ref().map_or("?", |(name, _)| name);
                let cut = if call.was_cut_short { " cut" } else { "" };
                let retry = if call.is_retry { " again" } else { "" };
                format!("{peer} {:?}{cut}{retry}", call.error)
            });
            format!("{:?} {} [{}]", work.kind, work.operation, calls.collect::<Vec<_>>().join(", "))
        })
        .collect();
    assert_eq!(
        words,
        [
            "Entry serve [payment Some(TimedOut), payment None cut again]",
            "Job work [sqlite Some(Other)]",
            "Fragment  [user.shop None]",
        ]
    );
    assert_eq!(works[0].origin, Some(("order".into(), "serve".into())));
    assert_eq!(works[0].error, Some(ErrorKind::Status(504)));
}

proptest! {
    #[test]
    fn order_of_arrival_does_not_matter_and_own_is_never_more_than_all(
        shape in prop::collection::vec((0u64..12, 0u8..3, 0u64..100, 0u64..100, any::<bool>()), 1..12),
        rotate in 0usize..12,
    ) {
        let spans: Vec<Span> = shape.iter().enumerate().map(|(at, (parent, kind, from, long, fails))| {
            let id = at as u64 + 1;
            let make = [server, client, inner][*kind as usize];
            let span = make(id, *parent, *from, from + long);
            if *fails { span.failing() } else { span }
        }).collect();
        let mut turned = spans.clone();
        turned.rotate_left(rotate % spans.len());
        turned.reverse();
        prop_assert_eq!(settle(spans.clone()), settle(turned));
        let settled = all(spans.clone());
        let longest = spans.iter().map(|span| span.duration_ns).max().unwrap_or(0);
        prop_assert!(settled.iter().all(|own| own.own_ns <= longest));
    }
}
