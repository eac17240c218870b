//! `replicas.jsonl`: one call of the replica calculator a line.

use anyhow::bail;
use autoscaler::policy::Tolerance;
use serde_json::{Value, json};

use super::case::{Metric, error_class, int, int32, pods};
use super::{Verdict, compare};

/// Runs one line.
pub fn run(case: &Value) -> Verdict {
    let pods = pods(&case["pods"]);
    let current = int32(&case["current_replicas"]);
    let tolerance = Tolerance {
        up: case["tolerance"]["scale_up"].as_f64().unwrap_or(0.0),
        down: case["tolerance"]["scale_down"].as_f64().unwrap_or(0.0),
    };
    let failed = case["metrics_api_error"] == true;
    let metric = Metric { spec: case, resources: &case["pod_metrics"], failed };
    let (percent, usage) = (int32(&case["target_utilization_percent"]), int(&case["target_usage_millis"]));
    let method = case["method"].as_str().unwrap_or_default();
    let result = match method {
        "GetResourceReplicas" => metric.by_utilization(&pods, percent, current, tolerance),
        "GetRawResourceReplicas" => metric.by_raw_resource(&pods, usage, current, tolerance),
        "GetMetricReplicas" => metric.by_pods(&pods, usage, current, tolerance),
        "GetObjectMetricReplicas" | "GetExternalMetricReplicas" => metric.by_total(&pods, usage, current, tolerance),
        "GetObjectPerPodMetricReplicas" | "GetExternalPerPodMetricReplicas" => {
            metric.by_share(usage, current, tolerance)
        }
        other => bail!("unknown method {other}"),
    }?;

    let expect = &case["expect"];
    let mut differences = Vec::new();
    compare(&mut differences, "error", &error_class(&result), &expect["error_class"]);
    let proposal = result.ok();
    let replicas = json!(proposal.as_ref().map_or(0, |p| p.replicas));
    compare(&mut differences, "replicas", &replicas, &expect["replicas"]);
    // The average over no replicas at all is undefined; Kubernetes' number then is an accident of the processor.
    let undefined = method.contains("PerPod") && current == 0;
    let usage = proposal.as_ref().filter(|_| !undefined).map(|p| p.average_millis);
    compare(&mut differences, "usage", &json!(usage), &expect["usage_millis"]);
    if method == "GetResourceReplicas" {
        let percent = proposal.as_ref().map(|p| p.value);
        compare(&mut differences, "utilization", &json!(percent), &expect["utilization_percent"]);
    }
    Ok(differences)
}
