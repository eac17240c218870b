//! An objective after it has been checked: of whom, what share of events must be good, over how long, and what an event is.
//! Never queries and never judges. Files become objectives in `load`; what people may write is in `raw`.

use std::fmt;
use std::time::Duration;

use crate::promql::Template;

/// One objective of one service or journey.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// Its name, unique for its subject: `availability`, `latency`, or what its author calls it.
    pub name: String,
    /// Of whom.
    pub subject: Subject,
    /// The share of events that must be good.
    pub target: Target,
    /// The window that the share, and so the error budget, is of.
    pub window: Duration,
    /// What an event is, and which are bad.
    pub indicator: Indicator,
    /// While most of the budget is left, the autoscaler may spend of it by running fewer replicas.
    pub packing: bool,
}

/// Of whom something is promised.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A service: its workload has the same name.
    Service {
        /// Namespace of the service.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// What a customer does. Belongs to no namespace: a journey crosses them.
    Journey {
        /// Its name.
        name: String,
    },
}

impl Subject {
    /// `service` or `journey`: the label of rules and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Service { .. } => "service",
            Self::Journey { .. } => "journey",
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Service { name, .. } | Self::Journey { name } => name,
        }
    }

    /// Its namespace; empty for a journey.
    pub fn namespace(&self) -> &str {
        match self {
            Self::Service { namespace, .. } => namespace,
            Self::Journey { .. } => "",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { namespace, name } => write!(f, "service {namespace}/{name}"),
            Self::Journey { name } => write!(f, "journey {name}"),
        }
    }
}

/// Parts of a whole that [`Target`] is exact to.
const WHOLE: u64 = 1_000_000_000;

/// A share of events that must be good, more than 0 and less than 1; exact to a billionth, so that the budget of 99.9 % is 0.001 and
/// not 0.0010000000000000009.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    budget: u64,
}

impl Target {
    /// From a share such as 0.999; `None` unless it is more than 0 and less than 1 by at least a billionth.
    pub fn from_share(share: f64) -> Option<Self> {
        let good = (share * WHOLE as f64).round();
        let is_inside = good.is_finite() && good >= 1.0 && good < WHOLE as f64;
        is_inside.then(|| Self { budget: WHOLE - good as u64 })
    }

    /// The share of events that may be bad: more than 0, less than 1.
    pub fn budget(self) -> f64 {
        self.budget as f64 / WHOLE as f64
    }

    /// The share of events that must be good.
    pub fn share(self) -> f64 {
        (WHOLE - self.budget) as f64 / WHOLE as f64
    }
}

impl fmt::Display for Target {
    /// As percent, such as `99.9%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = ((WHOLE - self.budget) / 10_000_000, (WHOLE - self.budget) % 10_000_000);
        let fraction = format!("{rest:07}");
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { write!(f, "{whole}%") } else { write!(f, "{whole}.{fraction}%") }
    }
}

/// What an event is, and which are bad.
#[derive(Debug, Clone, PartialEq)]
pub enum Indicator {
    /// Requests of a service that were answered, those with 5xx are bad; of a journey those that ended, with an error are bad.
    Availability,
    /// The same events, those that took longer than a bucket's bound are bad.
    Latency {
        /// The bound; one of the histogram's.
        below: Duration,
    },
    /// Any counters.
    Events {
        /// Bad ones.
        bad: Template,
        /// All.
        total: Template,
    },
    /// The same by the good ones.
    GoodEvents {
        /// Good ones.
        good: Template,
        /// All.
        total: Template,
    },
    /// A share of bad events that somebody else has worked out. Every minute weighs the same, as one event.
    ErrorRatio {
        /// The share, 0 to 1.
        ratio: Template,
    },
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_budget_is_exact_to_a_billionth() {
        let target = Target::from_share(0.999).unwrap();
        assert_eq!((target.budget(), target.to_string().as_str()), (0.001, "99.9%"));
        assert_eq!(Target::from_share(0.99999).unwrap().to_string(), "99.999%");
        assert_eq!(Target::from_share(0.95).unwrap().to_string(), "95%");
        for share in [0.0, 1.0, 1.5, -0.1, f64::NAN, 0.999_999_999_9] {
            assert_eq!(Target::from_share(share), None, "{share}");
        }
    }
}
