//! Keeps workloads loaded to their line: observe, plan, apply, explain. `planner` decides and is pure; `reconciler` is the
//! loop around it; `policy` is what operators write; `signal` reads any Prometheus; `api` serves the record of every tick.
//! Start at `Autoscaler`.

mod api;
mod counts;
mod decisions;
mod observe;
pub mod planner;
pub mod policy;
mod reconciler;
pub mod signal;
mod state;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cluster::Cluster;
use counts::Instruments;
pub use counts::{Counts, CountsHandle};
use decisions::Journal;
use lifecycle::metrics::Metrics;
use lifecycle::{CancellationToken, Clock, ListenError, Readiness, Supervisor, SystemClock, TaskEnded};
pub use planner::observation::Startup;
pub use policy::PolicySet;
use reconciler::{Pace, Reconciler};
use signal::PrometheusSource;
use state::State;
use tokio::net::TcpListener;
use url::Url;

/// HPA's `--horizontal-pod-autoscaler-sync-period`.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(15);

/// Two scrapes at the shortest interval in common use (15 s): the shortest window in which a rate exists.
pub const RATE_WINDOW_DEFAULT: Duration = Duration::from_secs(30);

/// The port that ARCHITECTURE.md gives to the autoscaler.
pub const PORT_DEFAULT: u16 = 9091;

/// How an autoscaler is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its API listens; port 0 takes any free port.
    pub listen: SocketAddr,
    /// Any Prometheus-compatible server.
    pub prometheus: Url,
    /// What it may scale, and how.
    pub policies: PolicySet,
    /// Time between ticks.
    pub interval: Duration,
    /// Window over which CPU use is averaged; at least two scrapes.
    pub rate_window: Duration,
    /// How long a starting pod's CPU is not believed.
    pub startup: Startup,
    /// Folder for the decision log; none keeps it in memory only.
    pub data: Option<PathBuf>,
}

impl Options {
    /// Defaults for all but the server and the policies.
    pub fn new(prometheus: Url, policies: PolicySet) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_DEFAULT)),
            prometheus,
            policies,
            interval: INTERVAL_DEFAULT,
            rate_window: RATE_WINDOW_DEFAULT,
            startup: Startup::default(),
            data: None,
        }
    }
}

/// Why an autoscaler could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its port could not be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Its folder could not be used.
    #[error("cannot write the decision log in {}: {source}", folder.display())]
    Data {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// An option is out of range.
    #[error("{option} must be more than 0")]
    Zero {
        /// The option.
        option: &'static str,
    },
}

/// An autoscaler whose port is open and which does not run yet.
pub struct Autoscaler {
    listener: TcpListener,
    address: SocketAddr,
    state: Arc<State>,
    reconciler: Reconciler,
    instruments: Instruments,
    metrics: Metrics,
}

impl Autoscaler {
    /// Opens the port and the decision log.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub async fn bind(options: Options, cluster: Arc<dyn Cluster>) -> Result<Self, StartError> {
        for (option, duration) in [("interval", options.interval), ("rate_window", options.rate_window)] {
            if duration.is_zero() {
                return Err(StartError::Zero { option });
            }
        }
        let listener = lifecycle::listen(options.listen, "--autoscaler").await?;
        let address = listener.local_addr().unwrap_or(options.listen);
        let journal = match &options.data {
            Some(folder) => {
                let unusable = |source| StartError::Data { folder: folder.clone(), source };
                Some(Journal::open(folder).await.map_err(unusable)?)
            }
            None => None,
        };
        let metrics = Metrics::default();
        let instruments = Instruments::new(&metrics);
        let state = Arc::new(State::new(options.policies, cluster));
        let source = Arc::new(PrometheusSource::new(options.prometheus, options.rate_window));
        let pace = Pace { interval: options.interval, rate_window: options.rate_window, startup: options.startup };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let reconciler = Reconciler::new(Arc::clone(&state), source, clock, instruments.clone(), journal, pace);
        Ok(Self { listener, address, state, reconciler, instruments, metrics })
    }

    /// Where its API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells what it has decided, also after it has ended.
    pub fn counts(&self) -> CountsHandle {
        self.instruments.counts()
    }

    /// Runs until shutdown.
    ///
    /// # Errors
    /// If one of its tasks ended before.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), TaskEnded> {
        let Self { listener, state, reconciler, metrics, .. } = self;
        let readiness = Readiness::default();
        let router = api::router(state, Arc::new(SystemClock), &readiness, &metrics);
        let mut supervisor = Supervisor::new(shutdown.child_token());
        let stop = supervisor.shutdown();
        supervisor.spawn("the reconciler", reconciler.run(readiness, stop.clone()));
        supervisor.spawn("the autoscaler's API", async move {
            axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
        });
        supervisor.run().await
    }
}
