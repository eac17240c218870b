//! Resizes in place: planned on the workload, carried out on its pods, kept for those that come, given up in time.

use std::time::Duration;

use protocol::quantity::Quantity;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{Bench, Gate, eventually, order, pod, shop};
use crate::{Cluster, ClusterError, Resources};

const PLAN: &str = "plimsoll.dev/resources";

fn sized(cpu: &str) -> Resources {
    let quantity = |text: &str| Quantity::parse(text).ok();
    Resources { cpu_request: quantity(cpu), memory_request: quantity("64Mi"), ..Resources::default() }
}

fn cpu_of(bench: &Bench, number: u32) -> String {
    let pod = bench.api.get("pods", "shop", &format!("order-1-{number}"));
    pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].as_str().unwrap().to_owned()
}

async fn resize(bench: &Bench, cpu: &str) -> Result<(), ClusterError> {
    bench.cluster.resize(&order(), "order", sized(cpu)).await
}

#[tokio::test(start_paused = true)]
async fn the_plan_is_written_first_and_pods_that_come_later_are_brought_to_it_once() {
    let bench = Bench::with_pods(3).await;
    resize(&bench, "200m").await.unwrap();
    sleep(Duration::from_secs(5)).await;
    let writes: Vec<String> = bench.api.writes().into_iter().map(|(what, _)| what).collect();
    assert_eq!(writes[0], "deployments order");
    assert_eq!((writes.len(), bench.api.asked("PATCH pods/resize")), (4, 3), "{writes:?}");
    let plan = bench.api.get("deployments", "shop", "order")["metadata"]["annotations"][PLAN].clone();
    let plan: serde_json::Value = serde_json::from_str(plan.as_str().unwrap()).unwrap();
    assert_eq!(plan["order"]["cpuRequest"], "200m");
    bench.api.put("pods", pod(3));
    eventually("the new one has it too", || async { cpu_of(&bench, 3) == "200m" }).await;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(bench.api.asked("PATCH pods/resize"), 4, "nothing is written twice");
    resize(&bench, "200m").await.unwrap();
    assert_eq!(bench.api.writes().len(), 5, "asking for what is there writes nothing");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_cluster_forbids_for_all_is_not_kept_as_a_plan() {
    let bench = Bench::with_pods(3).await;
    bench.api.deny("pods/resize", Some((403, "exceeded quota: small")));
    let refused = resize(&bench, "200m").await;
    let expected = "Deployment shop/order: refused: 3 of 3 pods, such as order-1-";
    assert!(refused.as_ref().unwrap_err().to_string().starts_with(expected), "{refused:?}");
    assert!(bench.api.get("deployments", "shop", "order")["metadata"]["annotations"][PLAN].is_null());
    bench.api.deny("pods/resize", None);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(cpu_of(&bench, 0), "100m");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_before_anything_is_written() {
    let bench = Bench::with_pods(3).await;
    let quota = json!({
        "metadata": { "namespace": "shop", "name": "small" },
        "status": { "hard": { "requests.cpu": "1" }, "used": { "requests.cpu": "300m" } },
    });
    bench.api.put("resourcequotas", quota);
    sleep(Duration::from_secs(1)).await;
    for (cpu, words) in [("5", "no node is large enough"), ("400m", "ResourceQuota small allows requests.cpu 1")] {
        let refused = resize(&bench, cpu).await;
        assert!(matches!(&refused, Err(ClusterError::Refused { reason, .. }) if reason.contains(words)), "{refused:?}");
    }
    assert!(bench.api.writes().is_empty());
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_pod_that_is_refused_is_tried_again_seldom_and_told_of_once() {
    let bench = Bench::with_pods(1).await;
    resize(&bench, "200m").await.unwrap();
    bench.api.deny("pods/resize", Some((403, "exceeded quota: small")));
    bench.api.put("pods", pod(1));
    sleep(Duration::from_secs(600)).await;
    let tried = bench.api.asked("PATCH pods/resize") - 1;
    assert!((3..=8).contains(&tried), "{tried} times in ten minutes");
    assert_eq!(bench.api.asked("POST events"), 1);
    bench.api.deny("pods/resize", None);
    sleep(Duration::from_secs(301)).await;
    assert_eq!(cpu_of(&bench, 1), "200m");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_keeps_sizes() {
    let api = shop(1);
    let gate = Gate::new(Err("plimsoll-1 leads".to_owned()));
    let plan = json!({ "order": { "cpuRequest": "200m", "memoryRequest": "64Mi" } }).to_string();
    let mut deployment = super::deployment(1);
    deployment["metadata"]["annotations"] = json!({ PLAN: plan });
    api.put("deployments", deployment);
    let bench = Bench::start_with(api, gate.options());
    bench.well().await;
    sleep(Duration::from_secs(120)).await;
    assert!(bench.api.writes().is_empty());
    *gate.0.lock() = Ok(Duration::from_secs(8));
    eventually("it leads now", || async { cpu_of(&bench, 0) == "200m" }).await;
    bench.stop().await;
}

/// For as many tenths of a second something changes somewhere, so that there is always a reason to look.
async fn churn(bench: &Bench, tenths: u32) {
    for count in 0..tenths {
        let allocatable = json!({ "cpu": "4", "memory": (8_u64 << 30) + u64::from(count) });
        bench.api.put("nodes", json!({ "metadata": { "name": "b" }, "status": { "allocatable": allocatable } }));
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_without_resize_is_named_and_no_plan_stays() {
    let bench = Bench::with_pods(2).await;
    bench.api.deny("pods/resize", Some((404, "the server could not find the requested resource")));
    let refused = resize(&bench, "200m").await;
    let words = "this API server has no pods/resize (in-place resize needs Kubernetes 1.33)";
    assert!(matches!(&refused, Err(ClusterError::Refused { reason, .. }) if reason.contains(words)), "{refused:?}");
    assert!(bench.api.get("deployments", "shop", "order")["metadata"]["annotations"][PLAN].is_null());
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_said_not_to_be_there_is_asked_for_ever_more_seldom() {
    let bench = Bench::with_pods(1).await;
    resize(&bench, "200m").await.unwrap();
    bench.api.deny("pods/resize", Some((404, "not found")));
    bench.api.put("pods", pod(1));
    churn(&bench, 200).await;
    let tried = bench.api.asked("PATCH pods/resize") - 1;
    assert!((2..=8).contains(&tried), "{tried} times in twenty seconds");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_resize_that_was_given_up_does_not_keep_its_pods() {
    let bench = Bench::with_pods(2).await;
    bench.api.hang_writes(true);
    timeout(Duration::from_secs(1), resize(&bench, "200m")).await.unwrap_err();
    bench.api.hang_writes(false);
    resize(&bench, "200m").await.unwrap();
    assert_eq!([cpu_of(&bench, 0), cpu_of(&bench, 1)], ["200m", "200m"]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_size_that_another_rounds_is_not_written_for_ever() {
    let bench = Bench::with_pods(1).await;
    bench.api.round_to("250m");
    resize(&bench, "200m").await.unwrap();
    churn(&bench, 600).await;
    let tried = bench.api.asked("PATCH pods/resize");
    assert!((2..=5).contains(&tried), "{tried} times in a minute");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_vertical_autoscaler_sizes_is_left_to_it() {
    let api = shop(1);
    let plan = json!({ "order": { "cpuRequest": "200m", "memoryRequest": "64Mi" } }).to_string();
    let mut deployment = super::deployment(1);
    deployment["metadata"]["annotations"] = json!({ PLAN: plan });
    api.put("deployments", deployment);
    api.install("verticalpodautoscalers");
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "order" });
    let vertical = json!({ "metadata": { "namespace": "shop", "name": "v" }, "spec": { "targetRef": target } });
    api.put("verticalpodautoscalers", vertical);
    let bench = Bench::start(api);
    bench.well().await;
    sleep(Duration::from_secs(120)).await;
    assert_eq!((bench.order().await.conflicts.len(), bench.api.asked("PATCH pods/resize")), (1, 0));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_refused_pods_are_told_of_once() {
    let bench = Bench::with_pods(1).await;
    resize(&bench, "200m").await.unwrap();
    bench.api.deny("pods/resize", Some((403, "exceeded quota: small")));
    for number in 1..9 {
        bench.api.deny("pods/resize", Some((403, &format!("order-1-{number} exceeds quota small"))));
        bench.api.put("pods", pod(number));
        sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(bench.api.asked("POST events"), 1);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_resize_without_an_answer_is_read_and_not_written_again() {
    let api = shop(1);
    let plan = json!({ "order": { "cpuRequest": "200m", "memoryRequest": "64Mi" } }).to_string();
    let mut deployment = super::deployment(1);
    deployment["metadata"]["annotations"] = json!({ PLAN: plan });
    api.put("deployments", deployment);
    api.lose_answers(Some("pods/resize"));
    let bench = Bench::start(api);
    bench.well().await;
    bench.api.withhold("pods", true);
    eventually("it is sent", || async { bench.api.asked("PATCH pods/resize") == 1 }).await;
    sleep(Duration::from_secs(6)).await;
    bench.api.lose_answers(None);
    sleep(Duration::from_secs(60)).await;
    assert_eq!((cpu_of(&bench, 0), bench.api.asked("PATCH pods/resize")), ("200m".to_owned(), 1));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_changed_unseen_is_tried_again_soon() {
    let bench = Bench::with_pods(1).await;
    resize(&bench, "200m").await.unwrap();
    let mut busy = pod(1);
    bench.api.put("pods", busy.clone());
    // Changes that nobody is told of, as they change nothing that is kept.
    busy["metadata"]["labels"] = json!({ "seen": "no" });
    bench.api.before_next_patch("pods", busy);
    let began = tokio::time::Instant::now();
    eventually("it has its size", || async { cpu_of(&bench, 1) == "200m" }).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_is_the_plan_then_the_template_then_what_pods_were_given() {
    let api = shop(1);
    let mut given = pod(0);
    given["spec"]["containers"][0]["resources"]["limits"] = json!({ "memory": "128Mi" });
    given["status"]["containerStatuses"] =
        json!([{ "name": "order", "resources": { "requests": { "cpu": "50m", "memory": "32Mi" } } }]);
    api.put("pods", given);
    let bench = Bench::start(api);
    bench.well().await;
    let wanted = || async { bench.cluster.wanted(&order()).await.unwrap()[0].resources.to_string() };
    assert_eq!(wanted().await, "cpu 100m up to none, memory 64Mi up to 128Mi");
    let size = Resources { memory_limit: Quantity::parse("128Mi").ok(), ..sized("200m") };
    bench.cluster.resize(&order(), "order", size).await.unwrap();
    assert_eq!(wanted().await, "cpu 200m up to none, memory 64Mi up to 128Mi");
    let specified = bench.cluster.specified(&order()).await.unwrap()[0].resources.to_string();
    assert_eq!(specified, "cpu 100m up to none, memory 64Mi up to 128Mi", "whatever is planned");
    bench.stop().await;
}
