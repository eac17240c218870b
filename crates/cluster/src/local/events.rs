//! Recent events of all workloads, kept in memory up to a limit.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::{Event, EventKind, WorkloadRef};

/// Events kept; the oldest goes first. A demo of an hour makes a few hundred.
const EVENTS_MAX: usize = 1000;

/// Clones share their events.
#[derive(Debug, Clone, Default)]
pub(super) struct EventLog(Arc<Mutex<VecDeque<Event>>>);

impl EventLog {
    /// Adds one.
    pub fn push(&self, event: Event) {
        match event.kind {
            EventKind::Normal => {
                tracing::info!(workload = %event.workload, reason = event.reason, detail = event.message, "event of a workload");
            }
            EventKind::Warning => {
                tracing::warn!(workload = %event.workload, reason = event.reason, detail = event.message, "event of a workload");
            }
        }
        let mut events = self.0.lock();
        if events.len() == EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(event);
    }

    /// Adds one made of its parts.
    pub fn tell(&self, at_ms: i64, workload: &WorkloadRef, kind: EventKind, reason: &str, message: String) {
        self.push(Event { at_ms, workload: workload.clone(), kind, reason: reason.to_owned(), message });
    }

    /// The newest, newest first.
    pub fn newest(&self, limit: usize) -> Vec<Event> {
        self.0.lock().iter().rev().take(limit).cloned().collect()
    }
}
