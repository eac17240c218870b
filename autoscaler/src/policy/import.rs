//! Autoscalers of others as scaling policies: HorizontalPodAutoscaler (`autoscaling/v2`) and KEDA's ScaledObject. What has no
//! equivalent is a warning that names the field; what would steer otherwise than before is refused with what to do. Start at
//! `import`.

mod cron;
mod hpa;
mod keda;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use protocol::yaml::{Document, DocumentError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::check::check;

/// PromQL for metrics that only an adapter knows how to read, by the metric's name.
pub type Queries = BTreeMap<String, String>;

/// Policies made of others' autoscalers.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// A file of policies that the loader takes.
    pub yaml: String,
    /// How many policies.
    pub policies: usize,
    /// What is not as it was, and where it stood.
    pub warnings: Vec<DocumentError>,
}

/// Makes a policy of each document.
///
/// # Errors
/// The first that cannot be one, why, and what to do.
pub fn import(documents: &[Document], queries: &Queries) -> Result<Imported, DocumentError> {
    let mut imported = Imported { yaml: String::new(), policies: 0, warnings: Vec::new() };
    let mut used = BTreeSet::new();
    for document in documents {
        let head: Head = document.parse()?;
        if head.kind != "List" {
            one(document, "", &head, queries, &mut imported, &mut used)?;
            continue;
        }
        let List { items } = document.parse()?;
        for (index, item) in items.iter().enumerate() {
            let prefix = format!("items[{index}]");
            for mut part in protocol::yaml::split(&document.file, &item.to_string()) {
                part.number = document.number;
                let nested = |error: DocumentError| document.error(&join(&prefix, &error.field), &error.message);
                let head: Head = part.parse().map_err(nested)?;
                one(&part, &prefix, &head, queries, &mut imported, &mut used)?;
            }
        }
    }
    if let (Some(name), Some(document)) = (queries.keys().find(|name| !used.contains(*name)), documents.first()) {
        return Err(document.error("", &format!("--promql {name}: no metric that needs one is called so")));
    }
    Ok(imported)
}

/// What any object has.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
    namespace: Option<String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// What `kubectl get -o yaml` makes of several.
#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Value>,
}

fn one(
    document: &Document,
    prefix: &str,
    head: &Head,
    queries: &Queries,
    imported: &mut Imported,
    used: &mut BTreeSet<String>,
) -> Result<(), DocumentError> {
    let mut source = Source { document, prefix, head, queries, used, warnings: Vec::new() };
    let spec = match (head.kind.as_str(), head.api_version.as_str()) {
        ("HorizontalPodAutoscaler", "autoscaling/v2") => hpa::spec(&mut source)?,
        ("HorizontalPodAutoscaler", other) => {
            let remedy = "expected autoscaling/v2: kubectl get hpa.v2.autoscaling NAME -o yaml prints it";
            return Err(source.error("apiVersion", &format!("found {other:?}, {remedy}")));
        }
        ("ScaledObject", "keda.sh/v1alpha1") => keda::spec(&mut source)?,
        ("ScaledObject", other) => {
            return Err(source.error("apiVersion", &format!("found {other:?}, expected keda.sh/v1alpha1")));
        }
        (other, _) => {
            let remedy = "expected HorizontalPodAutoscaler or ScaledObject: leave other documents out";
            return Err(source.error("kind", &format!("found {other:?}, {remedy}")));
        }
    };
    let mut metadata = json!({"name": head.metadata.name});
    if let Some(namespace) = &head.metadata.namespace {
        metadata["namespace"] = json!(namespace);
    }
    let policy =
        json!({"apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": metadata, "spec": spec});
    let text = serde_saphyr::to_string(&policy).map_err(|error| source.error("", &error.to_string()))?;
    // Whatever it is, the loader says it: its words name the field of the policy.
    for made in protocol::yaml::split(&document.file, &text) {
        check(&made).map_err(|error| {
            source.error("", &format!("as a policy it is wrong: {}: {}", error.field, error.message))
        })?;
    }
    let warnings = source.warnings;
    imported.yaml.push_str(if imported.yaml.is_empty() { "" } else { "---\n" });
    imported.yaml.push_str(&text);
    imported.policies += 1;
    imported.warnings.extend(warnings);
    Ok(())
}

/// The object that is being read.
struct Source<'a> {
    document: &'a Document,
    /// Where it stands in its document, if that is a list.
    prefix: &'a str,
    head: &'a Head,
    queries: &'a Queries,
    used: &'a mut BTreeSet<String>,
    warnings: Vec<DocumentError>,
}

impl Source<'_> {
    fn error(&self, field: &str, message: &str) -> DocumentError {
        self.document.error(&join(self.prefix, field), message)
    }

    fn warn(&mut self, field: &str, message: impl Display) {
        let warning = self.error(field, &message.to_string());
        self.warnings.push(warning);
    }

    /// The object itself, with fields that this program knows.
    fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, DocumentError> {
        self.document.parse().map_err(|error| self.error(&error.field, &error.message))
    }

    /// The PromQL that was given for a metric.
    fn promql(&mut self, field: &str, metric: &str) -> Result<String, DocumentError> {
        let Some(promql) = self.queries.get(metric) else {
            let message = format!(
                "how {metric} is read only its adapter knows: say it in PromQL, such as --promql '{metric}=sum({metric})'"
            );
            return Err(self.error(field, &message));
        };
        self.used.insert(metric.to_owned());
        Ok(promql.clone())
    }

    /// PromQL for what the pods of a workload use together: `AverageValue` of CPU or memory.
    fn usage(&mut self, field: &str, target: &Target, resource: &str, container: Option<&str>) -> String {
        self.warn(
            field,
            "an absolute amount becomes a query over the containers' metrics, which knows pods by the workload's name; \
             replicas that are starting or have no reading count as HPA would not count them",
        );
        let namespace = self.head.metadata.namespace.as_deref().unwrap_or("default");
        let name = regex_quoted(&target.name);
        let pods = if target.kind == "StatefulSet" {
            format!("{name}-[0-9]+")
        } else {
            format!("{name}-[a-z0-9]+-[a-z0-9]{{5}}")
        };
        let container = match container {
            Some(name) => format!(r#"container="{name}""#),
            // Neither the pod's pause container nor the pod's own total.
            None => r#"container!="", container!="POD""#.to_owned(),
        };
        let selector = format!(r#"{{namespace="{namespace}", pod=~"{pods}", {container}}}"#);
        match resource {
            "cpu" => format!("sum(rate(container_cpu_usage_seconds_total{selector}[1m]))"),
            _ => format!("sum(container_memory_working_set_bytes{selector})"),
        }
    }
}

/// The workload that is steered.
#[derive(Debug)]
struct Target {
    kind: String,
    name: String,
}

impl Target {
    fn json(&self) -> Value {
        json!({"kind": self.kind, "name": self.name})
    }
}

/// A target of the kinds that a policy may have.
fn target(source: &Source<'_>, api_version: Option<&str>, kind: &str, name: &str) -> Result<Target, DocumentError> {
    let is_known = ["Deployment", "StatefulSet"].contains(&kind);
    if !is_known || api_version.is_some_and(|version| !version.starts_with("apps/")) {
        let version = api_version.unwrap_or("apps/v1");
        let message = format!(
            "found {kind} of {version}, expected a Deployment or StatefulSet of apps/v1: leave it to its autoscaler"
        );
        return Err(source.error("spec.scaleTargetRef.kind", &message));
    }
    Ok(Target { kind: kind.to_owned(), name: name.to_owned() })
}

/// Names of workloads are of a-z, 0-9, - and `.`, of which only the point means something to PromQL; in a string it takes two
/// backslashes.
fn regex_quoted(name: &str) -> String {
    name.replace('.', r"\\.")
}

fn join(prefix: &str, field: &str) -> String {
    match (prefix, field) {
        ("", field) => field.to_owned(),
        (prefix, "") => prefix.to_owned(),
        (prefix, field) => format!("{prefix}.{field}"),
    }
}

#[cfg(test)]
mod tests;
