//! The whole collector: opens the store and every port, then runs each part as a task until shutdown. Holds no logic of
//! its own. Start at `Collector::bind`, then `Collector::run`.

mod own_metrics;
mod reload;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use lifecycle::health;
use lifecycle::metrics::Metrics;
use lifecycle::{
    CancellationToken, Clock, ListenError, Liveness, Readiness, Supervisor, SystemClock, TaskEnded, listen,
};
use protocol::yaml::DocumentError;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use url::Url;

use self::own_metrics::OwnMetrics;
use self::reload::Reload;
use crate::api::prometheus::{self, PrometheusApi, ServerFacts};
use crate::config::{self, Config};
use crate::discovery::shard::Shard;
use crate::otlp::metrics::MetricSink;
use crate::promql::{Engine, EngineOptions};
use crate::remote::receiver::{self, Writer};
use crate::remote::sender::{Forwarding, OpenQueueError, Senders};
use crate::rules::delivery::{self, Delivery};
use crate::rules::report::RulesReport;
use crate::rules::{self, RuleOptions, Ruling};
use crate::scrape::{self, ScrapeReport, Scraping};
use crate::store::{OpenStoreError, RETENTION_DEFAULT, RETENTION_MAX, Store, StoreOptions, WalSync};
use crate::traces::{self, Traces};
use crate::{otlp, series};

/// How often series learnt from spans are appended.
const GRAPH_INTERVAL_DEFAULT: Duration = Duration::from_secs(5);

/// How often it is looked what is to be sealed, merged and forgotten. Each time costs a look at every series: Prometheus' number.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What the collector is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The HTTP API.
    pub listen: SocketAddr,
    /// The command line's name for `listen`, for the error when it is taken.
    pub listen_flag: &'static str,
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// The scrape configuration.
    pub config: PathBuf,
    /// The folder with the store.
    pub data: PathBuf,
    /// How long samples are kept; `None` is what the configuration says, or 15 days.
    pub retention: Option<Duration>,
    /// Bytes that samples on disk may take; the oldest go first. 0 is no bound, `None` what the configuration says.
    pub retention_bytes: Option<u64>,
    /// Whether the API takes requests that write to the disk, such as a snapshot.
    pub enable_admin_api: bool,
    /// When the log is forced to the disk.
    pub wal_sync: WalSync,
    /// Limits of queries.
    pub queries: EngineOptions,
    /// How often series learnt from spans are appended.
    pub graph_interval: Duration,
    /// Which of several collectors this is; `None` scrapes every target.
    pub shard: Option<Shard>,
    /// Whether metrics that others push are taken in: remote write and OTLP.
    pub receive_metrics: bool,
    /// Where this collector is reached from outside, for links in alerts; `None` is this machine's name and the port.
    pub external_url: Option<Url>,
    /// How alerts live through restarts, and how often they are told.
    pub rules: RuleOptions,
    /// Whether SIGHUP reads the configuration anew; elsewhere it ends the process, as it does any program of a terminal.
    pub reload_at_hangup: bool,
}

impl Options {
    /// The usual ports on this machine, Prometheus' retention.
    pub fn new(config: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            listen: local(9090),
            listen_flag: "--listen",
            otlp_grpc: local(4317),
            otlp_http: local(4318),
            config: config.into(),
            data: data.into(),
            retention: None,
            retention_bytes: None,
            enable_admin_api: false,
            wal_sync: WalSync::default(),
            queries: EngineOptions::default(),
            graph_interval: GRAPH_INTERVAL_DEFAULT,
            shard: None,
            receive_metrics: false,
            external_url: None,
            rules: RuleOptions::default(),
            reload_at_hangup: false,
        }
    }
}

/// Why the collector could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The scrape configuration is wrong.
    #[error(transparent)]
    Config(#[from] DocumentError),
    /// A port is taken.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The store cannot be opened.
    #[error("{0}; the data folder is set with --data")]
    Store(#[from] OpenStoreError),
    /// What is to be sent cannot be kept.
    #[error("{0}; the data folder is set with --data")]
    Queue(#[from] OpenQueueError),
}

/// Where the collector is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints {
    /// The HTTP API.
    pub http: SocketAddr,
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
}

/// Counts of a running collector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Targets that are scraped.
    pub targets: u64,
    /// Of them, those whose last scrape went well.
    pub targets_up: u64,
    /// Samples stored.
    pub samples: u64,
    /// Series in memory.
    pub series: u64,
    /// Spans received.
    pub spans: u64,
    /// Traces in memory.
    pub traces: u64,
}

/// Tells the counts while the collector runs.
#[derive(Clone)]
pub struct StatsHandle {
    store: Arc<Store>,
    report: Arc<ScrapeReport>,
    traces: Arc<Traces>,
}

impl StatsHandle {
    /// The counts now.
    pub fn stats(&self) -> Stats {
        let (targets, targets_up) = self.report.target_counts();
        let (store, traces) = (self.store.stats(), self.traces.stats());
        Stats {
            targets: targets as u64,
            targets_up: targets_up as u64,
            samples: store.samples,
            series: store.series,
            spans: traces.spans_received,
            traces: traces.traces,
        }
    }
}

/// How long samples are kept and in how many bytes: the command line's word counts before that of the file.
fn retention(options: &Options, config: &Config) -> (Duration, Option<u64>) {
    let said = config.retention;
    let time = said.map_or(RETENTION_DEFAULT, |said| said.time.unwrap_or(RETENTION_MAX));
    let bytes = said.and_then(|said| said.bytes);
    (options.retention.unwrap_or(time).min(RETENTION_MAX), options.retention_bytes.or(bytes).filter(|bytes| *bytes > 0))
}

struct Listeners {
    http: TcpListener,
    otlp_grpc: TcpListener,
    otlp_http: TcpListener,
}

/// A collector with its store and ports open.
pub struct Collector {
    options: Options,
    config: Config,
    listeners: Listeners,
    endpoints: Endpoints,
    store: Arc<Store>,
    report: Arc<ScrapeReport>,
    rules: Arc<RulesReport>,
    delivery: Arc<Delivery>,
    external_url: Arc<Url>,
    engine: Engine,
    traces: Arc<Traces>,
    clock: Arc<dyn Clock>,
    /// The store, and before it what sends on.
    ingest: Arc<Forwarding>,
    senders: Senders,
}

/// What others push.
struct Pushed {
    remote_write: Arc<Writer>,
    /// None unless it may come in.
    metrics: Option<Arc<MetricSink>>,
}

impl Collector {
    /// Reads the configuration, opens the ports and the store.
    ///
    /// # Errors
    /// The first of them that is wrong, with what to change.
    pub async fn bind(options: Options) -> Result<Self, StartError> {
        let config = config::load(&options.config)?;
        let listeners = Listeners {
            http: listen(options.listen, options.listen_flag).await?,
            otlp_grpc: listen(options.otlp_grpc, "--otlp-grpc").await?,
            otlp_http: listen(options.otlp_http, "--otlp-http").await?,
        };
        let address = |listener: &TcpListener, asked| listener.local_addr().unwrap_or(asked);
        let endpoints = Endpoints {
            http: address(&listeners.http, options.listen),
            otlp_grpc: address(&listeners.otlp_grpc, options.otlp_grpc),
            otlp_http: address(&listeners.otlp_http, options.otlp_http),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (retention, retention_bytes) = retention(&options, &config);
        let store_options = StoreOptions {
            retention,
            retention_bytes,
            late_window: config.late_window,
            wal_sync: options.wal_sync,
            ..StoreOptions::default()
        };
        let (store, replayed) = Store::open(&options.data, store_options, clock.clone())?;
        tracing::info!(
            samples = replayed.samples, segments = replayed.segments, damaged_bytes = replayed.damaged_bytes,
            data = %options.data.display(), "the write-ahead log is read back"
        );
        let store = Arc::new(store);
        let report = Arc::new(ScrapeReport::new(config.text.clone(), clock.now_ms()));
        let ingest = Arc::new(Forwarding::new(store.clone(), clock.clone()));
        let queues = options.data.join("remote-write");
        let mut senders = Senders::new(queues, clock.clone(), report.clone(), ingest.clone());
        senders.apply(&config)?;
        let external_url = options.external_url.clone();
        let external_url = Arc::new(external_url.unwrap_or_else(|| rules::default_external_url(endpoints.http.port())));
        Ok(Self {
            report,
            ingest,
            senders,
            traces: Traces::new(traces::Limits::default(), clock.clone()),
            store,
            rules: Arc::default(),
            delivery: Arc::new(Delivery::new(clock.clone(), external_url.clone())),
            external_url,
            engine: Engine::new(options.queries.clone()),
            options,
            config,
            listeners,
            endpoints,
            clock,
        })
    }

    /// Where it is reached, once it runs.
    pub fn endpoints(&self) -> Endpoints {
        self.endpoints
    }

    /// Tells the counts while it runs.
    pub fn stats(&self) -> StatsHandle {
        StatsHandle { store: self.store.clone(), report: self.report.clone(), traces: self.traces.clone() }
    }

    /// Runs until shutdown.
    ///
    /// # Errors
    /// The task that ended although nobody asked it to.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), TaskEnded> {
        let (liveness, readiness) = (Liveness::default(), Readiness::default());
        let mut tasks = Supervisor::new(shutdown.child_token()).with_liveness(liveness.clone());
        let (configs, config) = watch::channel(Arc::new(self.config.clone()));
        let pushed = self.pushed(config.clone());
        let http = self.http_routes(&readiness, &liveness, &pushed);
        let ruling = Arc::new(self.ruling());
        let path = self.options.config.clone();
        let reload = Arc::new(Reload { path, configs, report: self.report.clone(), clock: self.clock.clone() });
        let http = http.merge(reload.clone().routes());
        if self.options.reload_at_hangup {
            tasks.spawn("reload", reload.at_hangup(tasks.shutdown()));
        }
        let otlp_http = otlp::http_routes(self.traces.sink(), pushed.metrics.clone());
        tasks.spawn("http", serve(self.listeners.http, http, tasks.shutdown()));
        tasks.spawn("otlp http", serve(self.listeners.otlp_http, otlp_http, tasks.shutdown()));
        let grpc = otlp::serve_grpc(self.listeners.otlp_grpc, self.traces.sink(), pushed.metrics, tasks.shutdown());
        tasks.spawn("otlp grpc", grpc);
        tasks.spawn("remote write", self.senders.run(config.clone(), tasks.shutdown()));
        let appendable: Arc<dyn series::Appendable> = self.ingest.clone();
        let generator = self.traces.generator();
        tasks.spawn(
            "span series",
            generator.run(appendable, self.options.graph_interval, self.clock.clone(), tasks.shutdown()),
        );
        tasks.spawn("faults", self.traces.watchman().run(tasks.shutdown()));
        let watch_counts = self.report.watch_counts.clone();
        let delivery = delivery::run(config.clone(), self.delivery, watch_counts, tasks.shutdown());
        tasks.spawn("alert delivery", delivery);
        tasks.spawn("rules", rules::run(config.clone(), ruling, tasks.shutdown()));
        let scraping = Scraping::new(self.ingest, self.report, self.clock, self.options.shard);
        tasks.spawn("scrape", scrape::run(config.clone(), scraping, tasks.shutdown()));
        if let WalSync::Every(period) = self.options.wal_sync {
            tasks.spawn("log sync", sync(self.store.clone(), period, tasks.shutdown()));
        }
        tasks.spawn("store settings", store_settings(self.store.clone(), config, tasks.shutdown()));
        tasks.spawn("store upkeep", upkeep(self.store, tasks.shutdown()));
        readiness.set(true);
        let ended = tasks.run().await;
        readiness.set(false);
        ended
    }

    fn ruling(&self) -> Ruling {
        Ruling {
            queryable: self.store.clone(),
            store: self.ingest.clone(),
            engine: self.engine.clone(),
            clock: self.clock.clone(),
            report: self.rules.clone(),
            sink: self.delivery.clone(),
            external_url: self.external_url.clone(),
            options: self.options.rules,
        }
    }

    /// What takes in what others push.
    fn pushed(&self, config: watch::Receiver<Arc<Config>>) -> Pushed {
        let (retention, _) = retention(&self.options, &self.config);
        let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let writer = || {
            let (ingest, report, clock) = (self.ingest.clone(), self.report.clone(), self.clock.clone());
            Arc::new(Writer::new(ingest, report, clock, retention_ms))
        };
        let admission = self.traces.sink().admission().clone();
        let metrics = MetricSink::new(writer(), config, admission);
        let metrics = self.options.receive_metrics.then(|| Arc::new(metrics));
        Pushed { remote_write: writer(), metrics }
    }

    fn http_routes(&self, readiness: &Readiness, liveness: &Liveness, pushed: &Pushed) -> Router {
        let metrics = Metrics::default();
        metrics.register(|registry| {
            let own = OwnMetrics {
                store: self.store.clone(),
                report: self.report.clone(),
                remote_write: pushed.remote_write.clone(),
                otlp: pushed.metrics.clone(),
            };
            registry.register_collector(Box::new(own));
            registry.register_collector(Box::new(self.senders.metrics()));
            rules::metrics::register(registry, &self.rules, &self.delivery);
        });
        self.traces.register(&metrics);
        let api = PrometheusApi {
            store: self.store.clone(),
            engine: self.engine.clone(),
            targets: self.report.clone(),
            rules: Arc::new(rules::Overview { report: self.rules.clone(), delivery: self.delivery.clone() }),
            exemplars: Some(self.store.clone()),
            clock: self.clock.clone(),
            server: self.facts(),
        };
        let receiving = self.options.receive_metrics.then(|| pushed.remote_write.clone());
        // Without targets it still answers queries and takes in traces: that is no reason to keep questions from it.
        let (readiness, watches) = (readiness.clone(), self.report.watch_counts.clone());
        let report = move || readiness.report(watches.troubles());
        let storage = prometheus::storage_routes(self.store.clone(), self.options.enable_admin_api);
        prometheus::routes(api)
            .merge(storage)
            .merge(receiver::routes(receiving))
            .merge(otlp::prometheus_routes(pushed.metrics.clone()))
            .merge(self.traces.routes())
            .merge(health::routes(liveness, report.clone()))
            // Where Prometheus has them, and promtool asks.
            .merge(health::routes_at(["/-/healthy", "/-/ready"], liveness, report))
            .merge(metrics.routes())
            .route("/", get(|| async { Html(PAGE) }))
            .route("/graph", get(rules::graph_link))
    }

    fn facts(&self) -> ServerFacts {
        let options = &self.options;
        let shown = |duration| protocol::duration::Display(duration).to_string();
        let (retention, retention_bytes) = retention(options, &self.config);
        let retention = shown(retention);
        let flags = [
            ("listen", self.endpoints.http.to_string()),
            ("otlp-grpc", self.endpoints.otlp_grpc.to_string()),
            ("otlp-http", self.endpoints.otlp_http.to_string()),
            ("config", options.config.display().to_string()),
            ("data", options.data.display().to_string()),
            ("retention", retention.clone()),
            ("retention-size", retention_bytes.unwrap_or(0).to_string()),
            ("enable-admin-api", options.enable_admin_api.to_string()),
            ("receive-metrics", options.receive_metrics.to_string()),
            ("query-timeout", shown(options.queries.timeout)),
            ("query-max-concurrency", options.queries.queries_max.to_string()),
            ("query-max-samples", options.queries.samples_max.to_string()),
            ("query-max-series", options.queries.series_max.to_string()),
            ("query-lookback-delta", shown(options.queries.lookback)),
            ("external-url", self.external_url.to_string()),
            ("alert-for-outage-tolerance", shown(options.rules.for_outage_tolerance)),
            ("alert-for-grace-period", shown(options.rules.for_grace_period)),
            ("alert-resend-delay", shown(options.rules.resend_delay)),
            ("shard", options.shard.map(|shard| shard.to_string()).unwrap_or_default()),
        ];
        let flags = flags.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        ServerFacts { started_ms: self.clock.now_ms(), retention, flags }
    }
}

/// What a person who opens the address sees.
const PAGE: &str = "<!doctype html><title>Plimsoll collector</title><h1>Plimsoll collector</h1><ul>\
<li><a href=/api/v1/targets>/api/v1/targets</a>: what is scraped, and how it goes\
<li><a href='/api/v1/query?query=up'>/api/v1/query</a>, /api/v1/query_range: PromQL, as Prometheus answers it\
<li><a href=/api/v1/rules>/api/v1/rules</a>, <a href=/api/v1/alerts>/api/v1/alerts</a>: what is evaluated, and what fires\
<li><a href=/api/v1/faults>/api/v1/faults</a>: what is broken, by what evidence, and whom it hurts\
<li><a href=/api/v1/graph>/api/v1/graph</a>: who calls whom\
<li><a href=/api/services>/api/services</a>, /api/traces: traces, as Jaeger answers\
<li><a href=/metrics>/metrics</a>, <a href=/healthz>/healthz</a>, <a href=/readyz>/readyz</a>: about the collector itself\
</ul>";

async fn serve(listener: TcpListener, routes: Router, shutdown: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

/// Seals, merges and forgets what is due.
async fn upkeep(store: Arc<Store>, shutdown: CancellationToken) -> Result<(), String> {
    let mut ticks = interval(UPKEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let (store, stop) = (store.clone(), shutdown.clone());
        let work = tokio::task::spawn_blocking(move || store.tend(&|| stop.is_cancelled()));
        work.await.map_err(|error| error.to_string())?;
    }
}

/// Forces the log to the disk at intervals.
async fn sync(store: Arc<Store>, period: Duration, shutdown: CancellationToken) -> Result<(), String> {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let store = store.clone();
        let work = tokio::task::spawn_blocking(move || store.sync());
        if let Err(error) = work.await.map_err(|error| error.to_string())? {
            tracing::error!(%error, "the write-ahead log could not be forced to the disk");
        }
    }
}

/// Puts in force what a reload has changed of the store's configuration.
async fn store_settings(
    store: Arc<Store>,
    mut configs: watch::Receiver<Arc<Config>>,
    shutdown: CancellationToken,
) -> Result<(), String> {
    let retention = configs.borrow().retention;
    loop {
        let (late_window, wanted) = {
            let config = configs.borrow_and_update();
            (config.late_window, config.retention)
        };
        store.set_late_window(late_window);
        if wanted != retention {
            tracing::warn!(
                "storage.tsdb.retention has changed: that comes into force when the collector is started again"
            );
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            // At the end whoever changes them may be gone first: that is no failure.
            Ok(()) = configs.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests;
