//! OpenTelemetry's SDK for Python exports to ours by HTTP and gRPC: the series are those of `tests/otlp/series.txt`, and those of a real
//! Prometheus. Needs `OTEL_PYTHON=/path/to/python` (with `opentelemetry-sdk` and the `otlp` exporters), and for the comparison
//! `PROMETHEUS=/path/to/prometheus`, one that was built with OTLP; without, it says so.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::prometheus::Prometheus;
use crate::running::Running;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/otlp/export.py");

/// What an export becomes: a series and its value a line.
const SERIES: &str = include_str!("../otlp/series.txt");

const CONFIG: &str = "otlp: { promote_resource_attributes: [k8s.pod.name] }\n";

async fn export(python: &str, protocol: &str, endpoint: &str, instance: &str) {
    let exporting = Command::new(python).args([SCRIPT, protocol, endpoint, instance]).output();
    let output = exporting.await.unwrap_or_else(|error| panic!("{python}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("ERROR") && !said.contains("Failed"), "{endpoint}: {said}");
}

/// Values by series, of one instance; histograms with their buckets.
async fn series(address: &str, instance: &str) -> BTreeMap<String, String> {
    let url = format!("http://{address}/api/v1/query?query=%7Binstance%3D%22{instance}%22%7D");
    let answer: Value = serde_json::from_str(&reqwest::get(url).await.unwrap().text().await.unwrap()).unwrap();
    let found = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let one = |one: &Value| {
        let mut labels = one["metric"].clone();
        labels.as_object_mut().unwrap().remove("instance");
        let value = if one["value"].is_array() { &one["value"][1] } else { &one["histogram"][1] };
        (labels.to_string(), value.to_string())
    };
    found.iter().map(one).collect()
}

/// Waits for as many series as are expected.
async fn settled(address: &str, instance: &str, count: usize) -> BTreeMap<String, String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = series(address, instance).await;
        if found.len() >= count || Instant::now() > deadline {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn assert_same(found: &BTreeMap<String, String>, expected: &BTreeMap<String, String>, whose: &str) {
    let differs: Vec<_> = expected.iter().filter(|(series, value)| found.get(*series) != Some(value)).collect();
    let more: Vec<_> = found.iter().filter(|(series, _)| !expected.contains_key(*series)).collect();
    assert!(differs.is_empty() && more.is_empty(), "{whose}: other or missing {differs:#?}\nnot expected {more:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sdk_leaves_the_same_series_by_every_way() {
    let Ok(python) = std::env::var("OTEL_PYTHON") else {
        eprintln!("SKIPPED: OTEL_PYTHON=/path/to/python is not set, no SDK exported anything");
        return;
    };
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let ours = Running::start_with(&mut tasks, folder.path(), CONFIG, |options| options.receive_metrics = true).await;
    let (http, otlp_http, grpc) = (ours.endpoints.http, ours.endpoints.otlp_http, ours.endpoints.otlp_grpc);
    export(&python, "grpc", &grpc.to_string(), "one").await;
    export(&python, "http", &format!("http://{otlp_http}/v1/metrics"), "two").await;
    export(&python, "http", &format!("http://{http}/api/v1/otlp/v1/metrics"), "three").await;
    let lines = SERIES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let expected: BTreeMap<String, String> =
        lines.map(|line| line.split_once(" = ").unwrap()).map(|(s, v)| (s.to_owned(), v.to_owned())).collect();
    for instance in ["one", "two", "three"] {
        assert_same(&settled(&http.to_string(), instance, expected.len()).await, &expected, instance);
    }

    let receiving = ["--web.enable-otlp-receiver"];
    let Some(prometheus) = Prometheus::start_with(&folder.path().join("prometheus"), CONFIG, &receiving) else {
        return;
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reqwest::get(format!("http://{}/-/ready", prometheus.address)).await.is_ok_and(|r| r.status() == 200) {
        if Instant::now() > deadline {
            eprintln!("SKIPPED: this Prometheus takes no OTLP (no --web.enable-otlp-receiver), nothing was compared");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    export(&python, "http", &format!("http://{}/api/v1/otlp/v1/metrics", prometheus.address), "one").await;
    assert_same(&settled(&prometheus.address, "one", expected.len()).await, &expected, "Prometheus");
    println!("{} series of an SDK are the same in Prometheus", expected.len());
}

#[tokio::test]
async fn metrics_are_refused_by_name_unless_they_may_come_in() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let ours = Running::start(&mut tasks, folder.path(), "").await;
    for path in ["/api/v1/otlp/v1/metrics", "/api/v1/write"] {
        let (status, body) = ours.post(path).await;
        assert_eq!((status.as_u16(), body.contains("--receive-metrics")), (404, true), "{path}: {body}");
    }
}

#[tokio::test]
async fn a_request_as_json_is_stored_and_what_is_not_is_said() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let ours = Running::start_with(&mut tasks, folder.path(), "", |options| options.receive_metrics = true).await;
    let now_ns = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let sum = |name: &str, temporality: u8| {
        let point = format!("{{\"asInt\":\"3\",\"timeUnixNano\":\"{now_ns}\"}}");
        format!(
            "{{\"name\":{name:?},\"sum\":{{\"dataPoints\":[{point}],\"aggregationTemporality\":{temporality},\"isMonotonic\":true}}}}"
        )
    };
    let metrics = format!("{},{}", sum("orders", 2), sum("delta", 1));
    let body = format!("{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{metrics}]}}]}}]}}");
    let url = format!("http://{}/v1/metrics", ours.endpoints.otlp_http);
    let request = reqwest::Client::new().post(url).header("content-type", "application/json").body(body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedDataPoints"], "1");
    assert!(answer["partialSuccess"]["errorMessage"].as_str().unwrap().contains("delta temporality"), "{answer}");
    ours.becomes("orders_total", 3.0).await;
    let metrics = ours.get("/metrics").await.1;
    let counted = "plimsoll_collector_otlp_data_points_refused_total{reason=\"delta_temporality\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}
