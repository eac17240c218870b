//! Open-loop load: journeys of customers begin when their time has come, whether or not the shop keeps up, and are measured
//! from that time on, so that a stall counts against every customer it made wait (no coordinated omission). Knows of the
//! shop only its front door. Start at [`Shoppers`]; `arrivals` says when, `journey` says what.

mod arrivals;
mod client;
mod journey;
mod profile;
mod stats;
mod wallet;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::metrics::Metrics;
use lifecycle::{CancellationToken, ListenError, listen};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

pub use self::arrivals::{Arrival, Arrivals};
use self::client::Client;
pub use self::journey::JourneyKind;
pub use self::profile::{Profile, ProfileError, Trace};
use self::stats::Recorder;
pub use self::stats::{JourneyStats, Stats};
use self::wallet::Wallet;

/// Journeys under way; each may hold a connection, and a process has 1,024 files by default. More are counted as errors:
/// customers who found no room.
const IN_FLIGHT_MAX: usize = 512;
/// Journeys under way when the load ends get this long.
const FINISH_DEADLINE: Duration = Duration::from_secs(15);
/// The same when the whole program is asked to stop.
const STOP_DEADLINE: Duration = Duration::from_millis(500);
/// Signing in the regular customers before the load begins.
const PREPARE_DEADLINE: Duration = Duration::from_secs(10);

/// What the shoppers do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The shop's front door.
    pub gateway: Url,
    /// The shape of the load.
    pub profile: Profile,
    /// Journeys a second at the profile's peak; a trace has its own.
    pub rate: f64,
    /// How long; without it until the end of a trace, or until shutdown.
    pub duration: Option<Duration>,
    /// The same seed makes the same journeys at the same times.
    pub seed: u64,
    /// Where the shoppers' own metrics are served.
    pub listen: SocketAddr,
}

/// Shoppers that cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ShoppersError {
    #[error("the rate is {0}; expected more than 0 and at most {max} journeys a second", max = arrivals::RATE_MAX)]
    Rate(f64),
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("the metrics' port has no address: {0}")]
    Address(std::io::Error),
}

/// How a run went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How long journeys began.
    pub seconds: f64,
    #[serde(flatten)]
    pub stats: Stats,
}

/// Shoppers at the door.
#[derive(Debug)]
pub struct Shoppers {
    options: Options,
    recorder: Arc<Recorder>,
    address: SocketAddr,
    metrics_server: Arc<AbortOnDropHandle<()>>,
}

/// Reads the counts while the shoppers shop and after. The shoppers' metrics are served as long as one of these or the
/// shoppers themselves live, so that the last scrape sees the last journey.
#[derive(Debug, Clone)]
pub struct StatsHandle {
    recorder: Arc<Recorder>,
    _metrics_server: Arc<AbortOnDropHandle<()>>,
}

impl StatsHandle {
    /// The counts so far.
    pub fn stats(&self) -> Stats {
        self.recorder.stats()
    }
}

impl Shoppers {
    /// Checks the options and serves the shoppers' metrics; nobody shops yet.
    pub async fn bind(options: Options) -> Result<Self, ShoppersError> {
        if !(options.rate > 0.0 && options.rate <= arrivals::RATE_MAX) {
            return Err(ShoppersError::Rate(options.rate));
        }
        let listener = listen(options.listen, "--listen").await?;
        let address = listener.local_addr().map_err(ShoppersError::Address)?;
        let metrics = Metrics::default();
        let recorder = Arc::new(Recorder::register(&metrics));
        let routes = metrics.routes::<()>();
        // Owned by what reads the counts and not by a supervisor: its life is theirs.
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the shoppers' metrics are no longer served");
            }
        });
        Ok(Self { options, recorder, address, metrics_server: Arc::new(AbortOnDropHandle::new(server)) })
    }

    /// Where the shoppers' own metrics are served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The counts, live.
    pub fn stats(&self) -> StatsHandle {
        StatsHandle { recorder: Arc::clone(&self.recorder), _metrics_server: Arc::clone(&self.metrics_server) }
    }

    /// Shops until the time is up or `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> Result<Report, ShoppersError> {
        let client = Client::new(&self.options.gateway);
        let wallet = Arc::new(Wallet::new(self.options.seed));
        tokio::select! {
            () = shutdown.cancelled() => {}
            _ = tokio::time::timeout(PREPARE_DEADLINE, wallet.prepare(&client)) => {}
        }
        let begun = Instant::now();
        let mut under_way = JoinSet::new();
        self.admit(&client, &wallet, &mut under_way, begun, &shutdown).await;
        let seconds = begun.elapsed().as_secs_f64();
        let patience = if shutdown.is_cancelled() { STOP_DEADLINE } else { FINISH_DEADLINE };
        let finish = async {
            tokio::select! {
                () = finish(&mut under_way) => {}
                () = async { shutdown.cancelled().await; tokio::time::sleep(STOP_DEADLINE).await } => {}
            }
        };
        if tokio::time::timeout(patience, finish).await.is_err() {
            tracing::warn!(journeys = under_way.len(), "journeys did not end in time and are counted as errors");
        }
        under_way.shutdown().await;
        Ok(Report { seconds, stats: self.recorder.stats() })
    }

    /// Lets every customer in when its time has come.
    async fn admit(
        &self,
        client: &Client,
        wallet: &Arc<Wallet>,
        under_way: &mut JoinSet<()>,
        begun: Instant,
        shutdown: &CancellationToken,
    ) {
        let room = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let options = &self.options;
        for arrival in Arrivals::new(options.profile.clone(), options.rate, options.duration, options.seed) {
            let intended = begun + arrival.at;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep_until(intended) => {}
            }
            while under_way.try_join_next().is_some() {}
            let visit = self.recorder.begin(arrival.kind, intended);
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                visit.end(Err(format!("no room: {IN_FLIGHT_MAX} journeys are under way")));
                continue;
            };
            let (client, wallet) = (client.clone(), Arc::clone(wallet));
            under_way.spawn(async move {
                let _place = place;
                let outcome = journey::walk(arrival, &client, &wallet).await;
                visit.end_with(outcome);
            });
        }
        // The run lasts as long as was asked for, also when nobody came in its last moments.
        if let Some(duration) = options.duration {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep_until(begun + duration) => {}
            }
        }
    }
}

async fn finish(under_way: &mut JoinSet<()>) {
    while under_way.join_next().await.is_some() {}
}
