//! A scaling policy after it has been checked: what may be scaled, by which signals, within which limits.
//! Never reads metrics and never decides. Files become policies in `load`; what people may write is in `raw`.

mod check;
pub mod crd;
pub mod files;
pub mod formula;
pub mod import;
pub mod json_schema;
mod load;
mod raw;
mod resources;
mod schedule;
mod set;

use std::time::Duration;

pub use check::check;
use cluster::WorkloadRef;
pub use load::{from_documents, load};
use protocol::scaling::{Mode, ObjectName};
pub use resources::{AmountBounds, Apply, ResourcePolicy};
pub use schedule::{Schedule, ScheduleError};
pub use set::PolicySet;

use self::formula::Formula;

/// One policy: one target and everything that steers it.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its own name.
    pub name: ObjectName,
    /// The workload it steers; always in the policy's own namespace.
    pub target: WorkloadRef,
    /// What the workload's spans and metrics call it.
    pub service: String,
    /// What its customers were promised.
    pub objective: Objective,
    /// What it may do.
    pub mode: Mode,
    /// Fewest and most replicas.
    pub bounds: Bounds,
    /// Readings that ask for capacity; the largest wish wins. Never empty, names are unique.
    pub signals: Vec<Signal>,
    /// How fast replicas may change. `None` is HPA's rule for an absent `behavior`: up to `max(2 x current, 4)` a tick,
    /// down to the highest wish of the last five minutes.
    pub behavior: Option<Behavior>,
    /// What its replicas take of others, each of another name.
    pub budgets: Vec<DownstreamBudget>,
    /// What to do when nothing could be read for long.
    pub fallback: Option<Fallback>,
    /// What its containers may be given; `None` leaves their resources alone.
    pub resources: Option<ResourcePolicy>,
}

/// Something that replicas take and others bear so much of, such as connections of a database. Policies of one namespace that name
/// the same one share it; where they differ in its total, the smallest holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownstreamBudget {
    /// What is shared.
    pub name: String,
    /// How much of it there is; at least 1.
    pub total: u32,
    /// How much each replica takes, as long as it exists; at least 1.
    pub per_replica: u32,
}

/// What customers were promised.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Objective {
    /// How fast requests are answered.
    pub latency: Option<LatencyObjective>,
    /// The share of requests that are answered well, above 0 and below 1.
    pub availability: Option<f64>,
}

/// How fast requests are answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyObjective {
    /// The share of requests that must be, above 0 and below 1.
    pub quantile: f64,
    /// How fast.
    pub below: Duration,
}

/// Fewest and most replicas; `1 <= min <= max`. Signed as HPA's are, because its arithmetic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Fewest.
    pub min: i32,
    /// Most.
    pub max: i32,
}

/// One reading that asks for capacity.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// What records and sentences call it.
    pub name: String,
    /// A reading older than this is none; a schedule reads nothing.
    pub max_age: Duration,
    /// What is read and what is aimed at.
    pub aim: Aim,
}

/// What a signal reads and what it aims at.
#[derive(Debug, Clone, PartialEq)]
pub enum Aim {
    /// Usage as a share of what the containers request.
    Utilization {
        /// CPU or memory.
        resource: Resource,
        /// One container of each replica; `None` means all.
        container: Option<String>,
        /// Percent of the request.
        percent: i32,
    },
    /// A number from PromQL.
    Query {
        /// The query; several series are summed.
        promql: String,
        /// Its bare selectors, for the age of the newest sample behind it.
        selectors: Vec<String>,
        /// The number aimed at.
        target: QueryTarget,
    },
    /// A number computed from several queries.
    Expression {
        /// What is computed; its inputs are the queries.
        formula: Formula,
        /// What is read.
        queries: Vec<NamedQuery>,
        /// The number aimed at.
        target: QueryTarget,
    },
    /// Replicas at certain times.
    Schedule(Schedule),
    /// As many replicas as the requests that arrive need.
    Demand(Sizing),
    /// As many as the requests at the front door will need here.
    Upstream(Sizing),
    /// As many as work off in time what waits, beside what arrives.
    Backlog {
        /// How much waits; several series are summed.
        promql: String,
        /// Its bare selectors.
        selectors: Vec<String>,
        /// In what time it is to be done.
        drain_within: Duration,
        /// What is done a second and its bare selectors; `None` counts the service's requests.
        throughput: Option<(String, Vec<String>)>,
    },
}

impl Aim {
    /// Whether it needs a reading: without one it cannot say.
    pub fn reads(&self) -> bool {
        !matches!(self, Self::Schedule(_))
    }

    /// Whether it works out a size from what arrives or waits, instead of comparing a reading with a target.
    pub fn sizes(&self) -> bool {
        matches!(self, Self::Demand(_) | Self::Upstream(_) | Self::Backlog { .. })
    }

    /// Whether it needs to know what the service's requests are.
    pub fn reads_requests(&self) -> bool {
        matches!(self, Self::Demand(_) | Self::Upstream(_) | Self::Backlog { throughput: None, .. })
    }
}

/// A query that a formula knows by name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedQuery {
    /// What the formula calls it.
    pub name: String,
    /// The query; several series are summed.
    pub promql: String,
    /// Its bare selectors, for the age of the newest sample behind it.
    pub selectors: Vec<String>,
}

/// How a workload is sized by its requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizing {
    /// What the wait must leave room for.
    pub latency: LatencyObjective,
    /// The largest share of the workers that may be busy on average.
    pub utilization_max: f64,
    /// Requests that one replica works on at once; `None` learns it from CPU.
    pub workers: Option<u32>,
    /// `(Ca2 + Cs2) / 2` of arrivals and service times.
    pub variability: f64,
}

/// The number a query aims at, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryTarget {
    /// So much for each replica (HPA's `AverageValue`): replicas = value / target.
    PerReplica(i64),
    /// So much in all (HPA's `Value`): replicas grow as value / target does.
    Total(i64),
}

/// A resource of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// CPU time.
    Cpu,
    /// Working set.
    Memory,
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        })
    }
}

/// How far a reading may be from its target before anything is done, as a share of the target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Upwards.
    pub up: f64,
    /// Downwards.
    pub down: f64,
}

impl Tolerance {
    /// Whether a ratio of reading to target asks for nothing. NaN is never inside.
    pub fn covers(self, ratio: f64) -> bool {
        (1.0 - self.down) <= ratio && ratio <= (1.0 + self.up)
    }
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { up: TOLERANCE_DEFAULT, down: TOLERANCE_DEFAULT }
    }
}

/// How fast replicas may change, in each direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Behavior {
    /// Upwards.
    pub up: ScalingRules,
    /// Downwards.
    pub down: ScalingRules,
}

/// How fast replicas may change in one direction.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalingRules {
    /// The least (up) or highest (down) wish of this long counts.
    pub window: Duration,
    /// Which of the policies counts.
    pub select: Select,
    /// The policies.
    pub policies: Vec<RatePolicy>,
    /// How far from the target nothing is done.
    pub tolerance: f64,
}

/// Which of several rate policies counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// The one that allows most change.
    Max,
    /// The one that allows least change.
    Min,
    /// None: this direction is closed.
    Disabled,
}

/// At most so much change within a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RatePolicy {
    /// How much.
    pub change: Change,
    /// Within how long.
    pub period: Duration,
}

/// An amount of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// So many replicas.
    Pods(i32),
    /// So many percent of the replicas at the start of the period.
    Percent(i32),
}

/// What to do when no signal could be read for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallback {
    /// How long nothing must have been readable.
    pub after_missing: Duration,
    /// At least so many replicas then; never fewer than there are.
    pub replicas: i32,
}

/// HPA's `--horizontal-pod-autoscaler-tolerance`.
pub const TOLERANCE_DEFAULT: f64 = 0.1;

/// HPA's `--horizontal-pod-autoscaler-downscale-stabilization`: five minutes outlast most dips.
pub const DOWN_WINDOW_DEFAULT: Duration = Duration::from_secs(300);

/// HPA v2: more load is answered at once.
pub const UP_WINDOW_DEFAULT: Duration = Duration::ZERO;

/// HPA's target when a policy names no signal.
pub const CPU_PERCENT_DEFAULT: i32 = 80;

/// Two scrapes at the longest interval in common use (1 minute): what is older says little about now.
pub const MAX_AGE_DEFAULT: Duration = Duration::from_secs(120);

/// What HPA aims at when told nothing: room for what a rate that is an average hides, whatever the queue would bear.
pub const UTILIZATION_MAX_DEFAULT: f64 = 0.8;

/// Poisson arrivals and exponential service times.
pub const VARIABILITY_DEFAULT: f64 = 1.0;

impl ScalingRules {
    /// HPA v2's upward rules: at once, by 4 replicas or 100 % in 15 s, whichever is more.
    pub fn up_default() -> Self {
        let period = Duration::from_secs(15);
        Self {
            window: UP_WINDOW_DEFAULT,
            select: Select::Max,
            policies: vec![
                RatePolicy { change: Change::Pods(4), period },
                RatePolicy { change: Change::Percent(100), period },
            ],
            tolerance: TOLERANCE_DEFAULT,
        }
    }

    /// HPA v2's downward rules: after five minutes, by 100 % in 15 s.
    pub fn down_default() -> Self {
        Self {
            window: DOWN_WINDOW_DEFAULT,
            select: Select::Max,
            policies: vec![RatePolicy { change: Change::Percent(100), period: Duration::from_secs(15) }],
            tolerance: TOLERANCE_DEFAULT,
        }
    }

    /// The longest period of its policies: older changes cannot count any more.
    pub fn longest_period(&self) -> Duration {
        self.policies.iter().map(|p| p.period).max().unwrap_or_default()
    }
}

impl Policy {
    /// How far from a target nothing is done.
    pub fn tolerance(&self) -> Tolerance {
        self.behavior
            .as_ref()
            .map_or_else(Tolerance::default, |b| Tolerance { up: b.up.tolerance, down: b.down.tolerance })
    }
}

#[cfg(test)]
mod tests;
