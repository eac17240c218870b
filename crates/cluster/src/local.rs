//! Runs Kubernetes manifests as child processes of this binary.
