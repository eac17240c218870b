//! What an evaluation stores: recorded series under their new name, and the series about alerts, `ALERTS` and
//! `ALERTS_FOR_STATE`. Pure.

use std::collections::HashSet;

use super::ALERT_NAME;
use super::alert::{Alert, AlertState, Alerts};
use super::file::{Rule, Texts};
use crate::promql::QueryError;
use crate::series::{Labels, METRIC_NAME, Point, Sample};

/// The metric with a series for each pending or firing alert.
pub const ALERTS: &str = "ALERTS";

/// The metric that holds since when an alert's condition holds, in seconds since the epoch.
pub const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";

/// The label of [`ALERTS`] with the state.
const ALERT_STATE: &str = "alertstate";

/// Why a rule has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Its query has none.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Its query gives a text or a range.
    #[error("rule result is not a vector or scalar")]
    NotAVector,
    /// The rule's labels make two series the same.
    #[error("vector contains metrics with the same labelset after applying {0} labels")]
    SameLabels(&'static str),
    /// It makes more than its group allows.
    #[error("exceeded limit of {limit} with {found} {of}")]
    Limit {
        /// What is allowed.
        limit: usize,
        /// What there is.
        found: usize,
        /// `series` or `alerts`.
        of: &'static str,
    },
    /// Its samples are not stored.
    #[error("{0}")]
    Store(String),
}

/// The series that a recording rule stores.
///
/// # Errors
/// If its labels make two the same, or there are more than `limit`; 0 is no limit.
pub fn recorded(rule: &Rule, result: Vec<(Labels, Point)>, limit: usize) -> Result<Vec<(Labels, Point)>, RuleError> {
    let rename = |(labels, point): (Labels, Point)| (relabelled(&labels, &rule.labels, METRIC_NAME, &rule.name), point);
    let renamed: Vec<(Labels, Point)> = result.into_iter().map(rename).collect();
    let different: HashSet<&Labels> = renamed.iter().map(|(labels, _)| labels).collect();
    if different.len() < renamed.len() {
        return Err(RuleError::SameLabels("rule"));
    }
    if limit > 0 && renamed.len() > limit {
        return Err(RuleError::Limit { limit, found: renamed.len(), of: "series" });
    }
    Ok(renamed)
}

/// The labels of an alert: those of its series but the metric's name, the rule's with their templates filled in, the alert's
/// name.
pub fn alert_labels(series: &Labels, rule_labels: &Texts, name: &str) -> Labels {
    let nameless = series.pairs().iter().filter(|(name, _)| **name != *METRIC_NAME).cloned();
    relabelled(&Labels::new(nameless), rule_labels, ALERT_NAME, name)
}

/// Labels with others set; an empty one is taken away.
fn relabelled(labels: &Labels, texts: &Texts, name: &str, value: &str) -> Labels {
    let set = texts.iter().map(|(name, text)| (name.as_str().into(), text.as_str().into()));
    Labels::new(labels.pairs().iter().cloned().chain(set).chain([(name.into(), value.into())]))
}

/// `ALERTS` and `ALERTS_FOR_STATE` of the alerts that are pending or firing.
pub fn alert_samples(rule: &Rule, alerts: &Alerts, at_ms: i64) -> Vec<(Labels, Point)> {
    let active = alerts.values().filter(|alert| alert.state != AlertState::Inactive);
    let samples = active.flat_map(|alert| {
        #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are far below 2^53")]
        let since_s = alert.active_at_ms.div_euclid(1000) as f64;
        let sample = |labels, value| (labels, Point::Float(Sample { timestamp_ms: at_ms, value }));
        let state = [(METRIC_NAME, ALERTS), (ALERT_STATE, alert.state.word())];
        [
            sample(about(rule, alert, &state), 1.0),
            sample(about(rule, alert, &[(METRIC_NAME, ALERTS_FOR_STATE)]), since_s),
        ]
    });
    samples.collect()
}

/// The labels under which an alert's `ALERTS_FOR_STATE` is stored.
pub fn for_state_labels(rule: &Rule, alert: &Alert) -> Labels {
    about(rule, alert, &[(METRIC_NAME, ALERTS_FOR_STATE)])
}

/// As in Prometheus, the rule's labels come first as they are written: one whose template makes an empty text shows it here.
fn about(rule: &Rule, alert: &Alert, set: &[(&str, &str)]) -> Labels {
    let written = rule.labels.iter().map(|(name, text)| (name.as_str().into(), text.as_str().into()));
    let own = alert.labels.pairs().iter().cloned();
    let set = set.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Labels::new(written.chain(own).chain(set).chain([(ALERT_NAME.into(), rule.name.as_str().into())]))
}

#[cfg(test)]
mod tests;
