//! `plimsoll collector`: scrapes metrics, takes in traces, answers PromQL.

use std::net::SocketAddr;
use std::path::PathBuf;

use collector::{Collector, Options, Shard, WalSync};

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
    /// How long samples are kept.
    #[arg(long, value_name = "DURATION", default_value = "15d", value_parser = protocol::duration::parse)]
    retention: std::time::Duration,
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
    /// Checks the configuration and ends.
    #[arg(long)]
    check: bool,
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
        options.receive_metrics = arguments.receive_metrics;
        options.wal_sync = arguments.wal_sync;
        options.shard = arguments.shard;
        options.reload_at_hangup = true;
        match Collector::bind(options).await {
            Ok(collector) => Outcome::of(collector.run(shutdown).await),
            Err(error) => Outcome::bad_input(error),
        }
    })
}
