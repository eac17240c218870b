//! Every kind of signal is replayed, and what is done is what the live planner says of the same readings.

use std::sync::Arc;

use cluster::simulated::{Call, Graph, Journey, STEP_MS, Simulation};
use protocol::scaling::SizingRecord;

use super::*;
use crate::planner::{Plan, Reading};
use crate::replay::tests::{policies, service};
use crate::replay::{BEGINS_MS_DEFAULT, ReplayError};

/// Customers come to `door`, which asks `web` twice for each.
fn chain() -> Arc<Graph> {
    let request = Call { then: vec![vec![Call::to("web", 2.0), Call::to("web", 2.0)]], ..Call::to("door", 5.0) };
    let visit = Journey { name: "visit".to_owned(), share: 1.0, requests: vec![request] };
    Arc::new(Graph::new(vec![service("door", 0.001), service("web", 0.01)], vec![visit]).unwrap())
}

const CADENCE: Cadence = Cadence {
    interval: Duration::from_secs(2),
    scrape: Duration::from_secs(1),
    rate_window: Duration::from_secs(10),
    startup: Startup { cpu_initialization: Duration::from_secs(300), readiness_delay: Duration::from_secs(30) },
};

/// A run through some rates, each for three minutes, and what was planned at each of its ticks.
struct Played {
    simulation: Simulation,
    contender: Contender,
    plans: Vec<(Plan, Reading)>,
}

fn begin(signals: &str) -> Result<Contender, ReplayError> {
    let spec = format!("  objective: {{latency: {{quantile: 0.99, below: 250ms}}}}\n  signals: [{signals}]\n");
    Contender::new(Settings::Plimsoll, &policies(&spec), &chain(), CADENCE, BEGINS_MS_DEFAULT, 0)
}

/// Plays, and plans each tick once more, from the readings alone and by a memory of its own.
fn play(signals: &str, rates: &[f64]) -> Played {
    let mut contender = begin(signals).unwrap();
    let mut simulation = Simulation::beginning_at(chain(), 1, STEP_MS, BEGINS_MS_DEFAULT);
    let (mut memory, mut plans) = (Memory::default(), Vec::new());
    for rate in rates {
        for _ in 0..180 {
            contender.act(&mut simulation);
            let (seat, now_ms) = (&contender.seats[0], simulation.now_ms());
            if seat.observation.now_ms == now_ms {
                let Seat { policy, observation, .. } = seat;
                memory.recall(policy, now_ms, observation.desired, false);
                let seen = &mut observation.clone();
                let mut round = [round::Seat { policy, observation: seen }];
                let plan = round::plan_round(&mut round, &[], &mut memory, None).remove(0);
                let asked = plan.write.unwrap_or(observation.desired);
                assert_eq!(simulation.fleet(1).desired(), asked.unsigned_abs(), "{}", plan.message);
                if plan.write.is_some() {
                    memory.changed(policy, now_ms, observation.desired, plan.wish);
                }
                plans.push((plan, observation.readings[0].clone()));
            }
            simulation.step(*rate);
        }
    }
    assert_eq!(plans.len(), rates.len() * 90 - 1, "a tick every two seconds");
    Played { simulation, contender, plans }
}

#[test]
fn demand_and_upstream_are_told_by_spans_and_sized_by_the_planner() {
    for signal in ["demand: {}", "upstream: {}"] {
        let Played { simulation, contender, plans } = play(&format!("{{{signal}}}"), &[5.0, 40.0]);
        let (last, reading) = plans.last().unwrap();
        let Reading::Demand(demand) = reading else { panic!("{reading:?}") };
        // 40 at the front door make 80 here; the graph's last five seconds are not whole yet.
        assert!((70.0..90.0).contains(&demand.service.asked), "{demand:?}");
        assert!((30.0..50.0).contains(&demand.service.front.unwrap()), "{demand:?}");
        assert!((0.01..0.2).contains(&demand.service.own_seconds.unwrap()), "{demand:?}");
        assert_eq!(demand.service.at_ms, simulation.now_ms() - 2_000 - 5_000);
        assert_eq!((demand.service.window_seconds, demand.cores), (10.0, Some(0.5)));
        let Some(SizingRecord::Queue { likely, front_rate, .. }) = last.signals[0].sizing else { panic!("{last:?}") };
        // 80 times 10 ms are 0.8 cores, of half a core each.
        assert!((0.7..0.9).contains(&(likely.rate * 0.01)) && last.from >= 2, "{}", last.message);
        assert_eq!(front_rate.is_some(), signal == "upstream: {}");
        assert!(contender.changes() >= 1 && plans[0].0.message.contains("held at 1"), "{}", plans[0].0.message);
        // Whoever has the record can compute the wish again.
        let text = serde_json::to_string(&last.signals).unwrap();
        assert!(text.contains("serviceSeconds"), "{text}");
    }
}

#[test]
fn retries_are_told_apart_from_demand() {
    let mut simulation = Simulation::beginning_at(chain(), 1, STEP_MS, BEGINS_MS_DEFAULT);
    let mut spans = Spans::new(&chain(), Duration::from_secs(10));
    simulation.scale(1, 0);
    for _ in 0..60 {
        spans.read(&simulation);
        simulation.step(20.0);
    }
    let demands = spans.demands(&simulation, &["door", "web"].into());
    let web = demands["web"];
    assert!(web.served > web.asked * 1.1 && (30.0..50.0).contains(&web.asked), "{web:?}");
    assert_eq!(web.own_seconds, None, "nobody answers");
    assert!((15.0..25.0).contains(&web.front.unwrap()) && web.front == demands["door"].front, "{demands:?}");
}

#[test]
fn backlogs_are_what_is_under_way() {
    let waiting = r#"promql: 'sum(http_server_active_requests{service="web"})', drainWithin: 10s"#;
    let done = r#"throughput: 'sum(rate(http_server_request_duration_seconds_count{service="web"}[10s]))'"#;
    for signal in [format!("{{backlog: {{{waiting}}}}}"), format!("{{backlog: {{{waiting}, {done}}}}}")] {
        let Played { plans, contender, .. } = play(&signal, &[20.0, 60.0]);
        let (last, reading) = plans.last().unwrap();
        let Reading::Backlog { waiting, at_ms: Some(_), throughput: Ok(done) } = reading else { panic!("{reading:?}") };
        assert!(*waiting > 0.1 && done.rate > 60.0, "{reading:?}");
        assert!(matches!(last.signals[0].sizing, Some(SizingRecord::Drain { .. })), "{last:?}");
        assert!(contender.changes() >= 1, "{}", last.message);
    }
}

#[test]
fn formulas_are_computed_from_their_queries() {
    let rate = r#"sum(rate(http_server_request_duration_seconds_count{service="web"}[10s]))"#;
    let busy = r#"http_server_active_requests{namespace="shop", service="web"}"#;
    let queries = format!("[{{name: rate, promql: '{rate}'}}, {{name: busy, promql: '{busy}'}}]");
    let signal =
        format!("{{expression: {{name: both, formula: 'max(rate, busy)', queries: {queries}, perReplica: 20}}}}");
    let Played { plans, contender, .. } = play(&signal, &[5.0, 30.0]);
    let (last, reading) = plans.last().unwrap();
    let Reading::Inputs(inputs) = reading else { panic!("{reading:?}") };
    assert_eq!(inputs.len(), 2);
    assert!(last.from >= 3 && contender.changes() >= 1, "60 a second at 20 each: {}", last.message);
}

#[test]
fn schedules_go_by_the_virtual_calendar() {
    // The first Monday of 2024, from five minutes past midnight on.
    let signal = |day: &str| format!("{{schedule: {{cron: '5 0 * * {day}', timezone: UTC, replicas: 4, for: 1h}}}}");
    let Played { plans, simulation, .. } = play(&signal("1"), &[5.0, 5.0]);
    let raised: Vec<i32> = plans.iter().filter_map(|(plan, _)| plan.write).collect();
    assert_eq!((raised, simulation.fleet(1).desired()), (vec![4], 4));
    let Played { simulation, .. } = play(&signal("2"), &[5.0, 5.0]);
    assert_eq!(simulation.fleet(1).desired(), 1, "not on a Monday");
}

#[test]
fn what_cannot_be_answered_is_refused_with_the_remedy() {
    let says = |signals: &str| begin(signals).map(|_| ()).unwrap_err().to_string();
    let drain = says("{backlog: {promql: sum(parcels_waiting), drainWithin: 1m}}");
    assert!(drain.contains("sum(parcels_waiting)") && drain.contains("sum(http_server_active_requests{"), "{drain}");
    let other = says(r#"{query: {promql: 'http_server_active_requests{pod="web-1"}', perReplica: 1}}"#);
    assert!(other.contains("is not simulated; expected"), "{other}");
}
