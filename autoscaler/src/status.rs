//! The status of a ScalingPolicy object: what its latest decision comes to, in fields and conditions that have HPA's names.
//! Pure: the same decision and the same previous status always give the same. Writes nothing: see `publisher`.

mod conditions;

use jiff::Timestamp;
use protocol::scaling::{DecisionRecord, Mode, Outcome};
use serde::{Deserialize, Serialize};

pub use self::conditions::Condition;
use self::conditions::conditions;
use crate::planner::Reason;

/// What `/status` of a ScalingPolicy holds. Absent fields are written as `null`, which takes them away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The generation of the spec that this is about.
    pub observed_generation: i64,
    /// Replicas asked for.
    pub current_replicas: Option<u32>,
    /// Replicas that receive traffic.
    pub ready_replicas: Option<u32>,
    /// Replicas that the policy asks for.
    pub desired_replicas: Option<u32>,
    /// Stable code of the latest decision.
    pub reason: String,
    /// An operator has paused it at run time.
    pub paused: bool,
    /// When replicas were last changed by this policy.
    pub last_scale_time: Option<String>,
    /// The decision that this status was written for.
    pub last_decision: Option<LastDecision>,
    /// Conditions, in a fixed order.
    pub conditions: Vec<Condition>,
}

/// A decision in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastDecision {
    /// When.
    pub time: String,
    /// `ScaleUp`, `ScaleDown` or `Hold`.
    pub outcome: Outcome,
    /// Stable code.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// Whether it was carried out.
    pub applied: bool,
}

/// Where a policy object stands among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It steers its target.
    Steers,
    /// It is not a policy as the loader wants it.
    Refused {
        /// What is wrong.
        message: String,
    },
    /// Another policy steers its target.
    Rival {
        /// Which target, and which policy.
        message: String,
    },
}

/// What a status is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Counts changes of the spec.
    pub generation: i64,
    /// Where it stands.
    pub standing: &'a Standing,
    /// The mode in force; `None` for a policy that was refused.
    pub mode: Option<Mode>,
    /// An operator has paused it at run time.
    pub paused: bool,
}

/// How far two statuses are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// They say the same, in other numbers perhaps.
    None,
    /// Reasons alone differ.
    Reasons,
    /// Something that somebody may wait for differs.
    Facts,
}

/// The status after the latest record, `None` before there is one.
pub fn status(subject: Subject<'_>, record: Option<&DecisionRecord>, previous: Option<&Status>, now_ms: i64) -> Status {
    let steers = *subject.standing == Standing::Steers;
    let record = record.filter(|_| steers && subject.mode != Some(Mode::Off));
    // A workload that is not there has no replicas; a number would be one that was not seen.
    let seen = record.filter(|record| record.reason != Reason::TargetMissing.code());
    let scaled = record.filter(|record| record.applied).map(|record| time(record.at_ms));
    Status {
        observed_generation: subject.generation,
        current_replicas: seen.map(|record| record.to),
        ready_replicas: seen.map(|record| record.ready),
        desired_replicas: seen.map(|record| record.wish),
        reason: reason(subject, record),
        paused: subject.paused,
        last_scale_time: scaled.or_else(|| previous.and_then(|previous| previous.last_scale_time.clone())),
        last_decision: record.map(last_decision),
        conditions: conditions(subject, record, previous, now_ms),
    }
}

fn reason(subject: Subject<'_>, record: Option<&DecisionRecord>) -> String {
    match (subject.standing, record) {
        (Standing::Refused { .. }, _) => "Invalid".to_owned(),
        (Standing::Rival { .. }, _) => "Conflict".to_owned(),
        (Standing::Steers, Some(record)) => record.reason.clone(),
        (Standing::Steers, None) if subject.mode == Some(Mode::Off) => "ModeOff".to_owned(),
        (Standing::Steers, None) => "NotEvaluated".to_owned(),
    }
}

fn last_decision(record: &DecisionRecord) -> LastDecision {
    LastDecision {
        time: time(record.at_ms),
        outcome: record.outcome,
        reason: record.reason.clone(),
        message: record.message.clone(),
        applied: record.applied,
    }
}

/// As Kubernetes writes a time.
fn time(at_ms: i64) -> String {
    Timestamp::from_second(at_ms.div_euclid(1000)).map(|time| time.to_string()).unwrap_or_default()
}

impl Status {
    /// Reads the status of an object; what is not one, or not ours, is none.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<Option<Self>>(text).ok().flatten()
    }

    /// How far it is from another one. Numbers in sentences and the time of a decision are no difference.
    pub fn difference(&self, other: &Self) -> Difference {
        let facts = |status: &Self| {
            let Self { observed_generation, current_replicas, ready_replicas, desired_replicas, paused, .. } = *status;
            let applied = status.last_decision.as_ref().map(|decision| (decision.outcome, decision.applied));
            (observed_generation, current_replicas, ready_replicas, desired_replicas, paused, applied)
        };
        let same_facts = facts(self) == facts(other)
            && self.last_scale_time == other.last_scale_time
            && self.conditions.len() == other.conditions.len()
            && self.conditions.iter().zip(&other.conditions).all(|(a, b)| a.is_as(b));
        let same_reasons = self.reason == other.reason
            && self.conditions.iter().zip(&other.conditions).all(|(a, b)| a.reason == b.reason);
        match (same_facts, same_reasons) {
            (false, _) => Difference::Facts,
            (true, false) => Difference::Reasons,
            (true, true) => Difference::None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
