//! Requests on their way: none is lost, none is made up, and who is in trouble troubles only whom it should.

use std::sync::Arc;

use proptest::prelude::*;

use crate::simulated::graph::tests::{service, shop};
use crate::simulated::{Call, Flow, Graph, Journey, Service, Simulation};

fn simulation(change: impl Fn(&mut Service)) -> Simulation {
    let (mut services, journeys) = shop();
    services.iter_mut().for_each(change);
    Simulation::new(Arc::new(Graph::new(services, journeys).unwrap()), 1, 1000)
}

fn run(simulation: &mut Simulation, steps: u32, rate: f64) -> (f64, f64) {
    let (mut requests, mut failed) = (0.0, 0.0);
    for _ in 0..steps {
        let answers = simulation.step(rate);
        requests += answers.requests;
        failed += answers.failed;
    }
    (requests, failed / requests)
}

#[test]
fn load_comes_down_the_graph_as_the_journeys_say() {
    let mut simulation = simulation(|_| ());
    let (requests, failed) = run(&mut simulation, 600, 20.0);
    assert!((requests / 15_000.0 - 1.0).abs() < 0.03, "1.25 requests a journey: {requests}");
    assert_eq!(failed, 0.0);
    for (service, visits) in [(0, 0.5), (1, 1.0), (2, 1.25)] {
        let Flow { served, .. } = *simulation.flow(service);
        assert!((served / (12_000.0 * visits) - 1.0).abs() < 0.03, "{service}: {served}");
    }
    // 20 requests a second of 20 ms.
    let used = simulation.fleet(1).pods()[0].cpu_seconds;
    assert!((used / 240.0 - 1.0).abs() < 0.03, "{used} CPU seconds");
}

#[test]
fn too_much_for_one_service_fails_those_that_need_it_and_more_replicas_help() {
    let mut simulation = simulation(|_| ());
    let (_, failed) = run(&mut simulation, 60, 80.0);
    assert!(failed > 0.2, "stock serves 50 a second: {failed}");
    simulation.scale(1, 4);
    run(&mut simulation, 20, 80.0);
    let (_, failed) = run(&mut simulation, 60, 80.0);
    assert!(failed < 1e-6, "{failed}");
}

#[test]
fn one_can_do_without_what_is_not_needed() {
    let mut simulation = simulation(|_| ());
    simulation.scale(0, 0);
    let (_, failed) = run(&mut simulation, 60, 20.0);
    assert_eq!(failed, 0.0);
    let Flow { arrivals, retries, refused, .. } = *simulation.flow(0);
    assert!(refused > 500.0 && retries > 0.15 * arrivals, "{:?}", simulation.flow(0));
    assert!(retries <= 0.2 * arrivals + 3.0 * 60.0, "the budget of one caller: {retries} of {arrivals}");
}

#[test]
fn spans_would_tell_who_called_whom_and_what_was_repeated() {
    let mut simulation = simulation(|_| ());
    run(&mut simulation, 600, 20.0);
    let calls =
        |simulation: &Simulation, server: usize| *simulation.calls().iter().find(|c| c.server == server).unwrap();
    assert_eq!(simulation.calls().len(), 2, "customers' calls are no service's");
    for server in [0, 1] {
        let (to, Flow { arrivals, .. }) = (calls(&simulation, server), *simulation.flow(server));
        assert_eq!((to.client, to.repeated), (2, 0.0));
        assert!((to.made - arrivals).abs() < 1e-6, "{to:?}");
    }
    simulation.scale(0, 0);
    run(&mut simulation, 60, 20.0);
    let (to, Flow { arrivals, retries, .. }) = (calls(&simulation, 0), *simulation.flow(0));
    assert!(retries > 100.0 && (to.repeated - retries).abs() < 1e-6, "{to:?} {retries}");
    assert!((to.made - arrivals - retries).abs() < 1e-6, "{to:?}");
}

#[test]
fn a_requests_own_time_is_its_work_and_its_wait() {
    let own_ms = |rate: f64| {
        let mut simulation = simulation(|_| ());
        run(&mut simulation, 120, rate);
        let [stock, door] = [1, 2].map(|service| *simulation.flow(service));
        // One is under way for as long as it takes, the calls it waits for included (Little's law).
        assert!(stock.under_way > 0.0 && door.under_way > stock.under_way, "{stock:?} {door:?}");
        stock.own_seconds / stock.served * 1000.0
    };
    let (idle, busy) = (own_ms(1.0), own_ms(44.0));
    // 20 ms of CPU on one core, and 1 ms beside.
    assert!((21.0..22.0).contains(&idle) && busy > 2.0 * idle, "{idle} {busy}");
}

#[test]
fn a_slow_service_fills_its_caller_up() {
    let slow = |service: &mut Service| {
        service.in_flight_max = if service.workload.name == "door" { 20 } else { 1000 };
        if service.workload.name == "stock" {
            service.other_seconds = 1.5;
        }
    };
    let mut simulation = simulation(slow);
    run(&mut simulation, 30, 40.0);
    let door = *simulation.flow(2);
    // 20 places, each taken for a second and a half by what needs stock.
    assert!(door.refused > door.served * 0.5, "{door:?}");
    assert!(simulation.fleet(2).pods()[0].cpu_seconds < 10.0, "waiting costs no CPU");
}

#[test]
fn a_replica_that_warms_up_serves_less_and_costs_more() {
    let cold = |service: &mut Service| {
        service.life.warm_up_seconds = 60.0;
        service.life.warm_up_factor = 2.0;
    };
    let mut simulation = simulation(cold);
    run(&mut simulation, 1, 20.0);
    let before = simulation.fleet(1).pods()[0].cpu_seconds;
    assert!((0.2..0.65).contains(&before), "warm from the start: {before}");
    simulation.scale(1, 2);
    run(&mut simulation, 50, 20.0);
    let used: Vec<f64> = simulation.fleet(1).pods().iter().map(|pod| pod.cpu_seconds).collect();
    assert!((1.8..2.0).contains(&(used[1] / (used[0] - before))), "{used:?}");
}

prop_compose! {
    fn any_shop()(
        cpu in proptest::collection::vec(0.001f64..0.1, 3),
        rooms in proptest::collection::vec(1u32..200, 3),
        shares in proptest::collection::vec(0.05f64..1.0, 3),
        patience in 0.1f64..5.0,
    ) -> (Vec<Service>, Vec<Journey>) {
        let names = ["door", "middle", "leaf"];
        let services = (0..3).map(|i| Service {
            in_flight_max: rooms[i],
            patience_seconds: patience,
            ..service(names[i], cpu[i])
        }).collect();
        let leaf = Call { share: shares[0], ..Call::to("leaf", 2.0) };
        let middle = Call { share: shares[1], then: vec![vec![leaf.clone()]], ..Call::to("middle", 2.0) };
        let door = Call { then: vec![vec![middle], vec![leaf]], ..Call::to("door", 5.0) };
        (services, vec![Journey { name: "any".to_owned(), share: shares[2], requests: vec![door] }])
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_request_is_served_refused_or_waits(
        shop in any_shop(),
        steps in proptest::collection::vec((0.0f64..200.0, 0usize..3, 0u32..6), 1..25),
        seed in any::<u64>(),
    ) {
        let (services, journeys) = shop;
        let mut simulation = Simulation::new(Arc::new(Graph::new(services, journeys).unwrap()), seed, 1000);
        for (rate, service, replicas) in steps {
            simulation.scale(service, replicas);
            let answers = simulation.step(rate);
            prop_assert!(answers.failed >= -1e-9 && answers.failed <= answers.requests + 1e-9, "{answers:?}");
            prop_assert!(answers.latencies.iter().all(|seconds| seconds.is_finite() && *seconds > 0.0));
            for service in 0..3 {
                let Flow { arrivals, retries, served, refused, waiting, .. } = *simulation.flow(service);
                let rest = arrivals + retries - served - refused - waiting;
                prop_assert!(rest.abs() <= 1e-7 * (1.0 + arrivals), "{service}: {:?}", simulation.flow(service));
            }
        }
    }
}
