//! What every service stands on: HTTP server, telemetry, faults, calls to peers with deadline, retry budget and breaker.
//! Knows no service's domain. Start at [`Context`] (what a service is given) and [`Service`] (what runs it).
//!
//! A service is a module with `pub async fn start(context: &Context, supervisor: &mut Supervisor) -> Result<Router,
//! StartError>`: it opens its store (`context.store(MIGRATIONS)`), names its peers (`context.peer("payment")?`), spawns its
//! background tasks on the supervisor and returns its routes. Handlers take [`RequestContext`] (pass it to every call to a
//! peer), [`SignedIn`], [`Json`], [`Query`], [`Path`] and return `Result<_, AppError>`.

mod config;
mod context;
mod deadline;
mod error;
mod extract;
mod farewell;
mod faults;
mod meters;
mod peer;
mod ready;
mod request;
mod server;
mod service;
pub mod store;
mod telemetry;
mod work;

pub use config::{ADMIN_PORT, Config, ConfigError, HTTP_PORT, Pod};
pub use context::{Context, StartError};
pub use deadline::Deadline;
pub use error::AppError;
pub use extract::{Json, Path, Query};
pub use faults::{Fault, FaultError, FaultKind, Faults, Setting};
pub use meters::{DURATION_BUCKETS, TraceLabel};
pub use peer::{Answer, Call, CallError, Peer};
pub use ready::Gate;
pub use request::{RequestContext, SignedIn};
pub use service::{Bound, RunError, Service};
