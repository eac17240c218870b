//! Resources over real HTTP: what any Prometheus says of throttling, kills and the days before becomes another size, or does not.

use cluster::Resources;
use protocol::quantity::Quantity;
use protocol::scaling::ResourceRecord;

use super::*;

const POLICY: &str = "apiVersion: plimsoll.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: order, namespace: shop}
spec:
  target: {kind: Deployment, name: order}
  replicas: {min: 1, max: 6}
  signals: [{utilization: {resource: cpu, target: 65%}}]
  resources: {cpu: {min: 20m, max: 2}, memory: {min: 16Mi, max: 512Mi}}
";

/// What the fake server says of each of the two replicas.
#[derive(Debug, Default)]
struct Said {
    /// The share of periods in which it was throttled, in percent; 0 says nothing.
    throttled: AtomicU64,
    /// Kills so far.
    kills: AtomicU64,
    /// MiB used in the eight days before; 0 knows nothing of them.
    past_mib: AtomicU64,
    /// Whether it still says what memory is used.
    forgets_memory: AtomicU64,
}

fn series(values: &[(&str, f64)]) -> Vec<Value> {
    let labels = |n: u32, measure: &str| json!({"namespace": "shop", "pod": format!("order-{n}"), "container": "order", "measure": measure});
    let of = |(measure, value): &(&str, f64)| {
        let value = value.to_string();
        (0..2).map(|n| json!({"metric": labels(n, measure), "value": [now(), value]})).collect::<Vec<_>>()
    };
    values.iter().flat_map(of).collect()
}

async fn instant(State(said): State<Arc<Said>>, Form(form): Form<HashMap<String, String>>) -> Json<Value> {
    let query = &form["query"];
    let get = |number: &AtomicU64| number.load(Ordering::SeqCst) as f64;
    let result = if query.contains("cfs_throttled") {
        let mut measures = vec![("kills", get(&said.kills))];
        measures.extend((get(&said.throttled) > 0.0).then(|| ("throttled", get(&said.throttled) / 100.0)));
        series(&measures)
    } else if query.contains("working_set") && get(&said.forgets_memory) > 0.0 {
        Vec::new()
    } else if query.contains("timestamp") {
        series(&[("", now() - 1.0)])
    } else if query.contains("working_set") {
        series(&[("", 50.0 * 1_048_576.0)])
    } else {
        series(&[("", 0.065)])
    };
    Json(json!({"status": "success", "data": {"resultType": "vector", "result": result}}))
}

async fn range(State(said): State<Arc<Said>>, Form(form): Form<HashMap<String, String>>) -> Json<Value> {
    let read = |name: &str| form[name].parse::<f64>().unwrap();
    let mib = said.past_mib.load(Ordering::SeqCst) as f64;
    let level = if form["query"].contains("working_set") { mib * 1_048_576.0 } else { 0.065 };
    let steps = ((read("end") - read("start")) / read("step")) as u32;
    let values: Vec<Value> =
        (0..=steps).map(|n| json!([read("start") + f64::from(n) * read("step"), level.to_string()])).collect();
    let result = if mib > 0.0 { vec![json!({"metric": {"container": "order"}, "values": values})] } else { Vec::new() };
    Json(json!({"status": "success", "data": {"resultType": "matrix", "result": result}}))
}

/// An autoscaler that believes replicas from their start on, and what its server says.
async fn start_saying(said: Said) -> (Running, Arc<Said>) {
    let said = Arc::new(said);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let prometheus = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let router = Router::new().route("/api/v1/query", post(instant)).route("/api/v1/query_range", post(range));
    let router = router.with_state(Arc::clone(&said));
    let set = policy::from_documents(protocol::yaml::split(Path::new("order.yaml"), POLICY)).unwrap();
    let mut running = start_with(move |options| {
        (options.prometheus, options.policies) = (prometheus, autoscaler::Policies::Files(set));
        options.startup.cpu_initialization = Duration::ZERO;
    })
    .await;
    running.tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (running, said)
}

fn of<'a>(record: &'a DecisionRecord, resource: &str) -> Option<&'a ResourceRecord> {
    record.resources.iter().find(|record| record.resource == resource)
}

#[tokio::test]
async fn a_throttled_container_is_given_more_and_the_number_of_replicas_stays() {
    let (running, said) = start_saying(Said::default()).await;
    let held = running.record(|r| of(r, "cpu").is_some()).await;
    assert_eq!(of(&held, "cpu").unwrap().message, "cpu of order stays at 100m: not known yet what it uses");
    let name = ObjectName { namespace: "shop".to_owned(), name: "order".to_owned() };
    running.client.pause(&name).await.unwrap();
    said.throttled.store(50, Ordering::SeqCst);
    let wished = running.record(|r| of(r, "cpu").is_some_and(|cpu| cpu.wish > cpu.from)).await;
    let words = "cpu of order 100m -> 150m: its limit held it back in 50% of its periods";
    assert_eq!(of(&wished, "cpu").unwrap().message, format!("{words} (not carried out: paused)"));
    assert!(running.cluster.resized.lock().unwrap().is_empty(), "a pause holds resources, too");

    running.client.resume(&name).await.unwrap();
    let done = running.record(|r| of(r, "cpu").is_some_and(|cpu| cpu.applied)).await;
    assert_eq!((of(&done, "cpu").unwrap().message.as_str(), done.outcome), (words, protocol::scaling::Outcome::Hold));
    let after = running.record(|r| r.sequence > done.sequence + 2).await;
    let utilization = after.signals[0].value;
    assert_eq!(
        (after.to, utilization),
        (2, Some(65.0)),
        "of what the manifest requests, whatever was resized: {after:?}"
    );
    let resized: Vec<String> = running.cluster.resized.lock().unwrap().iter().map(Resources::to_string).collect();
    assert_eq!(resized, ["cpu 150m up to none, memory 64Mi up to none"], "once");
    let events = running.cluster.events.lock().unwrap().clone();
    let told = events.iter().find(|event| event.reason == "ResizeRequested").unwrap();
    assert_eq!(told.message, format!("{words} of Deployment shop/order, in place"));
    running.end().await;
}

#[tokio::test]
async fn a_kill_is_counted_once_and_memory_that_nobody_reads_is_not_cut() {
    let (running, said) = start_saying(Said { past_mib: AtomicU64::new(10), ..Said::default() }).await;
    // Eight days of 10 MiB would do with less; 50 MiB are used now, of 64.
    let held = running.record(|r| of(r, "memory").is_some_and(|memory| memory.model.is_some())).await;
    assert_eq!(of(&held, "memory").unwrap().wish, Some(64.0 * 1_048_576.0), "{held:?}");
    said.forgets_memory.store(1, Ordering::SeqCst);
    said.kills.store(1, Ordering::SeqCst);
    let killed =
        running.record(|r| of(r, "memory").is_some_and(|memory| memory.guards.iter().any(|g| g.guard == "kill"))).await;
    let memory = of(&killed, "memory").unwrap();
    let kill = memory.guards.iter().find(|guard| guard.guard == "kill").unwrap();
    assert!(kill.after >= 60.0 * 1_048_576.0 && memory.wish >= memory.from, "{memory:?}");
    running.end().await;
}

#[tokio::test]
async fn what_was_used_in_the_days_before_is_known_at_the_start() {
    let (running, _) = start_saying(Said { past_mib: AtomicU64::new(200), ..Said::default() }).await;
    let raised = running.record(|r| of(r, "memory").is_some_and(|memory| memory.applied)).await;
    let memory = of(&raised, "memory").unwrap();
    assert_eq!(memory.message, "memory of order 64Mi -> 230Mi: 200Mi was used within the last eight days");
    assert_eq!((memory.models.len(), memory.hours_known >= 23.0), (5, true));
    let wanted = running.cluster.wanted.lock().unwrap().memory_request;
    assert_eq!(wanted, Quantity::parse("230Mi").ok());
    running.end().await;
}
