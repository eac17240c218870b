//! What is known of the services around a workload's own: whether it suffers from another one, what requests come to it, and what
//! others leave it of what is shared. Plain values; what is not known, or too old, holds nothing.

use protocol::faults::FaultKind;

use super::cone::Share;
use super::downstream::Allowance;

/// A verdict that is older says nothing about now: it is made each second, and up to a scrape interval later where it is made of
/// metrics.
const VERDICT_AGE_MAX_MS: i64 = 60_000;

/// Requests that were counted up to a time longer ago say nothing about now. The call graph is 5 s behind.
const TRAFFIC_AGE_MAX_MS: i64 = 30_000;

/// What is known around one workload.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Surroundings {
    /// That its service suffers from another one.
    pub suffering: Option<Suffering>,
    /// The requests that come to its service.
    pub traffic: Option<Traffic>,
    /// What others leave it of each of the policy's budgets.
    pub downstream: Vec<Allowance>,
    /// What may be taken at once of the services that depend on each other; `None` where that limits nothing.
    pub cone: Option<Share>,
}

/// A service fails or waits because of another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Suffering {
    /// The other one.
    pub culprit: String,
    /// How that one is broken.
    pub fault: FaultKind,
    /// How sure that is, 0 to 1.
    pub score: f64,
    /// Since when, milliseconds since the epoch.
    pub since_ms: i64,
    /// When it was judged, milliseconds since the epoch.
    pub at_ms: i64,
}

/// The requests that come to a service, on average over a window, as those see them who send them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Traffic {
    /// Milliseconds since the epoch at the end of the window.
    pub at_ms: i64,
    /// Length of the window.
    pub window_seconds: f64,
    /// Requests a second.
    pub attempts: f64,
    /// Those of them that had been sent before.
    pub retried: f64,
    /// Share of all of them that failed, 0 to 1.
    pub failed_share: f64,
    /// Seconds that half of them take at most; `None` where not known.
    pub seconds: Option<f64>,
    /// Mean seconds of a request spent in the service itself; `None` where not known.
    pub own_seconds: Option<f64>,
    /// Other services send some of them, and would say which they had sent before.
    pub has_callers: bool,
}

impl Traffic {
    /// Length of the window in milliseconds.
    pub fn window_ms(&self) -> i64 {
        (self.window_seconds * 1000.0) as i64
    }

    /// Requests a second without those that had been sent before.
    pub fn offered(&self) -> f64 {
        (self.attempts - self.retried).max(0.0)
    }

    /// Share of all requests that had been sent before, 0 to 1.
    pub fn retried_share(&self) -> f64 {
        if self.attempts > 0.0 { (self.retried / self.attempts).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Requests a second that went well.
    pub fn good(&self) -> f64 {
        self.attempts * (1.0 - self.failed_share)
    }

    /// Share of those that were asked for that went well, 0 to 1.
    pub fn good_share(&self) -> f64 {
        let offered = self.offered();
        if offered > 0.0 { (self.good() / offered).clamp(0.0, 1.0) } else { 1.0 }
    }
}

impl Surroundings {
    /// That the service suffers, as far as that is known of now.
    pub fn suffering(&self, now_ms: i64) -> Option<&Suffering> {
        self.suffering.as_ref().filter(|known| (now_ms - known.at_ms).abs() <= VERDICT_AGE_MAX_MS)
    }

    /// The requests of now, as far as they are known.
    pub fn traffic(&self, now_ms: i64) -> Option<&Traffic> {
        self.traffic.as_ref().filter(|known| (now_ms - known.at_ms).abs() <= TRAFFIC_AGE_MAX_MS)
    }
}
