//! What is seen of a workload's containers at one moment. Plain data.

use crate::planner::observation::Gap;
use crate::policy::Resource;

/// Containers whose resources a policy steers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Containers {
    /// Each of them.
    pub each: Vec<Container>,
    /// Why not everything was read that may say that less is enough; `None` when it was.
    pub gap: Option<Gap>,
}

/// One container of a workload.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// CPU that it is to have, in millicores.
    pub cpu: Amounts,
    /// Memory that it is to have, in thousandths of a byte.
    pub memory: Amounts,
    /// It in each replica.
    pub replicas: Vec<ReplicaUse>,
    /// A change of its resources that is not done yet.
    pub resizing: Resizing,
}

impl Container {
    /// What it is to have of a resource.
    pub fn amounts(&self, resource: Resource) -> Amounts {
        match resource {
            Resource::Cpu => self.cpu,
            Resource::Memory => self.memory,
        }
    }
}

/// What is set aside and what may not be exceeded, in thousandths; `None` is not set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// What is set aside.
    pub request: Option<i64>,
    /// What may not be exceeded.
    pub limit: Option<i64>,
}

/// How far a change of resources has come, of all replicas that which has come least far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Resizing {
    /// Done.
    #[default]
    Done,
    /// Under way, put off, or tried again; with the node's words.
    UnderWay(String),
    /// A node can never grant it; with its words.
    Infeasible(String),
}

/// One container in one replica. What was not read is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReplicaUse {
    /// The pod's name.
    pub pod: String,
    /// It has run for so long that its CPU is not that of its start.
    pub warm: bool,
    /// Cores, and when.
    pub cpu: Option<(f64, i64)>,
    /// Bytes, and when.
    pub memory: Option<(f64, i64)>,
    /// Bytes beyond which it is killed now.
    pub memory_limit: Option<f64>,
    /// The share of its periods in which its CPU limit held it back.
    pub throttled: Option<f64>,
    /// The share of the time in which some task waited for CPU.
    pub cpu_pressure: Option<f64>,
    /// The same of memory.
    pub memory_pressure: Option<f64>,
    /// How often it was killed for want of memory: a counter, of which only growth counts.
    pub kills: Option<u64>,
}
