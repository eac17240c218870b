//! Names and labels are those that queries rely on.

use super::render;
use crate::{Container, Replica, ReplicaState, Replicas, Resources, Rollout, Workload, WorkloadKind, WorkloadRef};
use protocol::quantity::Quantity;

fn workload(kind: WorkloadKind, name: &str, state: ReplicaState) -> Workload {
    let resources = Resources {
        cpu_request: Some(Quantity::from_millis(150)),
        memory_limit: Some(Quantity::from_units(64 << 20)),
        ..Resources::default()
    };
    Workload {
        reference: WorkloadRef { kind, namespace: "shop".to_owned(), name: name.to_owned() },
        desired: Replicas(2),
        replicas: vec![Replica {
            name: format!("{name}-a"),
            state,
            ready: state == ReplicaState::Running,
            started_at_ms: None,
            ready_changed_at_ms: None,
            restarts: 3,
            containers: vec![Container { name: name.to_owned(), resources }],
            resize: None,
            node: String::new(),
            message: String::new(),
        }],
        rollout: Rollout::Complete,
        conflicts: Vec::new(),
    }
}

#[test]
fn every_workload_has_its_samples_under_the_known_names() {
    let text = render(&[
        workload(WorkloadKind::Deployment, "order", ReplicaState::Running),
        workload(WorkloadKind::StatefulSet, "db", ReplicaState::CrashLoopBackOff),
    ]);
    for line in [
        r#"kube_pod_container_resource_requests{namespace="shop",pod="order-a",container="order",deployment="order",resource="cpu",unit="core"} 0.15"#,
        r#"kube_pod_container_resource_limits{namespace="shop",pod="db-a",container="db",statefulset="db",resource="memory",unit="byte"} 67108864"#,
        r#"kube_pod_container_status_restarts_total{namespace="shop",pod="order-a",container="order",deployment="order"} 3"#,
        r#"kube_pod_container_status_waiting_reason{namespace="shop",pod="db-a",container="db",statefulset="db",reason="CrashLoopBackOff"} 1"#,
        r#"kube_deployment_spec_replicas{namespace="shop",deployment="order"} 2"#,
        r#"kube_deployment_status_replicas_ready{namespace="shop",deployment="order"} 1"#,
        r#"kube_statefulset_status_replicas_ready{namespace="shop",statefulset="db"} 0"#,
        "# TYPE kube_pod_container_status_restarts_total counter",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing from:\n{text}");
    }
}
