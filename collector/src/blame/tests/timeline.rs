//! Claims about what changed, what breakers say, and what the timeline has of a fault.

use protocol::faults::{BreakerState, TimelineKind};

use super::*;
use crate::blame::changes::What;

/// Seconds after which payment is scaled in, too far ...
const SCALED_IN_S: i64 = WELL_S - 5;
/// ... and in which its caller's breaker is open.
const OPEN_S: std::ops::Range<i64> = WELL_S + 3..WELL_S + 22;
/// When it is mended.
const MENDED_S: i64 = WELL_S + 20;

fn facts(second: i64) -> Vec<Fact> {
    let fact = |service: &str, what| Fact { service: service.into(), what, at_ms: (BEGIN_S + second) * 1_000 };
    let replicas = if (SCALED_IN_S..MENDED_S).contains(&second) { "1" } else { "3" };
    let state = if OPEN_S.contains(&second) { BreakerState::Open } else { BreakerState::Closed };
    vec![
        fact("payment", What::Replicas(replicas.into())),
        fact("search", What::Replicas(second.to_string().into())),
        fact("order", What::Breaker("payment".into(), state)),
    ]
}

/// Every answer of a minute and a half in which payment is out for a while, and the events of its end.
fn course(kind: Kind, culprit: &str) -> (Vec<Faults>, Vec<String>) {
    let mut world = World::new(Case { has_breakers: true, ..case(Topology::shop(), kind, culprit, 9) });
    let mut blame = Blame::new(LAG_MS);
    let mut answers = Vec::new();
    for second in 0..WELL_S + 60 {
        world.is_broken = (WELL_S..MENDED_S).contains(&second);
        let now_ms = (BEGIN_S + second) * 1_000 + LAG_MS + 1_000;
        blame.take(&facts(second), now_ms);
        blame.observe(&world.second(second), now_ms);
        answers.push(blame.judge(now_ms));
    }
    let (events, _) = blame.changes().events();
    let of_search = |event: &&protocol::faults::TimelineEvent| event.service != "search";
    let said = |event: &protocol::faults::TimelineEvent| {
        format!("{} {} {}", event.at_ms / 1_000 - BEGIN_S, event.kind.word(), event.service)
    };
    (answers, events.filter(of_search).map(said).collect())
}

#[test]
fn what_changed_before_a_fault_and_open_breakers_are_evidence_and_all_of_it_is_on_the_timeline() {
    let (answers, events) = course(Kind::Error(1.0), "payment");
    let named = answers.iter().find(|faults| faults.suspects.iter().any(|s| s.service == "payment")).unwrap();
    let suspect = &named.suspects[0];
    let changed = suspect.evidence.iter().find(|evidence| evidence.kind == "changed").unwrap();
    assert!(changed.text.starts_with("replicas 3 -> 1 at 22:13:50, "), "{changed:?}");
    assert!(changed.text.ends_with(" s before"), "{changed:?}");
    assert_eq!(changed.since_ms, Some((BEGIN_S + SCALED_IN_S) * 1_000));
    let during = &answers[(WELL_S + 12) as usize];
    let evidence = &during.suspects[0].evidence;
    let breaker = evidence.iter().find(|evidence| evidence.kind == "breaker_open").unwrap();
    assert_eq!(breaker.text, "the breaker of order to it is open, the first since 22:13:58");
    let order = during.services.iter().find(|service| service.service == "order").unwrap();
    assert_eq!((order.breakers.len(), order.breakers[0].state), (1, BreakerState::Open));
    let of = |kind: TimelineKind| events.iter().filter(move |event| event.contains(kind.word()));
    assert_eq!(of(TimelineKind::Replicas).collect::<Vec<_>>(), ["30 replicas payment", "55 replicas payment"]);
    assert_eq!(of(TimelineKind::Breaker).collect::<Vec<_>>(), ["38 breaker order", "57 breaker order"]);
    assert_eq!(of(TimelineKind::FaultBegan).count(), 1, "{events:?}");
    let [ended] = of(TimelineKind::FaultEnded).collect::<Vec<_>>()[..] else { panic!("{events:?}") };
    assert!(ended.starts_with("5") && ended.ends_with(" fault_ended payment"), "{events:?}");
}

#[test]
fn what_changes_elsewhere_or_all_the_time_is_no_evidence() {
    let (answers, _) = course(Kind::Error(1.0), "user");
    let named = answers.iter().find(|faults| faults.suspects.iter().any(|s| s.service == "user")).unwrap();
    assert!(named.suspects[0].evidence.iter().all(|evidence| evidence.kind != "changed"), "{named:#?}");
}

#[test]
fn who_is_kept_from_a_culprit_by_its_breaker_and_is_well_is_isolated() {
    let mut world = World::new(case(Topology::shop(), Kind::Error(1.0), "payment", 3));
    let mut blame = Blame::new(LAG_MS);
    let mut faults = Faults::default();
    for second in 0..WELL_S + 15 {
        world.is_broken = second >= WELL_S;
        let now_ms = (BEGIN_S + second) * 1_000 + LAG_MS + 1_000;
        let what = What::Breaker("payment".into(), BreakerState::Open);
        blame.take(&[Fact { service: "user".into(), what, at_ms: now_ms }], now_ms);
        blame.observe(&world.second(second), now_ms);
        faults = blame.judge(now_ms);
    }
    let user = faults.services.iter().find(|service| service.service == "user").unwrap();
    assert_eq!((user.role, user.because_of.as_str()), (Role::Isolated, "payment"), "{user:?}");
    assert_eq!(user.why, "its breaker to payment is open, and it serves its callers all the same");
}
