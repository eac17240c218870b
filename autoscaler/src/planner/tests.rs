//! The unit tests of the planner: scenarios as data, the words of records, and what must hold for every input.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::observation::{ContainerRequest, Phase, Pod, PodSample, ReadyCondition, Requests, ResourceRequest, Startup};
use super::surroundings::{Suffering, Surroundings, Traffic};
use super::*;
use crate::policy::{from_documents, load};

mod composite;
mod counterfactual;
mod leaf;
pub(super) mod plant;
mod scenario;
mod sized;
mod storm;

/// Milliseconds since the epoch at which all tests begin.
pub(super) const START_MS: i64 = 1_700_000_000_000;

pub(super) fn policy(spec: &str) -> Policy {
    let text = format!(
        "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {{name: order, namespace: shop}}\n\
         spec:\n  target: {{kind: Deployment, name: order}}\n{spec}"
    );
    from_documents(protocol::yaml::split(Path::new("policy.yaml"), &text)).unwrap()[0].clone()
}

fn pod(index: usize) -> Pod {
    Pod {
        name: format!("order-{index}"),
        phase: Phase::Running,
        terminating: false,
        started_ms: Some(START_MS - 3_600_000),
        ready: Some(ReadyCondition { status: Some(true), changed_ms: START_MS - 3_500_000 }),
        requests: Requests {
            containers: vec![ContainerRequest {
                name: "order".to_owned(),
                request: ResourceRequest { cpu: Some(100), memory: Some(64_000) },
            }],
            pod: None,
        },
    }
}

fn sample(index: usize, millis: i64, at_ms: i64) -> PodSample {
    PodSample { pod: format!("order-{index}"), millis, at_ms, window: Duration::from_secs(10) }
}

/// As many ready pods as values, each using so many of its 100 millicores.
pub(super) fn observation(now_ms: i64, usage: &[i64]) -> Observation {
    Observation {
        now_ms,
        desired: i32::try_from(usage.len()).unwrap(),
        ready: u32::try_from(usage.len()).unwrap(),
        pods: (0..usage.len()).map(pod).collect(),
        readings: vec![Reading::Pods(usage.iter().enumerate().map(|(i, u)| sample(i, *u, now_ms)).collect())],
        startup: Startup::default(),
        paused: false,
        budget: None,
        around: Surroundings::default(),
        containers: None,
    }
}

pub(super) const CPU_65: &str =
    "  replicas: {min: 1, max: 8}\n  signals: [{utilization: {resource: cpu, target: 65%}}]\n";
const WITH_BEHAVIOR: &str = "  behavior: {scaleDown: {stabilizationWindowSeconds: 20}}\n";
const MORE_SIGNALS: &str =
    "    - query: {name: orders a second, promql: 'sum(rate(orders_total[1m]))', perReplica: 50}\n";

fn two_signals() -> Policy {
    policy(&format!(
        "  replicas: {{min: 1, max: 8}}\n  signals:\n    - utilization: {{resource: cpu, target: 65%}}\n{MORE_SIGNALS}"
    ))
}

/// Recomputes the wish from what the record holds; `None` if the record contradicts itself.
fn recompute(plan: &Plan) -> Option<u32> {
    let from = unsigned(plan.from);
    let highest = plan.signals.iter().filter_map(|s| s.wish).max();
    let starts_from_signals = plan.guards.first().is_some_and(|g| g.guard == "freshness");
    let mut value = if starts_from_signals { highest.unwrap_or(from) } else { from };
    for guard in &plan.guards {
        if guard.before != value || (guard.before != guard.after) == guard.note.is_empty() && highest.is_some() {
            return None;
        }
        value = guard.after;
    }
    Some(value)
}

#[test]
fn sentences_say_what_happened_and_why() {
    let plain = policy(CPU_65);
    let history = History::begin(START_MS - 1_000_000, 2);
    let now = START_MS;
    let say = |policy: &Policy, usage: &[i64]| plan(policy, &observation(now, usage), &history).message;
    assert_eq!(say(&plain, &[82, 82, 82]), "order 3 -> 4: cpu utilization 82% is above 65%");
    assert_eq!(say(&plain, &[66, 66]), "order stays at 2: within tolerance (cpu utilization 66% of target 65%)");
    assert_eq!(say(&plain, &[20, 20, 20, 20]), "order 4 -> 2: cpu utilization 20% is below 65%");
    assert_eq!(
        say(&plain, &[300, 300]),
        "order 2 -> 4: cpu utilization 300% is above 65% (10 wished, limited by scaleUpPolicies)"
    );
    assert_eq!(say(&plain, &[90; 8]), "order stays at 8: cpu utilization 90% is above 65%, but 8 are the most allowed");
    assert_eq!(say(&plain, &[5]), "order stays at 1: cpu utilization 5% of target 65% asks for 1");
    assert_eq!(say(&plain, &[50; 9]), "order 9 -> 8: 8 are the most allowed");

    let paused = Observation { paused: true, ..observation(now, &[82, 82, 82]) };
    let plan = super::plan(&plain, &paused, &history);
    assert_eq!(plan.message, "order 3 -> 4: cpu utilization 82% is above 65% (not carried out: paused)");
    assert_eq!((plan.write, plan.wish, plan.outcome), (None, 4, Outcome::ScaleUp));
}

#[test]
fn a_higher_wish_of_late_delays_going_down() {
    let policy = policy(&format!("{CPU_65}{WITH_BEHAVIOR}"));
    let mut history = History::begin(START_MS, 4);
    let plan_at = |seconds: i64, history: &History| {
        plan(&policy, &observation(START_MS + seconds * 1000, &[20, 20, 20, 20]), history)
    };
    let held = plan_at(10, &history);
    assert_eq!((held.wish, held.reason), (4, Reason::ScaleDownStabilized));
    assert_eq!(held.message, "order stays at 4: scale-down to 2 waits, 4 were wished within the last 20 s");
    history.remember(START_MS + 10_000, held.recommendation.unwrap(), policy.behavior.as_ref());
    assert_eq!(plan_at(20, &history).wish, 2, "the window of 20 s is over");
}

#[test]
fn no_metric_at_all_holds_with_the_reason() {
    let policy = two_signals();
    let history = History::begin(START_MS - 1_000_000, 3);
    let gap = Gap::Source("http://127.0.0.1:9090 did not answer: connection refused".to_owned());
    let mut observed = observation(START_MS, &[10, 10, 10]);
    observed.readings = vec![Reading::Missing(gap.clone()), Reading::Missing(gap)];
    let plan = plan(&policy, &observed, &history);
    assert_eq!((plan.wish, plan.write, plan.recommendation, plan.blind), (3, None, None, true));
    assert_eq!(plan.reason, Reason::MetricsUnavailable);
    assert_eq!(
        plan.message,
        "order held at 3: metrics source did not answer: http://127.0.0.1:9090 did not answer: connection refused"
    );
}

#[test]
fn a_lasting_blackout_goes_up_to_the_fallback_and_never_down_to_it() {
    let policy = policy(&format!("{CPU_65}  fallback: {{afterMissing: 3m, replicas: 3}}\n"));
    for (from, blind_seconds, wish) in [(1, 179, 1), (1, 180, 3), (5, 500, 5)] {
        let mut observed = observation(START_MS, &vec![10; from]);
        observed.readings = vec![Reading::Missing(Gap::Empty)];
        let blind_since_ms = Some(START_MS - blind_seconds * 1000);
        let plan = plan(&policy, &observed, &History { blind_since_ms, ..History::default() });
        assert_eq!(plan.wish, wish, "{from} replicas, blind for {blind_seconds} s: {}", plan.message);
    }
}

#[test]
fn a_stale_or_missing_reading_of_a_ready_replica_forbids_going_down() {
    let policy = policy(CPU_65);
    let history = History::begin(START_MS - 1_000_000, 3);
    let all = observation(START_MS, &[10, 10, 10]);
    assert_eq!(plan(&policy, &all, &history).wish, 1);

    let mut missing = all.clone();
    missing.readings = vec![Reading::Pods(vec![sample(0, 10, START_MS), sample(1, 10, START_MS)])];
    let plan_missing = plan(&policy, &missing, &history);
    assert_eq!((plan_missing.wish, plan_missing.reason), (3, Reason::MetricMissingForbidsDown));
    assert_eq!(
        plan_missing.message,
        "order stays at 3: 2 would be enough, but 1 ready replica has no fresh reading of cpu utilization"
    );

    let mut stale = all.clone();
    stale.readings = vec![Reading::Pods((0..3).map(|i| sample(i, 10, START_MS - 120_001)).collect())];
    let plan_stale = plan(&policy, &stale, &history);
    assert_eq!((plan_stale.wish, plan_stale.reason), (3, Reason::MetricStale));
    assert_eq!(plan_stale.message, "order held at 3: the newest sample is 120 s old, older than 120 s");
}

#[test]
fn a_failed_signal_may_raise_and_never_lowers() {
    let policy = two_signals();
    let history = History::begin(START_MS - 1_000_000, 2);
    for (usage, orders, wish) in [
        ([90, 90], Reading::Missing(Gap::Empty), 3),
        ([10, 10], Reading::Missing(Gap::Empty), 2),
        ([10, 10], Reading::Total { millis: 60_000, at_ms: None }, 2),
        ([10, 10], Reading::Total { millis: 60_000, at_ms: Some(START_MS - 121_000) }, 2),
        ([10, 10], Reading::Total { millis: 10_000, at_ms: Some(START_MS) }, 1),
        ([10, 10], Reading::Total { millis: 140_000, at_ms: Some(START_MS) }, 3),
    ] {
        let mut observed = observation(START_MS, &usage);
        observed.readings.push(orders.clone());
        let plan = plan(&policy, &observed, &history);
        assert_eq!(plan.wish, wish, "{usage:?} {orders:?}: {}", plan.message);
    }
}

#[test]
fn a_starting_replica_does_not_count_until_it_has_a_whole_window_behind_it() {
    let policy = policy(CPU_65);
    let history = History::begin(START_MS - 1_000_000, 2);
    let mut observed = observation(START_MS, &[60, 400]);
    observed.pods[1].started_ms = Some(START_MS - 8_000);
    observed.pods[1].ready = Some(ReadyCondition { status: Some(true), changed_ms: START_MS - 7_000 });
    let plan = plan(&policy, &observed, &history);
    assert_eq!((plan.wish, plan.reason), (2, Reason::WithinTolerance), "{}", plan.message);
    assert_eq!(plan.signals[0].note, "1 replica is starting or not ready and left out");
}

#[test]
fn each_direction_can_be_paused_alone() {
    let history = History::begin(START_MS - 1_000_000, 2);
    for (mode, up, down) in [
        ("Auto", Some(4), Some(1)),
        ("Recommend", None, None),
        ("ScaleUpOnly", Some(4), None),
        ("ScaleDownOnly", None, Some(1)),
    ] {
        let policy = policy(&format!("{CPU_65}  mode: {mode}\n"));
        let write = |usage: [i64; 2]| plan(&policy, &observation(START_MS, &usage), &history);
        assert_eq!((write([120, 120]).write, write([10, 10]).write), (up, down), "{mode}");
        assert_eq!(write([120, 120]).wish, 4, "{mode} goes on wishing");
    }
}

#[test]
fn a_workload_set_to_zero_by_hand_is_left_alone() {
    let plan = plan(&policy(CPU_65), &observation(START_MS, &[]), &History::default());
    assert_eq!((plan.wish, plan.write, plan.reason), (0, None, Reason::ScaledToZero));
}

fn any_reading(pods: usize) -> impl Strategy<Value = Reading> {
    let values = proptest::collection::vec((0i64..2000, 0i64..300_000, any::<bool>()), pods);
    prop_oneof![
        4 => values.prop_map(|values| {
            let kept = values.into_iter().enumerate().filter(|(_, (_, _, there))| *there);
            Reading::Pods(kept.map(|(i, (millis, age_ms, _))| sample(i, millis, START_MS - age_ms)).collect())
        }),
        1 => Just(Reading::Missing(Gap::Empty)),
    ]
}

fn any_total() -> impl Strategy<Value = Reading> {
    prop_oneof![
        4 => (0i64..2_000_000, proptest::option::of(0i64..300_000))
            .prop_map(|(millis, age)| Reading::Total { millis, at_ms: age.map(|age| START_MS - age) }),
        1 => Just(Reading::Missing(Gap::Source("down".to_owned()))),
    ]
}

fn any_budget() -> impl Strategy<Value = Option<ErrorBudget>> {
    use slo::burn::State;
    let state = prop_oneof![Just(State::NoData), Just(State::Ok), Just(State::SlowBurn), Just(State::FastBurn)];
    let budget = (state, proptest::option::of(-2.0f64..1.0), any::<bool>()).prop_map(|(state, left, packing)| {
        let (objective, over) = ("availability".to_owned(), Duration::from_secs(3600));
        ErrorBudget { state, objective, rate: 20.0, over, left, packing }
    });
    proptest::option::of(budget)
}

prop_compose! {
    fn any_around()(
        (suffers, knows, has_callers) in any::<(bool, bool, bool)>(),
        (age_ms, attempts, retried) in (0i64..100_000, 0.0f64..500.0, 0.0f64..1.0),
        (seconds, own_seconds) in (0.0f64..2.0, 0.0f64..2.0),
        cone in proptest::option::of((0u32..20, 0u32..20)),
    ) -> Surroundings {
        let at_ms = START_MS - age_ms;
        let (culprit, fault) = ("payment".to_owned(), protocol::faults::FaultKind::Slow);
        let suffering = Suffering { culprit, fault, score: 0.9, since_ms: at_ms - 9_000, at_ms };
        let traffic = Traffic {
            at_ms,
            window_seconds: 10.0,
            attempts,
            retried: attempts * retried,
            failed_share: retried,
            seconds: Some(seconds),
            own_seconds: Some(own_seconds),
            has_callers,
        };
        Surroundings {
            suffering: suffers.then_some(suffering),
            traffic: knows.then_some(traffic),
            cone: cone.map(|(lowered, most)| cone::Share { services: 3, replicas: 20, lowered, most }),
            ..Surroundings::default()
        }
    }
}

prop_compose! {
    fn any_case()(pods in 0usize..12)(
        usage in any_reading(pods),
        total in any_total(),
        phases in proptest::collection::vec((0u8..6, 0i64..400_000), pods),
        desired in 0i32..12,
        past in proptest::collection::vec((0i64..600_000, 0i32..12), 0..8),
        with_behavior in any::<bool>(),
        (budget, around) in (any_budget(), any_around()),
    ) -> (Policy, Observation, History) {
        let mut observed = observation(START_MS, &vec![0; phases.len()]);
        for (pod, (kind, age_ms)) in observed.pods.iter_mut().zip(phases) {
            pod.started_ms = Some(START_MS - age_ms);
            match kind {
                0 => pod.phase = Phase::Pending,
                1 => pod.terminating = true,
                2 => pod.ready = Some(ReadyCondition { status: Some(false), changed_ms: START_MS - age_ms / 2 }),
                _ => pod.ready = Some(ReadyCondition { status: Some(true), changed_ms: START_MS - age_ms / 2 }),
            }
        }
        observed.desired = desired;
        (observed.budget, observed.around) = (budget, around);
        observed.readings = vec![usage, total];
        let recommendations =
            past.into_iter().map(|(age, replicas)| history::Recommendation { at_ms: START_MS - age, replicas }).collect();
        let mut policy = two_signals();
        if with_behavior {
            policy.behavior = self::policy(&format!("{CPU_65}{WITH_BEHAVIOR}")).behavior;
        }
        (policy, observed, History { recommendations, ..History::default() })
    }
}

#[test]
fn a_wish_that_is_met_by_starting_replicas_says_so() {
    let mut observed = observation(START_MS, &[114, 0]);
    observed.pods[1].started_ms = Some(START_MS - 5_000);
    observed.pods[1].ready = Some(ReadyCondition { status: Some(false), changed_ms: START_MS - 5_000 });
    let plan = plan(&policy(CPU_65), &observed, &History::default());
    assert_eq!(
        plan.message,
        "order stays at 2: cpu utilization 114% of target 65%, but 1 replica is starting or not ready and left out, \
         and 2 are there already"
    );
}

proptest! {
    #[test]
    fn every_sentence_is_whole(case in any_case()) {
        let (policy, observed, history) = case;
        let message = plan(&policy, &observed, &history).message;
        let is_cut = message.ends_with(' ') || message.ends_with(':') || message.contains("  ") || message.contains("but ,");
        prop_assert!(!is_cut, "{message:?}");
    }

    #[test]
    fn the_wish_can_be_recomputed_from_the_record(case in any_case()) {
        let (policy, observed, history) = case;
        let plan = plan(&policy, &observed, &history);
        prop_assert_eq!(recompute(&plan), Some(unsigned(plan.wish)), "{:?}", plan);
    }

    #[test]
    fn the_wish_stays_in_bounds(case in any_case()) {
        let (policy, observed, history) = case;
        let plan = plan(&policy, &observed, &history);
        let bounds = policy.bounds;
        prop_assert!(observed.desired == 0 || (bounds.min..=bounds.max).contains(&plan.wish), "{}", plan.message);
        prop_assert!(plan.write.is_none_or(|write| write == plan.wish && write != plan.from));
    }

    #[test]
    fn the_same_input_gives_the_same_plan(case in any_case()) {
        let (policy, observed, history) = case;
        prop_assert_eq!(plan(&policy, &observed, &history), plan(&policy, &observed, &history));
    }

    #[test]
    fn a_missing_reading_never_lowers(case in any_case(), which in 0usize..3) {
        let (policy, mut observed, history) = case;
        prop_assume!(observed.desired <= policy.bounds.max);
        match which {
            0 | 1 => observed.readings[which] = Reading::Missing(Gap::Empty),
            // One replica that serves loses its reading.
            _ => {
                let serving = observed.pods.iter().find(|p| p.receives_traffic() && !p.terminating);
                let Some(name) = serving.map(|p| p.name.clone()) else { return Ok(()) };
                if let Reading::Pods(samples) = &mut observed.readings[0] {
                    samples.retain(|s| s.pod != name);
                }
            }
        }
        let plan = plan(&policy, &observed, &history);
        prop_assert!(plan.wish >= plan.from, "{}", plan.message);
    }
}

#[test]
fn the_scenarios_go_as_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let wrong: Vec<String> = files.iter().flat_map(|file| scenario::run(file)).collect();
    assert!(files.len() >= 4 && wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(load(&[]).unwrap().is_empty());
}
