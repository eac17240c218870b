//! What every Plimsoll program needs to live well: tasks with an owner, shutdown, clock, logging, health, self-metrics.
//! Decides nothing about scraping, scaling or drawing. Start at `Supervisor`.

pub mod clock;
mod hangup;
pub mod health;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod supervisor;
mod words;

pub use clock::{Clock, ManualClock, SystemClock};
pub use hangup::at_hangup;
pub use health::{Heartbeat, Liveness, Readiness};
pub use listen::{ListenError, listen};
pub use supervisor::{Supervisor, TaskEnded};
pub use tokio_util::sync::CancellationToken;
pub use words::words;
