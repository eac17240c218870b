//! The conditions of a policy's status, with HPA's vocabulary where HPA has it: `Valid` and `Conflict` are ours, `AbleToScale`,
//! `ScalingActive` and `ScalingLimited` mean what they mean there. Pure.

use protocol::scaling::{DecisionRecord, Mode};
use serde::{Deserialize, Serialize};

use super::{Standing, Status, Subject, time};
use crate::planner::Reason;

/// A condition as Kubernetes' own objects have it (metav1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Stable code.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// When `status` last changed.
    pub last_transition_time: String,
    /// The generation of the spec that it is about.
    pub observed_generation: i64,
}

impl Condition {
    /// Whether it says what another one does, apart from its reason. The sentences of `Valid` and `Conflict` hold no readings,
    /// so that another sentence is news.
    pub fn is_as(&self, other: &Self) -> bool {
        let holds_no_readings = matches!(self.kind.as_str(), "Valid" | "Conflict");
        self.kind == other.kind
            && self.status == other.status
            && self.observed_generation == other.observed_generation
            && (!holds_no_readings || self.message == other.message)
    }
}

/// What a condition says, before it is known since when.
struct Says {
    kind: &'static str,
    status: Option<bool>,
    reason: &'static str,
    message: String,
}

fn says(kind: &'static str, status: Option<bool>, reason: &'static str, message: impl Into<String>) -> Says {
    Says { kind, status, reason, message: message.into() }
}

/// All conditions, in a fixed order; one that has not changed keeps its time.
pub(super) fn conditions(
    subject: Subject<'_>,
    record: Option<&DecisionRecord>,
    previous: Option<&Status>,
    now_ms: i64,
) -> Vec<Condition> {
    let all = [
        valid(subject.standing),
        able_to_scale(subject, record),
        scaling_active(subject, record),
        scaling_limited(record),
        conflict(subject.standing, record),
    ];
    let dated = all.into_iter().map(|Says { kind, status, reason, message }| {
        let status = match status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let before = previous.and_then(|previous| previous.conditions.iter().find(|known| known.kind == kind));
        let since = before.filter(|known| known.status == status).map(|known| known.last_transition_time.clone());
        Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            last_transition_time: since.unwrap_or_else(|| time(now_ms)),
            observed_generation: subject.generation,
        }
    });
    dated.collect()
}

fn valid(standing: &Standing) -> Says {
    match standing {
        Standing::Refused { message } => says("Valid", Some(false), "Refused", message.clone()),
        _ => says("Valid", Some(true), "Accepted", "the policy is as it should be"),
    }
}

fn conflict(standing: &Standing, record: Option<&DecisionRecord>) -> Says {
    match (standing, record) {
        (Standing::Rival { message }, _) => says("Conflict", Some(true), "TargetTaken", message.clone()),
        (_, Some(record)) if is(record, Reason::Conflict) => {
            says("Conflict", Some(true), "OtherAutoscaler", record.message.clone())
        }
        _ => says("Conflict", Some(false), "NoConflict", "nobody else steers the workload"),
    }
}

fn is(record: &DecisionRecord, reason: Reason) -> bool {
    record.reason == reason.code()
}

fn able_to_scale(subject: Subject<'_>, record: Option<&DecisionRecord>) -> Says {
    let able = |status, reason, message: &str| says("AbleToScale", status, reason, message);
    let Some(record) = record else {
        return match subject.standing {
            Standing::Steers => able(None, "NotEvaluated", "the policy was not evaluated yet"),
            _ => able(Some(false), "NotEvaluated", "the policy is not evaluated"),
        };
    };
    let no = |reason| able(Some(false), reason, &record.message);
    if is(record, Reason::TargetMissing) || is(record, Reason::ClusterUnavailable) {
        return no("FailedGetScale");
    }
    if is(record, Reason::WriteFailed) {
        return no("FailedUpdateScale");
    }
    if is(record, Reason::Conflict) {
        return no("Conflict");
    }
    if record.applied {
        return able(Some(true), "SucceededRescale", &record.message);
    }
    if is(record, Reason::ScaleDownStabilized) {
        return able(Some(true), "ScaleDownStabilized", &record.message);
    }
    able(Some(true), "ReadyForNewScale", "the workload can be scaled")
}

fn scaling_active(subject: Subject<'_>, record: Option<&DecisionRecord>) -> Says {
    let no = |reason, message: &str| says("ScalingActive", Some(false), reason, message);
    let Some(record) = record else {
        return match (subject.standing, subject.mode) {
            (Standing::Steers, Some(Mode::Off)) => no("ModeOff", "the mode is Off: the policy is not evaluated"),
            (Standing::Steers, _) => says("ScalingActive", None, "NotEvaluated", "the policy was not evaluated yet"),
            _ => no("NotEvaluated", "the policy is not evaluated"),
        };
    };
    let blind = [
        (Reason::MetricMissing, "MetricMissing"),
        (Reason::MetricStale, "MetricStale"),
        (Reason::MetricsUnavailable, "MetricsUnavailable"),
        (Reason::FallbackReplicas, "FallbackReplicas"),
        (Reason::ScaledToZero, "ScalingDisabled"),
        (Reason::TargetMissing, "TargetMissing"),
        (Reason::ClusterUnavailable, "ClusterUnavailable"),
        (Reason::Conflict, "Conflict"),
    ];
    if let Some((_, code)) = blind.iter().find(|(reason, _)| is(record, *reason)) {
        return no(code, &record.message);
    }
    if subject.paused {
        return no("Paused", "an operator has paused the policy: it is evaluated, and nothing is written");
    }
    match record.mode {
        Mode::Recommend => {
            no("ModeRecommend", "the mode is Recommend: the policy is evaluated, and nothing is written")
        }
        _ => says("ScalingActive", Some(true), "ValidMetricFound", "replicas follow the policy's signals"),
    }
}

fn scaling_limited(record: Option<&DecisionRecord>) -> Says {
    let limited = [
        (Reason::AtMaximum, "TooManyReplicas"),
        (Reason::AtMinimum, "TooFewReplicas"),
        (Reason::AboveMaximum, "TooManyReplicas"),
        (Reason::BelowMinimum, "TooFewReplicas"),
        (Reason::ScaleUpLimit, "ScaleUpLimit"),
        (Reason::ScaleDownLimit, "ScaleDownLimit"),
        (Reason::DownstreamBudget, "DownstreamBudget"),
    ];
    let Some(record) = record else {
        return says("ScalingLimited", None, "NotEvaluated", "the policy is not evaluated");
    };
    match limited.iter().find(|(reason, _)| is(record, *reason)) {
        Some((_, code)) => says("ScalingLimited", Some(true), code, record.message.clone()),
        None => says("ScalingLimited", Some(false), "DesiredWithinRange", "the wish is within what is allowed"),
    }
}
