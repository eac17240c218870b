//! `metrics.jsonl`: several metrics made into one wish, then one whole reconcile.

use anyhow::bail;
use autoscaler::planner::combine::{Combined, combine};
use autoscaler::planner::history::History;
use autoscaler::planner::limits::limit;
use autoscaler::planner::observation::Pod;
use autoscaler::planner::replicas::Proposal;
use autoscaler::planner::{Gap, Reason, beyond};
use autoscaler::policy::{Policy, Tolerance};
use serde_json::{Map, Value, json};

use super::behavior::{able_to_scale, bounds, recommendations, scaling_limited};
use super::case::{Metric, NOW_MS, Outcome, error_class, int, int32, list, pods, policy_with};
use super::{Verdict, compare};

/// Runs one line.
pub fn run(case: &Value) -> Verdict {
    let policy = policy_with(&case["behavior"])?;
    let pods = pods(&case["pods"]);
    let proposals = list(&case["metrics"])
        .iter()
        .map(|metric| propose(case, metric, &pods, policy.tolerance()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    // Without a selector Kubernetes does not look at metrics at all.
    let selected = case["selector"].is_null();
    let combined = if selected {
        combine(&proposals, int32(&case["spec_replicas"]))
    } else {
        Combined { replicas: None, winner: None, first_gap: None }
    };
    let mut differences = Vec::new();
    compute(&mut differences, case, &proposals, &combined, selected);
    reconcile(&mut differences, case, &policy, &combined, selected);
    Ok(differences)
}

fn propose(case: &Value, metric: &Value, pods: &[Pod], tolerance: Tolerance) -> Outcome {
    let kind = metric["type"].as_str().unwrap_or_default();
    let failed =
        if kind.ends_with("Resource") { &case["resource_metrics_api_error"] } else { &metric["metrics_api_error"] };
    let read = Metric { spec: metric, resources: &case["pod_metrics"], failed: failed == true };
    let (spec, status) = (int32(&case["spec_replicas"]), int32(&case["status_replicas"]));
    let (percent, average) = (&metric["target_average_utilization_percent"], &metric["target_average_value_millis"]);
    match kind {
        "Resource" | "ContainerResource" if !percent.is_null() => {
            read.by_utilization(pods, int32(percent), spec, tolerance)
        }
        "Resource" | "ContainerResource" => read.by_raw_resource(pods, int(average), spec, tolerance),
        "Pods" => read.by_pods(pods, int(average), spec, tolerance),
        "Object" | "External" if !average.is_null() => read.by_share(int(average), status, tolerance),
        "Object" | "External" => read.by_total(pods, int(&metric["target_value_millis"]), spec, tolerance),
        other => bail!("unknown type of metric {other}"),
    }
}

/// Compares with `computeReplicasForMetrics`.
fn compute(
    differences: &mut Vec<String>,
    case: &Value,
    proposals: &[Result<Proposal, Gap>],
    combined: &Combined,
    selected: bool,
) {
    let expect = &case["expect"]["compute"];
    compare(differences, "compute.replicas", &json!(combined.replicas.unwrap_or(-1)), &expect["replicas"]);
    let winner = combined.winner.filter(|_| combined.replicas.is_some());
    let description = winner.map_or_else(String::new, |w| describe(&case["metrics"][w]));
    compare(differences, "compute.metric_description", &json!(description), &expect["metric_description"]);
    let (mut replicas, mut errors, mut current) = (Value::Null, Value::Null, Value::Null);
    if selected {
        replicas = proposals.iter().map(|p| json!(p.as_ref().ok().map(|p| p.replicas))).collect();
        errors = proposals.iter().map(error_class).collect();
        let metrics = list(&case["metrics"]).iter().zip(proposals);
        current = metrics.map(|(metric, p)| p.as_ref().map_or(Value::Null, |p| reading(metric, p))).collect();
    }
    compare(differences, "compute.replicas_per_metric", &replicas, &expect["replicas_per_metric"]);
    compare(differences, "compute.error_class_per_metric", &errors, &expect["error_class_per_metric"]);
    compare(differences, "compute.current_metrics", &current, &expect["current_metrics"]);
    let (status, reason) = scaling_active(case, combined, selected);
    compare(differences, "compute.condition.status", &json!(status), &expect["condition"]["status"]);
    compare(differences, "compute.condition.reason", &json!(reason), &expect["condition"]["reason"]);
}

/// Kubernetes' words for a metric, its slips included: an object's average is called external, and a container's plain
/// value is called the pod's.
fn describe(metric: &Value) -> String {
    let text = |field: &str| metric[field].as_str().unwrap_or_default().to_owned();
    let share = if metric["target_average_utilization_percent"].is_null() {
        ""
    } else {
        " utilization (percentage of request)"
    };
    match metric["type"].as_str().unwrap_or_default() {
        "Resource" => format!("{} resource{share}", text("resource")),
        "ContainerResource" if share.is_empty() => format!("{} resource", text("resource")),
        "ContainerResource" => format!("{} container resource{share}", text("resource")),
        "Pods" => format!("pods metric {}", text("metric_name")),
        "Object" if !metric["target_value_millis"].is_null() => format!("Service metric {}", text("metric_name")),
        _ => format!("external metric {}(nil)", text("metric_name")),
    }
}

/// The metric's own status: the values as HPA shows them.
fn reading(metric: &Value, proposal: &Proposal) -> Value {
    if !metric["target_average_utilization_percent"].is_null() {
        return json!({
            "average_utilization_percent": proposal.value, "average_value_millis": proposal.average_millis,
        });
    }
    let field = if metric["target_value_millis"].is_null() { "average_value_millis" } else { "value_millis" };
    json!({ field: proposal.average_millis })
}

/// Status and reason of Kubernetes' condition ScalingActive.
fn scaling_active(case: &Value, combined: &Combined, selected: bool) -> (&'static str, String) {
    if !selected {
        return ("False", "InvalidSelector".to_owned());
    }
    match (combined.replicas, combined.first_gap) {
        (None, Some(gap)) => {
            let kind = case["metrics"][gap]["type"].as_str().unwrap_or_default();
            ("False", format!("FailedGet{kind}Metric"))
        }
        _ => ("True", "ValidMetricFound".to_owned()),
    }
}

/// Compares with `reconcileAutoscaler` on a fresh status.
fn reconcile(differences: &mut Vec<String>, case: &Value, policy: &Policy, combined: &Combined, selected: bool) {
    let bounds = bounds(case);
    let current = int32(&case["spec_replicas"]);
    let history = if case["prior_recommendations"].is_null() {
        History::begin(NOW_MS, current)
    } else {
        History { recommendations: recommendations(&case["prior_recommendations"]), ..History::default() }
    };
    let mut conditions = Conditions::default();
    let mut failed = false;
    let desired;
    let mut because = String::new();
    if current == 0 && bounds.min != 0 {
        conditions.set("ScalingActive", "False", "ScalingDisabled");
        desired = Some(0);
    } else if let Some((bound, reason)) = beyond(bounds, current) {
        desired = Some(bound);
        because = match reason {
            Reason::AboveMaximum => "Current number of replicas above Spec.MaxReplicas".to_owned(),
            _ => "Current number of replicas below Spec.MinReplicas".to_owned(),
        };
    } else {
        let (status, reason) = scaling_active(case, combined, selected);
        conditions.set("ScalingActive", status, &reason);
        failed = combined.first_gap.is_some() || !selected;
        desired = combined.replicas.map(|wish| {
            let winner = combined.winner.map(|w| describe(&case["metrics"][w])).unwrap_or_default();
            if wish > current {
                because = format!("{winner} above target");
            } else if wish < current {
                because = "All metrics below target".to_owned();
            }
            let limited = limit(policy.behavior.as_ref(), bounds, current, wish, &history, NOW_MS);
            conditions.set("AbleToScale", "True", able_to_scale(&limited));
            let is_limited = if limited.limit.is_some() { "True" } else { "False" };
            conditions.set("ScalingLimited", is_limited, scaling_limited(&limited));
            limited.replicas
        });
    }
    let written = desired.filter(|desired| *desired != current);
    if written.is_some() {
        conditions.set("AbleToScale", "True", "SucceededRescale");
    }
    let event = written.map(|to| format!("New size: {to}; reason: {because}"));
    let expect = &case["expect"]["reconcile"];
    compare(differences, "reconcile.scale_updated_to", &json!(written), &expect["scale_updated_to"]);
    compare(differences, "reconcile.rescale_event", &json!(event), &expect["rescale_event"]);
    compare(
        differences,
        "reconcile.status_desired_replicas",
        &json!(desired.unwrap_or(0)),
        &expect["status_desired_replicas"],
    );
    compare(differences, "reconcile.returns_error", &json!(failed), &expect["returns_error"]);
    conditions.compare(differences, &expect["conditions"]);
}

/// Kubernetes' conditions by type.
struct Conditions(Map<String, Value>);

impl Default for Conditions {
    fn default() -> Self {
        let mut conditions = Self(Map::new());
        conditions.set("AbleToScale", "True", "SucceededGetScale");
        conditions
    }
}

impl Conditions {
    fn set(&mut self, kind: &str, status: &str, reason: &str) {
        self.0.insert(kind.to_owned(), json!({ "status": status, "reason": reason }));
    }

    fn compare(&self, differences: &mut Vec<String>, expected: &Value) {
        let named = |c: &Value| {
            let kind = c["type"].as_str().unwrap_or_default().to_owned();
            (kind, json!({ "status": c["status"], "reason": c["reason"] }))
        };
        let expected: Map<String, Value> = list(expected).iter().map(named).collect();
        compare(differences, "reconcile.conditions", &Value::Object(self.0.clone()), &Value::Object(expected));
    }
}
