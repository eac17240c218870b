//! What the collector is started with, and how that and the configuration's word on retention go together. Starts nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lifecycle::ListenError;
use protocol::yaml::DocumentError;
use url::Url;

use crate::config::Config;
use crate::discovery::shard::Shard;
use crate::promql::EngineOptions;
use crate::remote::sender::OpenQueueError;
use crate::rules::RuleOptions;
use crate::store::{OpenStoreError, RETENTION_DEFAULT, RETENTION_MAX, WalSync};
use crate::traces::{Limits, OpenSpansError, SpanRetention};

/// How often series learnt from spans are appended.
const GRAPH_INTERVAL_DEFAULT: Duration = Duration::from_secs(5);

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
    /// How long traces are kept on disk, and in how many bytes.
    pub span_retention: SpanRetention,
    /// What is kept of traces in memory, and which of them on disk.
    pub spans: Limits,
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
            span_retention: SpanRetention::default(),
            spans: Limits::default(),
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
    /// Traces cannot be kept.
    #[error("{0}; the data folder is set with --data")]
    Spans(#[from] OpenSpansError),
    /// What is to be sent cannot be kept.
    #[error("{0}; the data folder is set with --data")]
    Queue(#[from] OpenQueueError),
}

/// How long samples are kept and in how many bytes: the command line's word counts before that of the file.
pub(super) fn retention(options: &Options, config: &Config) -> (Duration, Option<u64>) {
    let said = config.retention;
    let time = said.map_or(RETENTION_DEFAULT, |said| said.time.unwrap_or(RETENTION_MAX));
    let bytes = said.and_then(|said| said.bytes);
    (options.retention.unwrap_or(time).min(RETENTION_MAX), options.retention_bytes.or(bytes).filter(|bytes| *bytes > 0))
}
