//! Claims about the size of pods: changed in place by the autoscaler's API, seen in the cgroup, granted later when there is no
//! room, given to new pods too.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use e2e::claims::{Verdict, holds};
use e2e::kubectl::{name, number, text};
use e2e::wait::until;
use protocol::quantity::Quantity;
use protocol::scaling::ScalingClient;
use serde_json::{Value, json};

use crate::harness::{LOAD, READY, SHOP, Stage, condition, is_ready};
use crate::node::cgroup_of;

/// The service that is resized.
const RESIZED: &str = "review";
/// Until the kubelet has done it: a few of its syncs.
const DONE: Duration = Duration::from_secs(60);
/// Until the next tick brings a new pod to its size.
const BROUGHT: Duration = Duration::from_secs(30);

/// Asks the autoscaler for a size of the service's container.
async fn ask(stage: &Stage, resources: &Value) -> anyhow::Result<(u16, String)> {
    let way = stage.autoscaler().await?;
    let url = way.url().join(&format!("api/v1/workloads/{SHOP}/Deployment/{RESIZED}/resize"))?;
    let (token, body) = (stage.api_token().await?, json!({"container": RESIZED, "resources": resources}));
    let answer = stage.http.post(url).bearer_auth(token).json(&body).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

async fn ask_well(stage: &Stage, resources: &Value) -> anyhow::Result<()> {
    let (code, words) = ask(stage, resources).await?;
    if !(200..300).contains(&code) {
        bail!("the autoscaler answers {code}: {words}");
    }
    Ok(())
}

/// A policy that steers the service and leaves it at one replica: without one the autoscaler changes nothing of it.
async fn steered(stage: &Stage) -> anyhow::Result<()> {
    let spec = json!({
        "target": {"kind": "Deployment", "name": RESIZED},
        "mode": "Auto",
        "replicas": {"min": 1, "max": 1},
        "signals": [{"utilization": {"resource": "cpu", "target": "90%"}}],
    });
    stage.policy(RESIZED, &spec).await?;
    let way = stage.autoscaler().await?;
    let client = ScalingClient::new(way.url().clone());
    until("the autoscaler to know the policy", READY, async || {
        let policies = client.policies().await.map_err(|error| error.to_string())?;
        let known = policies.iter().any(|policy| policy.policy.namespace == SHOP && policy.policy.name == RESIZED);
        if known { Ok(()) } else { Err(format!("{} others", policies.len())) }
    })
    .await
}

/// What the container of a pod has, as the kubelet says: `cpu request, cpu limit, memory request, memory limit`.
fn actual(pod: &Value) -> [Option<Quantity>; 4] {
    let resources = &pod["status"]["containerStatuses"][0]["resources"];
    sizes(resources)
}

fn sizes(resources: &Value) -> [Option<Quantity>; 4] {
    let read = |pointer: &str| Quantity::parse(text(resources, pointer)).ok();
    [read("/requests/cpu"), read("/limits/cpu"), read("/requests/memory"), read("/limits/memory")]
}

fn asked(resources: &Value) -> [Option<Quantity>; 4] {
    let read = |field: &str| resources[field].as_str().and_then(|text| Quantity::parse(text).ok());
    [read("cpuRequest"), read("cpuLimit"), read("memoryRequest"), read("memoryLimit")]
}

async fn only_pod(stage: &Stage) -> Result<Value, String> {
    let pods = stage.pods(RESIZED).await.map_err(|error| format!("{error:#}"))?;
    let ready: Vec<Value> = pods.into_iter().filter(is_ready).collect();
    if ready.len() == 1 { Ok(ready[0].clone()) } else { Err(format!("{} ready pods", ready.len())) }
}

async fn reaches(stage: &Stage, resources: &Value, patience: Duration) -> anyhow::Result<Value> {
    until(&format!("{RESIZED} to have {resources}"), patience, async || {
        let pod = only_pod(stage).await?;
        if actual(&pod) == asked(resources) { Ok(pod) } else { Err(said(&pod)) }
    })
    .await
}

/// The pod's resources and what it says of a resize.
fn said(pod: &Value) -> String {
    let conditions = ["PodResizePending", "PodResizeInProgress"].map(|kind| condition(pod, kind)).map(|c| {
        let (reason, message) = (text(c, "/reason"), text(c, "/message"));
        if reason.is_empty() && message.is_empty() { String::new() } else { format!(" {reason}: {message}") }
    });
    format!("{}: {}{}", name(pod), pod["status"]["containerStatuses"][0]["resources"], conditions.concat())
}

/// Forgets the planned size, so that the next claim meets the size of the manifest.
async fn forget(stage: &Stage) -> anyhow::Result<()> {
    stage.kubectl.run(&["annotate", "deployment", "-n", SHOP, RESIZED, "plimsoll.dev/resources-"]).await?;
    stage.kubectl.run(&["rollout", "restart", "-n", SHOP, &format!("deployment/{RESIZED}")]).await?;
    stage.kubectl.run(&["rollout", "status", "-n", SHOP, &format!("deployment/{RESIZED}"), "--timeout=120s"]).await?;
    Ok(())
}

/// One container, four numbers, no restart; the kernel has the new ones.
pub async fn in_place(stage: &Stage) -> anyhow::Result<Verdict> {
    steered(stage).await?;
    let before = only_pod(stage).await.map_err(anyhow::Error::msg)?;
    let begun = Instant::now();
    let wanted = json!({"cpuRequest": "60m", "cpuLimit": "300m", "memoryRequest": "56Mi", "memoryLimit": "160Mi"});
    ask_well(stage, &wanted).await?;
    let after = reaches(stage, &wanted, DONE).await?;
    let took = begun.elapsed();
    let (same, restarts) = (before["metadata"]["uid"] == after["metadata"]["uid"], |pod: &Value| {
        number(pod, "/status/containerStatuses/0/restartCount")
    });
    if !same || restarts(&before) != restarts(&after) {
        bail!("{} became {} with {} restarts: this was not in place", name(&before), name(&after), restarts(&after));
    }
    let kernel = match &stage.settings.cgroup_root {
        Some(root) => in_cgroup(root, &after)?,
        None => in_cadvisor(stage, name(&after)).await?,
    };
    forget(stage).await?;
    holds(format!("in {:.1} s, same pod, {} restarts; {kernel}", took.as_secs_f64(), restarts(&after)))
}

/// Reads the limits of the pod's container where the kernel has them: 300 m are 30,000 of 100,000 microseconds.
fn in_cgroup(root: &Path, pod: &Value) -> anyhow::Result<String> {
    let folder = cgroup_of(root, pod)?;
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).map(|text| text.trim().to_owned());
    let quota = read("cpu.cfs_quota_us").or_else(|_| read("cpu.max"))?;
    if quota != "30000" && quota != "30000 100000" {
        bail!("the cgroup's CPU quota is {quota}, not 30000");
    }
    Ok(format!("the container's cgroup has a CPU quota of {quota} us"))
}

/// The kubelet's cAdvisor reads the same numbers from the kernel.
async fn in_cadvisor(stage: &Stage, pod: &str) -> anyhow::Result<String> {
    let collector = stage.collector().await?;
    let query = format!("container_spec_cpu_quota{{namespace=\"{SHOP}\",pod=\"{pod}\",container=\"{RESIZED}\"}}");
    let url = reqwest::Url::parse_with_params(collector.url().join("api/v1/query")?.as_str(), [("query", &query)])?;
    until("cAdvisor to tell the new CPU quota", DONE, async || {
        let answer = crate::shop::get(stage, url.as_str()).await?;
        let value = text(&answer, "/data/result/0/value/1");
        if value == "30000" {
            Ok(format!("cAdvisor reads a CPU quota of {value} us"))
        } else {
            Err(format!("{answer}"))
        }
    })
    .await
}

/// A pod that comes after the resize has the planned size too, without being asked again.
pub async fn new_pods(stage: &Stage) -> anyhow::Result<Verdict> {
    steered(stage).await?;
    let wanted = json!({"cpuRequest": "55m", "cpuLimit": "310m", "memoryRequest": "52Mi", "memoryLimit": "150Mi"});
    ask_well(stage, &wanted).await?;
    let old = reaches(stage, &wanted, DONE).await?;
    let deployment = stage.service(RESIZED).await?;
    if sizes(&deployment["spec"]["template"]["spec"]["containers"][0]["resources"]) == asked(&wanted) {
        bail!("the template itself was changed: that is a rollout, not a resize");
    }
    stage.kubectl.run(&["delete", "pod", "-n", SHOP, name(&old), "--wait=false"]).await?;
    let begun = Instant::now();
    let new = until("a new pod at the planned size", READY, async || {
        let pods = stage.pods(RESIZED).await.map_err(|error| format!("{error:#}"))?;
        let new = pods.into_iter().find(|pod| pod["metadata"]["uid"] != old["metadata"]["uid"]).ok_or("no new pod")?;
        if actual(&new) == asked(&wanted) { Ok(new) } else { Err(said(&new)) }
    })
    .await?;
    let took = begun.elapsed();
    forget(stage).await?;
    if took > BROUGHT + Duration::from_secs(15) {
        bail!("{} was brought to the planned size only after {:.0} s", name(&new), took.as_secs_f64());
    }
    holds(format!("{} has the planned size {:.1} s after the old pod's end began", name(&new), took.as_secs_f64()))
}

/// A node without room defers a resize; when there is room again, it is carried out.
pub async fn deferred(stage: &Stage) -> anyhow::Result<Verdict> {
    steered(stage).await?;
    let pod = only_pod(stage).await.map_err(anyhow::Error::msg)?;
    let node = text(&pod, "/spec/nodeName").to_owned();
    let free = free_memory(stage, &node).await?;
    // Others keep half a gibibyte to schedule into; the resize asks for twice that.
    let left = 512_u64 << 20;
    let filler =
        free.checked_sub(left).filter(|filler| *filler > left).context("the node has too little free memory")?;
    stage.kubectl.apply(&[ballast(&stage.settings.image, &node, filler)]).await?;
    until("the ballast to be placed", READY, async || {
        let ballast = stage.kubectl.json(&["get", "pod", "-n", LOAD, "ballast"]).await.map_err(|e| format!("{e:#}"))?;
        let placed = text(&ballast, "/spec/nodeName") == node;
        if placed { Ok(()) } else { Err(ballast["status"]["conditions"].to_string()) }
    })
    .await?;
    let wanted = json!({"cpuRequest": "50m", "cpuLimit": "250m", "memoryRequest": "1Gi", "memoryLimit": "1Gi"});
    ask_well(stage, &wanted).await?;
    let words = pending(stage, "Deferred").await?;
    stage.kubectl.run(&["delete", "pod", "-n", LOAD, "ballast", "--grace-period=1"]).await?;
    let freed = Instant::now();
    // The kubelet tries deferred resizes again by itself; upstream promises minutes, not seconds.
    let after = reaches(stage, &wanted, Duration::from_secs(240)).await?;
    let restarts = number(&after, "/status/containerStatuses/0/restartCount");
    forget(stage).await?;
    if after["metadata"]["uid"] != pod["metadata"]["uid"] || restarts > 0 {
        bail!("{} became {} with {restarts} restarts", name(&pod), name(&after));
    }
    holds(format!(
        "deferred ({words}), granted {:.1} s after there was room, no restart",
        freed.elapsed().as_secs_f64()
    ))
}

/// More than any node has: said as such, by the pod and by the autoscaler's events; the pod goes on.
pub async fn infeasible(stage: &Stage) -> anyhow::Result<Verdict> {
    steered(stage).await?;
    let wanted = json!({"cpuRequest": "50m", "cpuLimit": "250m", "memoryRequest": "64Ti", "memoryLimit": "64Ti"});
    let (code, words) = ask(stage, &wanted).await?;
    if !(200..300).contains(&code) {
        return holds(format!("the autoscaler refuses it at once, with {code}: {words}"));
    }
    let words = pending(stage, "Infeasible").await?;
    forget(stage).await?;
    holds(format!("infeasible: {words}"))
}

async fn pending(stage: &Stage, reason: &str) -> anyhow::Result<String> {
    until(&format!("the resize to be {reason}"), DONE, async || {
        let pod = only_pod(stage).await?;
        let pending = condition(&pod, "PodResizePending");
        if pending["reason"] == reason { Ok(text(pending, "/message").to_owned()) } else { Err(said(&pod)) }
    })
    .await
}

/// Bytes of the node's memory that no pod has asked for.
async fn free_memory(stage: &Stage, node: &str) -> anyhow::Result<u64> {
    let bytes = |text: &str| Quantity::parse(text).map_or(0, Quantity::units);
    let object = stage.kubectl.json(&["get", "node", node]).await?;
    let selector = format!("spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed");
    let pods = stage.kubectl.items(&["get", "pods", "-A", "--field-selector", &selector]).await?;
    let used: i64 = pods
        .iter()
        .flat_map(|pod| pod["spec"]["containers"].as_array().cloned().unwrap_or_default())
        .map(|container| bytes(text(&container, "/resources/requests/memory")))
        .sum();
    Ok(u64::try_from(bytes(text(&object, "/status/allocatable/memory")) - used).unwrap_or_default())
}

/// A pod that does nothing and asks for much.
fn ballast(image: &str, node: &str, memory: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ballast", "namespace": LOAD},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node}, "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "ballast", "image": image, "imagePullPolicy": "IfNotPresent", "args": ["shop", "shoppers", "--gateway", "http://127.0.0.1:1", "--rate", "0.01", "--seconds", "3600"],
                "resources": {"requests": {"cpu": "1m", "memory": memory.to_string()}},
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}
