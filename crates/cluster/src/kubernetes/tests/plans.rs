//! Plans that were made for another template, or that nobody can read: what rules then, who is told, and what becomes of the
//! annotation.

use std::time::Duration;

use protocol::quantity::Quantity;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Bench, eventually, order, pod, shop};
use crate::{Cluster, ClusterError, Resources};

const PLAN: &str = "plimsoll.dev/resources";

fn sized(cpu: &str) -> Resources {
    let quantity = |text: &str| Quantity::parse(text).ok();
    Resources { cpu_request: quantity(cpu), memory_request: quantity("64Mi"), ..Resources::default() }
}

async fn resize(bench: &Bench, container: &str, cpu: &str) -> Result<(), ClusterError> {
    bench.cluster.resize(&order(), container, sized(cpu)).await
}

fn cpu_of(bench: &Bench, number: u32) -> String {
    let pod = bench.api.get("pods", "shop", &format!("order-1-{number}"));
    pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].as_str().unwrap().to_owned()
}

/// What the annotation says; `null` where there is none.
fn plan(bench: &Bench) -> Value {
    let plan = bench.api.get("deployments", "shop", "order")["metadata"]["annotations"][PLAN].clone();
    plan.as_str().map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

/// The notes of events with this reason.
fn told(bench: &Bench, reason: &str) -> Vec<String> {
    let events = bench.api.writes().into_iter().filter(|(what, body)| what == "events" && body["reason"] == reason);
    events.map(|(_, body)| body["note"].as_str().unwrap().to_owned()).collect()
}

fn container(name: &str, cpu: &str) -> Value {
    json!({ "name": name, "resources": { "requests": { "cpu": cpu, "memory": "64Mi" } } })
}

fn with_template(bench: &Bench, containers: &[Value]) {
    let mut deployment = bench.api.get("deployments", "shop", "order");
    deployment["spec"]["template"]["spec"]["containers"] = json!(containers);
    bench.api.put("deployments", deployment);
}

fn new_pod(bench: &Bench, number: u32, containers: &[Value]) {
    let mut pod = pod(number);
    pod["spec"]["containers"] = json!(containers);
    bench.api.put("pods", pod);
}

async fn annotated(text: &str) -> Bench {
    let api = shop(1);
    let mut deployment = super::deployment(1);
    deployment["metadata"]["annotations"] = json!({ PLAN: text });
    api.put("deployments", deployment);
    let bench = Bench::start(api);
    bench.well().await;
    bench
}

#[tokio::test(start_paused = true)]
async fn a_template_with_other_resources_rules_over_a_plan_that_was_made_before() {
    let bench = Bench::with_pods(1).await;
    resize(&bench, "order", "200m").await.unwrap();
    assert_eq!(plan(&bench)["order"]["over"], json!({ "cpuRequest": "100m", "memoryRequest": "64Mi" }));
    with_template(&bench, &[container("order", "300m")]);
    new_pod(&bench, 1, &[container("order", "300m")]);
    eventually("the plan is gone", || async { plan(&bench).is_null() }).await;
    sleep(Duration::from_secs(120)).await;
    assert_eq!((cpu_of(&bench, 0), cpu_of(&bench, 1)), ("200m".to_owned(), "300m".to_owned()));
    let told = told(&bench, "PlanSuperseded");
    assert_eq!(
        told,
        [
            "the size planned for container order (cpu 200m up to none, memory 64Mi up to none) holds no longer: the pod template \
          says cpu 300m up to none, memory 64Mi up to none now, and cpu 100m up to none, memory 64Mi up to none when it was planned"
        ]
    );
    resize(&bench, "order", "250m").await.unwrap();
    assert_eq!((cpu_of(&bench, 0), cpu_of(&bench, 1)), ("250m".to_owned(), "250m".to_owned()));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_template_with_the_same_resources_leaves_the_plan_as_it_is() {
    let bench = Bench::with_pods(1).await;
    resize(&bench, "order", "200m").await.unwrap();
    let mut same = container("order", "0.1");
    same["image"] = json!("order:2");
    with_template(&bench, &[same]);
    new_pod(&bench, 1, &[container("order", "100m")]);
    eventually("the new one is brought to it", || async { cpu_of(&bench, 1) == "200m" }).await;
    assert!(told(&bench, "PlanSuperseded").is_empty());
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_a_template_that_is_not_known_yet_is_not_brought_to_the_old_plan() {
    let bench = Bench::with_pods(1).await;
    resize(&bench, "order", "200m").await.unwrap();
    bench.api.withhold("deployments", true);
    with_template(&bench, &[container("order", "300m")]);
    new_pod(&bench, 1, &[container("order", "300m")]);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(cpu_of(&bench, 1), "300m");
    bench.api.withhold("deployments", false);
    eventually("the plan is gone", || async { plan(&bench).is_null() }).await;
    assert_eq!(cpu_of(&bench, 1), "300m");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_does_not_say_over_what_it_was_made_holds() {
    let bench = annotated(r#"{"order":{"cpuRequest":"200m","memoryRequest":"64Mi"}}"#).await;
    eventually("it is carried out", || async { cpu_of(&bench, 0) == "200m" }).await;
    with_template(&bench, &[container("order", "300m")]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(plan(&bench)["order"]["cpuRequest"], "200m");
    assert!(told(&bench, "PlanSuperseded").is_empty());
    resize(&bench, "order", "250m").await.unwrap();
    assert_eq!(plan(&bench)["order"]["over"]["cpuRequest"], "300m", "written anew it says so");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_whose_annotation_cannot_be_removed_is_tried_again_seldom() {
    let bench = Bench::with_pods(1).await;
    resize(&bench, "order", "200m").await.unwrap();
    bench.api.deny("deployments", Some((403, "a webhook says no")));
    with_template(&bench, &[container("order", "300m")]);
    let before = bench.api.asked("PATCH deployments");
    sleep(Duration::from_secs(600)).await;
    let tried = bench.api.asked("PATCH deployments") - before;
    assert!((2..=8).contains(&tried), "{tried} times in ten minutes");
    assert!(told(&bench, "PlanSuperseded").is_empty(), "not before it is so");
    bench.api.deny("deployments", None);
    sleep(Duration::from_secs(301)).await;
    assert_eq!((plan(&bench), told(&bench, "PlanSuperseded").len()), (Value::Null, 1));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_planned_container_that_went_does_not_hold_up_the_others() {
    let gone = r#"{"old":{"cpuRequest":"1"},"order":{"cpuRequest":"200m","memoryRequest":"64Mi"}}"#;
    let bench = annotated(gone).await;
    eventually("the others are brought to it", || async { cpu_of(&bench, 0) == "200m" }).await;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(
        told(&bench, "PlanOutdated"),
        [
            "the size planned for container old (cpu 1 up to none, memory none up to none) is ignored: the pod template has no \
          such container"
        ]
    );
    assert_eq!(plan(&bench)["old"]["cpuRequest"], "1", "nothing is written for that alone");
    resize(&bench, "order", "250m").await.unwrap();
    assert_eq!((cpu_of(&bench, 0), plan(&bench)["old"].clone()), ("250m".to_owned(), Value::Null));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pods_that_lack_a_planned_container_are_of_another_template_and_hold_nothing_up() {
    let bench = Bench::with_pods(1).await;
    with_template(&bench, &[container("order", "100m"), container("proxy", "10m")]);
    new_pod(&bench, 1, &[container("order", "100m"), container("proxy", "10m")]);
    sleep(Duration::from_secs(1)).await;
    resize(&bench, "proxy", "20m").await.unwrap();
    let new = bench.api.get("pods", "shop", "order-1-1");
    assert_eq!(new["spec"]["containers"][1]["resources"]["requests"]["cpu"], "20m");
    let refused = resize(&bench, "nobody", "20m").await.unwrap_err().to_string();
    assert_eq!(refused, "Deployment shop/order: refused: it has no container \"nobody\", only order, proxy");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_cannot_be_read_is_told_of_once_and_nothing_is_resized_by_it() {
    let bench = annotated(r#"{"order":{"cpuRequest":"200 millis"}}"#).await;
    sleep(Duration::from_secs(1200)).await;
    let told = told(&bench, "PlanUnreadable");
    assert_eq!(told.len(), 1, "{told:?}");
    for words in [
        "the annotation plimsoll.dev/resources of Deployment shop/order cannot be read",
        "no pod is resized by it",
        "kubectl annotate deployment order -n shop plimsoll.dev/resources-",
    ] {
        assert!(told[0].contains(words), "{told:?}");
    }
    assert_eq!((cpu_of(&bench, 0), bench.api.asked("PATCH pods/resize")), ("100m".to_owned(), 0));
    resize(&bench, "order", "100m").await.unwrap();
    assert_eq!(plan(&bench)["order"]["cpuRequest"], "100m", "an explicit one is written over it");
    bench.stop().await;
}
