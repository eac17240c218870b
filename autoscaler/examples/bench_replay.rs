//! How fast a replay is: 14 days in steps of 15 s with 100 workloads, each planned at every step. Run with
//! `cargo xtask bench plan`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use autoscaler::policy::from_documents;
use autoscaler::replay::{BEGINS_MS_DEFAULT, Cadence, Objective, Setup, Trace, run};
use autoscaler::{PolicySet, Startup};
use cluster::simulated::{Call, Graph, Journey, Life, Service};
use cluster::{Resources, WorkloadKind, WorkloadRef};
use protocol::quantity::Quantity;

const WORKLOADS: usize = 100;
const STEP: Duration = Duration::from_secs(15);
const DAYS: f64 = 14.0;
const SECONDS_MAX: f64 = 15.0;

fn main() -> anyhow::Result<()> {
    let trace = Trace::profile("diurnal").context("the profile is gone")?;
    // Two days of it, slowed down to fourteen.
    let trace = trace.compressed(2.0 / DAYS).with_peak(200.0);
    let setup = Setup {
        graph: Arc::new(graph()?),
        policies: policies()?,
        trace,
        begins_ms: BEGINS_MS_DEFAULT,
        objective: Objective { quantile: 0.99, below_seconds: 0.25, availability: 0.999 },
        cadence: Cadence { interval: STEP, scrape: STEP, rate_window: STEP * 2, startup: Startup::default() },
        against: Vec::new(),
        seeds: 1,
        grid: false,
        step_ms: i64::try_from(STEP.as_millis())?,
    };
    let began = Instant::now();
    let outcome = run(&setup, &|_, _| ())?;
    let seconds = began.elapsed().as_secs_f64();
    let plans = DAYS * 86_400.0 / STEP.as_secs_f64() * WORKLOADS as f64;
    println!(
        "{DAYS} days x {} s x {WORKLOADS} workloads: {seconds:.1} s, {:.0} plans a second",
        STEP.as_secs(),
        plans / seconds
    );
    print!("{}", outcome.table());
    ensure!(seconds < SECONDS_MAX, "it takes longer than {SECONDS_MAX} s");
    Ok(())
}

/// A front door and services in a row of three behind it, each asked by a third of the journeys.
fn graph() -> anyhow::Result<Graph> {
    let services = (0..WORKLOADS).map(|number| Service {
        workload: WorkloadRef { kind: WorkloadKind::Deployment, namespace: "bench".to_owned(), name: name(number) },
        resources: Resources {
            cpu_request: Some(Quantity::from_millis(250)),
            cpu_limit: Some(Quantity::from_millis(500)),
            ..Resources::default()
        },
        cpu_seconds: if number == 0 { 0.001 } else { 0.01 },
        variation: 0.2,
        other_seconds: 0.001,
        workers: 2,
        in_flight_max: 128,
        patience_seconds: 2.0,
        idle_cores: 0.0,
        replicas: 1,
        life: Life {
            start_seconds: 2.0,
            ready_seconds: 2.0,
            jitter: 0.25,
            warm_up_seconds: 0.0,
            warm_up_factor: 1.0,
            end_seconds: 5.0,
        },
    });
    let requests = (1..WORKLOADS).step_by(3).map(|first| {
        let row = (first..WORKLOADS.min(first + 3))
            .rev()
            .fold(Vec::new(), |behind, number| vec![vec![Call { then: behind, ..Call::to(&name(number), 2.0) }]]);
        Call { then: row, share: 1.0 / 3.0, ..Call::to(&name(0), 5.0) }
    });
    let journey = Journey { name: "any".to_owned(), share: 1.0, requests: requests.collect() };
    Ok(Graph::new(services.collect(), vec![journey])?)
}

fn policies() -> anyhow::Result<PolicySet> {
    let policy = |number: usize| {
        format!(
            "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {{name: {0}, namespace: bench}}\nspec:\n  \
             target: {{kind: Deployment, name: {0}}}\n  replicas: {{min: 1, max: 20}}\n  \
             signals: [{{utilization: {{resource: cpu, target: 100%}}}}]\n",
            name(number)
        )
    };
    let text = (0..WORKLOADS).map(policy).collect::<Vec<_>>().join("---\n");
    Ok(from_documents(protocol::yaml::split(Path::new("bench.yaml"), &text))?)
}

fn name(number: usize) -> String {
    format!("service-{number}")
}
