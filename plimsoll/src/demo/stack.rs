//! Binds every program of the demo to its address and hands each the addresses of those it talks to.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use autoscaler::Autoscaler;
use cluster::local::{self, BackOff, LocalCluster, Runtime};
use cluster::{Cluster, Workload};
use collector::Collector;
use demo_services::shoppers::{self, Shoppers};
use lifecycle::Supervisor;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use url::Url;

use super::data_dir::DataDir;
use super::plan::Plan;
use super::ports::Held;
use super::scrape_config::{self, Sources};
use super::{Arguments, control, ports};
use crate::manifests;

/// The autoscaler's tick in the demo. HPA's 15 s would leave most of a two-minute demo without a decision.
const TICK: Duration = Duration::from_secs(2);

/// The window over which the demo's autoscaler reads CPU: ten scrapes at the demo's 1 s.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// A replica that has run so long is restarted at once when it ends. Kubernetes' 10 minutes are longer than a demo: whoever
/// kills the same replica twice would wait for the second one.
const BACK_OFF_RESET: Duration = Duration::from_secs(10);

/// A replica that crashed as long as a fault asked is back this long after it at the latest; orders then still settle.
/// Kubernetes' 5 minutes would outlast the demo.
const BACK_OFF_MAX: Duration = Duration::from_secs(10);

/// All programs, bound and not yet running.
pub struct Stack {
    cluster: LocalCluster,
    runtime: Runtime,
    collector: Collector,
    autoscaler: Autoscaler,
    shoppers: Shoppers,
    gateway: SocketAddr,
    control: TcpListener,
    faults: Plan,
}

/// What the conductor sees of the running programs.
pub struct View {
    /// The local runtime.
    pub cluster: LocalCluster,
    /// Counts of the collector.
    pub collector: collector::StatsHandle,
    /// Counts of the autoscaler.
    pub autoscaler: autoscaler::CountsHandle,
    /// Counts of the shoppers.
    pub shoppers: shoppers::StatsHandle,
    /// Lets the shoppers in.
    pub open_doors: Option<oneshot::Sender<()>>,
    /// Resolves when the load has ended.
    pub load_ended: oneshot::Receiver<()>,
    /// The collector.
    pub collector_url: Url,
    /// The autoscaler.
    pub autoscaler_url: Url,
    /// The shop's front door.
    pub gateway_url: Url,
    /// Where faults are begun and ended.
    pub control_url: Url,
    /// The faults of the run.
    pub faults: Plan,
}

impl View {
    /// All workloads as they are now; none when the local runtime has ended.
    pub async fn workloads(&self) -> Vec<Workload> {
        self.cluster.workloads().await.unwrap_or_default()
    }
}

fn url(address: SocketAddr) -> Result<Url, String> {
    let address = ports::reached(address);
    Url::parse(&format!("http://{address}")).map_err(|error| format!("{address} makes no URL: {error}"))
}

/// The address given, checked to be free, else the usual one, else any.
fn place(given: Option<SocketAddr>, usual: u16, flag: &str) -> Result<Held, String> {
    let place = given.map_or_else(|| ports::usual_or_free(usual), ports::hold);
    place.map_err(|error| {
        let address = given.map_or_else(|| format!("127.0.0.1:{usual}"), |a| a.to_string());
        match error.kind() {
            std::io::ErrorKind::AddrInUse => format!(
                "cannot listen on {address}: another program listens there already; choose another address with {flag}"
            ),
            _ => format!("cannot listen on {address}: {error}; choose another address with {flag}"),
        }
    })
}

fn any_free() -> Result<Held, String> {
    ports::any_free().map_err(|error| format!("no free port on 127.0.0.1: {error}"))
}

fn text(error: impl Display) -> String {
    error.to_string()
}

impl Stack {
    /// Reads every file and opens every port; whatever is wrong with them is found here.
    pub async fn bind(arguments: &Arguments, data: &DataDir) -> Result<Self, String> {
        let folder = arguments.manifests.as_deref();
        let manifests = local::manifest::load_documents(manifests::shop(folder).map_err(text)?).map_err(text)?;
        let policies = autoscaler::policy::from_documents(manifests::policies(folder).map_err(text)?).map_err(text)?;
        let objectives = slo::from_documents(&manifests::objectives(folder).map_err(text)?).map_err(text)?;

        let gateway = place(arguments.gateway, 8080, "--gateway")?;
        let gateway_address = gateway.address();
        let (runtime_api, shoppers_metrics) = (any_free()?, any_free()?);
        let collector_api = place(arguments.collector, 9090, "--collector")?;
        let autoscaler_api = place(arguments.autoscaler, 9091, "--autoscaler")?;
        let sources = Sources {
            runtime: runtime_api.address(),
            shoppers: shoppers_metrics.address(),
            collector: collector_api.address(),
            autoscaler: autoscaler_api.address(),
        };
        let scrape_file = data.path().join("scrape.yml");
        std::fs::write(&scrape_file, scrape_config::text(&sources)).map_err(|error| {
            format!("cannot write {}: {error}; choose another folder with --data", scrape_file.display())
        })?;

        let mut options = collector::Options::new(scrape_file, data.path().join("collector"));
        let (otlp_grpc, otlp_http) =
            (ports::usual_or_free(4317).map_err(text)?, ports::usual_or_free(4318).map_err(text)?);
        options.listen = collector_api.release();
        options.listen_flag = "--collector";
        options.otlp_grpc = otlp_grpc.release();
        options.otlp_http = otlp_http.release();
        options.graph_interval = Duration::from_secs(1);
        let collector = Collector::bind(options).await.map_err(text)?;

        let otlp = collector.endpoints().otlp_http;
        let options = local::Options {
            external_services: vec![local::ExternalService {
                name: "collector".to_owned(),
                ip: otlp.ip(),
                ports: vec![("otlp-http".to_owned(), otlp.port())],
            }],
            expose: vec![local::Expose {
                service: "gateway".to_owned(),
                port: "http".to_owned(),
                address: gateway.release(),
                flag: "--gateway".to_owned(),
            }],
            api: runtime_api.release(),
            back_off: BackOff { reset: BACK_OFF_RESET, max: BACK_OFF_MAX, ..BackOff::default() },
            ..local::Options::new(data.path().join("cluster"))
        };
        let (cluster, runtime) = LocalCluster::bind(options, manifests).await.map_err(text)?;

        let mut options = autoscaler::Options::new(url(sources.collector)?, policies);
        options.listen = autoscaler_api.release();
        options.objectives = objectives;
        options.interval = TICK;
        options.rate_window = RATE_WINDOW;
        options.data = Some(data.path().join("autoscaler"));
        let autoscaler = Autoscaler::bind(options, Arc::new(cluster.clone())).await.map_err(text)?;

        let shoppers = Shoppers::bind(shoppers::Options {
            gateway: url(gateway_address)?,
            profile: arguments.profile.clone(),
            rate: arguments.rate,
            duration: arguments.seconds.map(Duration::from_secs),
            seed: arguments.seed,
            listen: shoppers_metrics.release(),
        })
        .await
        .map_err(text)?;
        let control = place(arguments.control, 9902, "--control")?.release();
        let control = lifecycle::listen::listen(control, "--control").await.map_err(text)?;
        let faults = Plan::new(&arguments.fault);
        Ok(Self { cluster, runtime, collector, autoscaler, shoppers, gateway: gateway_address, control, faults })
    }

    /// Starts every program as a task of the supervisor; the shoppers wait at the door.
    pub fn spawn_into(self, supervisor: &mut Supervisor) -> Result<View, String> {
        let Self { cluster, runtime, collector, autoscaler, shoppers, gateway, control, faults } = self;
        let (open_doors, doors_open) = oneshot::channel();
        let (load_over, load_ended) = oneshot::channel();
        let view = View {
            cluster,
            collector: collector.stats(),
            autoscaler: autoscaler.counts(),
            shoppers: shoppers.stats(),
            open_doors: Some(open_doors),
            load_ended,
            collector_url: url(collector.endpoints().http)?,
            autoscaler_url: url(autoscaler.address())?,
            gateway_url: url(gateway)?,
            control_url: url(control.local_addr().map_err(text)?)?,
            faults: faults.clone(),
        };
        let shutdown = supervisor.shutdown();
        supervisor.spawn("the faults' port", control::serve(control, faults, shutdown.clone()));
        supervisor.spawn("the cluster", runtime.run(shutdown.clone()));
        supervisor.spawn("the collector", collector.run(shutdown.clone()));
        supervisor.spawn("the autoscaler", autoscaler.run(shutdown.clone()));
        supervisor.spawn("the shoppers", async move {
            let result = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = doors_open => shoppers.run(shutdown.clone()).await,
            };
            drop(load_over);
            shutdown.cancelled().await;
            result.map(|_| ())
        });
        Ok(view)
    }
}
