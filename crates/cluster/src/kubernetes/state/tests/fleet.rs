//! How much a large cluster takes: Deployments with two revisions and two pods each, as an API server writes them. `PLIMSOLL_FLEET`
//! says how many Deployments, when there are to be more.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::WorkloadKind;
use crate::kubernetes::state::State;
use crate::kubernetes::wire::{Deployed, Meta, Pod};

/// Far fewer than the 5,000 that are aimed for, as the objects take longer to make than to keep.
const WORKLOADS: usize = 200;

/// This process' memory in MiB.
fn resident_mib() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096 / (1 << 20)
}

fn metadata(name: &str, uid: usize, owner: Option<usize>) -> Value {
    // What kubectl hides, and what is most of an object.
    let fields: Value = (0..60)
        .map(|n| (format!("f:field-{n}"), json!({ "f:more": {}, ".": {} })))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let uid_of = |number: usize| format!("0a1b2c3d-0000-4000-8000-{number:012x}");
    let owners = owner.map(|owner| json!([{ "kind": "any", "uid": uid_of(owner), "controller": true }]));
    json!({
        "name": name, "namespace": format!("team-{}", uid % 50), "uid": uid_of(uid), "generation": 1,
        "resourceVersion": uid.to_string(), "ownerReferences": owners.unwrap_or(json!([])),
        "managedFields": [{ "manager": "kubelet", "fieldsV1": fields.clone() }, { "manager": "other", "fieldsV1": fields }],
    })
}

fn pod_text(name: &str, uid: usize, owner: usize) -> String {
    let resources =
        json!({ "requests": { "cpu": "100m", "memory": "64Mi" }, "limits": { "cpu": "500m", "memory": "128Mi" } });
    let environment: Vec<Value> =
        (0..20).map(|n| json!({ "name": format!("VARIABLE_{n}"), "value": "a value" })).collect();
    let container =
        |name: &str| json!({ "name": name, "image": "registry/image:tag", "resources": resources, "env": environment });
    let status =
        |name: &str| json!({ "name": name, "restartCount": 0, "state": { "running": {} }, "resources": resources });
    json!({
        "metadata": metadata(name, uid, Some(owner)),
        "spec": { "nodeName": format!("node-{}.region.example", uid % 400), "containers": [container("service"), container("proxy")] },
        "status": {
            "phase": "Running", "startTime": "2026-11-23T04:00:00Z",
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T04:00:05Z" }],
            "containerStatuses": [status("service"), status("proxy")],
        },
    })
    .to_string()
}

fn fill(state: &mut State, workloads: usize) {
    let template = serde_json::from_str::<Value>(&pod_text("t", 0, 0)).unwrap();
    for number in 0..workloads {
        let (own, set) = (number, workloads + number * 2);
        let deployment = json!({ "metadata": metadata(&format!("service-{number}"), own, None),
            "spec": { "replicas": 2, "template": { "spec": template["spec"] } } });
        let deployment: Deployed = serde_json::from_str(&deployment.to_string()).unwrap();
        state.apply_workload(WorkloadKind::Deployment, &deployment);
        for revision in 0..2 {
            // Both in the namespace of their Deployment.
            let mut meta = metadata(&format!("service-{number}-{revision}"), set + revision, Some(own));
            meta["namespace"] = json!(deployment.metadata.namespace);
            state.apply_set(&serde_json::from_value::<Meta>(meta).unwrap());
        }
        for replica in 0..2 {
            let text = pod_text(&format!("service-{number}-0-{replica}"), workloads * 3 + number * 2 + replica, set);
            state.apply_pod(&serde_json::from_str::<Pod>(&text).unwrap());
        }
    }
}

#[test]
fn a_fleet_is_small_and_quickly_listed() {
    let workloads = std::env::var("PLIMSOLL_FLEET").map_or(WORKLOADS, |count| count.parse().unwrap());
    let before = resident_mib();
    let mut state = State::default();
    let began = Instant::now();
    fill(&mut state, workloads);
    let filled = began.elapsed();
    let grown = resident_mib().saturating_sub(before);
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let listed = state.list();
        times.push(began.elapsed());
        assert_eq!(listed.len(), workloads);
        assert!(listed.iter().all(|workload| workload.replicas.len() == 2));
    }
    times.sort_unstable();
    eprintln!(
        "{workloads} workloads: read in {filled:?}, +{grown} MiB, listed in {:?} (median), {:?} (slowest)",
        times[10], times[19]
    );
    // Unoptimised, beside other tests: 100 us and 20 KiB a workload are far more than it takes alone.
    let allowed = u32::try_from(workloads).unwrap() * Duration::from_micros(100);
    assert!(times[10] < allowed, "{times:?}");
    assert!(grown < 30 + workloads * 20 / 1024, "{grown} MiB");
}
