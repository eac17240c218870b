//! `plimsoll autoscaler`: steers the workloads of a Kubernetes cluster. Wires what `autoscaler` and `cluster` offer; whatever is
//! wrong with the command line, the cluster or the rights is one message, before anything runs.

mod rights;
mod waiting;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use autoscaler::policy::PolicySet;
use autoscaler::policy::files::{PolicyFiles, files_in};
use autoscaler::{Autoscaler, Lead, Options, Policies};
use cluster::kubernetes::access::{Access, AccessError, Connection};
use cluster::kubernetes::lease::{Candidacy, Elector, ROUND_LONGEST, Terms};
use cluster::kubernetes::policies::{KubernetesPolicies, PolicyOptions};
use cluster::kubernetes::{Fence, KubernetesCluster, KubernetesOptions, ReadOnly};
use lifecycle::{CancellationToken, Supervisor};
use protocol::api_token;
use tokio::net::TcpListener;
use url::Url;

use crate::outcome::{Outcome, run_until_signal};

/// Between two tries to reach an API server that is away: as often as the pulse asks one that was there.
const RECONNECT_PAUSE: Duration = Duration::from_secs(3);

/// The command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The collector, or any Prometheus-compatible server.
    #[arg(long, value_name = "URL")]
    collector: Url,
    /// Policies from files and folders, instead of ScalingPolicy objects. SIGHUP and POST /-/reload read them anew; what is wrong
    /// then changes nothing.
    #[arg(long, value_name = "FILE|DIR")]
    policies: Vec<PathBuf>,
    /// Service level objectives from files and folders: replicas are held while one of a workload burns its error budget fast.
    #[arg(long, value_name = "FILE|DIR")]
    objectives: Vec<PathBuf>,
    /// Only this namespace; may be given several times. All of them without it.
    #[arg(long, value_name = "NS")]
    namespace: Vec<String>,
    /// Else $KUBECONFIG, else ~/.kube/config, else the pod's service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; else its current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The HTTP API; `:9091` is all addresses.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9091", value_parser = lifecycle::listen::parse)]
    listen: SocketAddr,
    /// A file with the token that whoever changes something by the API sends as `Authorization: Bearer TOKEN`; else
    /// $PLIMSOLL_API_TOKEN_FILE. Without one only connections from this machine change anything.
    #[arg(long, value_name = "FILE")]
    api_token_file: Option<PathBuf>,
    /// Where the decision log is kept, and who is paused where policies are files; in memory only without it.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Time between decisions.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = protocol::duration::parse)]
    interval: Duration,
    /// The window over which CPU use is averaged: at least two scrapes.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = protocol::duration::parse)]
    rate_window: Duration,
    /// One of several: whoever holds the Lease decides, the others stand by.
    #[arg(long)]
    leader_elect: bool,
    /// The Lease's namespace; else the context's, or the pod's own.
    #[arg(long, value_name = "NS")]
    lease_namespace: Option<String>,
    /// The Lease's name.
    #[arg(long, value_name = "NAME", default_value = "plimsoll-autoscaler")]
    lease_name: String,
    /// Decides and explains, and writes nothing to the cluster, no Lease either: with --leader-elect it decides beside
    /// whoever leads.
    #[arg(long)]
    dry_run: bool,
}

impl Arguments {
    /// A dry run that held the Lease would keep from steering those that are to steer.
    fn elects(&self) -> bool {
        self.leader_elect && !self.dry_run
    }
}

/// Runs the autoscaler until it is asked to stop.
pub fn run(arguments: Arguments) -> Outcome {
    lifecycle::logging::to_stderr();
    run_until_signal(|shutdown| async move {
        let bound = tokio::select! {
            bound = Stack::bind(arguments) => bound,
            () = shutdown.cancelled() => return Outcome::Done,
        };
        match bound {
            Ok(stack) => stack.run(shutdown).await,
            Err(reason) => Outcome::BadInput(reason),
        }
    })
}

/// Everything that runs, bound and not yet running.
struct Stack {
    autoscaler: Autoscaler,
    watches: cluster::kubernetes::Watches,
    policies: Option<cluster::kubernetes::policies::PolicyWatch>,
    elector: Option<Elector>,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Connects. A pod that starts while the API server is away waits for it: if it ended, its next start would be put off for minutes.
async fn connect(access: &Access, port: &TcpListener) -> Result<Connection, String> {
    let is_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && std::env::var_os("KUBECONFIG").is_none();
    match Connection::open(access).await {
        Err(error @ AccessError::Unreachable { .. }) if is_pod && *access == Access::default() => {
            tracing::warn!(reason = %error, "waiting for the API server");
            tokio::select! {
                connected = connect_again(access) => connected,
                failed = waiting::answer(port, text(error)) => Err(format!(
                    "the port of --listen cannot be used: {}",
                    failed.err().map_or_else(|| "it was closed".to_owned(), text)
                )),
            }
        }
        result => result.map_err(text),
    }
}

async fn connect_again(access: &Access) -> Result<Connection, String> {
    loop {
        tokio::time::sleep(RECONNECT_PAUSE).await;
        match Connection::open(access).await {
            Err(AccessError::Unreachable { .. }) => {}
            result => return result.map_err(text),
        }
    }
}

impl Stack {
    async fn bind(arguments: Arguments) -> Result<Self, String> {
        let files = PolicyFiles::new(arguments.policies.clone());
        // Before anybody is asked for anything.
        files.load().map_err(text)?;
        let objectives = slo::load(&files_in(&arguments.objectives).map_err(text)?).map_err(text)?;
        let access = Access { kubeconfig: arguments.kubeconfig.clone(), context: arguments.context.clone() };
        let port = lifecycle::listen(arguments.listen, "--listen").await.map_err(text)?;
        let connection = connect(&access, &port).await?;
        tracing::info!(server = %connection.server, user = %connection.user, "the API server answers");

        let lease_namespace = arguments.lease_namespace.as_deref().unwrap_or(&connection.namespace);
        let asked = rights::Asked {
            namespaces: &arguments.namespace,
            objects: arguments.policies.is_empty(),
            dry_run: arguments.dry_run,
            lease: arguments.elects().then_some((lease_namespace, arguments.lease_name.as_str())),
        };
        rights::check(&connection, asked).await?;

        let identity = identity();
        let elector = arguments.elects().then(|| elector(&arguments, &connection, &identity));
        let fence: Option<Arc<dyn Fence>> = if arguments.dry_run {
            Some(Arc::new(ReadOnly))
        } else {
            elector.as_ref().map(|elector| Arc::new(elector.fence()) as Arc<dyn Fence>)
        };
        let namespaces = arguments.namespace.clone();
        let options =
            KubernetesOptions { namespaces: namespaces.clone(), fence: fence.clone(), reporter: identity.clone() };
        let (cluster, watches) = KubernetesCluster::start(&connection, options);
        let mut options = Options::new(arguments.collector, PolicySet::default());
        options.policies = Policies::Reloaded(files);
        options.reload_at_hangup = true;
        let policies = arguments.policies.is_empty().then(|| {
            let (store, watch) =
                KubernetesPolicies::start(&connection, PolicyOptions { namespaces, fence, reporter: identity });
            options.policies = Policies::Objects(Arc::new(store));
            watch
        });
        options.objectives = objectives;
        options.interval = arguments.interval;
        options.rate_window = arguments.rate_window;
        options.data = arguments.data;
        options.api_token = api_token::file(arguments.api_token_file);
        options.dry_run = arguments.dry_run;
        let mut autoscaler = Autoscaler::on(port, options, Arc::new(cluster)).await.map_err(text)?;
        let mut elector = elector;
        if let Some(elector) = &mut elector {
            elector.answers_at(address_for_others(autoscaler.address()));
            elector.beats(autoscaler.liveness().expect("the election", ROUND_LONGEST));
            autoscaler = autoscaler.elected_by(Lead::elected(elector.standing()));
        }
        Ok(Self { autoscaler, watches, policies, elector })
    }

    async fn run(self, shutdown: CancellationToken) -> Outcome {
        let Self { autoscaler, watches, policies, elector } = self;
        println!("autoscaler: http://{}", autoscaler.address());
        let mut supervisor = Supervisor::new(shutdown).with_liveness(autoscaler.liveness().clone());
        let stop = supervisor.shutdown();
        supervisor.spawn("the watches of the cluster", watches.run(stop.clone()));
        if let Some(policies) = policies {
            supervisor.spawn("the watch of scaling policies", policies.run(stop.clone()));
        }
        // The Lease is given back when nothing writes any more, and not before.
        let wrote_last = CancellationToken::new();
        if let Some(elector) = elector {
            supervisor.spawn("the election", elector.run(wrote_last.clone()));
        }
        supervisor.spawn("the autoscaler", async move {
            let _last = wrote_last.drop_guard();
            autoscaler.run(stop).await
        });
        Outcome::of(supervisor.run().await)
    }
}

/// Who this is: its pod's name, to which admission compares a Lease's holder; elsewhere a name of its own.
fn identity() -> String {
    std::env::var("POD_NAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "plimsoll".to_owned());
        format!("{}-{}-{:04x}", host.trim(), std::process::id(), rand::random::<u16>())
    })
}

fn elector(arguments: &Arguments, connection: &Connection, identity: &str) -> Elector {
    let candidacy = Candidacy {
        namespace: arguments.lease_namespace.clone().unwrap_or_else(|| connection.namespace.clone()),
        name: arguments.lease_name.clone(),
        identity: identity.to_owned(),
        address: None,
        terms: Terms::default(),
    };
    Elector::new(connection, candidacy)
}

/// Where others reach this: the pod's address, or the one listened on if it is one.
fn address_for_others(listens: SocketAddr) -> Option<String> {
    let pod = std::env::var("POD_IP").ok().and_then(|ip| ip.parse::<std::net::IpAddr>().ok());
    let ip = if listens.ip().is_unspecified() { pod? } else { listens.ip() };
    Some(format!("http://{}", SocketAddr::new(ip, listens.port())))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Arguments;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn a_dry_run_takes_no_part_in_an_election() {
        for (flags, elects) in [
            (&[][..], false),
            (&["--leader-elect"], true),
            (&["--dry-run"], false),
            (&["--dry-run", "--leader-elect"], false),
        ] {
            let line = ["autoscaler", "--collector", "http://collector:9090"].into_iter().chain(flags.iter().copied());
            assert_eq!(Line::parse_from(line).arguments.elects(), elects, "{flags:?}");
        }
    }
}
