//! Claims about windows.

use super::*;
use crate::traces::example::{START_MS, span};
use crate::traces::span::Kind;

fn open(now_ms: i64) -> Window {
    let mut window = Window::default();
    window.advance(now_ms);
    window
}

#[test]
fn a_window_holds_its_seconds_and_no_others() {
    let mut window = open(START_MS + 10_000);
    for second in 0..10 {
        let request = span("order", "serve", Kind::Server, 1, 0).during(second * 1_000, second * 1_000 + 500);
        window.observe_span(&request, START_MS + 10_000);
    }
    let count = |from: i64, to: i64| {
        let tally = window.sum(START_MS + from, START_MS + to);
        tally.nodes.get("order").map_or(0, |node| node.requests.durations.count())
    };
    assert_eq!(count(0, 10_000), 10);
    assert_eq!(count(2_000, 5_000), 3);
    assert_eq!(count(-100_000, 1_000), 1);
    assert_eq!(count(5_000, 100_000), 5);
    assert_eq!(count(5_000, 2_000), 0);
    assert_eq!(window.earliest_ms(), Some(START_MS));
}

#[test]
fn what_is_too_old_or_too_far_ahead_is_counted_as_dropped() {
    let mut window = open(START_MS + SECONDS_KEPT as i64 * 1_000);
    let now_ms = START_MS + SECONDS_KEPT as i64 * 1_000;
    window.observe_span(&span("order", "serve", Kind::Server, 1, 0).during(0, 10), now_ms);
    window.observe_span(&span("order", "serve", Kind::Server, 1, 0).during(0, 10_000_000_000), now_ms);
    assert_eq!(window.dropped(), 2);
    assert_eq!(window.earliest_ms(), None);
}

#[test]
fn a_service_is_known_for_as_long_as_a_window_may_be() {
    let mut window = open(START_MS);
    window.observe_span(&span("batch", "work", Kind::Internal, 1, 0), START_MS);
    assert!(window.sum(START_MS, START_MS + 1_000).nodes.contains_key("batch"));
    window.advance(START_MS + SECONDS_KEPT as i64 * 1_000);
    assert!(window.sum(START_MS, START_MS + 1_000).nodes.is_empty());
}

#[test]
fn a_long_silence_costs_no_more_than_a_short_one() {
    let mut window = open(0);
    window.advance(START_MS);
    assert_eq!(window.seconds.len(), SECONDS_KEPT + SECONDS_AHEAD);
}

#[test]
fn a_clock_that_was_set_back_begins_anew() {
    let mut window = open(START_MS + 86_400_000);
    window.advance(START_MS + 1_000);
    window.observe_span(&span("order", "serve", Kind::Server, 1, 0), START_MS + 1_000);
    assert_eq!((window.dropped(), window.earliest_ms()), (0, Some(START_MS)));
}

#[test]
fn a_machine_that_is_a_little_ahead_is_counted() {
    let mut window = open(START_MS);
    window.observe_span(&span("order", "serve", Kind::Server, 1, 0).during(0, 4_000), START_MS);
    assert_eq!(window.dropped(), 0);
}
