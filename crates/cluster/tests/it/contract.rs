//! What every implementation of `Cluster` promises. A new implementation calls `keeps_the_contract` from its own test
//! with a workload of its own that has one container and is ready with two replicas.

use std::time::Duration;

use cluster::{
    Cluster, ClusterError, Event, EventKind, ReplicaState, Replicas, Resources, Rollout, Workload, WorkloadRef,
};
use lifecycle::{Clock, SystemClock};
use protocol::quantity::Quantity;

use crate::harness::{FIXTURE, Running, eventually, reference};

/// Implementations on a real cluster pull images.
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn keeps_the_contract(cluster: &impl Cluster, workload: &WorkloadRef) {
    lists_workloads_in_order(cluster, workload).await;
    scales_and_tells_of_the_change(cluster, workload).await;
    resizes_without_a_restart(cluster, workload).await;
    ends_the_cheapest_first(cluster, workload).await;
    rolls_out_other_resources(cluster, workload).await;
    keeps_events_newest_first(cluster, workload).await;
    names_what_does_not_exist(cluster, workload).await;
}

async fn find(cluster: &impl Cluster, workload: &WorkloadRef) -> Workload {
    let workloads = cluster.workloads().await.unwrap();
    workloads.into_iter().find(|found| found.reference == *workload).unwrap()
}

async fn lists_workloads_in_order(cluster: &impl Cluster, workload: &WorkloadRef) {
    let workloads = cluster.workloads().await.unwrap();
    assert!(workloads.is_sorted_by_key(|workload| &workload.reference));
    let found = find(cluster, workload).await;
    assert_eq!((found.desired, found.ready()), (Replicas(2), Replicas(2)));
    for replica in &found.replicas {
        assert_eq!((replica.state, replica.ready, replica.restarts), (ReplicaState::Running, true, 0), "{replica:?}");
        assert!(replica.started_at_ms <= replica.ready_changed_at_ms, "{replica:?}");
        assert_eq!((replica.containers.len(), &replica.resize), (1, &None));
    }
}

async fn scales_and_tells_of_the_change(cluster: &impl Cluster, workload: &WorkloadRef) {
    let before = find(cluster, workload).await;
    for wanted in [3, 1, 2] {
        let mut changes = cluster.changes();
        let seen = *changes.borrow_and_update();
        cluster.set_replicas(workload, Replicas(wanted)).await.unwrap();
        tokio::time::timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
        assert_ne!(*changes.borrow(), seen);
        eventually("as many as asked for", PATIENCE, || async {
            let now = find(cluster, workload).await;
            now.desired.0 == wanted && now.ready().0 == wanted && now.replicas.len() == wanted as usize
        })
        .await;
    }
    let after = find(cluster, workload).await;
    let kept = after.replicas.iter().filter(|r| before.replicas.iter().any(|old| old.name == r.name)).count();
    assert_eq!(kept, 1, "the newest end first");
    // Asking for what is there changes nothing.
    cluster.set_replicas(workload, Replicas(2)).await.unwrap();
    assert_eq!(find(cluster, workload).await.replicas, after.replicas);
}

async fn resizes_without_a_restart(cluster: &impl Cluster, workload: &WorkloadRef) {
    let before = find(cluster, workload).await;
    let container = before.replicas[0].containers[0].name.clone();
    let resources = Resources {
        cpu_request: Some(Quantity::from_millis(50)),
        cpu_limit: Some(Quantity::from_millis(700)),
        memory_request: Some(Quantity::from_units(64 << 20)),
        memory_limit: Some(Quantity::from_units(200 << 20)),
    };
    let specified = cluster.specified(workload).await.unwrap();
    cluster.resize(workload, &container, resources).await.unwrap();
    eventually("all have the new size", PATIENCE, || async {
        let now = find(cluster, workload).await;
        now.replicas.iter().all(|r| r.containers[0].resources == resources && r.resize.is_none())
    })
    .await;
    let after = find(cluster, workload).await;
    assert_eq!(cluster.specified(workload).await.unwrap(), specified, "what the manifest says stays");
    assert_eq!(cluster.wanted(workload).await.unwrap()[0].resources, resources);
    let lives = |workload: &Workload| -> Vec<_> {
        workload.replicas.iter().map(|r| (r.name.clone(), r.started_at_ms, r.restarts)).collect()
    };
    assert_eq!(lives(&before), lives(&after));
    cluster.set_replicas(workload, Replicas(3)).await.unwrap();
    eventually("one that comes later has it too", PATIENCE, || async {
        let now = find(cluster, workload).await;
        now.ready().0 == 3 && now.replicas.iter().all(|replica| replica.containers[0].resources == resources)
    })
    .await;
    let wrong = Resources { cpu_request: Some(Quantity::from_units(2)), ..resources };
    let refused = cluster.resize(workload, &container, wrong).await;
    assert!(matches!(refused, Err(ClusterError::Refused { .. })), "{refused:?}");
    let refused = cluster.resize(workload, "no-such-container", resources).await;
    assert!(matches!(refused, Err(ClusterError::Refused { .. })), "{refused:?}");
}

async fn ends_the_cheapest_first(cluster: &impl Cluster, workload: &WorkloadRef) {
    let before = find(cluster, workload).await;
    assert_eq!(before.replicas.len(), 3);
    // Neither the oldest nor the newest, so that no other rule picks it.
    let mut by_age = before.replicas.clone();
    by_age.sort_by_key(|replica| replica.started_at_ms);
    let cheapest = by_age[1].name.clone();
    let cost = |name: &String| if *name == cheapest { -5 } else { 5 };
    let mut costs: Vec<(String, i32)> = before.replicas.iter().map(|r| (r.name.clone(), cost(&r.name))).collect();
    costs.push(("nobody".to_owned(), 1));
    cluster.set_deletion_costs(workload, &costs).await.unwrap();
    cluster.set_replicas(workload, Replicas(2)).await.unwrap();
    eventually("two are left", PATIENCE, || async { find(cluster, workload).await.replicas.len() == 2 }).await;
    let after = find(cluster, workload).await;
    assert!(after.replicas.iter().all(|replica| replica.name != cheapest), "{cheapest} should have gone: {after:?}");
}

async fn rolls_out_other_resources(cluster: &impl Cluster, workload: &WorkloadRef) {
    let before = find(cluster, workload).await;
    let container = before.replicas[0].containers[0].clone();
    let resources = Resources { cpu_limit: Some(Quantity::from_millis(600)), ..container.resources };
    cluster.roll_out(workload, &container.name, resources).await.unwrap();
    eventually("all are replaced", PATIENCE, || async {
        let now = find(cluster, workload).await;
        let is_new = |r: &cluster::Replica| before.replicas.iter().all(|old| old.name != r.name);
        let has_it = |r: &cluster::Replica| r.containers[0].resources == resources;
        now.ready().0 == 2
            && now.replicas.len() == 2
            && now.rollout == Rollout::Complete
            && now.replicas.iter().all(|r| is_new(r) && has_it(r))
    })
    .await;
    let wrong = Resources { memory_request: Some(Quantity::from_units(1 << 40)), ..resources };
    for (container, resources) in [(container.name.as_str(), wrong), ("no-such-container", resources)] {
        let refused = cluster.roll_out(workload, container, resources).await;
        assert!(matches!(refused, Err(ClusterError::Refused { .. })), "{refused:?}");
    }
}

async fn keeps_events_newest_first(cluster: &impl Cluster, workload: &WorkloadRef) {
    let now_ms = SystemClock.now_ms();
    for (at_ms, message) in [(now_ms, "first"), (now_ms + 1, "second")] {
        let (kind, reason) = (EventKind::Normal, "ContractTest".to_owned());
        let event = Event { at_ms, workload: workload.clone(), kind, reason, message: message.to_owned() };
        cluster.record_event(event).await.unwrap();
    }
    eventually("both are told, the newest first", PATIENCE, || async {
        let events = cluster.events(100).await.unwrap();
        let ours: Vec<&str> =
            events.iter().filter(|e| e.reason == "ContractTest").map(|e| e.message.as_str()).collect();
        ours == ["second", "first"]
    })
    .await;
    assert_eq!(cluster.events(1).await.unwrap().len(), 1);
}

async fn names_what_does_not_exist(cluster: &impl Cluster, workload: &WorkloadRef) {
    let nobody = WorkloadRef { name: "nobody".to_owned(), ..workload.clone() };
    let answer = cluster.set_replicas(&nobody, Replicas(1)).await;
    assert!(matches!(&answer, Err(ClusterError::NotFound { workload }) if *workload == nobody), "{answer:?}");
    let answers = [
        cluster.resize(&nobody, "any", Resources::default()).await,
        cluster.roll_out(&nobody, "any", Resources::default()).await,
        cluster.set_deletion_costs(&nobody, &[]).await,
    ];
    for answer in answers {
        assert!(matches!(&answer, Err(ClusterError::NotFound { workload }) if *workload == nobody), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_runtime_keeps_it() {
    let running = Running::start_ready(FIXTURE).await;
    keeps_the_contract(&running.cluster, &reference("front")).await;
    running.stop().await;
}
