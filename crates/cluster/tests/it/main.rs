//! Tests of the local runtime with real processes: this test binary is also the replica, and the parent that is killed. And
//! tests of Kubernetes, against a server of their own that speaks its API, and against a real one if there is one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod api;
mod contract;
mod fake;
mod harness;
mod kubernetes;
mod lifetime;
mod limits;
mod traffic;
