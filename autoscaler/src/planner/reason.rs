//! The one list of reasons: a stable code for what came of a tick, logged, counted, served and drawn under one name.

/// Why a tick ended as it did. The codes are part of the API: add, never rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Up: a signal is above its target.
    SignalAboveTarget,
    /// Down: all signals are below their targets.
    SignalBelowTarget,
    /// Up: fewer replicas than the fewest allowed, whatever the signals say.
    BelowMinimum,
    /// Down: more replicas than the most allowed, whatever the signals say.
    AboveMaximum,
    /// Up: the signals ask for less, but more was wished within the downward window than there is.
    RecentWishHigher,
    /// Up: nothing could be read for long, and the policy has a fallback.
    FallbackReplicas,
    /// Held: the winner is near enough to its target.
    WithinTolerance,
    /// Held: outside the tolerance, yet the rounded number of replicas is the same.
    SameCount,
    /// Held: with replicas that have no reading assumed full (down) or idle (up), the direction would turn round.
    ReadingsIncomplete,
    /// Held: no signal could say.
    MetricMissing,
    /// Held: no signal could say, and the first of them because its samples are too old.
    MetricStale,
    /// Held: the source of metrics did not answer.
    MetricsUnavailable,
    /// Held: a signal or a replica without a reading forbids going down.
    MetricMissingForbidsDown,
    /// Held: an objective of its service burns its error budget fast, which forbids going down.
    FastBurnForbidsDown,
    /// Held: its service suffers from another one, which more replicas of it do not help.
    VictimOfCulprit,
    /// Held: its requests take longer because they wait for others.
    WaitsForOthers,
    /// Held: requests that were sent before are no demand.
    RetriesNotDemand,
    /// Held: the call graph has yet to say whether the requests that more are wished for are new ones.
    LoadUnconfirmed,
    /// Held: its service does not recover from what is over, which forbids going down.
    MetastableForbidsDown,
    /// Held: what its replicas take of others leaves no room for more.
    DownstreamBudget,
    /// Held: enough was taken at once of the services that depend on each other.
    BlastCap,
    /// Up: what was taken last is missed, and given back.
    ChangeUndone,
    /// Held: what was taken before was missed, and nothing is taken for a while.
    ChangeBackOff,
    /// Held: not wished for long enough to go up.
    ScaleUpStabilized,
    /// Held: more was wished within the downward window.
    ScaleDownStabilized,
    /// Held: the upward rate policies allow nothing now.
    ScaleUpLimit,
    /// Held: the downward rate policies allow nothing now.
    ScaleDownLimit,
    /// Held: more are wished than allowed.
    AtMaximum,
    /// Held: fewer are wished than allowed.
    AtMinimum,
    /// Held: someone has set the workload to zero replicas; it is left alone.
    ScaledToZero,
    /// Held: the cluster did not answer.
    ClusterUnavailable,
    /// Held: the cluster has no such workload.
    TargetMissing,
    /// Held: another autoscaler steers the workload too, or another policy does.
    Conflict,
    /// Held: the cluster did not accept the write.
    WriteFailed,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 34] = [
        Self::SignalAboveTarget,
        Self::SignalBelowTarget,
        Self::BelowMinimum,
        Self::AboveMaximum,
        Self::RecentWishHigher,
        Self::FallbackReplicas,
        Self::WithinTolerance,
        Self::SameCount,
        Self::ReadingsIncomplete,
        Self::MetricMissing,
        Self::MetricStale,
        Self::MetricsUnavailable,
        Self::MetricMissingForbidsDown,
        Self::FastBurnForbidsDown,
        Self::VictimOfCulprit,
        Self::WaitsForOthers,
        Self::RetriesNotDemand,
        Self::LoadUnconfirmed,
        Self::MetastableForbidsDown,
        Self::DownstreamBudget,
        Self::BlastCap,
        Self::ChangeUndone,
        Self::ChangeBackOff,
        Self::ScaleUpStabilized,
        Self::ScaleDownStabilized,
        Self::ScaleUpLimit,
        Self::ScaleDownLimit,
        Self::AtMaximum,
        Self::AtMinimum,
        Self::ScaledToZero,
        Self::ClusterUnavailable,
        Self::TargetMissing,
        Self::Conflict,
        Self::WriteFailed,
    ];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::SignalAboveTarget => "SignalAboveTarget",
            Self::SignalBelowTarget => "SignalBelowTarget",
            Self::BelowMinimum => "BelowMinimum",
            Self::AboveMaximum => "AboveMaximum",
            Self::RecentWishHigher => "RecentWishHigher",
            Self::FallbackReplicas => "FallbackReplicas",
            Self::WithinTolerance => "WithinTolerance",
            Self::SameCount => "SameCount",
            Self::ReadingsIncomplete => "ReadingsIncomplete",
            Self::MetricMissing => "MetricMissing",
            Self::MetricStale => "MetricStale",
            Self::MetricsUnavailable => "MetricsUnavailable",
            Self::MetricMissingForbidsDown => "MetricMissingForbidsDown",
            Self::FastBurnForbidsDown => "FastBurnForbidsDown",
            Self::VictimOfCulprit => "VictimOfCulprit",
            Self::WaitsForOthers => "WaitsForOthers",
            Self::RetriesNotDemand => "RetriesNotDemand",
            Self::LoadUnconfirmed => "LoadUnconfirmed",
            Self::MetastableForbidsDown => "MetastableForbidsDown",
            Self::DownstreamBudget => "DownstreamBudget",
            Self::BlastCap => "BlastCap",
            Self::ChangeUndone => "ChangeUndone",
            Self::ChangeBackOff => "ChangeBackOff",
            Self::ScaleUpStabilized => "ScaleUpStabilized",
            Self::ScaleDownStabilized => "ScaleDownStabilized",
            Self::ScaleUpLimit => "ScaleUpLimit",
            Self::ScaleDownLimit => "ScaleDownLimit",
            Self::AtMaximum => "AtMaximum",
            Self::AtMinimum => "AtMinimum",
            Self::ScaledToZero => "ScaledToZero",
            Self::ClusterUnavailable => "ClusterUnavailable",
            Self::TargetMissing => "TargetMissing",
            Self::Conflict => "Conflict",
            Self::WriteFailed => "WriteFailed",
        }
    }
}
