//! What a policy lets containers be given: bounds of CPU and memory, and how other amounts are brought to replicas.
//! The planner's `vertical` decides within them.

use super::Resource;

/// The resources that are steered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourcePolicy {
    /// Bounds of a container's CPU request in millicores; `None` leaves it alone. At least one of the two is set.
    pub cpu: Option<AmountBounds>,
    /// Bounds of a container's memory request in thousandths of a byte.
    pub memory: Option<AmountBounds>,
    /// One container of each replica; `None` means all, each within the bounds.
    pub container: Option<String>,
    /// How.
    pub apply: Apply,
}

impl ResourcePolicy {
    /// The bounds of one resource, where it is steered.
    pub fn bounds(&self, resource: Resource) -> Option<AmountBounds> {
        match resource {
            Resource::Cpu => self.cpu,
            Resource::Memory => self.memory,
        }
    }

    /// Whether a container of this name is meant.
    pub fn covers(&self, container: &str) -> bool {
        self.container.as_deref().is_none_or(|name| name == container)
    }
}

/// Least and most of a resource in thousandths; `0 < min <= max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmountBounds {
    /// Least.
    pub min: i64,
    /// Most.
    pub max: i64,
}

/// How other resources are brought to replicas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Apply {
    /// To running replicas, without a restart.
    #[default]
    InPlace,
    /// By a rolling update: every replica is replaced.
    Rollout,
    /// Not at all: they are worked out and recorded.
    Recommend,
}
