//! What would have changed a decision: the very next reading does, and the one before does not.

use protocol::scaling::{DecisionRecord, Explanation, ObjectName};

use super::*;
use crate::planner::counterfactual::explain;

const BOTH: &str = "  replicas: {min: 1, max: 8}\n  signals:\n    - utilization: {resource: cpu, container: order, target: 65%}\n\
    \x20   - query: {name: orders, promql: x, perReplica: 50}\n\
    \x20   - expression: {name: work, formula: a, target: 10, queries: [{name: a, promql: x}]}\n\
    \x20   - schedule: {name: the evening, cron: '0 22 * * *', replicas: 6, for: 1h}\n";

fn record(policy: &Policy, replicas: usize, now_ms: i64) -> DecisionRecord {
    let mut observed = observation(now_ms, &vec![65; replicas]);
    observed.readings.push(Reading::Total { millis: 50_000 * i64::try_from(replicas).unwrap(), at_ms: Some(now_ms) });
    observed.readings.push(Reading::Inputs(vec![Reading::Total { millis: 10_000, at_ms: Some(now_ms) }]));
    observed.readings.push(Reading::Clock);
    let plan = plan(policy, &observed, &History::default());
    let name = ObjectName { namespace: "shop".to_owned(), name: "order".to_owned() };
    DecisionRecord {
        sequence: 1,
        at_ms: now_ms,
        policy: name.clone(),
        kind: "Deployment".to_owned(),
        workload: name,
        mode: policy.mode,
        from: unsigned(plan.from),
        ready: observed.ready,
        to: unsigned(plan.from),
        wish: unsigned(plan.wish),
        outcome: plan.outcome,
        applied: false,
        reason: plan.reason.code().to_owned(),
        message: plan.message,
        signals: plan.signals,
        winner: plan.winner,
        guards: plan.guards,
        resources: Vec::new(),
    }
}

fn points(points: &[protocol::scaling::TurningPoint]) -> Vec<(&str, f64, Option<f64>)> {
    points.iter().map(|point| (point.signal.as_str(), point.value, point.now)).collect()
}

#[test]
fn each_signal_says_where_it_would_turn() {
    let policy = policy(BOTH);
    let outside = START_MS + 3_600_000;
    let Explanation { up, up_note, down, down_note, .. } = explain(&policy, &record(&policy, 4, outside));
    // Beyond the tolerance of a tenth: 72 / 65 is 1.108; of 4 replicas 3 carry at most three quarters.
    let cpu = "cpu utilization of order";
    assert_eq!(points(&up), [(cpu, 72.0, Some(65.0)), ("orders", 55.001, Some(50.0)), ("work", 11.001, Some(10.0))]);
    assert_eq!(points(&down), [(cpu, 48.0, Some(65.0)), ("orders", 37.5, Some(50.0)), ("work", 7.5, Some(10.0))]);
    assert_eq!(up_note, "the evening asks for 6 from 2023-11-15T22:00:00Z on");
    assert_eq!(down_note, "it must last 300 s");
}

#[test]
fn what_stands_in_the_way_is_said() {
    let rules = "  mode: ScaleUpOnly\n  behavior: {scaleUp: {stabilizationWindowSeconds: 30}, scaleDown: {selectPolicy: Disabled}}\n";
    let policy = policy(&format!("{}{rules}", BOTH.replace("min: 1", "min: 4")));
    let fewest = explain(&policy, &record(&policy, 4, START_MS));
    assert!(fewest.down.is_empty());
    assert_eq!(
        fewest.down_note,
        "4 are the fewest allowed; behavior.scaleDown.selectPolicy is Disabled; it must last 300 s; \
         it would not be carried out: mode is ScaleUpOnly; the evening asks for 6 now"
    );
    assert!(fewest.up_note.starts_with("it must last 30 s; the evening asks for 6 from"), "{}", fewest.up_note);
    let most = explain(&policy, &record(&policy, 8, START_MS));
    assert!(most.up.is_empty() && most.up_note.starts_with("8 are the most allowed"));
}

proptest! {
    /// At the turning point of a share it is planned otherwise, and a thousandth before it is not.
    #[test]
    fn the_turning_point_is_the_nearest(replicas in 1usize..8, target in 1i64..500, tolerance in 0u32..30) {
        let policy = policy(&format!(
            "  replicas: {{min: 1, max: 8}}\n  signals: [{{query: {{name: q, promql: x, perReplica: {target}}}}}]\n\
             \x20 behavior: {{scaleUp: {{tolerance: 0.{tolerance:02}}}, scaleDown: {{tolerance: 0.{tolerance:02}, stabilizationWindowSeconds: 0}}}}\n"
        ));
        let wish = |per_replica_millis: i64| {
            let millis = per_replica_millis * i64::try_from(replicas).unwrap();
            let readings = vec![Reading::Total { millis, at_ms: Some(START_MS) }];
            plan(&policy, &Observation { readings, ..observation(START_MS, &vec![0; replicas]) }, &History::default()).wish
        };
        let from = i32::try_from(replicas).unwrap();
        let explained = explain(&policy, &record(&policy, replicas, START_MS));
        for point in &explained.up {
            let millis = (point.value * 1000.0).round() as i64;
            prop_assert!(wish(millis) > from && wish(millis - 1) <= from);
        }
        for point in &explained.down {
            let millis = (point.value * 1000.0).round() as i64;
            prop_assert!(wish(millis) < from && wish(millis + 1) >= from);
        }
        prop_assert_eq!(explained.up.len(), usize::from(replicas < 8));
        prop_assert_eq!(explained.down.len(), usize::from(replicas > 1));
    }
}
