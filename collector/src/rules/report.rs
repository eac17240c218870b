//! What is known of groups and rules, for the API and the metrics: how each evaluation went, which alerts there are. Evaluates
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use prometheus_client::metrics::histogram::Histogram;

use super::alert::{Alert, AlertState};
use super::file::RuleGroup;

/// Bounds of evaluations' durations, in seconds: from what one lookup takes to the usual interval.
const DURATION_BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];

/// Whether a rule could be evaluated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Health {
    /// It has not been yet.
    #[default]
    Unknown,
    /// Yes.
    Good,
    /// No, and why.
    Bad(String),
}

impl Health {
    /// The word of the API.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good => "ok",
            Self::Bad(_) => "err",
        }
    }
}

/// How a rule's last evaluation went.
#[derive(Debug, Clone, Default)]
pub struct RuleStatus {
    /// Whether it could be done.
    pub health: Health,
    /// How long it took.
    pub took: Duration,
    /// When it began, milliseconds since the epoch.
    pub at_ms: Option<i64>,
    /// Alerts that are pending or firing.
    pub alerts: Arc<Vec<Alert>>,
}

impl RuleStatus {
    /// The most serious state of the rule's alerts.
    pub fn state(&self) -> AlertState {
        self.alerts.iter().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive)
    }
}

/// How a group's last evaluation went.
#[derive(Debug, Clone, Default)]
pub struct GroupStatus {
    /// How long it took.
    pub took: Duration,
    /// When it began, milliseconds since the epoch.
    pub at_ms: Option<i64>,
    /// Samples that it gave.
    pub samples: usize,
    /// How long it took to find what was pending before a restart.
    pub restore_took: Duration,
    /// Evaluations that were due, missed ones included.
    pub iterations: u64,
    /// Evaluations that were due and not done, because the one before took too long.
    pub missed: u64,
    /// Evaluations of rules.
    pub evaluations: u64,
    /// Of them, those that failed.
    pub failures: u64,
    /// In the group's order.
    pub rules: Vec<RuleStatus>,
}

/// A group and how it goes.
#[derive(Debug)]
pub struct GroupReport {
    /// What the file says.
    pub group: Arc<RuleGroup>,
    status: Mutex<GroupStatus>,
}

impl GroupReport {
    pub(super) fn new(group: Arc<RuleGroup>) -> Self {
        let rules = vec![RuleStatus::default(); group.rules.len()];
        Self { group, status: Mutex::new(GroupStatus { rules, ..GroupStatus::default() }) }
    }

    /// How it goes now.
    pub fn status(&self) -> GroupStatus {
        self.status.lock().clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut GroupStatus)) {
        change(&mut self.status.lock());
    }
}

/// Counts of all groups together.
#[derive(Debug, Default)]
pub struct RuleCounts {
    /// Templates filled in.
    pub expansions: AtomicU64,
    /// Of them, those that failed.
    pub expansion_failures: AtomicU64,
}

/// All groups and how they go.
#[derive(Debug)]
pub struct RulesReport {
    groups: ArcSwap<Vec<Arc<GroupReport>>>,
    /// Counts of all groups.
    pub counts: RuleCounts,
    /// How long evaluations of rules take.
    pub rule_durations: Histogram,
    /// How long evaluations of groups take.
    pub group_durations: Histogram,
}

impl Default for RulesReport {
    fn default() -> Self {
        Self {
            groups: ArcSwap::default(),
            counts: RuleCounts::default(),
            rule_durations: Histogram::new(DURATION_BUCKETS),
            group_durations: Histogram::new(DURATION_BUCKETS),
        }
    }
}

impl RulesReport {
    /// All groups, in order of file and name.
    pub fn groups(&self) -> Arc<Vec<Arc<GroupReport>>> {
        self.groups.load_full()
    }

    pub(super) fn set_groups(&self, mut groups: Vec<Arc<GroupReport>>) {
        groups.sort_by(|a, b| (&a.group.file, &a.group.name).cmp(&(&b.group.file, &b.group.name)));
        self.groups.store(Arc::new(groups));
    }

    pub(super) fn expanded(&self, is_good: bool) {
        self.counts.expansions.fetch_add(1, Ordering::Relaxed);
        self.counts.expansion_failures.fetch_add(u64::from(!is_good), Ordering::Relaxed);
    }
}
