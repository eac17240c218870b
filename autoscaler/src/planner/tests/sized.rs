//! Claims about plans that size by load: their sentences and records, and what a whole workload does in virtual time.

use std::collections::VecDeque;

use protocol::scaling::SizingRecord;

use super::*;
use crate::planner::observation::{Demand, ServiceDemand, Throughput};
use crate::planner::sizing;

const SIZED: &str =
    "  replicas: {min: 1, max: 12}\n  objective: {latency: {quantile: 0.99, below: 250ms}}\n  signals: ";

fn sized(signals: &str) -> Policy {
    policy(&format!("{SIZED}{signals}\n"))
}

/// A service of replicas with half a core each, whose requests take 4.5 ms of CPU in 18 ms of their own.
fn demand(at_ms: i64, asked: f64, replicas: usize, cpu_millis: i64) -> Demand {
    Demand {
        service: ServiceDemand {
            at_ms,
            window_seconds: 10.0,
            served: asked,
            asked,
            front: Some(asked / 2.0),
            own_seconds: Some(0.018),
            whole_seconds: None,
        },
        cpu: (0..replicas).map(|index| sample(index, cpu_millis, at_ms)).collect(),
        cores: Some(0.5),
    }
}

fn observed(now_ms: i64, asked: f64, replicas: usize) -> Observation {
    let each = (asked * 4.5 / replicas as f64) as i64;
    let reading = Reading::Demand(Box::new(demand(now_ms, asked, replicas, each)));
    Observation { readings: vec![reading], ..observation(now_ms, &vec![0; replicas]) }
}

/// What ten minutes of these requests have taught.
fn taught(policy: &Policy, asked: f64, replicas: usize) -> History {
    let mut history = History::begin(START_MS - 1_000_000, i32::try_from(replicas).unwrap());
    for n in 0..60 {
        history.learn(policy, &observed(START_MS - 600_000 + n * 10_000, asked, replicas));
    }
    history
}

#[test]
fn sentences_say_what_is_needed_for_what() {
    let by_demand = sized("[demand: {}]");
    let history = taught(&by_demand, 212.0, 2);
    let message = |policy: &Policy, observed: &Observation| plan(policy, observed, &history).message;
    assert_eq!(
        message(&by_demand, &observed(START_MS, 212.0, 2)),
        "order 2 -> 3: 212 requests/s at 18 ms need 3.82 busy workers; 3 replicas of 2 keep the wait's 99th percentile \
         under 232 ms, and at most 80% busy"
    );
    assert_eq!(
        message(&by_demand, &observed(START_MS, 212.0, 3)),
        "order stays at 3: 212 requests/s at 18 ms need 3.82 busy workers; 3 replicas of 2 keep the wait's 99th \
         percentile under 232 ms, and at most 80% busy"
    );
    assert_eq!(
        message(&by_demand, &observed(START_MS, 0.0, 1)),
        "order stays at 1: 0 requests/s need no more than 1 replica"
    );
    assert_eq!(
        message(&sized("[upstream: {}]"), &observed(START_MS, 212.0, 2)),
        "order 2 -> 3: 106 requests/s at the front door x 2 = 212 requests/s at 18 ms need 3.82 busy workers; 3 replicas \
         of 2 keep the wait's 99th percentile under 232 ms, and at most 80% busy"
    );
    let mut blind = observed(START_MS, 212.0, 2);
    if let Reading::Demand(demand) = &mut blind.readings[0] {
        demand.service.front = None;
    }
    assert_eq!(
        message(&sized("[upstream: {}]"), &blind),
        "order held at 2: the call graph knows no front door of this service"
    );
    let stale = observed(START_MS - 121_000, 212.0, 2);
    let stale = Observation { now_ms: START_MS, ..stale };
    assert_eq!(message(&by_demand, &stale), "order held at 2: the newest sample is 121 s old, older than 120 s");
}

#[test]
fn a_backlog_is_told_with_what_is_done_of_it() {
    let policy = sized("[backlog: {name: parcels, promql: sum(parcels_waiting), drainWithin: 60s}]");
    let mut history = History::begin(START_MS - 1_000_000, 2);
    let reading = |at_ms: i64, waiting: f64, throughput| Observation {
        readings: vec![Reading::Backlog { waiting, at_ms: Some(at_ms), throughput }],
        ..observation(at_ms, &[0, 0])
    };
    let done = |at_ms: i64| Ok(Throughput { rate: 40.0, at_ms: Some(at_ms) });
    let early = plan(&policy, &reading(START_MS, 1_200.0, done(START_MS)), &history);
    assert_eq!(early.message, "order held at 2: how much a replica does is not known yet: nothing was done so far");
    for n in 0..100 {
        let at_ms = START_MS - 1_000_000 + n * 10_000;
        history.learn(&policy, &reading(at_ms, 1_200.0, done(at_ms)));
    }
    let now = plan(&policy, &reading(START_MS, 1_200.0, done(START_MS)), &history);
    assert_eq!(
        now.message,
        "order 2 -> 3: 1200 waiting and 40/s arriving, of which a replica does 20/s; 3 replicas are done with it within 60 s"
    );
    assert_eq!((now.signals[0].value, now.signals[0].target), (Some(1_200.0), 0.0));
    let gap = plan(&policy, &reading(START_MS, 0.0, Err(Gap::NoRequests("order".to_owned()))), &history);
    assert_eq!(
        gap.message,
        "order held at 2: no requests of service order are known: neither spans nor http_server_request_duration_seconds"
    );
}

#[test]
fn cpu_that_no_request_explains_never_lowers() {
    let policy = sized("[demand: {}]");
    let history = taught(&policy, 212.0, 3);
    // Spans are lost: a tenth of the requests is seen, and the replicas are as busy as before.
    let mut lost = observed(START_MS, 21.0, 3);
    lost.readings = vec![Reading::Demand(Box::new(demand(START_MS, 21.0, 3, 318)))];
    let mut history = history;
    history.learn(&policy, &lost);
    let plan = plan(&policy, &lost, &history);
    assert_eq!(plan.wish, 3);
    assert_eq!(plan.message, "order held at 3: a replica uses 64% of its CPU, and its requests explain 7%");
}

#[test]
fn a_retry_storm_is_no_demand() {
    let policy = sized("[demand: {}]");
    let mut history = taught(&policy, 100.0, 2);
    let mut stormy = observed(START_MS, 400.0, 2);
    if let Reading::Demand(demand) = &mut stormy.readings[0] {
        demand.service.asked = 100.0;
    }
    history.learn(&policy, &stormy);
    assert_eq!(plan(&policy, &stormy, &history).wish, 2, "three of four are sent again");
}

/// A workload in virtual time: replicas of a quarter of a core, requests of 10 ms of CPU, and a start that burns all the CPU of a
/// new replica for two minutes. The graph is 5 s late. Answers how many replicas there were at most, and at the end.
fn warm_up(policy: &Policy) -> (usize, usize) {
    const TICK_MS: i64 = 5_000;
    let mut started: Vec<i64> = vec![START_MS - 3_600_000; 2];
    let mut history = History::begin(START_MS, 2);
    let mut late = VecDeque::from([20.0]);
    let (mut most, mut replicas) = (2, 2);
    for n in 0..360 {
        let now_ms = START_MS + n * TICK_MS;
        // The load more than doubles after ten minutes; three replicas can do that.
        let rate = if n < 120 { 20.0 } else { 48.0 };
        late.push_back(rate);
        let seen = late.pop_front().unwrap();
        started.resize(replicas, now_ms);
        let is_ready = |started: i64| started + 5_000 <= now_ms;
        let serving = started.iter().filter(|at| is_ready(**at)).count();
        let usage = |started: i64| {
            let work = (rate * 10.0 / serving as f64) as i64;
            if now_ms - started < 120_000 { 250 } else { work.min(250) }
        };
        let pods = started.iter().enumerate().map(|(index, at)| Pod {
            started_ms: Some(*at),
            ready: Some(ReadyCondition { status: Some(is_ready(*at)), changed_ms: at + 5_000 }),
            requests: Requests {
                containers: vec![ContainerRequest {
                    name: "order".to_owned(),
                    request: ResourceRequest { cpu: Some(250), memory: None },
                }],
                pod: None,
            },
            ..pod(index)
        });
        let cpu: Vec<PodSample> = started.iter().enumerate().map(|(i, at)| sample(i, usage(*at), now_ms)).collect();
        let service = ServiceDemand { own_seconds: Some(0.015), ..demand(now_ms - 5_000, seen, 0, 0).service };
        let requests = Demand { service, cpu: cpu.clone(), cores: Some(0.25) };
        let reading = match &policy.signals[0].aim {
            crate::policy::Aim::Utilization { .. } => Reading::Pods(cpu),
            _ => Reading::Demand(Box::new(requests)),
        };
        let observed = Observation {
            now_ms,
            desired: i32::try_from(replicas).unwrap(),
            ready: u32::try_from(serving).unwrap(),
            pods: pods.collect(),
            readings: vec![reading],
            startup: Startup::default(),
            paused: false,
            budget: None,
            around: Surroundings::default(),
            containers: None,
        };
        history.learn(policy, &observed);
        let plan = plan(policy, &observed, &history);
        if let Some(wish) = plan.recommendation {
            history.remember(now_ms, wish, policy.behavior.as_ref());
        }
        if let Some(to) = plan.write {
            history.changed(now_ms, plan.from, to, policy.behavior.as_ref());
            replicas = usize::try_from(to).unwrap();
        }
        most = most.max(replicas);
    }
    (most, replicas)
}

#[test]
fn the_start_of_a_replica_asks_for_no_other() {
    let by_demand = sized("[demand: {}]");
    assert_eq!(warm_up(&by_demand), (3, 3));
    let (most, _) =
        warm_up(&policy("  replicas: {min: 1, max: 12}\n  signals: [{utilization: {resource: cpu, target: 65%}}]\n"));
    assert!(most > 3, "HPA's rule takes the start for load: {most}");
}

/// Two hours of a rate that nothing but chance moves, seen over the last ten seconds every other: how often the replicas are changed.
fn changes_by_chance(policy: &Policy, rate: f64, seed: u64) -> usize {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    // Irwin and Hall's sum, which has the variance of 1.
    let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
    let mut seconds = VecDeque::from([rate; 10]);
    let (mut history, mut replicas, mut changes) = (History::begin(START_MS, 2), 2usize, 0);
    for tick in 0..3_600 {
        for _ in 0..2 {
            seconds.pop_front();
            seconds.push_back((rate + rate.sqrt() * normal()).max(0.0));
        }
        let now_ms = START_MS + tick * 2_000;
        let observed = observed(now_ms, seconds.iter().sum::<f64>() / 10.0, replicas);
        history.learn(policy, &observed);
        let plan = plan(policy, &observed, &history);
        if let Some(wish) = plan.recommendation {
            history.remember(now_ms, wish, policy.behavior.as_ref());
        }
        if let Some(to) = plan.write {
            history.changed(now_ms, plan.from, to, policy.behavior.as_ref());
            replicas = usize::try_from(to).unwrap();
            // The first ten minutes are those in which it is learnt how much there is to do.
            changes += usize::from(tick > 300);
        }
    }
    changes
}

#[test]
fn chance_changes_next_to_nothing_however_near_the_load_is_to_the_next_replica() {
    let policy = sized("[demand: {}]\n  behavior: {scaleDown: {stabilizationWindowSeconds: 20}}");
    let all: Vec<usize> = (0..20u32).map(|n| changes_by_chance(&policy, 20.0 + f64::from(n) * 9.0, n.into())).collect();
    assert!(all.iter().all(|changes| *changes <= 4) && all.iter().sum::<usize>() <= 10, "{all:?}");
}

prop_compose! {
    fn any_load()(
        asked in 0.0f64..400.0,
        (front, retried) in (proptest::option::of(0.0f64..200.0), 0.0f64..100.0),
        cpu in 0i64..500,
        replicas in 1usize..12,
        age_ms in 0i64..200_000,
        taught in 0i64..20,
        waiting in 0.0f64..5_000.0,
        throughput in proptest::option::of(0.0f64..200.0),
    ) -> (Policy, Observation, History) {
        let policy = sized("[demand: {}, upstream: {}, backlog: {promql: sum(x), drainWithin: 60s}]");
        let reading = |at_ms: i64| {
            let demand = demand(at_ms, asked, replicas, cpu);
            let service = ServiceDemand { front, served: asked + retried, ..demand.service };
            let known = Demand { service, ..demand };
            let rate = throughput.map(|rate| Throughput { rate, at_ms: Some(at_ms) });
            let backlog = Reading::Backlog { waiting, at_ms: Some(at_ms), throughput: rate.ok_or(Gap::Empty) };
            let known = Reading::Demand(Box::new(known));
            Observation { readings: vec![known.clone(), known, backlog], ..observation(at_ms, &vec![0; replicas]) }
        };
        let mut history = History::begin(START_MS - 1_000_000, i32::try_from(replicas).unwrap());
        (0..taught).for_each(|n| history.learn(&policy, &reading(START_MS - 500_000 + n * 7_000)));
        let observed = Observation { now_ms: START_MS, ..reading(START_MS - age_ms) };
        history.learn(&policy, &observed);
        (policy, observed, history)
    }
}

proptest! {
    #[test]
    fn a_plan_by_load_can_be_recomputed_from_its_record((policy, observed, history) in any_load()) {
        let plan = plan(&policy, &observed, &history);
        prop_assert_eq!(recompute(&plan), Some(unsigned(plan.wish)), "{:?}", plan);
        for signal in &plan.signals {
            prop_assert_eq!(signal.wish.is_some(), signal.sizing.is_some());
            let Some(record) = &signal.sizing else { continue };
            prop_assert_eq!(sizing::replicas(record).ok().map(|[likely, ..]| likely), signal.wish);
            let bounds = match record { SizingRecord::Queue { .. } => 0.0..=1e6, SizingRecord::Drain { .. } => 0.0..=5_000.0 };
            prop_assert!(signal.value.is_some_and(|value| bounds.contains(&value)), "{:?}", signal);
        }
        let message = &plan.message;
        let is_cut = message.ends_with(' ') || message.ends_with(':') || message.contains("  ") || message.contains("NaN");
        prop_assert!(!is_cut, "{message:?}");
    }

    #[test]
    fn the_same_load_gives_the_same_plan((policy, observed, history) in any_load()) {
        prop_assert_eq!(plan(&policy, &observed, &history), plan(&policy, &observed, &history));
    }

    #[test]
    fn a_load_that_cannot_be_read_never_lowers((policy, mut observed, history) in any_load(), which in 0usize..3) {
        observed.readings[which] = Reading::Missing(Gap::Empty);
        prop_assert!(plan(&policy, &observed, &history).wish >= observed.desired.min(policy.bounds.max));
    }
}
