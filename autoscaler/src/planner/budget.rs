//! What the error budgets of a workload's service allow: while one burns fast nothing is taken away, and while all are nearly full, and
//! their owner lets it, replicas are packed tighter. Pure; a workload without objectives is never touched.

use std::time::Duration;

use slo::burn::State;

/// From this share of the budget on it is healthy enough to be spent: a fifth at most goes to packing.
pub const HEALTHY: f64 = 0.8;

/// Replicas are packed until they are this part of the tolerance above their target. The other half keeps what was packed from being
/// unpacked by noise.
const PACKED_TOLERANCE: f64 = 0.5;

/// What the objectives of a workload's service say together.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorBudget {
    /// How the worst of them is.
    pub state: State,
    /// Its name.
    pub objective: String,
    /// How many times too fast it burns, over `over`; 0 where nothing burns.
    pub rate: f64,
    /// The long window of the rule that holds.
    pub over: Duration,
    /// The least that is left of any of their budgets; `None` where one of them has no data.
    pub left: Option<f64>,
    /// All of them may be spent on packing.
    pub packing: bool,
}

impl ErrorBudget {
    /// Whether nothing may be taken from the workload now: neither replicas nor resources.
    pub fn forbids_less(&self) -> bool {
        self.state == State::FastBurn
    }

    /// Whether the workload may run tighter than its target.
    pub fn allows_packing(&self) -> bool {
        self.packing && self.state == State::Ok && self.left.is_some_and(|left| left > HEALTHY)
    }
}

/// The number after the guard of fast burns, and why it is another one than `wish`.
pub fn hold(budget: &ErrorBudget, from: i32, wish: i32) -> (i32, String) {
    if wish >= from || !budget.forbids_less() {
        return (wish, String::new());
    }
    let (rate, window) = (rounded(budget.rate), protocol::duration::Display(budget.over));
    (from, format!("its {} burned the error budget {rate} times too fast in the last {window}", budget.objective))
}

/// The number after packing, and why it is another one than `settled`. `demand` is the load in replicas at their target, not rounded;
/// `tolerance` is how far above the target nothing is done.
pub fn pack(budget: &ErrorBudget, settled: i32, from: i32, demand: f64, tolerance: f64) -> (i32, String) {
    let packed = (demand / (1.0 + tolerance * PACKED_TOLERANCE) - 1e-9).ceil();
    let is_fewer = packed >= 1.0 && packed < f64::from(settled);
    if settled > from || !is_fewer || !budget.allows_packing() {
        return (settled, String::new());
    }
    let left = budget.left.unwrap_or_default() * 100.0;
    (packed as i32, format!("{left:.0}% of the error budget is left, so fewer do"))
}

fn rounded(rate: f64) -> String {
    let decimals = usize::from(rate < 10.0);
    format!("{rate:.decimals$}")
}

#[cfg(test)]
mod tests;
