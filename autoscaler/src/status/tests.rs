//! The unit tests of a policy's status: what each decision comes to, what counts as a change, and since when.

use protocol::scaling::ObjectName;

use super::*;
use crate::planner::Reason;

const NOW_MS: i64 = 1_700_000_000_000;

pub fn record(reason: Reason) -> DecisionRecord {
    let name = ObjectName { namespace: "shop".to_owned(), name: "order".to_owned() };
    DecisionRecord {
        sequence: 1,
        at_ms: NOW_MS,
        policy: name.clone(),
        kind: "Deployment".to_owned(),
        workload: name,
        mode: Mode::Auto,
        from: 2,
        ready: 2,
        to: 2,
        wish: 2,
        outcome: Outcome::Hold,
        applied: false,
        reason: reason.code().to_owned(),
        message: format!("order stays at 2: {}", reason.code()),
        signals: Vec::new(),
        winner: None,
        guards: Vec::new(),
        resources: Vec::new(),
    }
}

const AUTO: Subject<'_> = Subject { generation: 3, standing: &Standing::Steers, mode: Some(Mode::Auto), paused: false };

fn of(record: &DecisionRecord) -> Status {
    status(AUTO, Some(record), None, NOW_MS)
}

/// Each condition as `Kind=Status/Reason`.
fn conditions_of(status: &Status) -> Vec<String> {
    status.conditions.iter().map(|c| format!("{}={}/{}", c.kind, c.status, c.reason)).collect()
}

#[test]
fn every_reason_has_its_conditions() {
    let well = ["Valid=True/Accepted", "AbleToScale=True/ReadyForNewScale", "ScalingActive=True/ValidMetricFound"];
    let within = "ScalingLimited=False/DesiredWithinRange";
    let alone = "Conflict=False/NoConflict";
    for (reason, differs) in [
        (Reason::WithinTolerance, vec![]),
        (Reason::MetricMissingForbidsDown, vec![]),
        (Reason::ScaleDownStabilized, vec!["AbleToScale=True/ScaleDownStabilized"]),
        (Reason::MetricsUnavailable, vec!["ScalingActive=False/MetricsUnavailable"]),
        (Reason::MetricStale, vec!["ScalingActive=False/MetricStale"]),
        (Reason::FallbackReplicas, vec!["ScalingActive=False/FallbackReplicas"]),
        (Reason::ScaledToZero, vec!["ScalingActive=False/ScalingDisabled"]),
        (Reason::AtMaximum, vec!["ScalingLimited=True/TooManyReplicas"]),
        (Reason::AtMinimum, vec!["ScalingLimited=True/TooFewReplicas"]),
        (Reason::ScaleUpLimit, vec!["ScalingLimited=True/ScaleUpLimit"]),
        (Reason::WriteFailed, vec!["AbleToScale=False/FailedUpdateScale"]),
        (Reason::TargetMissing, vec!["AbleToScale=False/FailedGetScale", "ScalingActive=False/TargetMissing"]),
        (
            Reason::Conflict,
            vec!["AbleToScale=False/Conflict", "ScalingActive=False/Conflict", "Conflict=True/OtherAutoscaler"],
        ),
    ] {
        let expected: Vec<&str> = well
            .into_iter()
            .chain([within, alone])
            .map(|usual| {
                let kind = usual.split('=').next().unwrap();
                differs.iter().copied().find(|d| d.split('=').next() == Some(kind)).unwrap_or(usual)
            })
            .collect();
        assert_eq!(conditions_of(&of(&record(reason))), expected, "{}", reason.code());
    }
}

#[test]
fn a_policy_that_is_not_evaluated_says_why() {
    let refused = Standing::Refused { message: "spec.replicas: min 5 is above max 3".to_owned() };
    let invalid =
        status(Subject { standing: &refused, mode: None, ..AUTO }, Some(&record(Reason::SameCount)), None, NOW_MS);
    assert_eq!((invalid.reason.as_str(), invalid.current_replicas, invalid.last_decision), ("Invalid", None, None));
    assert_eq!(invalid.conditions[0].message, "spec.replicas: min 5 is above max 3");
    assert_eq!(invalid.conditions[0].status, "False");

    let rival = Standing::Rival { message: "Deployment shop/order is steered by the policy shop/a already".to_owned() };
    let rival = status(Subject { standing: &rival, ..AUTO }, None, None, NOW_MS);
    assert_eq!((rival.reason.as_str(), conditions_of(&rival)[4].as_str()), ("Conflict", "Conflict=True/TargetTaken"));

    let off = status(Subject { mode: Some(Mode::Off), ..AUTO }, Some(&record(Reason::SameCount)), None, NOW_MS);
    assert_eq!((off.reason.as_str(), conditions_of(&off)[2].as_str()), ("ModeOff", "ScalingActive=False/ModeOff"));

    let paused = status(Subject { paused: true, ..AUTO }, Some(&record(Reason::SameCount)), None, NOW_MS);
    assert_eq!((paused.paused, conditions_of(&paused)[2].as_str()), (true, "ScalingActive=False/Paused"));
}

#[test]
fn numbers_in_sentences_and_the_time_of_a_tick_are_no_change() {
    let before = of(&record(Reason::WithinTolerance));
    let later = DecisionRecord {
        at_ms: NOW_MS + 15_000,
        sequence: 2,
        message: "order stays at 2: within tolerance (cpu utilization 66% of target 65%)".to_owned(),
        ..record(Reason::WithinTolerance)
    };
    let now = status(AUTO, Some(&later), Some(&before), NOW_MS + 15_000);
    assert_eq!(now.difference(&before), Difference::None);
    assert_eq!(
        status(AUTO, Some(&record(Reason::SameCount)), Some(&before), NOW_MS).difference(&before),
        Difference::Reasons
    );
    for (what, record) in [
        ("wish", DecisionRecord { wish: 3, ..later.clone() }),
        ("ready", DecisionRecord { ready: 1, ..later.clone() }),
        ("applied", DecisionRecord { applied: true, to: 2, ..later.clone() }),
        ("condition", DecisionRecord { reason: "MetricStale".to_owned(), ..later.clone() }),
    ] {
        let now = status(AUTO, Some(&record), Some(&before), NOW_MS);
        assert_eq!(now.difference(&before), Difference::Facts, "{what}");
    }
    let edited = status(Subject { generation: 4, ..AUTO }, Some(&later), Some(&before), NOW_MS);
    assert_eq!(edited.difference(&before), Difference::Facts);
}

#[test]
fn a_condition_keeps_its_time_until_it_turns_and_the_last_scale_stays_known() {
    let scaled = DecisionRecord { applied: true, to: 4, wish: 4, ..record(Reason::SignalAboveTarget) };
    let first = of(&scaled);
    assert_eq!(first.last_scale_time.as_deref(), Some("2023-11-14T22:13:20Z"));
    let later_ms = NOW_MS + 60_000;
    let second = status(AUTO, Some(&record(Reason::MetricsUnavailable)), Some(&first), later_ms);
    assert_eq!(second.last_scale_time, first.last_scale_time);
    let times: Vec<&str> = second.conditions.iter().map(|c| c.last_transition_time.as_str()).collect();
    let (then, now) = ("2023-11-14T22:13:20Z", "2023-11-14T22:14:20Z");
    assert_eq!(times, [then, then, now, then, then]);
}

#[test]
fn what_is_written_is_read_again_and_what_is_not_ours_is_none() {
    let written = of(&record(Reason::SignalAboveTarget));
    let text = serde_json::to_string(&written).unwrap();
    assert_eq!(Status::parse(&text), Some(written));
    assert!(text.contains("\"lastScaleTime\":null"), "what is absent is taken away: {text}");
    for text in ["null", "{\"conditions\":\"many\"}", ""] {
        assert_eq!(Status::parse(text), None, "{text}");
    }
    assert_eq!(Status::parse("{}"), Some(Status::default()));
}
