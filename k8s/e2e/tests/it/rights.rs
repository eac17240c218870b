//! Claims about what Plimsoll may do: the rights it has are those it needs, its writes are fenced, a policy keeps to its namespace.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail};
use e2e::claims::{Verdict, holds};
use e2e::kubectl::{list, text};
use e2e::rights::{Right, difference, rights, table};
use e2e::wait::{throughout, until};
use serde_json::{Value, json};

use crate::harness::{OTHER, PLIMSOLL, SHOP, Stage};
use crate::scaling::{SCALED, by_requests, foreign, replicas};

/// What the autoscaler needs where its policies count (values.yaml: the shop's namespace).
const AUTOSCALER: &str = "
    deployments.apps, statefulsets.apps: get list watch patch
    replicasets.apps: list watch
    deployments/scale.apps, statefulsets/scale.apps: get patch
    pods: list watch patch
    pods/resize: patch
    resourcequotas, events: list watch
    horizontalpodautoscalers.autoscaling, verticalpodautoscalers.autoscaling.k8s.io: list watch
    events.events.k8s.io: create patch
    scalingpolicies.plimsoll.dev: get list watch patch
    scalingpolicies/status.plimsoll.dev: patch
";
/// Nodes belong to no namespace.
const AUTOSCALER_NODES: &str = "nodes: list watch";
/// What the collector needs where it looks for targets (values.yaml: its own namespace and the shop's).
const COLLECTOR: &str = "
    pods, services: get list watch
    endpointslices.discovery.k8s.io: get list watch
";
/// Nodes, and their kubelets' metrics.
const COLLECTOR_NODES: &str = "
    nodes: get list watch
    nodes/metrics: get
";

/// A defect of API servers that looks like a missing fence.
const FROZEN: &str = " (an API server of up to 1.36 sees no change of any Lease any more once the last binding with a Lease as \
    parameter was deleted, kubernetes/kubernetes#130887: restart it if a chart was removed from this cluster before)";

/// Enumerates what each service account may do, here and there, and compares with what it needs.
pub async fn nothing_beyond_need(stage: &Stage) -> anyhow::Result<Verdict> {
    let mut seen = Vec::new();
    let needs = [
        ("autoscaler", AUTOSCALER, AUTOSCALER_NODES, &[SHOP, OTHER][..]),
        ("collector", COLLECTOR, COLLECTOR_NODES, &[SHOP, PLIMSOLL][..]),
    ];
    for (component, there, anywhere, namespaces) in needs {
        let account = stage.service_account(component).await?;
        for namespace in [PLIMSOLL, SHOP, OTHER, "kube-system"] {
            let nobody = format!("system:serviceaccount:{namespace}:default");
            let mut granted: BTreeSet<Right> = review(stage, namespace, &account).await?;
            for right in review(stage, namespace, &nobody).await? {
                granted.remove(&right);
            }
            let mut meant = table(anywhere);
            if namespaces.contains(&namespace) {
                meant.extend(table(there));
            }
            if component == "autoscaler" && namespace == PLIMSOLL {
                meant.extend(lease_rights(stage).await?);
            }
            let found = difference(&granted, &meant);
            if !found.is_empty() {
                bail!("{account} in {namespace}: {found}");
            }
            seen.push(granted.len());
        }
    }
    holds(format!(
        "the autoscaler has {:?} rights, the collector {:?}, in {PLIMSOLL}, {SHOP}, {OTHER} and kube-system",
        &seen[..4],
        &seen[4..]
    ))
}

/// Its own Lease, by name where RBAC can: creating knows no name.
async fn lease_rights(stage: &Stage) -> anyhow::Result<BTreeSet<Right>> {
    let lease = stage.lease().await?;
    let by_name = format!("leases.coordination.k8s.io={}: get update", text(&lease, "/metadata/name"));
    let mut meant = table("leases.coordination.k8s.io: create");
    let (resource, verbs) = by_name.split_once(": ").unwrap_or_default();
    meant.extend(verbs.split_whitespace().map(|verb| format!("{verb} {resource}")));
    Ok(meant)
}

async fn review(stage: &Stage, namespace: &str, account: &str) -> anyhow::Result<BTreeSet<Right>> {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}});
    let url = stage.api("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews");
    let answer = stage
        .http
        .post(url)
        .header("Impersonate-User", account)
        .header("Impersonate-Group", "system:serviceaccounts")
        .header("Impersonate-Group", "system:authenticated")
        .json(&review)
        .send()
        .await?;
    let answer: Value = answer.json().await?;
    if answer["status"]["resourceRules"].is_null() || answer["status"]["incomplete"] == json!(true) {
        bail!("the API server does not enumerate the rights of {account}: {answer}");
    }
    Ok(rights(&answer["status"]))
}

/// A write by the autoscaler's account passes with the leading pod's identity only: the API server itself denies the rest.
pub async fn writes_are_fenced(stage: &Stage) -> anyhow::Result<Verdict> {
    let (account, leader) = (stage.service_account("autoscaler").await?, stage.leader().await?);
    let scale = format!("/apis/apps/v1/namespaces/{SHOP}/deployments/{SCALED}/scale");
    let pod = stage.pods(SCALED).await?;
    let pod = pod.first().context("the shop has no pod to try it on")?;
    let resize = format!("/api/v1/namespaces/{SHOP}/pods/{}/resize", text(pod, "/metadata/name"));
    let status = format!("/apis/apps/v1/namespaces/{SHOP}/deployments/{SCALED}");
    let writes = [
        (scale, json!({"spec": {"replicas": 2}})),
        (resize, json!({"metadata": {"labels": null}})),
        (status, json!({"metadata": {"annotations": {"plimsoll.dev/resources": "{}"}}})),
    ];
    let mut denials = Vec::new();
    for (path, patch) in &writes {
        let (code, words) = write_as(stage, &account, Some(&leader), path, patch).await?;
        if !(200..300).contains(&code) {
            bail!("{path}: the leader {leader} itself is answered {code}: {words}");
        }
        for impostor in [Some("an-impostor"), None] {
            let (code, words) = write_as(stage, &account, impostor, path, patch).await?;
            if !(400..500).contains(&code) || !words.contains("ValidatingAdmissionPolicy") {
                bail!(
                    "{path}: the pod {impostor:?} is answered {code}, not denied by the admission policy: {words}{FROZEN}"
                );
            }
            denials.push(words);
        }
    }
    holds(format!("{} kinds of write pass for {leader} and are denied to others: {}", writes.len(), denials[0]))
}

/// The leader itself changes replicas, resources and its own annotations, and nothing else of what RBAC lets it write: the API server
/// denies the rest.
pub async fn only_its_fields(stage: &Stage) -> anyhow::Result<Verdict> {
    stage.policy(SCALED, &by_requests()).await?;
    let (account, leader) = (stage.service_account("autoscaler").await?, stage.leader().await?);
    let deployment = format!("/apis/apps/v1/namespaces/{SHOP}/deployments/{SCALED}");
    let policy = format!("/apis/plimsoll.dev/v1alpha1/namespaces/{SHOP}/scalingpolicies/{SCALED}");
    let pods = stage.pods(SCALED).await?;
    let pod = pods.first().context("the shop has no pod to try it on")?;
    let pod = format!("/api/v1/namespaces/{SHOP}/pods/{}", text(pod, "/metadata/name"));
    let container = |field: &str, value: Value| json!({"spec": {"template": {"spec": {"containers": [{"name": SCALED, field: value}]}}}});
    let note = |key: &str| json!({"metadata": {"annotations": {key: "1"}}});
    let label = json!({"metadata": {"labels": {"e2e": "1"}}});
    let template = json!({"spec": {"template": {"metadata": {"annotations": {"e2e": "1"}}}}});
    let writes = [
        (&deployment, json!({"spec": {"replicas": 2}}), true),
        (&deployment, container("resources", json!({"requests": {"cpu": "60m"}})), true),
        (&deployment, note("plimsoll.dev/resources"), true),
        (&pod, note("controller.kubernetes.io/pod-deletion-cost"), true),
        (&policy, note("plimsoll.dev/paused"), true),
        (&deployment, container("image", json!("nobody/knows")), false),
        (&deployment, container("command", json!(["sh"])), false),
        (&deployment, json!({"spec": {"template": {"spec": {"hostNetwork": true}}}}), false),
        (&deployment, json!({"spec": {"paused": true}}), false),
        (&deployment, template, false),
        (&deployment, note("e2e"), false),
        (&deployment, label.clone(), false),
        (&pod, json!({"spec": {"containers": [{"name": SCALED, "image": "nobody/knows"}]}}), false),
        (&pod, label, false),
        (&policy, json!({"spec": {"replicas": {"max": 9}}}), false),
    ];
    let mut denial = String::new();
    for (path, patch, passes) in &writes {
        let kind = if *path == &policy { MERGE } else { STRATEGIC };
        let (code, words) = write_of(stage, &account, Some(&leader), path, kind, patch).await?;
        match passes {
            true if !(200..300).contains(&code) => bail!("{path} {patch}: the leader is answered {code}: {words}"),
            false if !(400..500).contains(&code) || !words.contains("the autoscaler may change") => {
                bail!("{path} {patch}: answered {code}, not denied by the admission policy: {words}");
            }
            true => {}
            false => denial = words,
        }
    }
    let denied = writes.iter().filter(|(.., passes)| !passes).count();
    holds(format!("{} writes of its own fields pass, {denied} others are denied: {denial}", writes.len() - denied))
}

/// A write that is tried and not carried out.
async fn write_as(
    stage: &Stage,
    account: &str,
    pod: Option<&str>,
    path: &str,
    patch: &Value,
) -> anyhow::Result<(u16, String)> {
    write_of(stage, account, pod, path, MERGE, patch).await
}

/// Kinds of patch; custom resources know the first only.
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

async fn write_of(
    stage: &Stage,
    account: &str,
    pod: Option<&str>,
    path: &str,
    kind: &str,
    patch: &Value,
) -> anyhow::Result<(u16, String)> {
    let url = format!("{}?dryRun=All", stage.api(path));
    let mut request = stage.http.patch(url).header("Content-Type", kind);
    request = request.header("Impersonate-User", account);
    for group in ["system:serviceaccounts", &format!("system:serviceaccounts:{PLIMSOLL}"), "system:authenticated"] {
        request = request.header("Impersonate-Group", group);
    }
    if let Some(pod) = pod {
        request = request.header("Impersonate-Extra-authentication.kubernetes.io%2Fpod-name", pod);
    }
    let answer = request.body(patch.to_string()).send().await?;
    let (code, body) = (answer.status().as_u16(), answer.text().await?);
    let words = serde_json::from_str::<Value>(&body).map(|status| text(&status, "/message").to_owned()).unwrap_or(body);
    Ok((code, words))
}

/// A policy that names a service which only another namespace has finds nothing, and moves nothing.
pub async fn own_namespace(stage: &Stage) -> anyhow::Result<Verdict> {
    stage.kubectl.feed(&["apply", "-f", "-"], &list(&[foreign()])).await?;
    let said = until("the policy to say that its target is not there", Duration::from_secs(30), async || {
        let policy =
            stage.kubectl.json(&["get", "scalingpolicy", "-n", OTHER, SCALED]).await.map_err(|e| format!("{e:#}"))?;
        let conditions = policy["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let told = conditions
            .iter()
            .find(|c| text(c, "/message").contains("does not exist") || text(c, "/reason") == "TargetMissing");
        told.map(|c| {
            format!("{}={} {}: {}", text(c, "/type"), text(c, "/status"), text(c, "/reason"), text(c, "/message"))
        })
        .ok_or(policy["status"].to_string())
    })
    .await?;
    throughout("the shop is not touched", Duration::from_secs(10), async || {
        let (asked, _) = replicas(stage).await?;
        if asked == 1 { Ok(()) } else { Err(format!("{SHOP}/{SCALED} was asked for {asked} replicas")) }
    })
    .await?;
    holds(format!("the policy in {OTHER} says {said}; {SHOP}/{SCALED} stays at 1"))
}
