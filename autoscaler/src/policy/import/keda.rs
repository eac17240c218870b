//! KEDA's ScaledObject: the fields of v2.20, and the spec of the policy that does the same.

use std::collections::BTreeMap;

use protocol::quantity::Quantity;
use protocol::yaml::DocumentError;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::cron::{Window, window};
use super::hpa::Behavior;
use super::{Source, Target, target};

/// KEDA's defaults: seconds between polls, most replicas.
const POLLING_SECONDS: u32 = 30;
const MAX_REPLICAS: u32 = 100;

#[derive(Debug, Deserialize)]
struct Object {
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    scale_target_ref: Reference,
    polling_interval: Option<u32>,
    cooldown_period: Option<u32>,
    initial_cooldown_period: Option<u32>,
    idle_replica_count: Option<u32>,
    min_replica_count: Option<u32>,
    max_replica_count: Option<u32>,
    fallback: Option<Fallback>,
    advanced: Option<Advanced>,
    triggers: Vec<Trigger>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Reference {
    api_version: Option<String>,
    kind: Option<String>,
    name: String,
    env_source_container_name: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fallback {
    failure_threshold: u32,
    replicas: u32,
    behavior: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Advanced {
    restore_to_original_replica_count: Option<bool>,
    horizontal_pod_autoscaler_config: Option<HpaConfig>,
    scaling_modifiers: Option<Modifiers>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HpaConfig {
    name: Option<String>,
    behavior: Option<Behavior>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Modifiers {
    formula: Option<String>,
    target: Option<String>,
    activation_target: Option<String>,
    metric_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Trigger {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    authentication_ref: Option<IgnoredAny>,
    metric_type: Option<String>,
    use_cached_metrics: Option<bool>,
}

/// The spec of the policy.
pub(super) fn spec(source: &mut Source<'_>) -> Result<Value, DocumentError> {
    let Object { spec } = source.parse()?;
    let Reference { api_version, kind, name, env_source_container_name } = &spec.scale_target_ref;
    if env_source_container_name.is_some() {
        source.warn("spec.scaleTargetRef.envSourceContainerName", "a policy reads no environment of containers");
    }
    let target = target(source, api_version.as_deref(), kind.as_deref().unwrap_or("Deployment"), name)?;
    let max = spec.max_replica_count.unwrap_or(MAX_REPLICAS);
    let mut made = json!({"target": target.json(), "replicas": {"min": fewest(source, &spec), "max": max}});
    warn_of_times(source, &spec);
    let advanced = spec.advanced.unwrap_or(Advanced {
        restore_to_original_replica_count: None,
        horizontal_pod_autoscaler_config: None,
        scaling_modifiers: None,
    });
    if advanced.restore_to_original_replica_count == Some(true) {
        let message = "replicas stay as they are when a policy goes";
        source.warn("spec.advanced.restoreToOriginalReplicaCount", message);
    }
    if let Some(HpaConfig { name, behavior }) = advanced.horizontal_pod_autoscaler_config {
        if name.is_some() {
            source.warn("spec.advanced.horizontalPodAutoscalerConfig.name", "there is no such object any more");
        }
        if let Some(behavior) = behavior {
            made["behavior"] = json!(behavior);
        }
    }
    if let Some(fallback) = fallback(source, spec.fallback, spec.polling_interval.unwrap_or(POLLING_SECONDS)) {
        made["fallback"] = fallback;
    }
    if let Some(mode) = mode(source) {
        made["mode"] = json!(mode);
    }
    let modifiers = advanced.scaling_modifiers.filter(|modifiers| modifiers.formula.is_some());
    made["signals"] = json!(signals(source, &target, spec.triggers, modifiers.as_ref(), max)?);
    Ok(made)
}

fn fewest(source: &mut Source<'_>, spec: &Spec) -> u32 {
    if spec.idle_replica_count.is_some() {
        source.warn("spec.idleReplicaCount", "a policy never scales to zero: minReplicaCount holds also when idle");
    }
    match spec.min_replica_count {
        Some(min) if min > 0 => min,
        _ => {
            source.warn("spec.minReplicaCount", "0, or KEDA's default 0: a policy never scales to zero, 1 is written");
            1
        }
    }
}

fn warn_of_times(source: &mut Source<'_>, spec: &Spec) {
    if let Some(seconds) = spec.polling_interval {
        let message = format!("{seconds} s are not kept: all policies are evaluated each --interval of the autoscaler");
        source.warn("spec.pollingInterval", message);
    }
    for (field, written) in
        [("cooldownPeriod", spec.cooldown_period), ("initialCooldownPeriod", spec.initial_cooldown_period)]
    {
        if written.is_some() {
            let message = "it is about scaling to zero, which a policy never does; going down waits by \
                           behavior.scaleDown.stabilizationWindowSeconds";
            source.warn(&format!("spec.{field}"), message);
        }
    }
}

/// KEDA counts failures; the policy measures how long they last.
fn fallback(source: &mut Source<'_>, fallback: Option<Fallback>, polling_seconds: u32) -> Option<Value> {
    let Fallback { failure_threshold, replicas, behavior } = fallback?;
    let field = "spec.fallback.behavior";
    match behavior.as_deref() {
        Some("currentReplicasIfHigher") => {}
        // Holding is what a policy does without a fallback.
        Some("currentReplicas") => return None,
        Some(other @ ("currentReplicasIfLower" | "scalingModifiers")) => {
            source.warn(field, format!("{other} is not kept: without readings replicas are held, and never lowered"));
            return None;
        }
        _ => source.warn(field, "the fallback only raises: replicas above it are held, not lowered to it"),
    }
    let after = u64::from(failure_threshold) * u64::from(polling_seconds);
    Some(json!({"afterMissing": format!("{after}s"), "replicas": replicas}))
}

/// What KEDA's annotations stop.
fn mode(source: &mut Source<'_>) -> Option<&'static str> {
    let annotations = source.head.metadata.annotations.clone().unwrap_or_default();
    let mut mode = None;
    for (name, value) in &annotations {
        let Some(word) = name.strip_prefix("autoscaling.keda.sh/") else { continue };
        mode = match (word, value.as_str()) {
            (_, "false") => mode,
            ("paused", _) => Some("Recommend"),
            ("paused-scale-in", _) => mode.or(Some("ScaleUpOnly")),
            ("paused-scale-out", _) => mode.or(Some("ScaleDownOnly")),
            _ => {
                source.warn(&format!("metadata.annotations.{name}"), "it has no equivalent");
                mode
            }
        };
    }
    mode
}

fn signals(
    source: &mut Source<'_>,
    target: &Target,
    triggers: Vec<Trigger>,
    modifiers: Option<&Modifiers>,
    max: u32,
) -> Result<Vec<Value>, DocumentError> {
    let (mut signals, mut queries) = (Vec::new(), Vec::new());
    for (index, trigger) in triggers.into_iter().enumerate() {
        let field = format!("spec.triggers[{index}]");
        if trigger.use_cached_metrics == Some(true) {
            source.warn(&format!("{field}.useCachedMetrics"), "every tick reads anew");
        }
        if trigger.authentication_ref.is_some() {
            let message = "all queries are asked of the autoscaler's --collector, as it is reached";
            source.warn(&format!("{field}.authenticationRef"), message);
        }
        let reading = Reading { field, trigger };
        match reading.trigger.kind.as_str() {
            "cpu" | "memory" => signals.push(reading.usage(source, target)?),
            "cron" => signals.push(reading.cron(source, max)?),
            "prometheus" if modifiers.is_some() => queries.push(reading.input(source)?),
            "prometheus" => signals.push(reading.prometheus(source)?),
            other => {
                let message = format!(
                    "{other} has no equivalent: have an exporter give its number as a metric, write a prometheus trigger \
                     over that, and import it again"
                );
                return Err(source.error(&format!("{}.type", reading.field), &message));
            }
        }
    }
    if let Some(modifiers) = modifiers {
        signals.push(expression(source, modifiers, queries)?);
    }
    Ok(signals)
}

/// A trigger and where it stands.
struct Reading {
    field: String,
    trigger: Trigger,
}

impl Reading {
    fn place(&self, key: &str) -> String {
        format!("{}.metadata.{key}", self.field)
    }

    fn required(&self, source: &Source<'_>, key: &str) -> Result<String, DocumentError> {
        let missing = || source.error(&self.place(key), "is missing: the trigger needs it");
        self.trigger.metadata.get(key).cloned().ok_or_else(missing)
    }

    fn quantity(&self, source: &Source<'_>, key: &str) -> Result<Quantity, DocumentError> {
        Quantity::parse(&self.required(source, key)?)
            .map_err(|error| source.error(&self.place(key), &error.to_string()))
    }

    /// Warns of what was not taken over.
    fn rest(&self, source: &mut Source<'_>, taken: &[&str]) {
        for (key, value) in self.trigger.metadata.iter().filter(|(key, _)| !taken.contains(&key.as_str())) {
            let why = match key.as_str() {
                "serverAddress" => "all queries are asked of the autoscaler's --collector".to_owned(),
                key if key.starts_with("activation") => {
                    "it is about scaling from zero, which a policy never does".to_owned()
                }
                "ignoreNullValues" if value == "false" => continue,
                _ => format!("{value:?} has no equivalent and is left out"),
            };
            source.warn(&self.place(key), why);
        }
    }

    fn usage(&self, source: &mut Source<'_>, target: &Target) -> Result<Value, DocumentError> {
        let Trigger { kind: resource, metadata, metric_type, .. } = &self.trigger;
        // `type` in the metadata is the older way to say it.
        let aim = metric_type.as_deref().or(metadata.get("type").map(String::as_str)).unwrap_or("Utilization");
        let container = metadata.get("containerName");
        self.rest(source, &["type", "value", "containerName"]);
        match aim {
            "Utilization" => {
                let value = self.required(source, "value")?;
                let mut utilization = json!({"resource": resource, "target": format!("{value}%")});
                if let Some(container) = container {
                    utilization["container"] = json!(container);
                }
                Ok(json!({"utilization": utilization}))
            }
            "AverageValue" => {
                let value = self.quantity(source, "value")?;
                let promql = source.usage(&self.place("value"), target, resource, container.map(String::as_str));
                Ok(json!({"query": {"name": self.name(resource), "promql": promql, "perReplica": value}}))
            }
            other => {
                let message = format!("found {other:?}, expected Utilization or AverageValue");
                Err(source.error(&format!("{}.metricType", self.field), &message))
            }
        }
    }

    fn name(&self, otherwise: &str) -> String {
        self.trigger.name.clone().unwrap_or_else(|| format!("{otherwise} used"))
    }

    /// The query, and a warning of what its emptiness means.
    fn promql(&self, source: &mut Source<'_>) -> Result<String, DocumentError> {
        let query = self.required(source, "query")?;
        if self.trigger.metadata.get("ignoreNullValues").is_none_or(|value| value != "false") {
            let message =
                "an empty result is no data here and never lowers, where KEDA takes it as 0 unless this is false";
            source.warn(&self.place("ignoreNullValues"), message);
        }
        self.rest(source, &["query", "threshold", "ignoreNullValues"]);
        Ok(query)
    }

    fn prometheus(&self, source: &mut Source<'_>) -> Result<Value, DocumentError> {
        let promql = self.promql(source)?;
        let threshold = self.quantity(source, "threshold")?;
        let key = target_key(source, &format!("{}.metricType", self.field), self.trigger.metric_type.as_deref())?;
        let mut query = json!({"promql": promql, key: threshold});
        if let Some(name) = &self.trigger.name {
            query["name"] = json!(name);
        }
        Ok(json!({"query": query}))
    }

    /// What a formula computes with: its threshold does not count there.
    fn input(&self, source: &mut Source<'_>) -> Result<(String, Value, String), DocumentError> {
        let promql = self.promql(source)?;
        let Some(name) = &self.trigger.name else {
            let message =
                "is missing: without one the formula cannot use it, and nothing else does; name or remove the trigger";
            return Err(source.error(&format!("{}.name", self.field), message));
        };
        Ok((name.clone(), json!({"name": name, "promql": promql}), self.field.clone()))
    }

    fn cron(&self, source: &mut Source<'_>, max: u32) -> Result<Value, DocumentError> {
        let [timezone, start, end, replicas] = ["timezone", "start", "end", "desiredReplicas"];
        self.rest(source, &[timezone, start, end, replicas]);
        let (zone, cron) = (self.required(source, timezone)?, self.required(source, start)?);
        let Window { lasts, changed_on } = window(&cron, &self.required(source, end)?, &zone)
            .map_err(|(key, message)| source.error(&self.place(key), &message))?;
        if let Some(day) = changed_on {
            let message = format!(
                "a window always lasts as long: where the clock is changed within one, as on {day}, it ends that much earlier or later"
            );
            source.warn(&self.place(end), message);
        }
        let written = self.required(source, replicas)?;
        let Ok(mut asked) = written.parse::<u32>() else {
            let message = format!("found {written:?}, expected a number of replicas");
            return Err(source.error(&self.place(replicas), &message));
        };
        if asked > max {
            source.warn(&self.place(replicas), format!("{asked} is above maxReplicaCount, {max} is written"));
            asked = max;
        }
        let lasts = protocol::duration::Display(lasts).to_string();
        let mut schedule = json!({"cron": cron, "timezone": zone, "replicas": asked, "for": lasts});
        if let Some(name) = &self.trigger.name {
            schedule["name"] = json!(name);
        }
        Ok(json!({"schedule": schedule}))
    }
}

fn target_key(source: &Source<'_>, field: &str, metric_type: Option<&str>) -> Result<&'static str, DocumentError> {
    match metric_type.unwrap_or("AverageValue") {
        "AverageValue" => Ok("perReplica"),
        "Value" => Ok("target"),
        other => Err(source.error(field, &format!("found {other:?}, expected AverageValue or Value"))),
    }
}

/// The formula over the triggers that it names; the others count for nothing, as with KEDA.
fn expression(
    source: &mut Source<'_>,
    modifiers: &Modifiers,
    queries: Vec<(String, Value, String)>,
) -> Result<Value, DocumentError> {
    let field = "spec.advanced.scalingModifiers";
    let formula = modifiers.formula.clone().unwrap_or_default();
    let names: Vec<&str> = formula.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let (used, others): (Vec<_>, Vec<_>) = queries.into_iter().partition(|(name, ..)| names.contains(&name.as_str()));
    for (name, _, place) in others {
        source.warn(&place, format!("{name} is not in the formula, so that it has never counted, and is left out"));
    }
    if modifiers.activation_target.is_some() {
        let message = "it is about scaling from zero, which a policy never does";
        source.warn(&format!("{field}.activationTarget"), message);
    }
    let inputs: Vec<_> = used.iter().map(|(name, ..)| (name.clone(), None)).collect();
    if let Err(error) = crate::policy::formula::Formula::parse(&formula, &inputs, None) {
        let message = format!("{error}; only prometheus triggers can be in it, and cron becomes a signal of its own");
        return Err(source.error(&format!("{field}.formula"), &message));
    }
    let key = target_key(source, &format!("{field}.metricType"), modifiers.metric_type.as_deref())?;
    let target = modifiers.target.clone().unwrap_or_default();
    let target =
        Quantity::parse(&target).map_err(|error| source.error(&format!("{field}.target"), &error.to_string()))?;
    let queries: Vec<Value> = used.into_iter().map(|(_, query, _)| query).collect();
    Ok(json!({"expression": {"formula": formula, "queries": queries, key: target}}))
}
