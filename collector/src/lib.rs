//! The collector: discovery → scrape → store ← traces; answers PromQL, Jaeger queries and `/api/v1/graph`,
//! `/api/v1/faults`.
//! Knows nothing of policies or screens. Start at `run`; the seams between the parts are in `series`.

pub mod api;
pub mod blame;
pub mod config;
pub mod discovery;
pub mod exposition;
pub mod otlp;
pub mod promql;
pub mod remote;
pub mod rules;
mod run;
pub mod scrape;
pub mod series;
pub mod store;
pub mod traces;
mod transport;
mod wire;

pub use self::discovery::shard::Shard;
pub use self::run::{Collector, Endpoints, Options, StartError, Stats, StatsHandle};
pub use self::store::WalSync;
