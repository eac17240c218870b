//! Starts, ends, and who goes first.

use crate::simulated::graph::tests::service;

use super::*;

fn fleet(replicas: u32) -> Fleet {
    let life = Life { start_seconds: 2.0, ready_seconds: 3.0, end_seconds: 5.0, ..service("shop", 0.01).life };
    Fleet::new(&Service { replicas, life, ..service("shop", 0.01) }, 0, 7, 0)
}

fn ready(fleet: &Fleet, now_ms: i64) -> u32 {
    fleet.observed(now_ms).ready().0
}

#[test]
fn a_new_replica_is_pending_then_running_then_ready() {
    let mut fleet = fleet(1);
    fleet.set(2, 10_000);
    let state = |fleet: &Fleet, now_ms| {
        let newest = fleet.observed(now_ms).replicas[1].clone();
        (newest.state, newest.ready)
    };
    assert_eq!(state(&fleet, 11_999), (ReplicaState::Pending, false));
    assert_eq!(state(&fleet, 12_000), (ReplicaState::Running, false));
    assert_eq!(state(&fleet, 15_000), (ReplicaState::Running, true));
    assert_eq!((ready(&fleet, 14_999), ready(&fleet, 15_000)), (1, 2));
    let versions: Vec<u64> = [11_000, 12_000, 13_000, 15_000, 16_000]
        .map(|now_ms| {
            fleet.pass(now_ms);
            fleet.version()
        })
        .to_vec();
    assert!(versions[0] < versions[1] && versions[1] == versions[2] && versions[2] < versions[3], "{versions:?}");
    assert_eq!(versions[3], versions[4]);
}

#[test]
fn those_not_ready_go_first_then_the_youngest_and_each_takes_its_time() {
    let mut fleet = fleet(2);
    fleet.set(3, 0);
    fleet.set(1, 1000);
    let left: Vec<String> =
        fleet.pods().iter().filter(|pod| pod.ending_ms.is_none()).map(|pod| pod.name.clone()).collect();
    assert_eq!(left, ["shop-00001"]);
    assert_eq!((fleet.desired(), ready(&fleet, 1000), fleet.pods().len()), (1, 1, 3));
    fleet.pass(5999);
    assert_eq!(fleet.pods().len(), 3);
    fleet.pass(6000);
    assert_eq!(fleet.pods().len(), 1);
}

#[test]
fn the_same_seed_starts_the_same_pod_as_fast() {
    let starts = |seed: u64| {
        let life = Life { start_seconds: 4.0, jitter: 0.25, ..service("shop", 0.01).life };
        let mut fleet = Fleet::new(&Service { life, ..service("shop", 0.01) }, 3, seed, 0);
        fleet.set(5, 0);
        fleet.pods().iter().skip(1).map(|pod| pod.starts_ms).collect::<Vec<_>>()
    };
    assert_eq!(starts(1), starts(1));
    assert_ne!(starts(1), starts(2));
    assert!(starts(3).iter().all(|at_ms| (3000..=5000).contains(at_ms)));
}
