//! Claims about what is learnt.

use std::time::Duration;

use super::*;
use crate::planner::observation::ServiceDemand;
use crate::planner::observation::{Phase, ReadyCondition, Requests, Startup};
use crate::planner::surroundings::Surroundings;

const START_MS: i64 = 1_700_000_000_000;

fn pod(index: usize, started_ms: i64) -> Pod {
    Pod {
        name: format!("order-{index}"),
        phase: Phase::Running,
        terminating: false,
        started_ms: Some(started_ms),
        ready: Some(ReadyCondition { status: Some(true), changed_ms: started_ms + 2_000 }),
        requests: Requests::default(),
    }
}

/// Pods that started so many seconds ago and use so many millicores.
fn observation(now_ms: i64, pods: &[(i64, i64)]) -> (Observation, Vec<PodSample>) {
    let all = pods.iter().enumerate();
    let sample = |(index, (_, millis)): (usize, &(i64, i64))| PodSample {
        pod: format!("order-{index}"),
        millis: *millis,
        at_ms: now_ms - 1_000,
        window: Duration::from_secs(10),
    };
    let observation = Observation {
        now_ms,
        desired: 1,
        ready: 1,
        pods: all.clone().map(|(index, (age, _))| pod(index, now_ms - age * 1000)).collect(),
        readings: Vec::new(),
        startup: Startup::default(),
        paused: false,
        budget: None,
        around: Surroundings::default(),
        containers: None,
    };
    (observation, all.map(sample).collect())
}

fn demand(at_ms: i64, served: f64, cpu: Vec<PodSample>) -> Demand {
    Demand {
        service: ServiceDemand {
            at_ms,
            window_seconds: 10.0,
            served,
            asked: served,
            front: Some(served / 2.0),
            own_seconds: Some(0.02),
            whole_seconds: None,
        },
        cpu,
        cores: Some(0.25),
    }
}

/// One tick: so many requests a second, answered by such pods. What requests are is known 5 s later than what CPU is.
fn tick(learnt: &mut Learnt, now_ms: i64, served: f64, pods: &[(i64, i64)]) {
    let (observation, cpu) = observation(now_ms, pods);
    learnt.demand(&demand(now_ms - 5_000, served, cpu), &observation);
}

const OLD: i64 = 3_600;

#[test]
fn an_estimate_grows_sure_and_overlapping_windows_are_one() {
    let mut estimate = Estimate::default();
    assert_eq!(estimate.likely(), None);
    let width = |estimate: &Estimate| {
        let likely = estimate.likely().unwrap();
        (likely.high - likely.mean) / likely.mean
    };
    estimate.observe(START_MS, 2.0, 100.0, 1.0);
    let first = estimate.likely().unwrap();
    assert!(first.mean == 2.0 && (width(&estimate) - 0.196).abs() < 1e-9 && first.low > 1.5, "{first:?}");
    for n in 1..=4 {
        estimate.observe(START_MS + n * 2_000, 2.0, 100.0, 0.2);
    }
    assert!(width(&estimate) > 0.14, "four ticks of a fifth of a window: {}", width(&estimate));
    for n in 1..=30 {
        estimate.observe(START_MS + n * 10_000, 2.0, 100.0, 1.0);
    }
    assert!(width(&estimate) < 0.05, "{}", width(&estimate));
    for n in 31..=120 {
        estimate.observe(START_MS + n * 10_000, 4.0, 100.0, 1.0);
    }
    assert!((estimate.likely().unwrap().mean - 4.0).abs() < 0.3, "what is new counts more");
    let before = estimate;
    for wrong in [f64::NAN, f64::INFINITY, -1.0] {
        estimate.observe(START_MS, wrong, 1.0, 1.0);
    }
    assert_eq!(estimate, before);
}

#[test]
fn a_request_costs_what_all_replicas_use_for_it() {
    let mut learnt = Learnt::default();
    for n in 0..60 {
        tick(&mut learnt, START_MS + n * 2_000, 40.0, &[(OLD, 100), (OLD, 140)]);
    }
    let cost = learnt.cpu_seconds.likely().unwrap();
    assert!((cost.mean - 0.006).abs() < 1e-9 && cost.low < cost.mean && cost.high > cost.mean, "{cost:?}");
    assert_eq!(learnt.visits.likely().map(|visits| visits.mean), Some(2.0));
    assert_eq!((learnt.own_seconds.likely().map(|own| own.mean), learnt.warming), (Some(0.02), 0));
}

#[test]
fn a_replica_that_warms_up_teaches_nothing() {
    let mut learnt = Learnt::default();
    for n in 0..60 {
        let now_ms = START_MS + n * 2_000;
        tick(&mut learnt, now_ms, 40.0, &[(OLD, 120), (OLD, 120), (12 + n * 2, 250)]);
        assert_eq!(learnt.warming, 1);
    }
    // Three serve, and the third does nothing else than the others beside its start.
    assert!((learnt.cpu_seconds.likely().unwrap().mean - 0.009).abs() < 1e-9);
    assert_eq!(learnt.own_seconds.likely(), None, "its requests are slower meanwhile");
    tick(&mut learnt, START_MS + 122_000, 40.0, &[(OLD, 120), (OLD, 120), (134, 122)]);
    assert_eq!(learnt.warming, 0, "it has settled");
    tick(&mut learnt, START_MS + 500_000, 40.0, &[(OLD, 120), (OLD, 120), (500, 250)]);
    assert_eq!(learnt.warming, 0, "whoever is not young has no start any more");
}

#[test]
fn where_all_are_new_a_request_costs_its_own_time_at_most() {
    let mut learnt = Learnt::default();
    tick(&mut learnt, START_MS, 10.0, &[(30, 250), (30, 250)]);
    assert_eq!(learnt.cpu_seconds.likely().map(|cost| cost.mean), Some(0.02), "50 ms of CPU in 20 ms are none of it");
    let mut blind = Learnt::default();
    let (observation, cpu) = observation(START_MS, &[(30, 250)]);
    let mut demand = demand(START_MS - 5_000, 10.0, cpu);
    demand.service.own_seconds = None;
    blind.demand(&demand, &observation);
    assert_eq!(blind.cpu_seconds.likely(), None);
}

#[test]
fn cpu_is_set_against_the_requests_of_its_own_time() {
    let mut learnt = Learnt::default();
    // CPU follows a step of the load at once, requests are known 4 s later: two ticks.
    let load = |n: i64| if n < 30 { 20.0 } else { 60.0 };
    for n in 0..60 {
        tick(&mut learnt, START_MS + n * 2_000, load(n - 2), &[(OLD, (load(n) * 2.0) as i64)]);
    }
    let cost = learnt.cpu_seconds.likely().unwrap();
    assert!((cost.mean - 0.002).abs() < 1e-6, "{cost:?}");
}

#[test]
fn too_few_requests_teach_nothing() {
    let mut learnt = Learnt::default();
    tick(&mut learnt, START_MS, 1.0, &[(OLD, 20)]);
    assert_eq!((learnt.cpu_seconds.likely(), learnt.visits.likely()), (None, None));
}

#[test]
fn a_backlog_tells_what_arrives_and_what_a_replica_does() {
    let mut learnt = Learnt::default();
    for n in 0..20i64 {
        // 30 arrive and 20 are done a second, by two replicas.
        learnt.backlog("parcels", START_MS + n * 5_000, 100.0 + n as f64 * 50.0, 20.0, 2);
    }
    let drain = learnt.drain("parcels").unwrap();
    assert!((drain.arrivals - 30.0).abs() < 1e-9);
    assert_eq!(drain.each.likely().map(|each| each.mean), Some(10.0));
    // With five it falls; what they do on average is not believed until they have been there all along.
    for n in 20..40i64 {
        learnt.backlog("parcels", START_MS + n * 5_000, 1_050.0 - (n - 19) as f64 * 50.0, 40.0, 5);
    }
    let drain = learnt.drain("parcels").unwrap();
    assert!((drain.arrivals - 30.0).abs() < 1e-9, "{}", drain.arrivals);
    // Without a backlog they do less than they could.
    let before = drain.each;
    learnt.backlog("parcels", START_MS + 300_000, 0.0, 5.0, 5);
    assert_eq!(learnt.drain("parcels").unwrap().each, before);
}
