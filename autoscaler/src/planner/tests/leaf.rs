//! A leaf that answers five times as slowly as usual, in the simulated cluster: what becomes of those who wait for it.

use std::sync::Arc;

use cluster::simulated::{Call, Flow, Graph, Journey, Life, STEP_MS, Service, Simulation};
use cluster::{Resources, WorkloadKind, WorkloadRef};
use protocol::faults::FaultKind;
use protocol::quantity::Quantity;

use super::*;
use crate::planner::surroundings::{Suffering, Traffic};

/// Journeys a second; each is one request to every service.
const RATE: f64 = 100.0;

/// The leaf is slow from this second on ...
const SLOW: i64 = 300;

/// ... and named so much later, which the collector promises to do within 30 s.
const NAMED: i64 = 30;

const SERVICES: [&str; 3] = ["door", "order", "payment"];

fn graph(leaf_seconds: f64) -> Arc<Graph> {
    let life = Life {
        start_seconds: 1.0,
        ready_seconds: 1.0,
        jitter: 0.0,
        warm_up_seconds: 0.0,
        warm_up_factor: 1.0,
        end_seconds: 1.0,
    };
    let service = |name: &str| Service {
        workload: WorkloadRef { kind: WorkloadKind::Deployment, namespace: "shop".to_owned(), name: name.to_owned() },
        resources: Resources {
            cpu_request: Some(Quantity::from_millis(250)),
            cpu_limit: Some(Quantity::from_millis(500)),
            ..Resources::default()
        },
        cpu_seconds: 0.003,
        variation: 0.2,
        other_seconds: if name == "payment" { leaf_seconds } else { 0.005 },
        workers: 2,
        in_flight_max: 200,
        patience_seconds: 2.0,
        idle_cores: 0.0,
        replicas: 2,
        life,
    };
    let order = Call { then: vec![vec![Call::to("payment", 5.0)]], ..Call::to("order", 5.0) };
    let door = Call { then: vec![vec![order]], ..Call::to("door", 5.0) };
    let visit = Journey { name: "visit".to_owned(), share: 1.0, requests: vec![door] };
    Arc::new(Graph::new(SERVICES.map(service).to_vec(), vec![visit]).unwrap())
}

/// What the call graph tells of a window of ten seconds that ended five seconds ago.
fn traffic(now_ms: i64, flows: &[(Flow, f64)], service: usize) -> Option<Traffic> {
    let end = flows.len().checked_sub(6)?;
    let ((last, _), (first, _)) = (flows[end], flows[end.checked_sub(10)?]);
    let each = |of: fn(&Flow) -> f64| (of(&last) - of(&first)) / 10.0;
    let attempts = each(|flow| flow.arrivals + flow.retries);
    // Little's law.
    let under_way = flows[end - 9..=end].iter().map(|(_, under_way)| under_way).sum::<f64>() / 10.0;
    Some(Traffic {
        at_ms: now_ms - 5_000,
        window_seconds: 10.0,
        attempts,
        retried: each(|flow| flow.retries),
        failed_share: if attempts > 0.0 { each(|flow| flow.refused) / attempts } else { 0.0 },
        seconds: Some(under_way / attempts),
        own_seconds: Some(if service == 2 { under_way / attempts } else { 0.008 }),
        has_callers: service > 0,
    })
}

/// Steers all three by requests under way (a signal that waiting raises), or by CPU. Answers each one's replicas before the fault, when
/// the leaf is named, and two minutes and ten minutes after the fault began.
fn steer(spec: &str, is_guarded: bool) -> [[u32; 4]; 3] {
    let policy = policy(spec);
    let mut simulation = Simulation::new(graph(0.04), 1, STEP_MS);
    let mut histories = [(); 3].map(|()| History::begin(START_MS, 2));
    let mut flows = [(); 3].map(|()| Vec::<(Flow, f64)>::new());
    let mut seen = [[0; 4]; 3];
    for second in 0..=SLOW + 600 {
        if second == SLOW {
            assert!(simulation.go_on_with(graph(0.2)));
        }
        simulation.step(RATE);
        let now_ms = START_MS + second * 1000;
        for service in 0..3 {
            flows[service].push((*simulation.flow(service), simulation.flow(service).under_way));
            let desired = simulation.fleet(service).desired();
            for (place, at) in [SLOW - 1, SLOW + NAMED, SLOW + 120, SLOW + 600].into_iter().enumerate() {
                if second == at {
                    seen[service][place] = desired;
                }
            }
            if second % 2 != 0 || second < 60 {
                continue;
            }
            let recent = &flows[service];
            let served = (recent[recent.len() - 1].0.served - recent[recent.len() - 11].0.served) / 10.0;
            let millis = served * 3.0 / f64::from(desired) / 2.5;
            let mut observed = observation(now_ms, &vec![millis as i64; desired as usize]);
            if spec.contains("query") {
                let millis = (simulation.flow(service).under_way * 1000.0) as i64;
                observed.readings = vec![Reading::Total { millis, at_ms: Some(now_ms) }];
            }
            if is_guarded {
                observed.around.traffic = traffic(now_ms, &flows[service], service);
                observed.around.suffering = (second >= SLOW + NAMED && service < 2).then(|| Suffering {
                    culprit: "payment".to_owned(),
                    fault: FaultKind::Slow,
                    score: 0.9,
                    since_ms: START_MS + SLOW * 1000,
                    at_ms: now_ms,
                });
            }
            let history = &mut histories[service];
            history.learn(&policy, &observed);
            let plan = plan(&policy, &observed, history);
            history.planned(&policy, &observed, &plan);
            if let Some(to) = plan.write {
                history.changed(now_ms, plan.from, to, policy.behavior.as_ref());
                simulation.scale(service, unsigned(to));
            }
        }
    }
    seen
}

#[test]
fn after_two_minutes_of_a_slow_leaf_no_victim_has_a_replica_more_by_cpu() {
    for [before, _, after_two, after_ten] in steer(CPU_65, true) {
        assert_eq!((after_two, after_ten), (before, before));
    }
}

#[test]
fn by_what_waits_a_victim_has_one_replica_more_at_most_and_without_guards_several() {
    let in_flight =
        "  replicas: {min: 2, max: 30}\n  signals: [{query: {name: in flight, promql: x, perReplica: 2}}]\n";
    let (guarded, bare) = (steer(in_flight, true), steer(in_flight, false));
    for (service, victim) in SERVICES.iter().zip(&guarded).take(2) {
        let [before, named, after_two, after_ten] = *victim;
        assert!(named <= before + 1 && after_two <= before + 1 && after_ten <= before + 1, "{service}: {victim:?}");
    }
    for ([before, ..], [_, _, raised, _]) in guarded.iter().zip(&bare).take(2) {
        assert!(*raised >= before + 4, "without guards they are: {guarded:?} and {bare:?}");
    }
}
