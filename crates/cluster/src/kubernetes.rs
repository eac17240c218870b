//! Workloads on Kubernetes. The only home of kube's types besides the collector's discovery; they never appear in the signatures
//! of `Cluster`. `access` finds the cluster and says what is wrong when it cannot.

pub mod access;
