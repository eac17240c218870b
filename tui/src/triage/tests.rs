//! Claims about rows: which there are, what they are called, and whom they are taken for.

use std::sync::Arc;

use super::*;
use crate::fixtures::{self, NOW_MS};
use crate::picture::Source;

fn row<'a>(rows: &'a [Row], key: &str) -> &'a Row {
    rows.iter().find(|row| row.key.to_string() == key).unwrap_or_else(|| panic!("no row {key}"))
}

fn change<T: Clone>(source: &mut Source<T>, change: impl FnOnce(&mut T)) {
    let mut data = source.data.as_deref().cloned().unwrap();
    change(&mut data);
    source.data = Some(Arc::new(data));
}

#[test]
fn two_namespaces_may_have_services_of_one_name() {
    let rows = rows(&fixtures::kubernetes::picture(), NOW_MS);
    let (shop, staging) = (row(&rows, "shop/order"), row(&rows, "staging/order"));
    assert_eq!((shop.name.as_str(), staging.name.as_str()), ("shop/order", "staging/order"));
    assert_eq!((shop.red.error_ratio, staging.red.error_ratio), (0.0, 0.4));
    assert_eq!((shop.replicas.unwrap().desired, staging.replicas.unwrap().desired), (4, 1));
    assert_eq!(staging.assessment.health, Health::Failing);
    assert_eq!(row(&rows, "shop/payment").name, "payment");
    assert!(rows.windows(2).all(|pair| pair[0].key < pair[1].key));
}

#[test]
fn a_service_suffers_from_its_own_namespace_only() {
    let mut picture = fixtures::kubernetes::picture();
    change(&mut picture.metrics, |metrics| {
        for namespace in ["shop", "staging"] {
            metrics.services.get_mut(&ServiceKey::new(namespace, "gateway")).unwrap().red.error_ratio = 0.3;
        }
    });
    let rows = rows(&picture, NOW_MS);
    assert_eq!(row(&rows, "staging/gateway").assessment.because_of, "staging/order");
    assert_eq!(row(&rows, "shop/gateway").assessment.health, Health::Failing);
}

#[test]
fn a_breaker_accuses_the_peer_of_its_own_namespace() {
    let mut picture = fixtures::kubernetes::picture();
    change(&mut picture.metrics, |metrics| {
        let breaker = Breaker {
            namespace: "shop".to_owned(),
            service: "gateway".to_owned(),
            peer: "order".to_owned(),
            half_open: false,
        };
        metrics.breakers.push(breaker);
        metrics.services.get_mut(&fixtures::key("order")).unwrap().red = Red::default();
    });
    let rows = rows(&picture, NOW_MS);
    assert_eq!(row(&rows, "shop/order").assessment.why, "shop/gateway's breaker is open");
    assert_eq!(row(&rows, "staging/gateway").assessment.health, Health::Healthy);
}

#[test]
fn metrics_without_a_namespace_are_those_of_the_only_workload_of_the_name() {
    let mut picture = fixtures::healthy();
    let bare = |key: &ServiceKey| ServiceKey::new("", &key.name);
    change(&mut picture.metrics, |metrics| {
        metrics.services = metrics.services.iter().map(|(key, service)| (bare(key), service.clone())).collect();
    });
    change(&mut picture.history, |history| {
        *history = history.iter().map(|(key, service)| (bare(key), service.clone())).collect();
    });
    let rows = rows(&picture, NOW_MS);
    assert_eq!(rows.len(), 10);
    let order = row(&rows, "shop/order");
    assert!(order.red.rate > 0.0 && order.rate_history.len() == 60 && order.replicas.is_some());
}

#[test]
fn workloads_that_nobody_calls_are_listed_only_when_something_is_wrong_with_them() {
    let rows = rows(&fixtures::kubernetes::picture(), NOW_MS);
    let bystanders: Vec<(&str, bool)> =
        rows.iter().filter(|r| r.is_bystander).map(|r| (r.name.as_str(), r.is_listed())).collect();
    assert_eq!(bystanders, [("coredns", true), ("plimsoll-autoscaler", false), ("plimsoll-collector", false)]);
    let dns = row(&rows, "kube-system/coredns");
    let why = "no replica is ready (0 of 2); nothing is known to call it";
    assert_eq!((dns.assessment.health, dns.assessment.why.as_str()), (Health::Degraded, why));
}

#[test]
fn a_service_that_lost_all_its_pods_is_failing_though_its_metrics_are_gone() {
    type Tell = fn(&mut Picture);
    let forget_history: Tell = |p| change(&mut p.history, |h| _ = h.remove(&fixtures::key("user")));
    let forget_graph: Tell = |p| {
        change(&mut p.graph, |graph| {
            graph.nodes.retain(|node| node.service != "user");
            graph.edges.retain(|edge| edge.server != "user" && edge.client != "user");
        });
    };
    let steer: Tell = |p| {
        change(&mut p.workloads, |all| {
            let user = all.iter_mut().find(|w| w.workload.name == "user").unwrap();
            user.policy = Some("user".to_owned());
        });
    };
    let cases: [(&[Tell], Health); 4] = [
        (&[forget_history], Health::Failing),
        (&[forget_graph], Health::Failing),
        (&[forget_graph, forget_history, steer], Health::Failing),
        (&[forget_graph, forget_history], Health::Degraded),
    ];
    for (at, (changes, expected)) in cases.into_iter().enumerate() {
        let mut picture = fixtures::kubernetes::picture();
        change(&mut picture.metrics, |metrics| _ = metrics.services.remove(&fixtures::key("user")));
        change(&mut picture.workloads, |all| {
            let user = all.iter_mut().find(|w| w.workload.name == "user").unwrap();
            user.ready = 0;
            user.replicas.clear();
            user.replicas.push(fixtures::kubernetes::dead_replica());
        });
        changes.iter().for_each(|change| change(&mut picture));
        assert_eq!(row(&rows(&picture, NOW_MS), "shop/user").assessment.health, expected, "case {at}");
    }
}
