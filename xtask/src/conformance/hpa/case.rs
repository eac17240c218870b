//! The objects that cases share, as the planner's values: pods, readings, behaviours, and the names of errors.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use autoscaler::planner::Gap;
use autoscaler::planner::observation::{
    ContainerRequest, Phase, Pod, PodSample, ReadyCondition, Requests, ResourceRequest, Startup,
};
use autoscaler::planner::replicas::{Fleet, Proposal, for_average, for_share, for_total, for_utilization};
use autoscaler::policy::{self, Policy, Resource, Tolerance};
use serde_json::{Value, json};

/// The frozen "now" of every case, in milliseconds.
pub const NOW_MS: i64 = 1_000_000_000_000;

/// So many seconds before now.
pub fn ago(seconds: &Value) -> i64 {
    NOW_MS - int(seconds) * 1000
}

/// An integer; absent is 0.
pub fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// A number of replicas or percent.
pub fn int32(value: &Value) -> i32 {
    i32::try_from(int(value)).unwrap_or(i32::MAX)
}

/// The elements of a list; absent is empty.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// All pods of a case.
pub fn pods(value: &Value) -> Vec<Pod> {
    list(value).iter().map(pod).collect()
}

fn pod(value: &Value) -> Pod {
    let phase = match value["phase"].as_str() {
        Some("Pending") => Phase::Pending,
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        _ => Phase::Unknown,
    };
    let ready = value["ready_condition"].as_object().map(|condition| ReadyCondition {
        status: match condition["status"].as_str() {
            Some("True") => Some(true),
            Some("False") => Some(false),
            _ => None,
        },
        changed_ms: ago(&condition["last_transition_seconds_ago"]),
    });
    let sidecars = list(&value["init_containers"]).iter().filter(|c| c["restart_policy"] == "Always");
    let whole = ResourceRequest {
        cpu: value["pod_level_cpu_request_millis"].as_i64(),
        memory: value["pod_level_memory_request_bytes"].as_i64().map(|bytes| bytes * 1000),
    };
    Pod {
        name: text(&value["name"]),
        phase,
        terminating: value["deletion_timestamp_set"] == true,
        started_ms: value["start_seconds_ago"].as_i64().map(|seconds| NOW_MS - seconds * 1000),
        ready,
        requests: Requests {
            containers: list(&value["containers"]).iter().chain(sidecars).map(container).collect(),
            pod: (whole != ResourceRequest::default()).then_some(whole),
        },
    }
}

fn container(value: &Value) -> ContainerRequest {
    ContainerRequest {
        name: text(&value["name"]),
        request: ResourceRequest {
            cpu: value["cpu_request_millis"].as_i64(),
            memory: value["memory_request_bytes"].as_i64().map(|bytes| bytes * 1000),
        },
    }
}

/// What a metric reads, from the case or from the metric itself.
pub struct Metric<'a> {
    /// The object with the target and, for custom metrics, the data.
    pub spec: &'a Value,
    /// The object with the pods' resource metrics.
    pub resources: &'a Value,
    /// Whether the API call failed.
    pub failed: bool,
}

impl Metric<'_> {
    fn resource(&self) -> anyhow::Result<Resource> {
        match self.spec["resource"].as_str() {
            Some("cpu") => Ok(Resource::Cpu),
            Some("memory") => Ok(Resource::Memory),
            other => Err(anyhow!("unknown resource {other:?}")),
        }
    }

    /// The usage of each pod as the resource metrics API is read: of all containers, or of one.
    fn usage(&self, resource: Resource) -> Result<Vec<PodSample>, Gap> {
        let items = list(self.resources);
        if self.failed {
            return Err(Gap::Source("the API failed".to_owned()));
        }
        if items.is_empty() {
            return Err(Gap::Empty);
        }
        let only = self.spec["container"].as_str();
        let sample = |item: &Value| {
            let wanted = list(&item["containers"]).iter().filter(|c| only.is_none_or(|name| c["name"] == name));
            let amounts: Option<Vec<i64>> = wanted
                .map(|c| match resource {
                    Resource::Cpu => c["cpu_usage_millis"].as_i64(),
                    Resource::Memory => c["memory_usage_bytes"].as_i64().map(|bytes| bytes.wrapping_mul(1000)),
                })
                .collect();
            let amounts = amounts.filter(|a| !a.is_empty())?;
            Some(PodSample {
                pod: text(&item["pod"]),
                millis: amounts.iter().fold(0, |sum: i64, amount| sum.wrapping_add(*amount)),
                at_ms: ago(&item["timestamp_seconds_ago"]),
                window: Duration::from_secs(item["window_seconds"].as_u64().unwrap_or(0)),
            })
        };
        Ok(items.iter().filter_map(sample).collect())
    }

    fn per_pod(&self) -> Result<Vec<PodSample>, Gap> {
        let items = list(&self.spec["pod_metric_values"]);
        if self.failed {
            return Err(Gap::Source("the API failed".to_owned()));
        }
        if items.is_empty() {
            return Err(Gap::Empty);
        }
        let sample = |item: &Value| PodSample {
            pod: text(&item["pod"]),
            millis: int(&item["value_millis"]),
            at_ms: NOW_MS,
            window: Duration::ZERO,
        };
        Ok(items.iter().map(sample).collect())
    }

    fn total(&self) -> Result<i64, Gap> {
        if self.failed {
            return Err(Gap::Source("the API failed".to_owned()));
        }
        if let Some(value) = self.spec["object_value_millis"].as_i64() {
            return Ok(value);
        }
        let values = list(&self.spec["external_values_millis"]);
        if values.is_empty() {
            return Err(Gap::Empty);
        }
        Ok(values.iter().fold(0, |sum: i64, value| sum.wrapping_add(int(value))))
    }

    /// `GetResourceReplicas`.
    pub fn by_utilization(&self, pods: &[Pod], percent: i32, current: i32, tolerance: Tolerance) -> Outcome {
        let resource = self.resource()?;
        let container = self.spec["container"].as_str();
        Ok(self.usage(resource).and_then(|samples| {
            for_utilization(fleet(pods, &samples), resource, container, percent, current, tolerance)
        }))
    }

    /// `GetRawResourceReplicas`.
    pub fn by_raw_resource(&self, pods: &[Pod], target: i64, current: i32, tolerance: Tolerance) -> Outcome {
        let resource = self.resource()?;
        Ok(self
            .usage(resource)
            .and_then(|samples| for_average(fleet(pods, &samples), Some(resource), target, current, tolerance)))
    }

    /// `GetMetricReplicas`.
    pub fn by_pods(&self, pods: &[Pod], target: i64, current: i32, tolerance: Tolerance) -> Outcome {
        Ok(self.per_pod().and_then(|samples| for_average(fleet(pods, &samples), None, target, current, tolerance)))
    }

    /// `GetObjectMetricReplicas` and `GetExternalMetricReplicas`.
    pub fn by_total(&self, pods: &[Pod], target: i64, current: i32, tolerance: Tolerance) -> Outcome {
        Ok(self.total().and_then(|total| for_total(total, target, pods, current, tolerance)))
    }

    /// `GetObjectPerPodMetricReplicas` and `GetExternalPerPodMetricReplicas`.
    pub fn by_share(&self, target: i64, current: i32, tolerance: Tolerance) -> Outcome {
        Ok(self.total().map(|total| for_share(total, target, current, tolerance)))
    }
}

/// What a calculation gave, if the case could be read.
pub type Outcome = anyhow::Result<Result<Proposal, Gap>>;

fn fleet<'a>(pods: &'a [Pod], samples: &'a [PodSample]) -> Fleet<'a> {
    Fleet { pods, samples, now_ms: NOW_MS, startup: Startup::default() }
}

/// The suite's name of an error; null for none.
pub fn error_class(result: &Result<Proposal, Gap>) -> Value {
    match result {
        Ok(_) => Value::Null,
        Err(gap) => json!(match gap {
            Gap::Source(_) => "metrics_api_error",
            Gap::Empty => "metrics_api_empty",
            Gap::NoPods => "no_pods",
            Gap::NoUsableSample => "no_usable_pod_metrics",
            Gap::MissingRequest { .. } => "missing_request",
            Gap::MissingPodRequest { .. } => "missing_pod_level_request",
            Gap::NoSuchContainer { .. } => "container_not_found",
            Gap::ZeroRequests => "zero_requests",
            _ => "another",
        }),
    }
}

/// A policy whose behaviour is the case's, read by the policy loader itself.
pub fn policy_with(behavior: &Value) -> anyhow::Result<Policy> {
    let rules = |value: &Value| -> Value {
        let mut rules = serde_json::Map::new();
        let names = [
            ("stabilization_window_seconds", "stabilizationWindowSeconds"),
            ("select_policy", "selectPolicy"),
            ("tolerance_quantity", "tolerance"),
        ];
        for (theirs, ours) in names {
            if !value[theirs].is_null() {
                rules.insert(ours.to_owned(), value[theirs].clone());
            }
        }
        if let Some(policies) = value["policies"].as_array() {
            let rate =
                |p: &Value| json!({"type": p["type"], "value": p["value"], "periodSeconds": p["period_seconds"]});
            rules.insert("policies".to_owned(), policies.iter().map(rate).collect());
        }
        Value::Object(rules)
    };
    let mut spec = json!({"target": {"kind": "Deployment", "name": "case"}, "replicas": {"max": 1}});
    if let Some(both) = behavior.as_object() {
        let mut written = serde_json::Map::new();
        for (theirs, ours) in [("scale_up", "scaleUp"), ("scale_down", "scaleDown")] {
            if let Some(value) = both.get(theirs).filter(|v| !v.is_null()) {
                written.insert(ours.to_owned(), rules(value));
            }
        }
        spec["behavior"] = Value::Object(written);
    }
    let document = json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": "case"}, "spec": spec,
    });
    let documents = protocol::yaml::split(Path::new("case"), &document.to_string());
    let policies = policy::from_documents(documents)?;
    policies.iter().next().cloned().context("the case's behaviour makes no policy")
}
