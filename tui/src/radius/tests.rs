//! Claims about blast radii; the closure is computed a second time in another way.

use proptest::prelude::*;
use protocol::graph::{Edge, Red};

use super::*;
use crate::fixtures::{self, blame};

fn red(rate: f64) -> Red {
    Red { rate, retry_rate: 0.0, error_ratio: 0.0, p50_ms: None, p95_ms: None, p99_ms: None }
}

/// Nodes with the rates they serve, and calls with theirs.
fn graph(nodes: &[(&str, f64)], edges: &[(&str, &str, f64)]) -> Graph {
    let node = |(name, rate): &(&str, f64)| Node {
        service: (*name).to_owned(),
        kind: NodeKind::Service,
        red: red(*rate),
        own_error_ratio: 0.0,
        own_time_ms: None,
    };
    let edge = |(client, server, rate): &(&str, &str, f64)| Edge {
        client: (*client).to_owned(),
        server: (*server).to_owned(),
        red: red(*rate),
    };
    Graph {
        at_ms: 0,
        window_seconds: 20.0,
        nodes: nodes.iter().map(node).collect(),
        edges: edges.iter().map(edge).collect(),
    }
}

fn names(callers: &[Caller]) -> Vec<(&str, u32)> {
    callers.iter().map(|caller| (caller.service.as_str(), caller.distance)).collect()
}

#[test]
fn of_a_suspect_the_usual_counts_also_for_those_who_stopped_calling() {
    let picture = blame::payment_blamed();
    let graph = graph(&[("gateway", 10.0), ("order", 2.0), ("search", 3.0)], &[("gateway", "order", 2.0)]);
    let found = radius("payment", Some(&graph), picture.faults.data.as_deref());
    assert_eq!(names(&found.callers), [("order", 1), ("gateway", 2)]);
    assert_eq!((found.share, found.doors.as_slice()), (Share::Usual(0.083), ["gateway".to_owned()].as_slice()));
    let stakes = found.at_stake.unwrap();
    assert_eq!(
        (stakes[0].name.as_str(), stakes[0].fares.as_ref().unwrap().role),
        ("gateway POST /orders", Role::Isolated)
    );
    assert!(found.safe_services.contains(&"search".to_owned()) && !found.safe_services.contains(&"order".to_owned()));
    assert_eq!(found.safe_operations, ["GET /products", "GET /search", "POST /sign-in"]);
}

#[test]
fn of_others_the_share_follows_the_rates_of_calls() {
    let graph = graph(
        &[("gateway", 10.0), ("admin", 10.0), ("order", 5.0), ("search", 4.0), ("payment", 2.0)],
        &[("gateway", "order", 5.0), ("order", "payment", 2.0), ("gateway", "search", 4.0)],
    );
    let share = |name: &str| match radius(name, Some(&graph), None).share {
        Share::Estimated(share) => (share * 100.0).round(),
        other => panic!("{other:?}"),
    };
    assert_eq!([share("payment"), share("order"), share("search"), share("gateway")], [10.0, 25.0, 20.0, 50.0]);
    let payment = radius("payment", Some(&graph), None);
    assert_eq!((payment.at_stake, payment.doors), (None, vec!["gateway".to_owned()]));
    assert_eq!(payment.safe_services, ["admin", "search"]);
    assert_eq!(radius("gateway", Some(&graph), None).doors, ["gateway"]);
}

#[test]
fn circles_and_calls_to_oneself_end() {
    let graph = graph(
        &[("door", 1.0), ("a", 1.0), ("b", 1.0)],
        &[("door", "a", 1.0), ("a", "b", 1.0), ("b", "a", 1.0), ("b", "b", 9.0)],
    );
    let found = radius("b", Some(&graph), None);
    assert_eq!(names(&found.callers), [("a", 1), ("door", 2)]);
    assert_eq!(found.share, Share::Estimated(1.0));
}

#[test]
fn nothing_known_is_nothing_claimed() {
    let found = radius("x", None, None);
    assert_eq!((found.share, found.callers.len(), found.safe_services.len()), (Share::Unknown, 0, 0));
    let calm = fixtures::healthy();
    let found = radius("nobody-knows-it", calm.graph.data.as_deref(), calm.faults.data.as_deref());
    assert_eq!((found.callers.len(), found.share), (0, Share::Estimated(0.0)));
}

proptest! {
    #[test]
    fn callers_are_the_closure_of_calls(
        calls in proptest::collection::vec((0usize..8, 0usize..8, 0.0f64..9.0), 0..30),
        of in 0usize..8,
    ) {
        let all: Vec<String> = (0..8).map(|at| format!("s{at}")).collect();
        let nodes: Vec<(&str, f64)> = all.iter().map(|name| (name.as_str(), 3.0)).collect();
        let edges: Vec<(&str, &str, f64)> =
            calls.iter().map(|(a, b, rate)| (all[*a].as_str(), all[*b].as_str(), *rate)).collect();
        let graph = graph(&nodes, &edges);
        // Reachability by squaring a matrix, with the shortest ways.
        let mut ways = [[u32::MAX; 8]; 8];
        for (a, b, _) in &calls {
            ways[*a][*b] = 1;
        }
        for via in 0..8 {
            for a in 0..8 {
                for b in 0..8 {
                    ways[a][b] = ways[a][b].min(ways[a][via].saturating_add(ways[via][b]));
                }
            }
        }
        let expected: BTreeMap<&str, u32> =
            (0..8).filter(|a| *a != of && ways[*a][of] < u32::MAX).map(|a| (all[a].as_str(), ways[a][of])).collect();
        let found = radius(&all[of], Some(&graph), None);
        prop_assert_eq!(names(&found.callers).into_iter().collect::<BTreeMap<_, _>>(), expected);
        if let Share::Estimated(share) = found.share {
            prop_assert!((0.0..=1.0).contains(&share));
        }
    }
}
