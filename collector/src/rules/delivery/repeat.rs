//! What a webhook has been told: rules say a firing alert again every minute, which an Alertmanager wants and a person does not.
//! Pure.

use std::collections::HashMap;

use super::queue::{QUEUE_MAX, valid_until_ms};
use crate::rules::notice::Notice;
use crate::series::Labels;

/// Remembers what was told.
#[derive(Debug)]
pub(super) struct Repeat {
    interval_ms: i64,
    send_resolved: bool,
    told: HashMap<Labels, Told>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    starts_at_ms: i64,
    is_resolved: bool,
    at_ms: i64,
    /// When the rule may have forgotten the alert.
    until_ms: i64,
}

impl Repeat {
    pub fn new(interval_ms: i64, send_resolved: bool) -> Self {
        Self { interval_ms, send_resolved, told: HashMap::new() }
    }

    /// Whether the webhook is to be told; it counts as told then.
    pub fn admits(&mut self, notice: &Notice, now_ms: i64) -> bool {
        let until_ms = valid_until_ms(notice);
        let before = self.told.get_mut(&notice.labels).filter(|told| told.starts_at_ms == notice.starts_at_ms);
        let is_due = match before {
            // Who never heard that it began need not hear that it ended.
            None => !notice.is_resolved,
            Some(told) => {
                told.until_ms = until_ms;
                let is_news = told.is_resolved != notice.is_resolved;
                let is_late = !notice.is_resolved && now_ms.saturating_sub(told.at_ms) >= self.interval_ms;
                is_news || is_late
            }
        };
        if is_due {
            self.make_room(now_ms);
            let told =
                Told { starts_at_ms: notice.starts_at_ms, is_resolved: notice.is_resolved, at_ms: now_ms, until_ms };
            self.told.insert(notice.labels.clone(), told);
        }
        is_due && (self.send_resolved || !notice.is_resolved)
    }

    /// Forgets alerts that their rules have forgotten; and the one that was told longest ago, if that is not enough.
    fn make_room(&mut self, now_ms: i64) {
        if self.told.len() < QUEUE_MAX {
            return;
        }
        self.told.retain(|_, told| told.until_ms >= now_ms);
        if self.told.len() >= QUEUE_MAX
            && let Some(oldest) = self.told.iter().min_by_key(|(_, told)| told.at_ms).map(|(labels, _)| labels.clone())
        {
            self.told.remove(&oldest);
        }
    }
}
