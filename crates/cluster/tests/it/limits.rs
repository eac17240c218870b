//! CPU and memory limits with real cgroups. Where none may be made the runtime says so, and that is what is tested.

use std::time::{Duration, Instant};

use cluster::{Cluster, Resources};
use protocol::quantity::Quantity;

use crate::harness::{FIXTURE, Running, eventually, reference};

/// The value of the first sample of a series whose labels contain a text.
fn sample(metrics: &str, name: &str, label: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{")) && line.contains(label))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn enforced(running: &Running) -> bool {
    let limits = running.cluster.limits();
    assert!(limits.starts_with("enforced by cgroup") || limits.starts_with("not enforced: "), "{limits}");
    limits.starts_with("enforced")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cpu_limit_holds_and_moves_in_place() {
    let running = Running::start_ready(FIXTURE).await;
    let back = r#"deployment="back""#;
    let read = async |name: &str| sample(&running.api("/metrics").await, name, back).unwrap();
    let used = "container_cpu_usage_seconds_total";
    let throttled = "container_cpu_cfs_throttled_periods_total";
    let limit = |millis| Resources { cpu_limit: Some(Quantity::from_millis(millis)), ..Resources::default() };
    running.cluster.resize(&reference("back"), "back", limit(50)).await.unwrap();
    let (began, before) = (Instant::now(), read(used).await);
    running.get("back", "/burn/1000").await;
    assert!(read(used).await > before, "burning counts");
    if enforced(&running) {
        eventually("throttled", Duration::from_secs(10), async || {
            running.get("back", "/burn/200").await;
            read(throttled).await >= 1.0
        })
        .await;
        let share = (read(used).await - before) / began.elapsed().as_secs_f64();
        // One period's quota may be left over from before, and one may be overrun at the end.
        assert!(share < 0.15, "{share} cores used under a limit of 0.05");
        running.cluster.resize(&reference("back"), "back", limit(4000)).await.unwrap();
        let before = read(throttled).await;
        running.get("back", "/burn/300").await;
        assert_eq!(read(throttled).await, before, "one thread stays below the raised limit");
        assert_eq!(read("kube_pod_container_resource_limits").await, 4.0);
    }
    assert!(read("container_memory_working_set_bytes").await > 1e5);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_over_its_memory_limit_is_killed_and_said_to_be() {
    let running = Running::start_ready(FIXTURE).await;
    if enforced(&running) {
        let url = format!("{}/eat/200", running.cluster.service_url("front").unwrap());
        let answer = reqwest::get(url).await.unwrap();
        assert_eq!(answer.status(), 502);
        eventually("killed and back", Duration::from_secs(10), || async {
            let events = running.cluster.events(50).await.unwrap();
            events.iter().any(|event| event.reason == "OOMKilled") && running.cluster.all_ready()
        })
        .await;
        let metrics = running.api("/metrics").await;
        let total: f64 = ["container_oom_events_total"]
            .iter()
            .flat_map(|name| metrics.lines().filter(move |line| line.starts_with(&format!("{name}{{"))))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        assert!(total >= 1.0, "{metrics}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_limits_are_said_not_to_be_enforced() {
    let running = Running::start_with(FIXTURE, |mut options| {
        options.enforce_limits = false;
        options
    })
    .await;
    running.cluster.wait_ready(Duration::from_secs(10)).await.unwrap();
    assert_eq!(running.cluster.limits(), "not enforced: switched off");
    assert!(running.api("/api/v1/workloads").await.starts_with(r#"{"limits":"not enforced: switched off""#));
    let metrics = running.api("/metrics").await;
    assert!(sample(&metrics, "container_memory_working_set_bytes", "back").unwrap() > 1e5, "{metrics}");
    assert_eq!(sample(&metrics, "container_cpu_cfs_periods_total", "back"), None);
    running.stop().await;
}
