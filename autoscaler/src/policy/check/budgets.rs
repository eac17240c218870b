//! Checks of what a workload may take of others: downstream budgets.

use protocol::yaml::DocumentError;

use super::{Check, SIGNAL_NAME_MAX};
use crate::policy::DownstreamBudget;
use crate::policy::raw::RawBudget;

/// More than one workload calls on.
pub(in crate::policy) const BUDGETS_MAX: u32 = 8;

/// More than anything that is counted in pieces has.
pub(in crate::policy) const AMOUNT_MAX: u32 = 1_000_000_000;

impl Check<'_> {
    /// `min` is the fewest replicas: what they take must be there.
    pub(super) fn budgets(&self, raw: Vec<RawBudget>, min: i32) -> Result<Vec<DownstreamBudget>, DocumentError> {
        self.at_most("spec.budgets", raw.len(), BUDGETS_MAX, "budgets")?;
        let mut budgets: Vec<DownstreamBudget> = Vec::with_capacity(raw.len());
        for (index, RawBudget { name, total, per_replica }) in raw.into_iter().enumerate() {
            let field = format!("spec.budgets[{index}]");
            if name.trim().is_empty() {
                return self.fail(&format!("{field}.name"), "is empty: write what is shared");
            }
            self.at_most(&format!("{field}.name"), name.chars().count(), SIGNAL_NAME_MAX, "characters")?;
            if budgets.iter().any(|known| known.name == name) {
                return self.fail(&format!("{field}.name"), &format!("another budget is called {name:?} already"));
            }
            self.within(&format!("{field}.total"), total, 1, AMOUNT_MAX)?;
            self.within(&format!("{field}.perReplica"), per_replica, 1, AMOUNT_MAX)?;
            let fewest = u64::from(min.unsigned_abs()) * u64::from(per_replica);
            if fewest > u64::from(total) {
                let message = format!(
                    "the fewest replicas take {fewest} of {total}: raise total, or lower perReplica or spec.replicas.min"
                );
                return self.fail(&field, &message);
            }
            budgets.push(DownstreamBudget { name, total, per_replica });
        }
        Ok(budgets)
    }
}
