//! Reads a made-up server over HTTP: what it says becomes states, guards and metrics, and what it does not say is no state.

use std::collections::HashMap;
use std::path::Path;

use axum::extract::{Form, State as Shared};
use axum::routing::post;
use axum::{Json, Router};
use lifecycle::ManualClock;
use lifecycle::metrics::Metrics;
use parking_lot::Mutex;
use protocol::slos::ObjectiveState;
use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::planner::budget;
use crate::policy::PolicySet;
use crate::reconciler::tests::fake::{FakeCluster, order};

/// A whole minute.
const START_MS: i64 = 1_700_000_040_000;

const FILE: &str = "apiVersion: plimsoll.dev/v1alpha1\nkind: ServiceLevelObjectives\n\
    metadata: {name: shop, namespace: shop}\nspec:\n  objectives:\n\
    \x20   - {service: order, availability: 99.9%, packing: true}\n    - {journey: checkout, availability: 99.5%}\n";

/// What the server answers: bad events and all events a second, for every objective; nothing at all fails.
#[derive(Clone, Default)]
struct Server {
    rates: Arc<Mutex<Option<(f64, f64)>>>,
    queries: Arc<Mutex<Vec<String>>>,
}

async fn query_range(
    Shared(server): Shared<Server>,
    Form(form): Form<HashMap<String, String>>,
) -> Result<Json<Value>, http::StatusCode> {
    let Some((bad, total)) = *server.rates.lock() else { return Err(http::StatusCode::SERVICE_UNAVAILABLE) };
    let query = &form["query"];
    server.queries.lock().push(query.clone());
    let number = |name: &str| form[name].parse::<f64>().unwrap();
    let (start, end, step) = (number("start"), number("end"), number("step"));
    let window = query.split('[').nth(1).unwrap().split(']').next().unwrap();
    let window = protocol::duration::parse(window).unwrap().as_secs_f64();
    let points = ((end - start) / step) as usize + 1;
    let series = |part: String, rate: f64| {
        let values: Vec<_> =
            (0..points).map(|n| json!([start + n as f64 * step, (rate * window).to_string()])).collect();
        json!({"metric": {"slo_part": part}, "values": values})
    };
    let parts =
        ["0", "1"].iter().flat_map(|place| [series(format!("b{place}"), bad), series(format!("t{place}"), total)]);
    Ok(Json(json!({"status": "success", "data": {"resultType": "matrix", "result": parts.collect::<Vec<_>>()}})))
}

struct Bench {
    server: Server,
    clock: ManualClock,
    state: Arc<State>,
    metrics: Metrics,
    watcher: Watcher,
    _task: tokio::task::JoinSet<()>,
}

async fn bench(rate_window: Duration) -> Bench {
    let server = Server::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let router = Router::new().route("/api/v1/query_range", post(query_range)).with_state(server.clone());
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let (clock, metrics) = (ManualClock::at(START_MS + 1_000), Metrics::default());
    let state = Arc::new(State::new(PolicySet::default().fixed(), Arc::new(FakeCluster::with(1))));
    let tools = Tools {
        client: PrometheusClient::new(base),
        rate_window,
        clock: Arc::new(clock.clone()),
        state: Arc::clone(&state),
        instruments: Instruments::new(&metrics),
    };
    let objectives = slo::from_documents(&protocol::yaml::split(Path::new("slo.yaml"), FILE)).unwrap();
    Bench { server, clock, state, metrics, watcher: Watcher::new(objectives, tools), _task: task }
}

impl Bench {
    fn status(&self, place: usize) -> protocol::slos::ObjectiveStatus {
        self.state.budgets().statuses(self.clock.now_ms())[place].clone()
    }

    fn budget(&self) -> crate::planner::ErrorBudget {
        self.state.budget_of(&order(), self.clock.now_ms()).unwrap()
    }
}

#[tokio::test]
async fn history_is_taken_at_the_start_and_each_minute_after() {
    let mut bench = bench(Duration::from_secs(30)).await;
    *bench.server.rates.lock() = Some((0.0001, 1.0));
    bench.watcher.pass().await;
    let status = bench.status(0);
    assert_eq!(status.state, ObjectiveState::Ok, "{status:?}");
    assert!((status.budget_left.unwrap() - 0.9).abs() < 1e-6, "{status:?}");
    assert_eq!(status.message, "90% of the budget is left");
    let totals: Vec<i64> = status.windows.iter().map(|window| window.total.round() as i64).collect();
    let month = totals[7];
    assert_eq!(totals[..5], [300, 1_800, 3_600, 7_200, 21_600]);
    assert!((month - 30 * 86_400).abs() < 4 * 3_600, "{month}");
    assert_eq!(bench.server.queries.lock().len(), 3, "one query for each grid, of all objectives");
    assert!(bench.budget().allows_packing());

    bench.watcher.pass().await;
    assert_eq!(bench.server.queries.lock().len(), 3, "the minute has not ended");
    *bench.server.rates.lock() = Some((0.9, 1.0));
    for _ in 0..3 {
        bench.clock.advance_ms(60_000);
        bench.watcher.pass().await;
    }
    assert_eq!(bench.server.queries.lock().len(), 6, "one query a minute");
    let (order, checkout) = (bench.status(0), bench.status(1));
    assert_eq!((order.state, checkout.state), (ObjectiveState::FastBurn, ObjectiveState::Ok), "{order:?} {checkout:?}");
    assert!(
        order.message.starts_with("the budget burned 45.") && order.message.contains("in the last 1h; "),
        "{order:?}"
    );
    let (held, note) = budget::hold(&bench.budget(), 4, 2);
    assert_eq!((held, note.as_str()), (4, "its availability burned the error budget 45 times too fast in the last 1h"));
    let text = bench.metrics.encode().unwrap();
    assert!(
        text.contains(
            "plimsoll_autoscaler_slo_state{namespace=\"shop\",service=\"order\",journey=\"\",slo=\"availability\"} 3"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_no_state_and_counted() {
    let mut bench = bench(Duration::from_secs(30)).await;
    assert_eq!(
        (bench.status(0).state, bench.status(0).message.as_str()),
        (ObjectiveState::NoData, "it was not read yet")
    );
    bench.watcher.pass().await;
    assert!(bench.metrics.encode().unwrap().contains("plimsoll_autoscaler_failures_total{during=\"objectives\"} 1"));
    assert!(!bench.budget().forbids_less() && !bench.budget().allows_packing());

    *bench.server.rates.lock() = Some((0.9, 1.0));
    bench.watcher.pass().await;
    assert!(bench.budget().forbids_less());
    *bench.server.rates.lock() = None;
    bench.clock.advance_ms(3 * 60_000);
    bench.watcher.pass().await;
    assert!(bench.budget().forbids_less(), "what was true three minutes ago is not forgotten at once");
    bench.clock.advance_ms(2 * 60_000);
    assert_eq!((bench.status(0).state, bench.budget().forbids_less()), (ObjectiveState::NoData, false));
    *bench.server.rates.lock() = Some((0.0, 1.0));
    bench.watcher.pass().await;
    let status = bench.status(0);
    assert_eq!((status.windows[0].bad, status.windows[0].total), (0.0, 300.0), "missed minutes are asked for");
}

#[tokio::test]
async fn rare_scrapes_are_read_over_longer_windows() {
    let mut bench = bench(Duration::from_secs(120)).await;
    *bench.server.rates.lock() = Some((0.0, 2.0));
    bench.watcher.pass().await;
    assert!(bench.server.queries.lock().last().unwrap().contains("[4m]"));
    assert_eq!(bench.status(0).windows[0].total, 600.0);
}

#[test]
fn batches_fit_into_a_query() {
    let entry = |n: usize| format!("    - {{service: s{n}, window: {}d, availability: 99.9%}}\n", 28 + n % 2 * 2);
    let (head, _) = FILE.split_once("    - ").unwrap();
    let text = format!("{head}{}", (0..600).map(entry).collect::<String>());
    let objectives = slo::from_documents(&protocol::yaml::split(Path::new("slo.yaml"), &text)).unwrap();
    let batches = batches(&objectives);
    assert_eq!(batches.iter().map(|batch| batch.objectives.len()).sum::<usize>(), 600);
    for batch in &batches {
        assert!(batch.objectives.iter().all(|place| objectives[*place].window == batch.window));
        let queries = batch.objectives.iter().map(|place| reading::query_of(*place, &objectives[*place], STEP));
        assert!(queries.map(|query| query.len()).sum::<usize>() < 64 * 1024, "what the collector takes");
    }
}
