//! The runtime API: discovery, metrics, workloads, events, readiness.

use std::time::Duration;

use cluster::{Cluster, Replicas, Workload};
use serde::Deserialize;
use serde_json::Value;

use crate::harness::{FIXTURE, Running, eventually, fetch, reference};

#[derive(Deserialize)]
struct Workloads {
    workloads: Vec<Workload>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_replica_is_a_target_with_the_labels_of_a_pod() {
    let running = Running::start_ready(FIXTURE).await;
    let groups: Vec<Value> = serde_json::from_str(&running.api("/sd/admin").await).unwrap();
    let addresses = running.cluster.pod_addresses("front", "admin");
    assert_eq!((groups.len(), addresses.len()), (2, 2));
    for (group, address) in groups.iter().zip(&addresses) {
        assert_eq!(group["targets"], serde_json::json!([address.to_string()]));
        for (label, expected) in [
            ("namespace", "default".to_owned()),
            ("pod_ip", address.ip().to_string()),
            ("pod_ready", "true".to_owned()),
            ("pod_container_name", "front".to_owned()),
            ("pod_container_port_name", "admin".to_owned()),
            ("pod_label_app_kubernetes_io_name", "front".to_owned()),
        ] {
            assert_eq!(group["labels"][format!("__meta_kubernetes_{label}")], expected.as_str(), "{label}");
        }
        assert!(group["labels"]["__meta_kubernetes_pod_name"].as_str().unwrap().starts_with("front-"));
    }
    let all: Vec<Value> = serde_json::from_str(&running.api("/sd/http").await).unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(running.api("/sd/nothing").await, "[]");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn says_how_many_are_asked_for_and_ready() {
    let running = Running::start(FIXTURE).await;
    let ready = format!("http://{}/readyz", running.cluster.endpoints().api);
    eventually("ready", Duration::from_secs(10), || async { fetch(&ready).await.0 == 200 }).await;
    running.cluster.set_replicas(&reference("front"), Replicas(1)).await.unwrap();
    assert_eq!(running.workload("front").await.desired, Replicas(1), "what was answered can be seen");
    eventually("one left", Duration::from_secs(5), || async { running.replicas("front").await.len() == 1 }).await;
    let metrics = running.api("/metrics").await;
    for line in [
        r#"kube_deployment_spec_replicas{namespace="default",deployment="front"} 1"#,
        r#"kube_deployment_status_replicas_ready{namespace="default",deployment="front"} 1"#,
        r#",container="back",deployment="back"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line} is missing from:\n{metrics}");
    }
    let answer: Workloads = serde_json::from_str(&running.api("/api/v1/workloads").await).unwrap();
    assert_eq!(answer.workloads, running.cluster.workloads().await.unwrap());
    let events: Vec<cluster::Event> = serde_json::from_str(&running.api("/api/v1/events?limit=3").await).unwrap();
    assert!(events.iter().any(|event| event.message == "scaled down from 2 to 1"), "{events:?}");
    running.stop().await;
}
