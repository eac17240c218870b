//! A small shop for all tests, and graphs that are refused.

use protocol::quantity::Quantity;

use super::*;
use crate::WorkloadKind;

/// A service with one core, whose replicas start at once.
pub fn service(name: &str, cpu_seconds: f64) -> Service {
    let workload = WorkloadRef { kind: WorkloadKind::Deployment, namespace: "shop".to_owned(), name: name.to_owned() };
    let resources = Resources {
        cpu_request: Some(Quantity::from_millis(500)),
        cpu_limit: Some(Quantity::from_units(1)),
        ..Resources::default()
    };
    Service {
        workload,
        resources,
        cpu_seconds,
        variation: 0.2,
        other_seconds: 0.001,
        workers: 2,
        in_flight_max: 128,
        patience_seconds: 2.0,
        idle_cores: 0.0,
        replicas: 1,
        life: Life {
            start_seconds: 0.0,
            ready_seconds: 0.0,
            jitter: 0.0,
            warm_up_seconds: 0.0,
            warm_up_factor: 1.0,
            end_seconds: 0.0,
        },
    }
}

/// A front door that needs `stock` for each request, and would like to have `reviews` half the time.
pub fn shop() -> (Vec<Service>, Vec<Journey>) {
    let reviews = Call { share: 0.5, needed: false, ..Call::to("reviews", 0.5) };
    let view = Call { then: vec![vec![Call::to("stock", 2.0), reviews]], ..Call::to("door", 5.0) };
    let journey = |name: &str, share, requests| Journey { name: name.to_owned(), share, requests };
    let journeys = vec![
        journey("browse", 0.75, vec![view.clone()]),
        journey("buy", 0.25, vec![view, Call { cpu_seconds: Some(0.02), ..Call::to("door", 5.0) }]),
    ];
    (vec![service("reviews", 0.005), service("stock", 0.02), service("door", 0.004)], journeys)
}

#[test]
fn visits_follow_from_the_journeys() {
    let (services, journeys) = shop();
    let graph = Graph::new(services, journeys).unwrap();
    let visits: Vec<f64> = (0..3).map(|service| graph.visits(service)).collect();
    assert_eq!(visits, [0.5, 1.0, 1.25]);
    assert_eq!(graph.order, [2, 0, 1], "callers first");
    // 1.25 requests of (1.0 x 4 ms + 0.25 x 20 ms) / 1.25 = 7.2 ms.
    assert!((graph.capacity(2) - 1.0 / 0.0072).abs() < 1e-9, "{}", graph.capacity(2));
}

#[test]
fn a_quota_is_used_at_full_speed_until_it_is_spent() {
    let (services, journeys) = shop();
    let mut graph = Graph::new(services, journeys).unwrap();
    let place = &mut graph.places[0];
    place.cores = 0.25;
    assert!((place.alone_seconds(0.012) - 0.012).abs() < 1e-12);
    assert!((place.alone_seconds(0.050) - (0.025 + 0.025 / 0.25)).abs() < 1e-12);
}

#[test]
fn what_cannot_be_simulated_is_refused_by_name() {
    let (services, journeys) = shop();
    let refused = |services: &[Service], journeys: &[Journey]| {
        Graph::new(services.to_vec(), journeys.to_vec()).unwrap_err().to_string()
    };
    assert_eq!(refused(&services[1..], &journeys), "browse calls reviews, which is no service of the graph");
    let twice = [&services[..], &services[..1]].concat();
    assert_eq!(refused(&twice, &journeys), "there are two services called reviews");
    assert_eq!(refused(&services, &[]), "the graph has no request");
    let mut circle = journeys.clone();
    circle[0].requests[0].then[0][0].then = vec![vec![Call::to("door", 1.0)]];
    assert!(refused(&services, &circle).contains("calls itself in the end"));
    let mut never = journeys.clone();
    never[1].requests[0].share = 0.0;
    assert_eq!(refused(&services, &never), "the share of buy's call to door is 0, expected more than 0 and at most 1");
    let slow = [Service { variation: f64::NAN, ..services[0].clone() }, services[1].clone(), services[2].clone()];
    assert_eq!(refused(&slow, &journeys), "the variation of reviews is NaN, expected 0 to 1");
}
