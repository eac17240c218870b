//! What a service is given: configuration, metrics, tracer, faults, peers, clock, readiness. Cheap to clone.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::metrics::Metrics;
use lifecycle::{CancellationToken, Clock, ListenError};
use opentelemetry_sdk::trace::SdkTracer;
use parking_lot::Mutex;
use sqlx::SqlitePool;

use super::config::{Config, ConfigError, service_variable};
use super::faults::{Faults, ReplicaClock};
use super::meters::Meters;
use super::peer::Peer;
use super::ready::{Gate, Ready};
use super::store::{self, StoreError};
use super::work::Work;

/// A peer that does not accept a connection in this time is down or unreachable; all are on one network.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Idle connections kept per peer: about what a replica has under way at its peak.
const IDLE_CONNECTIONS_MAX: usize = 16;
/// Idle connections are closed before proxies commonly do (10 s and more).
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(8);

/// A service that could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no service {name:?}; expected one of {}", crate::service::NAMES.join(", "))]
    UnknownService { name: String },
    #[error("{what}: {why}")]
    Other { what: String, why: String },
}

impl StartError {
    /// Anything else: `StartError::other("cannot build the index", error)`.
    pub fn other(what: &str, why: impl fmt::Display) -> Self {
        Self::Other { what: what.to_owned(), why: why.to_string() }
    }
}

/// What a service is given.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    config: Config,
    metrics: Metrics,
    meters: Meters,
    tracer: SdkTracer,
    faults: Faults,
    ready: Ready,
    work: Work,
    http: reqwest::Client,
    peers: Mutex<HashMap<String, Peer>>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("service", &self.0.config.name).finish_non_exhaustive()
    }
}

impl Context {
    pub(super) fn new(
        config: Config,
        metrics: Metrics,
        tracer: SdkTracer,
        faults: Faults,
        shutdown: CancellationToken,
    ) -> Self {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .no_gzip()
            .no_proxy()
            .build()
            .expect("a client without TLS and proxies has nothing to fail on");
        Self(Arc::new(Inner {
            meters: Meters::register(&metrics),
            clock: Arc::new(ReplicaClock(faults.clone())),
            faults,
            ready: Ready::default(),
            work: Work::new(config.work),
            peers: Mutex::default(),
            config,
            metrics,
            tracer,
            http,
            shutdown,
        }))
    }

    /// The service's name.
    pub fn name(&self) -> &str {
        &self.0.config.name
    }

    /// The replica's configuration.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The registry for the service's own metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Starts spans.
    pub fn tracer(&self) -> &SdkTracer {
        &self.0.tracer
    }

    /// The faults set on this replica.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Wall-clock time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// Cancelled when requests are drained and background tasks shall end.
    pub fn shutdown(&self) -> CancellationToken {
        self.0.shutdown.clone()
    }

    /// Holds `/readyz` at 503 until the gate is opened; `/readyz` says what is waited for.
    pub fn gate(&self, waits_for: &'static str) -> Gate {
        self.0.ready.gate(waits_for)
    }

    /// The service of this name, to be called; always the same one, so that all callers share its breaker and budget.
    ///
    /// # Errors
    /// If its address is not configured; the error names the variable.
    pub fn peer(&self, name: &str) -> Result<Peer, StartError> {
        let mut peers = self.0.peers.lock();
        if let Some(peer) = peers.get(name) {
            return Ok(peer.clone());
        }
        let base = self.0.config.peers.get(name).ok_or_else(|| ConfigError::Missing {
            variable: service_variable(name, "HOST"),
            expected: "the address of a service",
        })?;
        let http = self.0.http.clone();
        let peer = Peer::new(name, base, http, self.0.tracer.clone(), &self.0.meters, self.0.faults.clone());
        peers.insert(name.to_owned(), peer.clone());
        Ok(peer)
    }

    /// Opens the store at `STORE_URL` (SQLite) and brings it to the newest of `migrations`: see [`store::open`].
    pub async fn store(&self, migrations: &[&'static str]) -> Result<SqlitePool, StartError> {
        let store = store::open_with(self.0.config.store_url()?, migrations, self.0.faults.of_store()).await?;
        self.0.faults.attach(&store);
        Ok(store)
    }

    pub(super) fn meters(&self) -> &Meters {
        &self.0.meters
    }

    pub(super) fn ready(&self) -> &Ready {
        &self.0.ready
    }

    pub(super) fn work(&self) -> &Work {
        &self.0.work
    }
}
