//! Claims about putting what happened into one order.

use std::collections::BTreeSet;

use super::*;
use crate::fixtures::{self, NOW_MS, blame};
use crate::picture::Source;

fn told(at_ms: i64, kind: TimelineKind, service: &str, text: &str, to: Option<&str>) -> TimelineEvent {
    TimelineEvent {
        at_ms,
        kind,
        service: service.to_owned(),
        text: text.to_owned(),
        from: None,
        to: to.map(str::to_owned),
    }
}

fn with(events: Vec<TimelineEvent>) -> Picture {
    let mut picture = fixtures::healthy();
    picture.timeline.answered(protocol::faults::Timeline { events }, NOW_MS);
    picture
}

fn words(entries: &[Entry]) -> Vec<(i64, &str, &str, &str)> {
    entries
        .iter()
        .map(|e| (NOW_MS - e.at_ms, e.kind.word(), e.service.name.as_str(), e.text.split(':').next().unwrap_or("")))
        .collect()
}

#[test]
fn all_sources_stand_in_one_order_newest_first() {
    let picture = with(vec![
        told(NOW_MS - 90_000, TimelineKind::Version, "payment", "version 1.4 -> 1.5", None),
        told(NOW_MS - 30_000, TimelineKind::FaultBegan, "payment", "answers errors", None),
        told(NOW_MS - 20_000, TimelineKind::Breaker, "order", "breaker to payment: closed -> open", None),
    ]);
    assert_eq!(
        words(&entries(&picture)),
        [
            (20_000, "breaker", "order", "breaker to payment"),
            (30_000, "FAULT", "payment", "answers errors"),
            (40_000, "event", "order", "SuccessfulRescale"),
            (55_000, "scaling", "order", "replicas 1 -> 2"),
            (56_000, "scaling", "search", "replicas 3 -> 2"),
            (90_000, "deploy", "payment", "version 1.4 -> 1.5"),
        ]
    );
}

#[test]
fn replicas_that_the_autoscaler_decided_are_told_once_and_others_all_the_same() {
    let seen = |seconds_ago: i64, service: &str, to: &str| {
        told(NOW_MS - seconds_ago * 1_000, TimelineKind::Replicas, service, &format!("replicas ? -> {to}"), Some(to))
    };
    let all = entries(&with(vec![
        seen(50, "order", "2"),
        seen(50, "order", "7"),
        seen(5, "order", "2"),
        seen(50, "user", "2"),
    ]));
    let kept: Vec<_> =
        all.iter().filter(|e| e.text.contains('?')).map(|e| (e.service.name.as_str(), e.text.as_str())).collect();
    assert_eq!(kept, [("order", "replicas ? -> 2"), ("order", "replicas ? -> 7"), ("user", "replicas ? -> 2")]);
    assert_eq!(all[0].at_ms, NOW_MS - 5_000);
}

#[test]
fn a_decision_is_told_once_and_without_what_its_row_says() {
    let mut picture = fixtures::healthy();
    let message = "order 1 -> 2: cpu utilization 118% is above 65%".to_owned();
    let mut scaling = picture.scaling.data.as_deref().cloned().unwrap();
    scaling.decisions.retain(|record| (record.from, record.wish) == (1, 2));
    scaling.decisions[0].message = message.clone();
    picture.scaling.answered(scaling, NOW_MS);
    let mut events = picture.events.data.as_deref().cloned().unwrap();
    events[0].message = message;
    picture.events.answered(events, NOW_MS);
    let all = entries(&picture);
    assert_eq!(
        all.iter().map(|e| e.text.as_str()).collect::<Vec<_>>(),
        ["replicas 1 -> 2: cpu utilization 118% is above 65%"]
    );
}

#[test]
fn without_a_timeline_the_faults_of_now_are_known_and_what_the_autoscaler_tells() {
    let mut picture = blame::payment_blamed();
    picture.timeline = Source::missing("no timeline");
    let all = entries(&picture);
    assert!(
        all.iter().any(|e| e.kind == Kind::Fault && e.service.name == "payment" && e.text.starts_with("is failing"))
    );
    assert!(all.iter().any(|e| e.kind == Kind::Scaling));
    assert!(entries(&Picture::default()).is_empty());
}

#[test]
fn too_many_lose_the_oldest() {
    let many = (0..5_000).map(|at| told(NOW_MS + at, TimelineKind::Restart, "order", "restarted", None)).collect();
    let all = entries(&with(many));
    assert_eq!((all.len(), all[0].at_ms), (ENTRIES_MAX, NOW_MS + 4_999));
}

#[test]
fn marks_stand_where_it_happened_and_a_fault_hides_what_is_less() {
    let picture = with(vec![
        told(1_000, TimelineKind::Restart, "order", "restarted", None),
        told(1_500, TimelineKind::FaultBegan, "order", "slow", None),
        told(3_000, TimelineKind::Version, "order", "new", None),
        told(-1, TimelineKind::Restart, "order", "before the first", None),
        told(9_000, TimelineKind::Restart, "order", "after the last", None),
    ]);
    let shown = entries(&picture);
    let shown = shown.iter().map(|entry| (entry.at_ms, entry.kind));
    assert_eq!(marks(shown, 0, 1_000, 5), " F d ");
}

#[test]
fn kinds_are_told_apart_by_their_letters() {
    let kinds = [
        Kind::Fault,
        Kind::Over,
        Kind::Breaker,
        Kind::Deploy,
        Kind::Restart,
        Kind::Scaling,
        Kind::Warning,
        Kind::Event,
    ];
    assert_eq!(kinds.map(Kind::letter).into_iter().collect::<BTreeSet<_>>().len(), kinds.len());
}
