//! `plimsoll tui`: the screen on a running collector and autoscaler.

use tui::View;
use tui::picture::TraceWish;
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
    /// Prints what the screen would show now, and ends.
    #[arg(long)]
    once: bool,
    /// With --once: services, graph, decisions, traces, or service:NAME.
    #[arg(long, default_value = "services", value_parser = view)]
    view: View,
    /// With --once: columns and rows.
    #[arg(long, value_name = "COLUMNSxROWS", default_value = "120x40", value_parser = size)]
    size: (u16, u16),
}

fn view(text: &str) -> Result<View, String> {
    match text {
        "services" => Ok(View::Services),
        "graph" => Ok(View::Graph),
        "decisions" => Ok(View::Decisions),
        "traces" => Ok(View::Traces(TraceWish { service: String::new(), errors_only: false })),
        _ => match text.strip_prefix("service:") {
            Some(name) if !name.is_empty() => Ok(View::Service(name.to_owned())),
            _ => Err("expected services, graph, decisions, traces or service:NAME".to_owned()),
        },
    }
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let (columns, rows) = text.split_once('x').ok_or("expected COLUMNSxROWS such as 80x24")?;
    let number = |text: &str| text.parse::<u16>().ok().filter(|n| (1..=1000).contains(n));
    number(columns)
        .zip(number(rows))
        .ok_or_else(|| "expected COLUMNSxROWS such as 80x24, each from 1 to 1000".to_owned())
}

/// Opens the screen until the user quits, or prints it once.
pub fn run(arguments: Arguments) -> Outcome {
    run_until_signal(|shutdown| async move {
        let options = tui::Options {
            collector: arguments.collector,
            autoscaler: Some(arguments.autoscaler),
            no_color: arguments.no_color,
            title: "plimsoll".to_owned(),
        };
        if arguments.once {
            print!("{}", Box::pin(tui::snapshot(options, arguments.view, arguments.size)).await);
            return Outcome::Done;
        }
        Outcome::of(tui::run(options, shutdown).await)
    })
}
