//! Deaths and what follows: replicas killed, the parent killed, versions that do not start.

use std::time::{Duration, Instant};

use cluster::{Cluster, Rollout};

use crate::harness::{FIXTURE, Running, eventually, kill, manifests};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_is_ready_again_within_five_seconds() {
    let running = Running::start_ready(FIXTURE).await;
    let victim = running.replicas("front").await[0].clone();
    let pid = running.pid(&victim.name);
    let began = Instant::now();
    kill(pid);
    eventually("a new run is ready", Duration::from_secs(5), || async {
        let replicas = running.replicas("front").await;
        replicas.iter().any(|r| r.name == victim.name && r.ready && r.restarts == 1)
    })
    .await;
    assert_ne!(running.pid(&victim.name), pid);
    assert!(began.elapsed() < Duration::from_secs(5));
    let events = running.cluster.events(50).await.unwrap();
    assert!(
        events.iter().any(|event| event.reason == "Restarting" && event.message.contains("signal 9")),
        "{events:?}"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_does_not_start_is_rolled_back_with_its_last_words() {
    let running = Running::start_ready(FIXTURE).await;
    running.cluster.apply(manifests(&FIXTURE.replacen("value: good", "value: bad", 1))).await.unwrap();
    eventually("rolled back", Duration::from_secs(10), || async {
        let workload = running.workload("front").await;
        matches!(workload.rollout, Rollout::RolledBack { .. }) && workload.replicas.len() == 2
    })
    .await;
    let workload = running.workload("front").await;
    let Rollout::RolledBack { reason } = &workload.rollout else { panic!("{workload:?}") };
    assert!(reason.contains("exited with code 3") && reason.contains("cannot read the price list"), "{reason}");
    assert_eq!(workload.ready().0, 2);
    assert_eq!(running.get("front", "/env/VERSION").await.1, "good");
    running.stop().await;
}
