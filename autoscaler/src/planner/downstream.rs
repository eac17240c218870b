//! Downstream budgets: what replicas take of something that others bear only so much of, such as a database's connections. The
//! workloads that name one share it, and together never grow beyond it, whoever wishes what in the same tick: replicas that are
//! ending or surge hold what they have, and what is given goes to whoever has least. Nothing is taken away. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use protocol::scaling::{BudgetHolder, BudgetRecord, GuardFacts};

use super::unsigned;

/// Holders that a sentence names.
const NAMED: usize = 3;

/// What one workload holds and wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Replicas asked for.
    pub from: u32,
    /// Replicas wished; no more than `from` where nothing would be written.
    pub wish: u32,
    /// Replicas that are there and stay, those of a rolling update's surge included.
    pub live: u32,
    /// Replicas that are ending.
    pub ending: u32,
    /// Which budgets each replica takes how much of, by their places.
    pub needs: Vec<(usize, u32)>,
}

impl Claim {
    /// Replicas that hold something once so many are asked for.
    pub fn holders(&self, replicas: u32) -> u64 {
        u64::from(self.ending) + u64::from(self.live.max(replicas))
    }
}

/// How many replicas each claim is given: its wish, or as many as its budgets leave room for; never fewer than it has or wishes. Each
/// replica goes to the claim that holds the least share of its scarcest budget, the first of equals.
pub fn allot(totals: &[u64], claims: &[Claim]) -> Vec<u32> {
    let mut given: Vec<u32> = claims.iter().map(|claim| claim.from).collect();
    let mut held = held(totals.len(), claims, &given);
    let share = |claim: &Claim, replicas: u32| -> u64 {
        let parts = claim.needs.iter().map(|(budget, each)| {
            let amount = u128::from(claim.holders(replicas)) * u128::from(*each);
            // In billionths, which are whole numbers and the same on every machine.
            let billionths = amount.saturating_mul(1_000_000_000) / u128::from(totals[*budget].max(1));
            u64::try_from(billionths).unwrap_or(u64::MAX)
        });
        parts.max().unwrap_or(0)
    };
    let growing = claims.iter().enumerate().filter(|(_, claim)| claim.wish > claim.from);
    let mut waiting: BinaryHeap<Reverse<(u64, usize)>> =
        growing.map(|(index, claim)| Reverse((share(claim, claim.from), index))).collect();
    while let Some(Reverse((_, index))) = waiting.pop() {
        let (claim, next) = (&claims[index], given[index] + 1);
        let more = claim.holders(next) - claim.holders(given[index]);
        let has_room = |(budget, each): &(usize, u32)| {
            more == 0 || held[*budget].saturating_add(u64::from(*each) * more) <= totals[*budget]
        };
        if !claim.needs.iter().all(has_room) {
            continue;
        }
        claim.needs.iter().for_each(|(budget, each)| held[*budget] += u64::from(*each) * more);
        given[index] = next;
        if next < claim.wish {
            waiting.push(Reverse((share(claim, next), index)));
        }
    }
    given.iter().zip(claims).map(|(given, claim)| if claim.wish < claim.from { claim.wish } else { *given }).collect()
}

/// How much of each budget is held once each claim has so many replicas. Fewer hold no less until the others are gone.
fn held(budgets: usize, claims: &[Claim], replicas: &[u32]) -> Vec<u64> {
    let mut held = vec![0u64; budgets];
    for (claim, replicas) in claims.iter().zip(replicas) {
        let holders = claim.holders((*replicas).max(claim.from));
        for (budget, each) in &claim.needs {
            held[*budget] = held[*budget].saturating_add(holders.saturating_mul(u64::from(*each)));
        }
    }
    held
}

/// What others leave a workload of one budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// Name of the budget.
    pub budget: String,
    /// How much there is.
    pub total: u64,
    /// How much each replica takes.
    pub per_replica: u32,
    /// Replicas of the workload that are ending.
    pub ending: u32,
    /// How much other workloads hold, with what this tick gives them.
    pub others_hold: u64,
    /// Those of them that hold most, the largest first.
    pub others: Vec<(String, u64)>,
    /// The cluster does not list yet what was asked for last: what the workload holds is not known.
    pub is_unlisted: bool,
}

impl Allowance {
    /// The most replicas that there is room for.
    pub fn most(&self) -> i32 {
        let room = self.total.saturating_sub(self.others_hold) / u64::from(self.per_replica.max(1));
        i32::try_from(room.saturating_sub(u64::from(self.ending))).unwrap_or(i32::MAX)
    }

    fn note(&self) -> String {
        let Self { budget, total, per_replica, ending, others_hold, others, .. } = self;
        let most = self.most();
        let named = &others[..others.len().min(NAMED)];
        let mut holders: Vec<String> =
            named.iter().map(|(workload, holds)| format!("{workload} holds {holds}")).collect();
        let rest = others_hold.saturating_sub(named.iter().map(|(_, holds)| holds).sum());
        if rest > 0 {
            holders.push(format!("others hold {rest}"));
        }
        if *ending > 0 {
            holders.push(format!("replicas that are ending {}", u64::from(*ending) * u64::from(*per_replica)));
        }
        let holders = if holders.is_empty() { String::new() } else { format!("{}, and ", holders.join(", ")) };
        format!("the budget {budget} has room for {most}: of {total}, {holders}each replica takes {per_replica}")
    }
}

/// The number after the guard, and why it is another one than `wish`.
pub fn hold(allowances: &[Allowance], from: i32, wish: i32) -> (i32, String) {
    if wish != from && allowances.iter().any(|allowance| allowance.is_unlisted) {
        let note = "the cluster does not list yet what was asked for last, so what is left of its budgets is not known";
        return (from, note.to_owned());
    }
    let scarcest = allowances.iter().min_by_key(|allowance| allowance.most());
    match scarcest {
        Some(scarcest) if wish > from && scarcest.most() < wish => (scarcest.most().max(from), scarcest.note()),
        _ => (wish, String::new()),
    }
}

/// The numbers behind it; `None` without budgets.
pub fn facts(allowances: &[Allowance]) -> Option<GuardFacts> {
    let first = allowances.first()?;
    let (ending, unlisted) = (first.ending, first.is_unlisted);
    let record = |allowance: &Allowance| BudgetRecord {
        budget: allowance.budget.clone(),
        total: allowance.total,
        per_replica: allowance.per_replica,
        others: allowance
            .others
            .iter()
            .map(|(workload, holds)| BudgetHolder { workload: workload.clone(), holds: *holds })
            .collect(),
        others_hold: allowance.others_hold,
        most: unsigned(allowance.most()),
    };
    Some(GuardFacts::Downstream { ending, unlisted, budgets: allowances.iter().map(record).collect() })
}

#[cfg(test)]
mod tests;
