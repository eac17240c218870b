//! `plimsoll shop`: one service of the demo shop, or the shoppers that load it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use demo_services::{service, shoppers};
use lifecycle::CancellationToken;
use url::Url;

use crate::outcome::{Outcome, run_until_signal, stop_signal};
use crate::report_file;

/// The command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Runs one replica of a service, configured by environment variables as in k8s/shop.
    Serve {
        /// Which service.
        #[arg(value_name = "SERVICE", value_parser = clap::builder::PossibleValuesParser::new(service::NAMES))]
        service: String,
    },
    /// Loads a gateway with journeys of customers: open loop, bounded in time, latency free of coordinated omission.
    Shoppers(ShopperArguments),
}

/// The command line of the shoppers.
#[derive(Debug, clap::Args)]
struct ShopperArguments {
    /// The shop's front door.
    #[arg(long, value_name = "URL")]
    gateway: Url,
    /// steady, wave, flash-sale or trace:FILE (lines of `seconds,rps`).
    #[arg(long, default_value = "steady", value_parser = shoppers::Profile::parse)]
    profile: shoppers::Profile,
    /// Journeys a second at the profile's peak.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// How long, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The same seed makes the same journeys at the same times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the shoppers' own /metrics are served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = lifecycle::listen::parse)]
    listen: SocketAddr,
    /// Writes the report as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Runs the service or the shoppers.
pub fn run(arguments: Arguments) -> Outcome {
    match arguments.action {
        Action::Serve { service } => serve(&service),
        Action::Shoppers(arguments) => {
            if let Some(Err(error)) = arguments.report.as_deref().map(|file| report_file::check(file, "--report")) {
                return Outcome::bad_input(error);
            }
            run_until_signal(|shutdown| load(arguments, shutdown))
        }
    }
}

fn serve(name: &str) -> Outcome {
    let entered = cluster::local::die_with_parent().and_then(|()| cluster::local::enter_cgroups());
    if let Err(error) = entered {
        return Outcome::failed(error);
    }
    lifecycle::logging::to_stderr();
    let runtime = match service::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return Outcome::failed(format!("cannot start the runtime: {error}")),
    };
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let asked = shutdown.clone();
        let service = service::run(name, shutdown);
        tokio::pin!(service);
        tokio::select! {
            ended = &mut service => return Outcome::of(ended),
            () = stop_signal() => asked.cancel(),
        }
        Outcome::of(service.await)
    })
}

async fn load(arguments: ShopperArguments, shutdown: CancellationToken) -> Outcome {
    lifecycle::logging::to_stderr();
    let options = shoppers::Options {
        gateway: arguments.gateway,
        profile: arguments.profile,
        rate: arguments.rate,
        duration: Some(Duration::from_secs(arguments.seconds)),
        seed: arguments.seed,
        listen: arguments.listen,
    };
    let shoppers = match shoppers::Shoppers::bind(options).await {
        Ok(shoppers) => shoppers,
        Err(error) => return Outcome::bad_input(error),
    };
    let report = match shoppers.run(shutdown).await {
        Ok(report) => report,
        Err(error) => return Outcome::failed(error),
    };
    if let Some(file) = arguments.report {
        return Outcome::of(report_file::write(&file, &report));
    }
    match serde_json::to_string_pretty(&report) {
        Ok(text) => println!("{text}"),
        Err(error) => return Outcome::failed(error),
    }
    Outcome::Done
}
