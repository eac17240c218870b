//! Faults, breakers, deploys, scaling and events of the cluster in one order of time, from the collector and the autoscaler. Pure;
//! each thing is told once, by whoever knows more of it. Start at `entries`.

use std::cmp::Reverse;

use protocol::faults::{Faults, TimelineEvent, TimelineKind};
use protocol::scaling::{DecisionRecord, EventKind, EventRecord, Outcome};

use crate::picture::{Picture, ServiceKey};
use crate::roles;

/// The newest of so many are kept: more than an hour of a busy shop.
pub const ENTRIES_MAX: usize = 1_000;

/// Replicas are seen to change so long after they were asked for, at most: scraping, and the collector's look at it.
const SEEN_AFTER_MS: i64 = 20_000;

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A fault began.
    Fault,
    /// A fault ended.
    Over,
    /// A breaker opened, tries or closed.
    Breaker,
    /// Another image, version or other resources.
    Deploy,
    /// A container was started again.
    Restart,
    /// Replicas: decided, or seen to change.
    Scaling,
    /// The cluster warns.
    Warning,
    /// The cluster tells.
    Event,
}

impl Kind {
    /// The word on screen.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fault => "FAULT",
            Self::Over => "over",
            Self::Breaker => "breaker",
            Self::Deploy => "deploy",
            Self::Restart => "restart",
            Self::Scaling => "scaling",
            Self::Warning => "warning",
            Self::Event => "event",
        }
    }

    /// The letter under the strip: the word's first.
    pub fn letter(self) -> char {
        self.word().chars().next().expect("every kind has a word")
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// What.
    pub kind: Kind,
    /// To whom.
    pub service: ServiceKey,
    /// In words.
    pub text: String,
}

impl Entry {
    /// Stays the same while others come.
    pub fn id(&self) -> String {
        format!("{} {} {} {}", self.at_ms, self.kind.word(), self.service, self.text)
    }
}

/// All that is known, newest first.
pub fn entries(picture: &Picture) -> Vec<Entry> {
    let decisions = picture.scaling.data.as_ref().map(|scaling| scaling.decisions.as_slice()).unwrap_or_default();
    let changes: Vec<&DecisionRecord> = decisions.iter().filter(|d| d.outcome != Outcome::Hold).collect();
    let told = picture.timeline.data.as_ref().map(|timeline| timeline.events.as_slice()).unwrap_or_default();
    let told = told.iter().filter(|event| !is_decided(event, &changes)).map(of_collector);
    let events = picture.events.data.as_ref().map(|events| events.as_slice()).unwrap_or_default();
    let mut all: Vec<Entry> = told.collect();
    if picture.timeline.data.is_none() {
        all.extend(picture.faults.data.iter().flat_map(|faults| of_suspects(faults)));
    }
    all.extend(changes.into_iter().map(of_decision));
    all.extend(events.iter().filter(|event| !repeats(event, decisions)).map(of_event));
    all.sort_by(|a, b| {
        Reverse(a.at_ms)
            .cmp(&Reverse(b.at_ms))
            .then_with(|| (a.kind, &a.service, &a.text).cmp(&(b.kind, &b.service, &b.text)))
    });
    all.dedup();
    all.truncate(ENTRIES_MAX);
    all
}

/// Whether a change of replicas is one that the autoscaler decided: its record says why as well.
fn is_decided(event: &TimelineEvent, changes: &[&DecisionRecord]) -> bool {
    let replicas = event.to.as_ref().and_then(|to| to.parse::<u32>().ok());
    event.kind == TimelineKind::Replicas
        && changes.iter().any(|change| {
            let took_ms = event.at_ms.saturating_sub(change.at_ms);
            change.applied
                && change.workload.name == event.service
                && Some(change.to) == replicas
                && (-SEEN_AFTER_MS / 4..=SEEN_AFTER_MS).contains(&took_ms)
        })
}

/// Whether an event is only what the autoscaler told the cluster of its decision.
fn repeats(event: &EventRecord, decisions: &[DecisionRecord]) -> bool {
    let is_its = |record: &DecisionRecord| record.workload == event.workload && record.message == event.message;
    event.kind == EventKind::Normal && decisions.iter().any(|record| record.outcome != Outcome::Hold && is_its(record))
}

fn of_collector(event: &TimelineEvent) -> Entry {
    let kind = match event.kind {
        TimelineKind::FaultBegan => Kind::Fault,
        TimelineKind::FaultEnded => Kind::Over,
        TimelineKind::Breaker => Kind::Breaker,
        TimelineKind::Replicas => Kind::Scaling,
        TimelineKind::Resources | TimelineKind::Version => Kind::Deploy,
        TimelineKind::Restart => Kind::Restart,
    };
    Entry { at_ms: event.at_ms, kind, service: ServiceKey::new("", &event.service), text: event.text.clone() }
}

/// Of a collector that keeps no timeline at least the faults of now are known.
fn of_suspects(faults: &Faults) -> impl Iterator<Item = Entry> {
    faults.suspects.iter().map(|suspect| {
        let why = suspect.evidence.first().map(|evidence| format!(": {}", evidence.text)).unwrap_or_default();
        Entry {
            at_ms: suspect.since_ms,
            kind: Kind::Fault,
            service: ServiceKey::new("", &suspect.service),
            text: format!("{}{why}", roles::is_broken(suspect.fault)),
        }
    })
}

fn of_decision(record: &DecisionRecord) -> Entry {
    let done = if record.applied { "" } else { " (not carried out)" };
    let change = format!("{} -> {}", record.from, record.wish);
    // The sentence may begin with what the row says already.
    let said = format!("{} {change}: ", record.workload.name);
    let why = record.message.strip_prefix(&said).unwrap_or(&record.message);
    let text = format!("replicas {change}{done}: {why}");
    Entry { at_ms: record.at_ms, kind: Kind::Scaling, service: (&record.workload).into(), text }
}

fn of_event(event: &EventRecord) -> Entry {
    let kind = if event.kind == EventKind::Warning { Kind::Warning } else { Kind::Event };
    let text = format!("{}: {}", event.reason, event.message);
    Entry { at_ms: event.at_ms, kind, service: (&event.workload).into(), text }
}

/// The letters of what happened when, one column a step; of several in one step the first kind counts.
pub fn marks(shown: impl Iterator<Item = (i64, Kind)>, start_ms: i64, step_ms: i64, columns: usize) -> String {
    let mut kinds: Vec<Option<Kind>> = vec![None; columns];
    for (at_ms, kind) in shown {
        let column = usize::try_from(at_ms.saturating_sub(start_ms).div_euclid(step_ms.max(1))).unwrap_or(usize::MAX);
        if let Some(first) = kinds.get_mut(column) {
            *first = Some(first.map_or(kind, |known| known.min(kind)));
        }
    }
    kinds.into_iter().map(|kind| kind.map_or(' ', Kind::letter)).collect()
}

#[cfg(test)]
mod tests;
