//! What receivers are told about an alert. Sends nothing.

use url::Url;

use super::alert::{Alert, AlertState};
use super::file::Texts;
use super::template;
use crate::series::Labels;

/// An alert as receivers are told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// What tells it from others.
    pub labels: Labels,
    /// What is told about it.
    pub annotations: Texts,
    /// Since when it fires, milliseconds since the epoch.
    pub starts_at_ms: i64,
    /// When it ended; of one that fires, when it may be taken for ended if nothing more is heard.
    pub ends_at_ms: i64,
    /// Whether it has ended.
    pub is_resolved: bool,
    /// Where its query can be looked at.
    pub generator_url: String,
}

impl Notice {
    /// What is told about an alert that came from a query.
    pub fn of(alert: Alert, query: &str, external_url: &Url) -> Self {
        Self {
            starts_at_ms: alert.fired_at_ms.unwrap_or(alert.active_at_ms),
            ends_at_ms: alert.resolved_at_ms.unwrap_or(alert.valid_until_ms),
            is_resolved: alert.state == AlertState::Inactive,
            generator_url: format!("{}{}", template::shown(external_url), template::table_link(query)),
            labels: alert.labels,
            annotations: alert.annotations,
        }
    }
}

/// Tells receivers. It must not block: whoever evaluates rules waits for it.
pub trait AlertSink: Send + Sync + 'static {
    /// Takes notices to be told.
    fn send(&self, notices: Vec<Notice>);
}
