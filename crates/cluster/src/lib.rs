//! Where workloads run. `Cluster` is what the autoscaler may ask of a cluster; `local` runs Kubernetes manifests as
//! processes of this machine. Decides nothing about how many replicas there should be.

pub mod local;
mod workload;

pub use workload::{
    Cluster, ClusterError, Container, Event, EventKind, Replica, ReplicaState, Replicas, Resources, Rollout, Workload,
    WorkloadKind, WorkloadRef,
};
