//! Recording and alerting rules: Prometheus' rule files, read strictly and evaluated as Prometheus does. Fetches nothing from
//! targets. Start at `file` for what a rule is, at `alert` for what becomes of an alert, at `outcome` for what an evaluation
//! stores.

pub mod alert;
pub mod file;
mod glob;
pub mod outcome;
pub mod template;

/// The label with an alert's name.
pub const ALERT_NAME: &str = "alertname";
