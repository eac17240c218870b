//! Claims about laying out traces.

use super::*;
use crate::fixtures::{span, trace};

#[test]
fn children_follow_their_parents_and_own_time_is_what_they_leave() {
    let trace = trace(
        "t1",
        vec![
            span("r", None, "gateway", 0, 100),
            span("a", Some("r"), "user", 10, 20),
            span("b", Some("r"), "order", 40, 50),
            span("c", Some("b"), "payment", 45, 30),
        ],
    );
    let fall = waterfall(&trace);
    let rows: Vec<_> = fall.bars.iter().map(|b| (b.service.as_str(), b.depth, b.own_us)).collect();
    assert_eq!(rows, [("gateway", 0, 30), ("user", 1, 20), ("order", 1, 20), ("payment", 2, 30)]);
    assert_eq!(fall.total_us, 100);
}

#[test]
fn of_parallel_calls_only_the_last_to_end_is_critical() {
    let trace = trace(
        "t1",
        vec![
            span("r", None, "gateway", 0, 100),
            span("a", Some("r"), "user", 10, 40),
            span("b", Some("r"), "order", 10, 80),
            span("c", Some("r"), "search", 0, 9),
        ],
    );
    let critical: Vec<String> =
        waterfall(&trace).bars.into_iter().filter(|b| b.is_critical).map(|b| b.service).collect();
    assert_eq!(critical, ["gateway", "search", "order"]);
}

#[test]
fn overlapping_children_are_covered_once() {
    let trace = trace(
        "t1",
        vec![
            span("r", None, "gateway", 0, 100),
            span("a", Some("r"), "user", 10, 50),
            span("b", Some("r"), "order", 30, 50),
        ],
    );
    assert_eq!(waterfall(&trace).bars[0].own_us, 30);
}

#[test]
fn lost_parents_and_circles_lose_no_span() {
    let trace = trace(
        "t1",
        vec![
            span("a", Some("b"), "x", 0, 10),
            span("b", Some("a"), "y", 0, 10),
            span("c", Some("gone"), "z", 5, 10),
            span("d", Some("d"), "w", 6, 1),
        ],
    );
    assert_eq!(waterfall(&trace).bars.len(), 4);
    assert_eq!(waterfall(&crate::fixtures::trace("t", vec![])).bars.len(), 0);
}
