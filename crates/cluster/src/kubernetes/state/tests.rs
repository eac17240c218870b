//! Pods and workloads as their controllers and the kubelet describe them, and what is made of that.

use serde_json::{Value, json};

use super::{Key, State, pod, rollout};
use crate::kubernetes::wire::{Deployed, Pod};
use crate::{ReplicaState, Resize, Resources, Rollout, WorkloadKind, WorkloadRef};
use protocol::quantity::Quantity;

mod fleet;

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            patch.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, patch) => *into = patch,
    }
}

/// A pod that runs and is ready, changed by `patch`.
fn pod_with(patch: Value) -> Pod {
    let mut pod = json!({
        "metadata": { "name": "order-1-a", "namespace": "shop", "generation": 1 },
        "spec": { "nodeName": "n", "containers": [{ "name": "order", "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } } }] },
        "status": {
            "phase": "Running",
            "observedGeneration": 1,
            "startTime": "2026-11-23T04:00:00Z",
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T04:00:05Z" }],
            "containerStatuses": [{ "name": "order", "restartCount": 0, "state": { "running": {} } }],
        },
    });
    merge(&mut pod, patch);
    serde_json::from_value(pod).unwrap()
}

fn unready(message: &str) -> Value {
    json!([{ "type": "Ready", "status": "False", "message": message, "lastTransitionTime": "2026-11-23T04:00:09Z" }])
}

#[test]
fn says_what_a_pod_is_doing_and_why_it_is_not_well() {
    let killed = json!({ "terminated": { "reason": "OOMKilled", "exitCode": 137 } });
    let failed =
        json!({ "terminated": { "reason": "Error", "exitCode": 2, "message": "cannot read the price list\n" } });
    let waiting = |reason: &str, message: &str| json!({ "waiting": { "reason": reason, "message": message } });
    let status =
        |state: Value, last: Value| json!([{ "name": "order", "restartCount": 3, "state": state, "lastState": last }]);
    let cases = [
        (json!({}), ReplicaState::Running, ""),
        (json!({ "metadata": { "deletionTimestamp": "2026-11-23T05:00:00Z" } }), ReplicaState::Terminating, ""),
        (
            json!({ "status": { "phase": "Pending", "containerStatuses": [], "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available" }] } }),
            ReplicaState::Pending,
            "Unschedulable: 0/1 nodes are available",
        ),
        (
            json!({ "status": { "phase": "Pending", "conditions": unready(""),
            "containerStatuses": status(waiting("ImagePullBackOff", "no such image"), json!({})) } }),
            ReplicaState::Pending,
            "order: ImagePullBackOff: no such image",
        ),
        (
            json!({ "status": { "conditions": unready(""),
            "containerStatuses": status(waiting("CrashLoopBackOff", "back-off 10s"), killed.clone()) } }),
            ReplicaState::CrashLoopBackOff,
            "order: CrashLoopBackOff: back-off 10s, last ended with code 137 (OOMKilled)",
        ),
        (
            json!({ "status": { "conditions": unready(""), "containerStatuses": status(failed, json!({})) } }),
            ReplicaState::Running,
            "order: last ended with code 2; its last words: cannot read the price list",
        ),
        (
            json!({ "status": { "conditions": [{ "type": "ContainersReady", "status": "False", "reason": "ContainersNotReady",
            "message": "containers with unready status: [order]" }] } }),
            ReplicaState::Running,
            "ContainersNotReady: containers with unready status: [order]",
        ),
        (
            json!({ "status": { "phase": "Failed", "reason": "Evicted", "message": "The node was low on memory",
            "conditions": unready(""), "containerStatuses": [] } }),
            ReplicaState::Failed,
            "Evicted: The node was low on memory",
        ),
        // Restarted, and well again: nothing to tell.
        (
            json!({ "status": { "containerStatuses": status(json!({ "running": {} }), killed) } }),
            ReplicaState::Running,
            "",
        ),
    ];
    for (patch, state, message) in cases {
        let replica = pod::replica(&pod_with(patch.clone()));
        assert_eq!((replica.state, replica.message.as_str()), (state, message), "{patch}");
    }
}

#[test]
fn times_and_restarts_are_those_that_an_autoscaler_counts_by() {
    let sidecar = json!({ "name": "proxy", "restartPolicy": "Always" });
    let replica = pod::replica(&pod_with(json!({
        "spec": { "initContainers": [{ "name": "init" }, sidecar] },
        "status": {
            "conditions": unready(""),
            "initContainerStatuses": [{ "name": "init", "restartCount": 9 }, { "name": "proxy", "restartCount": 2 }],
            "containerStatuses": [{ "name": "order", "restartCount": 3 }],
        },
    })));
    assert_eq!(
        (replica.started_at_ms, replica.ready_changed_at_ms),
        (Some(1_795_406_400_000), Some(1_795_406_409_000))
    );
    assert_eq!((replica.ready, replica.restarts, replica.node.as_str()), (false, 5, "n"));
    let names: Vec<&str> = replica.containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["order", "proxy"], "one that ends before the others start has no share in the usage");
}

#[test]
fn resources_are_what_a_container_has_now() {
    let asked = Resources {
        cpu_request: Quantity::parse("100m").ok(),
        memory_request: Quantity::parse("64Mi").ok(),
        ..Resources::default()
    };
    let status = |more: Value| {
        let mut status = json!({ "name": "order" });
        merge(&mut status, more);
        pod::replica(&pod_with(json!({ "status": { "containerStatuses": [status] } }))).containers.remove(0).resources
    };
    assert_eq!(status(json!({})), asked);
    let allocated = status(json!({ "allocatedResources": { "cpu": "50m" } }));
    assert_eq!(allocated, Resources { cpu_request: Quantity::parse("50m").ok(), ..asked });
    let actual = status(json!({ "resources": { "limits": { "cpu": "1" } }, "allocatedResources": { "cpu": "50m" } }));
    assert_eq!(actual, Resources { cpu_limit: Quantity::parse("1").ok(), ..Resources::default() });
}

#[test]
fn follows_a_resize_through_the_words_of_the_kubelet() {
    let condition = |kind: &str, reason: &str| json!({ "status": { "conditions": [{ "type": kind, "status": "True", "reason": reason, "message": "because" }] } });
    let message = "because".to_owned();
    let running =
        |cpu: &str| json!([{ "name": "order", "resources": { "requests": { "cpu": cpu, "memory": "64Mi" } } }]);
    for (patch, expected) in [
        (json!({}), None),
        (condition("PodResizePending", "Deferred"), Some(Resize::Deferred { message: message.clone() })),
        (condition("PodResizePending", "Infeasible"), Some(Resize::Infeasible { message: message.clone() })),
        (condition("PodResizeInProgress", ""), Some(Resize::InProgress)),
        (condition("PodResizeInProgress", "Error"), Some(Resize::Error { message })),
        // The kubelet has not looked yet.
        (
            json!({ "metadata": { "generation": 2 }, "status": { "containerStatuses": running("50m") } }),
            Some(Resize::InProgress),
        ),
        (json!({ "metadata": { "generation": 2 }, "status": { "containerStatuses": running("100m") } }), None),
        (json!({ "status": { "containerStatuses": running("50m") } }), None),
    ] {
        assert_eq!(pod::replica(&pod_with(patch.clone())).resize, expected, "{patch}");
    }
}

fn deployed(replicas: u32, generation: i64, status: &Value) -> Deployed {
    let (metadata, spec) = (json!({ "name": "order", "generation": generation }), json!({ "replicas": replicas }));
    serde_json::from_value(json!({ "metadata": metadata, "spec": spec, "status": status })).unwrap()
}

#[test]
fn judges_a_rollout_by_its_controllers_words() {
    let status = |seen: i64, updated: u32, reason: &str| {
        json!({ "observedGeneration": seen, "replicas": 3, "updatedReplicas": updated,
            "conditions": [{ "type": "Progressing", "status": "True", "reason": reason, "message": "why" }] })
    };
    let stuck = Rollout::Stuck { reason: "why".to_owned() };
    for (updated, reason, expected) in [
        (3, "NewReplicaSetAvailable", Rollout::Complete),
        (2, "NewReplicaSetAvailable", Rollout::Progressing),
        (1, "ReplicaSetUpdated", Rollout::Progressing),
        (3, "ReplicaSetUpdated", Rollout::Progressing),
        (1, "ProgressDeadlineExceeded", stuck),
    ] {
        let object = deployed(3, 4, &status(4, updated, reason));
        assert_eq!(rollout::rollout(WorkloadKind::Deployment, &object, None), expected, "{updated} {reason}");
    }
    // The controller has not looked yet: another number of replicas is no new version.
    let object = deployed(3, 5, &status(4, 3, "NewReplicaSetAvailable"));
    for (before, expected) in [(2, Rollout::Complete), (3, Rollout::Progressing)] {
        let before = rollout::Before { desired: before, rollout: &Rollout::Complete };
        assert_eq!(rollout::rollout(WorkloadKind::Deployment, &object, Some(before)), expected);
    }
    let set = |current: &str, updated: u32| {
        let status = json!({ "observedGeneration": 4, "replicas": 3, "updatedReplicas": updated,
            "currentRevision": current, "updateRevision": "b" });
        rollout::rollout(WorkloadKind::StatefulSet, &deployed(3, 4, &status), None)
    };
    assert_eq!([set("b", 0), set("a", 3), set("a", 1)], [Rollout::Complete, Rollout::Complete, Rollout::Progressing]);
}

#[test]
fn an_older_version_never_replaces_a_newer_one() {
    let mut state = State::default();
    let workload = |version: &str, uid: &str, replicas: u32| -> Deployed {
        let metadata = json!({ "name": "order", "namespace": "shop", "uid": uid, "resourceVersion": version });
        serde_json::from_value(json!({ "metadata": metadata, "spec": { "replicas": replicas } })).unwrap()
    };
    let desired = |state: &mut State| state.list().iter().map(|workload| workload.desired.0).collect::<Vec<_>>();
    assert!(state.apply_workload(WorkloadKind::Deployment, &workload("20", "one", 5)));
    assert!(!state.apply_workload(WorkloadKind::Deployment, &workload("9", "one", 3)));
    assert_eq!(desired(&mut state), [5]);
    let reference =
        WorkloadRef { kind: WorkloadKind::Deployment, namespace: "shop".to_owned(), name: "order".to_owned() };
    state.scaled(&reference, 7, "21");
    assert_eq!(desired(&mut state), [7]);
    // Deleted and made anew on another server: its versions may begin anew.
    assert!(state.apply_workload(WorkloadKind::Deployment, &workload("3", "two", 1)));
    assert_eq!(desired(&mut state), [1]);
}

#[test]
fn what_is_removed_leaves_nothing_behind() {
    let mut state = State::default();
    let owner = |uid: &str| json!([{ "uid": uid, "controller": true }]);
    let workload: Deployed =
        serde_json::from_value(json!({ "metadata": { "name": "order", "namespace": "shop", "uid": "w" } })).unwrap();
    state.apply_workload(WorkloadKind::Deployment, &workload);
    let set: crate::kubernetes::wire::Meta =
        serde_json::from_value(json!({ "name": "s", "namespace": "shop", "uid": "s", "ownerReferences": owner("w") }))
            .unwrap();
    state.apply_set(&set);
    state.apply_pod(&pod_with(json!({ "metadata": { "uid": "p", "ownerReferences": owner("s") } })));
    assert_eq!(state.list()[0].replicas.len(), 1);
    let pod = Key::new("shop", "order-1-a");
    assert!(state.remove_pod(&pod) && !state.remove_pod(&pod));
    assert!(state.remove_set(&Key::new("shop", "s")));
    let reference = state.list()[0].reference.clone();
    assert!(state.remove_workload(&reference));
    assert!(state.pods.is_empty() && state.pods_of.is_empty() && state.sets.is_empty() && state.sets_of.is_empty());
    assert!(state.set_owners.is_empty() && state.workload_uids.is_empty() && state.workloads.is_empty());
}

#[test]
fn the_answer_to_a_write_does_not_bring_back_what_a_watch_says_is_gone() {
    let mut state = State::default();
    let at = |version: &str, uid: &str| pod_with(json!({ "metadata": { "resourceVersion": version, "uid": uid } }));
    let workload = |version: &str| {
        let text =
            json!({ "metadata": { "name": "order", "namespace": "shop", "uid": "d", "resourceVersion": version } });
        serde_json::from_value::<Deployed>(text).unwrap()
    };
    let kind = WorkloadKind::Deployment;
    let order = WorkloadRef { kind, namespace: "shop".to_owned(), name: "order".to_owned() };
    state.apply_pod(&at("1", "p"));
    state.apply_workload(kind, &workload("1"));
    state.answered_pod(&at("2", "other"));
    assert_eq!(&*state.pods[&Key::new("shop", "order-1-a")].version, "1", "another pod of that name");
    state.answered_pod(&at("2", "p"));
    state.answered_workload(kind, &workload("2"));
    assert_eq!(&*state.pods[&Key::new("shop", "order-1-a")].version, "2");
    assert_eq!(&*state.target(&order).unwrap().version.resource, "2");
    state.remove_pod(&Key::new("shop", "order-1-a"));
    state.remove_workload(&order);
    assert!(!state.answered_pod(&at("3", "p")) && !state.answered_workload(kind, &workload("3")));
    assert!(state.pods.is_empty() && state.workloads.is_empty());
}
