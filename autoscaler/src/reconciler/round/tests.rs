//! Claims about a tick over all workloads together: budgets hold whoever wishes what, and cones lose no more than they bear.

use std::path::Path;

use cluster::WorkloadKind;
use cluster::WorkloadRef;
use cluster::{Replica, Replicas, Rollout};
use protocol::scaling::GuardFacts;

use super::*;
use crate::planner::observation::{Pod, ReadyCondition, Requests, Startup};
use crate::planner::surroundings::Surroundings;
use crate::planner::{Reading, Reason};
use crate::policy::PolicySet;

const START_MS: i64 = 1_700_000_000_000;

/// Policies by name, each with what stands below its target.
fn policies(all: &[(&str, String)]) -> PolicySet {
    let document = |(name, spec): &(&str, String)| {
        format!(
            "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             target: {{kind: Deployment, name: {name}}}\n  replicas: {{min: 1, max: 40}}\n  \
             signals: [{{query: {{promql: x, perReplica: 10}}}}]\n  behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}\n{spec}\n"
        )
    };
    let text = all.iter().map(document).collect::<Vec<_>>().join("---\n");
    crate::policy::from_documents(protocol::yaml::split(Path::new("p.yaml"), &text)).unwrap()
}

fn shares(budgets: &[(&str, u32, u32)]) -> String {
    let one = |(name, total, each): &(&str, u32, u32)| format!("{{name: {name}, total: {total}, perReplica: {each}}}");
    format!("  budgets: [{}]", budgets.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// Replicas of a workload: how many are asked for, those that are there, and when those that end will have.
#[derive(Clone, Default)]
struct Fleet {
    desired: u32,
    live: u32,
    ending: Vec<u32>,
}

impl Fleet {
    fn of(replicas: u32) -> Self {
        Self { desired: replicas, live: replicas, ending: Vec::new() }
    }

    /// Replicas that will exist at once.
    fn exist(&self) -> u64 {
        u64::from(self.live.max(self.desired)) + self.ending.len() as u64
    }

    fn scale(&mut self, replicas: u32) {
        self.desired = replicas;
        let surplus = self.live.saturating_sub(replicas);
        self.ending.extend(std::iter::repeat_n(2, surplus as usize));
        self.live = replicas;
    }

    fn pass(&mut self) {
        self.ending.iter_mut().for_each(|left| *left = left.saturating_sub(1));
        self.ending.retain(|left| *left > 0);
        self.live = self.desired;
    }

    fn observed(&self, now_ms: i64, work: i64) -> Observation {
        let pod = |number: usize| Pod {
            name: format!("p-{number}"),
            phase: Phase::Running,
            terminating: number >= self.live as usize,
            started_ms: Some(now_ms - 3_600_000),
            ready: Some(ReadyCondition { status: Some(true), changed_ms: now_ms - 3_500_000 }),
            requests: Requests::default(),
        };
        Observation {
            now_ms,
            desired: i32::try_from(self.desired).unwrap(),
            ready: self.live,
            pods: (0..self.live as usize + self.ending.len()).map(pod).collect(),
            readings: vec![Reading::Total { millis: work * 1000, at_ms: Some(now_ms) }],
            startup: Startup::default(),
            paused: false,
            budget: None,
            containers: None,
            around: Surroundings::default(),
        }
    }
}

/// Plans one tick for workloads with so much work each, ten of which a replica is to have.
fn round(
    set: &PolicySet,
    fleets: &[Fleet],
    work: &[i64],
    now_ms: i64,
    memory: &mut Memory,
    calls: Option<&Calls>,
) -> Vec<Plan> {
    let mut observed: Vec<Observation> =
        fleets.iter().zip(work).map(|(fleet, work)| fleet.observed(now_ms, *work)).collect();
    let mut seats = Vec::new();
    for (policy, observation) in set.iter().zip(&mut observed) {
        memory.recall(policy, now_ms, observation.desired, false);
        seats.push(Seat { policy, observation });
    }
    plan_round(&mut seats, &[], memory, calls)
}

#[test]
fn who_wishes_most_does_not_get_all_and_is_told_who_holds_the_budget() {
    let budget = shares(&[("postgres", 200, 20)]);
    let set = policies(&[("order", budget.clone()), ("user", budget), ("mail", String::new())]);
    let plans =
        round(&set, &[Fleet::of(3), Fleet::of(3), Fleet::of(3)], &[90, 60, 60], START_MS, &mut Memory::default(), None);
    let wishes: Vec<i32> = plans.iter().map(|plan| plan.wish).collect();
    assert_eq!(wishes, [5, 5, 6], "{:?}", plans[0].message);
    assert_eq!(
        plans[0].message,
        "order 3 -> 5: x 30 per replica is above 10 (9 wished, limited by scaleUpPolicies and downstreamBudget)"
    );
    let record = plans[0].guards.iter().find(|guard| guard.guard == "downstreamBudget").unwrap();
    assert_eq!(record.note, "the budget postgres has room for 5: of 200, user holds 100, and each replica takes 20");
    let Some(GuardFacts::Downstream { ending: 0, unlisted: false, budgets }) = &record.facts else {
        panic!("{record:?}")
    };
    assert_eq!((budgets[0].total, budgets[0].others_hold, budgets[0].most), (200, 100, 5));
    assert!(plans[2].guards.iter().all(|guard| guard.guard != "downstreamBudget"));
    let full =
        round(&set, &[Fleet::of(5), Fleet::of(5), Fleet::of(3)], &[90, 60, 30], START_MS, &mut Memory::default(), None);
    assert_eq!((full[0].wish, full[0].reason), (5, Reason::DownstreamBudget));
    assert!(
        full[0].message.starts_with("order stays at 5: 9 are wished, but the budget postgres has room for 5"),
        "{}",
        full[0].message
    );
}

#[test]
fn the_smallest_total_holds_and_those_that_are_not_planned_hold_theirs() {
    let set = policies(&[
        ("order", shares(&[("postgres", 200, 20)])),
        ("user", shares(&[("postgres", 100, 10)])),
        ("off", format!("{}\n  mode: 'Off'", shares(&[("postgres", 300, 10)]))),
    ]);
    let reference =
        WorkloadRef { kind: WorkloadKind::Deployment, namespace: "shop".to_owned(), name: "off".to_owned() };
    let replica = |state| Replica {
        name: "off-1".to_owned(),
        state,
        ready: true,
        started_at_ms: None,
        ready_changed_at_ms: None,
        restarts: 0,
        containers: Vec::new(),
        resize: None,
        node: String::new(),
        message: String::new(),
    };
    let workload = Workload {
        reference,
        desired: Replicas(1),
        replicas: vec![
            replica(ReplicaState::Running),
            replica(ReplicaState::Terminating),
            replica(ReplicaState::Failed),
        ],
        rollout: Rollout::Complete,
        conflicts: Vec::new(),
    };
    let mut observed = [Fleet::of(1).observed(START_MS, 100), Fleet::of(1).observed(START_MS, 10)];
    let mut memory = Memory::default();
    let mut seats = Vec::new();
    for (policy, observation) in set.iter().zip(&mut observed) {
        memory.recall(policy, START_MS, 1, false);
        seats.push(Seat { policy, observation });
    }
    let plans = plan_round(&mut seats, &[Bystander { policy: &set[2], workload: &workload }], &mut memory, None);
    // Of 100 connections user holds 10 and off 20: three replicas of 20 fit.
    assert_eq!((plans[0].wish, plans[1].wish), (3, 1), "{}", plans[0].message);
}

/// Numbers that are the same each time: Knuth's MMIX.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[test]
fn in_ten_thousand_random_runs_no_budget_is_ever_exceeded() {
    const TICKS: i64 = 4;
    let mut numbers = Numbers(1);
    let mut limited = 0;
    let totals = [("postgres", 200u64), ("tokens", 60)];
    let takes: [[(usize, u32); 2]; 3] = [[(0, 20), (1, 3)], [(0, 10), (1, 10)], [(0, 7), (1, 1)]];
    let spec =
        |takes: &[(usize, u32); 2]| shares(&takes.map(|(place, each)| (totals[place].0, totals[place].1 as u32, each)));
    let set = policies(&[("a", spec(&takes[0])), ("b", spec(&takes[1])), ("c", spec(&takes[2]))]);
    let held = |fleets: &[Fleet], budget: usize| -> u64 {
        fleets.iter().zip(&takes).map(|(fleet, takes)| fleet.exist() * u64::from(takes[budget].1)).sum()
    };
    for run in 0..10_000u32 {
        let mut fleets: Vec<Fleet> = (0..3).map(|_| Fleet::of(1 + numbers.below(3) as u32)).collect();
        let mut memory = Memory::default();
        let mut listed = fleets.clone();
        for tick in 0..TICKS {
            let now_ms = START_MS + tick * 15_000;
            // Now and then the cluster's list is one tick behind; else a rolling update surges where there is room for it.
            if numbers.below(5) > 0 {
                let surging = numbers.below(3) as usize;
                fleets[surging].live += 1;
                if totals.iter().enumerate().any(|(budget, (_, total))| held(&fleets, budget) > *total) {
                    fleets[surging].live -= 1;
                }
                listed.clone_from(&fleets);
            }
            let work: Vec<i64> = (0..3).map(|_| numbers.below(200) as i64).collect();
            let plans = round(&set, &listed, &work, now_ms, &mut memory, None);
            listed.clone_from(&fleets);
            for ((fleet, plan), policy) in fleets.iter_mut().zip(&plans).zip(set.iter()) {
                limited += u32::from(plan.guards.iter().any(|g| g.guard == "downstreamBudget" && g.before != g.after));
                // A write may be refused, or be carried out without an answer.
                let Some(to) = plan.write else { continue };
                match numbers.below(10) {
                    0 => continue,
                    1 => memory.may_have_changed(policy, now_ms, to),
                    _ => memory.changed(policy, now_ms, plan.from, to),
                }
                fleet.scale(unsigned(to));
            }
            for (budget, (name, total)) in totals.iter().enumerate() {
                let holds = held(&fleets, budget);
                assert!(holds <= *total, "run {run}, tick {tick}: {holds} of {total} {name}");
            }
            fleets.iter_mut().for_each(Fleet::pass);
        }
    }
    assert!(limited > 10_000, "the guard had something to do: {limited}");
}

#[test]
fn a_cone_loses_a_fifth_at_once_and_the_rest_follows() {
    let set = policies(&[("gateway", String::new()), ("mail", String::new()), ("order", String::new())]);
    let calls = Calls::new([("gateway", "order")].into_iter());
    let mut memory = Memory::default();
    let mut fleets = vec![Fleet::of(6), Fleet::of(6), Fleet::of(6)];
    let mut seen = Vec::new();
    for tick in 0..12 {
        let now_ms = START_MS + tick * 15_000;
        let plans = round(&set, &fleets, &[20, 20, 20], now_ms, &mut memory, Some(&calls));
        seen.push(plans.iter().map(|plan| plan.wish).collect::<Vec<_>>());
        if tick == 0 {
            assert_eq!(plans[2].reason, Reason::BlastCap);
            assert_eq!(
                plans[2].message,
                "order stays at 6: 2 would be enough, but 4 of the 12 replicas of the 2 services that depend on each other were \
                 taken within 30 s, and 2 may be"
            );
        }
        for ((fleet, plan), policy) in fleets.iter_mut().zip(&plans).zip(set.iter()) {
            if let Some(to) = plan.write {
                memory.changed(policy, now_ms, plan.from, to);
                fleet.scale(unsigned(to));
            }
            fleet.pass();
        }
    }
    assert_eq!(seen[0], [2, 2, 6], "one workload of the cone, and whoever is not of it");
    assert_eq!(
        (&seen[1], &seen[2]),
        (&vec![2, 2, 6], &vec![2, 2, 2]),
        "half a minute later it is the other's turn: {seen:?}"
    );
}
