//! Objectives in the whole autoscaler: a service that burns its budget keeps its replicas, and the API says why.

use super::*;
use protocol::slos::ObjectiveState;

const OBJECTIVES: &str = "apiVersion: plimsoll.dev/v1alpha1
kind: ServiceLevelObjectives
metadata: {name: shop, namespace: shop}
spec: {objectives: [{service: order, availability: 99.9%}]}
";

/// Nine of ten requests fail, and always have.
async fn query_range(Form(form): Form<HashMap<String, String>>) -> Json<Value> {
    let number = |name: &str| form[name].parse::<f64>().unwrap();
    let (start, end, step) = (number("start"), number("end"), number("step"));
    let points = ((end - start) / step) as usize + 1;
    let series = |part: &str, amount: u32| {
        let values: Vec<Value> = (0..points).map(|n| json!([start + n as f64 * step, amount.to_string()])).collect();
        json!({"metric": {"slo_part": part}, "values": values})
    };
    let result = [series("b0", 90), series("t0", 100)];
    Json(json!({"status": "success", "data": {"resultType": "matrix", "result": result}}))
}

#[tokio::test]
async fn a_service_that_burns_its_budget_is_not_scaled_in() {
    let load = Load::new(AtomicU64::new(65));
    let mut tasks = tokio::task::JoinSet::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let prometheus = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let router = Router::new()
        .route("/api/v1/query", post(query))
        .route("/api/v1/query_range", post(query_range))
        .with_state(Arc::clone(&load));
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });

    let mut options = Options::new(prometheus, policies());
    options.listen = "127.0.0.1:0".parse().unwrap();
    options.interval = Duration::from_millis(50);
    options.objectives = slo::from_documents(&protocol::yaml::split(Path::new("slo.yaml"), OBJECTIVES)).unwrap();
    let cluster = Arc::new(FakeCluster::with(4));
    let autoscaler = Autoscaler::bind(options, Arc::clone(&cluster) as Arc<dyn cluster::Cluster>).await.unwrap();
    let client = ScalingClient::new(Url::parse(&format!("http://{}", autoscaler.address())).unwrap());
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tasks.spawn(async move { autoscaler.run(stop).await.unwrap() });

    let deadline = Instant::now() + Duration::from_secs(10);
    let status = loop {
        match client.slos().await {
            Ok(statuses) if statuses.first().is_some_and(|s| s.state == ObjectiveState::FastBurn) => {
                break statuses[0].clone();
            }
            answer => assert!(Instant::now() < deadline, "{answer:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((status.kind.as_str(), status.subject.as_str(), status.windows.len()), ("service", "order", 8));
    assert_eq!(
        status.message,
        "the budget burned 900.0 times too fast in the last 1h; the budget is overspent by 89900%"
    );

    // From now on a tenth of the load: one replica would do.
    load.store(5, Ordering::SeqCst);
    let before = cluster.replicas();
    let record = loop {
        let records = client.decisions(Some("order"), None, 1000).await.unwrap();
        match records.iter().find(|record| record.reason == "FastBurnForbidsDown") {
            Some(record) => break record.clone(),
            None => assert!(Instant::now() < deadline, "{:?}", records.first()),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((record.wish, record.to, cluster.replicas()), (before, before, before));
    assert!(
        record.message.contains("would be enough, but its availability burned the error budget 900 times"),
        "{record:?}"
    );
    shutdown.cancel();
    tasks.shutdown().await;
}
