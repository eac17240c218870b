//! What deciding costs: plans a second on one core, and time and memory of whole ticks over 5,000 policies whose readings come over
//! HTTP from another process. Run with `cargo xtask bench plan`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use async_trait::async_trait;
use autoscaler::planner::observation::{
    ContainerRequest, Phase, Pod, PodSample, ReadyCondition, Requests, ResourceRequest,
};
use autoscaler::planner::surroundings::Surroundings;
use autoscaler::planner::{History, Observation, Reading, plan};
use autoscaler::policy::from_documents;
use autoscaler::{Autoscaler, Options, PolicySet, Startup};
use axum::Router;
use axum::extract::Form;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use cluster::{
    Cluster, ClusterError, Container, Event, Replica, ReplicaState, Replicas, Resources, Rollout, Workload,
    WorkloadKind, WorkloadRef,
};
use lifecycle::CancellationToken;
use protocol::quantity::Quantity;
use tokio::sync::watch;
use url::Url;

const POLICIES: usize = 5_000;
const REPLICAS: usize = 2;
const TICKS: usize = 8;
/// Long enough for a tick to end, short enough that the bench does too.
const INTERVAL: Duration = Duration::from_secs(3);
const MEASURED_FOR: Duration = Duration::from_secs(3);

const PLANS_MIN: f64 = 1e6;
const TICK_MAX: Duration = Duration::from_secs(1);
const MEMORY_MAX_MIB: u64 = 300;

fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return tokio::runtime::Runtime::new()?.block_on(serve());
    }
    let plans = plans()?;
    let (ticks, memory_mib) = tokio::runtime::Runtime::new()?.block_on(ticks())?;
    let longest = ticks.iter().max().copied().unwrap_or_default();
    let median = ticks.get(ticks.len() / 2).copied().unwrap_or_default();
    println!(
        "{POLICIES} policies x {REPLICAS} replicas: a tick takes {median:.0?} (longest {longest:.0?}), {memory_mib} MiB at most"
    );
    ensure!(plans >= PLANS_MIN, "fewer than {PLANS_MIN:.0} plans a second");
    ensure!(longest < TICK_MAX, "a tick takes longer than {TICK_MAX:?}");
    ensure!(memory_mib < MEMORY_MAX_MIB, "more than {MEMORY_MAX_MIB} MiB");
    Ok(())
}

fn policy(name: &str) -> String {
    format!(
        "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {{name: {name}, namespace: bench}}\nspec:\n  \
         target: {{kind: Deployment, name: {name}}}\n  replicas: {{min: 1, max: 50}}\n  \
         signals: [{{utilization: {{resource: cpu, target: 65%}}}}]\n"
    )
}

fn policies(count: usize) -> anyhow::Result<PolicySet> {
    let texts: Vec<String> = (0..count).map(|number| policy(&name(number))).collect();
    Ok(from_documents(protocol::yaml::split(Path::new("bench.yaml"), &texts.join("---\n")))?)
}

fn name(number: usize) -> String {
    format!("service-{number}")
}

fn replica(workload: &str, number: usize) -> String {
    format!("{workload}-7d4b9c6f5-{number}")
}

/// Plans a second on one core, of workloads with 2, 3 and 10 replicas at loads that raise, hold and lower; the least of these.
fn plans() -> anyhow::Result<f64> {
    let set = policies(1)?;
    let policy = set.iter().next().context("there is no policy")?;
    let mut least = f64::INFINITY;
    for replicas in [2, 3, 10] {
        let observations: Vec<Observation> = (10..140).map(|percent| observation(replicas, percent)).collect();
        let history = History::begin(0, replicas as i32);
        let (begin, mut count, mut changes) = (Instant::now(), 0u64, 0u64);
        while begin.elapsed() < MEASURED_FOR {
            for observation in &observations {
                let plan = plan(policy, std::hint::black_box(observation), &history);
                changes += u64::from(plan.wish != plan.from);
                count += 1;
            }
        }
        let rate = count as f64 / begin.elapsed().as_secs_f64();
        println!("{replicas} replicas: {rate:.0} plans a second on one core, {changes} of {count} change something");
        least = least.min(rate);
    }
    Ok(least)
}

fn observation(replicas: usize, percent: i64) -> Observation {
    let now_ms = 1_000_000_000;
    let pod = |number| Pod {
        name: replica("service-0", number),
        phase: Phase::Running,
        terminating: false,
        started_ms: Some(0),
        ready: Some(ReadyCondition { status: Some(true), changed_ms: 5_000 }),
        requests: Requests {
            containers: vec![ContainerRequest {
                name: "main".to_owned(),
                request: ResourceRequest { cpu: Some(500), memory: None },
            }],
            pod: None,
        },
    };
    let sample = |number: usize| PodSample {
        pod: replica("service-0", number),
        millis: percent * 5,
        at_ms: now_ms - 5_000,
        window: Duration::from_secs(30),
    };
    Observation {
        now_ms,
        desired: replicas as i32,
        ready: replicas as u32,
        pods: (0..replicas).map(pod).collect(),
        readings: vec![Reading::Pods((0..replicas).map(sample).collect())],
        startup: Startup::default(),
        paused: false,
        budget: None,
        around: Surroundings::default(),
        containers: None,
    }
}

/// How long ticks take that read, plan and record everything, and the most memory that this process ever had.
async fn ticks() -> anyhow::Result<(Vec<Duration>, u64)> {
    let (mut server, prometheus) = server()?;
    let data = tempfile::tempdir()?;
    let mut options = Options::new(prometheus, policies(POLICIES)?);
    options.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    options.interval = INTERVAL;
    options.data = Some(data.path().to_owned());
    let autoscaler = Autoscaler::bind(options, Arc::new(Still::new())).await?;
    let (counts, shutdown) = (autoscaler.counts(), CancellationToken::new());
    let running = tokio::spawn(autoscaler.run(shutdown.clone()));
    let deadline = Instant::now() + INTERVAL * 10 * TICKS as u32;
    while counts.ticks().len() < TICKS {
        ensure!(Instant::now() < deadline, "ticks take too long");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let decided = counts.counts();
    ensure!(decided.hold as usize >= POLICIES * (TICKS - 1), "not everything was decided: {decided:?}");
    shutdown.cancel();
    running.await??;
    server.kill()?;
    server.wait()?;
    let mut ticks = counts.ticks();
    ticks.sort_unstable();
    Ok((ticks, memory_mib()?))
}

/// The server of readings, and where it listens.
fn server() -> anyhow::Result<(Child, Url)> {
    let mut server =
        Command::new(std::env::current_exe()?).arg("serve").stdout(Stdio::piped()).spawn().context("cannot start")?;
    let mut line = String::new();
    let out = server.stdout.take().context("it has no output")?;
    BufReader::new(out).read_line(&mut line)?;
    Ok((server, Url::parse(line.trim())?))
}

/// A Prometheus that knows the CPU of every replica.
async fn serve() -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, Router::new().route("/api/v1/query", post(query))).await?;
    Ok(())
}

async fn query(Form(form): Form<HashMap<String, String>>) -> Response {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let is_time = form.get("query").is_some_and(|query| query.contains("timestamp("));
    let value = if is_time { now - 1.0 } else { 0.325 };
    let series = (0..POLICIES).flat_map(|workload| {
        (0..REPLICAS).map(move |number| {
            let pod = replica(&name(workload), number);
            format!(
                r#"{{"metric":{{"namespace":"bench","pod":"{pod}","container":"main"}},"value":[{now},"{value}"]}}"#
            )
        })
    });
    let all = series.collect::<Vec<_>>().join(",");
    let body = format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{all}]}}}}"#);
    ([("content-type", "application/json")], body).into_response()
}

fn memory_mib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel does not say")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024)
}

/// A cluster in which nothing happens.
struct Still {
    workloads: Vec<Workload>,
    changes: watch::Sender<u64>,
}

impl Still {
    fn new() -> Self {
        let resources = Resources { cpu_request: Some(Quantity::from_millis(500)), ..Resources::default() };
        let one = |workload: &str, number| Replica {
            name: replica(workload, number),
            state: ReplicaState::Running,
            ready: true,
            started_at_ms: Some(1_000),
            ready_changed_at_ms: Some(2_000),
            restarts: 0,
            containers: vec![Container { name: "main".to_owned(), resources }],
            resize: None,
            node: "node-1".to_owned(),
            message: String::new(),
        };
        let workload = |number| Workload {
            reference: WorkloadRef {
                kind: WorkloadKind::Deployment,
                namespace: "bench".to_owned(),
                name: name(number),
            },
            desired: Replicas(REPLICAS as u32),
            replicas: (0..REPLICAS).map(|replica| one(&name(number), replica)).collect(),
            rollout: Rollout::Complete,
            conflicts: Vec::new(),
        };
        Self { workloads: (0..POLICIES).map(workload).collect(), changes: watch::Sender::new(0) }
    }
}

#[async_trait]
impl Cluster for Still {
    async fn workloads(&self) -> Result<Vec<Workload>, ClusterError> {
        Ok(self.workloads.clone())
    }

    async fn wanted(&self, _: &WorkloadRef) -> Result<Vec<Container>, ClusterError> {
        Ok(Vec::new())
    }

    async fn specified(&self, _: &WorkloadRef) -> Result<Vec<Container>, ClusterError> {
        Ok(Vec::new())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn set_replicas(&self, workload: &WorkloadRef, _: Replicas) -> Result<(), ClusterError> {
        Err(ClusterError::Refused { workload: workload.clone(), reason: "nothing happens here".to_owned() })
    }

    async fn resize(&self, workload: &WorkloadRef, _: &str, _: Resources) -> Result<(), ClusterError> {
        Err(ClusterError::Refused { workload: workload.clone(), reason: "nothing happens here".to_owned() })
    }

    async fn roll_out(&self, workload: &WorkloadRef, _: &str, _: Resources) -> Result<(), ClusterError> {
        Err(ClusterError::Refused { workload: workload.clone(), reason: "nothing happens here".to_owned() })
    }

    async fn set_deletion_costs(&self, _: &WorkloadRef, _: &[(String, i32)]) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn record_event(&self, _: Event) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn events(&self, _: usize) -> Result<Vec<Event>, ClusterError> {
        Ok(Vec::new())
    }
}
