//! Claims about what counts as a change.

use super::*;

/// `seconds: service what ...`, told one look after the other; the events as `seconds kind service: text`.
fn events(looks: &[(i64, Vec<(&str, What)>)]) -> Vec<String> {
    let mut changes = Changes::default();
    for (second, facts) in looks {
        let facts: Vec<Fact> = facts
            .iter()
            .map(|(service, what)| Fact { service: (*service).into(), what: what.clone(), at_ms: second * 1_000 })
            .collect();
        changes.take(&facts, second * 1_000 + 400);
    }
    said(&changes)
}

fn said(changes: &Changes) -> Vec<String> {
    let (events, _) = changes.events();
    events.map(|e| format!("{} {} {}: {}", e.at_ms / 1_000, e.kind.word(), e.service, e.text)).collect()
}

fn replicas(count: &str) -> What {
    What::Replicas(count.into())
}

fn limit(amount: &str) -> What {
    What::Resource("cpu limit".into(), amount.into())
}

fn image(image: &str) -> What {
    What::Image("payment".into(), image.into())
}

fn restarts(pod: &str, count: u64) -> What {
    What::Restarts(pod.into(), count)
}

fn breaker(state: BreakerState) -> What {
    What::Breaker("payment".into(), state)
}

#[test]
fn a_change_is_told_once_with_what_it_was_and_is() {
    let found = events(&[
        (0, vec![("order", replicas("3")), ("order", limit("250m"))]),
        (1, vec![("order", replicas("3")), ("order", limit("250m"))]),
        (2, vec![("order", replicas("1")), ("order", limit("500m"))]),
        (3, vec![("order", replicas("1")), ("order", limit("500m"))]),
    ]);
    assert_eq!(found, ["2 replicas order: replicas 3 -> 1", "2 resources order: cpu limit 250m -> 500m"]);
}

#[test]
fn pods_replaced_one_by_one_are_one_change() {
    let found = events(&[
        (0, vec![("payment", image("p:1")), ("payment", image("p:1"))]),
        (5, vec![("payment", image("p:1")), ("payment", image("p:2"))]),
        (9, vec![("payment", image("p:2")), ("payment", image("p:2"))]),
    ]);
    assert_eq!(found, ["5 version payment: image p:1 -> p:2"]);
}

#[test]
fn who_is_not_told_of_for_a_while_has_not_changed() {
    let told = |second, count| (second, vec![("order", replicas(count))]);
    assert_eq!(events(&[told(0, "3"), (1, vec![]), (2, vec![]), told(60, "3")]), [""; 0]);
    assert_eq!(events(&[told(0, "3"), (1, vec![]), told(60, "4")]), ["60 replicas order: replicas 3 -> 4"]);
    assert_eq!(events(&[told(0, "3"), (901, vec![]), told(902, "4")]), [""; 0], "forgotten");
}

#[test]
fn a_restart_is_a_count_that_grows() {
    let found = events(&[
        (0, vec![("payment", restarts("payment-0", 1)), ("payment", restarts("payment-1", 0))]),
        (1, vec![("payment", restarts("payment-0", 2)), ("payment", restarts("payment-1", 0))]),
        (2, vec![("payment", restarts("payment-0", 0)), ("payment", restarts("payment-2", 5))]),
    ]);
    assert_eq!(found, ["1 restart payment: payment-0 was started again, restarts 1 -> 2"]);
}

#[test]
fn of_several_replicas_breakers_the_one_furthest_from_closed_counts() {
    use BreakerState::{Closed, HalfOpen, Open};
    let told = |second, states: [BreakerState; 2]| (second, states.map(|state| ("order", breaker(state))).to_vec());
    let looks = [
        told(0, [Closed, Closed]),
        told(1, [Closed, Open]),
        told(2, [Open, Open]),
        told(7, [HalfOpen, Closed]),
        told(8, [Closed, Closed]),
    ];
    let found = events(&looks);
    let expected = [
        "1 breaker order: breaker to payment opened",
        "7 breaker order: breaker to payment lets a call through to try",
        "8 breaker order: breaker to payment closed",
    ];
    assert_eq!(found, expected);
    let mut changes = Changes::default();
    let fact = |state| Fact { service: "order".into(), what: breaker(state), at_ms: 5_000 };
    changes.take(&[fact(Open), fact(Closed)], 6_000);
    let open = Breaker { peer: "payment".to_owned(), state: Open, since_ms: 5_000 };
    assert_eq!(changes.breakers("order"), std::slice::from_ref(&open));
    assert_eq!(changes.kept_from("payment"), [("order", open)]);
    assert_eq!(changes.breakers("gateway"), []);
}

#[test]
fn a_version_is_new_when_its_first_work_is_seen_and_again_when_it_is_brought_back() {
    let mut changes = Changes::default();
    let (service, old, new): (Text, Text, Text) = ("payment".into(), "1.0".into(), "1.1".into());
    let course = [(0, &old), (10, &new), (11, &old), (12, &new), (30, &new), (60, &new), (90, &new), (100, &old)];
    for (second, version) in course {
        changes.see_version(&service, version, second * 1_000, second * 1_000 + 300);
    }
    assert_eq!(said(&changes), ["10 version payment: version 1.0 -> 1.1", "100 version payment: version 1.1 -> 1.0"]);
}

#[test]
fn the_timeline_is_in_order_bounded_and_an_hour_long() {
    let mut changes = Changes::default();
    let event = |second: i64| TimelineEvent {
        at_ms: second * 1_000,
        kind: TimelineKind::FaultBegan,
        service: "payment".to_owned(),
        text: String::new(),
        from: None,
        to: None,
    };
    for second in [5, 3, 4, 9] {
        changes.push(event(second), 9_000);
    }
    let seconds = |changes: &Changes| changes.events().0.map(|e| e.at_ms / 1_000).collect::<Vec<_>>();
    assert_eq!(seconds(&changes), [3, 4, 5, 9]);
    changes.push(event(3_605), 3_605_000);
    assert_eq!(seconds(&changes), [5, 9, 3_605]);
    (0..2_000).for_each(|_| changes.push(event(3_605), 3_605_000));
    assert_eq!((seconds(&changes).len(), changes.dropped()), (EVENTS_MAX, 1_003));
}
