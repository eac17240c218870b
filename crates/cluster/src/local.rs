//! Runs Kubernetes manifests as child processes of this binary: each replica is a process with an address of its own
//! inside 127.0.0.0/8, each Service a proxy in front of its ready replicas. Decides nothing about how many replicas
//! there should be. Start at `LocalCluster::bind`; `reconciler` owns the state, `replica` is the life of one process.
//!
//! Differences from a cluster, all on purpose: a replica is polled every 50 ms until it is first ready, whatever its
//! probes' periods; its first restart comes at once; it has no file system of its own, so paths below a volume's
//! `mountPath` are rewritten in environment and arguments to the directory that stands in for the volume
//! (`DATA/volumes/CLAIM`, `DATA/pods/POD/VOLUME`); its CPU limit holds from its first readiness on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lifecycle::{CancellationToken, ListenError, Liveness, Readiness, Supervisor, SystemClock, TaskEnded, listen};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

mod address;
mod api;
mod back_off;
mod binding;
mod cgroup;
mod child;
mod environment;
mod events;
pub mod manifest;
mod probe;
mod proc;
mod proxy;
mod reconciler;
mod replica;
mod rollout;
mod snapshot;
mod spawner;
mod words;

pub use address::AddressError;
pub use back_off::BackOff;
pub use child::{ChildError, die_with_parent, enter_cgroups};
pub use manifest::Manifests;

use crate::{Cluster, ClusterError, Container, Event, Replicas, Resources, Workload, WorkloadRef};
use binding::{bind_exposed, bind_services, described, service_variables};
use cgroup::Cgroups;
use events::EventLog;
use proxy::Route;
use reconciler::{Endpoint, Reconciler, Reply, Request, Surroundings};
use snapshot::Snapshot;
use spawner::Spawner;

/// Requests to the reconciler that may wait; callers wait beyond that.
const REQUESTS_MAX: usize = 64;

/// How long the reconciler may take to answer a request; a turn takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longer than replicas may take to end, so that the runtime's tasks outlive them.
const TASKS_DEADLINE: Duration = Duration::from_secs(8);

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory for volumes and logs; made if it does not exist.
    pub data: PathBuf,
    /// What the image `plimsoll` stands for; `None` for this program's own executable.
    pub executable: Option<PathBuf>,
    /// Services outside of the manifests that replicas find in their environment.
    pub external_services: Vec<ExternalService>,
    /// Service ports that are also served at addresses of the caller's choice.
    pub expose: Vec<Expose>,
    /// Where the runtime API listens.
    pub api: SocketAddr,
    /// The command line's name for `api`, for the error when the port is taken.
    pub api_flag: String,
    /// Waits between restarts.
    pub back_off: BackOff,
    /// A starting replica may use CPU beyond its limit for at most so long, until it is first ready; zero for never.
    /// Small limits would otherwise make slow starts (on Kubernetes: the Vertical Pod Autoscaler's CPU startup boost).
    pub startup_boost: Duration,
    /// Whether limits are enforced where the system allows it.
    pub enforce_limits: bool,
}

impl Options {
    /// The defaults: this executable, the API on a free port, nothing external or exposed.
    pub fn new(data: PathBuf) -> Self {
        Self {
            data,
            executable: None,
            external_services: Vec::new(),
            expose: Vec::new(),
            api: SocketAddr::from(([127, 0, 0, 1], 0)),
            api_flag: "--runtime".to_owned(),
            back_off: BackOff::default(),
            startup_boost: Duration::from_secs(10),
            enforce_limits: true,
        }
    }
}

/// A Service that the runtime does not run, such as the collector.
#[derive(Debug, Clone)]
pub struct ExternalService {
    /// Its name; `collector` becomes `COLLECTOR_SERVICE_HOST` and so on.
    pub name: String,
    /// Where it listens.
    pub ip: IpAddr,
    /// Names and numbers of its ports; the first is also the one without a name.
    pub ports: Vec<(String, u16)>,
}

/// A Service port served at one more address.
#[derive(Debug, Clone)]
pub struct Expose {
    /// Name of the Service.
    pub service: String,
    /// Name of its port.
    pub port: String,
    /// Where to listen; port 0 takes any free one.
    pub address: SocketAddr,
    /// The command line's name for it, for the error when the port is taken.
    pub flag: String,
}

/// Why the runtime could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The API's or an exposed address is taken.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No addresses for Services.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A Service's port is taken or may not be bound.
    #[error("Service {service} cannot listen on {address}: {source}")]
    Service {
        /// Its name.
        service: String,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// `expose` names what is not there.
    #[error("Service {service} with a port named {port} is not among the manifests")]
    NotThere {
        /// The Service.
        service: String,
        /// The port.
        port: String,
    },
    /// The data directory cannot be used.
    #[error("the data directory {} cannot be used: {source}", path.display())]
    Data {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Processes cannot be started.
    #[error("cannot start processes: {0}")]
    Spawner(io::Error),
}

/// Where to reach what runs.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// The runtime API.
    pub api: SocketAddr,
    /// Each Service's ports: name of the Service, name of the port, address.
    pub services: Vec<(String, Option<String>, SocketAddr)>,
    /// The addresses behind `Options::expose`, in its order.
    pub exposed: Vec<SocketAddr>,
}

/// A handle to a local cluster; clones are the same cluster.
#[derive(Debug, Clone)]
pub struct LocalCluster {
    endpoints: Arc<Endpoints>,
    limits: Arc<str>,
    requests: mpsc::Sender<Request>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    changes: watch::Receiver<u64>,
    events: EventLog,
}

/// What `LocalCluster::bind` has prepared: nothing runs until `run` does.
pub struct Runtime {
    reconciler: Reconciler,
    listeners: Vec<(TcpListener, Arc<Route>)>,
    api: TcpListener,
    router: axum::Router,
    readiness: Readiness,
    liveness: Liveness,
    cluster: LocalCluster,
}

impl LocalCluster {
    /// Takes addresses and ports for everything in the manifests. Call it inside the async runtime.
    ///
    /// # Errors
    /// When a port is taken or the data directory cannot be used.
    pub async fn bind(options: Options, manifests: Manifests) -> Result<(Self, Runtime), LocalError> {
        raise_file_limit();
        let data = prepare_data(&options)?;
        let api = listen(options.api, &options.api_flag).await?;
        let (addresses, endpoints, mut listeners) = bind_services(&manifests).await?;
        let exposed = bind_exposed(&options, &endpoints, &mut listeners).await?;
        let cgroups =
            if options.enforce_limits { Cgroups::open() } else { Cgroups::None { reason: "switched off".to_owned() } };
        let limits: Arc<str> = cgroups.describe().into();
        match &cgroups {
            Cgroups::None { .. } => tracing::warn!(%limits, "CPU and memory limits of replicas"),
            _ => tracing::info!(%limits, "CPU and memory limits of replicas"),
        }
        let (requests, requests_taken) = mpsc::channel(REQUESTS_MAX);
        let (snapshot, snapshot_seen) = watch::channel(Arc::default());
        let (changes, changes_seen) = watch::channel(0);
        let addresses_bound = Endpoints {
            api: api.local_addr().map_err(LocalError::Spawner)?,
            services: endpoints.iter().map(|(endpoint, address)| described(endpoint, *address)).collect(),
            exposed,
        };
        let cluster = Self {
            endpoints: Arc::new(addresses_bound),
            limits,
            requests,
            snapshot: snapshot_seen,
            changes: changes_seen,
            events: EventLog::default(),
        };
        let variables = service_variables(&endpoints, &options.external_services);
        let endpoints: Arc<[Endpoint]> = endpoints.into_iter().map(|(endpoint, _)| endpoint).collect();
        let (readiness, liveness) = (Readiness::default(), Liveness::default());
        let router = api::router(cluster.clone(), endpoints.clone(), &readiness, &liveness);
        let surroundings = Surroundings {
            data,
            executable: executable(&options)?,
            back_off: options.back_off,
            startup_boost: options.startup_boost,
            cgroups,
            spawner: Spawner::start().map_err(LocalError::Spawner)?,
            variables,
            endpoints,
            events: cluster.events.clone(),
            clock: Arc::new(SystemClock),
        };
        let reconciler = Reconciler::new(surroundings, manifests, addresses, requests_taken, snapshot, changes);
        Ok((cluster.clone(), Runtime { reconciler, listeners, api, router, readiness, liveness, cluster }))
    }

    /// Where to reach what runs.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Base URL of a Service's first port, such as `http://127.9.0.3:8080`.
    pub fn service_url(&self, service: &str) -> Option<String> {
        let found = self.endpoints.services.iter().find(|(name, _, _)| name == service);
        found.map(|(_, _, address)| format!("http://{address}"))
    }

    /// Addresses of a Deployment's replicas for a named container port, those that are ending left out.
    pub fn pod_addresses(&self, deployment: &str, port_name: &str) -> Vec<SocketAddr> {
        let snapshot = self.snapshot.borrow();
        let pods = snapshot.pods.iter().filter(|pod| pod.deployment == deployment);
        pods.filter(|pod| pod.state != crate::ReplicaState::Terminating)
            .filter_map(|pod| {
                let port = pod.ports.iter().find(|port| port.name.as_deref() == Some(port_name))?;
                Some(SocketAddr::new(pod.ip, port.number))
            })
            .collect()
    }

    /// Process ids of all replicas that run, with the names of their pods.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let snapshot = self.snapshot.borrow();
        snapshot.pods.iter().filter_map(|pod| Some((pod.name.clone(), pod.pid?))).collect()
    }

    /// How CPU and memory limits are enforced, in words.
    pub fn limits(&self) -> &str {
        &self.limits
    }

    /// Whether every workload has as many ready replicas as were asked for.
    pub fn all_ready(&self) -> bool {
        self.snapshot.borrow().all_ready()
    }

    /// Waits for [`Self::all_ready`]; the error names what is not ready, with reasons.
    ///
    /// # Errors
    /// When the deadline has passed.
    pub async fn wait_ready(&self, within: Duration) -> Result<(), String> {
        let mut snapshot = self.snapshot.clone();
        let ready = snapshot.wait_for(|snapshot| snapshot.all_ready());
        match timeout_at(Instant::now() + within, ready).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err("the local runtime has ended".to_owned()),
            Err(_) => Err(format!("not ready within {within:?}:{}", self.unready())),
        }
    }

    /// What is not ready, with reasons and last words: lines that each begin with a line break.
    pub fn unready(&self) -> String {
        let snapshot = self.snapshot.borrow();
        let mut text = String::new();
        for workload in snapshot.workloads.iter().filter(|workload| workload.ready() < workload.desired) {
            let (ready, desired) = (workload.ready().0, workload.desired.0);
            text.push_str(&format!("\n  {}: {ready} of {desired} ready", workload.reference));
            for replica in workload.replicas.iter().filter(|replica| !replica.ready) {
                text.push_str(&format!("\n    {} {}: {}", replica.name, replica.state, replica.message));
            }
        }
        text
    }

    /// Goes over to other manifests: new and changed Deployments are rolled out, missing ones ended.
    ///
    /// # Errors
    /// When Services changed, which needs a new start, or the runtime has ended.
    pub async fn apply(&self, manifests: Manifests) -> Result<(), ClusterError> {
        self.ask(|reply| Request::Apply { manifests: Box::new(manifests), reply }).await
    }

    fn containers(
        &self,
        workload: &WorkloadRef,
        of: impl FnOnce(&Snapshot) -> &Vec<Vec<Container>>,
    ) -> Result<Vec<Container>, ClusterError> {
        let snapshot = self.snapshot.borrow();
        let place = snapshot.workloads.iter().position(|known| known.reference == *workload);
        let found = place.and_then(|place| of(&snapshot).get(place)).cloned();
        found.ok_or_else(|| ClusterError::NotFound { workload: workload.clone() })
    }

    async fn ask(&self, request: impl FnOnce(Reply) -> Request) -> Result<(), ClusterError> {
        let unavailable = |reason: &str| ClusterError::Unavailable { reason: reason.to_owned() };
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            self.requests.send(request(reply)).await.map_err(|_| unavailable("it has ended"))?;
            answer.await.map_err(|_| unavailable("it has ended"))?
        };
        timeout(PATIENCE, exchange).await.map_err(|_| unavailable("it is too busy"))?
    }
}

#[async_trait]
impl Cluster for LocalCluster {
    async fn workloads(&self) -> Result<Vec<Workload>, ClusterError> {
        Ok(self.snapshot.borrow().workloads.clone())
    }

    async fn wanted(&self, workload: &WorkloadRef) -> Result<Vec<Container>, ClusterError> {
        self.containers(workload, |snapshot| &snapshot.wanted)
    }

    async fn specified(&self, workload: &WorkloadRef) -> Result<Vec<Container>, ClusterError> {
        self.containers(workload, |snapshot| &snapshot.specified)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    async fn set_replicas(&self, workload: &WorkloadRef, replicas: Replicas) -> Result<(), ClusterError> {
        self.ask(|reply| Request::SetReplicas { workload: workload.clone(), replicas, reply }).await
    }

    async fn resize(&self, workload: &WorkloadRef, container: &str, resources: Resources) -> Result<(), ClusterError> {
        let (workload, container) = (workload.clone(), container.to_owned());
        self.ask(|reply| Request::Resize { workload, container, resources, reply }).await
    }

    async fn roll_out(
        &self,
        workload: &WorkloadRef,
        container: &str,
        resources: Resources,
    ) -> Result<(), ClusterError> {
        let (workload, container) = (workload.clone(), container.to_owned());
        self.ask(|reply| Request::RollOut { workload, container, resources, reply }).await
    }

    async fn set_deletion_costs(&self, workload: &WorkloadRef, costs: &[(String, i32)]) -> Result<(), ClusterError> {
        let (workload, costs) = (workload.clone(), costs.to_vec());
        self.ask(|reply| Request::SetDeletionCosts { workload, costs, reply }).await
    }

    async fn record_event(&self, event: Event) -> Result<(), ClusterError> {
        self.events.push(event);
        Ok(())
    }

    async fn events(&self, limit: usize) -> Result<Vec<Event>, ClusterError> {
        Ok(self.events.newest(limit))
    }
}

impl Runtime {
    /// Runs everything until `shutdown`, then ends all replicas: at most 5 s, after which they are killed.
    ///
    /// # Errors
    /// When a task of the runtime failed.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), TaskEnded> {
        let mut supervisor =
            Supervisor::new(shutdown.child_token()).with_deadline(TASKS_DEADLINE).with_liveness(self.liveness);
        // Replicas still talk to each other while they end, so the proxies outlive them.
        let ended = CancellationToken::new();
        supervisor.spawn("reconciler", self.reconciler.run(supervisor.shutdown(), ended.clone()));
        for (listener, route) in self.listeners {
            let name = format!("proxy of Service {}", route.service);
            supervisor.spawn(&name, proxy::serve(listener, route, ended.clone()));
        }
        let (api, router, api_ended) = (self.api, self.router, ended.clone());
        supervisor.spawn("runtime API", async move {
            axum::serve(api, router).with_graceful_shutdown(api_ended.cancelled_owned()).await
        });
        let (readiness, mut snapshot, stop) = (self.readiness, self.cluster.snapshot, supervisor.shutdown());
        supervisor.spawn("readiness", async move {
            loop {
                let all_ready = snapshot.borrow_and_update().all_ready();
                readiness.set(all_ready);
                tokio::select! {
                    () = stop.cancelled() => return Ok::<_, std::convert::Infallible>(()),
                    changed = snapshot.changed() => if changed.is_err() { return Ok(()) },
                }
            }
        });
        supervisor.run().await
    }
}

/// Proxies hold two files a request in flight; many shells allow 1,024 at first, though the system allows far more.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

fn prepare_data(options: &Options) -> Result<PathBuf, LocalError> {
    let failed = |source| LocalError::Data { path: options.data.clone(), source };
    std::fs::create_dir_all(options.data.join("logs")).map_err(failed)?;
    words::prune(&options.data.join("logs"));
    // Replicas of an earlier run that was killed left theirs.
    if let Err(error) = std::fs::remove_dir_all(options.data.join("pods"))
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(failed(error));
    }
    options.data.canonicalize().map_err(failed)
}

fn executable(options: &Options) -> Result<PathBuf, LocalError> {
    match &options.executable {
        Some(executable) => Ok(executable.clone()),
        None => std::env::current_exe().map_err(LocalError::Spawner),
    }
}
