//! Recent events about workloads: their own, their ReplicaSets', their pods', and those of policies that name them as related.
//! Kept up to a limit, the newest first.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{Key, State};
use crate::kubernetes::wire::{self, millis};
use crate::{Event, EventKind, WorkloadRef};

/// Events kept, as many as the local runtime keeps: a screen shows a hundred.
const EVENTS_MAX: usize = 1000;

/// Events kept whose object has not been seen yet: each watch has its own pace, and an event may be ahead of its pod.
const EARLY_MAX: usize = 256;

/// Events, ordered by time.
#[derive(Debug, Default)]
pub(super) struct Ring {
    at: HashMap<Key, i64>,
    events: BTreeMap<(i64, Key), Event>,
    early: VecDeque<wire::Event>,
}

impl Ring {
    fn insert(&mut self, key: Key, event: Event) {
        self.forget(&key);
        self.at.insert(key.clone(), event.at_ms);
        self.events.insert((event.at_ms, key), event);
        if self.events.len() > EVENTS_MAX
            && let Some(((_, oldest), _)) = self.events.pop_first()
        {
            self.at.remove(&oldest);
        }
    }

    /// Forgets one, as the cluster does after an hour.
    pub fn forget(&mut self, key: &Key) {
        if let Some(at_ms) = self.at.remove(key) {
            self.events.remove(&(at_ms, key.clone()));
        }
    }

    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.at.keys()
    }
}

impl State {
    /// Takes in an event if it is about a workload.
    pub fn take_event(&mut self, event: wire::Event) {
        match self.about(&event) {
            Some(workload) => self.events.insert(Key::of(&event.metadata), told(workload, event)),
            None if matches!(event.involved_object.kind.as_str(), "Pod" | "ReplicaSet") => {
                if self.events.early.len() == EARLY_MAX {
                    self.events.early.pop_front();
                }
                self.events.early.push_back(event);
            }
            None => {}
        }
    }

    /// The newest, newest first.
    pub fn newest_events(&mut self, limit: usize) -> Vec<Event> {
        for event in std::mem::take(&mut self.events.early) {
            self.take_event(event);
        }
        self.events.events.values().rev().take(limit).cloned().collect()
    }

    fn about(&self, event: &wire::Event) -> Option<WorkloadRef> {
        match event.involved_object.kind.as_str() {
            "ScalingPolicy" => self.workload_of(event.related.as_ref()?),
            _ => self.workload_of(&event.involved_object),
        }
    }
}

fn told(workload: WorkloadRef, event: wire::Event) -> Event {
    let series = event.series.as_ref();
    let observed = series.and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0.as_millisecond());
    let begun = event.event_time.as_ref().map(|time| time.0.as_millisecond());
    let last = millis(event.last_timestamp.as_ref()).or_else(|| millis(event.first_timestamp.as_ref()));
    let count = series.map(|series| series.count).or(event.count).unwrap_or(1);
    let subject = match event.involved_object.kind.as_str() {
        "Pod" => format!("{}: ", event.involved_object.name),
        _ => String::new(),
    };
    let times = if count > 1 { format!(" ({count} times)") } else { String::new() };
    Event {
        at_ms: observed.or(last).or(begun).unwrap_or(0),
        workload,
        kind: if event.kind == "Warning" { EventKind::Warning } else { EventKind::Normal },
        reason: event.reason,
        message: format!("{subject}{}{times}", event.message.trim()),
    }
}
