//! What a receiver has not been told yet: bounded, the oldest first, and each event of an alert once, however often it was said
//! again meanwhile. Pure.

use std::collections::{HashMap, VecDeque};

use crate::rules::alert::RESOLVED_KEPT_MS;
use crate::rules::notice::Notice;
use crate::series::Labels;

/// The most notices that wait for one receiver: Prometheus' default of `--alertmanager.notification-queue-capacity`.
pub const QUEUE_MAX: usize = 10_000;

/// The most notices of one request: Prometheus' default of `--alertmanager.notification-batch-size`.
pub(super) const BATCH_MAX: usize = 256;

/// An alert's beginning or its end.
type Event = (Labels, bool, i64);

fn event(notice: &Notice) -> Event {
    (notice.labels.clone(), notice.is_resolved, notice.starts_at_ms)
}

/// Notices that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    order: VecDeque<Event>,
    waiting: HashMap<Event, Notice>,
}

/// What is to be told now.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Batch {
    pub notices: Vec<Notice>,
    /// Notices that are not true any more.
    pub expired: usize,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Adds a notice; how many of the oldest were dropped for it.
    pub fn push(&mut self, notice: Notice) -> usize {
        let event = event(&notice);
        if self.waiting.insert(event.clone(), notice).is_none() {
            self.order.push_back(event);
        }
        let mut dropped = 0;
        while self.order.len() > QUEUE_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.waiting.remove(&oldest);
                dropped += 1;
            }
        }
        dropped
    }

    /// Takes the newest words for an event that waits; one that does not wait stays away.
    pub fn renew(&mut self, notice: Notice) {
        if let Some(waiting) = self.waiting.get_mut(&event(&notice)) {
            *waiting = notice;
        }
    }

    /// Takes the oldest out.
    pub fn take(&mut self, now_ms: i64) -> Batch {
        let mut batch = Batch::default();
        while batch.notices.len() < BATCH_MAX {
            let Some(notice) = self.order.pop_front().and_then(|event| self.waiting.remove(&event)) else { break };
            if valid_until_ms(&notice) < now_ms {
                batch.expired += 1;
            } else {
                batch.notices.push(notice);
            }
        }
        batch
    }

    /// Puts back what could not be told. What was said again meanwhile is newer.
    pub fn put_back(&mut self, notices: Vec<Notice>) -> usize {
        let mut dropped = 0;
        for notice in notices.into_iter().rev() {
            let event = event(&notice);
            if self.waiting.contains_key(&event) {
                continue;
            }
            if self.order.len() >= QUEUE_MAX {
                dropped += 1;
                continue;
            }
            self.waiting.insert(event.clone(), notice);
            self.order.push_front(event);
        }
        dropped
    }
}

/// A firing alert that was not said again has been forgotten by whoever evaluates it; an end that is long past interests nobody.
pub(super) fn valid_until_ms(notice: &Notice) -> i64 {
    if notice.is_resolved { notice.ends_at_ms.saturating_add(RESOLVED_KEPT_MS) } else { notice.ends_at_ms }
}
