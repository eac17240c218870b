//! Claims about sizes.

use proptest::prelude::*;

use super::*;
use crate::planner::learning::Estimate;
use crate::planner::observation::ServiceDemand;
use crate::policy::LatencyObjective;

const START_MS: i64 = 1_700_000_000_000;

fn sizing() -> Sizing {
    let latency = LatencyObjective { quantile: 0.99, below: Duration::from_millis(250) };
    Sizing { latency, utilization_max: 0.8, workers: None, variability: 1.0 }
}

fn demand(asked: f64) -> Demand {
    Demand {
        service: ServiceDemand {
            at_ms: START_MS,
            window_seconds: 10.0,
            served: asked,
            asked,
            front: Some(asked / 2.0),
            own_seconds: None,
            whole_seconds: None,
        },
        cpu: Vec::new(),
        cores: Some(0.5),
    }
}

/// With so many requests a second at the front door.
fn at_the_door(front: Option<f64>, asked: f64) -> Demand {
    let demand = demand(asked);
    Demand { service: ServiceDemand { front, ..demand.service }, ..demand }
}

/// Seen for as many windows.
fn known(value: f64, windows: i64) -> Estimate {
    let mut estimate = Estimate::default();
    (0..windows).for_each(|n| estimate.observe(START_MS + n * 10_000, value, 100.0, 1.0));
    estimate
}

fn learnt(cpu_seconds: f64, own_seconds: f64, windows: i64) -> Learnt {
    Learnt {
        cpu_seconds: known(cpu_seconds, windows),
        own_seconds: known(own_seconds, windows),
        visits: known(2.0, windows),
        ..Learnt::default()
    }
}

#[test]
fn requests_and_their_cost_make_replicas() {
    // 4.5 ms of CPU in 18 ms: two at once keep half a core busy.
    let learnt = learnt(0.0045, 0.018, 100);
    let sized = for_demand(&sizing(), &demand(212.0), &learnt, 1).unwrap();
    let SizingRecord::Queue { workers, likely, least, most, .. } = sized.record else { panic!("{sized:?}") };
    assert_eq!((workers, likely.replicas, sized.proposal.replicas), (2, 3, 3));
    assert!((likely.service_seconds - 0.018).abs() < 1e-9 && least.rate < 212.0 && most.rate > 212.0, "{sized:?}");
    // Twice the requests at half their cost are the same work.
    let half = for_demand(&sizing(), &demand(424.0), &self::learnt(0.00225, 0.018, 100), 1).unwrap();
    assert_eq!(half.proposal.raw, 3);
}

#[test]
fn the_objective_decides_where_the_queue_does() {
    let learnt = learnt(0.04, 0.05, 100);
    let raw = |below_ms, utilization_max| {
        let latency = LatencyObjective { quantile: 0.99, below: Duration::from_millis(below_ms) };
        let sizing = Sizing { latency, utilization_max, ..sizing() };
        for_demand(&sizing, &demand(20.0), &learnt, 1).unwrap().proposal.raw
    };
    // 1.6 workers are busy; the stricter the promise, the more of them.
    assert_eq!([5_000, 500, 150, 85].map(|below| raw(below, 1.0)), [2, 3, 5, 6]);
    assert_eq!([1.0, 0.5, 0.2].map(|share| raw(5_000, share)), [2, 4, 8]);
}

#[test]
fn nothing_is_done_while_it_is_not_sure() {
    // Known from one window only: 20 % more or less.
    let unsure = learnt(0.02, 0.02, 1);
    let replicas = |from| for_demand(&sizing(), &demand(101.0), &unsure, from).unwrap();
    let SizingRecord::Queue { likely, least, most, .. } = replicas(1).record else { unreachable!() };
    assert!(least.replicas < likely.replicas && likely.replicas < most.replicas, "{least:?} {likely:?} {most:?}");
    let [likely, least, most] = [likely, least, most].map(|case| i32::try_from(case.replicas).unwrap());
    assert_eq!(replicas(least - 1).proposal.replicas, likely, "even the least is more");
    assert_eq!(replicas(least).proposal.replicas, least);
    assert_eq!(replicas(most).proposal.replicas, most);
    let down = replicas(most + 4).proposal;
    assert_eq!((down.replicas, down.raw, down.rule), (most, likely, Rule::Uncertain));
    let sure = learnt(0.02, 0.02, 500);
    let SizingRecord::Queue { likely, most, .. } = for_demand(&sizing(), &demand(100.0), &sure, 1).unwrap().record
    else {
        unreachable!()
    };
    assert!(most.replicas - likely.replicas <= 2, "{likely:?} {most:?}");
}

#[test]
fn upstream_sizes_by_the_front_door_while_requests_are_held_up() {
    let learnt = learnt(0.0045, 0.018, 100);
    // The front door has 106 a second; only 40 of the 212 that they make have got here.
    let blocked = at_the_door(Some(106.0), 40.0);
    assert_eq!(for_demand(&sizing(), &blocked, &learnt, 1).unwrap().proposal.replicas, 1);
    let upstream = for_upstream(&sizing(), &blocked, &learnt, 1).unwrap();
    assert_eq!(upstream.proposal.replicas, 3);
    let SizingRecord::Queue { front_rate, likely, .. } = upstream.record else { unreachable!() };
    assert!(front_rate == Some(106.0) && (likely.rate - 212.0).abs() < 1e-6);
    let doorless = at_the_door(None, 40.0);
    assert_eq!(for_upstream(&sizing(), &doorless, &learnt, 1), Err(Gap::NoFrontDoor));
    // Seen for the first time, the front door's requests make as many as they do now.
    let new = Learnt { visits: Estimate::default(), ..learnt };
    assert_eq!(for_upstream(&sizing(), &demand(212.0), &new, 1).unwrap().proposal.replicas, 3);
}

#[test]
fn what_is_not_known_is_a_gap() {
    let (sizing, demand) = (sizing(), demand(100.0));
    assert_eq!(for_demand(&sizing, &demand, &Learnt::default(), 1), Err(Gap::CostUnknown));
    let coreless = Demand { cores: None, ..demand.clone() };
    assert_eq!(for_demand(&sizing, &coreless, &learnt(0.01, 0.01, 9), 1), Err(Gap::NoCores));
    // Whoever says how many workers there are needs no CPU, but how long a request takes.
    let workers = Sizing { workers: Some(4), ..sizing };
    assert_eq!(for_demand(&workers, &coreless, &Learnt::default(), 1), Err(Gap::CostUnknown));
    let whole = Learnt { whole_seconds: known(0.1, 100), ..Learnt::default() };
    assert_eq!(for_demand(&workers, &coreless, &whole, 1).map(|sized| sized.proposal.raw), Ok(4));
    let none = Demand { service: ServiceDemand { asked: 0.0, ..coreless.service }, ..coreless };
    assert_eq!(for_demand(&sizing, &none, &Learnt::default(), 1).map(|sized| sized.proposal.raw), Ok(1));
}

#[test]
fn a_backlog_is_worked_off_beside_what_arrives() {
    let mut learnt = Learnt::default();
    let minute = Duration::from_secs(60);
    assert_eq!(for_backlog(10.0, minute, learnt.drain("parcels"), 1), Err(Gap::ThroughputUnknown));
    for n in 0..200i64 {
        learnt.backlog("parcels", START_MS + n * 30_000, 1_200.0, 40.0, 2);
    }
    // 40 arrive a second and 20 are done by a replica; 1,200 within a minute are 20 more.
    let sized = for_backlog(1_200.0, minute, learnt.drain("parcels"), 2).unwrap();
    assert_eq!((sized.proposal.raw, sized.proposal.replicas), (3, 3));
    assert_eq!(for_backlog(0.0, minute, learnt.drain("parcels"), 2).unwrap().proposal.raw, 2);
    let hour = Duration::from_secs(3_600);
    assert_eq!(for_backlog(36_000.0, hour, learnt.drain("parcels"), 2).unwrap().proposal.raw, 3);
}

fn any_estimate(most: f64) -> impl Strategy<Value = Estimate> {
    proptest::collection::vec(0.0..most, 0..4).prop_map(|values| {
        let mut estimate = Estimate::default();
        for (n, value) in (0i64..).zip(values) {
            estimate.observe(START_MS + n * 10_000, value, 50.0, 1.0);
        }
        estimate
    })
}

prop_compose! {
    fn any_sized()(
        (asked, front) in (0.0f64..200.0, proptest::option::of(0.0f64..50.0)),
        cpu_seconds in any_estimate(0.1),
        own_seconds in any_estimate(0.3),
        visits in any_estimate(5.0),
        workers in proptest::option::of(1u32..50),
        below_ms in 1u64..3_000,
        utilization_max in 0.1f64..1.0,
        from in 1i32..60,
        is_upstream in any::<bool>(),
    ) -> (Result<Sized, Gap>, i32) {
        let latency = LatencyObjective { quantile: 0.99, below: Duration::from_millis(below_ms) };
        let sizing = Sizing { latency, utilization_max, workers, variability: 1.5 };
        let demand = at_the_door(front, asked);
        let learnt = Learnt { cpu_seconds, own_seconds, visits, ..Learnt::default() };
        let size = if is_upstream { for_upstream } else { for_demand };
        (size(&sizing, &demand, &learnt, from), from)
    }
}

proptest! {
    #[test]
    fn a_size_can_be_computed_again_from_its_record_alone((sized, from) in any_sized()) {
        let Ok(Sized { proposal, record }) = sized else { return Ok(()) };
        let text = serde_json::to_string(&record).unwrap();
        let read: SizingRecord = serde_json::from_str(&text).unwrap();
        let counts = replicas(&read).unwrap();
        let (SizingRecord::Queue { likely, least, most, .. } | SizingRecord::Drain { likely, least, most, .. }) = read;
        prop_assert_eq!(counts, [likely.replicas, least.replicas, most.replicas]);
        prop_assert!(least.replicas <= likely.replicas && likely.replicas <= most.replicas, "{}", text);
        let counts = counts.map(|count| i32::try_from(count).unwrap());
        prop_assert_eq!(wish(counts, from), (proposal.replicas, proposal.rule));
        prop_assert_eq!(counts[0], proposal.raw);
        // Never past what is likeliest, and never the other way.
        let (low, high) = (from.min(proposal.raw), from.max(proposal.raw));
        prop_assert!((low..=high).contains(&proposal.replicas), "{} {:?}", from, proposal);
    }
}
