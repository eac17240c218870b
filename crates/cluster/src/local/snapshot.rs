//! The local runtime's state as everybody but the reconciler sees it: immutable, replaced as a whole.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::cgroup::{Cgroup, Usage};
use super::manifest::model::Port;
use super::proc;
use crate::{Container, ReplicaState, Workload};

/// All workloads at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// Sorted by reference.
    pub workloads: Vec<Workload>,
    /// What their containers are to have, in the same order.
    pub wanted: Vec<Vec<Container>>,
    /// What they have by their manifests, in the same order.
    pub specified: Vec<Vec<Container>>,
    /// Their replicas with what only the runtime knows, in the same order.
    pub pods: Vec<Pod>,
}

impl Snapshot {
    /// Whether every workload has as many ready replicas as were asked for.
    pub fn all_ready(&self) -> bool {
        self.workloads.iter().all(|workload| workload.ready() >= workload.desired)
    }
}

/// A replica with its address and its process.
#[derive(Debug, Clone)]
pub(super) struct Pod {
    pub name: String,
    pub namespace: String,
    pub deployment: String,
    pub container: String,
    pub ip: IpAddr,
    pub labels: Arc<BTreeMap<String, String>>,
    pub annotations: Arc<BTreeMap<String, String>>,
    pub ports: Arc<[Port]>,
    pub ready: bool,
    pub state: ReplicaState,
    pub pid: Option<u32>,
    pub cgroup: Option<Arc<Cgroup>>,
}

impl Pod {
    /// What it has used so far: from its cgroup, or else from its process.
    pub fn usage(&self) -> Option<Usage> {
        match &self.cgroup {
            Some(cgroup) => cgroup.usage(),
            None => self.pid.and_then(proc::usage),
        }
    }
}
