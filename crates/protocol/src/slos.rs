//! `GET /api/v1/slos` of the autoscaler: how the service level objectives are, and what is left of their error budgets.

use serde::{Deserialize, Serialize};

/// How an objective is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ObjectiveState {
    /// Nothing happened, or nothing is known.
    NoData,
    /// The budget lasts.
    Ok,
    /// It will not last: a ticket.
    SlowBurn,
    /// It is going fast: a page.
    FastBurn,
}

/// What happened in one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BurnWindow {
    /// Such as `5m`.
    pub window: String,
    /// 1 spends the budget in exactly the objective's window; `null` where nothing happened.
    pub burn_rate: Option<f64>,
    /// Bad events; not whole, as increases are extrapolated.
    pub bad: f64,
    /// All events.
    pub total: f64,
}

/// An objective and how it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectiveStatus {
    /// `service` or `journey`.
    pub kind: String,
    /// Namespace of the service; empty for a journey.
    pub namespace: String,
    /// Name of the service or journey.
    pub subject: String,
    /// The objective's name, such as `availability`.
    pub objective: String,
    /// The share of events that must be good, such as 0.999.
    pub target: f64,
    /// Seconds of the window that the budget is of.
    pub window_seconds: u64,
    /// How it is.
    pub state: ObjectiveState,
    /// Why, in one sentence.
    pub message: String,
    /// The share of the budget that is left: 1 for all of it, negative when more than all is spent; `null` where nothing happened.
    pub budget_left: Option<f64>,
    /// The windows, shortest first; the last is the objective's own.
    pub windows: Vec<BurnWindow>,
    /// Milliseconds since the epoch up to which events were counted; 0 before the first answer.
    pub at_ms: i64,
}
