//! Starts, deaths and what follows: replicas killed, the parent killed, versions that do not start.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, ReplicaState, Rollout};

use crate::harness::{FIXTURE, Running, eventually, kill, manifests};

/// Whether a process lives: one that has ended and waits to be reaped does not.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Run as an ordinary test this does nothing; as a process of its own it is the parent that gets killed.
#[tokio::test(flavor = "multi_thread")]
async fn parent() {
    if std::env::var_os("TEST_PARENT").is_none() {
        return;
    }
    let running = Running::start_ready(FIXTURE).await;
    println!("{:?}", running.cluster.processes());
    std::future::pending::<()>().await;
}

#[test]
fn no_replica_outlives_a_killed_parent() {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["lifetime::parent", "--exact", "--nocapture"])
        .env("TEST_PARENT", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines().map(Result::unwrap);
    // The test harness prints the test's name in front, without ending the line.
    let line = lines.find(|line| line.contains("[(")).unwrap();
    let digits = line.split(['(', ')', ',', ' ']).filter_map(|word| word.parse().ok());
    let pids: Vec<u32> = digits.collect();
    assert!(pids.len() == 3 && pids.iter().all(|pid| lives(*pid)), "{line}");
    parent.kill().unwrap();
    let killed = Instant::now();
    parent.wait().unwrap();
    while pids.iter().any(|pid| lives(*pid)) {
        assert!(killed.elapsed() < Duration::from_secs(2), "still alive: {pids:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_shutdown_no_process_is_left() {
    let running = Running::start_ready(FIXTURE).await;
    let pids: Vec<u32> = running.cluster.processes().into_iter().map(|(_, pid)| pid).collect();
    let began = Instant::now();
    running.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(pids.iter().filter(|pid| lives(**pid)).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_hangs_is_started_again() {
    let text = FIXTURE.replace("terminationGracePeriodSeconds: 5", "terminationGracePeriodSeconds: 1");
    let running = Running::start_ready(&text).await;
    let address = running.cluster.pod_addresses("front", "http")[0];
    let hang = tokio::spawn(reqwest::get(format!("http://{address}/hang")));
    eventually("started again", Duration::from_secs(15), || async {
        let replicas = running.replicas("front").await;
        running.cluster.all_ready() && replicas.iter().any(|replica| replica.restarts == 1)
    })
    .await;
    assert!(hang.await.unwrap().is_err());
    let events = running.cluster.events(50).await.unwrap();
    assert!(events.iter().any(|event| event.reason == "Unhealthy" && event.message.contains("liveness")), "{events:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_quick_exit_waits_and_is_called_a_crash_loop() {
    let running = Running::start_with(&FIXTURE.replacen("value: good", "value: bad", 1), |mut options| {
        options.back_off.base = Duration::from_secs(60);
        options
    })
    .await;
    eventually("a crash loop", Duration::from_secs(5), || async {
        let replicas = running.replicas("front").await;
        replicas.len() == 2 && replicas.iter().all(|replica| replica.state == ReplicaState::CrashLoopBackOff)
    })
    .await;
    let replica = running.replicas("front").await.remove(0);
    assert_eq!((replica.restarts, replica.ready), (1, false));
    assert!(replica.message.starts_with("exited with code 3; its last words: "), "{}", replica.message);
    // Standard output comes by a pipe of its own: which of the two is read last is chance.
    assert!(replica.message.contains("cannot read the price list"), "{}", replica.message);
    let log = running.data.path().join("logs").join(format!("{}.log", replica.name));
    assert!(std::fs::read_to_string(log).unwrap().contains("cannot read the price list"));
    let error = running.cluster.wait_ready(Duration::ZERO).await.unwrap_err();
    assert!(error.contains("front: 0 of 2 ready") && error.contains("cannot read the price list"), "{error}");
    running.stop().await;
}

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
