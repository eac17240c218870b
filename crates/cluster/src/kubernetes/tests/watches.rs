//! Reading the cluster: pages, forgotten versions, forbidden kinds, silence.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Bench, eventually, pod, shop};
use crate::kubernetes::{Health, KubernetesOptions};
use crate::{Cluster, ClusterError, EventKind};

#[tokio::test(start_paused = true)]
async fn lists_in_pages_and_finds_each_pod_its_workload() {
    let bench = Bench::with_pods(1_201).await;
    let order = bench.order().await;
    assert_eq!((order.replicas.len(), order.ready().0, order.desired.0), (1_201, 1_201, 1_201));
    assert!(order.replicas.is_sorted_by_key(|replica| &replica.name));
    // Three pages; the pulse asks for a page of one every few seconds.
    assert!((3..=5).contains(&bench.api.asked("GET pods")), "{}", bench.api.asked("GET pods"));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn follows_what_changes_and_tells_of_it() {
    let bench = Bench::with_pods(2).await;
    let mut changes = bench.cluster.changes();
    changes.mark_unchanged();
    bench.api.put("pods", pod(2));
    changes.changed().await.unwrap();
    eventually("three", || async { bench.order().await.replicas.len() == 3 }).await;
    bench.api.delete("pods", "shop", "order-1-0");
    eventually("two", || async { bench.order().await.replicas.len() == 2 }).await;
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn begins_anew_when_the_server_has_forgotten_where_it_was() {
    let bench = Bench::with_pods(3).await;
    let lists = bench.api.asked("GET deployments");
    bench.api.end_watches(true, |api| api.delete("pods", "shop", "order-1-1"));
    eventually("what went meanwhile is gone", || async { bench.order().await.replicas.len() == 2 }).await;
    assert_eq!(bench.api.asked("GET deployments"), lists + 1, "one list suffices");
    bench.api.put("pods", pod(7));
    eventually("it goes on from there", || async { bench.order().await.replicas.len() == 3 }).await;
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_goes_on_where_it_was() {
    let bench = Bench::with_pods(3).await;
    bench.api.end_watches(false, |api| api.delete("pods", "shop", "order-1-1"));
    eventually("what went meanwhile is gone", || async { bench.order().await.replicas.len() == 2 }).await;
    assert_eq!(bench.api.asked("GET deployments"), 1, "nothing is listed anew");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_read_is_named_with_its_remedy_and_asked_for_seldom() {
    let api = shop(1);
    api.forbid("pods", true);
    let bench = Bench::start(api);
    sleep(Duration::from_secs(600)).await;
    let reason = bench.cluster.workloads().await.unwrap_err().to_string();
    for words in [
        "system:serviceaccount:plimsoll:autoscaler may not list pods in the whole cluster",
        r#"add a rule {apiGroups: [""], resources: [pods], verbs: [list, watch]} to its Role or ClusterRole"#,
    ] {
        assert!(reason.contains(words), "{reason}");
    }
    // The pulse asks too: 200 times in ten minutes.
    assert!(bench.api.asked("GET pods") < 215, "{}", bench.api.asked("GET pods"));
    assert_eq!(bench.api.asked("GET deployments"), 1, "the others go on");
    bench.api.forbid("pods", false);
    eventually_within(&bench, Duration::from_secs(301)).await;
    assert_eq!(bench.order().await.replicas.len(), 1);
    bench.stop().await;
}

async fn eventually_within(bench: &Bench, within: Duration) {
    let mut health = bench.cluster.health();
    let well = health.wait_for(|health| *health == Health::Well);
    tokio::time::timeout(within, well).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn does_without_what_it_need_not_know() {
    let api = shop(1);
    for plural in ["nodes", "resourcequotas", "horizontalpodautoscalers", "events"] {
        api.forbid(plural, true);
    }
    let bench = Bench::start(api);
    bench.well().await;
    assert_eq!(bench.order().await.replicas.len(), 1);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_api_installed_later_is_found() {
    let bench = Bench::with_pods(1).await;
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "order" });
    let vpa = |mode: &str| {
        let policy = json!({ "updateMode": mode });
        let spec = json!({ "targetRef": target, "updatePolicy": policy });
        json!({ "metadata": { "namespace": "shop", "name": "v" }, "spec": spec })
    };
    bench.api.put("verticalpodautoscalers", vpa("Auto"));
    bench.api.install("verticalpodautoscalers");
    sleep(Duration::from_secs(301)).await;
    eventually("a conflict", || async { bench.order().await.conflicts == ["VerticalPodAutoscaler shop/v"] }).await;
    bench.api.put("verticalpodautoscalers", vpa("Off"));
    eventually("none", || async { bench.order().await.conflicts.is_empty() }).await;
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_silence_nothing_is_planned_until_everything_was_seen_again() {
    let bench = Bench::with_pods(3).await;
    let cut_at = Instant::now();
    bench.api.cut(true);
    let blind_after = loop {
        match bench.cluster.workloads().await {
            Ok(_) => sleep(Duration::from_millis(100)).await,
            Err(ClusterError::Unavailable { reason }) => {
                assert!(reason.contains("the API server has not answered for"), "{reason}");
                break cut_at.elapsed();
            }
            Err(error) => panic!("{error}"),
        }
        assert!(cut_at.elapsed() < Duration::from_secs(60), "it should be blind by now");
    };
    assert!((12..=16).contains(&blind_after.as_secs()), "{blind_after:?}");
    assert!(matches!(scale(&bench).await, Err(ClusterError::Unavailable { .. })));
    sleep(Duration::from_secs(60)).await;
    bench.api.cut(false);
    let back = Instant::now();
    // What happened at the end of the silence is known before anything is said to be well.
    bench.api.put("pods", pod(9));
    bench.well().await;
    assert_eq!(bench.order().await.replicas.len(), 4);
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    bench.stop().await;
}

async fn scale(bench: &Bench) -> Result<(), ClusterError> {
    super::scale(bench, 9).await
}

#[tokio::test(start_paused = true)]
async fn watches_only_the_namespaces_it_is_told_to() {
    let api = shop(2);
    let mut elsewhere = pod(5);
    elsewhere["metadata"]["namespace"] = json!("other");
    api.put("pods", elsewhere);
    let namespaces = vec!["shop".to_owned(), "empty".to_owned()];
    let bench = Bench::start_with(api, KubernetesOptions { namespaces, ..KubernetesOptions::default() });
    bench.well().await;
    let workloads = bench.cluster.workloads().await.unwrap();
    assert_eq!((workloads.len(), workloads[0].replicas.len()), (1, 2));
    assert_eq!(bench.api.asked("GET nodes"), 1);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_of_pods_and_policies_are_told_of_their_workload() {
    let bench = Bench::with_pods(1).await;
    let event = |name: &str, object: serde_json::Value, related: serde_json::Value, second: u32| {
        json!({
            "metadata": { "namespace": "shop", "name": name },
            "involvedObject": object, "related": related,
            "reason": "BackOff", "message": "again", "type": "Warning", "count": 3,
            "lastTimestamp": format!("2026-11-23T04:00:{second:02}Z"),
        })
    };
    let about = |kind: &str, name: &str| json!({ "kind": kind, "namespace": "shop", "name": name, "uid": "" });
    bench.api.put("events", event("a", about("Pod", "order-1-0"), json!(null), 10));
    bench.api.put("events", event("b", about("ScalingPolicy", "p"), about("Deployment", "order"), 12));
    bench.api.put("events", event("c", about("Deployment", "order"), json!(null), 11));
    bench.api.put("events", event("d", about("Node", "a"), json!(null), 13));
    bench.api.put("events", event("e", about("Pod", "order-1-7"), json!(null), 14));
    eventually("three", || async { bench.cluster.events(9).await.unwrap().len() == 3 }).await;
    let told: Vec<String> = bench.cluster.events(9).await.unwrap().into_iter().map(|event| event.message).collect();
    assert_eq!(told, ["again (3 times)", "again (3 times)", "order-1-0: again (3 times)"]);
    assert_eq!(bench.cluster.events(1).await.unwrap()[0].kind, EventKind::Warning);
    // Of a pod that was not known yet when its event came.
    bench.api.put("pods", pod(7));
    eventually("four", || async { bench.cluster.events(9).await.unwrap().len() == 4 }).await;
    bench.stop().await;
}

/// A pod whose containers are no list.
fn odd(number: u32) -> serde_json::Value {
    let mut odd = pod(number);
    odd["spec"]["containers"] = json!("none");
    odd
}

#[tokio::test(start_paused = true)]
async fn an_object_of_an_unexpected_shape_costs_only_itself() {
    let api = shop(3);
    api.put("pods", odd(1));
    let bench = super::Bench::start(api);
    bench.well().await;
    assert_eq!(bench.order().await.replicas.len(), 2, "as long as it was never read");
    let lists = bench.api.asked("GET pods");
    bench.api.put("pods", odd(7));
    bench.api.put("pods", odd(2));
    bench.api.put("pods", pod(8));
    eventually("the others are told", || async { bench.order().await.replicas.len() == 3 }).await;
    let names = |workload: crate::Workload| workload.replicas.into_iter().map(|r| r.name).collect::<Vec<_>>();
    let left = names(bench.order().await);
    assert_eq!(left, ["order-1-0", "order-1-2", "order-1-8"], "what is odd now is left as it was");
    bench.api.delete("pods", "shop", "order-1-2");
    bench.api.put("pods", pod(7));
    eventually("what goes is gone, and what is mended is there", || async {
        names(bench.order().await) == ["order-1-0", "order-1-7", "order-1-8"]
    })
    .await;
    sleep(Duration::from_secs(60)).await;
    let pulses = 25;
    assert!(bench.api.asked("GET pods") - lists <= pulses, "nothing is listed anew for it");
    assert_eq!(bench.cluster.health().borrow().clone(), Health::Well);
    bench.api.end_watches(true, |_| {});
    sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.order().await.replicas.len(), 3, "a list forgets none that is odd");
    bench.stop().await;
}
