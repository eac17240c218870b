//! `plimsoll collector`: scrapes metrics, takes in traces, answers PromQL.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use collector::promql::EngineOptions;
use collector::rules::RuleOptions;
use collector::traces::SpanRetention;
use collector::{Collector, Options, Shard, WalSync};
use url::Url;

use crate::outcome::{Outcome, run_until_signal};

/// The command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The scrape configuration, in Prometheus' format.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where samples are kept.
    #[arg(long, value_name = "DIR", default_value = "plimsoll-data")]
    data: PathBuf,
    /// The HTTP API; `:9090` is all addresses.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090", value_parser = lifecycle::listen::parse)]
    listen: SocketAddr,
    /// OTLP over gRPC.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4317", value_parser = lifecycle::listen::parse)]
    otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4318", value_parser = lifecycle::listen::parse)]
    otlp_http: SocketAddr,
    /// How long samples are kept: as the configuration says (storage.tsdb.retention) if it is not given, or 15d.
    #[arg(long, value_name = "DURATION", value_parser = protocol::duration::parse)]
    retention: Option<Duration>,
    /// How many bytes samples on disk may take, such as 50GB; the oldest blocks go first. As the configuration says if it is
    /// not given, or else only time counts.
    #[arg(long, value_name = "SIZE", value_parser = collector::config::parse_bytes)]
    retention_size: Option<u64>,
    #[command(flatten)]
    spans: Spans,
    /// Allows requests that write to the disk: POST /api/v1/admin/tsdb/snapshot.
    #[arg(long)]
    enable_admin_api: bool,
    /// When the write-ahead log is flushed to the disk: os (when the system likes; safe against a killed process),
    /// always (safe against a power cut), or a duration between flushes.
    #[arg(long, value_name = "WHEN", default_value = "os", value_parser = WalSync::parse)]
    wal_sync: WalSync,
    /// One of N collectors that share the targets: of all, this one scrapes those whose hash modulo N is I, from 0.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Takes in metrics that others push: remote write at /api/v1/write, OTLP at /api/v1/otlp/v1/metrics and on the OTLP ports.
    /// Off unless asked for, because whoever may write metrics may make the autoscaler scale.
    #[arg(long)]
    receive_metrics: bool,
    #[command(flatten)]
    queries: Queries,
    /// Where this collector is reached from outside, for links in alerts: this machine's name and the port if it is not given.
    #[arg(long, value_name = "URL", value_parser = external_url)]
    external_url: Option<Url>,
    /// How soon a receiver is told about an alert again.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = protocol::duration::parse)]
    alert_resend_delay: Duration,
    /// The longest that nobody may have looked for an alert to go on, after a restart, where it was.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = protocol::duration::parse)]
    alert_for_outage_tolerance: Duration,
    /// The least that an alert is pending after a restart, unless its `for` is shorter.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = protocol::duration::parse)]
    alert_for_grace_period: Duration,
    /// Checks the configuration and the rule files that it names, and ends.
    #[arg(long)]
    check: bool,
}

/// What is kept of traces.
#[derive(Debug, clap::Args)]
struct Spans {
    /// How long traces are kept on disk.
    #[arg(long, value_name = "DURATION", default_value = "3d", value_parser = protocol::duration::parse)]
    span_retention: Duration,
    /// How many bytes traces on disk may take; the oldest go first, 0 is no bound.
    #[arg(long, value_name = "SIZE", default_value = "10GB", value_parser = collector::config::parse_bytes)]
    span_retention_size: u64,
    /// How many traces a second without error, and not slow for their operation, are kept on disk; of more an even sample is, with
    /// its probability. All with errors and all that are slow are kept; rates and the graph are made of every span.
    #[arg(long, value_name = "N", default_value_t = 100)]
    span_sample: u32,
}

/// What queries may cost; the defaults are Prometheus'.
#[derive(Debug, clap::Args)]
struct Queries {
    /// The longest that a query may take, the time it waits included.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = protocol::duration::parse)]
    query_timeout: Duration,
    /// How many queries are evaluated at once; more wait.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    query_max_concurrency: u16,
    /// The most samples that a query may hold in memory, and that all together may, save the oldest.
    #[arg(long, value_name = "N", default_value_t = 50_000_000)]
    query_max_samples: usize,
    /// The most series that a query may read.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    query_max_series: usize,
    /// How far back a query looks for the newest sample of a series.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = protocol::duration::parse)]
    query_lookback_delta: Duration,
}

impl From<Queries> for EngineOptions {
    fn from(queries: Queries) -> Self {
        Self {
            timeout: queries.query_timeout,
            queries_max: usize::from(queries.query_max_concurrency),
            samples_max: queries.query_max_samples,
            samples_total_max: queries.query_max_samples,
            series_max: queries.query_max_series,
            lookback: queries.query_lookback_delta,
        }
    }
}

/// Runs the collector until it is asked to stop.
pub fn run(arguments: Arguments) -> Outcome {
    lifecycle::logging::to_stderr();
    if arguments.check {
        return match collector::config::check(&arguments.config) {
            Ok(_) => {
                println!("ok: {}", arguments.config.display());
                Outcome::Done
            }
            Err(error) => Outcome::bad_input(error),
        };
    }
    run_until_signal(|shutdown| async move {
        let mut options = Options::new(arguments.config, arguments.data);
        options.listen = arguments.listen;
        options.otlp_grpc = arguments.otlp_grpc;
        options.otlp_http = arguments.otlp_http;
        options.retention = arguments.retention;
        options.retention_bytes = arguments.retention_size;
        let bytes = Some(arguments.spans.span_retention_size).filter(|bytes| *bytes > 0);
        options.span_retention = SpanRetention { time: arguments.spans.span_retention, bytes };
        options.spans.ordinary_per_second = arguments.spans.span_sample;
        options.enable_admin_api = arguments.enable_admin_api;
        options.receive_metrics = arguments.receive_metrics;
        options.wal_sync = arguments.wal_sync;
        options.shard = arguments.shard;
        options.queries = arguments.queries.into();
        options.external_url = arguments.external_url;
        options.rules = RuleOptions {
            for_outage_tolerance: arguments.alert_for_outage_tolerance,
            for_grace_period: arguments.alert_for_grace_period,
            resend_delay: arguments.alert_resend_delay,
        };
        options.reload_at_hangup = true;
        match Collector::bind(options).await {
            Ok(collector) => Outcome::of(collector.run(shutdown).await),
            Err(error) => Outcome::bad_input(error),
        }
    })
}

fn external_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is not a URL: {error}"))?;
    if ["http", "https"].contains(&url.scheme()) && url.host_str().is_some() {
        return Ok(url);
    }
    Err(format!("{text:?} is not a URL of the form http://host/path or https://host/path"))
}
