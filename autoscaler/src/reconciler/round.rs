//! One tick over all workloads together: each is planned alone first, and again where what it may do depends on what the others do: what
//! is shared downstream, and how much may be taken at once of services that depend on each other. The live loop and replays go this
//! way. Pure but for what is remembered.

use std::collections::HashMap;

use cluster::{ReplicaState, Workload};

use super::memory::Memory;
use crate::planner::cone::{Calls, Member, ration};
use crate::planner::downstream::{Allowance, Claim, allot};
use crate::planner::observation::Phase;
use crate::planner::{Observation, Plan, unsigned};
use crate::policy::Policy;

/// Holders of a budget that a record names; the others are in its sum.
const HOLDERS_NAMED: usize = 5;

/// A workload that is planned.
pub(crate) struct Seat<'a> {
    pub policy: &'a Policy,
    pub observation: &'a mut Observation,
}

/// Who is not planned and still holds what is shared.
pub(crate) struct Bystander<'a> {
    pub policy: &'a Policy,
    pub workload: &'a Workload,
}

/// Plans all seats, whom the memory has recalled, in their order.
pub(crate) fn plan_round(
    seats: &mut [Seat<'_>],
    bystanders: &[Bystander<'_>],
    memory: &mut Memory,
    calls: Option<&Calls>,
) -> Vec<Plan> {
    for seat in seats.iter_mut() {
        let around = &mut seat.observation.around;
        around.downstream.clear();
        around.cone = None;
        memory.learn(seat.policy, seat.observation);
    }
    let mut plans: Vec<Plan> = seats.iter().map(|seat| memory.plan(seat.policy, seat.observation)).collect();
    share(seats, bystanders, &mut plans, memory);
    if let Some(calls) = calls {
        spread(seats, &mut plans, memory, calls);
    }
    for (seat, plan) in seats.iter().zip(&plans) {
        memory.keep(seat.policy, seat.observation, plan);
    }
    plans
}

/// One who holds what is shared.
struct Holder<'a> {
    policy: &'a Policy,
    seat: Option<usize>,
    claim: Claim,
    /// The cluster does not list yet what was asked for last.
    is_unlisted: bool,
}

/// Says to each seat what others leave it of what is shared, and plans it again.
fn share(seats: &mut [Seat<'_>], bystanders: &[Bystander<'_>], plans: &mut [Plan], memory: &Memory) {
    let mut holders: Vec<Holder<'_>> = Vec::new();
    for (index, (seat, plan)) in seats.iter().zip(plans.iter()).enumerate() {
        if !seat.policy.budgets.is_empty() {
            let written = memory.written(seat.policy, seat.observation.now_ms);
            let claim = claim(seat.observation, plan, written);
            let is_unlisted = written.is_some_and(|written| written != plan.from);
            holders.push(Holder { policy: seat.policy, seat: Some(index), claim, is_unlisted });
        }
    }
    for Bystander { policy, workload } in bystanders.iter().filter(|one| !one.policy.budgets.is_empty()) {
        holders.push(Holder { policy, seat: None, claim: claim_of(workload), is_unlisted: false });
    }
    if holders.is_empty() {
        return;
    }
    // The same order in each tick, whoever is planned.
    holders.sort_by(|a, b| {
        (&a.policy.name.namespace, &a.policy.name.name).cmp(&(&b.policy.name.namespace, &b.policy.name.name))
    });
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    let mut totals: Vec<u64> = Vec::new();
    for holder in &mut holders {
        let policy = holder.policy;
        for budget in &policy.budgets {
            let next = totals.len();
            let place = *places.entry((policy.name.namespace.as_str(), budget.name.as_str())).or_insert(next);
            match totals.get_mut(place) {
                Some(total) => *total = (*total).min(u64::from(budget.total)),
                None => totals.push(u64::from(budget.total)),
            }
            holder.claim.needs.push((place, budget.per_replica));
        }
    }
    let claims: Vec<Claim> = holders.iter().map(|holder| holder.claim.clone()).collect();
    let given = allot(&totals, &claims);
    let lists = holds(&holders, &given, totals.len());
    let allowed: Vec<(usize, Vec<Allowance>)> = holders
        .iter()
        .enumerate()
        .filter_map(|(index, holder)| Some((holder.seat?, allowances((index, given[index]), holder, &lists, &totals))))
        .collect();
    for (seat, allowances) in allowed {
        seats[seat].observation.around.downstream = allowances;
        plans[seat] = memory.plan(seats[seat].policy, seats[seat].observation);
    }
}

/// What each budget's holders hold: their sum, and each with its place among the holders, the largest first.
struct Held<'a> {
    sum: u64,
    largest: Vec<(usize, &'a str, u64)>,
}

fn holds<'a>(holders: &[Holder<'a>], given: &[u32], budgets: usize) -> Vec<Held<'a>> {
    let mut lists: Vec<Held<'a>> = (0..budgets).map(|_| Held { sum: 0, largest: Vec::new() }).collect();
    for (index, (holder, given)) in holders.iter().zip(given).enumerate() {
        for (budget, each) in &holder.claim.needs {
            let amount = holder.claim.holders((*given).max(holder.claim.from)).saturating_mul(u64::from(*each));
            let list = &mut lists[*budget];
            list.sum = list.sum.saturating_add(amount);
            list.largest.push((index, holder.policy.target.name.as_str(), amount));
        }
    }
    for list in &mut lists {
        list.largest.sort_by_key(|(index, _, amount)| (std::cmp::Reverse(*amount), *index));
        // One more than are named: whoever is told is not among them.
        list.largest.truncate(HOLDERS_NAMED + 1);
    }
    lists
}

fn allowances((index, given): (usize, u32), holder: &Holder<'_>, lists: &[Held<'_>], totals: &[u64]) -> Vec<Allowance> {
    let Holder { policy, claim, is_unlisted, .. } = holder;
    let each = policy.budgets.iter().zip(&claim.needs).map(|(budget, (place, per_replica))| {
        let list = &lists[*place];
        let own = claim.holders(given.max(claim.from)).saturating_mul(u64::from(*per_replica));
        let others = list.largest.iter().filter(|(other, ..)| *other != index).take(HOLDERS_NAMED);
        Allowance {
            budget: budget.name.clone(),
            total: totals[*place],
            per_replica: *per_replica,
            ending: claim.ending,
            others_hold: list.sum.saturating_sub(own),
            is_unlisted: *is_unlisted,
            others: others.map(|(_, workload, holds)| ((*workload).to_owned(), *holds)).collect(),
        }
    });
    each.collect()
}

/// What a planned workload holds and wants. Who would not write wants nothing; `written` counts although the cluster may not list it yet.
fn claim(observation: &Observation, plan: &Plan, written: Option<i32>) -> Claim {
    let pods = &observation.pods;
    let holds = |phase: Phase| !matches!(phase, Phase::Failed | Phase::Succeeded);
    let count = |is_ending: bool| pods.iter().filter(|pod| pod.terminating == is_ending && holds(pod.phase)).count();
    let from = unsigned(plan.from);
    Claim {
        from,
        wish: plan.write.filter(|_| written.is_none_or(|written| written == plan.from)).map_or(from, unsigned),
        live: u32::try_from(count(false)).unwrap_or(u32::MAX).max(written.map_or(0, unsigned)),
        ending: u32::try_from(count(true)).unwrap_or(u32::MAX),
        needs: Vec::new(),
    }
}

/// What a workload holds that is not planned.
fn claim_of(workload: &Workload) -> Claim {
    let count =
        |counts: fn(ReplicaState) -> bool| workload.replicas.iter().filter(|replica| counts(replica.state)).count();
    let live = count(|state| !matches!(state, ReplicaState::Terminating | ReplicaState::Failed));
    Claim {
        from: workload.desired.0,
        wish: workload.desired.0,
        live: u32::try_from(live).unwrap_or(u32::MAX),
        ending: u32::try_from(count(|state| state == ReplicaState::Terminating)).unwrap_or(u32::MAX),
        needs: Vec::new(),
    }
}

/// Says to each seat from which something is to be taken what its cone bears, and plans it again.
fn spread(seats: &mut [Seat<'_>], plans: &mut [Plan], memory: &Memory, calls: &Calls) {
    let is_lower = |plan: &Plan| plan.write.is_some_and(|write| write < plan.from);
    if !plans.iter().any(is_lower) {
        return;
    }
    let now_ms = seats.first().map_or(0, |seat| seat.observation.now_ms);
    let members: Vec<Member<'_>> = seats
        .iter()
        .zip(plans.iter())
        .map(|(seat, plan)| {
            let wish = if is_lower(plan) { plan.wish } else { plan.from };
            Member { service: &seat.policy.service, from: plan.from, wish }
        })
        .collect();
    let shares = ration(&members, calls, memory.lowered(), now_ms);
    for (place, share) in shares.into_iter().enumerate().filter(|(_, share)| share.is_some()) {
        seats[place].observation.around.cone = share;
        plans[place] = memory.plan(seats[place].policy, seats[place].observation);
    }
}

#[cfg(test)]
mod tests;
