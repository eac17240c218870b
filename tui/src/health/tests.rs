//! Claims about judging services.

use super::*;

fn fact(name: &str) -> Facts {
    Facts {
        name: name.to_owned(),
        requests: 300.0,
        rate: 10.0,
        p99_ms: Some(40.0),
        own_error_ratio: Some(0.0),
        replicas: Some(ReplicaCount { ready: 2, desired: 2 }),
        ..Facts::default()
    }
}

fn open(service: &str, peer: &str) -> Breaker {
    Breaker { namespace: String::new(), service: service.to_owned(), peer: peer.to_owned(), half_open: false }
}

fn calls(name: &str, errors: f64) -> (String, f64, f64) {
    (name.to_owned(), 5.0, errors)
}

fn alone(fact: Facts) -> Assessment {
    let name = fact.name.clone();
    judge(&[fact], &[]).remove(&name).unwrap()
}

#[test]
fn thresholds_are_where_they_are_said_to_be() {
    let cases = [
        (0.0, Health::Healthy),
        (0.0099, Health::Healthy),
        (0.01, Health::Degraded),
        (0.0999, Health::Degraded),
        (0.10, Health::Failing),
        (1.0, Health::Failing),
    ];
    for (errors, expected) in cases {
        let judged = alone(Facts { error_ratio: errors, own_error_ratio: Some(errors), ..fact("a") });
        assert_eq!(judged.health, expected, "{errors}");
    }
}

#[test]
fn too_few_requests_condemn_nobody() {
    let judged = alone(Facts { requests: 2.0, rate: 0.07, error_ratio: 1.0, own_error_ratio: Some(1.0), ..fact("a") });
    assert_eq!(judged.health, Health::Healthy);
}

#[test]
fn no_ready_replica_is_failing_even_without_traffic() {
    let replicas = Some(ReplicaCount { ready: 0, desired: 2 });
    let judged = alone(Facts { replicas, requests: 0.0, rate: 0.0, ..fact("a") });
    assert_eq!((judged.health, judged.why.as_str()), (Health::Failing, "no replica is ready (0 of 2)"));
    let none_wanted = Some(ReplicaCount { ready: 0, desired: 0 });
    assert_eq!(alone(Facts { replicas: none_wanted, requests: 0.0, rate: 0.0, ..fact("a") }).health, Health::Idle);
}

#[test]
fn a_service_that_was_started_just_now_is_not_failing() {
    let starting = Facts { replicas: Some(ReplicaCount { ready: 0, desired: 1 }), starting: true, ..fact("a") };
    let judged = alone(starting.clone());
    assert_eq!((judged.health, judged.why.as_str()), (Health::Unknown, "starting"));
    assert_eq!(alone(Facts { crashing: 1, ..starting }).health, Health::Failing);
}

#[test]
fn a_crashing_replica_degrades_and_a_slow_service_too() {
    let crashing = alone(Facts { crashing: 1, ..fact("a") });
    assert_eq!((crashing.health, crashing.why.as_str()), (Health::Degraded, "1 replica keeps crashing"));
    let slow = alone(Facts { p99_ms: Some(1_200.0), ..fact("a") });
    assert_eq!((slow.health, slow.why.as_str()), (Health::Degraded, "slow: p99 1.2s"));
    let slow = alone(Facts { p50_ms: Some(820.0), p99_ms: Some(990.0), ..fact("a") });
    assert_eq!((slow.health, slow.why.as_str()), (Health::Degraded, "slow: p50 820ms"));
    assert_eq!(alone(Facts { p99_ms: Some(1_200.0), requests: 5.0, ..fact("a") }).health, Health::Healthy);
}

#[test]
fn old_data_is_unknown_whatever_it_says() {
    assert_eq!(alone(Facts { stale: true, error_ratio: 1.0, ..fact("a") }).health, Health::Unknown);
}

#[test]
fn no_traffic_is_idle() {
    assert_eq!(alone(Facts { requests: 0.0, rate: 0.0, p99_ms: None, ..fact("a") }).health, Health::Idle);
}

#[test]
fn a_breaker_names_a_peer_that_gets_no_requests() {
    let payment = Facts { requests: 0.0, rate: 0.0, p99_ms: None, ..fact("payment") };
    let verdicts = judge(&[fact("order"), payment], &[open("order", "payment")]);
    assert_eq!(verdicts["payment"].health, Health::Failing);
    assert_eq!(verdicts["payment"].why, "order's breaker is open");
    assert_eq!(verdicts["order"].health, Health::Degraded);
    assert_eq!(verdicts["order"].why, "waits for payment (its breaker is open)");
    assert_eq!(verdicts["order"].because_of, "payment");
}

#[test]
fn a_breaker_that_is_late_to_close_condemns_no_service_that_answers_well() {
    let verdicts = judge(&[fact("order"), fact("payment")], &[open("order", "payment")]);
    assert_eq!(verdicts["payment"].health, Health::Healthy);
    assert_eq!(verdicts["order"].health, Health::Degraded);
}

#[test]
fn a_service_with_errors_from_below_is_the_victim_of_the_one_where_they_are_born() {
    let gateway = Facts { error_ratio: 0.3, callees: vec![calls("order", 0.6), calls("user", 0.0)], ..fact("gateway") };
    let order = Facts { error_ratio: 0.6, callees: vec![calls("payment", 1.0)], ..fact("order") };
    let payment = Facts { error_ratio: 1.0, own_error_ratio: Some(1.0), ..fact("payment") };
    let verdicts = judge(&[gateway, order, payment, fact("user")], &[]);
    assert_eq!(verdicts["payment"].health, Health::Failing);
    assert_eq!(verdicts["order"].health, Health::Victim);
    assert_eq!(verdicts["gateway"].because_of, "payment");
    assert_eq!(verdicts["gateway"].why, "victim of payment: 30% of requests answer errors");
    assert_eq!(verdicts["user"].health, Health::Healthy);
}

#[test]
fn own_errors_stay_ones_own_and_without_traces_too() {
    let order =
        Facts { error_ratio: 0.6, own_error_ratio: Some(0.5), callees: vec![calls("payment", 1.0)], ..fact("order") };
    let payment = Facts { error_ratio: 1.0, own_error_ratio: Some(1.0), ..fact("payment") };
    assert_eq!(judge(&[order.clone(), payment.clone()], &[])["order"].health, Health::Failing);
    let untraced = Facts { own_error_ratio: None, callees: vec![], ..order };
    assert_eq!(judge(&[untraced, payment], &[])["order"].health, Health::Failing);
}

#[test]
fn a_caller_is_not_accused_while_spans_are_late_and_its_callee_fails() {
    let gateway =
        Facts { error_ratio: 0.3, own_error_ratio: None, callees: vec![calls("search", 0.0)], ..fact("gateway") };
    let search = Facts { error_ratio: 1.0, own_error_ratio: None, ..fact("search") };
    let verdicts = judge(&[gateway.clone(), search], &[]);
    assert_eq!(verdicts["gateway"].why, "victim of search: 30% of requests answer errors");
    assert_eq!(verdicts["search"].health, Health::Failing);
    assert_eq!(judge(&[gateway, fact("search")], &[])["gateway"].health, Health::Failing);
}

#[test]
fn that_spans_have_yet_to_tell_where_errors_begin_is_said() {
    let gateway = Facts {
        error_ratio: 0.3,
        own_error_ratio: None,
        awaits_spans: true,
        callees: vec![calls("product", 0.0)],
        ..fact("gateway")
    };
    let why = |facts: &[Facts]| judge(facts, &[])["gateway"].why.clone();
    let unknown = "30% of requests answer errors (where they begin is not known yet)";
    assert_eq!(why(&[gateway.clone(), fact("product")]), unknown);
    let told = Facts { own_error_ratio: Some(0.3), awaits_spans: false, ..gateway.clone() };
    assert_eq!(why(&[told, fact("product")]), "30% of requests answer errors");
    let alone = Facts { callees: Vec::new(), ..gateway };
    assert_eq!(why(&[alone]), "30% of requests answer errors");
}

#[test]
fn what_a_breaker_refuses_is_no_error_of_ones_own() {
    let gateway = Facts {
        refused: vec!["product".to_owned()],
        error_ratio: 0.5,
        own_error_ratio: Some(0.5),
        callees: vec![calls("product", 0.0)],
        ..fact("gateway")
    };
    let hung = Facts { replicas: Some(ReplicaCount { ready: 0, desired: 2 }), ..fact("product") };
    let verdicts = judge(&[gateway.clone(), hung], &[open("gateway", "product")]);
    assert_eq!(verdicts["gateway"].why, "victim of product (its breaker is open): 50% of requests answer errors");
    assert_eq!(verdicts["product"].health, Health::Failing);
    let back = judge(&[gateway.clone(), fact("product")], &[]);
    assert_eq!((back["gateway"].health, back["product"].health), (Health::Victim, Health::Healthy));
    let alone = Facts { refused: vec![], ..gateway };
    assert_eq!(judge(&[alone, fact("product")], &[])["gateway"].health, Health::Failing);
}

#[test]
fn a_circle_of_victims_ends() {
    let a = Facts { error_ratio: 0.5, callees: vec![calls("b", 0.5)], ..fact("a") };
    let b = Facts { error_ratio: 0.5, callees: vec![calls("a", 0.5)], ..fact("b") };
    let verdicts = judge(&[a, b], &[]);
    assert_eq!(verdicts["a"].because_of, "b");
    assert_eq!(verdicts["b"].because_of, "a");
}

#[test]
fn a_slow_service_that_calls_a_slow_one_waits_for_it() {
    let order = Facts { p99_ms: Some(1_500.0), callees: vec![calls("payment", 0.0)], ..fact("order") };
    let payment = Facts { p99_ms: Some(1_400.0), ..fact("payment") };
    let verdicts = judge(&[order, payment], &[]);
    assert_eq!(verdicts["order"].why, "slow: p99 1.5s, waits for payment");
    assert_eq!(verdicts["payment"].why, "slow: p99 1.4s");
}

#[test]
fn a_service_that_copes_with_a_failing_peer_waits_for_it_before_its_breaker_opens() {
    let order = Facts { callees: vec![calls("payment", 1.0), calls("user", 0.0)], ..fact("order") };
    let payment = Facts { error_ratio: 1.0, own_error_ratio: Some(1.0), ..fact("payment") };
    let verdicts = judge(&[order, payment, fact("user")], &[]);
    assert_eq!(verdicts["order"].health, Health::Degraded);
    assert_eq!(verdicts["order"].why, "waits for payment (100% of its calls fail)");
}
