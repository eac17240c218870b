//! Keeps workloads loaded to their line: observe, plan, apply, explain. `planner` decides and is pure; `reconciler` is the
//! loop around it; `policy` is what operators write; `signal` reads any Prometheus; `api` serves the record of every tick;
//! `publisher` tells policies of a cluster what was decided; `replay` has the planner decide in virtual time. Start at
//! `Autoscaler`.

mod api;
pub mod cases;
mod counts;
mod decisions;
mod health;
mod lead;
mod objectives;
mod objects;
mod observe;
mod options;
mod pauses;
pub mod planner;
pub mod policy;
mod publisher;
mod reconciler;
mod reload;
pub mod replay;
pub mod signal;
mod state;
pub mod status;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::ApiToken;
use cluster::Cluster;
use counts::Instruments;
pub use counts::{Counts, CountsHandle};
use decisions::Journal;
use health::{Health, Part};
pub use lead::Lead;
use lifecycle::metrics::Metrics;
use lifecycle::{CancellationToken, Clock, Liveness, Supervisor, SystemClock, TaskEnded};
use objectives::Watcher;
use objects::Sorted;
pub use options::{INTERVAL_DEFAULT, Options, PORT_DEFAULT, Policies, RATE_WINDOW_DEFAULT, StartError};
use pauses::{PauseFile, Pauses};
pub use planner::observation::Startup;
pub use policy::PolicySet;
use protocol::prometheus::PrometheusClient;
use publisher::Publisher;
use reconciler::{Pace, Reconciler};
use reload::Reload;
use signal::PrometheusSource;
use state::State;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long requests under way may take at shutdown: nobody decides until the Lease is given back, which comes after.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(4);

/// An autoscaler whose port is open and which does not run yet.
pub struct Autoscaler {
    listener: TcpListener,
    address: SocketAddr,
    options: Options,
    cluster: Arc<dyn Cluster>,
    journal: Option<Journal>,
    pauses: Pauses,
    token: Option<ApiToken>,
    instruments: Instruments,
    metrics: Metrics,
    lead: Lead,
    liveness: Liveness,
    /// The policies to begin with, where files say which.
    set: PolicySet,
}

impl Autoscaler {
    /// Opens the port and the decision log.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub async fn bind(options: Options, cluster: Arc<dyn Cluster>) -> Result<Self, StartError> {
        let listener = lifecycle::listen(options.listen, options.listen_flag).await?;
        Self::on(listener, options, cluster).await
    }

    /// The same at a port that is open already, whatever the options say of one.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub async fn on(listener: TcpListener, options: Options, cluster: Arc<dyn Cluster>) -> Result<Self, StartError> {
        for (option, duration) in [("interval", options.interval), ("rate_window", options.rate_window)] {
            if duration.is_zero() {
                return Err(StartError::Zero { option });
            }
        }
        let set = match &options.policies {
            Policies::Files(set) => set.clone(),
            Policies::Reloaded(files) => files.load()?,
            Policies::Objects(_) => PolicySet::default(),
        };
        let address = listener.local_addr().unwrap_or(options.listen);
        let token = match &options.api_token {
            Some(file) => Some(ApiToken::open(file).await?),
            None => None,
        };
        let (journal, pauses) = kept(&options).await?;
        let metrics = Metrics::default();
        let instruments = Instruments::new(&metrics);
        let (lead, liveness) = (Lead::default(), Liveness::default());
        if token.is_none() && !address.ip().is_loopback() {
            tracing::info!(%address, "without --api-token-file the API is changed from this machine alone");
        }
        Ok(Self {
            listener,
            address,
            options,
            cluster,
            journal,
            pauses,
            token,
            instruments,
            metrics,
            lead,
            liveness,
            set,
        })
    }

    /// Leads only while an election says so. Its port is open by then, so that the others can be told where it answers.
    #[must_use]
    pub fn elected_by(mut self, lead: Lead) -> Self {
        self.lead = lead;
        self
    }

    /// Where its API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `/healthz` tells; for the tasks beside it, without which it is of no use.
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
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
        let Self {
            listener, options, cluster, journal, pauses, token, instruments, metrics, lead, liveness, set, ..
        } = self;
        let health = Health::new(lead.clone(), liveness.clone());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut supervisor =
            Supervisor::new(shutdown.child_token()).with_deadline(SHUTDOWN_DEADLINE).with_liveness(liveness);
        let stop = supervisor.shutdown();

        let mut reload = None;
        let state = match &options.policies {
            Policies::Files(_) | Policies::Reloaded(_) => {
                let (sets, policies) = watch::channel(Arc::new(set));
                let state = State::new(policies, cluster);
                pauses.known().iter().for_each(|policy| state.pause(policy, true));
                if let Policies::Reloaded(files) = &options.policies {
                    let reloads = Reload { files: files.clone(), policies: sets, instruments: instruments.clone() };
                    reload = Some(Arc::new(reloads));
                }
                Arc::new(state)
            }
            Policies::Objects(store) => {
                health.set(Part::Policies, Some("the scaling policies were not read yet".to_owned()));
                let (sets, policies) = watch::channel(Arc::default());
                let (sorts, sorted) = watch::channel(Arc::new(Sorted::default()));
                let state = Arc::new(State::new(policies, cluster));
                let follower = objects::Follower {
                    objects: store.objects(),
                    sorted: sorts,
                    policies: sets,
                    state: Arc::clone(&state),
                    health: health.clone(),
                };
                supervisor.spawn("the scaling policies", follower.run(stop.clone()));
                if !options.dry_run {
                    let tools = publisher::Tools {
                        store: Arc::clone(store),
                        state: Arc::clone(&state),
                        sorted,
                        lead: lead.clone(),
                        clock: Arc::clone(&clock),
                        instruments: instruments.clone(),
                        health: health.clone(),
                    };
                    supervisor.spawn("the policies' statuses", Publisher::new(tools).run(stop.clone()));
                }
                state
            }
        };
        let (dry_run, lead_seen) = (options.dry_run, lead.clone());
        let served =
            api::Api { state: Arc::clone(&state), pauses, clock: Arc::clone(&clock), lead: lead_seen, dry_run };
        if let Some(reload) = reload.clone().filter(|_| options.reload_at_hangup) {
            supervisor.spawn("reload", reload.at_hangup(stop.clone()));
        }
        let router = api::router(served, &health, &metrics, token, instruments.clone(), reload)
            .into_make_service_with_connect_info::<SocketAddr>();
        if !options.objectives.is_empty() {
            let tools = objectives::Tools {
                client: PrometheusClient::new(options.prometheus.clone()),
                rate_window: options.rate_window,
                clock: Arc::clone(&clock),
                state: Arc::clone(&state),
                instruments: instruments.clone(),
            };
            supervisor.spawn("the objectives", Watcher::new(options.objectives, tools).run(stop.clone()));
        }
        let tools = reconciler::Tools {
            source: Arc::new(PrometheusSource::new(options.prometheus, options.rate_window)),
            clock,
            instruments,
            journal,
            lead,
            health,
        };
        let Options { interval, rate_window, startup, dry_run, .. } = options;
        let reconciler = Reconciler::new(state, tools, Pace { interval, rate_window, startup, dry_run });
        supervisor.spawn("the reconciler", reconciler.run(stop.clone()));
        supervisor.spawn("the autoscaler's API", async move {
            axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
        });
        supervisor.run().await
    }
}

/// What is kept in the data folder, and where who is paused is kept.
async fn kept(options: &Options) -> Result<(Option<Journal>, Pauses), StartError> {
    let journal = match &options.data {
        Some(folder) => Some(Journal::open(folder).await.map_err(|source| unusable(folder, source))?),
        None => None,
    };
    let pauses = match (&options.policies, &options.data) {
        (Policies::Objects(store), _) => Pauses::Objects(Arc::clone(store)),
        (Policies::Files(_) | Policies::Reloaded(_), Some(folder)) => {
            let file = PauseFile::open(folder).map_err(|source| unusable(folder, source))?;
            Pauses::File(Arc::new(file))
        }
        (Policies::Files(_) | Policies::Reloaded(_), None) => Pauses::Memory,
    };
    Ok((journal, pauses))
}

fn unusable(folder: &Path, source: std::io::Error) -> StartError {
    StartError::Data { folder: folder.to_owned(), source }
}
