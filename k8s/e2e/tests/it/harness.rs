//! The stage that all claims share: the cluster, what it offers, ways in, and putting things back between claims.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, bail};
use e2e::claims::Surroundings;
use e2e::forward::Forward;
use e2e::kubectl::{Kubectl, name, number, text};
use e2e::manifests::deployments;
use e2e::settings::Settings;
use e2e::shoppers::{Load, Shoppers};
use e2e::wait::until;
use serde_json::{Value, json};

/// Where the chart is installed.
pub const PLIMSOLL: &str = "plimsoll-e2e";
/// Where the shop is; k8s/e2e/shop says the same.
pub const SHOP: &str = "shop-e2e";
/// Where the load is.
pub const LOAD: &str = "load-e2e";
/// A namespace that has nothing to do with the shop.
pub const OTHER: &str = "other-e2e";
/// Marks what is the suite's own and in no namespace.
pub const OURS: (&str, &str) = ("plimsoll.dev/e2e", "true");
/// The shop's services, as its manifests name them.
pub static SERVICES: LazyLock<Vec<String>> = LazyLock::new(|| {
    deployments(&root().join("k8s/shop/base")).expect("the checkout that this was built from has the shop's manifests")
});
/// Until a container of ours is ready; migrations and the seed of the shop's stores are the longest.
pub const READY: Duration = Duration::from_secs(120);

/// The cluster and the ways into it.
pub struct Stage {
    pub settings: Settings,
    pub kubectl: Kubectl,
    pub http: reqwest::Client,
    /// Whether names of Services mean anything: there is a Service `kube-dns`.
    pub has_dns: bool,
    /// Whether a claim to a volume is served without our help.
    pub has_storage: bool,
    api: Forward,
}

impl Stage {
    /// Looks at the cluster, removes what an earlier run left behind, brings the image and makes the namespaces.
    pub async fn open(settings: Settings) -> anyhow::Result<Self> {
        let kubectl = Kubectl::new(&settings.kubectl, settings.kubeconfig.clone());
        let version = kubectl.json(&["version"]).await.context("the cluster does not answer")?;
        let classes = kubectl.items(&["get", "storageclass"]).await?;
        let is_default = |class: &&Value| {
            class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == json!("true")
        };
        let dns = kubectl.ask(&["get", "service", "-n", "kube-system", "kube-dns"], "").await?;
        let stage = Self {
            has_dns: dns.ok,
            has_storage: classes.iter().find(is_default).is_some(),
            http: reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?,
            api: Forward::to_api_server(&kubectl).await?,
            kubectl,
            settings,
        };
        println!(
            "cluster: {} on {} nodes; storage class: {}; DNS: {}",
            text(&version, "/serverVersion/gitVersion"),
            stage.kubectl.items(&["get", "nodes"]).await?.len(),
            if stage.has_storage { "yes" } else { "NO, so the suite makes hostPath volumes" },
            if stage.has_dns { "yes" } else { "NO, so the suite writes addresses for names" },
        );
        stage.clear().await.context("what an earlier run left behind cannot be removed")?;
        if let Some(load) = &stage.settings.load {
            shell(load, &[("image", &stage.settings.image)]).await?;
        }
        let namespaces = [PLIMSOLL, SHOP, LOAD, OTHER].map(|name| {
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name,
                   "labels": {OURS.0: OURS.1, "pod-security.kubernetes.io/enforce": "restricted"}}})
        });
        stage.kubectl.apply(&namespaces).await?;
        Ok(stage)
    }

    /// Removes everything that the suite made.
    pub async fn clear(&self) -> anyhow::Result<()> {
        let label = format!("{}={}", OURS.0, OURS.1);
        for name in [PLIMSOLL, SHOP, LOAD, OTHER] {
            let found =
                self.kubectl.items(&["get", "namespace", "--field-selector", &format!("metadata.name={name}")]).await?;
            if found.first().is_some_and(|namespace| namespace["metadata"]["labels"][OURS.0] != json!(OURS.1)) {
                bail!("the namespace {name} is not the suite's own: it lacks the label {label}; rename or delete it");
            }
        }
        let kinds = "namespaces,clusterroles,clusterrolebindings,validatingadmissionpolicybindings,\
                     validatingadmissionpolicies,persistentvolumes,customresourcedefinitions";
        self.kubectl.run(&["delete", kinds, "-l", &label, "--timeout=180s"]).await?;
        if let Some(sweep) = self.settings.sweep.as_ref().filter(|_| !self.has_storage) {
            shell(sweep, &[("path", VOLUMES)]).await?;
        }
        Ok(())
    }

    /// The API server over HTTP, with the kubeconfig's rights.
    pub fn api(&self, path: &str) -> String {
        format!("{}{}", self.api.url().as_str().trim_end_matches('/'), path)
    }

    /// The pods of a component of the chart (`collector`, `autoscaler`) that are ready.
    pub async fn component(&self, component: &str) -> anyhow::Result<Vec<Value>> {
        let selector = format!("app.kubernetes.io/component={component}");
        let pods = self.kubectl.items(&["get", "pods", "-n", PLIMSOLL, "-l", &selector]).await?;
        Ok(pods.into_iter().filter(is_ready).collect())
    }

    /// A way to the collector.
    pub async fn collector(&self) -> anyhow::Result<Forward> {
        let pods = self.component("collector").await?;
        let pod = pods.first().context("no collector is ready")?;
        Forward::to_pod(&self.kubectl, PLIMSOLL, name(pod), 9090).await
    }

    /// A way to the autoscaler that leads.
    pub async fn autoscaler(&self) -> anyhow::Result<Forward> {
        Forward::to_pod(&self.kubectl, PLIMSOLL, &self.leader().await?, 9091).await
    }

    /// The token that the autoscaler asks of whoever changes something.
    pub async fn api_token(&self) -> anyhow::Result<String> {
        let template = "go-template={{.data.token | base64decode}}";
        let args = ["get", "secret", "-n", PLIMSOLL, "plimsoll-autoscaler-api", "-o", template];
        self.kubectl.run(&args).await.context("the chart's Secret with the token of the autoscaler's API")
    }

    /// The pod that leads, as the Lease says.
    pub async fn leader(&self) -> anyhow::Result<String> {
        let lease = self.lease().await?;
        let holder = text(&lease, "/spec/holderIdentity");
        if holder.is_empty() {
            bail!("nobody has the lead");
        }
        Ok(holder.to_owned())
    }

    /// The Lease of the autoscalers.
    pub async fn lease(&self) -> anyhow::Result<Value> {
        let leases = self.kubectl.items(&["get", "lease", "-n", PLIMSOLL]).await?;
        leases.into_iter().next().context("the autoscalers have no Lease")
    }

    /// `system:serviceaccount:..` of a component's pods.
    pub async fn service_account(&self, component: &str) -> anyhow::Result<String> {
        let pods = self.component(component).await?;
        let pod = pods.first().with_context(|| format!("no {component} is ready"))?;
        Ok(format!("system:serviceaccount:{PLIMSOLL}:{}", text(pod, "/spec/serviceAccountName")))
    }

    /// A Deployment of the shop.
    pub async fn service(&self, service: &str) -> anyhow::Result<Value> {
        self.kubectl.json(&["get", "deployment", "-n", SHOP, service]).await
    }

    /// The pods of a service of the shop, those that end left out.
    pub async fn pods(&self, service: &str) -> anyhow::Result<Vec<Value>> {
        let selector = format!("app.kubernetes.io/name={service}");
        let pods = self.kubectl.items(&["get", "pods", "-n", SHOP, "-l", &selector]).await?;
        Ok(pods.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect())
    }

    /// Starts load on the shop's gateway.
    pub async fn load(&self, name: &str, rate: f64, seconds: u64) -> anyhow::Result<Shoppers> {
        let service = self.kubectl.json(&["get", "service", "-n", SHOP, "gateway"]).await?;
        let gateway = format!("http://{}:8080", text(&service, "/spec/clusterIP"));
        let load = Load { name, image: &self.settings.image, gateway: &gateway, rate, seconds };
        Shoppers::start(&self.kubectl, LOAD, &load).await
    }

    /// Applies a ScalingPolicy in the shop's namespace.
    pub async fn policy(&self, name: &str, spec: &Value) -> anyhow::Result<()> {
        self.kubectl.apply(&[policy(SHOP, name, spec)]).await.map(drop)
    }

    /// Waits until every Deployment of the shop has one replica, ready, and no other pod.
    pub async fn calm(&self) -> anyhow::Result<()> {
        until("ten services with one ready replica each", READY, async || {
            let list = self.kubectl.items(&["get", "deployments", "-n", SHOP]).await.map_err(|e| format!("{e:#}"))?;
            let restless: Vec<String> = list.iter().filter(|d| !is_settled(d)).map(progress).collect();
            if list.len() == SERVICES.len() && restless.is_empty() {
                return Ok(());
            }
            Err(format!("{} deployments, not settled: {}", list.len(), restless.join(", ")))
        })
        .await
    }

    /// Restarts by `NAMESPACE/POD` of the chart's and the shop's pods.
    pub async fn restarts(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut restarts = BTreeMap::new();
        for namespace in [PLIMSOLL, SHOP] {
            for pod in self.kubectl.items(&["get", "pods", "-n", namespace]).await? {
                let count = number(&pod, "/status/containerStatuses/0/restartCount");
                restarts.insert(format!("{namespace}/{}", name(&pod)), count);
            }
        }
        Ok(restarts)
    }
}

/// Where the volumes of a cluster without storage class lie on its nodes.
pub const VOLUMES: &str = "/var/lib/plimsoll-e2e";

impl Surroundings for Stage {
    async fn prepare(&self) -> anyhow::Result<()> {
        for namespace in [SHOP, OTHER] {
            self.kubectl.run(&["delete", "scalingpolicies", "-n", namespace, "--all"]).await?;
        }
        self.kubectl.run(&["delete", "pods", "-n", LOAD, "--all", "--grace-period=1"]).await?;
        for deployment in self.kubectl.items(&["get", "deployments", "-n", SHOP]).await? {
            if number(&deployment, "/spec/replicas") != 1 {
                self.kubectl.run(&["scale", "deployment", "-n", SHOP, name(&deployment), "--replicas=1"]).await?;
            }
        }
        self.calm().await
    }

    async fn describe(&self) -> String {
        let mut words = Vec::new();
        for namespace in [PLIMSOLL, SHOP, LOAD] {
            let events = [
                "get",
                "events",
                "-n",
                namespace,
                "--field-selector=type=Warning,reason!=MissingClusterDNS",
                "--sort-by=.lastTimestamp",
            ];
            for args in [&["get", "pods", "-n", namespace, "-o", "wide"][..], &events[..]] {
                if let Ok(answer) = self.kubectl.ask(args, "").await {
                    words.push(format!("--- kubectl {}", args.join(" ")));
                    words.extend(tail(&answer.stdout, 14));
                }
            }
        }
        for component in ["autoscaler", "collector"] {
            let selector = format!("app.kubernetes.io/component={component}");
            let args = ["logs", "-n", PLIMSOLL, "-l", &selector, "--tail=8", "--prefix"];
            if let Ok(answer) = self.kubectl.ask(&args, "").await {
                words.push(format!("--- logs of the {component}"));
                words.extend(tail(&answer.stdout, 16));
            }
        }
        words.join("\n")
    }
}

fn tail(text: &str, lines: usize) -> Vec<String> {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| line.chars().take(220).collect()).collect()
}

/// A ScalingPolicy.
pub fn policy(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy",
           "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

/// The condition of a type, or null.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

/// Whether a pod is ready and not ending.
pub fn is_ready(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null() && condition(pod, "Ready")["status"] == "True"
}

fn is_settled(deployment: &Value) -> bool {
    let one = |field: &str| number(deployment, &format!("/status/{field}")) == 1;
    number(deployment, "/status/observedGeneration") == number(deployment, "/metadata/generation")
        && one("replicas")
        && one("readyReplicas")
        && one("updatedReplicas")
}

/// `order 1/2`, ready of asked for.
pub fn progress(deployment: &Value) -> String {
    let (ready, asked) = (number(deployment, "/status/readyReplicas"), number(deployment, "/spec/replicas"));
    format!("{} {ready}/{asked}", name(deployment))
}

/// Runs a command of the environment with its placeholders filled in.
pub async fn shell(command: &str, placeholders: &[(&str, &str)]) -> anyhow::Result<()> {
    let filled =
        placeholders.iter().fold(command.to_owned(), |text, (key, value)| text.replace(&format!("{{{key}}}"), value));
    let output = tokio::process::Command::new("sh").arg("-c").arg(&filled).stdin(Stdio::null()).output().await?;
    if !output.status.success() {
        bail!("`{filled}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
