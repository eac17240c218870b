//! The whole collector: opens the store and every port, then runs each part as a task until shutdown. Holds no logic of
//! its own. Start at `Collector::bind`, then `Collector::run`.

mod http;
mod options;
mod own_metrics;
mod reload;
mod upkeep;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use lifecycle::{CancellationToken, Clock, Liveness, Readiness, Supervisor, SystemClock, TaskEnded, listen};
use tokio::net::TcpListener;
use tokio::sync::watch;
use url::Url;

use self::options::retention;
pub use self::options::{Options, StartError};
use self::reload::Reload;
use self::upkeep::{store_settings, sync, upkeep};
use crate::config::{self, Config};
use crate::otlp::metrics::MetricSink;
use crate::promql::Engine;
use crate::remote::receiver::Writer;
use crate::remote::sender::{Forwarding, Senders};
use crate::rules::delivery::{self, Delivery};
use crate::rules::report::RulesReport;
use crate::rules::{self, Ruling};
use crate::scrape::{self, ScrapeReport, Scraping};
use crate::store::{Store, StoreOptions, WalSync};
use crate::traces::Traces;
use crate::{otlp, series};

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
        let spans = options.data.join("spans");
        let traces = Traces::open(options.spans.clone(), clock.clone(), &spans, options.span_retention)?;
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
            traces,
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
        if let Some(keeper) = self.traces.keeper() {
            tasks.spawn("spans", keeper.run(tasks.shutdown()));
        }
        tasks.spawn("faults", self.traces.watchman().with_series(self.store.clone()).run(tasks.shutdown()));
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
}

async fn serve(listener: TcpListener, routes: Router, shutdown: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await
}
