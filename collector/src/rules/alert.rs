//! What becomes of a rule's alerts: a state machine over what the rule found now and what was there before. Pure: the time
//! comes from outside. As in Prometheus, step for step.

use std::collections::{BTreeMap, HashSet};

use super::file::Texts;
use crate::series::{Labels, Sample, is_stale};

/// How long a resolved alert is remembered and told about, so that a receiver that was away still learns of it:
/// Prometheus' `resolvedRetention`.
pub const RESOLVED_KEPT_MS: i64 = 15 * 60 * 1000;

/// How many times a notification may be missed before a receiver takes the alert for resolved: Prometheus' factor.
const MISSES_MAX: i64 = 4;

/// Where an alert is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// It was firing and is not any more.
    Inactive,
    /// Its condition holds, but not for long enough.
    Pending,
    /// Its condition holds.
    Firing,
}

impl AlertState {
    /// The word of the API and of the label `alertstate`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// One series of an alerting rule's result, and its life. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// What tells it from others.
    pub labels: Labels,
    /// What is told about it.
    pub annotations: Texts,
    /// The result when it was there last.
    pub value: f64,
    /// Where it is in its life.
    pub state: AlertState,
    /// Since when its condition holds.
    pub active_at_ms: i64,
    /// Since when it fires.
    pub fired_at_ms: Option<i64>,
    /// Since when it does not any more.
    pub resolved_at_ms: Option<i64>,
    /// Since when it fires only because it is to go on for a while.
    pub keep_firing_since_ms: Option<i64>,
    /// When it was told about last.
    pub last_sent_ms: Option<i64>,
    /// When a receiver that hears nothing more may take it for resolved.
    pub valid_until_ms: i64,
}

/// The alerts of a rule by what tells them apart.
pub type Alerts = BTreeMap<Labels, Alert>;

/// A series that an alerting rule found now.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The alert's labels.
    pub labels: Labels,
    /// Its annotations, templates filled in.
    pub annotations: Texts,
    /// The result.
    pub value: f64,
}

/// How an alerting rule takes its time, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// `for`
    pub hold_ms: i64,
    /// `keep_firing_for`
    pub keep_firing_ms: i64,
}

/// Two series became the same alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SameLabels;

/// Takes in what the rule found now. Afterwards `alerts` has the pending, the firing, and those that were firing less than
/// [`RESOLVED_KEPT_MS`] ago.
///
/// # Errors
/// If two series are the same alert; nothing has changed then.
pub fn advance(alerts: &mut Alerts, seen: Vec<Seen>, timing: Timing, now_ms: i64) -> Result<(), SameLabels> {
    let found: HashSet<Labels> = seen.iter().map(|one| one.labels.clone()).collect();
    if found.len() < seen.len() {
        return Err(SameLabels);
    }
    for one in seen {
        meet(alerts, one, now_ms);
    }
    alerts.retain(|labels, alert| {
        let is_there = found.contains(labels);
        is_there || !is_over(alert, now_ms)
    });
    for alert in alerts.values_mut() {
        step(alert, found.contains(&alert.labels), timing, now_ms);
    }
    Ok(())
}

fn meet(alerts: &mut Alerts, seen: Seen, now_ms: i64) {
    match alerts.get_mut(&seen.labels) {
        Some(alert) if alert.state != AlertState::Inactive => {
            alert.value = seen.value;
            alert.annotations = seen.annotations;
        }
        _ => {
            let alert = Alert {
                labels: seen.labels.clone(),
                annotations: seen.annotations,
                value: seen.value,
                state: AlertState::Pending,
                active_at_ms: now_ms,
                fired_at_ms: None,
                resolved_at_ms: None,
                keep_firing_since_ms: None,
                last_sent_ms: None,
                valid_until_ms: 0,
            };
            alerts.insert(seen.labels, alert);
        }
    }
}

/// Whether an alert whose series is gone can be forgotten.
fn is_over(alert: &Alert, now_ms: i64) -> bool {
    alert.state == AlertState::Pending
        || alert.resolved_at_ms.is_some_and(|resolved_ms| now_ms.saturating_sub(resolved_ms) > RESOLVED_KEPT_MS)
}

fn step(alert: &mut Alert, is_there: bool, timing: Timing, now_ms: i64) {
    if is_there {
        alert.keep_firing_since_ms = None;
    } else if !keeps_firing(alert, timing, now_ms) {
        if alert.state != AlertState::Inactive {
            alert.state = AlertState::Inactive;
            alert.resolved_at_ms = Some(now_ms);
        }
        return;
    }
    let has_held = now_ms.saturating_sub(alert.active_at_ms) >= timing.hold_ms;
    match alert.state {
        AlertState::Pending if has_held => {
            alert.state = AlertState::Firing;
            alert.fired_at_ms = Some(now_ms);
        }
        // A reload may have made `for` longer.
        AlertState::Firing if !has_held => {
            alert.state = AlertState::Pending;
            (alert.fired_at_ms, alert.last_sent_ms, alert.keep_firing_since_ms) = (None, None, None);
        }
        _ => {}
    }
}

fn keeps_firing(alert: &mut Alert, timing: Timing, now_ms: i64) -> bool {
    if alert.state != AlertState::Firing || timing.keep_firing_ms <= 0 {
        return false;
    }
    let since_ms = *alert.keep_firing_since_ms.get_or_insert(now_ms);
    now_ms.saturating_sub(since_ms) < timing.keep_firing_ms
}

/// How many are pending or firing.
pub fn active(alerts: &Alerts) -> usize {
    alerts.values().filter(|alert| alert.state != AlertState::Inactive).count()
}

/// The alerts that receivers are to be told about now, marked as told: those that began to fire or ended, and those that
/// nothing was said about for `resend_ms`.
pub fn take_due(alerts: &mut Alerts, now_ms: i64, resend_ms: i64, interval_ms: i64) -> Vec<Alert> {
    let due = alerts.values_mut().filter(|alert| is_due(alert, now_ms, resend_ms));
    let told = due.map(|alert| {
        alert.last_sent_ms = Some(now_ms);
        alert.valid_until_ms = now_ms.saturating_add(resend_ms.max(interval_ms).saturating_mul(MISSES_MAX));
        alert.clone()
    });
    told.collect()
}

fn is_due(alert: &Alert, now_ms: i64, resend_ms: i64) -> bool {
    if alert.state == AlertState::Pending {
        return false;
    }
    let Some(sent_ms) = alert.last_sent_ms else { return true };
    alert.resolved_at_ms.is_some_and(|resolved_ms| resolved_ms > sent_ms) || sent_ms.saturating_add(resend_ms) < now_ms
}

/// Since when an alert counts as active after a restart, given the last sample of its `ALERTS_FOR_STATE`, whose value is when
/// it became active, in seconds. Time while nobody looked is not counted; after it an alert stays pending for `grace_ms` at
/// least, so that what recovered meanwhile is seen first. `None` leaves the alert as it is.
pub fn restored(last: Sample, hold_ms: i64, grace_ms: i64, now_ms: i64) -> Option<i64> {
    if is_stale(last.value) || !last.value.is_finite() {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "seconds since the epoch; what is absurd saturates")]
    let active_ms = (last.value as i64).saturating_mul(1000);
    let down_ms = last.timestamp_ms.div_euclid(1000).saturating_mul(1000);
    let remaining_ms = hold_ms.saturating_sub(down_ms.saturating_sub(active_ms));
    Some(if remaining_ms <= 0 {
        active_ms
    } else if remaining_ms < grace_ms {
        now_ms.saturating_add(grace_ms).saturating_sub(hold_ms)
    } else {
        active_ms.saturating_add(now_ms.saturating_sub(down_ms))
    })
}

#[cfg(test)]
mod tests;
