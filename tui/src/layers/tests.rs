//! Claims about the graph as lines.

use super::*;

fn graph(edges: &[(&str, &str)]) -> Graph {
    let edge = |(client, server): &(&str, &str)| Edge {
        client: (*client).to_owned(),
        server: (*server).to_owned(),
        red: Red::default(),
    };
    Graph { edges: edges.iter().map(edge).collect(), ..Graph::default() }
}

fn drawn(edges: &[(&str, &str)]) -> Vec<String> {
    branches(&graph(edges))
        .iter()
        .map(|b| format!("{}{}{}", b.stem, b.service, if b.is_repeated { " (above)" } else { "" }))
        .collect()
}

#[test]
fn callees_hang_below_their_callers() {
    let lines = drawn(&[("gateway", "order"), ("gateway", "user"), ("order", "payment"), ("user", "order")]);
    assert_eq!(lines, ["gateway", "├─ order", "│  └─ payment", "└─ user", "   └─ order (above)"]);
}

#[test]
fn circles_and_self_calls_end() {
    assert_eq!(drawn(&[("a", "b"), ("b", "a")]), ["a", "└─ b", "   └─ a (above)"]);
    assert_eq!(drawn(&[("a", "a")]), ["a", "└─ a (above)"]);
    assert!(drawn(&[]).is_empty());
}

proptest::proptest! {
    #[test]
    fn every_edge_is_on_exactly_one_line(pairs in proptest::collection::btree_set((0u8..8, 0u8..8), 0..30)) {
        let named: Vec<(String, String)> = pairs.iter().map(|(a, b)| (format!("s{a}"), format!("s{b}"))).collect();
        let edges: Vec<(&str, &str)> = named.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let lines = branches(&graph(&edges));
        let with_edge = lines.iter().filter(|l| l.edge.is_some()).count();
        proptest::prop_assert_eq!(with_edge, edges.len());
        let ids: BTreeSet<&String> = lines.iter().map(|l| &l.id).collect();
        proptest::prop_assert_eq!(ids.len(), lines.len());
    }
}
