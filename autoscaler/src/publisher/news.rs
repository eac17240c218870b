//! What is worth an event: each change that was carried out, and trouble when it begins, changes and ends. Pure.

use cluster::EventKind;
use protocol::scaling::DecisionRecord;

use crate::planner::Reason;
use crate::status::{Standing, Status};

/// An event in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Normal or Warning.
    pub kind: EventKind,
    /// CamelCase code.
    pub reason: String,
    /// What was being done.
    pub action: &'static str,
    /// One sentence.
    pub message: String,
}

/// Reasons that somebody should hear of, and under which code.
const TROUBLES: [(Reason, &str); 7] = [
    (Reason::MetricMissing, "MetricMissing"),
    (Reason::MetricStale, "MetricStale"),
    (Reason::MetricsUnavailable, "MetricsUnavailable"),
    (Reason::FallbackReplicas, "FallbackReplicas"),
    (Reason::TargetMissing, "TargetMissing"),
    (Reason::Conflict, "Conflict"),
    (Reason::WriteFailed, "FailedRescale"),
];

impl News {
    /// A change that was carried out.
    pub fn carried_out(record: &DecisionRecord) -> Self {
        let is_fallback = record.reason == Reason::FallbackReplicas.code();
        Self {
            kind: if is_fallback { EventKind::Warning } else { EventKind::Normal },
            reason: if is_fallback { "FallbackReplicas" } else { "SuccessfulRescale" }.to_owned(),
            action: "Rescale",
            message: record.message.clone(),
        }
    }
}

/// The trouble that was told of last; nothing else is remembered of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The code, and what makes it another trouble of that code.
    trouble: Option<(String, String)>,
    /// What an earlier leader had in its status has been told by it.
    inherited: Option<String>,
}

impl Told {
    /// What an earlier leader wrote into the status it has also told.
    pub fn by_an_earlier_leader(status: &Status) -> Self {
        Self { trouble: None, inherited: Some(status.reason.clone()) }
    }

    /// What is to be told of a policy that is now so.
    pub fn trouble(&mut self, standing: &Standing, status: &Status, record: Option<&DecisionRecord>) -> Option<News> {
        let now = match standing {
            Standing::Refused { message } => Some(("InvalidPolicy", message.clone(), message.clone())),
            Standing::Rival { message } => Some(("Conflict", message.clone(), message.clone())),
            Standing::Steers => record.and_then(|record| {
                let (reason, code) = TROUBLES.iter().find(|(reason, _)| record.reason == reason.code())?;
                // Of a write that is refused, another wish is another refusal; readings in the sentence are not.
                let which = if *reason == Reason::WriteFailed { record.wish.to_string() } else { String::new() };
                Some((*code, which, record.message.clone()))
            }),
        };
        let inherited = self.inherited.take().is_some_and(|reason| reason == status.reason);
        let before = self.trouble.take();
        let Some((code, which, message)) = now else {
            return before.map(|_| News {
                kind: EventKind::Normal,
                reason: "Recovered".to_owned(),
                action: "Evaluate",
                message: record.map_or_else(|| "nothing is wrong any more".to_owned(), |r| r.message.clone()),
            });
        };
        let now = (code.to_owned(), which);
        let is_told = inherited || before.as_ref() == Some(&now) || record.is_some_and(|record| record.applied);
        self.trouble = Some(now);
        let action = if code == "FailedRescale" { "Rescale" } else { "Evaluate" };
        (!is_told).then(|| News { kind: EventKind::Warning, reason: code.to_owned(), action, message })
    }
}
