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
fn a_few_lost_spans_make_no_front_door_and_a_circle_ends() {
    let graph = graph(
        &[("gateway", 100.0), ("order", 100.0), ("stock", 100.0)],
        &[("gateway", "order", 98.0, 0.0), ("order", "stock", 100.0, 0.0), ("stock", "order", 1.0, 0.0)],
    );
    assert_eq!(of(&demands(&graph, &["stock"].into()), "stock").front, Some(100.0));
    let idle = self::graph(&[("order", 0.0)], &[]);
    assert_eq!(of(&demands(&idle, &["order"].into()), "order").front, None);
}
