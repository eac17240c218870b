//! The unit tests of what the objects are told: nothing when nothing has changed, everything that somebody waits for, and again
//! what was not taken. The loop in front of it is the real one, the API server one in memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use cluster::EventKind;
use cluster::kubernetes::lease::Standing as Lease;
use cluster::kubernetes::policies::PolicyObjects;
use lifecycle::metrics::Metrics;
use serde_json::{Value, json};

use super::*;
use crate::objects::Sorter;
use crate::objects::tests::{object, spec};
use crate::reconciler::tests::{Bench, name};

/// Keeps objects as an API server does.
struct FakeStore {
    objects: watch::Sender<PolicyObjects>,
    writes: Mutex<Vec<(String, Value)>>,
    events: Mutex<Vec<PolicyEvent>>,
    refuses: AtomicBool,
}

#[async_trait]
impl PolicyStore for FakeStore {
    fn objects(&self) -> watch::Receiver<PolicyObjects> {
        self.objects.subscribe()
    }

    async fn write_status(&self, object: &PolicyObject, status: &Value) -> Result<(), StoreError> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { reason: "etcd is slow".to_owned() });
        }
        self.writes.lock().unwrap().push((object.name.clone(), status.clone()));
        self.objects.send_modify(|all| {
            let changed = |known: &Arc<PolicyObject>| {
                if known.uid != object.uid {
                    return Arc::clone(known);
                }
                let version = (known.resource_version.parse::<u64>().unwrap() + 1).to_string();
                let status = status.to_string();
                Arc::new(PolicyObject { resource_version: version, status, ..known.as_ref().clone() })
            };
            all.objects = Arc::new(all.objects.iter().map(changed).collect());
        });
        Ok(())
    }

    async fn set_paused(&self, _: &str, _: &str, _: bool) -> Result<String, StoreError> {
        Err(StoreError::Gone)
    }

    async fn record_event(&self, event: PolicyEvent) -> Result<(), StoreError> {
        self.events.lock().unwrap().push(event);
        Ok(())
    }
}

struct Scene {
    bench: Bench,
    store: Arc<FakeStore>,
    publisher: Publisher,
    sorter: Sorter,
    sorts: watch::Sender<Arc<Sorted>>,
    sets: watch::Sender<Arc<PolicySet>>,
}

impl Scene {
    fn new(objects: Vec<Arc<PolicyObject>>, lead: Lead) -> Self {
        let all = PolicyObjects { objects: Arc::new(objects), trouble: None };
        let store = Arc::new(FakeStore {
            objects: watch::Sender::new(all),
            writes: Mutex::default(),
            events: Mutex::default(),
            refuses: AtomicBool::new(false),
        });
        let (sets, policies) = watch::channel(Arc::default());
        let (sorts, sorted) = watch::channel(Arc::new(Sorted::default()));
        let bench = Bench::over(2, Some(0.08), policies, lead.clone());
        let tools = Tools {
            store: Arc::clone(&store) as _,
            state: Arc::clone(&bench.state),
            sorted,
            lead,
            clock: Arc::new(bench.clock.clone()),
            instruments: Instruments::new(&Metrics::default()),
            health: Health::default(),
        };
        let mut scene = Self { bench, store, publisher: Publisher::new(tools), sorter: Sorter::default(), sorts, sets };
        scene.sort();
        scene
    }

    /// As `objects::follow` does when the objects have changed.
    fn sort(&mut self) {
        let sorted = Arc::new(self.sorter.sort(&self.store.objects.borrow().objects.clone()));
        self.sets.send_replace(Arc::clone(&sorted.set));
        self.sorts.send_replace(sorted);
    }

    async fn tick(&mut self) {
        self.bench.pass().await;
        self.publisher.round().await;
    }

    /// The statuses written since the last call.
    fn written(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.store.writes.lock().unwrap())
    }

    /// The events recorded since the last call, as `Reason: message`.
    fn told(&self) -> Vec<String> {
        let events = std::mem::take(&mut *self.store.events.lock().unwrap());
        events.iter().map(|event| format!("{}: {}", event.reason, event.message)).collect()
    }
}

/// CPU at 100m requested aims at 80 %.
fn order() -> Arc<PolicyObject> {
    object("order", 1, 1, &spec("order", 8))
}

#[tokio::test(start_paused = true)]
async fn a_hundred_idle_ticks_write_nothing() {
    let mut scene = Scene::new(vec![order()], Lead::default());
    scene.tick().await;
    let first = scene.written();
    assert_eq!(first.len(), 1);
    let status = &first[0].1;
    assert_eq!((&status["currentReplicas"], &status["desiredReplicas"]), (&json!(2), &json!(2)));
    assert_eq!((&status["reason"], &status["observedGeneration"]), (&json!("WithinTolerance"), &json!(1)));
    for tick in 0..100 {
        scene.bench.read(Some(0.08 + f64::from(tick % 7) / 1000.0));
        scene.tick().await;
    }
    assert_eq!((scene.written(), scene.told()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_change_is_written_and_told_once() {
    let mut scene = Scene::new(vec![order()], Lead::default());
    scene.tick().await;
    scene.written();
    scene.bench.read(Some(0.15));
    scene.tick().await;
    let status = &scene.written()[0].1;
    assert_eq!((&status["currentReplicas"], &status["lastDecision"]["applied"]), (&json!(4), &json!(true)));
    assert!(status["lastScaleTime"].is_string());
    assert_eq!(scene.told(), ["SuccessfulRescale: order 2 -> 4: cpu utilization 150% is above 80%"]);
    let events = scene.store.objects.borrow().objects[0].uid.clone();
    assert_eq!(events, "uid-order");
    scene.bench.read(Some(0.08));
    scene.tick().await;
    assert_eq!(scene.written().len(), 1, "four are ready now, and the decision is to hold");
    scene.tick().await;
    assert_eq!((scene.written(), scene.told()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_blackout_is_said_when_it_begins_and_when_it_ends() {
    let mut scene = Scene::new(vec![order()], Lead::default());
    scene.tick().await;
    scene.written();
    scene.bench.read(None);
    scene.tick().await;
    let status = &scene.written()[0].1;
    let active = &status["conditions"][2];
    assert_eq!((&active["type"], &active["status"]), (&json!("ScalingActive"), &json!("False")));
    let sentence = "order held at 2: metrics source did not answer: no answer within 5 s";
    assert_eq!((&active["reason"], &active["message"]), (&json!("MetricsUnavailable"), &json!(sentence)));
    assert_eq!(scene.told(), [format!("MetricsUnavailable: {sentence}")]);
    for _ in 0..10 {
        scene.tick().await;
    }
    assert_eq!((scene.written(), scene.told()), (vec![], vec![]));
    scene.bench.read(Some(0.08));
    scene.tick().await;
    assert_eq!(scene.written().len(), 1);
    assert_eq!(scene.told(), ["Recovered: order stays at 2: within tolerance (cpu utilization 80% of target 80%)"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_or_rivalled_is_told_and_the_others_go_on() {
    let wrong = json!({"target": {"kind": "Deployment", "name": "cart"}, "replicas": {"min": 5, "max": 3}});
    let objects = vec![object("cart", 1, 1, &wrong), order(), object("rival", 9, 1, &spec("order", 3))];
    let mut scene = Scene::new(objects, Lead::default());
    scene.tick().await;
    let reasons: Vec<(String, Value)> =
        scene.written().into_iter().map(|(name, s)| (name, s["reason"].clone())).collect();
    let of = |name: &str, reason: &str| (name.to_owned(), json!(reason));
    assert_eq!(reasons, [of("cart", "Invalid"), of("order", "WithinTolerance"), of("rival", "Conflict")]);
    let by = "Deployment shop/order is steered by the policy shop/order already, which is older";
    assert_eq!(
        scene.told(),
        [
            "InvalidPolicy: spec.replicas: min 5 is above max 3: lower min or raise max".to_owned(),
            format!("Conflict: {by}")
        ]
    );
    scene.tick().await;
    assert_eq!((scene.written(), scene.told()), (vec![], vec![]));
    // The mistake is mended: the next generation is accepted.
    scene.store.objects.send_modify(|all| {
        let mended = object("cart", 1, 2, &spec("cart", 3));
        all.objects = Arc::new(std::iter::once(mended).chain(all.objects.iter().skip(1).cloned()).collect());
    });
    scene.sort();
    scene.tick().await;
    let written = scene.written();
    assert_eq!((written[0].0.as_str(), &written[0].1["observedGeneration"]), ("cart", &json!(2)));
    assert_eq!(written[0].1["conditions"][0]["status"], json!("True"));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_is_tried_again_and_said_once() {
    let mut scene = Scene::new(vec![order()], Lead::default());
    scene.store.refuses.store(true, Ordering::SeqCst);
    scene.tick().await;
    scene.tick().await;
    assert!(scene.written().is_empty() && scene.publisher.ailing.is_some());
    scene.store.refuses.store(false, Ordering::SeqCst);
    scene.tick().await;
    assert_eq!((scene.written().len(), &scene.publisher.ailing), (1, &None));
}

#[tokio::test(start_paused = true)]
async fn a_follower_tells_nothing_and_a_new_leader_only_what_is_news() {
    let (election, standing) = watch::channel(Lease::Leading);
    let mut scene = Scene::new(vec![order()], Lead::elected(standing));
    scene.bench.read(None);
    scene.tick().await;
    assert_eq!((scene.written().len(), scene.told().len()), (1, 1));
    election.send_replace(Lease::Following { leader: "b".to_owned(), address: None });
    scene.bench.read(Some(0.15));
    scene.tick().await;
    assert_eq!((scene.written(), scene.told()), (vec![], vec![]));
    scene.bench.read(None);
    election.send_replace(Lease::Leading);
    scene.tick().await;
    assert_eq!((scene.written(), scene.told()), (vec![], vec![]), "the status says so already");
}

#[tokio::test(start_paused = true)]
async fn reasons_alone_are_not_written_every_tick() {
    let mut scene = Scene::new(vec![order()], Lead::default());
    let mut writes = 0;
    for tick in 0..60 {
        // 2 replicas at 80 % of target 80 %, and at 91 %: asks for 3 and is held, at the most allowed or within tolerance.
        scene.bench.read(Some(if tick % 2 == 0 { 0.08 } else { 0.06 }));
        scene.tick().await;
        writes += scene.written().len();
    }
    assert!((2..=6).contains(&writes), "{writes} writes in two minutes of a reason that turns every tick");
    assert_eq!(scene.told(), Vec::<String>::new());
    assert!(!scene.bench.state.is_paused(&name()));
    let _ = EventKind::Normal;
}
