//! Thousands of policies and pods on nodes that do not exist: how long a tick takes, how much memory the autoscaler holds, and
//! how often it writes. Plays kubelet for its own nodes and answers for the metrics of their pods; touches nothing else of the
//! cluster. Runs only where `PLIMSOLL_E2E_FLEET` says how many policies, for it fills a control plane for minutes.

mod api;
mod autoscaler;
mod kubelet;
mod metrics;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use e2e::forward::Forward;
use e2e::kubectl::Kubectl;
use e2e::settings::Settings;
use e2e::wait::until;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use self::api::Api;
use self::autoscaler::Autoscaler;
use self::kubelet::Kubelet;
use self::metrics::FakeMetrics;

/// Namespaces that the fleet is spread over.
const NAMESPACES: usize = 10;
/// Nodes that do not exist; a real kubelet holds some 110 pods, these hold a thousand and more.
const NODES: usize = 10;
/// Replicas of each Deployment: 5,000 policies make the 10,000 pods asked for.
const REPLICAS: usize = 2;
/// Requests to the API server under way at once.
const AT_ONCE: usize = 48;
/// Three times as often as the default, so that a minute shows a dozen ticks.
const INTERVAL: Duration = Duration::from_secs(5);
/// Ticks that are timed.
const TICKS: usize = 24;
/// Policies whose load doubles at the end.
const SURGE: usize = 100;
/// What is promised for 5,000 policies and 10,000 pods.
const TICK_MAX: Duration = Duration::from_secs(1);
const RSS_MAX_MIB: u64 = 300;

fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (settings, fleet) = (Settings::from_environment(), variable("PLIMSOLL_E2E_FLEET"));
    let (Some(settings), Some(fleet), Some(program)) = (settings, fleet, variable("PLIMSOLL_E2E_BINARY")) else {
        eprintln!(
            "\n*** SKIPPED: the fleet needs a cluster: set PLIMSOLL_E2E_KUBECONFIG, PLIMSOLL_E2E_FLEET (how many policies) and \
             PLIMSOLL_E2E_BINARY (a release build of plimsoll); see k8s/e2e/README.md ***\n"
        );
        return ExitCode::SUCCESS;
    };
    let outcome = fleet.parse().context("PLIMSOLL_E2E_FLEET is no number").and_then(|policies| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run(&settings, &program, policies))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: &Settings, program: &str, policies: usize) -> anyhow::Result<()> {
    let kubectl = Kubectl::new(&settings.kubectl, settings.kubeconfig.clone());
    let proxy = Forward::to_api_server(&kubectl).await?;
    let api = Api::new(proxy.url().clone());
    kubectl.feed(&["apply", "-f", "-"], include_str!("../../../crds/scalingpolicies.plimsoll.dev.yaml")).await?;
    let outcome = measure(&api, settings, program, policies).await;
    for n in 0..NAMESPACES {
        api.delete(&format!("/api/v1/namespaces/{}", namespace(n))).await;
    }
    for n in 0..NODES {
        api.delete(&format!("/api/v1/nodes/{}", kubelet::node(n))).await;
    }
    outcome
}

async fn measure(api: &Api, settings: &Settings, program: &str, policies: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    let kubelet = Kubelet::start(api, NODES).await?;
    let pods = policies * REPLICAS;
    populate(api, policies).await?;
    println!("{policies} Deployments and policies made after {:.0} s", begun.elapsed().as_secs_f64());
    running(&kubelet, pods, Duration::from_secs(1800)).await?;
    println!("{pods} pods run after {:.0} s", begun.elapsed().as_secs_f64());

    let fake = FakeMetrics::start(kubelet.pods()).await?;
    let autoscaler = Autoscaler::start(program, &settings.kubeconfig, fake.url(), INTERVAL).await?;
    let begun = Instant::now();
    until("a status of every policy", Duration::from_secs(300), async || {
        let written = statuses(api).await.map_err(|error| error.to_string())?;
        if written == policies { Ok(()) } else { Err(format!("{written} of {policies}")) }
    })
    .await?;
    println!("every policy has a status after {:.0} s", begun.elapsed().as_secs_f64());
    at_rest(api, &autoscaler).await?;
    surge(api, &kubelet, &fake, pods).await
}

async fn running(kubelet: &Kubelet, wanted: usize, patience: Duration) -> anyhow::Result<()> {
    until("every pod to run", patience, async || {
        let running = kubelet.pods().len();
        if running == wanted { Ok(()) } else { Err(format!("{running} of {wanted}")) }
    })
    .await
}

/// Nothing changes: ticks are timed, and nothing may be written.
async fn at_rest(api: &Api, autoscaler: &Autoscaler) -> anyhow::Result<()> {
    let before = writes(api).await?;
    let mut ticks = ticks(autoscaler, TICKS).await?;
    let written = difference(&before, &writes(api).await?);
    ticks.sort_unstable();
    let (half, worst) = (ticks[ticks.len() / 2], ticks[ticks.len() - 1]);
    let (now, most) = autoscaler.memory_mib()?;
    println!("{} ticks: half of them within {half:?}, the longest {worst:?}", ticks.len());
    println!("resident memory: {now} MiB now, {most} MiB at most; writes meanwhile: {written}");
    ensure!(written == "none", "something was written although nothing changed: {written}");
    ensure!(worst < TICK_MAX, "a tick took {worst:?}");
    ensure!(most < RSS_MAX_MIB, "{most} MiB resident");
    Ok(())
}

/// The load of some doubles: each is scaled by one write.
async fn surge(api: &Api, kubelet: &Kubelet, fake: &FakeMetrics, pods: usize) -> anyhow::Result<()> {
    let before = writes(api).await?;
    let begun = Instant::now();
    fake.double((0..SURGE).map(|n| format!("app-{n}")));
    running(kubelet, pods + SURGE * REPLICAS, Duration::from_secs(120)).await?;
    println!("{SURGE} loads doubled: their pods run after {:.1} s", begun.elapsed().as_secs_f64());
    let after = writes(api).await?;
    println!("writes for it: {}", difference(&before, &after));
    let scales = |counts: &BTreeMap<String, u64>| counts.get("deployments/scale").copied().unwrap_or(0);
    let scales = scales(&after) - scales(&before);
    ensure!(scales == SURGE as u64, "{scales} writes to /scale for {SURGE} workloads");
    Ok(())
}

fn namespace(n: usize) -> String {
    format!("plimsoll-fleet-{}", n % NAMESPACES)
}

async fn populate(api: &Api, policies: usize) -> anyhow::Result<()> {
    for n in 0..NAMESPACES {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace(n)}});
        api.create("/api/v1/namespaces", &body).await?;
    }
    let make = |n: usize| async move {
        let ns = namespace(n);
        api.create(&format!("/apis/apps/v1/namespaces/{ns}/deployments"), &deployment(n)).await?;
        api.create(&format!("/apis/plimsoll.dev/v1alpha1/namespaces/{ns}/scalingpolicies"), &policy(n)).await
    };
    stream::iter(0..policies).map(make).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(())
}

fn deployment(n: usize) -> Value {
    let labels = json!({"app": format!("app-{n}")});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": format!("app-{n}")},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "automountServiceAccountToken": false,
                    "nodeSelector": {"plimsoll-fleet": "yes"},
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [{
                        "name": "app", "image": "nothing",
                        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}
                    }]
                }
            }
        }
    })
}

fn policy(n: usize) -> Value {
    json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": format!("app-{n}")},
        "spec": {
            "target": {"kind": "Deployment", "name": format!("app-{n}")},
            "mode": "Auto",
            "replicas": {"min": 1, "max": 10},
            "signals": [{"utilization": {"resource": "cpu", "target": "50%"}}]
        }
    })
}

async fn statuses(api: &Api) -> anyhow::Result<usize> {
    let mut written = 0;
    for n in 0..NAMESPACES {
        let list = api.get(&format!("/apis/plimsoll.dev/v1alpha1/namespaces/{}/scalingpolicies", namespace(n))).await?;
        let items = list["items"].as_array().context("a list has no items")?;
        written += items.iter().filter(|item| item["status"]["observedGeneration"].is_number()).count();
    }
    Ok(written)
}

/// How long each of the next ticks takes, from the running sum and count of the histogram.
async fn ticks(autoscaler: &Autoscaler, wanted: usize) -> anyhow::Result<Vec<Duration>> {
    let mut seen: Option<(f64, f64)> = None;
    let mut ticks = Vec::new();
    let deadline = Instant::now() + INTERVAL * u32::try_from(wanted)? * 3;
    while ticks.len() < wanted {
        if Instant::now() > deadline {
            bail!("{} of {wanted} ticks came", ticks.len());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = (
            autoscaler.metric("plimsoll_autoscaler_tick_duration_seconds_sum").await?,
            autoscaler.metric("plimsoll_autoscaler_tick_duration_seconds_count").await?,
        );
        if let Some((sum, count)) = seen
            && now.1 > count
        {
            let mean = Duration::from_secs_f64((now.0 - sum) / (now.1 - count));
            ticks.extend(std::iter::repeat_n(mean, (now.1 - count) as usize));
        }
        seen = Some(now);
    }
    Ok(ticks)
}

/// Writes that the API server has counted, by what was written; what controllers and kubelets write of their own accord left out.
async fn writes(api: &Api) -> anyhow::Result<BTreeMap<String, u64>> {
    let text = api.text("/metrics").await?;
    let mut writes = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        let label = |name: &str| {
            let start = line.find(&format!("{name}=\""))? + name.len() + 2;
            Some(&line[start..start + line[start..].find('"')?])
        };
        let (Some(verb), Some(resource)) = (label("verb"), label("resource")) else { continue };
        let subresource = label("subresource").unwrap_or_default();
        let ours = matches!(
            (resource, subresource),
            ("scalingpolicies", "status") | ("deployments", "scale" | "") | ("pods", "resize") | ("events", _)
        );
        if ours && matches!(verb, "POST" | "PUT" | "PATCH" | "APPLY" | "DELETE") {
            let what = if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") };
            let count = line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
            *writes.entry(what).or_default() += count as u64;
        }
    }
    Ok(writes)
}

fn difference(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> String {
    let mut text = String::new();
    for (what, count) in after {
        let new = count - before.get(what).copied().unwrap_or(0);
        if new > 0 {
            let _ = write!(text, "{}{what} {new}", if text.is_empty() { "" } else { ", " });
        }
    }
    if text.is_empty() { "none".to_owned() } else { text }
}
