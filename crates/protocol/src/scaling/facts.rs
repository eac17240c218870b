//! The numbers behind what a guard did: from them and the number before it, the number after it can be worked out again.

use serde::{Deserialize, Serialize};

use crate::faults::FaultKind;

/// The numbers behind a guard, by the guard's own rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum GuardFacts {
    /// The service suffers from another one. What is wished beyond `from` is cut to the largest of `from`, `trusted` and
    /// `grown`.
    Culprit {
        /// The service that it suffers from.
        culprit: String,
        /// How that one is broken.
        fault: FaultKind,
        /// How sure that is, 0 to 1.
        score: f64,
        /// Since when, milliseconds since the epoch.
        since_ms: i64,
        /// When that was judged, milliseconds since the epoch.
        at_ms: i64,
        /// The most that signals ask for which a culprit cannot raise; 0 where there are none.
        trusted: u32,
        /// What requests that grew in number ask for; `null` where they did not, or nothing is known of the time before.
        grown: Option<Growth>,
    },
    /// Requests take longer than usual, and not in the service itself. What is wished beyond `from` is cut to the largest of `from`,
    /// `trusted` and `grown`.
    Waiting {
        /// Seconds that half of the requests take at most.
        seconds: f64,
        /// What that usually is.
        seconds_usual: f64,
        /// Mean seconds of a request in the service itself.
        own_seconds: f64,
        /// What that usually is.
        own_seconds_usual: f64,
        /// The most that signals ask for which waiting cannot raise; 0 where there are none.
        trusted: u32,
        /// What requests that grew in number ask for; `null` where they did not.
        grown: Option<Growth>,
    },
    /// Requests that were sent before are no demand. What is wished beyond `from` is cut to the largest of `from`, `trusted` and
    /// `most`.
    Retries {
        /// Requests a second, those sent again included.
        attempts: f64,
        /// Requests a second that had been sent before.
        retried: f64,
        /// Seconds that both were counted over ...
        window_seconds: f64,
        /// ... up to this time, milliseconds since the epoch.
        at_ms: i64,
        /// The most that signals ask for which retries cannot raise; 0 where there are none.
        trusted: u32,
        /// Replicas that were wished at the least since `at_ms`.
        least: u32,
        /// `least` times the share that was not sent before; while it is not known yet what the requests are that the wish
        /// follows from, one more than there were; `null` where neither cuts anything.
        most: Option<u32>,
        /// Since when more is wished than the call graph has seen yet, milliseconds since the epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waits_since_ms: Option<i64>,
    },
    /// The service does not recover although what brought it down is over. Fewer replicas than `from` become `from`.
    Metastable {
        /// What brought it down: `loadSpike`, `capacityLoss` or `dependencyFault`.
        trigger: String,
        /// What keeps it down: `retries` or `slowPath`.
        amplifier: String,
        /// Since when, milliseconds since the epoch.
        since_ms: i64,
        /// Requests a second, those sent again left out.
        offered: f64,
        /// Requests a second that as many replicas carried well before.
        carried: f64,
        /// Share of them that go well, 0 to 1.
        good_share: f64,
        /// Share of all requests that had been sent before, 0 to 1.
        retried_share: f64,
        /// Seconds that half of the requests take at most; `null` where not known.
        seconds: Option<f64>,
        /// What that usually is.
        seconds_usual: Option<f64>,
    },
    /// Replicas take something that others share. What is wished beyond `from` is cut to the largest of `from` and the least
    /// `most` of the budgets; where `unlisted`, whatever is wished becomes `from`.
    Downstream {
        /// Replicas that are ending and take it until they have.
        ending: u32,
        /// The cluster does not list yet what was asked for last.
        unlisted: bool,
        /// Every budget of the policy.
        budgets: Vec<BudgetRecord>,
    },
    /// How much is taken away at once of services that depend on each other. Fewer replicas than `from` become `from` when
    /// `lowered` and the step together are more than `most`, unless nobody else lowers.
    Cone {
        /// Services of the cone.
        services: u32,
        /// Replicas of all of them.
        replicas: u32,
        /// Replicas that were taken from others of them within `window_seconds`.
        lowered: u32,
        /// The most that may be.
        most: u32,
        /// How long what was taken away counts.
        window_seconds: u32,
    },
    /// What was taken away last, and how requests went before and since. Where it is undone, the number becomes `from_replicas`,
    /// and until `until_ms` nothing is taken away.
    Change {
        /// When, milliseconds since the epoch.
        changed_ms: i64,
        /// Replicas before.
        from_replicas: u32,
        /// Replicas since.
        to_replicas: u32,
        /// Share of requests that failed before, 0 to 1.
        failed_before: Option<f64>,
        /// Share that fails since.
        failed_since: Option<f64>,
        /// An objective burns its budget fast since.
        burns: bool,
        /// Changes undone in a row.
        undone: u32,
        /// Until when nothing is taken away, milliseconds since the epoch; `null` where nothing forbids it.
        until_ms: Option<i64>,
    },
}

/// Requests that grew in number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Growth {
    /// Requests a second before the fault.
    pub before: f64,
    /// Requests a second now; both without those sent again.
    pub now: f64,
    /// Replicas before the fault.
    pub replicas_before: u32,
    /// `replicas_before` times `now` by `before`, rounded up.
    pub replicas: u32,
}

/// A downstream budget and who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetRecord {
    /// Its name.
    pub budget: String,
    /// How much there is.
    pub total: u64,
    /// How much each replica takes.
    pub per_replica: u32,
    /// How much other workloads hold, with what this tick gives them.
    pub others_hold: u64,
    /// Those of them that hold most, the largest first; five at most.
    pub others: Vec<BudgetHolder>,
    /// The most replicas that it leaves room for: `total` less `others_hold`, by `per_replica`, less those ending.
    pub most: u32,
}

/// Who holds some of a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetHolder {
    /// Name of the workload.
    pub workload: String,
    /// How much of it.
    pub holds: u64,
}
