//! HorizontalPodAutoscaler v2: the fields of Kubernetes v1.36, and the spec of the policy that does the same.

use protocol::quantity::Quantity;
use protocol::yaml::DocumentError;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::{Source, Target, target};

#[derive(Debug, Deserialize)]
struct Object {
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    scale_target_ref: Reference,
    min_replicas: Option<u32>,
    max_replicas: u32,
    #[serde(default)]
    metrics: Vec<Metric>,
    behavior: Option<Behavior>,
    selection_strategy: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Reference {
    api_version: Option<String>,
    kind: String,
    name: String,
}

/// One of the five is written, and `type` says which.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Metric {
    #[serde(rename = "type")]
    kind: String,
    resource: Option<ResourceMetric>,
    container_resource: Option<ResourceMetric>,
    pods: Option<NamedMetric>,
    object: Option<NamedMetric>,
    external: Option<NamedMetric>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceMetric {
    name: String,
    container: Option<String>,
    target: Aim,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NamedMetric {
    metric: Identifier,
    target: Aim,
    #[serde(default, rename = "describedObject")]
    _described_object: IgnoredAny,
    fallback: Option<Fallback>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identifier {
    name: String,
    #[serde(default, rename = "selector")]
    _selector: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fallback {
    failure_duration_seconds: Option<u32>,
    replicas: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Aim {
    #[serde(rename = "type")]
    kind: String,
    value: Option<Quantity>,
    average_value: Option<Quantity>,
    average_utilization: Option<u32>,
}

/// HPA v2's behavior, which is the policy's.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Behavior {
    #[serde(skip_serializing_if = "Option::is_none")]
    scale_up: Option<Rules>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale_down: Option<Rules>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rules {
    #[serde(skip_serializing_if = "Option::is_none")]
    stabilization_window_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    select_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policies: Option<Vec<Rate>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_number")]
    tolerance: Option<Quantity>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rate {
    #[serde(rename = "type")]
    kind: String,
    value: u32,
    period_seconds: u32,
}

/// A policy's tolerance is a number, in thousandths at the finest.
fn as_number<S: Serializer>(tolerance: &Option<Quantity>, serializer: S) -> Result<S::Ok, S::Error> {
    tolerance.map(Quantity::as_f64).serialize(serializer)
}

/// The spec of the policy.
pub(super) fn spec(source: &mut Source<'_>) -> Result<Value, DocumentError> {
    let Object { spec } = source.parse()?;
    let Reference { api_version, kind, name } = &spec.scale_target_ref;
    let target = target(source, api_version.as_deref(), kind, name)?;
    let min = match spec.min_replicas {
        Some(0) => {
            source.warn("spec.minReplicas", "found 0: a policy never scales to zero, 1 is written");
            1
        }
        min => min.unwrap_or(1),
    };
    if let Some(strategy) = spec.selection_strategy.filter(|strategy| strategy != "LabelSelector") {
        source.warn(
            "spec.selectionStrategy",
            format!("{strategy} is not kept: a policy's pods are always its target's own"),
        );
    }
    let mut made = json!({"target": target.json(), "replicas": {"min": min, "max": spec.max_replicas}});
    let (mut signals, mut fallback) = (Vec::new(), None);
    for (index, metric) in spec.metrics.into_iter().enumerate() {
        let field = format!("spec.metrics[{index}]");
        if let Some(found) =
            [&metric.external, &metric.object, &metric.pods].into_iter().flatten().find_map(|m| m.fallback.as_ref())
        {
            source.warn(
                &format!("{field}.external.fallback"),
                "it holds for the policy as a whole: when none of its signals could be read, and never lowers",
            );
            // Kubernetes' default of failureDurationSeconds.
            let seconds = found.failure_duration_seconds.unwrap_or(180);
            fallback = Some(json!({"afterMissing": format!("{seconds}s"), "replicas": found.replicas}));
        }
        signals.push(signal(source, &field, &target, metric)?);
    }
    if !signals.is_empty() {
        made["signals"] = json!(signals);
    }
    if let Some(fallback) = fallback {
        made["fallback"] = fallback;
    }
    if let Some(behavior) = &spec.behavior {
        made["behavior"] = json!(behavior);
    }
    Ok(made)
}

fn signal(source: &mut Source<'_>, field: &str, target: &Target, metric: Metric) -> Result<Value, DocumentError> {
    let Metric { kind, resource, container_resource, pods, object, external } = metric;
    match (kind.as_str(), resource, container_resource, pods, object, external) {
        ("Resource", Some(metric), ..) => usage(source, &format!("{field}.resource"), target, &metric),
        ("ContainerResource", _, Some(metric), ..) => {
            usage(source, &format!("{field}.containerResource"), target, &metric)
        }
        ("Pods", _, _, Some(metric), ..) => named(source, &format!("{field}.pods"), &metric),
        ("Object", _, _, _, Some(metric), _) => named(source, &format!("{field}.object"), &metric),
        ("External", _, _, _, _, Some(metric)) => named(source, &format!("{field}.external"), &metric),
        (kind, ..) => {
            let message = format!(
                "found {kind:?}, expected Resource, ContainerResource, Pods, Object or External, and the field that it names"
            );
            Err(source.error(&format!("{field}.type"), &message))
        }
    }
}

fn usage(
    source: &mut Source<'_>,
    field: &str,
    target: &Target,
    metric: &ResourceMetric,
) -> Result<Value, DocumentError> {
    let ResourceMetric { name, container, target: aim } = metric;
    if !["cpu", "memory"].contains(&name.as_str()) {
        let message = format!("found {name}, expected cpu or memory: write a query signal for it");
        return Err(source.error(&format!("{field}.name"), &message));
    }
    match (aim.kind.as_str(), aim.average_utilization, aim.average_value) {
        ("Utilization", Some(percent), _) => {
            let mut utilization = json!({"resource": name, "target": format!("{percent}%")});
            if let Some(container) = container {
                utilization["container"] = json!(container);
            }
            Ok(json!({"utilization": utilization}))
        }
        ("AverageValue", _, Some(value)) => {
            let promql = source.usage(&format!("{field}.target"), target, name, container.as_deref());
            let of = container.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
            Ok(json!({"query": {"name": format!("{name} used{of}"), "promql": promql, "perReplica": value}}))
        }
        (kind, ..) => {
            let message = format!(
                "found {kind:?}, expected Utilization with averageUtilization, or AverageValue with averageValue"
            );
            Err(source.error(&format!("{field}.target.type"), &message))
        }
    }
}

fn named(source: &mut Source<'_>, field: &str, metric: &NamedMetric) -> Result<Value, DocumentError> {
    let NamedMetric { metric: Identifier { name, .. }, target: aim, .. } = metric;
    let (key, value) = match (aim.kind.as_str(), aim.value, aim.average_value) {
        ("AverageValue", _, Some(value)) => ("perReplica", value),
        ("Value", Some(value), _) => ("target", value),
        (kind, ..) => {
            let message = format!("found {kind:?}, expected Value with value, or AverageValue with averageValue");
            return Err(source.error(&format!("{field}.target.type"), &message));
        }
    };
    let promql = source.promql(&format!("{field}.metric.name"), name)?;
    Ok(json!({"query": {"name": name, "promql": promql, key: value}}))
}
