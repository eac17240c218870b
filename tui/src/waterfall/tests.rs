//! Claims about laying out traces.

use proptest::prelude::*;
use protocol::jaeger::Span;

use super::*;
use crate::fixtures::{span, trace};

fn fall(spans: Vec<Span>) -> Waterfall {
    waterfall(&trace("t1", spans))
}

/// Service, and when the critical path was in it.
fn path(fall: &Waterfall) -> Vec<(&str, &[(u64, u64)])> {
    fall.bars.iter().filter(|bar| bar.is_critical).map(|bar| (bar.service.as_str(), bar.path.as_slice())).collect()
}

#[test]
fn children_follow_their_parents_and_own_time_is_what_they_leave() {
    let fall = fall(vec![
        span("r", None, "gateway", 0, 100),
        span("a", Some("r"), "user", 10, 20),
        span("b", Some("r"), "order", 40, 50),
        span("c", Some("b"), "payment", 45, 30),
    ]);
    let rows: Vec<_> = fall.bars.iter().map(|b| (b.service.as_str(), b.depth, b.own_us)).collect();
    assert_eq!(rows, [("gateway", 0, 30), ("user", 1, 20), ("order", 1, 20), ("payment", 2, 30)]);
    assert_eq!(fall.total_us, 100);
}

#[test]
fn the_critical_path_is_in_one_span_at_a_time_and_as_long_as_the_root() {
    let fall = fall(vec![
        span("r", None, "gateway", 0, 100),
        span("a", Some("r"), "user", 10, 20),
        span("b", Some("r"), "order", 40, 50),
        span("c", Some("b"), "payment", 45, 30),
    ]);
    assert_eq!(
        path(&fall),
        [
            ("gateway", [(0, 10), (30, 40), (90, 100)].as_slice()),
            ("user", [(10, 30)].as_slice()),
            ("order", [(40, 45), (75, 90)].as_slice()),
            ("payment", [(45, 75)].as_slice()),
        ]
    );
    let hottest: Vec<_> = fall.hottest.iter().map(|(name, us)| (name.as_str(), *us)).collect();
    assert_eq!(
        hottest,
        [
            ("gateway POST /gateway", 30),
            ("payment POST /payment", 30),
            ("order POST /order", 20),
            ("user POST /user", 20)
        ]
    );
}

#[test]
fn of_parallel_calls_only_the_last_to_end_is_critical() {
    let fall = fall(vec![
        span("r", None, "gateway", 0, 100),
        span("a", Some("r"), "user", 10, 40),
        span("b", Some("r"), "order", 10, 80),
        span("c", Some("r"), "search", 0, 9),
    ]);
    let critical: Vec<&str> = path(&fall).into_iter().map(|(service, _)| service).collect();
    assert_eq!(critical, ["gateway", "search", "order"]);
}

#[test]
fn overlapping_children_are_covered_once() {
    let fall = fall(vec![
        span("r", None, "gateway", 0, 100),
        span("a", Some("r"), "user", 10, 50),
        span("b", Some("r"), "order", 30, 50),
    ]);
    assert_eq!(fall.bars[0].own_us, 30);
}

#[test]
fn a_gap_between_calls_is_own_time_and_on_the_path() {
    let fall = fall(vec![
        span("r", None, "gateway", 0, 1_000),
        span("a", Some("r"), "user", 0, 100),
        span("b", Some("r"), "order", 900, 100),
    ]);
    assert_eq!((fall.bars[0].own_us, fall.bars[0].path.as_slice()), (800, [(100, 900)].as_slice()));
}

#[test]
fn work_that_goes_on_after_its_caller_is_not_what_the_caller_waited_for() {
    let fall = fall(vec![
        span("r", None, "order", 0, 10_000),
        span("a", Some("r"), "payment", 1_000, 4_000),
        span("b", Some("r"), "notification", 6_000, 90_000),
        span("c", Some("r"), "order", 7_000, 3_500),
    ]);
    let critical: Vec<&str> = path(&fall).into_iter().map(|(service, _)| service).collect();
    assert_eq!(critical, ["order", "payment"]);
    assert_eq!((fall.total_us, fall.bars[0].own_us), (96_000, 2_000));
}

#[test]
fn a_call_that_seems_to_end_just_after_its_caller_was_waited_for() {
    let fall = fall(vec![span("r", None, "order", 0, 10_000), span("a", Some("r"), "payment", 1_000, 9_400)]);
    assert_eq!(path(&fall), [("order", [(0, 1_000)].as_slice()), ("payment", [(1_000, 10_000)].as_slice())]);
}

#[test]
fn what_begins_before_its_caller_is_moved_with_all_that_shares_its_clock() {
    let mut inner = span("c", Some("b"), "order", 120, 30);
    inner.operation_name = "inner".to_owned();
    let fall = fall(vec![
        span("r", None, "gateway", 500, 100),
        span("b", Some("r"), "order", 100, 80),
        inner,
        span("d", Some("c"), "gateway", 530, 10),
    ]);
    let rows: Vec<_> = fall.bars.iter().map(|b| (b.service.as_str(), b.start_us, b.duration_us, b.is_moved)).collect();
    assert_eq!(
        rows,
        [("gateway", 0, 100, false), ("order", 0, 80, true), ("order", 20, 30, true), ("gateway", 30, 10, false)]
    );
    assert_eq!(fall.total_us, 100);
}

#[test]
fn a_missing_parent_makes_a_root_that_says_so_and_the_true_root_leads() {
    let fall = fall(vec![
        span("x", Some("lost"), "payment", 0, 10),
        span("r", None, "gateway", 5, 100),
        span("a", Some("r"), "user", 10, 20),
    ]);
    let rows: Vec<_> = fall.bars.iter().map(|b| (b.service.as_str(), b.depth, b.is_orphan, b.is_critical)).collect();
    assert_eq!(rows, [("gateway", 0, false, true), ("user", 1, false, true), ("payment", 0, true, false)]);
}

#[test]
fn lost_parents_and_circles_lose_no_span() {
    let fall = fall(vec![
        span("a", Some("b"), "x", 0, 10),
        span("b", Some("a"), "y", 0, 10),
        span("c", Some("gone"), "z", 5, 10),
        span("d", Some("d"), "w", 6, 1),
        span("e", Some("a"), "v", 6, 1),
        span("a", Some("e"), "twin", 6, 1),
    ]);
    assert_eq!(fall.bars.len(), 6);
    assert_eq!(self::fall(vec![]).bars.len(), 0);
}

#[test]
fn times_that_are_none_are_no_trouble() {
    let fall = fall(vec![
        span("r", None, "gateway", u64::MAX / 2, u64::MAX),
        span("a", Some("r"), "user", 0, u64::MAX),
        span("b", Some("a"), "order", 3, 0),
    ]);
    assert_eq!(fall.bars.len(), 3);
}

#[test]
fn ten_thousand_spans_are_laid_out_deep_and_wide() {
    let id = |at: u64| format!("{at:x}");
    let deep = (0..10_000u64).map(|at| {
        let parent = at.checked_sub(1).map(id);
        span(&id(at), parent.as_deref(), "order", at, 20_000 - 2 * at)
    });
    let wide = (0..10_000u64)
        .map(|at| span(&id(at), (at > 0).then_some("0"), "order", at * 2, if at == 0 { 20_000 } else { 2 }));
    for spans in [deep.collect::<Vec<_>>(), wide.collect()] {
        let fall = fall(spans);
        assert_eq!(fall.bars.len(), 10_000);
        assert_eq!(fall.bars.iter().map(Bar::path_us).sum::<u64>(), 20_000);
    }
}

fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    let one = (0usize..12, 0usize..14, 0u64..3_000, 0u64..3_000, 0usize..3);
    proptest::collection::vec(one, 1..12).prop_map(|all| {
        let names = ["gateway", "order", "payment"];
        all.into_iter()
            .map(|(id, parent, start, duration, service)| {
                let parent = (parent < 13).then(|| format!("{parent}"));
                span(&format!("{id}"), parent.as_deref(), names[service], start, duration)
            })
            .collect()
    })
}

#[test]
fn absurd_times_on_clocks_that_all_differ_stay_numbers() {
    let below = |at: u64| {
        let service = ["order", "payment"][usize::from(at % 4 > 1)];
        let start = if at.is_multiple_of(2) { 0 } else { u64::MAX / 2 };
        span(&format!("{}", at + 1), Some(&format!("{at}")), service, start, u64::MAX)
    };
    let root = span("0", None, "gateway", u64::MAX / 2, u64::MAX);
    let fall = fall([root].into_iter().chain((0..12).map(below)).collect());
    assert_eq!(fall.bars.len(), 13);
}

proptest! {
    #[test]
    fn whatever_the_spans_say_the_path_is_one_unbroken_line_and_no_span_is_lost(spans in any_spans()) {
        let count = spans.len();
        let fall = fall(spans);
        prop_assert_eq!(fall.bars.len(), count);
        let root = &fall.bars[0];
        let mut pieces: Vec<(u64, u64)> = fall.bars.iter().flat_map(|bar| bar.path.iter().copied()).collect();
        pieces.sort_unstable();
        let mut at = root.start_us;
        for (from, to) in pieces {
            prop_assert_eq!(from, at);
            at = to;
        }
        prop_assert_eq!(at, root.start_us + root.duration_us);
        for bar in &fall.bars {
            prop_assert!(bar.own_us <= bar.duration_us && bar.start_us + bar.duration_us <= fall.total_us);
        }
    }
}
