//! Tests of the local runtime with real processes: this test binary is also the replica, and the parent that is killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod api;
mod contract;
mod fake;
mod harness;
mod lifetime;
mod limits;
mod traffic;
