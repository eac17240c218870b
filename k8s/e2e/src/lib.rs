//! What the end-to-end suite in `tests/it` stands on: kubectl as users run it, waits with deadlines, load from inside the
//! cluster, and the pure judgements (audit log, rights, traces) that have tests of their own. Never touches a cluster by itself.

pub mod audit;
pub mod claims;
pub mod forward;
pub mod kubectl;
pub mod manifests;
pub mod rights;
pub mod settings;
pub mod shoppers;
pub mod spans;
pub mod wait;
