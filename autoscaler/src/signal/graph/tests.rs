//! Claims about demand as the call graph tells it.

use protocol::graph::{Edge, Node};

use super::*;

fn red(rate: f64, retry_rate: f64) -> Red {
    Red { rate, retry_rate, ..Red::default() }
}

fn graph(nodes: &[(&str, f64)], edges: &[(&str, &str, f64, f64)]) -> Graph {
    let retries = |service: &str| edges.iter().filter(|(_, server, ..)| *server == service).map(|edge| edge.3).sum();
    let node = |(service, rate): &(&str, f64)| Node {
        service: (*service).to_owned(),
        kind: if *service == "postgres" { NodeKind::Database } else { NodeKind::Service },
        red: red(*rate, retries(service)),
        own_error_ratio: 0.0,
        own_time_ms: Some(12.0),
    };
    let edge = |(client, server, rate, retry_rate): &(&str, &str, f64, f64)| Edge {
        client: (*client).to_owned(),
        server: (*server).to_owned(),
        red: red(*rate, *retry_rate),
    };
    Graph {
        at_ms: 1_000,
        window_seconds: 10.0,
        nodes: nodes.iter().map(node).collect(),
        edges: edges.iter().map(edge).collect(),
    }
}

fn of<'d>(known: &'d HashMap<String, ServiceDemand>, service: &str) -> &'d ServiceDemand {
    &known[service]
}

#[test]
fn a_chain_has_the_rate_of_its_front_door() {
    let graph = graph(
        &[("gateway", 50.0), ("order", 20.0), ("payment", 20.0), ("postgres", 90.0)],
        &[("gateway", "order", 20.0, 0.0), ("order", "payment", 20.0, 0.0), ("payment", "postgres", 90.0, 0.0)],
    );
    let known = demands(&graph, &["gateway", "payment", "postgres", "nobody"].into());
    assert_eq!(known.len(), 2, "databases and unknown services are not sized");
    let payment = of(&known, "payment");
    assert_eq!((payment.served, payment.asked, payment.front), (20.0, 20.0, Some(50.0)));
    assert_eq!((payment.own_seconds, payment.at_ms, payment.window_seconds), (Some(0.012), 1_000, 10.0));
    assert_eq!(of(&known, "gateway").front, Some(50.0));
}

#[test]
fn only_the_front_doors_before_a_service_count() {
    let graph = graph(
        &[("shoppers", 0.0), ("web", 40.0), ("admin", 5.0), ("order", 30.0), ("report", 5.0)],
        &[
            // Who only calls is outside: the web is a front door although it is called.
            ("shoppers", "web", 40.0, 0.0),
            ("web", "order", 20.0, 0.0),
            ("admin", "report", 5.0, 0.0),
        ],
    );
    let known = demands(&graph, &["order", "report"].into());
    // Ten of the thirty orders come from outside.
    assert_eq!(of(&known, "order").front, Some(50.0));
    assert_eq!(of(&known, "report").front, Some(5.0));
}

#[test]
fn requests_that_were_sent_again_are_no_demand() {
    let graph = graph(&[("gateway", 10.0), ("order", 40.0)], &[("gateway", "order", 40.0, 30.0)]);
    let known = demands(&graph, &["order"].into());
    let order = of(&known, "order");
    assert_eq!((order.served, order.asked, order.front), (40.0, 10.0, Some(10.0)));
}

#[test]
fn requests_are_told_as_their_callers_see_them() {
    let mut graph = graph(
        &[("gateway", 50.0), ("order", 30.0), ("payment", 0.0)],
        &[("gateway", "order", 40.0, 30.0), ("order", "payment", 90.0, 60.0)],
    );
    // The callers gave ten a second up that order does not know of; nobody answers at payment.
    (graph.edges[0].red.error_ratio, graph.edges[1].red.error_ratio) = (0.75, 1.0);
    (graph.nodes[0].red.error_ratio, graph.nodes[1].red.p50_ms) = (0.1, Some(40.0));
    let known = traffic(&graph, &["gateway", "order", "payment"].into());
    let order = known["order"];
    assert_eq!((order.attempts, order.retried, order.offered(), order.good()), (40.0, 30.0, 10.0, 10.0));
    assert_eq!((order.retried_share(), order.seconds, order.own_seconds), (0.75, Some(0.04), Some(0.012)));
    assert_eq!((known["payment"].attempts, known["payment"].good_share()), (90.0, 0.0));
    let gateway = known["gateway"];
    assert_eq!((gateway.has_callers, order.has_callers, gateway.failed_share), (false, true, 0.1));
    let cone = calls(&graph);
    assert_eq!(cone.cone("payment").len(), 3, "all who call it in the end");
}

#[test]
fn a_few_lost_spans_make_no_front_door_and_a_circle_ends() {
    let graph = graph(
        &[("gateway", 100.0), ("order", 100.0), ("stock", 100.0)],
        &[("gateway", "order", 98.0, 0.0), ("order", "stock", 100.0, 0.0), ("stock", "order", 1.0, 0.0)],
    );
    assert_eq!(of(&demands(&graph, &["stock"].into()), "stock").front, Some(100.0));
    let idle = self::graph(&[("order", 0.0)], &[]);
    assert_eq!(of(&demands(&idle, &["order"].into()), "order").front, None);
}
