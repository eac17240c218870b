//! How scaling policies are watched and told of when the API server does not know them, forbids, refuses or forgets. Time is
//! paused: minutes pass at once.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;
use crate::WorkloadKind;
use crate::kubernetes::tests::fake_api::FakeApi;

struct Scene {
    api: FakeApi,
    policies: KubernetesPolicies,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

fn scene(api: FakeApi, options: PolicyOptions) -> Scene {
    let (policies, watch) = KubernetesPolicies::over(api.client(), options);
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let task = tokio::spawn(async move { watch.run(token).await.unwrap() });
    Scene { api, policies, shutdown, task }
}

impl Scene {
    async fn until(&self, what: &str, wanted: impl FnMut(&PolicyObjects) -> bool) -> PolicyObjects {
        let mut objects = self.policies.objects();
        let found = timeout(Duration::from_secs(60), objects.wait_for(wanted)).await;
        found.unwrap_or_else(|_| panic!("never {what}")).unwrap().clone()
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

fn object(name: &str, max: u32) -> Value {
    json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "creationTimestamp": "2026-11-23T05:00:00Z",
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {"target": {"kind": "Deployment", "name": name}, "replicas": {"max": max}},
    })
}

fn names(objects: &PolicyObjects) -> Vec<&str> {
    objects.objects.iter().map(|object| object.name.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn objects_come_change_and_go() {
    let api = FakeApi::new();
    api.put("scalingpolicies", object("order", 4));
    let scene = scene(api, PolicyOptions::default());
    let first = scene.until("read", |objects| objects.trouble.is_none()).await;
    let order = first.objects[0].as_ref();
    assert_eq!((order.namespace.as_str(), order.name.as_str(), order.generation), ("shop", "order", 1));
    assert_eq!((order.created_at_ms, order.status.as_str()), (1_795_410_000_000, "null"));
    let manifest: Value = serde_json::from_str(&order.manifest).unwrap();
    assert_eq!(manifest["metadata"], json!({"name": "order", "namespace": "shop"}), "only what a file may hold");
    assert_eq!(manifest["spec"]["replicas"]["max"], json!(4));

    scene.api.put("scalingpolicies", object("cart", 2));
    scene.until("both, by name", |objects| names(objects) == ["cart", "order"]).await;
    scene.api.put("scalingpolicies", object("order", 9));
    scene.until("edited", |objects| objects.objects[1].generation == 2).await;
    scene.api.end_watches(true, |api| api.delete("scalingpolicies", "shop", "cart"));
    scene.until("gone, though nobody was told", |objects| names(objects) == ["order"]).await;
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_is_missing_is_told_once_with_its_remedy_and_waited_for() {
    let api = FakeApi::new();
    api.remove("scalingpolicies");
    let scene = scene(api, PolicyOptions::default());
    let missing =
        scene.until("missing", |objects| objects.trouble.as_ref().is_some_and(|t| t.contains("knows no"))).await;
    assert_eq!(
        missing.trouble.as_deref(),
        Some(
            "the API server knows no ScalingPolicy of plimsoll.dev/v1alpha1; install or renew it with `plimsoll crd | kubectl \
             apply -f -`"
        )
    );
    let asked = scene.api.asked("GET scalingpolicies");
    tokio::time::sleep(Duration::from_secs(120)).await;
    let more = scene.api.asked("GET scalingpolicies") - asked;
    assert!((8..=30).contains(&more), "{more} questions in two minutes");
    scene.api.put("scalingpolicies", object("order", 4));
    scene.api.install("scalingpolicies");
    let found = scene.until("installed", |objects| objects.trouble.is_none()).await;
    assert_eq!(names(&found), ["order"]);

    // Deleted while it runs: all policies are gone with it.
    scene.api.remove("scalingpolicies");
    scene.api.end_watches(false, |_| {});
    scene.until("deleted", |objects| objects.trouble.is_some() && objects.objects.is_empty()).await;
    scene.api.install("scalingpolicies");
    scene.until("there again", |objects| objects.trouble.is_none() && names(objects) == ["order"]).await;
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_taken_away_keeps_what_is_known() {
    let api = FakeApi::new();
    api.put("scalingpolicies", object("order", 4));
    let scene = scene(api, PolicyOptions { namespaces: vec!["shop".to_owned()], ..PolicyOptions::default() });
    scene.until("read", |objects| objects.trouble.is_none()).await;
    scene.api.forbid("scalingpolicies", true);
    let forbidden = scene.until("forbidden", |objects| objects.trouble.is_some()).await;
    assert!(
        forbidden.trouble.unwrap().starts_with("the scaling policies may not be read: scalingpolicies is forbidden")
    );
    assert_eq!(forbidden.objects.len(), 1);
    scene.api.forbid("scalingpolicies", false);
    scene.until("allowed", |objects| objects.trouble.is_none()).await;
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_with_odd_metadata_costs_no_other() {
    let api = FakeApi::new();
    api.put("scalingpolicies", object("order", 4));
    let mut odd = object("cart", 2);
    odd["metadata"]["creationTimestamp"] = json!(7);
    odd["metadata"]["labels"] = json!("none");
    api.put("scalingpolicies", odd.clone());
    let scene = scene(api, PolicyOptions::default());
    scene.until("both", |objects| objects.trouble.is_none() && names(objects) == ["cart", "order"]).await;
    odd["metadata"]["name"] = json!("late");
    scene.api.put("scalingpolicies", odd);
    scene.api.put("scalingpolicies", object("user", 1));
    scene.until("all", |objects| names(objects) == ["cart", "late", "order", "user"]).await;
    scene.end().await;
}

fn status() -> Value {
    json!({"observedGeneration": 1, "reason": "SameCount", "lastScaleTime": null})
}

#[tokio::test(start_paused = true)]
async fn a_status_is_merged_into_the_version_that_was_judged() {
    let api = FakeApi::new();
    api.put("scalingpolicies", object("order", 4));
    let scene = scene(api, PolicyOptions::default());
    let first = scene.until("read", |objects| objects.trouble.is_none()).await;
    let judged = first.objects[0].as_ref();
    assert_eq!(scene.policies.write_status(judged, &status()).await, Ok(()));
    let (place, body) = scene.api.writes()[0].clone();
    assert_eq!(place, "scalingpolicies/status order");
    assert_eq!(body["metadata"]["resourceVersion"], json!(judged.resource_version));
    assert_eq!(scene.policies.write_status(judged, &status()).await, Err(StoreError::Outrun), "it has changed since");

    let now = scene.until("told", |objects| objects.objects[0].status.contains("SameCount")).await;
    let now = now.objects[0].as_ref();
    for (answer, expected) in [
        ((403, "no"), StoreError::Forbidden { reason: "no".to_owned() }),
        ((404, "the server could not find it"), StoreError::OldDefinition { missing: "its status subresource" }),
        ((500, "etcd"), StoreError::Unavailable { reason: "etcd".to_owned() }),
    ] {
        scene.api.deny("scalingpolicies/status", Some(answer));
        assert_eq!(scene.policies.write_status(now, &status()).await, Err(expected));
    }
    scene.api.deny("scalingpolicies/status", None);
    let dropped = scene.policies.write_status(now, &json!({"observedGeneration": null})).await;
    assert!(
        dropped.unwrap_err().to_string().contains("plimsoll crd | kubectl apply -f -"),
        "what it drops it does not know"
    );
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_an_annotation_that_anybody_may_set() {
    let api = FakeApi::new();
    api.put("scalingpolicies", object("order", 4));
    let scene = scene(api, PolicyOptions::default());
    let first = scene.until("read", |objects| objects.trouble.is_none()).await;
    assert!(!first.objects[0].paused);
    let version = scene.policies.set_paused("shop", "order", true).await.unwrap();
    let (place, body) = scene.api.writes()[0].clone();
    assert_eq!(place, "scalingpolicies order");
    assert_eq!(body, json!({"metadata": {"annotations": {"plimsoll.dev/paused": "true"}}}));
    let paused = scene.until("paused", |objects| objects.objects[0].paused).await;
    assert_eq!(paused.objects[0].resource_version, version);
    scene.policies.set_paused("shop", "order", false).await.unwrap();
    scene.until("resumed", |objects| !objects.objects[0].paused).await;
    for (said, paused) in [("yes", true), ("False", false), ("", true)] {
        let mut object = object("order", 4);
        object["metadata"]["annotations"] = json!({"plimsoll.dev/paused": said});
        scene.api.put("scalingpolicies", object);
        scene.until(said, |objects| objects.objects[0].paused == paused).await;
    }
    let gone = scene.policies.set_paused("shop", "user", true).await;
    assert_eq!(gone, Err(StoreError::Gone));
    let late = "ValidatingAdmissionPolicy denied request: only the leader may write: held by plimsoll-1";
    scene.api.deny("scalingpolicies", Some((403, late)));
    let refused = scene.policies.set_paused("shop", "order", true).await;
    assert_eq!(refused, Err(StoreError::NotLeader { reason: late.to_owned() }));
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_admission_does_not_know_yet_writes_its_status_soon() {
    let api = FakeApi::new();
    api.put("scalingpolicies", object("order", 4));
    let scene = scene(api, PolicyOptions::default());
    let first = scene.until("read", |objects| objects.trouble.is_none()).await;
    scene.api.deny("scalingpolicies/status", Some((422, "denied: only the leader may write: nobody leads")));
    let learns = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        scene.api.deny("scalingpolicies/status", None);
    };
    let new = status();
    let (outcome, ()) = tokio::join!(scene.policies.write_status(&first.objects[0], &new), learns);
    assert_eq!(outcome, Ok(()));
    let before = scene.api.asked("PATCH scalingpolicies/status");
    let words = "denied: only the leader may write: b leads";
    scene.api.deny("scalingpolicies/status", Some((403, words)));
    let refused = scene.policies.write_status(&first.objects[0], &new).await;
    assert_eq!(refused, Err(StoreError::NotLeader { reason: words.to_owned() }));
    assert_eq!(scene.api.asked("PATCH scalingpolicies/status") - before, 8, "but not for ever");
    scene.end().await;
}

struct Closed;

impl Fence for Closed {
    fn check(&self) -> Result<Instant, String> {
        Err("plimsoll-1 leads".to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_writes_nothing() {
    let api = FakeApi::new();
    api.put("scalingpolicies", object("order", 4));
    let scene = scene(api, PolicyOptions { fence: Some(Arc::new(Closed)), ..PolicyOptions::default() });
    let first = scene.until("read", |objects| objects.trouble.is_none()).await;
    let refused = Err(StoreError::NotLeader { reason: "plimsoll-1 leads".to_owned() });
    assert_eq!(scene.policies.write_status(&first.objects[0], &status()).await, refused);
    assert_eq!(scene.policies.record_event(event()).await, refused);
    assert_eq!(scene.api.writes(), []);
    scene.end().await;
}

fn event() -> PolicyEvent {
    PolicyEvent {
        namespace: "shop".to_owned(),
        name: "order".to_owned(),
        uid: "scalingpolicies-shop-order".to_owned(),
        kind: EventKind::Warning,
        reason: "MetricsUnavailable".to_owned(),
        action: "Evaluate",
        message: "order held at 2: ".repeat(100),
        workload: Some(WorkloadRef {
            kind: WorkloadKind::Deployment,
            namespace: "shop".to_owned(),
            name: "order".to_owned(),
        }),
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_names_policy_and_workload_and_the_same_one_again_is_counted() {
    let scene = scene(FakeApi::new(), PolicyOptions { reporter: "plimsoll-0".to_owned(), ..PolicyOptions::default() });
    assert_eq!(scene.policies.record_event(event()).await, Ok(()));
    let (place, body) = scene.api.writes()[0].clone();
    assert_eq!(place, "events");
    let regarding = &body["regarding"];
    assert_eq!(
        (&regarding["kind"], &regarding["uid"]),
        (&json!("ScalingPolicy"), &json!("scalingpolicies-shop-order"))
    );
    assert_eq!((&body["related"]["kind"], &body["related"]["apiVersion"]), (&json!("Deployment"), &json!("apps/v1")));
    assert_eq!((&body["reportingInstance"], &body["type"]), (&json!("plimsoll-0"), &json!("Warning")));
    assert!(body["note"].as_str().unwrap().len() <= 1_024);

    scene.api.put("events", body.clone());
    assert_eq!(scene.policies.record_event(event()).await, Ok(()));
    let again = scene.api.writes()[1].1.clone();
    assert_eq!(again["series"]["count"], json!(2));
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert_eq!(scene.policies.record_event(event()).await, Ok(()));
    assert!(scene.api.writes()[2].1["series"].is_null(), "later it is told anew");
    scene.end().await;
}
