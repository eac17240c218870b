//! Plans by schedules and expressions: what they ask for, what they say, and that neither ever lowers what cannot be known.

use slo::burn::State;

use super::*;

const NIGHT: &str = "  replicas: {min: 1, max: 8}\n  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}\n  signals:\n\
    \x20   - utilization: {resource: cpu, target: 65%}\n\
    \x20   - schedule: {name: the evening, cron: '0 22 * * *', replicas: 4, for: 1h}\n";

/// The 14th of November 2023, 22:13:20 UTC: within the evening.
const WITHIN_MS: i64 = START_MS;
const OUTSIDE_MS: i64 = START_MS + 3_600_000;

fn at(policy: &Policy, now_ms: i64, usage: &[i64]) -> Plan {
    let mut observed = observation(now_ms, usage);
    observed.readings.push(Reading::Clock);
    plan(policy, &observed, &History::default())
}

#[test]
fn a_schedule_asks_within_its_windows_and_for_nothing_outside() {
    let policy = policy(NIGHT);
    let within = at(&policy, WITHIN_MS, &[65, 65]);
    assert_eq!(within.message, "order 2 -> 4: the evening asks for 4 now");
    assert_eq!((within.winner.as_deref(), within.reason), (Some("the evening"), Reason::SignalAboveTarget));
    let record = &within.signals[1];
    assert_eq!((record.value, record.target, record.wish, record.age_seconds), (Some(4.0), 4.0, Some(4), None));

    let there = at(&policy, WITHIN_MS, &[10, 10, 10, 10]);
    assert_eq!((there.wish, there.message.as_str()), (4, "order stays at 4: the evening asks for 4 now"));
    let busy = at(&policy, WITHIN_MS, &[90, 90, 90, 90]);
    assert_eq!(busy.wish, 6, "the largest wish wins: {}", busy.message);

    let after = at(&policy, OUTSIDE_MS, &[10, 10, 10, 10]);
    assert_eq!((after.wish, after.signals[1].note.as_str()), (1, "outside its windows"), "{}", after.message);
}

#[test]
fn a_schedule_alone_goes_back_to_the_fewest() {
    let policy = policy(
        "  replicas: {min: 2, max: 8}\n  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}\n\
         \x20 signals: [{schedule: {name: the evening, cron: '0 22 * * *', replicas: 4, for: 1h}}]\n",
    );
    let alone = |now_ms: i64, replicas: usize| {
        let observed = Observation { readings: vec![Reading::Clock], ..observation(now_ms, &vec![0; replicas]) };
        plan(&policy, &observed, &History::default())
    };
    assert_eq!(alone(WITHIN_MS, 2).wish, 4);
    let back = alone(OUTSIDE_MS, 4);
    assert_eq!(back.message, "order 4 -> 2: the evening asks for nothing now (0 wished, limited by bounds)");
    let fewest = alone(OUTSIDE_MS, 2);
    assert_eq!(fewest.message, "order stays at 2: the evening asks for nothing now, but 2 are the fewest allowed");
}

#[test]
fn a_blackout_beside_a_schedule_is_one_all_the_same() {
    let policy = policy(&format!("{NIGHT}  fallback: {{afterMissing: 3m, replicas: 6}}\n"));
    let blind = |now_ms: i64, replicas: usize, blind_s: i64| {
        let mut observed = observation(now_ms, &vec![0; replicas]);
        observed.readings = vec![Reading::Missing(Gap::Empty), Reading::Clock];
        plan(&policy, &observed, &History { blind_since_ms: Some(now_ms - blind_s * 1000), ..History::default() })
    };
    // The window's wish goes up, is no end of the blackout, and the fallback comes on top.
    let up = blind(WITHIN_MS, 2, 10);
    assert_eq!((up.wish, up.blind), (4, true), "{}", up.message);
    let fallback = blind(WITHIN_MS, 4, 200);
    assert_eq!((fallback.wish, fallback.reason), (6, Reason::FallbackReplicas), "{}", fallback.message);
    let held = blind(OUTSIDE_MS, 5, 10);
    assert_eq!((held.wish, held.reason, held.blind), (5, Reason::MetricMissing, true), "{}", held.message);
}

const FORMULA: &str = "  replicas: {min: 1, max: 9}\n  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}\n  signals:\n\
    \x20   - expression:\n        name: orders\n        formula: max(waiting, arriving * 2) ?? 100\n        perReplica: 10\n\
    \x20       queries: [{name: waiting, promql: w}, {name: arriving, promql: a}]\n";

fn total(value: i64, at_ms: i64) -> Reading {
    Reading::Total { millis: value * 1000, at_ms: Some(at_ms) }
}

fn computed(formula: &str, replicas: usize, inputs: Vec<Reading>) -> Plan {
    let policy = policy(&FORMULA.replace("max(waiting, arriving * 2) ?? 100", formula));
    let observed = Observation { readings: vec![Reading::Inputs(inputs)], ..observation(START_MS, &vec![0; replicas]) };
    plan(&policy, &observed, &History::default())
}

#[test]
fn an_expression_aims_as_a_query_does() {
    let formula = "max(waiting, arriving * 2) ?? 100";
    let plan = computed(formula, 2, vec![total(33, START_MS - 5_000), total(20, START_MS - 9_000)]);
    assert_eq!(plan.message, "order 2 -> 4: orders 20 per replica is above 10");
    assert_eq!((plan.signals[0].wish, plan.signals[0].age_seconds), (Some(4), Some(9.0)));
    assert_eq!(computed(formula, 4, vec![total(5, START_MS), total(7, START_MS)]).wish, 2);
}

#[test]
fn missing_data_of_an_expression_may_raise_and_never_lowers() {
    let missing = || Reading::Missing(Gap::Empty);
    let stale = || total(1, START_MS - 121_000);
    let made_up = "max(waiting, arriving * 2) ?? 30";
    for inputs in [vec![missing(), total(1, START_MS)], vec![total(1, START_MS), stale()], vec![missing(), missing()]] {
        let up = computed(made_up, 2, inputs.clone());
        assert_eq!(up.wish, 3, "{}", up.message);
        let down = computed(made_up, 5, inputs);
        assert_eq!((down.wish, down.reason), (5, Reason::MetricMissingForbidsDown), "{}", down.message);
    }
    let says = computed(made_up, 5, vec![missing(), missing()]);
    assert_eq!(
        says.message,
        "order stays at 5: 3 would be enough, but orders has no data for a part of its formula, and makes it up"
    );
    // Data of another query is data.
    let other = computed("waiting ?? arriving", 5, vec![missing(), total(10, START_MS)]);
    assert_eq!(other.wish, 1, "{}", other.message);
    let none = computed("waiting + arriving", 5, vec![total(1, START_MS), missing()]);
    assert_eq!((none.wish, none.blind, none.reason), (5, true, Reason::MetricMissing));
    assert_eq!(none.message, "order held at 5: arriving has no data: the query gave no result");
    let aged = computed("waiting + arriving", 5, vec![total(1, START_MS), stale()]);
    assert_eq!((aged.wish, aged.reason), (5, Reason::MetricStale));
}

#[test]
fn what_is_no_amount_is_no_data() {
    let now = |value: i64| total(value, START_MS);
    for (formula, because) in [
        ("waiting - arriving", "the query gave -5, which is no amount"),
        ("waiting / (arriving - 10)", "the formula gives no number: it divides by zero or grows beyond all bounds"),
        ("waiting * arriving * 1e15", "the query gave 50000000000000000, which is no amount"),
    ] {
        let plan = computed(formula, 3, vec![now(5), now(10)]);
        assert_eq!(plan.message, format!("order held at 3: {because}"));
        assert!(plan.blind && plan.write.is_none());
    }
}

/// Four replicas at 51 of 65 percent are 3.1: with a healthy budget three do, were it the load alone that asks.
#[test]
fn a_budget_packs_neither_what_a_schedule_asks_for_nor_what_is_made_up() {
    let healthy = || {
        let (objective, over) = ("availability".to_owned(), Duration::from_secs(3600));
        Some(ErrorBudget { state: State::Ok, objective, rate: 0.1, over, left: Some(0.97), packing: true })
    };
    let night = policy(NIGHT);
    let packed = |now_ms: i64| {
        let mut observed = Observation { budget: healthy(), ..observation(now_ms, &[51, 51, 50, 50]) };
        observed.readings.push(Reading::Clock);
        plan(&night, &observed, &History::default()).wish
    };
    assert_eq!((packed(WITHIN_MS), packed(OUTSIDE_MS)), (4, 3));
    let orders = policy(&FORMULA.replace("max(waiting, arriving * 2) ?? 100", "max(waiting, arriving * 2) ?? 72"));
    let computed = |inputs: Vec<Reading>| {
        let readings = vec![Reading::Inputs(inputs)];
        let observed = Observation { readings, budget: healthy(), ..observation(START_MS, &[0; 8]) };
        plan(&orders, &observed, &History::default()).wish
    };
    assert_eq!(computed(vec![total(72, START_MS), total(1, START_MS)]), 7);
    assert_eq!(computed(vec![Reading::Missing(Gap::Empty), total(1, START_MS)]), 8);
}
