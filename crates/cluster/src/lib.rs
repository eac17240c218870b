//! Where workloads run. `Cluster` is what the autoscaler may ask of a cluster; `local` runs Kubernetes manifests as
//! processes of this machine, `kubernetes` steers a real one, `simulated` is one in virtual time. Decides nothing about how
//! many replicas there should be.

pub mod kubernetes;
pub mod local;
pub mod simulated;
pub mod state_metrics;
mod workload;

pub use workload::{
    Cluster, ClusterError, Container, Event, EventKind, Replica, ReplicaState, Replicas, Resize, Resources, Rollout,
    Workload, WorkloadKind, WorkloadRef,
};
