//! Claims about whose trouble it is, in the plan and alone.

use protocol::scaling::GuardFacts;

use super::super::surroundings::Surroundings;
use super::super::tests::{START_MS, observation, policy};
use super::super::{History, Observation, Outcome, Plan, Reading, Reason, plan, unsigned};
use super::*;
use crate::policy::Policy;

const IN_FLIGHT: &str =
    "  replicas: {min: 1, max: 12}\n  signals: [{query: {name: in flight, promql: x, perReplica: 10}}]\n";

fn suffering(at_ms: i64) -> Suffering {
    let (culprit, fault) = ("payment".to_owned(), FaultKind::Slow);
    Suffering { culprit, fault, score: 0.9, since_ms: at_ms - 20_000, at_ms }
}

/// So many requests a second, of which some had been sent before, counted until 5 s ago.
fn traffic(now_ms: i64, attempts: f64, retried: f64) -> Traffic {
    Traffic {
        at_ms: now_ms - 5_000,
        window_seconds: 10.0,
        attempts,
        retried,
        failed_share: 0.0,
        seconds: Some(0.05),
        own_seconds: Some(0.01),
        has_callers: true,
    }
}

/// Replicas and how many requests they have under way together.
fn observed(now_ms: i64, replicas: usize, in_flight: i64, around: Surroundings) -> Observation {
    let reading = Reading::Total { millis: in_flight * 1000, at_ms: Some(now_ms) };
    Observation { readings: vec![reading], around, ..observation(now_ms, &vec![0; replicas]) }
}

fn around(suffering: Option<Suffering>, traffic: Option<Traffic>) -> Surroundings {
    Surroundings { suffering, traffic, ..Surroundings::default() }
}

/// Three minutes at two replicas, 20 in flight and so many requests a second.
fn before(policy: &Policy, rate: f64) -> History {
    let mut history = History::begin(START_MS - 180_000, 2);
    for n in 0..90 {
        let now_ms = START_MS - 180_000 + n * 2_000;
        let seen = observed(now_ms, 2, 20, around(None, Some(traffic(now_ms, rate, 0.0))));
        history.learn(policy, &seen);
        let plan = plan(policy, &seen, &history);
        history.planned(policy, &seen, &plan);
    }
    history
}

fn next(policy: &Policy, history: &mut History, observed: &Observation) -> Plan {
    history.learn(policy, observed);
    let plan = plan(policy, observed, history);
    history.planned(policy, observed, &plan);
    plan
}

fn facts<'p>(plan: &'p Plan, guard: &str) -> Option<&'p GuardFacts> {
    plan.guards.iter().find(|record| record.guard == guard)?.facts.as_ref()
}

#[test]
fn a_victim_is_held_and_says_whose_fault_it_is() {
    let policy = policy(IN_FLIGHT);
    let mut history = before(&policy, 100.0);
    let now = around(Some(suffering(START_MS)), Some(traffic(START_MS, 100.0, 0.0)));
    let held = next(&policy, &mut history, &observed(START_MS, 2, 70, now));
    assert_eq!((held.wish, held.outcome, held.reason), (2, Outcome::Hold, Reason::VictimOfCulprit));
    assert_eq!(
        held.message,
        "order stays at 2: 7 are wished, but it suffers from payment, which is slow since 20 s, and more replicas would not help"
    );
    let Some(GuardFacts::Culprit { culprit, trusted: 0, grown: None, .. }) = facts(&held, "culprit") else {
        panic!("{:?}", held.guards)
    };
    assert_eq!(culprit, "payment");
    assert_eq!(held.recommendation, Some(2), "what a culprit has raised raises nothing later");
}

#[test]
fn a_victim_grows_with_requests_that_come_more_often() {
    let policy = policy(IN_FLIGHT);
    let mut history = before(&policy, 100.0);
    let at = |seconds: i64, rate: f64| {
        let now_ms = START_MS + seconds * 1000;
        observed(now_ms, 2, 120, around(Some(suffering(START_MS)), Some(traffic(now_ms, rate, 0.0))))
    };
    assert_eq!(next(&policy, &mut history, &at(0, 100.0)).wish, 2);
    assert_eq!(next(&policy, &mut history, &at(10, 112.0)).wish, 2, "by chance, or within the tolerance");
    let grown = next(&policy, &mut history, &at(40, 210.0));
    // 210 by 100 requests for two replicas are 4.2.
    assert_eq!((grown.wish, grown.reason), (4, Reason::SignalAboveTarget), "{}", grown.message);
    let Some(GuardFacts::Culprit { grown: Some(growth), .. }) = facts(&grown, "culprit") else {
        panic!("{:?}", grown.guards)
    };
    assert_eq!((growth.replicas_before, growth.replicas), (2, 5));
    assert!(grown.message.contains("(12 wished, limited by culprit and scaleUpPolicies)"), "{}", grown.message);
}

#[test]
fn a_verdict_that_is_old_or_missing_holds_nothing() {
    let policy = policy(IN_FLIGHT);
    for (age_ms, wish) in [(59_000, 2), (61_000, 4), (-61_000, 4)] {
        let mut history = before(&policy, 100.0);
        let now = around(Some(suffering(START_MS - age_ms)), None);
        assert_eq!(next(&policy, &mut history, &observed(START_MS, 2, 40, now)).wish, wish, "{age_ms} ms");
    }
    let mut history = before(&policy, 100.0);
    assert_eq!(next(&policy, &mut history, &observed(START_MS, 2, 40, Surroundings::default())).wish, 4);
    let mut history = before(&policy, 100.0);
    let now = around(Some(suffering(START_MS)), None);
    assert_eq!(next(&policy, &mut history, &observed(START_MS, 4, 10, now)).wish, 2, "a victim may have fewer");
}

#[test]
fn schedules_and_sizes_by_own_time_are_not_cut() {
    let both = "  replicas: {min: 1, max: 12}\n  signals:\n    - query: {name: in flight, promql: x, perReplica: 10}\n    \
                - schedule: {cron: '* * * * *', replicas: 3, for: 1h}\n";
    let policy = policy(both);
    let mut history = before(&policy, 100.0);
    let mut now = observed(START_MS, 2, 70, around(Some(suffering(START_MS)), None));
    now.readings.push(Reading::Clock);
    let plan = next(&policy, &mut history, &now);
    assert_eq!(plan.wish, 3, "{}", plan.message);
}

#[test]
fn retries_are_no_demand() {
    let policy = policy(IN_FLIGHT);
    let mut history = before(&policy, 100.0);
    let stormy = |seconds: i64| {
        let now_ms = START_MS + seconds * 1000;
        observed(now_ms, 2, 80, around(None, Some(traffic(now_ms, 400.0, 300.0))))
    };
    (0..5).for_each(|n| {
        next(&policy, &mut history, &stormy(n * 2));
    });
    let held = next(&policy, &mut history, &stormy(10));
    assert_eq!((held.wish, held.reason), (2, Reason::RetriesNotDemand));
    assert_eq!(
        held.message,
        "order stays at 2: 8 are wished, but 300 of 400 requests/s were sent before, which is no demand"
    );
    let Some(GuardFacts::Retries { least: 8, most: Some(2), .. }) = facts(&held, "retries") else {
        panic!("{:?}", held.guards)
    };
    let mild = around(None, Some(traffic(START_MS, 400.0, 30.0)));
    let mut history = History::begin(START_MS, 3);
    assert_eq!(next(&policy, &mut history, &observed(START_MS, 3, 40, mild)).wish, 4, "a few retries are always there");
}

#[test]
fn more_than_one_more_waits_until_the_graph_has_seen_the_requests() {
    let policy = policy(IN_FLIGHT);
    let history = before(&policy, 100.0);
    let steer = |rate: f64| {
        let (mut history, mut replicas, mut seen) = (history.clone(), 2, Vec::new());
        for n in 0..7 {
            let now_ms = START_MS + n * 2_000;
            let now = observed(now_ms, replicas, 60, around(None, Some(traffic(now_ms, rate, 0.0))));
            let plan = next(&policy, &mut history, &now);
            seen.push((plan.wish, plan.reason));
            replicas = usize::try_from(plan.wish).unwrap();
        }
        seen
    };
    let (up, waits, well) = (Reason::SignalAboveTarget, Reason::LoadUnconfirmed, Reason::WithinTolerance);
    // The graph is 5 s behind; half of its window has to be of this load, or to have more requests.
    assert_eq!(steer(100.0), [(3, up), (3, waits), (3, waits), (3, waits), (3, waits), (6, up), (6, well)]);
    assert_eq!(steer(200.0), [(3, up), (3, waits), (3, waits), (6, up), (6, well), (6, well), (6, well)]);
    // Nobody without a graph waits, nor who is called by no service that would say what it repeats, for CPU.
    let mut history = before(&policy, 100.0);
    assert_eq!(next(&policy, &mut history, &observed(START_MS, 2, 40, around(None, None))).wish, 4);
    let by_cpu =
        self::policy("  replicas: {min: 1, max: 12}\n  signals: [{utilization: {resource: cpu, target: 60%}}]\n");
    for (has_callers, wish) in [(true, 3), (false, 4)] {
        let traffic = Traffic { has_callers, ..traffic(START_MS, 100.0, 0.0) };
        let now = Observation { around: around(None, Some(traffic)), ..observation(START_MS, &[120, 120]) };
        assert_eq!(next(&by_cpu, &mut History::begin(START_MS, 2), &now).wish, wish, "{has_callers}");
    }
}

#[test]
fn who_waits_for_others_is_held_before_anybody_is_named() {
    let policy = policy(IN_FLIGHT);
    let mut history = before(&policy, 100.0);
    let slow = |seconds: i64, took: f64, own: f64, rate: f64| {
        let now_ms = START_MS + seconds * 1000;
        let traffic = Traffic { seconds: Some(took), own_seconds: Some(own), ..traffic(now_ms, rate, 0.0) };
        observed(now_ms, 2, 100, around(None, Some(traffic)))
    };
    (0..5).for_each(|n| {
        next(&policy, &mut history, &slow(n * 2, 0.05, 0.01, 100.0));
    });
    let mut busy = history.clone();
    let held = next(&policy, &mut history, &slow(10, 0.25, 0.012, 100.0));
    assert_eq!((held.wish, held.reason), (2, Reason::WaitsForOthers));
    assert_eq!(
        held.message,
        "order stays at 2: 10 are wished, but its requests take 250 ms instead of 50 and wait for others, which more replicas \
         would not help"
    );
    let own = next(&policy, &mut busy.clone(), &slow(10, 0.25, 0.2, 100.0));
    assert_eq!(own.wish, 4, "its own time is its own: {}", own.message);
    let more = next(&policy, &mut busy, &slow(10, 0.25, 0.012, 160.0));
    assert_eq!(more.wish, 4, "more requests are: {}", more.message);
}

proptest::proptest! {
    #[test]
    fn nothing_is_taken_and_what_is_cut_can_be_worked_out_again(
        replicas in 1usize..10,
        in_flight in 0i64..200,
        (attempts, retried_share) in (0.0f64..500.0, 0.0f64..1.0),
        (suffers, has_graph, ticks) in (proptest::bool::ANY, proptest::bool::ANY, 1i64..12),
    ) {
        let policy = policy(IN_FLIGHT);
        let mut history = before(&policy, 100.0);
        for n in 0..ticks {
            let now_ms = START_MS + n * 2_000;
            let requests = has_graph.then(|| traffic(now_ms, attempts, attempts * retried_share));
            let now = observed(now_ms, replicas, in_flight, around(suffers.then(|| suffering(now_ms)), requests));
            let plan = next(&policy, &mut history, &now);
            let from = unsigned(plan.from);
            for guard in &plan.guards {
                let most = match &guard.facts {
                    Some(GuardFacts::Culprit { trusted, grown, .. } | GuardFacts::Waiting { trusted, grown, .. }) => {
                        from.max(*trusted).max(grown.map_or(0, |grown| grown.replicas))
                    }
                    Some(GuardFacts::Retries { trusted, most: Some(most), .. }) => from.max(*trusted).max(*most),
                    Some(GuardFacts::Retries { most: None, .. }) => u32::MAX,
                    _ => continue,
                };
                proptest::prop_assert_eq!(guard.after, guard.before.min(most), "{:?}", guard);
            }
        }
    }
}
