//! Runs one replica from start to a graceful end: bind, start the service, serve, drain, end the background tasks, flush
//! the spans.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use lifecycle::metrics::Metrics;
use lifecycle::{CancellationToken, Supervisor, TaskEnded, listen};
use tokio::net::TcpListener;

use super::config::Config;
use super::context::{Context, StartError};
use super::faults::Faults;
use super::server;
use super::telemetry::{self, Exporting};

/// Between "not ready" and the end of accepting: balancers see the probe fail or the list of endpoints shrink, and requests
/// that are on their way still find an open door.
const NOTICE: Duration = Duration::from_millis(300);
/// Requests under way get this long after the door is closed.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
/// Background tasks get this long after the last request.
const TASKS_DEADLINE: Duration = Duration::from_secs(3);

/// Why a service ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Ended(#[from] TaskEnded),
}

/// A replica that has started and is about to serve.
#[derive(Debug)]
pub struct Service {
    context: Context,
    http: SocketAddr,
    admin: SocketAddr,
    tasks: Supervisor,
    exports: Supervisor,
    stop: CancellationToken,
}

/// A replica whose ports are bound; next, the service itself is started with [`Bound::context`] and [`Bound::supervisor`].
#[derive(Debug)]
pub struct Bound {
    pub context: Context,
    pub supervisor: Supervisor,
    http: TcpListener,
    admin: TcpListener,
    exporting: Option<Exporting>,
    stop: CancellationToken,
}

impl Bound {
    /// Binds the ports, so that a taken one is known before a store is touched. `stop` asks for a graceful end.
    pub async fn bind(config: Config, stop: CancellationToken) -> Result<Self, StartError> {
        let http = listen(config.http, "POD_IP").await?;
        let admin = listen(config.admin, "POD_IP").await?;
        let (metrics, faults) = (Metrics::default(), Faults::of(&config.name));
        faults.register(&metrics);
        let (tracer, exporting) =
            telemetry::start(&config, &metrics, &faults).map_err(|e| StartError::other("cannot export spans", e))?;
        let supervisor = Supervisor::new(CancellationToken::new()).with_deadline(TASKS_DEADLINE);
        let context = Context::new(config, metrics, tracer, faults, supervisor.shutdown());
        Ok(Self { context, supervisor, http, admin, exporting, stop })
    }

    /// Serves `routes`: from now on the replica is ready, unless a gate holds it.
    pub fn serve(self, routes: Router) -> Result<Service, StartError> {
        let Self { context, mut supervisor, http, admin, exporting, stop } = self;
        let address =
            |listener: &TcpListener| listener.local_addr().map_err(|e| StartError::other("a port has no address", e));
        let (http_address, admin_address) = (address(&http)?, address(&admin)?);
        let routes = server::router(&context, routes);
        supervisor.spawn("http", serve_http(context.clone(), http, routes, stop.clone()));
        supervisor.spawn("admin", serve_admin(context.clone(), admin));
        context.faults().spawn_into(&mut supervisor);
        let mut exports = Supervisor::new(CancellationToken::new());
        if let Some(exporting) = exporting {
            exports.spawn("span export", exporting.run(exports.shutdown()));
        }
        context.ready().set(true);
        Ok(Service { context, http: http_address, admin: admin_address, tasks: supervisor, exports, stop })
    }
}

impl Service {
    /// Where API, metrics and probes are served.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Where faults are set.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// What the service was given.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Serves until asked to stop; then drains, ends the tasks and flushes the spans.
    pub async fn run(self) -> Result<(), RunError> {
        let (tasks, exports, stop) = (self.tasks, self.exports, self.stop);
        let flush = exports.shutdown();
        let tasks = async {
            let ended = tasks.run().await;
            flush.cancel();
            ended
        };
        let exports = async {
            let ended = exports.run().await;
            stop.cancel();
            ended
        };
        let (tasks, exports) = tokio::join!(tasks, exports);
        Ok(tasks.and(exports)?)
    }
}

async fn serve_http(
    context: Context,
    listener: TcpListener,
    routes: Router,
    stop: CancellationToken,
) -> Result<(), std::io::Error> {
    let (door, all_ends) = (CancellationToken::new(), context.shutdown());
    let listener = listener.tap_io(|connection| {
        // Without it small answers wait for acknowledgements; a failure costs latency only.
        let _ = connection.set_nodelay(true);
    });
    let serving = axum::serve(listener, routes).with_graceful_shutdown(door.clone().cancelled_owned()).into_future();
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        () = stop.cancelled() => tracing::info!("was asked to stop: no longer ready, finishing requests"),
        () = all_ends.cancelled() => {}
    }
    context.ready().set(false);
    let drain = async {
        let _ = tokio::time::timeout(NOTICE, &mut serving).await;
        door.cancel();
        context.faults().let_go();
        if tokio::time::timeout(DRAIN_DEADLINE, &mut serving).await.is_err() {
            tracing::warn!("requests did not finish in time and are dropped");
        }
    };
    drain.await;
    all_ends.cancel();
    Ok(())
}

async fn serve_admin(context: Context, listener: TcpListener) -> Result<(), std::io::Error> {
    let (routes, shutdown) = (context.faults().routes(), context.shutdown());
    let serving = axum::serve(listener, routes).into_future();
    tokio::select! {
        ended = serving => ended,
        () = shutdown.cancelled() => Ok(()),
    }
}
