//! Claims about services that do not recover: both triggers with both loops are found in time, and what recovers, fails for another
//! reason or only has a busy day is not.

use super::super::surroundings::Surroundings;
use super::super::tests::plant::Plant;
use super::super::tests::{CPU_65, START_MS, observation, policy};
use super::super::{History, Observation, Reason, plan};
use super::*;
use crate::replay::Trace;

/// A service at six tenths of what four replicas do, whose callers try so often.
fn service(tries: usize) -> Plant {
    Plant::new(4.0, 100.0, tries, 1.0)
}

const RATE: f64 = 240.0;

/// What came of a run: when it was first found and as what, and whether it still is.
struct Found {
    at_s: Option<i64>,
    first: Option<Metastable>,
    still: bool,
}

/// Lets so many seconds pass; `script` says what becomes of the service in each, and how many requests come.
fn run(mut plant: Plant, seconds: i64, mut script: impl FnMut(i64, &mut Plant) -> f64) -> Found {
    let mut detector = Detector::default();
    let mut found = Found { at_s: None, first: None, still: false };
    for second in 0..seconds {
        let rate = script(second, &mut plant);
        plant.pass(rate);
        let now_ms = START_MS + second * 1000;
        // As the live loop ticks.
        if second % 2 == 0
            && let Some(traffic) = plant.traffic(now_ms, 10)
        {
            detector.observe(Sample { traffic, ready: plant.replicas as u32, suffers: plant.broken });
        }
        if found.first.is_none() && detector.found().is_some() {
            (found.at_s, found.first) = (Some(second), detector.found().copied());
        }
    }
    found.still = detector.found().is_some();
    found
}

/// The trigger lasts from `BEGIN` to `END`.
const BEGIN: i64 = 300;
const END: i64 = 360;

fn spike(second: i64, times: f64) -> f64 {
    if (BEGIN..END).contains(&second) { RATE * times } else { RATE }
}

fn lose(second: i64, plant: &mut Plant) {
    plant.replicas = if (BEGIN..END).contains(&second) { 1.0 } else { 4.0 };
    if second == BEGIN {
        // Those that come later have nothing in their caches.
        plant.warmth *= 0.25;
    }
}

fn retrying() -> Plant {
    service(4)
}

fn caching() -> Plant {
    Plant::new(4.0, 100.0, 1, 5.0)
}

#[test]
fn both_triggers_with_both_loops_are_found_within_a_minute() {
    type Script = fn(i64, &mut Plant) -> f64;
    let by_load: Script = |second, _| spike(second, 3.0);
    let by_loss: Script = |second, plant| {
        lose(second, plant);
        RATE
    };
    for (name, plant, script, trigger, amplifier) in [
        ("load, retries", retrying(), by_load, Trigger::LoadSpike, Amplifier::Retries),
        ("load, slow path", caching(), by_load, Trigger::LoadSpike, Amplifier::SlowPath),
        ("loss, retries", retrying(), by_loss, Trigger::CapacityLoss, Amplifier::Retries),
        ("loss, slow path", caching(), by_loss, Trigger::CapacityLoss, Amplifier::SlowPath),
    ] {
        let found = run(plant, 1_200, script);
        let at_s = found.at_s.unwrap_or_else(|| panic!("{name}: never found"));
        let first = found.first.unwrap();
        assert!((END..=END + 60).contains(&at_s), "{name}: found {} s after the trigger was over", at_s - END);
        assert_eq!((first.trigger, first.amplifier), (trigger, amplifier), "{name}");
        assert!(found.still, "{name}: it does not end by itself");
    }
}

#[test]
fn it_is_over_when_load_was_shed_for_long_enough() {
    let found = run(retrying(), 1_200, |second, _| if second > 600 { RATE / 5.0 } else { spike(second, 3.0) });
    assert!(found.first.is_some() && !found.still);
    let found = run(service(4), 1_200, |second, _| if second > 600 { 0.0 } else { spike(second, 3.0) });
    assert!(found.first.is_some() && !found.still, "nor where nobody comes any more");
}

#[test]
fn what_recovers_or_has_another_reason_is_not_found() {
    let calm = run(service(1), 1_200, |second, _| spike(second, 3.0));
    assert!(calm.first.is_none(), "without a loop it recovers: {:?}", calm.at_s);
    let longer = run(retrying(), 1_200, |second, _| if second >= BEGIN { RATE * 3.0 } else { RATE });
    assert!(longer.first.is_none(), "the burst of load is not over: {:?}", longer.at_s);
    let fewer = run(retrying(), 1_200, |second, plant| {
        plant.replicas = if second >= BEGIN { 1.0 } else { 4.0 };
        RATE
    });
    assert!(fewer.first.is_none(), "the replicas did not come back: {:?}", fewer.at_s);
    let dead = run(retrying(), 1_200, |second, plant| {
        plant.broken = second >= BEGIN;
        RATE
    });
    assert!(dead.first.is_none(), "a dependency is dead, and stays so: {:?}", dead.at_s);
}

#[test]
fn a_storm_that_outlives_the_dependency_that_began_it_is_found() {
    let found = run(retrying(), 1_200, |second, plant| {
        plant.broken = (BEGIN..END).contains(&second);
        RATE
    });
    assert_eq!(found.first.map(|first| first.trigger), Some(Trigger::DependencyFault));
    assert!(found.at_s.is_some_and(|at_s| (END..=END + 60).contains(&at_s)) && found.still, "{:?}", found.at_s);
}

/// A thousandth either way, and no random numbers that a test would need a crate for.
fn noise(second: i64) -> f64 {
    let mixed = (second as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 40) as f64 / f64::from(1u32 << 24) - 0.5
}

#[test]
fn on_clean_traces_nothing_is_found() {
    for name in ["constant", "diurnal", "noisy", "step3x", "flash-sale"] {
        let trace = Trace::profile(name).unwrap().with_peak(RATE * 3.0);
        // At most two hours of it, at its own pace; replicas follow 20 s behind, and callers try twice.
        let seconds = (trace.seconds() as i64).min(7_200);
        let found = run(service(2), seconds, |second, plant| {
            let behind = trace.rate_at((second - 20).max(0) as f64);
            plant.replicas = (behind / 40.0).ceil().max(1.0);
            trace.rate_at(second as f64) * (1.0 + 0.1 * noise(second))
        });
        assert!(found.first.is_none(), "{name}: found at {:?}: {:?}", found.at_s, found.first);
    }
}

#[test]
fn nothing_is_taken_from_who_does_not_recover_and_the_sentence_says_why() {
    let (policy, mut plant) = (policy(CPU_65), retrying());
    let mut history = History::begin(START_MS, 4);
    for second in 0..480 {
        plant.pass(spike(second, 3.0));
        let now_ms = START_MS + second * 1000;
        let mut observed = observation(now_ms, &[65; 4]);
        observed.around.traffic = plant.traffic(now_ms, 10);
        history.learn(&policy, &observed);
    }
    // What fails costs little: by its CPU alone half of the replicas would go.
    let now_ms = START_MS + 480_000;
    let mut observed = observation(now_ms, &[20; 4]);
    observed.around.traffic = plant.traffic(now_ms, 10);
    history.recommendations.clear();
    let held = plan(&policy, &observed, &history);
    assert_eq!((held.wish, held.reason), (4, Reason::MetastableForbidsDown), "{}", held.message);
    assert!(
        held.message.starts_with(
            "order stays at 4: 2 would be enough, but it has not recovered from a burst of load that was over "
        ) && held.message.contains(
            " s ago: 0% of 240 requests/s go well, of which it carried 240, and retries keep it down; load has to drop"
        ),
        "{}",
        held.message
    );
    assert!(matches!(
        held.guards.iter().find(|guard| guard.guard == "metastable").and_then(|guard| guard.facts.as_ref()),
        Some(GuardFacts::Metastable { since_ms, .. }) if *since_ms >= START_MS + END * 1000
    ));
    let blind = Observation { around: Surroundings::default(), ..observed.clone() };
    assert_eq!(plan(&policy, &blind, &history).wish, 2, "what is not known any more holds nothing");
    observed.readings = observation(now_ms, &[130; 4]).readings;
    assert_eq!(plan(&policy, &observed, &history).reason, Reason::RetriesNotDemand);
}
