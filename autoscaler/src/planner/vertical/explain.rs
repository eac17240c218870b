//! The words of what is planned of resources. Decides nothing.

use protocol::quantity::Quantity;
use protocol::scaling::{Outcome, ResourceRecord};

use super::MEBIBYTE;
use super::evidence::{Cause, KILL_BUMP, Kill, Push};
use super::seen::Resizing;
use crate::policy::Resource;

/// The guards that raise, in their order; the others hold or bound.
const RAISES: [&str; 5] = ["weeklyPeak", "room", "throttling", "pressure", "kill"];

/// What the sentence is made from.
pub(super) struct Story<'a> {
    pub record: &'a ResourceRecord,
    pub resource: Resource,
    pub outcome: Outcome,
}

impl Story<'_> {
    /// Why it is planned so, in one sentence without a full stop.
    pub fn sentence(&self) -> String {
        let Self { record, resource, outcome } = self;
        let said = |value: Option<f64>| amount(*resource, value.unwrap_or_default());
        let what = format!("{resource} of {}", record.container);
        let (from, because) = (said(record.from), self.because());
        match outcome {
            Outcome::Hold => format!("{what} stays at {from}: {because}"),
            _ => format!("{what} {from} -> {}: {because}", said(record.wish)),
        }
    }

    fn because(&self) -> String {
        let Self { record, outcome, .. } = self;
        let changed = || record.guards.iter().filter(|guard| guard.before != guard.after);
        let bounds = changed().find(|guard| guard.guard == "bounds");
        let holds = changed().find(|guard| !RAISES.contains(&&*guard.guard) && !is_arithmetic(&guard.guard));
        let asked = self.asked();
        match (outcome, holds) {
            (Outcome::Hold, Some(hold)) => {
                let wished = amount(self.resource, hold.before);
                format!("{wished} would do ({asked}), but {}", hold.note)
            }
            _ => match bounds {
                Some(bounds) => format!("{asked}; {}", bounds.note),
                None => asked,
            },
        }
    }

    /// From what the need follows: what raised it last, else the model.
    fn asked(&self) -> String {
        let mut raised = self.record.guards.iter().rev().filter(|guard| guard.before != guard.after);
        match (raised.find(|guard| RAISES.contains(&&*guard.guard)), &self.record.model) {
            (Some(guard), _) => guard.note.clone(),
            (None, Some(model)) => {
                format!("{}, the cheapest of {} models", model_words(model), self.record.models.len())
            }
            (None, None) => "not known yet what it uses".to_owned(),
        }
    }
}

/// Neither raises nor holds.
fn is_arithmetic(guard: &str) -> bool {
    matches!(guard, "rounding" | "bounds" | "step")
}

fn model_words(model: &str) -> &str {
    match model {
        "p90" => "the 90th percentile of what was used and 15%",
        "p98" => "the 98th percentile of what was used and 10%",
        "threeSigma" => "the mean of what was used and three standard deviations",
        "dayMax" => "the most that was used within a day and 10%",
        "weekMax" => "the most that was used within eight days and 5%",
        other => other,
    }
}

pub(super) fn push_words(push: &Push) -> String {
    let percent = (push.share * 100.0).round();
    match push.cause {
        Cause::Throttling => format!("its limit held it back in {percent}% of its periods"),
        Cause::CpuPressure => format!("its tasks waited for CPU {percent}% of the time"),
        Cause::MemoryPressure => format!("its tasks waited for memory {percent}% of the time"),
    }
}

pub(super) fn kill_words(kill: &Kill) -> String {
    let times = match kill.count {
        1 => "once".to_owned(),
        count => format!("{count} times within a day"),
    };
    let used = amount(Resource::Memory, kill.used);
    format!("killed for want of memory {times}, with {used} in use, and {:.0}%", (KILL_BUMP - 1.0) * 100.0)
}

pub(super) fn resizing_words(resizing: &Resizing) -> Option<String> {
    match resizing {
        Resizing::Done => None,
        Resizing::UnderWay(words) => Some(format!("the last change is not done yet: {words}")),
        Resizing::Infeasible(words) => Some(format!("a node can never grant the last change: {words}")),
    }
}

pub(super) fn no_request(record: &ResourceRecord) -> String {
    let ResourceRecord { container, resource, .. } = record;
    match record.from {
        None => format!("{resource} of {container} is left alone: it requests none; write a request in its manifest"),
        Some(_) => format!("{resource} of {container} stays: nothing was seen of it yet"),
    }
}

/// How long ago, roughly.
pub(super) fn ago(millis: i64) -> String {
    match millis / 60_000 {
        minutes if minutes < 120 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    }
}

/// As manifests write it: `120m`, `96Mi`.
pub(super) fn amount(resource: Resource, value: f64) -> String {
    match resource {
        Resource::Cpu => Quantity::from_millis((value * 1000.0).round() as i64).to_string(),
        Resource::Memory if value < MEBIBYTE => Quantity::from_units(value.round() as i64).to_string(),
        Resource::Memory => Quantity::from_units((value / MEBIBYTE).round() as i64 * MEBIBYTE as i64).to_string(),
    }
}
