//! What must hold whatever is seen.

use proptest::prelude::*;

use super::*;
use crate::planner::ErrorBudget;

const BOTH: &str = "cpu: {min: 50m, max: 1}, memory: {min: 64Mi, max: 512Mi}";

/// A bench that has seen two days, with a wish below what there is.
fn idle() -> Bench {
    let mut bench = Bench::new(BOTH, (0.8, 480.0), Some(1.0));
    for _ in 0..2 * 24 * 12 {
        bench.uses(0.1, 100.0);
        bench.plan();
        bench.now_ms += 5 * MINUTE_MS;
    }
    bench
}

fn held(bench: &mut Bench) -> String {
    bench.uses(0.1, 100.0);
    let plan = bench.plan();
    assert_eq!(plan.write, None, "{:?}", plan.records);
    assert!(plan.records.iter().all(|record| record.wish == record.from));
    plan.records[0].message.clone()
}

#[test]
fn every_guard_that_forbids_a_cut_says_so() {
    let mut bench = idle();
    bench.uses(0.1, 100.0);
    assert!(bench.plan().write.is_some(), "without a reason it is cut");

    bench.gap = Some(Gap::Unread(1));
    let would = "cpu of order stays at 800m: 105m would do (the mean of what was used and three standard deviations, the cheapest \
                 of 5 models)";
    assert_eq!(held(&mut bench), format!("{would}, but 1 ready replica has no fresh reading"));
    bench.gap = None;
    bench.container.resizing = Resizing::UnderWay("no room".to_owned());
    assert_eq!(held(&mut bench), format!("{would}, but the last change is not done yet: no room"));
    bench.container.resizing = Resizing::Done;

    let fast = ErrorBudget {
        state: slo::burn::State::FastBurn,
        objective: "availability".to_owned(),
        rate: 20.0,
        over: std::time::Duration::from_secs(3600),
        left: Some(0.1),
        packing: false,
    };
    let burning = Observation { budget: Some(fast), ..bench.observed() };
    let plan = plan(&bench.policy, &burning, &bench.history, Outcome::Hold).remove(0);
    assert_eq!(plan.write, None);
    assert_eq!(plan.records[0].message, format!("{would}, but its availability burns fast"));
    let moving = super::plan(&bench.policy, &bench.observed(), &bench.history, Outcome::ScaleUp).remove(0);
    assert_eq!(moving.write, None);
    assert_eq!(moving.records[0].message, format!("{would}, but the number of replicas changes first"));

    let mut young = Bench::new(BOTH, (0.8, 480.0), None);
    for _ in 0..24 {
        young.uses(0.1, 100.0);
        young.plan();
        young.now_ms += 5 * MINUTE_MS;
    }
    assert!(held(&mut young).ends_with("but of the last day 2 h are known"), "{:?}", young.records);
}

#[test]
fn nothing_is_written_against_mode_pause_or_apply() {
    for (spec, paused, why) in [
        ("mode: Recommend", false, "mode is Recommend"),
        ("mode: ScaleUpOnly", false, "mode is ScaleUpOnly"),
        ("mode: Auto", true, "paused"),
    ] {
        let mut bench = idle();
        bench.policy = policy(&format!("  {spec}\n  replicas: {{max: 8}}\n  resources: {{{BOTH}}}\n"));
        let observed = Observation { paused, ..bench.observed() };
        let plan = plan(&bench.policy, &observed, &bench.history, Outcome::Hold).remove(0);
        assert_eq!(plan.write, None, "{spec}");
        assert!(plan.records[0].message.ends_with(&format!("(not carried out: {why})")), "{}", plan.records[0].message);
        assert!(plan.records[0].wish < plan.records[0].from, "what would be done is said");
    }
    let mut bench = idle();
    bench.policy = policy(&format!("  replicas: {{max: 8}}\n  resources: {{{BOTH}, apply: Recommend}}\n"));
    let plan = bench.plan();
    assert_eq!(plan.write, None);
    assert!(plan.records[0].message.ends_with("(not carried out: apply is Recommend)"), "{}", plan.records[0].message);
}

#[test]
fn who_requests_less_than_the_least_is_given_that() {
    let mut bench = Bench::new("cpu: {min: 150m, max: 1}", (0.1, 64.0), Some(2.5));
    bench.uses(0.01, 20.0);
    let plan = bench.plan();
    let said = "cpu of order 100m -> 150m: not known yet what it uses; 150m are the least allowed";
    assert_eq!(plan.records[0].message, said);
    assert_eq!(plan.write.map(|amounts| amounts.cpu), Some(Amounts { request: Some(150), limit: Some(375) }));
}

#[test]
fn who_requests_nothing_and_who_is_not_meant_is_left_alone() {
    let mut bench = Bench::new(BOTH, (0.8, 300.0), None);
    bench.container.cpu = Amounts::default();
    bench.uses(0.9, 600.0);
    let plan = bench.plan();
    let said = "cpu of order is left alone: it requests none; write a request in its manifest";
    assert_eq!((plan.records[0].message.as_str(), plan.records[0].wish), (said, None));
    assert_eq!(plan.write.map(|amounts| amounts.cpu), Some(Amounts::default()), "memory alone is written");

    let mut bench = Bench::new(&format!("{BOTH}, container: other"), (0.8, 480.0), None);
    bench.uses(0.9, 600.0);
    let observed = bench.observed();
    assert_eq!(super::plan(&bench.policy, &observed, &bench.history, Outcome::Hold), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_record_says_from_what_its_wish_follows_and_keeps_the_bounds(
        request in (0.05f64..1.0, 64.0f64..512.0),
        steps in proptest::collection::vec((0.0f64..2.0, 0.0f64..900.0, 0.0f64..1.0, 0u64..3, any::<bool>()), 1..120),
        minutes in 1i64..90,
    ) {
        let mut bench = Bench::new(BOTH, request, Some(1.2));
        let mut kills = 0;
        for (cpu, memory, share, killed, is_silent) in steps {
            bench.uses(cpu, memory);
            kills += killed / 2;
            let replica = bench.replica();
            (replica.throttled, replica.memory_pressure, replica.kills) = (Some(share), Some(share / 4.0), Some(kills));
            if is_silent {
                (replica.cpu, replica.throttled) = (None, None);
            }
            bench.gap = is_silent.then_some(Gap::Unread(1));
            let before = bench.container.clone();
            let observed = bench.observed();
            bench.tick(minutes * MINUTE_MS);
            prop_assert_eq!(
                plan(&bench.policy, &observed, &bench.history, Outcome::Hold),
                plan(&bench.policy, &observed, &bench.history, Outcome::Hold),
                "the same gives the same"
            );
            for (record, least, most) in [("cpu", 0.05, 1.0), ("memory", 64.0 * MIB, 512.0 * MIB)] {
                let record = bench.record(record);
                let (from, wish) = (record.from.unwrap(), record.wish.unwrap());
                prop_assert_eq!(recompute(record), Some(wish), "{:?}", record);
                prop_assert!((least..=most).contains(&wish) || wish == from, "{:?}", record);
                prop_assert!(!is_silent || wish >= from, "{:?}", record);
                prop_assert!(wish >= from * CUT_MOST);
            }
            let now = &bench.container;
            for (now, before) in [(now.cpu, before.cpu), (now.memory, before.memory)] {
                prop_assert!(now.limit >= now.request && now.limit.is_some() == before.limit.is_some());
            }
        }
    }
}
