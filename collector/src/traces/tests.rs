//! Claims about the parts together: spans in, series, graph and counts out.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use lifecycle::{CancellationToken, ManualClock};
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
