//! `behavior.jsonl`: single decisions of the limits, and sequences of 40 reconciles by one controller.

use autoscaler::planner::beyond;
use autoscaler::planner::history::{History, Recommendation, ScaleEvent};
use autoscaler::planner::limits::{Limit, Limited, Stabilization, limit};
use autoscaler::planner::replicas::for_share;
use autoscaler::policy::Bounds;
use serde_json::{Value, json};

use super::case::{NOW_MS, ago, int, int32, list, policy_with};
use super::{Verdict, compare};

/// Runs one line.
pub fn run(case: &Value) -> Verdict {
    if case["kind"] == "sequence" { sequence(case) } else { decision(case) }
}

/// The bounds of a case.
pub fn bounds(case: &Value) -> Bounds {
    Bounds { min: int32(&case["min_replicas"]), max: int32(&case["max_replicas"]) }
}

/// Wishes of earlier ticks.
pub fn recommendations(value: &Value) -> Vec<Recommendation> {
    let wish = |r: &Value| Recommendation { at_ms: ago(&r["seconds_ago"]), replicas: int32(&r["replicas"]) };
    list(value).iter().map(wish).collect()
}

fn events(value: &Value) -> Vec<ScaleEvent> {
    list(value).iter().map(|e| ScaleEvent::new(ago(&e["seconds_ago"]), int32(&e["change"]))).collect()
}

/// Kubernetes' reason for its condition AbleToScale.
pub fn able_to_scale(limited: &Limited) -> &'static str {
    match limited.stabilization {
        Stabilization::Passed => "ReadyForNewScale",
        Stabilization::HeldUp => "ScaleUpStabilized",
        Stabilization::HeldDown => "ScaleDownStabilized",
    }
}

/// Kubernetes' reason for its condition ScalingLimited.
pub fn scaling_limited(limited: &Limited) -> &'static str {
    match limited.limit {
        None => "DesiredWithinRange",
        Some(Limit::UpRate) => "ScaleUpLimit",
        Some(Limit::DownRate) => "ScaleDownLimit",
        Some(Limit::Most) => "TooManyReplicas",
        Some(Limit::Fewest) => "TooFewReplicas",
    }
}

fn decision(case: &Value) -> Verdict {
    let policy = policy_with(&case["behavior"])?;
    let history = History {
        recommendations: recommendations(&case["prior_recommendations"]),
        ups: events(&case["scale_up_events"]),
        downs: events(&case["scale_down_events"]),
        ..History::default()
    };
    let (current, wish) = (int32(&case["current_replicas"]), int32(&case["metric_replicas"]));
    let limited = limit(policy.behavior.as_ref(), bounds(case), current, wish, &history, NOW_MS);
    let expect = &case["expect"];
    let mut differences = Vec::new();
    for (what, found) in [
        ("replicas", json!(limited.replicas)),
        ("able_to_scale_reason", json!(able_to_scale(&limited))),
        ("scaling_limited_reason", json!(scaling_limited(&limited))),
        ("scaling_limited", json!(limited.limit.is_some())),
    ] {
        compare(&mut differences, what, &found, &expect[what]);
    }
    Ok(differences)
}

/// What a sequence writes down, step by step.
#[derive(Default)]
struct Trace {
    wishes: Vec<Option<i32>>,
    replicas: Vec<i32>,
    stabilization: String,
    able: String,
    limited: String,
}

fn sequence(case: &Value) -> Verdict {
    let policy = policy_with(&case["behavior"])?;
    let behavior = policy.behavior.as_ref();
    let (bounds, target) = (bounds(case), int(&case["target_average_value_millis"]));
    let mut current = int32(&case["initial_replicas"]);
    let mut now_ms = NOW_MS;
    let mut history = History::begin(now_ms, current);
    let mut trace = Trace::default();
    let mut limited_code = '-';
    for value in list(&case["external_value_millis"]) {
        let back = beyond(bounds, current);
        let (Some(value), None) = (value.as_i64(), back) else {
            if let Some((bound, _)) = back {
                history.changed(now_ms, current, bound, behavior);
                current = bound;
            }
            trace.wishes.push(None);
            trace.replicas.push(current);
            trace.stabilization.push('-');
            trace.able.push(if back.is_some() { 'S' } else { 'G' });
            trace.limited.push(limited_code);
            now_ms += int(&case["step_seconds"]) * 1000;
            continue;
        };
        let wish = for_share(value, target, current, policy.tolerance()).replicas;
        let limited = limit(behavior, bounds, current, wish, &history, now_ms);
        history.remember(now_ms, wish, behavior);
        let stabilization = match limited.stabilization {
            Stabilization::Passed => 'R',
            Stabilization::HeldUp => 'U',
            Stabilization::HeldDown => 'D',
        };
        limited_code = match limited.limit {
            None => 'W',
            Some(Limit::UpRate) => 'u',
            Some(Limit::DownRate) => 'd',
            Some(Limit::Most) => 'M',
            Some(Limit::Fewest) => 'm',
        };
        let rescaled = limited.replicas != current;
        if rescaled {
            history.changed(now_ms, current, limited.replicas, behavior);
            current = limited.replicas;
        }
        trace.wishes.push(Some(wish));
        trace.replicas.push(current);
        trace.stabilization.push(stabilization);
        trace.able.push(if rescaled { 'S' } else { stabilization });
        trace.limited.push(limited_code);
        now_ms += int(&case["step_seconds"]) * 1000;
    }
    let expect = &case["expect"];
    let mut differences = Vec::new();
    compare(&mut differences, "metric_replicas", &json!(trace.wishes), &expect["metric_replicas"]);
    compare(&mut differences, "replicas", &json!(trace.replicas), &expect["replicas"]);
    compare(&mut differences, "stabilization", &json!(trace.stabilization), &expect["stabilization_codes"]);
    compare(&mut differences, "able_to_scale", &json!(trace.able), &expect["able_to_scale_codes"]);
    compare(&mut differences, "scaling_limited", &json!(trace.limited), &expect["scaling_limited_codes"]);
    Ok(differences)
}
