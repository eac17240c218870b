//! Starts one service by name.

use std::io;

use axum::Router;
use lifecycle::{CancellationToken, Supervisor};
use tokio::runtime::{Builder, Runtime};

use crate::chassis::{Bound, Config, Context, RunError, Service, StartError};
use crate::{gateway, inventory, notification, order, payment, product, recommendation, review, search, user};

/// The ten services.
pub const NAMES: [&str; 10] = [
    "gateway",
    "user",
    "product",
    "inventory",
    "search",
    "order",
    "payment",
    "notification",
    "review",
    "recommendation",
];

/// Whether a service keeps data of its own.
pub fn has_store(service: &str) -> bool {
    !matches!(service, "gateway" | "search")
}

/// Whether a service takes the events of orders.
pub fn takes_events(service: &str) -> bool {
    matches!(service, "notification" | "recommendation")
}

/// The services that a service calls.
pub fn peers(service: &str) -> &'static [&'static str] {
    match service {
        "gateway" => {
            &["user", "product", "inventory", "search", "order", "payment", "notification", "review", "recommendation"]
        }
        "order" => &["product", "inventory", "payment", "notification", "recommendation"],
        "search" | "recommendation" => &["product"],
        _ => &[],
    }
}

/// Ten services share two cores; more threads would only cost memory.
const WORKERS: usize = 2;
/// The fault `cpu` blocks a thread for each of up to 64 cores; beside it there is room for what a service has to do.
/// Threads are only made when needed.
const BLOCKING_MAX: usize = 72;
/// Handlers nest deeply in debug builds; pages that are never touched cost nothing.
const STACK_BYTES: usize = 2 << 20;

/// A runtime of small footprint, for a process that is one replica.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_MAX)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
}

/// Runs the service `name` as its environment says, until `shutdown`.
pub async fn run(name: &str, shutdown: CancellationToken) -> Result<(), RunError> {
    let config = Config::from_environment(name).map_err(StartError::from)?;
    let service = tokio::select! {
        // A service may wait for a peer before it can start; it need not wait to stop.
        () = shutdown.cancelled() => return Ok(()),
        started = start(config, shutdown.clone()) => started?,
    };
    tracing::info!(service = name, http = %service.http_address(), admin = %service.admin_address(), "serving");
    service.run().await
}

/// Starts the service that `config` names; it serves once [`Service::run`] is awaited, until `shutdown`.
pub async fn start(config: Config, shutdown: CancellationToken) -> Result<Service, StartError> {
    let mut bound = Bound::bind(config, shutdown).await?;
    let context = bound.context.clone();
    let routes = routes(&context, &mut bound.supervisor).await?;
    bound.serve(routes)
}

async fn routes(context: &Context, supervisor: &mut Supervisor) -> Result<Router, StartError> {
    match context.name() {
        "gateway" => gateway::start(context, supervisor).await,
        "user" => user::start(context, supervisor).await,
        "product" => product::start(context, supervisor).await,
        "inventory" => inventory::start(context, supervisor).await,
        "search" => search::start(context, supervisor).await,
        "order" => order::start(context, supervisor).await,
        "payment" => payment::start(context, supervisor).await,
        "notification" => notification::start(context, supervisor).await,
        "review" => review::start(context, supervisor).await,
        "recommendation" => recommendation::start(context, supervisor).await,
        other => Err(StartError::UnknownService { name: other.to_owned() }),
    }
}
