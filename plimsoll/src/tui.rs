//! `plimsoll tui`: the screen on a running collector and autoscaler.

use url::Url;

use crate::outcome::{Outcome, run_until_signal};

/// The command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The collector, or any Prometheus-compatible server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    collector: Url,
    /// The autoscaler; without one the screen says what is missing.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9091")]
    autoscaler: Url,
    /// No colours, as with NO_COLOR=1.
    #[arg(long)]
    no_color: bool,
}

/// Opens the screen until the user quits.
pub fn run(arguments: Arguments) -> Outcome {
    run_until_signal(|shutdown| async move {
        let options = tui::Options {
            collector: arguments.collector,
            autoscaler: Some(arguments.autoscaler),
            no_color: arguments.no_color,
            title: "plimsoll".to_owned(),
        };
        Outcome::of(tui::run(options, shutdown).await)
    })
}
