//! A retry storm from a dead dependency, in virtual time: the caller beside Kubernetes' HPA over the very same service.

use super::plant::Plant;
use super::*;
use crate::planner::limits::limit;
use crate::planner::replicas::{Fleet, for_utilization};
use crate::policy::{Resource, ScalingRules};

const POLICY: &str = "  replicas: {min: 1, max: 12}\n  signals: [{utilization: {resource: cpu, target: 65%}}]\n";

/// Of its request of 100 millicores a replica may use up to 500, and each request of the service costs it 1 millicore-second.
const FULL_MILLIS: f64 = 500.0;

/// Requests a second: three replicas at 60 % of what they request.
const RATE: f64 = 180.0;

/// The dependency is dead from this second on.
const DEAD: i64 = 300;

/// How a loop reads and decides.
#[derive(Clone, Copy)]
struct Loop {
    every: i64,
    window: usize,
    /// Kubernetes' HPA instead of ours.
    is_hpa: bool,
    /// When in its interval it ticks.
    phase: i64,
}

/// Goes through it, and says how many replicas there were at most, before and after.
fn most(steering: Loop, rate: impl Fn(i64) -> f64, tries: usize, dead: i64) -> (i32, i32) {
    let policy = policy(POLICY);
    let mut plant = Plant::new(3.0, FULL_MILLIS, tries, 1.0);
    let mut history = History::begin(START_MS, 3);
    let (mut used, mut most_before, mut most_after) = (Vec::new(), 0, 0);
    for second in 0..900 {
        plant.broken = second >= dead;
        used.push(plant.pass(rate(second)));
        let replicas = plant.replicas as i32;
        let most = if second < DEAD { &mut most_before } else { &mut most_after };
        *most = replicas.max(*most);
        if (second - steering.phase) % steering.every != 0 || used.len() < steering.window {
            continue;
        }
        let now_ms = START_MS + second * 1000;
        let recent = &used[used.len() - steering.window..];
        let each = recent.iter().sum::<f64>() / steering.window as f64 / plant.replicas;
        let mut observed = observation(now_ms, &vec![each as i64; plant.replicas as usize]);
        let to = if steering.is_hpa {
            hpa(&policy, &observed, &mut history)
        } else {
            observed.around.traffic = plant.traffic(now_ms, steering.window);
            history.learn(&policy, &observed);
            let plan = plan(&policy, &observed, &history);
            history.planned(&policy, &observed, &plan);
            plan.write.unwrap_or(plan.from)
        };
        history.changed(now_ms, observed.desired, to, policy.behavior.as_ref());
        plant.replicas = f64::from(to);
    }
    (most_before, most_after)
}

/// HPA v2 with its defaults, by the functions that are held against Kubernetes' own.
fn hpa(policy: &Policy, observed: &Observation, history: &mut History) -> i32 {
    let behavior = crate::policy::Behavior { up: ScalingRules::up_default(), down: ScalingRules::down_default() };
    let Reading::Pods(samples) = &observed.readings[0] else { panic!("no CPU") };
    let Observation { now_ms, desired, pods, startup, .. } = observed;
    let fleet = Fleet { pods, samples, now_ms: *now_ms, startup: *startup };
    let wish = for_utilization(fleet, Resource::Cpu, None, 65, *desired, policy.tolerance()).unwrap().replicas;
    let to = limit(Some(&behavior), policy.bounds, *desired, wish, history, *now_ms).replicas;
    history.remember(*now_ms, wish, Some(&behavior));
    history.changed(*now_ms, *desired, to, Some(&behavior));
    to
}

#[test]
fn a_retry_storm_from_a_dead_dependency_adds_one_replica_at_most_and_hpa_goes_to_its_maximum() {
    let steady = |_| RATE;
    for phase in 0..15 {
        for (every, window) in [(2, 10), (5, 15), (15, 30)] {
            let ours = Loop { every, window, is_hpa: false, phase: phase % every };
            let (before, after) = most(ours, steady, 5, DEAD);
            assert_eq!(before, 3, "every {every} s");
            assert!(after <= before + 1, "every {every} s from second {phase}: {before} -> {after}");
        }
        let hpa = Loop { every: 15, window: 15, is_hpa: true, phase };
        assert_eq!(most(hpa, steady, 5, DEAD), (3, 12), "from second {phase}");
    }
}

#[test]
fn new_requests_are_demand_and_scaled_for_within_seconds() {
    let steps = |second: i64| if second >= DEAD { RATE * 3.0 } else { RATE };
    for (every, window, patience) in [(2, 10, 16), (15, 30, 60)] {
        let ours = Loop { every, window, is_hpa: false, phase: 0 };
        let (before, after) = most(ours, steps, 1, i64::MAX);
        // 540 millicores at 65 each are 8.3 replicas, and eight are within the tolerance.
        assert!(before == 3 && (8..=9).contains(&after), "every {every} s: {before} -> {after}");
        let until = |second: i64| if second < DEAD + patience { steps(second) } else { RATE };
        let (_, in_time) = most(ours, until, 1, i64::MAX);
        assert!(in_time >= 8, "every {every} s: {in_time} within {patience} s");
    }
}
