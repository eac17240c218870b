//! The unit tests of sorting objects: one that is wrong takes nobody else with it, the oldest has the target, and only what has
//! changed is read again.

use serde_json::{Value, json};

use super::*;
use crate::reconciler::tests::fake::FakeCluster;

/// An object made at `created_at_ms`, with a spec.
pub fn object(name: &str, created_at_ms: i64, generation: i64, spec: &Value) -> Arc<PolicyObject> {
    let manifest = json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    });
    Arc::new(PolicyObject {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        generation,
        created_at_ms,
        paused: false,
        resource_version: "1".to_owned(),
        manifest: manifest.to_string(),
        status: "null".to_owned(),
    })
}

/// A spec that is right.
pub fn spec(target: &str, max: u32) -> Value {
    json!({"target": {"kind": "Deployment", "name": target}, "replicas": {"max": max}})
}

fn name(name: &str) -> ObjectName {
    ObjectName { namespace: "shop".to_owned(), name: name.to_owned() }
}

#[test]
fn one_that_is_wrong_gets_its_exact_message_and_the_others_go_on() {
    let wrong = json!({"target": {"kind": "Deployment", "name": "cart"}, "replicas": {"min": 5, "max": 3}});
    let unknown = json!({"target": {"kind": "Deployment", "name": "user"}, "replicaz": {"max": 3}});
    let objects =
        [object("cart", 1, 1, &wrong), object("order", 2, 1, &spec("order", 4)), object("user", 3, 1, &unknown)];
    let sorted = Sorter::default().sort(&objects);
    let targets: Vec<&str> = sorted.set.iter().map(|policy| policy.target.name.as_str()).collect();
    assert_eq!(targets, ["order"]);
    assert_eq!(*sorted.standing(&name("order")), Standing::Steers);
    let refused = |message: &str| Standing::Refused { message: message.to_owned() };
    assert_eq!(*sorted.standing(&name("cart")), refused("spec.replicas: min 5 is above max 3: lower min or raise max"));
    let Standing::Refused { message } = sorted.standing(&name("user")) else { panic!("it was taken") };
    assert!(message.starts_with("spec.replicaz: unknown field `replicaz`") && !message.contains("line"), "{message}");
}

#[test]
fn of_several_that_want_one_workload_the_oldest_has_it_then_the_first_by_name() {
    let objects = [
        object("a", 20, 1, &spec("order", 4)),
        object("b", 10, 1, &spec("order", 5)),
        object("c", 10, 1, &spec("order", 6)),
    ];
    let sorted = Sorter::default().sort(&objects);
    assert_eq!(sorted.set.iter().map(|policy| policy.name.name.as_str()).collect::<Vec<_>>(), ["b"]);
    for loser in ["a", "c"] {
        let Standing::Rival { message } = sorted.standing(&name(loser)) else { panic!("{loser} steers") };
        assert_eq!(message, "Deployment shop/order is steered by the policy shop/b already, which is older");
    }
    let freed = Sorter::default().sort(&objects[..1]);
    assert_eq!(*freed.standing(&name("a")), Standing::Steers);
}

#[test]
fn only_another_generation_is_read_again() {
    let mut sorter = Sorter::default();
    let objects = [object("order", 1, 1, &spec("order", 4)), object("user", 1, 1, &spec("user", 4))];
    let first = sorter.sort(&objects);
    assert!(sorter.has_sorted(&objects));
    let edited = [object("order", 1, 2, &spec("order", 9)), Arc::clone(&objects[1])];
    assert!(!sorter.has_sorted(&edited));
    let second = sorter.sort(&edited);
    assert_eq!((second.set[0].bounds.max, second.set[1].bounds.max), (9, 4));
    assert!(std::ptr::eq(&first.set[1], &second.set[1]), "the same policy, not one like it");
    assert!(!sorter.has_sorted(&edited[1..]), "one less is a change");
}

#[tokio::test]
async fn who_is_paused_is_what_the_object_says() {
    let with = |paused: bool, version: &str| {
        let object = object("order", 1, 1, &spec("order", 4));
        let resource_version = version.to_owned();
        let objects = vec![Arc::new(PolicyObject { paused, resource_version, ..object.as_ref().clone() })];
        PolicyObjects { objects: Arc::new(objects), trouble: None }
    };
    let (objects, seen) = watch::channel(with(true, "10"));
    let (policies, set) = watch::channel(Arc::default());
    let state = Arc::new(State::new(set, Arc::new(FakeCluster::with(1))));
    let (health, shutdown) = (Health::default(), CancellationToken::new());
    let follower = Follower {
        objects: seen,
        sorted: watch::channel(Arc::new(Sorted::default())).0,
        policies,
        state: Arc::clone(&state),
        health,
    };
    let stop = shutdown.clone();
    let outside = async move {
        let settled = || async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        };
        settled().await;
        assert!(state.is_paused(&name("order")), "also by somebody else, before this process began");
        objects.send_replace(with(false, "11"));
        settled().await;
        assert!(!state.is_paused(&name("order")));
        state.pause_written(&name("order"), true, "13");
        objects.send_replace(with(false, "12"));
        settled().await;
        assert!(state.is_paused(&name("order")), "that version is from before it was written");
        objects.send_replace(with(false, "14"));
        settled().await;
        assert!(!state.is_paused(&name("order")));
        stop.cancel();
    };
    let (end, ()) = tokio::join!(follower.run(shutdown), outside);
    assert!(end.is_ok());
}
