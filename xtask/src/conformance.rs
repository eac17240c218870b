//! Runs other projects' test cases against ours. They stay where they are: each command takes their folder.

mod hpa;
mod openmetrics;
mod promql;

pub use hpa::hpa;
pub use openmetrics::openmetrics;
pub use promql::promql;
