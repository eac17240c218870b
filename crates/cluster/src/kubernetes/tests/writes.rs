//! Writes: on the version that was planned on, within the time that the fence gives, and refused in words that say why.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Bench, Gate, deployment, eventually, order, scale, shop};
use crate::{Cluster, ClusterError, Event, EventKind, Replicas, WorkloadRef};

#[tokio::test(start_paused = true)]
async fn a_write_carries_the_version_that_was_planned_on() {
    let bench = Bench::with_pods(2).await;
    let before = bench.api.get("deployments", "shop", "order")["metadata"]["resourceVersion"].clone();
    bench.order().await;
    scale(&bench, 5).await.unwrap();
    let writes = bench.api.writes();
    assert_eq!(
        writes,
        [(
            "deployments/scale order".to_owned(),
            json!({ "metadata": { "resourceVersion": before }, "spec": { "replicas": 5 } })
        )]
    );
    assert_eq!(bench.order().await.desired, Replicas(5), "what was answered can be seen");
    scale(&bench, 5).await.unwrap();
    assert_eq!(bench.api.writes().len(), 1, "asking for what is there writes nothing");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_status_is_no_reason_to_refuse_but_another_specification_is() {
    let bench = Bench::with_pods(2).await;
    bench.order().await;
    let mut busy = deployment(2);
    busy["status"]["readyReplicas"] = json!(1);
    bench.api.before_next_patch("deployments", busy);
    scale(&bench, 4).await.unwrap();
    eventually("it is known", || async { bench.order().await.desired == Replicas(4) }).await;
    bench.api.before_next_patch("deployments", deployment(7));
    let refused = scale(&bench, 5).await;
    assert!(
        matches!(&refused, Err(ClusterError::Refused { reason, .. }) if reason.contains("changed meanwhile")),
        "{refused:?}"
    );
    assert_eq!(bench.api.get("deployments", "shop", "order")["spec"]["replicas"], 7, "the other's write stands");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_write_stays_open_beyond_the_lease_and_none_is_made_by_who_does_not_lead() {
    let gate = Gate::new(Ok(Duration::from_secs(2)));
    let bench = Bench::start_with(shop(2), gate.options());
    bench.well().await;
    bench.api.hang_writes(true);
    let began = Instant::now();
    let outcome = scale(&bench, 3).await;
    assert!(matches!(outcome, Err(ClusterError::Unknown { .. })), "{outcome:?}");
    assert_eq!(began.elapsed().as_secs(), 2);
    bench.api.hang_writes(false);
    *gate.0.lock() = Err("plimsoll-1 leads".to_owned());
    let before = bench.api.asked("PATCH deployments/scale");
    let event =
        Event { at_ms: 0, workload: order(), kind: EventKind::Normal, reason: "A".to_owned(), message: "b".to_owned() };
    let size = crate::Resources {
        cpu_request: protocol::quantity::Quantity::parse("1").ok(),
        memory_request: protocol::quantity::Quantity::parse("64Mi").ok(),
        ..Default::default()
    };
    for outcome in [
        scale(&bench, 3).await,
        bench.cluster.resize(&order(), "order", size).await,
        bench.cluster.roll_out(&order(), "order", size).await,
        bench.cluster.set_deletion_costs(&order(), &[("order-1-0".to_owned(), 7)]).await,
        bench.cluster.record_event(event).await,
    ] {
        assert!(
            matches!(&outcome, Err(ClusterError::NotLeader { reason }) if reason == "plimsoll-1 leads"),
            "{outcome:?}"
        );
    }
    assert_eq!(bench.api.asked("PATCH deployments/scale"), before);
    assert_eq!(bench.api.asked("PATCH pods/resize") + bench.api.asked("POST events"), 0);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_refusal_has_its_own_words() {
    let bench = Bench::with_pods(2).await;
    let user = "system:serviceaccount:plimsoll:autoscaler";
    let rbac = format!(
        "deployments.apps \"order\" is forbidden: User {user:?} cannot patch resource \"deployments/scale\" in API group \"apps\""
    );
    let cases: [(u16, &str, &str); 6] = [
        (
            403,
            &rbac,
            "Deployment shop/order: not allowed: system:serviceaccount:plimsoll:autoscaler may not patch deployments/scale in \
            namespace shop: add a rule {apiGroups: [\"apps\"], resources: [deployments/scale], verbs: [patch]} to its Role or ClusterRole",
        ),
        (403, "exceeded quota: small", "Deployment shop/order: refused: exceeded quota: small"),
        (422, "replicas: must be less", "Deployment shop/order: refused: replicas: must be less"),
        (
            403,
            "denied: only the leader may write: b leads",
            "another autoscaler leads: denied: only the leader may write: b leads",
        ),
        (
            401,
            "Unauthorized",
            "the cluster did not answer: the API server does not accept our credentials: Unauthorized",
        ),
        (500, "etcd is slow", "the cluster did not answer: etcd is slow"),
    ];
    for (code, message, expected) in cases {
        bench.api.deny("deployments/scale", Some((code, message)));
        assert_eq!(scale(&bench, 9).await.unwrap_err().to_string(), expected);
    }
    let nobody = WorkloadRef { name: "nobody".to_owned(), ..order() };
    let answer = bench.cluster.set_replicas(&nobody, Replicas(1)).await;
    assert!(matches!(answer, Err(ClusterError::NotFound { .. })), "{answer:?}");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_costs_that_differ_are_written() {
    let bench = Bench::with_pods(3).await;
    let costs = |first: i32| vec![("order-1-0".to_owned(), first), ("order-1-1".to_owned(), 0), ("gone".to_owned(), 3)];
    bench.cluster.set_deletion_costs(&order(), &costs(-4)).await.unwrap();
    bench.cluster.set_deletion_costs(&order(), &costs(-4)).await.unwrap();
    assert_eq!(bench.api.asked("PATCH pods"), 1);
    let annotations = &bench.api.get("pods", "shop", "order-1-0")["metadata"]["annotations"];
    assert_eq!(annotations["controller.kubernetes.io/pod-deletion-cost"], "-4");
    bench.cluster.set_deletion_costs(&order(), &costs(2)).await.unwrap();
    assert_eq!(bench.api.asked("PATCH pods"), 2);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_admission_does_not_know_yet_tries_again_soon() {
    let bench = Bench::with_pods(2).await;
    bench.order().await;
    bench.api.deny("deployments/scale", Some((403, "denied: only the leader may write: nobody leads")));
    let learns = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.api.deny("deployments/scale", None);
    };
    let (outcome, ()) = tokio::join!(scale(&bench, 4), learns);
    outcome.unwrap();
    assert_eq!(bench.api.get("deployments", "shop", "order")["spec"]["replicas"], 4);
    bench.api.deny("deployments/scale", Some((403, "denied: only the leader may write: b leads")));
    let (began, before) = (Instant::now(), bench.api.asked("PATCH deployments/scale"));
    scale(&bench, 5).await.unwrap_err();
    assert_eq!(bench.api.asked("PATCH deployments/scale") - before, 8, "but not for ever");
    assert!(began.elapsed() < Duration::from_secs(3));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_became_of_a_write_without_an_answer_is_read_before_the_next_decision() {
    let bench = Bench::with_pods(2).await;
    bench.order().await;
    bench.api.withhold("deployments", true);
    bench.api.lose_answers(Some("deployments/scale"));
    let unknown = scale(&bench, 3).await;
    let words = "Deployment shop/order: whether it was carried out is not known: no answer to patch deployments/scale within 5.0 s";
    assert_eq!(unknown.unwrap_err().to_string(), words);
    bench.api.lose_answers(None);
    assert_eq!(bench.order().await.desired, Replicas(3), "though the watch is silent");
    scale(&bench, 4).await.unwrap();
    assert_eq!(bench.api.asked("PATCH deployments/scale"), 2, "it was planned on what was read");
    // Nobody waited for it.
    bench.api.lose_answers(Some("deployments/scale"));
    tokio::time::timeout(std::time::Duration::from_secs(1), scale(&bench, 6)).await.unwrap_err();
    assert_eq!(bench.order().await.desired, Replicas(6));
    bench.api.lose_answers(None);
    bench.stop().await;
}
