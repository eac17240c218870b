//! Containers' resources under the real binary: a policy sizes them, the local runtime resizes them in place, the collector tells, and
//! `plimsoll policy explain` says why.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use protocol::scaling::{ScalingClient, WorkloadStatus};

use super::process::{Demo, PLIMSOLL, query, turn, vector, wait_until};

const POLICY: &str = "apiVersion: plimsoll.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: order, namespace: shop}
spec:
  target: {kind: Deployment, name: order}
  replicas: {min: 1, max: 2}
  signals: [{utilization: {resource: cpu, target: 65%}}]
  resources: {cpu: {min: 150m, max: 1}, memory: {min: 96Mi, max: 256Mi}}
";

/// The shop with this one policy.
fn shop(folder: &Path) {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s/shop/base");
    for name in ["base", "policies"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    for file in fs::read_dir(base).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), folder.join("base").join(file.file_name())).unwrap();
    }
    fs::write(folder.join("policies/order.yaml"), POLICY).unwrap();
}

fn order(autoscaler: &str) -> Option<WorkloadStatus> {
    let client = ScalingClient::new(autoscaler.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let all = runtime.block_on(client.workloads()).unwrap();
    all.into_iter().find(|status| status.workload.name == "order")
}

#[test]
fn a_policy_resizes_containers_in_place_and_says_why() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path());
    let manifests = folder.path().to_str().unwrap();
    let demo = Demo::start(&["--seconds", "90", "--profile", "steady", "--rate", "4", "--manifests", manifests]);
    wait_until("order has other resources", Duration::from_secs(30), || {
        order(&demo.autoscaler).is_some_and(|order| {
            let has = |replica: &protocol::scaling::ReplicaStatus| {
                let given = &replica.resources[0];
                // Limits keep their ratio: 250m of 100m, 128Mi of 48Mi.
                (given.cpu_request.as_str(), given.cpu_limit.as_str()) == ("150m", "375m")
                    && (given.memory_request.as_str(), given.memory_limit.as_str()) == ("96Mi", "256Mi")
            };
            order.replicas.iter().all(|replica| has(replica) && replica.restarts == 0)
        })
    });
    let requests = "kube_pod_container_resource_requests{container=\"order\", resource=\"memory\"}";
    wait_until("the collector tells", Duration::from_secs(10), || {
        vector(query(&demo.collector, requests, None), "container").get("order") == Some(&100_663_296.0)
    });
    wait_until("the next decision says why", Duration::from_secs(10), || {
        let explain = ["policy", "explain", "order", "--autoscaler", &demo.autoscaler];
        let output = Command::new(PLIMSOLL).args(explain).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let words = ["\n  cpu of order stays at 150m: ", "\n  memory of order stays at 96Mi: "];
        output.status.success() && words.iter().all(|words| said.contains(words))
    });
    let failures = "plimsoll_autoscaler_failures_total{during=~\"metrics|write\"} > 0";
    let failed = vector(query(&demo.collector, failures, None), "during");
    assert!(failed.is_empty(), "{failed:?}");
}
