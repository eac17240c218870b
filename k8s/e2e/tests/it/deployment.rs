//! Claims about coming up: the chart, the shop, every manifest accepted, every pod within the restricted standard.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use e2e::claims::{Verdict, holds};
use e2e::kubectl::{list, name, text};
use e2e::manifests::{self, Address};
use e2e::wait::until;
use serde_json::Value;

use crate::harness::{OURS, PLIMSOLL, READY, SERVICES, SHOP, Stage, VOLUMES, is_ready, progress, root, shell};

/// The chart, two autoscalers and a collector, becomes ready.
pub async fn chart_comes_up(stage: &Stage) -> anyhow::Result<Verdict> {
    let begun = Instant::now();
    let mut objects = rendered(stage).await?;
    manifests::place(&mut objects, PLIMSOLL, OURS);
    unmark_what_was_there(stage, &mut objects).await?;
    install(stage, objects).await?;
    let counts = until("a collector and two autoscalers to be ready", READY, async || {
        let mut counts = Vec::new();
        for component in ["collector", "autoscaler"] {
            counts.push(stage.component(component).await.map_err(|error| format!("{error:#}"))?.len());
        }
        if counts == [1, 2] { Ok(counts) } else { Err(format!("{} collectors, {} autoscalers", counts[0], counts[1])) }
    })
    .await?;
    let leader =
        until("one of them to lead", READY, async || stage.leader().await.map_err(|e| format!("{e:#}"))).await?;
    holds(format!("{counts:?} ready after {:.1} s, {leader} leads", begun.elapsed().as_secs_f64()))
}

/// The chart with the suite's values: by helm, or as `PLIMSOLL_E2E_CHART` has it; with the custom resource.
async fn rendered(stage: &Stage) -> anyhow::Result<Vec<Value>> {
    let root = root();
    let yaml = match &stage.settings.chart {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
        None => {
            let mut helm = tokio::process::Command::new("helm");
            helm.args(["template", "plimsoll", "--namespace", PLIMSOLL, "--values"]);
            helm.arg(root.join("k8s/e2e/values.yaml")).arg(root.join("k8s/plimsoll"));
            let output = helm.output().await.context("helm is not installed: install it, or set PLIMSOLL_E2E_CHART")?;
            if !output.status.success() {
                bail!("helm template: {}", String::from_utf8_lossy(&output.stderr).trim());
            }
            String::from_utf8(output.stdout)?
        }
    };
    let mut objects = manifests::parse(&yaml)?;
    let has_crd = objects.iter().any(|object| text(object, "/kind") == "CustomResourceDefinition");
    if !has_crd {
        let file = root.join("k8s/crds/scalingpolicies.plimsoll.dev.yaml");
        objects.extend(manifests::parse(&std::fs::read_to_string(file)?)?);
    }
    Ok(objects)
}

/// A custom resource that was there before is brought up to date, and stays when the suite goes.
async fn unmark_what_was_there(stage: &Stage, objects: &mut [Value]) -> anyhow::Result<()> {
    for object in objects.iter_mut().filter(|object| text(object, "/kind") == "CustomResourceDefinition") {
        let title = format!("crd/{}", name(object));
        let found = stage.kubectl.run(&["get", &title, "--ignore-not-found", "-o", "name"]).await?;
        if !found.trim().is_empty() {
            println!("    {title} was there before; it is brought up to date and will stay");
            object["metadata"]["labels"].as_object_mut().context("it was labelled")?.remove(OURS.0);
        }
    }
    Ok(())
}

/// Applies objects in an order that works: what others stand on first, with volumes and addresses where the cluster has none.
async fn install(stage: &Stage, mut objects: Vec<Value>) -> anyhow::Result<()> {
    if manifests::set_image(&mut objects, &stage.settings.image) == 0 {
        bail!("no container's image is called plimsoll");
    }
    if !stage.has_storage {
        manifests::without_storage_class(&mut objects);
        for claim in manifests::claims(&objects) {
            let path = format!("{VOLUMES}/{}-{}", claim.namespace, claim.name);
            let prepare = stage.settings.prepare.as_deref();
            let prepare =
                prepare.context("there is no default StorageClass: set PLIMSOLL_E2E_PREPARE (k8s/e2e/README.md)")?;
            shell(prepare, &[("path", &path)]).await?;
            stage.kubectl.apply(&[manifests::volume(&claim, &path, OURS)]).await?;
        }
    }
    let is_workload = |object: &Value| ["Deployment", "StatefulSet"].contains(&text(object, "/kind"));
    let (mut workloads, ground): (Vec<Value>, Vec<Value>) = objects.into_iter().partition(is_workload);
    let (first, second): (Vec<Value>, Vec<Value>) = ground
        .into_iter()
        .partition(|object| ["CustomResourceDefinition", "Namespace"].contains(&text(object, "/kind")));
    for step in [first, second] {
        if !step.is_empty() {
            stage.kubectl.feed(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &list(&step)).await?;
        }
    }
    if !stage.has_dns {
        manifests::without_dns(&mut workloads, &addresses(stage).await?);
    }
    stage.kubectl.apply(&workloads).await.map(drop)
}

async fn addresses(stage: &Stage) -> anyhow::Result<Vec<Address>> {
    let mut addresses = Vec::new();
    for namespace in [PLIMSOLL, SHOP] {
        for service in stage.kubectl.items(&["get", "services", "-n", namespace]).await? {
            let ip = text(&service, "/spec/clusterIP").to_owned();
            if ip != "None" {
                addresses.push(Address { namespace: namespace.to_owned(), service: name(&service).to_owned(), ip });
            }
        }
    }
    Ok(addresses)
}

/// All ten services become ready.
pub async fn shop_comes_up(stage: &Stage) -> anyhow::Result<Verdict> {
    let begun = Instant::now();
    let folder = root().join("k8s/e2e/shop");
    let yaml = stage.kubectl.run(&["kustomize", &folder.to_string_lossy()]).await?;
    let mut objects = manifests::parse(&yaml)?;
    objects.retain(|object| text(object, "/kind") != "Namespace");
    send_spans_to_the_chart(stage, &mut objects).await?;
    install(stage, objects).await?;
    stage.calm().await?;
    let list = stage.kubectl.items(&["get", "deployments", "-n", SHOP]).await?;
    let ready: Vec<String> = list.iter().map(progress).collect();
    holds(format!(
        "{} services ready after {:.1} s: {}",
        SERVICES.len(),
        begun.elapsed().as_secs_f64(),
        ready.join(", ")
    ))
}

/// The shop sends its spans to a Service called `collector` beside it, unless told otherwise.
async fn send_spans_to_the_chart(stage: &Stage, objects: &mut [Value]) -> anyhow::Result<()> {
    let services = stage
        .kubectl
        .items(&["get", "services", "-n", PLIMSOLL, "-l", "app.kubernetes.io/component=collector"])
        .await?;
    let has_port =
        |service: &&Value| service["spec"]["ports"].as_array().into_iter().flatten().any(|p| p["port"] == 4318);
    let service = services.iter().find(has_port).context("no Service of the chart takes spans on port 4318")?;
    let endpoint = format!("http://{}.{PLIMSOLL}.svc:4318", name(service));
    for object in objects {
        let containers = object.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            for variable in container["env"].as_array_mut().into_iter().flatten() {
                if variable["name"] == "OTEL_EXPORTER_OTLP_ENDPOINT" {
                    variable["value"] = endpoint.clone().into();
                }
            }
        }
    }
    Ok(())
}

/// `kubectl apply --dry-run=server` of every folder with a kustomization and of the chart says nothing but yes.
pub async fn dry_runs(stage: &Stage) -> anyhow::Result<Verdict> {
    let mut all = Vec::new();
    for folder in kustomizations(&root().join("k8s/shop"))? {
        let yaml = stage.kubectl.run(&["kustomize", &folder]).await.context("kubectl kustomize")?;
        let short = folder.rsplit("k8s/").next().unwrap_or(&folder).to_owned();
        all.push((short, manifests::parse(&yaml)?));
    }
    let mut chart = rendered(stage).await?;
    manifests::place(&mut chart, PLIMSOLL, OURS);
    if !stage.has_storage {
        // As it was installed: a claim's class cannot be changed afterwards, not even dry.
        manifests::without_storage_class(&mut chart);
    }
    all.push(("plimsoll".to_owned(), chart));
    let made = missing_namespaces(stage, &all).await?;
    let mut accepted = Vec::new();
    for (title, objects) in &all {
        accepted.push(dry_run(stage, title, objects).await);
    }
    for namespace in &made {
        stage.kubectl.run(&["delete", "namespace", namespace, "--wait=false"]).await?;
    }
    let accepted: Vec<String> = accepted.into_iter().collect::<anyhow::Result<_>>()?;
    holds(accepted.join("; "))
}

/// Objects in a namespace that does not exist yet cannot be tried dry, so the namespaces are made for the while.
async fn missing_namespaces(stage: &Stage, all: &[(String, Vec<Value>)]) -> anyhow::Result<Vec<String>> {
    let mut made = Vec::new();
    let is_namespace = |object: &&Value| text(object, "/kind") == "Namespace";
    for object in all.iter().flat_map(|(_, objects)| objects).filter(is_namespace) {
        let (name, field) = (name(object), format!("metadata.name={}", name(object)));
        until(&format!("the namespace {name} to be there or gone"), READY, async || {
            let found = stage.kubectl.items(&["get", "namespaces", "--field-selector", &field]).await;
            let found = found.map_err(|error| format!("{error:#}"))?;
            let phase = found.first().map_or("", |namespace| text(namespace, "/status/phase"));
            if phase == "Terminating" { Err(phase.to_owned()) } else { Ok(()) }
        })
        .await?;
        let there = stage.kubectl.run(&["get", "namespace", name, "--ignore-not-found", "-o", "name"]).await?;
        if there.trim().is_empty() {
            let mut namespace = vec![object.clone()];
            manifests::place(&mut namespace, PLIMSOLL, OURS);
            stage.kubectl.apply(&namespace).await?;
            made.push(name.to_owned());
        }
    }
    Ok(made)
}

async fn dry_run(stage: &Stage, title: &str, objects: &[Value]) -> anyhow::Result<String> {
    let answer = stage.kubectl.ask(&["apply", "--dry-run=server", "-f", "-"], &list(objects)).await?;
    // Applying over what was applied server-side before is no fault of the manifest.
    let complaints: Vec<&str> =
        answer.stderr.lines().filter(|line| !line.contains("last-applied-configuration")).collect();
    if !answer.ok || !complaints.is_empty() {
        bail!("{title}: {}", complaints.join("\n"));
    }
    Ok(format!("{title}: {} objects", objects.len()))
}

fn kustomizations(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    if folder.join("kustomization.yaml").exists() {
        found.push(folder.to_string_lossy().into_owned());
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(kustomizations(&path)?);
        }
    }
    found.sort();
    Ok(found)
}

/// The namespaces enforce the restricted standard, and no pod of ours was refused.
pub async fn pods_are_restricted(stage: &Stage) -> anyhow::Result<Verdict> {
    let mut seen = 0;
    for namespace in [PLIMSOLL, SHOP] {
        let object = stage.kubectl.json(&["get", "namespace", namespace]).await?;
        let level = text(&object, "/metadata/labels/pod-security.kubernetes.io~1enforce");
        if level != "restricted" {
            bail!("the namespace {namespace} enforces {level:?}, not the restricted standard");
        }
        let pods = stage.kubectl.items(&["get", "pods", "-n", namespace]).await?;
        seen += pods.iter().filter(|pod| is_ready(pod)).count();
        let events = stage.kubectl.items(&["get", "events", "-n", namespace]).await?;
        let refused = events.iter().find(|event| text(event, "/message").contains("violates PodSecurity"));
        if let Some(event) = refused {
            bail!("{}", text(event, "/message"));
        }
    }
    holds(format!("{seen} pods run where the restricted standard is enforced, none was refused"))
}
