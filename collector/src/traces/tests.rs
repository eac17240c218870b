//! Claims about the parts together: spans in, series, graph and counts out.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use lifecycle::{CancellationToken, Clock, ManualClock};
use protocol::faults::{FaultKind, Faults, Role};
use protocol::graph::Graph;
use tower::ServiceExt;

use super::example::{START_MS, span};
use super::span::Kind;
use super::*;
use crate::series::{AppendError, Appendable, Appended, Labels, Sample};

#[derive(Default)]
struct Shelf(Mutex<Vec<(Labels, Sample)>>);

impl Appendable for Shelf {
    fn append(&self, batch: &[(Labels, Sample)]) -> Result<Appended, AppendError> {
        self.0.lock().extend_from_slice(batch);
        Ok(Appended { stored: batch.len(), ..Appended::default() })
    }
}

fn request() -> Vec<(TraceId, Arc<Span>)> {
    vec![(5, Arc::new(span("order", "POST /orders", Kind::Server, 1, 0)))]
}

#[tokio::test(start_paused = true)]
async fn series_are_appended_each_interval_until_shutdown() {
    let clock = ManualClock::at(START_MS + 2_000);
    let traces = Traces::new(Limits::default(), Arc::new(clock.clone()));
    traces.sink().accept(request(), 0);
    let (shelf, shutdown) = (Arc::new(Shelf::default()), CancellationToken::new());
    let running = traces.generator().run(
        Arc::clone(&shelf) as Arc<dyn Appendable>,
        Duration::from_secs(5),
        Arc::new(clock.clone()),
        shutdown.clone(),
    );
    let stopping = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        clock.advance_ms(5_000);
        tokio::time::sleep(Duration::from_secs(3)).await;
        shutdown.cancel();
    };
    let (ended, ()) = tokio::join!(running, stopping);
    assert!(ended.is_ok());
    let shelf = shelf.0.lock();
    let calls = shelf.iter().filter(|(labels, _)| labels.name() == "traces_spanmetrics_calls_total");
    let calls: Vec<_> = calls.map(|(_, sample)| (sample.timestamp_ms - START_MS, sample.value)).collect();
    assert_eq!(calls, [(1_000, 0.0), (2_000, 1.0), (7_000, 1.0)]);
}

#[tokio::test]
async fn the_graph_is_served() {
    let clock = ManualClock::at(START_MS + 1_000);
    let traces = Traces::new(Limits::default(), Arc::new(clock.clone()));
    traces.sink().accept(request(), 0);
    clock.advance_ms(10_000);
    let routes = traces.routes();
    let ask = |query: &str| Request::get(format!("/api/v1/graph{query}")).body(Body::empty()).unwrap();
    let response = routes.clone().oneshot(ask("?window=5s")).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let graph: Graph = serde_json::from_slice(&body).unwrap();
    assert_eq!((graph.at_ms, graph.window_seconds), (START_MS + 6_000, 5.0));
    assert_eq!(graph.nodes[0].service, "order");
    assert_eq!(routes.oneshot(ask("?window=1d")).await.unwrap().status().as_u16(), 400);
}

#[tokio::test]
async fn faults_are_named_from_spans_and_served() {
    let clock = ManualClock::at(START_MS);
    let traces = Traces::new(Limits::default(), Arc::new(clock.clone()));
    let watchman = traces.watchman();
    // The gateway asks payment, which goes away after a while: its address refuses connections.
    for tick in 0..60u64 {
        let spans = (0..10u64).flat_map(|number| {
            let at = tick * 1_000 + number * 90;
            let is_down = tick >= 40;
            let request = span("gateway", "POST /pay", Kind::Server, 1, 0).during(at, at + 30);
            let call = span("gateway", "POST", Kind::Client, 2, 1).during(at + 5, at + 25);
            let call = call.with("server.address", "payment.shop.svc.cluster.local");
            let answer = span("payment", "POST /charges", Kind::Server, 3, 2).during(at + 8, at + 22);
            let spans = if is_down {
                vec![request.failing(), call.failing().with("error.type", "connection refused")]
            } else {
                vec![request, call, answer]
            };
            spans.into_iter().map(move |span| (TraceId::from(tick * 100 + number + 1), Arc::new(span)))
        });
        traces.sink().accept(spans.collect(), 0);
        clock.advance_ms(1_000);
        watchman.look();
    }
    let ask = Request::get("/api/v1/faults").body(Body::empty()).unwrap();
    let body = traces.routes().oneshot(ask).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let faults: Faults = serde_json::from_slice(&body).unwrap();
    let suspect = &faults.suspects[0];
    assert_eq!((suspect.service.as_str(), suspect.fault), ("payment", FaultKind::NoAnswer), "{faults:#?}");
    assert!((suspect.since_ms - (START_MS + 40_000)).abs() <= 1_000, "{suspect:#?}");
    assert!(suspect.evidence.len() >= 2, "{suspect:#?}");
    assert_eq!(faults.services.iter().map(|s| s.role).collect::<Vec<_>>(), [Role::Victim, Role::Culprit]);
    assert_eq!(suspect.blast_radius.journeys, ["gateway POST /pay"]);
    let metrics = Metrics::default();
    traces.register(&metrics);
    let text = metrics.encode().unwrap();
    for line in [
        "plimsoll_collector_faults_suspect_score{service=\"payment\",fault=\"no_answer\"}",
        "plimsoll_collector_faults_named_total 1",
        "plimsoll_collector_faults_unjudged_total{reason=\"too_many\"} 0",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} is not in\n{text}");
    }
}

#[test]
fn every_span_is_counted_once() {
    let traces = Traces::new(Limits::default(), Arc::new(ManualClock::at(START_MS)));
    let metrics = Metrics::default();
    traces.register(&metrics);
    traces.sink().accept(request(), 3);
    traces.sink().accept(request(), 0);
    assert_eq!(traces.stats(), TraceStats { spans_received: 5, spans_stored: 1, spans_dropped: 4, traces: 1 });
    let text = metrics.encode().unwrap();
    for line in [
        "plimsoll_collector_spans_received_total 5",
        "plimsoll_collector_spans_dropped_total{reason=\"invalid_id\"} 3",
        "plimsoll_collector_spans_dropped_total{reason=\"duplicate\"} 1",
        "plimsoll_collector_spans_stored 1",
        "plimsoll_collector_traces_stored 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

/// Traces on disk in this folder, of which one a second is kept unless it is special.
fn on_disk(folder: &Path, clock: &ManualClock) -> Arc<Traces> {
    let limits = Limits { ordinary_per_second: 1, ..Limits::default() };
    Traces::open(limits, Arc::new(clock.clone()), folder, SpanRetention::default()).unwrap()
}

fn server(name: &str, at_ms: u64) -> Span {
    span("order", name, Kind::Server, 1, 0).during(at_ms, at_ms + 10)
}

async fn body(traces: &Traces, path: &str) -> serde_json::Value {
    let answer = traces.routes().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn rates_count_every_span_whatever_is_kept() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(START_MS));
    let traces = on_disk(folder.path(), &clock);
    let keeper = traces.keeper().unwrap();
    for second in 0..20u64 {
        let at = |number: u64| TraceId::from(second * 100 + number + 1);
        let mut spans: Vec<_> = (0..100).map(|n| (at(n), Arc::new(server("POST /", second * 1_000 + n)))).collect();
        spans[0].1 = Arc::new(server("POST /", second * 1_000).failing());
        traces.sink().accept(spans, 0);
        clock.advance_ms(1_000);
        keeper.keep();
    }
    clock.advance_ms(60_000);
    keeper.keep();
    let samples = traces.core.learner.lock().samples(clock.now_ms());
    let calls = samples.iter().filter(|(labels, sample)| {
        labels.name() == "traces_spanmetrics_calls_total" && sample.timestamp_ms == clock.now_ms()
    });
    assert_eq!(calls.map(|(_, sample)| sample.value).sum::<f64>(), 2_000.0);
    let metrics = Metrics::default();
    traces.register(&metrics);
    let text = metrics.encode().unwrap();
    let counted = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("{name} is not in\n{text}"))
    };
    let dropped = counted("plimsoll_collector_spans_dropped_total{reason=\"sampled_out\"}");
    let written = counted("plimsoll_collector_spans_written_total");
    assert_eq!(dropped + written, 2_000.0);
    assert!((20.0..250.0).contains(&written), "{written}");
    // Nothing is in memory any more of what is asked for here.
    drop((traces, keeper));
    let traces = on_disk(folder.path(), &clock);
    let failing = body(&traces, "/api/traces?service=order&tags=%7B%22error%22%3A%22true%22%7D&limit=100").await;
    assert_eq!(failing["total"], 20);
    let found = body(&traces, "/api/traces?service=order&limit=1500").await;
    let tag = |span: &serde_json::Value, key: &str| {
        span["tags"].as_array().unwrap().iter().find(|tag| tag["key"] == key).map(|tag| tag["value"].clone())
    };
    let roots: Vec<_> = found["data"].as_array().unwrap().iter().map(|trace| &trace["spans"][0]).collect();
    assert_eq!(roots.len() as f64, written);
    for root in roots {
        let (reason, probability) = (tag(root, "sampling.reason").unwrap(), tag(root, "sampling.probability").unwrap());
        assert_eq!(reason == "error", tag(root, "error").is_some());
        assert!(reason != "error" || probability == 1.0);
    }
}

#[tokio::test]
async fn a_trace_is_whole_over_memory_and_disk() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(START_MS));
    let traces = on_disk(folder.path(), &clock);
    let keeper = traces.keeper().unwrap();
    traces.sink().accept(vec![(7, Arc::new(server("POST /", 0).failing()))], 0);
    clock.advance_ms(10_000);
    keeper.keep();
    drop((traces, keeper));
    let traces = on_disk(folder.path(), &clock);
    // Sent again, as its answer was lost, and one that is late.
    let late = span("payment", "POST /charges", Kind::Server, 2, 1).during(2, 8);
    traces.sink().accept(vec![(7, Arc::new(server("POST /", 0).failing())), (7, Arc::new(late))], 0);
    for path in ["/api/traces/7", "/api/traces?service=payment", "/api/traces?service=order&operation=POST+%2F"] {
        let found = body(&traces, path).await;
        let names: Vec<_> = found["data"][0]["spans"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["operationName"].as_str().unwrap())
            .collect();
        assert_eq!((names, &found["total"]), (vec!["POST /", "POST /charges"], &serde_json::json!(1)), "{path}");
    }
    assert_eq!(body(&traces, "/api/services").await["data"], serde_json::json!(["order", "payment"]));
}
