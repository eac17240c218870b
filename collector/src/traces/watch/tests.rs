//! Claims about what is judged from spans that arrive as badly as spans do, and from counters where no spans come.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use lifecycle::ManualClock;
use parking_lot::Mutex;
use proptest::prelude::*;
use protocol::faults::{Faults, Role, Source, Timeline};
use protocol::graph::{Edge, Graph};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::de::DeserializeOwned;
use tower::ServiceExt;

use super::*;
use crate::series::{Labels, Matcher, Meter, Sample, SelectError, SeriesSamples};
use crate::traces::example::{START_MS, span};
use crate::traces::span::{Kind, Span, TraceId};
use crate::traces::{Limits, Traces};

/// Seconds of a course, and from when on payment fails.
const SECONDS: u64 = 65;
const FAILING_FROM: u64 = 40;
/// Requests a second.
const REQUESTS: u64 = 12;
/// After the last request, until what is late has come and nobody waits for the other half of a call.
const REST_SECONDS: u64 = 15;
/// Calls of each edge.
const CALLS: f64 = (SECONDS * REQUESTS / 2) as f64;

async fn get<T: DeserializeOwned>(traces: &Traces, path: &str) -> T {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let body = traces.routes().oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body)))
}

/// A call and what it comes to, with ids of its own.
fn call(
    spans: &mut Vec<Span>,
    (client, server): (&str, &str),
    parent: u64,
    (from, to): (u64, u64),
    fails: bool,
) -> u64 {
    let id = spans.len() as u64 + 1;
    let asked = span(client, "POST", Kind::Client, id, parent).during(from, to).with("server.address", server);
    let served = span(server, "POST /", Kind::Server, id + 1, id).during(from + 1, to - 1);
    spans.extend(if fails { [asked.failing(), served.failing()] } else { [asked, served] });
    id + 1
}

/// One request: the gateway searches, or has order ask payment.
fn request(second: u64, number: u64) -> Vec<Span> {
    let at = second * 1_000 + number * 80;
    let fails = second >= FAILING_FROM && number.is_multiple_of(2);
    let mut spans = vec![span("gateway", "GET /", Kind::Server, 1, 0).during(at, at + 40)];
    if number.is_multiple_of(2) {
        let order = call(&mut spans, ("gateway", "order"), 1, (at + 2, at + 38), fails);
        call(&mut spans, ("order", "payment"), order, (at + 6, at + 30), fails);
        spans[0] = if fails { spans[0].clone().failing() } else { spans[0].clone() };
    } else {
        call(&mut spans, ("gateway", "search"), 1, (at + 2, at + 30), false);
    }
    spans
}

/// How badly spans arrive.
#[derive(Debug, Clone, Copy)]
struct Road {
    seed: u64,
    /// Seconds late, at most.
    late_max: u64,
    /// Shares that get lost and that come twice.
    lost: f64,
    twice: f64,
    /// Milliseconds by which services' clocks are wrong, at most.
    skew_ms: i64,
    shuffles: bool,
}

const GOOD: Road = Road { seed: 0, late_max: 0, lost: 0.0, twice: 0.0, skew_ms: 0, shuffles: false };

/// What spans that went this way taught: the faults while payment fails, and the graph when all has come.
async fn course(road: Road) -> (Faults, Graph) {
    let mut dice = StdRng::seed_from_u64(road.seed);
    let skews: BTreeMap<&str, i64> = ["gateway", "order", "payment", "search"]
        .map(|service| (service, dice.random_range(-road.skew_ms..=road.skew_ms)))
        .into();
    let clock = ManualClock::at(START_MS);
    let traces = Traces::new(Limits::default(), Arc::new(clock.clone()));
    let watchman = traces.watchman();
    let mut under_way: Vec<Vec<(TraceId, Arc<Span>)>> = vec![Vec::new(); (SECONDS + road.late_max + 1) as usize];
    for second in 0..SECONDS {
        for number in 0..REQUESTS {
            let trace = TraceId::from(second * 1_000 + number + 1);
            for mut span in request(second, number) {
                let skew_ns = skews.get(&**span.service()).copied().unwrap_or(0) * 1_000_000;
                span.start_ns = span.start_ns.saturating_add_signed(skew_ns);
                if dice.random::<f64>() < road.lost {
                    continue;
                }
                let copies = if dice.random::<f64>() < road.twice { 2 } else { 1 };
                for _ in 0..copies {
                    let late = dice.random_range(0..=road.late_max);
                    under_way[(second + late) as usize].push((trace, Arc::new(span.clone())));
                }
            }
        }
        let mut arrived = std::mem::take(&mut under_way[second as usize]);
        if road.shuffles {
            arrived.shuffle(&mut dice);
        }
        clock.advance_ms(1_000);
        traces.sink().accept(arrived, 0);
        watchman.look();
    }
    let faults = get(&traces, "/api/v1/faults").await;
    let late: Vec<_> = under_way.into_iter().flatten().collect();
    traces.sink().accept(late, 0);
    for _ in 0..REST_SECONDS {
        clock.advance_ms(1_000);
        watchman.look();
    }
    (faults, get(&traces, &format!("/api/v1/graph?window={}s", SECONDS + REST_SECONDS)).await)
}

/// How many calls an edge of the graph stands for.
fn calls(graph: &Graph, edge: &Edge) -> f64 {
    edge.red.rate * graph.window_seconds
}

/// What was said, in words that no rounding changes.
fn said(faults: &Faults) -> Vec<String> {
    let suspects = faults.suspects.iter().map(|s| format!("{} {:?} {} {}", s.service, s.fault, s.score, s.since_ms));
    let roles = faults.services.iter().map(|s| format!("{} {} {}", s.service, s.role.word(), s.because_of));
    suspects.chain(roles).collect()
}

fn ends(graph: &Graph) -> BTreeSet<(&str, &str)> {
    graph.edges.iter().map(|edge| (edge.client.as_str(), edge.server.as_str())).collect()
}

const EDGES: [(&str, &str); 3] = [("gateway", "order"), ("gateway", "search"), ("order", "payment")];

#[tokio::test]
async fn on_a_good_road_payment_is_the_culprit_and_search_has_nothing_to_do_with_it() {
    let (faults, graph) = course(GOOD).await;
    assert_eq!(ends(&graph), EDGES.into());
    let roles: Vec<(&str, Role)> = faults.services.iter().map(|s| (s.service.as_str(), s.role)).collect();
    let expected =
        [("gateway", Role::Victim), ("order", Role::Victim), ("payment", Role::Culprit), ("search", Role::Unaffected)];
    assert_eq!((roles.as_slice(), faults.source), (&expected[..], Source::Spans), "{faults:#?}");
    for edge in &graph.edges {
        assert!((calls(&graph, edge) / CALLS - 1.0).abs() < 0.05, "{edge:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn a_bad_road_changes_neither_the_edges_nor_who_is_blamed(seed in any::<u64>(), skew_ms in 0i64..2_000) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let road = Road { seed, late_max: 2, lost: 0.1, twice: 0.2, skew_ms, shuffles: true };
        let (faults, graph) = runtime.block_on(course(road));
        prop_assert_eq!(ends(&graph), BTreeSet::from(EDGES));
        for edge in &graph.edges {
            // Of a call's two spans one is enough where the client's is.
            prop_assert!(calls(&graph, edge) > CALLS * 0.8 && calls(&graph, edge) < CALLS * 1.02, "{:?}", edge);
        }
        prop_assert_eq!(faults.suspects.first().map(|suspect| suspect.service.as_str()), Some("payment"), "{:#?}", faults);
        let search = faults.services.iter().find(|service| service.service == "search").map(|service| service.role);
        prop_assert_eq!(search, Some(Role::Unaffected));
        let (again, _) = runtime.block_on(course(road));
        prop_assert_eq!(said(&faults), said(&again), "the same spans in the same order");
    }

    #[test]
    fn order_and_copies_alone_change_nothing_at_all(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (good, graph) = runtime.block_on(course(GOOD));
        let road = Road { seed, twice: 0.3, shuffles: true, ..GOOD };
        let (faults, shuffled) = runtime.block_on(course(road));
        prop_assert_eq!(said(&good), said(&faults));
        prop_assert_eq!(graph, shuffled);
    }
}

/// A store with series that somebody pushes.
#[derive(Default)]
struct Shelf(Mutex<BTreeMap<Labels, Sample>>);

impl Shelf {
    fn put(&self, labels: &[(&str, &str)], timestamp_ms: i64, value: f64) {
        self.0.lock().insert(Labels::new(labels.iter().copied()), Sample { timestamp_ms, value });
    }
}

impl Queryable for Shelf {
    fn select(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        _: &dyn Meter,
    ) -> Result<Vec<SeriesSamples>, SelectError> {
        let known = self.0.lock();
        let fits = |(labels, sample): &(&Labels, &Sample)| {
            matchers.iter().all(|matcher| matcher.fits(labels)) && (start_ms..=end_ms).contains(&sample.timestamp_ms)
        };
        let series = |(labels, sample): (&Labels, &Sample)| SeriesSamples::floats(labels.clone(), vec![*sample]);
        Ok(known.iter().filter(fits).map(series).collect())
    }

    fn series(&self, _: &[Matcher], _: i64, _: i64, _: &dyn Meter) -> Result<Vec<Labels>, SelectError> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn without_spans_the_counters_of_somebody_elses_service_graph_are_judged() {
    let clock = ManualClock::at(START_MS);
    let traces = Traces::new(Limits::default(), Arc::new(clock.clone()));
    let shelf = Arc::new(Shelf::default());
    let mut watchman = traces.watchman().with_series(shelf.clone());
    watchman.look();
    assert_eq!(get::<Faults>(&traces, "/api/v1/faults").await.verdict, "nothing can be said: no span has come yet");
    let edges = [("user", "gateway", "virtual_node"), ("gateway", "order", ""), ("order", "payment", "")];
    for second in 0..180i64 {
        let now_ms = START_MS + second * 1_000;
        if second % 15 == 0 {
            let failed = f64::from(i32::try_from((second - 120).max(0) * 10).unwrap());
            for (client, server, kind) in edges {
                let put = |name: &str, value: f64| {
                    let labels =
                        [("__name__", name), ("client", client), ("server", server), ("connection_type", kind)];
                    shelf.put(&labels, now_ms, value);
                };
                put("traces_service_graph_request_total", second as f64 * 20.0);
                put("traces_service_graph_request_failed_total", failed);
                put("traces_service_graph_request_server_seconds_sum", second as f64 * 0.2);
                put("traces_service_graph_request_server_seconds_count", second as f64 * 20.0);
            }
        }
        shelf.put(&[("__name__", "kube_deployment_spec_replicas"), ("deployment", "payment")], now_ms, {
            if second < 115 { 3.0 } else { 1.0 }
        });
        watchman.look();
        watchman.looks += 1;
        clock.advance_ms(1_000);
    }
    let faults: Faults = get(&traces, "/api/v1/faults").await;
    assert_eq!(faults.source, Source::Metrics);
    let suspect = faults.suspects.first().unwrap_or_else(|| panic!("{faults:#?}"));
    assert_eq!((suspect.service.as_str(), faults.suspects.len()), ("payment", 1), "{faults:#?}");
    let changed = suspect.evidence.iter().find(|evidence| evidence.kind == "changed");
    assert!(changed.is_some_and(|changed| changed.text.starts_with("replicas 3 -> 1 at ")), "{suspect:#?}");
    let timeline: Timeline = get(&traces, "/api/v1/faults/timeline").await;
    let kinds: Vec<&str> = timeline.events.iter().map(|event| event.kind.word()).collect();
    assert_eq!(kinds, ["replicas", "fault_began"]);
    let since = format!("/api/v1/faults/timeline?since_ms={}", suspect.since_ms);
    assert_eq!(get::<Timeline>(&traces, &since).await.events, timeline.events[1..]);
}
