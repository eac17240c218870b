//! `plimsoll tui`: the screen on a running collector and autoscaler, on this machine or, by way of the API server, on a cluster.
//! Draws nothing itself.

use std::path::PathBuf;
use std::time::Duration;

use cluster::kubernetes::access::{Access, Connection};
use cluster::kubernetes::forward::{Forward, Goal};
use lifecycle::{CancellationToken, Supervisor};
use protocol::api_token;
use protocol::scaling::ObjectName;
use tui::View;
use tui::feed::backends::Backend;
use tui::picture::{ServiceKey, TraceWish};
use url::Url;

use crate::outcome::{Outcome, run_until_signal};

/// Where the programs are when nothing else is said, on this machine and on a cluster.
const COLLECTOR: &str = "http://127.0.0.1:9090";
const AUTOSCALER: &str = "http://127.0.0.1:9091";
const NAMESPACE: &str = "plimsoll";

/// How long the ways to a cluster may take to close; nobody needs what they carry any more.
const CLOSING_PATIENCE: Duration = Duration::from_secs(2);

/// The command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The collector, or any Prometheus-compatible server [default: http://127.0.0.1:9090, on a cluster its pod].
    #[arg(long, value_name = "URL")]
    collector: Option<Url>,
    /// The autoscaler; without one the screen says what is missing [default: http://127.0.0.1:9091, on a cluster its pod].
    #[arg(long, value_name = "URL")]
    autoscaler: Option<Url>,
    /// A file with the token that the autoscaler asks of whoever pauses or resumes a policy; else $PLIMSOLL_API_TOKEN_FILE. It is
    /// read anew for each change.
    #[arg(long, value_name = "FILE")]
    api_token_file: Option<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArguments,
    /// No colours, as with NO_COLOR=1.
    #[arg(long)]
    no_color: bool,
    /// Prints what the screen would show now, and ends.
    #[arg(long)]
    once: bool,
    /// With --once: services, suspects, graph, timeline, decisions, policies, traces, of a service NAME or NAMESPACE/NAME
    /// service:NAME, radius:NAME, latencies:NAME, and policy:NAMESPACE/NAME.
    #[arg(long, default_value = "services", value_parser = view, requires = "once")]
    view: View,
    /// With --once: columns and rows.
    #[arg(long, value_name = "COLUMNSxROWS", default_value = "120x40", value_parser = size, requires = "once")]
    size: (u16, u16),
}

/// Any of these means a cluster: what is named neither by --collector nor by --autoscaler is reached there, through the API server.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "On a Kubernetes cluster")]
struct ClusterArguments {
    /// A context of the kubeconfig [default: the current one].
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
    /// Where Plimsoll is installed [default: plimsoll].
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// A kubeconfig [default: $KUBECONFIG, else ~/.kube/config].
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

impl ClusterArguments {
    fn is_wanted(&self) -> bool {
        self.context.is_some() || self.namespace.is_some() || self.kubeconfig.is_some()
    }
}

fn view(text: &str) -> Result<View, String> {
    match text {
        "services" => Ok(View::Services),
        "suspects" => Ok(View::Suspects),
        "graph" => Ok(View::Graph),
        "timeline" => Ok(View::Timeline),
        "decisions" => Ok(View::Decisions),
        "policies" => Ok(View::Policies),
        "traces" => Ok(View::Traces(TraceWish::default())),
        _ => of_service(text).ok_or_else(|| {
            "expected services, suspects, graph, timeline, decisions, policies, traces, policy:NAMESPACE/NAME, or service, radius or \
             latencies with :NAME or :NAMESPACE/NAME, such as service:NAMESPACE/NAME"
                .to_owned()
        }),
    }
}

fn of_service(text: &str) -> Option<View> {
    let (view, name) = text.split_once(':')?;
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    let key = ServiceKey::new(namespace, name);
    match view {
        _ if name.is_empty() => None,
        "service" => Some(View::Service(key)),
        "radius" => Some(View::Radius(key)),
        "latencies" => Some(View::Latencies(key)),
        "policy" if !namespace.is_empty() => {
            Some(View::Policy(ObjectName { namespace: key.namespace, name: key.name }))
        }
        _ => None,
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
    if arguments.cluster.is_wanted() && arguments.collector.is_some() && arguments.autoscaler.is_some() {
        return Outcome::bad_input(
            "--collector and --autoscaler name both programs, so that there is nothing to look for on a cluster: leave one of them \
             away, or --context, --namespace and --kubeconfig",
        );
    }
    run_until_signal(|shutdown| async move {
        let mut ways = Supervisor::new(shutdown.child_token()).with_deadline(CLOSING_PATIENCE);
        let stop = ways.shutdown();
        let view = arguments.view.clone();
        let (once, size) = (arguments.once, arguments.size);
        let options = match options(arguments, &mut ways, &stop).await {
            Ok(options) => options,
            Err(reason) => return Outcome::bad_input(reason),
        };
        let screen = async {
            let outcome = if once {
                print_once(options, view, size).await
            } else {
                Outcome::of(tui::run(options, stop.clone()).await)
            };
            stop.cancel();
            outcome
        };
        let (outcome, ended) = futures::join!(Box::pin(screen), ways.run());
        match (outcome, ended) {
            (Outcome::Done, Err(error)) => Outcome::failed(error),
            (outcome, _) => outcome,
        }
    })
}

async fn print_once(options: tui::Options, view: View, size: (u16, u16)) -> Outcome {
    match Box::pin(tui::snapshot(options, view, size)).await {
        Ok(screen) => {
            print!("{screen}");
            Outcome::Done
        }
        Err(error) => Outcome::failed(error),
    }
}

async fn options(
    arguments: Arguments,
    ways: &mut Supervisor,
    stop: &CancellationToken,
) -> Result<tui::Options, String> {
    let Arguments { collector, autoscaler, api_token_file, cluster, no_color, .. } = arguments;
    let api_token = api_token::file(api_token_file);
    if let Some(file) = &api_token {
        let read = api_token::read(file).await;
        read.map_err(|error| format!("{error}; the file is set with --api-token-file"))?;
    }
    let named = |url: Option<Url>, default: &str| -> Backend {
        url.unwrap_or_else(|| default.parse().expect("the default is a URL")).into()
    };
    if !cluster.is_wanted() {
        let (collector, autoscaler) = (named(collector, COLLECTOR), named(autoscaler, AUTOSCALER));
        let title = "plimsoll".to_owned();
        return Ok(tui::Options { collector, autoscaler: Some(autoscaler), api_token, no_color, title });
    }
    let access = Access { kubeconfig: cluster.kubeconfig, context: cluster.context };
    let connection = Connection::open(&access).await.map_err(|error| error.to_string())?;
    let namespace = cluster.namespace.unwrap_or_else(|| NAMESPACE.to_owned());
    let title = match connection.context.as_str() {
        "" => format!("plimsoll {namespace}"),
        context => format!("plimsoll {context}/{namespace}"),
    };
    let mut reach = async |url: Option<Url>, component: &str| match url {
        Some(url) => Ok(url.into()),
        None => way(&connection, &namespace, component, ways, stop).await,
    };
    let collector = reach(collector, "collector").await?;
    let autoscaler = Some(reach(autoscaler, "autoscaler").await?);
    Ok(tui::Options { collector, autoscaler, api_token, no_color, title })
}

/// A way to one of our programs on a cluster, by the labels and the port's name that the chart gives its pods.
async fn way(
    connection: &Connection,
    namespace: &str,
    component: &str,
    ways: &mut Supervisor,
    stop: &CancellationToken,
) -> Result<Backend, String> {
    let goal = Goal {
        namespace: namespace.to_owned(),
        selector: format!("app.kubernetes.io/part-of=plimsoll,app.kubernetes.io/component={component}"),
        port: "http".to_owned(),
    };
    let bound = Forward::bind(connection, goal).await;
    let (forward, forwarding) = bound.map_err(|error| format!("this machine gives no port for the way: {error}"))?;
    ways.spawn(&format!("the way to the {component}"), forwarding.run(stop.clone()));
    let url: Url = format!("http://{}", forward.address).parse().expect("an address makes a URL");
    Ok(Backend { url, place: connection.server.clone(), way: Some(forward.trouble) })
}
