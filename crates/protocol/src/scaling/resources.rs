//! The part of a decision record that tells of containers' resources: from its numbers alone the outcome can be recomputed.

use serde::{Deserialize, Serialize};

/// What one way to work out an amount gives, and what it would have cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelRecord {
    /// Such as `p90`, `p98`, `threeSigma`, `dayMax`, `weekMax`.
    pub model: String,
    /// What it gives, in cores or bytes.
    pub wish: f64,
    /// What it would have cost on what is recorded: overrun, what was left idle, and changes, in shares of what is used on average.
    pub cost: f64,
}

/// What one step did to an amount.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AmountGuardRecord {
    /// Such as `weeklyPeak`, `room`, `throttling`, `pressure`, `kill`, `rounding`, `bounds`, `freshness`, `deadBand`, `history`,
    /// `pace`, `resizing`, `replicas`, `burnRate`, `step`.
    pub guard: String,
    /// Cores or bytes before.
    pub before: f64,
    /// Cores or bytes after; equal to `before` when it let it pass.
    pub after: f64,
    /// Why, in words; empty when it let it pass.
    pub note: String,
}

/// One resource of one container at one tick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRecord {
    /// The container.
    pub container: String,
    /// `cpu`, in cores, or `memory`, in bytes.
    pub resource: String,
    /// What it was to request before the tick; `null` where it requests nothing, and is left alone.
    pub from: Option<f64>,
    /// What it may not exceed; keeps its ratio to the request.
    pub limit: Option<f64>,
    /// Hours of the last day of which it is known what was used.
    pub hours_known: f64,
    /// What each model gives; empty before the first quarter of an hour has passed.
    pub models: Vec<ModelRecord>,
    /// The model that is believed: the cheapest, or the one before while no other is cheaper by a tenth.
    pub model: Option<String>,
    /// What would be given if the policy had no bounds.
    pub unbounded: Option<f64>,
    /// What the policy asks for; `from` when it asks for nothing else.
    pub wish: Option<f64>,
    /// What was done to the model's wish, in order; the last `after` is the wish.
    pub guards: Vec<AmountGuardRecord>,
    /// Whether a write was made and accepted.
    pub applied: bool,
    /// Why the cluster did not accept it; empty when it did, or was not asked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub refused: String,
    /// One sentence for people.
    pub message: String,
}
