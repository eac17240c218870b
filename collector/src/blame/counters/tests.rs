//! Claims about what can be told from counters alone.

use protocol::faults::{FaultKind, Role, Source, Watch};

use super::*;
use crate::blame::Blame;

const BEGIN_MS: i64 = 1_700_000_000_000;

/// A service graph's counters that grow: `client > server`, calls a second, and what of them fails and how long they take.
struct Graph {
    edges: Vec<EdgeCount>,
}

#[derive(Clone, Copy)]
struct Course {
    rate: f64,
    failing: f64,
    seconds: f64,
}

impl Graph {
    fn new(edges: &[(&str, &str, Option<PeerKind>)]) -> Self {
        let edge = |(client, server, kind): &(&str, &str, Option<PeerKind>)| EdgeCount {
            client: (*client).into(),
            server: (*server).into(),
            kind: *kind,
            at_ms: BEGIN_MS,
            calls: 0.0,
            failed: 0.0,
            client_spent: Spent::default(),
            server_spent: Spent::default(),
        };
        Self { edges: edges.iter().map(edge).collect() }
    }

    fn grow(&mut self, interval_s: i64, course: impl Fn(&str) -> Course) -> Vec<EdgeCount> {
        for edge in &mut self.edges {
            let Course { rate, failing, seconds } = course(&edge.server);
            let calls = rate * interval_s as f64;
            edge.at_ms += interval_s * 1_000;
            edge.calls += calls;
            edge.failed += calls * failing;
            for spent in [&mut edge.client_spent, &mut edge.server_spent] {
                spent.sum += calls * seconds;
                spent.count += calls;
                let bounds = [0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, f64::INFINITY];
                let known = std::mem::take(&mut spent.buckets);
                spent.buckets = bounds
                    .iter()
                    .enumerate()
                    .map(|(at, bound)| {
                        let more = if seconds <= *bound { calls } else { 0.0 };
                        (*bound, known.get(at).map_or(0.0, |(_, count)| *count) + more)
                    })
                    .collect();
            }
        }
        self.edges.clone()
    }
}

/// The answer after three well minutes and one like this, looked at each second, counters told each 15 s.
fn judged(broken: impl Fn(&str) -> Course) -> protocol::faults::Faults {
    let well = |server: &str| Course {
        rate: 20.0,
        failing: 0.0,
        seconds: match server {
            "gateway" => 0.030,
            "order" => 0.020,
            "bank" => 0.002,
            _ => 0.006,
        },
    };
    let kind = Some(PeerKind::Service);
    let mut graph = Graph::new(&[
        ("user", "gateway", kind),
        ("gateway", "order", None),
        ("gateway", "search", None),
        ("order", "payment", None),
        ("payment", "bank", Some(PeerKind::Database)),
    ]);
    let (mut counters, mut blame) = (Counters::default(), Blame::new(SETTLE_MS));
    blame.judges_by(Source::Metrics);
    let mut counts = graph.edges.clone();
    let mut faults = protocol::faults::Faults::default();
    for second in 0..240 {
        if second % 15 == 0 && second > 0 {
            counts = if second > 180 { graph.grow(15, &broken) } else { graph.grow(15, well) };
        }
        let now_ms = BEGIN_MS + second * 1_000 + 400;
        let works = counters.take(counts.clone(), now_ms);
        blame.lags_by(counters.lag_ms());
        blame.observe(&works, now_ms);
        faults = blame.judge(now_ms);
        assert!(second > 180 || faults.suspects.is_empty(), "{second}: {faults:#?}");
    }
    faults
}

fn roles(faults: &protocol::faults::Faults) -> Vec<(&str, Role)> {
    faults.services.iter().map(|service| (service.service.as_str(), service.role)).collect()
}

#[test]
fn a_failing_service_is_told_from_those_that_fail_because_of_it() {
    let faults = judged(|server| Course {
        rate: 20.0,
        failing: if ["payment", "order", "gateway"].contains(&server) { 0.6 } else { 0.0 },
        seconds: 0.006,
    });
    let suspect = &faults.suspects[0];
    assert_eq!((suspect.service.as_str(), suspect.fault), ("payment", FaultKind::Errors), "{faults:#?}");
    assert_eq!((faults.source, faults.watch, faults.suspects.len()), (Source::Metrics, Watch::Watching, 1));
    let expected = [
        ("bank", Role::Unaffected),
        ("gateway", Role::Victim),
        ("order", Role::Victim),
        ("payment", Role::Culprit),
        ("search", Role::Unaffected),
    ];
    assert_eq!(roles(&faults), expected);
    assert!(suspect.evidence.len() >= 2, "{suspect:#?}");
    let links = suspect.evidence.iter().map(|evidence| (evidence.query.as_deref(), evidence.traces.as_deref()));
    for (query, traces) in links {
        assert!(query.is_none_or(|query| query.contains("traces_service_graph_")), "{query:?}");
        assert_eq!(traces, None, "there are no spans to search");
    }
}

#[test]
fn a_peer_that_sends_no_spans_is_named_by_the_calls_to_it() {
    let faults = judged(|server| Course {
        rate: 20.0,
        failing: if ["bank", "payment", "order", "gateway"].contains(&server) { 0.5 } else { 0.0 },
        seconds: 0.006,
    });
    assert_eq!(faults.suspects[0].service, "bank", "{faults:#?}");
}

#[test]
fn a_slow_service_is_told_from_those_that_wait_for_it() {
    let faults = judged(|server| Course {
        rate: 20.0,
        failing: 0.0,
        seconds: match server {
            "gateway" => 0.430,
            "order" => 0.420,
            "payment" => 0.406,
            "bank" => 0.002,
            _ => 0.006,
        },
    });
    let suspect = &faults.suspects[0];
    assert_eq!((suspect.service.as_str(), suspect.fault), ("payment", FaultKind::Slow), "{faults:#?}");
}

#[test]
fn counts_are_kept_whatever_the_interval_and_restarts_begin_anew() {
    let mut graph = Graph::new(&[("a", "b", None)]);
    let course = |_: &str| Course { rate: 7.3, failing: 0.1, seconds: 0.01 };
    let mut counters = Counters::default();
    let first = graph.edges.clone();
    counters.take(first.clone(), BEGIN_MS);
    let second = graph.grow(15, course);
    let settled_ms = BEGIN_MS + 15_000 + SETTLE_MS;
    assert_eq!(counters.take(second.clone(), settled_ms - 1), []);
    let works = counters.take(second.clone(), settled_ms);
    let of = |works: &[Work], name: &str| works.iter().filter(|work| *work.service == *name).count();
    assert_eq!((of(&works, "a"), of(&works, "b")), (110, 110), "15 s of 7.3 a second");
    assert_eq!(works.iter().filter(|work| *work.service == *"b" && work.own_failed).count(), 11);
    assert_eq!(works.iter().filter(|work| *work.service == *"a" && work.failed && work.own_failed).count(), 0);
    let span: BTreeSet<u64> = works.iter().map(|work| work.end_ns / 1_000_000_000).collect();
    assert_eq!(span.len(), 15);
    assert_eq!(counters.take(second.clone(), settled_ms + 1), [], "told once");
    let mut again = first;
    again.iter_mut().for_each(|edge| (edge.at_ms, edge.calls) = (BEGIN_MS + 30_000, 30.0));
    counters.take(again, BEGIN_MS + 30_000);
    assert_eq!(of(&counters.take(Vec::new(), BEGIN_MS + 40_000), "b"), 30);
    assert_eq!(counters.lag_ms(), 15_000 + SETTLE_MS + 1_000);
}

#[test]
fn quantiles_lie_in_their_buckets() {
    let buckets = vec![(0.1, 50.0), (0.2, 100.0), (f64::INFINITY, 100.0)];
    let spent = Spent { sum: 10.0, count: 100.0, buckets };
    for (share, expected) in [(0.25, 0.05), (0.5, 0.1), (0.75, 0.15), (1.0, 0.2)] {
        assert!((spent.quantile(share) - expected).abs() < 1e-9, "{share}: {}", spent.quantile(share));
    }
    assert_eq!(Spent { sum: 10.0, count: 100.0, buckets: Vec::new() }.quantile(0.9), 0.1);
    assert_eq!(Spent::default().quantile(0.9), 0.0);
}
