//! Claims about the shop as it is seen: journeys, scraping, traces, and who suffers when a service crashes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use e2e::claims::{Verdict, holds};
use e2e::kubectl::{name, text};
use e2e::shoppers::Report;
use e2e::spans::{breaks, services};
use e2e::wait::until;
use protocol::jaeger::{JaegerClient, TraceSearch};
use serde_json::{Value, json};

use crate::harness::{PLIMSOLL, SERVICES, SHOP, Stage, is_ready};

/// The share of journeys that may fail.
pub const ERRORS_MAX: f64 = 0.001;
/// Journeys a second: enough to see every kind, little enough for two cores that do other things too.
pub const RATE: f64 = 8.0;
/// Until what was made is scraped, or what was sent is found: a few scrapes, and the spans' way through the exporter.
const SEEN: Duration = Duration::from_secs(60);
/// How long a service is kept crashing.
const CRASH: Duration = Duration::from_secs(60);

/// Fails when too many journeys failed.
pub fn few_errors(report: &Report, kinds: &[&str]) -> anyhow::Result<String> {
    let words = report.words(kinds);
    let (requests, _) = report.counts(kinds);
    if requests == 0 || report.error_ratio(kinds) >= ERRORS_MAX {
        bail!("{words}");
    }
    Ok(words)
}

/// Journeys through the gateway, for a minute.
pub async fn journeys(stage: &Stage) -> anyhow::Result<Verdict> {
    let report = stage.load("journeys", RATE, 60).await?.finish().await?;
    holds(few_errors(&report, &[])?)
}

/// The collector's targets are the pods that there are, and each is up; the kubelet tells of each container.
pub async fn every_pod_is_scraped(stage: &Stage) -> anyhow::Result<Verdict> {
    let collector = stage.collector().await?;
    let base = collector.url().as_str().trim_end_matches('/').to_owned();
    let seen = until("every pod to be a target that is up", SEEN, async || {
        let pods = ready_pods(stage).await.map_err(|error| format!("{error:#}"))?;
        let targets = get(stage, &format!("{base}/api/v1/targets?state=active")).await?;
        let targets = targets["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
        let up: BTreeSet<String> =
            targets.iter().filter(|target| target["health"] == "up").filter_map(pod_of).collect();
        let all: BTreeSet<String> = targets.iter().filter_map(pod_of).collect();
        let down: Vec<&String> = pods.difference(&up).collect();
        let gone: Vec<&String> = all.difference(&pods).filter(|pod| pod.starts_with(SHOP)).collect();
        if pods.len() >= SERVICES.len() && down.is_empty() && gone.is_empty() {
            return Ok(pods);
        }
        Err(format!("{} pods; not up: {down:?}; targets without a pod: {gone:?}", pods.len()))
    })
    .await?;
    let contained = until("the kubelet to tell of every container", SEEN, async || {
        let query = format!("container_memory_working_set_bytes{{namespace=\"{SHOP}\",container!=\"\"}}");
        let url = reqwest::Url::parse_with_params(&format!("{base}/api/v1/query"), [("query", &query)]);
        let answer = get(stage, url.map_err(|error| error.to_string())?.as_str()).await?;
        let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let told: BTreeSet<&str> = result.iter().map(|series| text(series, "/metric/pod")).collect();
        let missing: Vec<&String> = seen
            .iter()
            .filter(|pod| pod.split_once('/').is_some_and(|(n, p)| n == SHOP && !told.contains(p)))
            .collect();
        if missing.is_empty() { Ok(told.len()) } else { Err(format!("nothing of {missing:?}")) }
    })
    .await?;
    holds(format!("{} pods are targets and up; cAdvisor's metrics of {contained} pods of the shop", seen.len()))
}

/// `NAMESPACE/POD` of the shop's and the chart's pods that are ready.
async fn ready_pods(stage: &Stage) -> anyhow::Result<BTreeSet<String>> {
    let mut pods = BTreeSet::new();
    for namespace in [PLIMSOLL, SHOP] {
        let all = stage.kubectl.items(&["get", "pods", "-n", namespace]).await?;
        pods.extend(all.iter().filter(|pod| is_ready(pod)).map(|pod| format!("{namespace}/{}", name(pod))));
    }
    Ok(pods)
}

fn pod_of(target: &Value) -> Option<String> {
    let labels = &target["labels"];
    Some(format!("{}/{}", labels["namespace"].as_str()?, labels["pod"].as_str()?))
}

/// GETs JSON; what went wrong is what was seen.
pub async fn get(stage: &Stage, url: &str) -> Result<Value, String> {
    let answer = stage.http.get(url).send().await.map_err(|error| format!("{error:?}"))?;
    let (status, body) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
    serde_json::from_str(&body)
        .map_err(|_| format!("{url} answered {status}: {}", body.chars().take(200).collect::<String>()))
}

/// A checkout's trace goes from the gateway to payment and inventory, and no span has lost its parent.
pub async fn traces_are_whole(stage: &Stage) -> anyhow::Result<Verdict> {
    let begun = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    stage.load("traces", RATE, 20).await?.finish().await?;
    let collector = stage.collector().await?;
    let jaeger = JaegerClient::new(collector.url().clone());
    let mut search = TraceSearch { service: "gateway".to_owned(), limit: 500, ..TraceSearch::default() };
    search.start_us = u64::try_from(begun)?;
    let needed = BTreeSet::from(["gateway", "order", "payment", "inventory"]);
    let (all, checkouts, spans) = until("whole traces, checkouts among them", SEEN, async || {
        let traces = jaeger.search(&search).await.map_err(|error| error.to_string())?;
        let broken: Vec<String> = traces.iter().flat_map(breaks).collect();
        let checkouts = traces.iter().filter(|trace| services(trace).is_superset(&needed)).count();
        if broken.is_empty() && checkouts > 0 {
            return Ok((traces.len(), checkouts, traces.iter().map(|trace| trace.spans.len()).sum::<usize>()));
        }
        let first = broken.first().cloned().unwrap_or_default();
        Err(format!("{} traces, {checkouts} whole checkouts, {} breaks: {first}", traces.len(), broken.len()))
    })
    .await?;
    holds(format!(
        "{all} traces with {spans} spans, no orphan; {checkouts} checkouts span gateway, order, payment, inventory"
    ))
}

/// Payment crashes for a minute: who only looks around, searches or signs in does not notice.
pub async fn crash_of_payment(stage: &Stage) -> anyhow::Result<Verdict> {
    crash(stage, "payment", &["browse", "search", "sign-in"]).await
}

/// Recommendations crash for a minute: nobody's journey needs them.
pub async fn crash_of_recommendation(stage: &Stage) -> anyhow::Result<Verdict> {
    crash(stage, "recommendation", &["browse", "search", "sign-in", "checkout", "track"]).await
}

async fn crash(stage: &Stage, service: &str, unharmed: &[&str]) -> anyhow::Result<Verdict> {
    let load = stage.load("crash", RATE, CRASH.as_secs() + 15).await?;
    let begun = Instant::now();
    let mut crashes = 0;
    while begun.elapsed() < CRASH {
        for pod in stage.pods(service).await? {
            let path = format!("/api/v1/namespaces/{SHOP}/pods/{}:9901/proxy/faults/crash", name(&pod));
            let running = !pod["status"]["containerStatuses"][0]["state"]["running"].is_null();
            if running {
                // The answer is lost with the process, so it says nothing; the restarts are counted below.
                drop(stage.http.put(stage.api(&path)).json(&json!({"value": null})).send().await);
                crashes += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let pods = stage.pods(service).await?;
    let restarts =
        pods.iter().map(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0)).sum::<u64>();
    let report = load.finish().await?;
    // A new pod does not wait for the old one's back-off.
    let selector = format!("app.kubernetes.io/name={service}");
    stage.kubectl.run(&["delete", "pods", "-n", SHOP, "-l", &selector]).await?;
    let replaced = Instant::now();
    until("the shop to be well again", SEEN, async || {
        let report = async { stage.load("after-the-crash", RATE, 3).await?.finish().await }.await;
        let report = report.map_err(|error: anyhow::Error| format!("{error:#}"))?;
        few_errors(&report, &[]).map(|_| ()).map_err(|error| format!("{error:#}"))
    })
    .await?;
    let well = replaced.elapsed().as_secs();
    if restarts < 2 {
        bail!("{service} was told {crashes} times to crash, and restarted {restarts} times: nothing was tried");
    }
    let words = few_errors(&report, unharmed).with_context(|| format!("{service} restarted {restarts} times"))?;
    let (requests, errors) = report.counts(&[]);
    holds(format!(
        "{service} restarted {restarts} times in 60 s; {words}; of all journeys {errors} of {requests}; all well again within {well} s"
    ))
}
