//! Checks of `resources`: amounts in order, and no signal that would be judged by what it itself changes.

use protocol::quantity::Quantity;
use protocol::yaml::DocumentError;

use super::Check;
use crate::policy::raw::{RawAmounts, RawApply, RawResources};
use crate::policy::resources::{AmountBounds, Apply, ResourcePolicy};
use crate::policy::{Aim, Signal};

impl Check<'_> {
    pub(super) fn resources(&self, raw: RawResources, signals: &[Signal]) -> Result<ResourcePolicy, DocumentError> {
        let field = "spec.resources";
        if raw.cpu.is_none() && raw.memory.is_none() {
            return self.fail(field, "expected cpu, memory or both, such as cpu: {min: 50m, max: 1}");
        }
        if raw.container.as_ref().is_some_and(|name| name.trim().is_empty()) {
            return self.fail("spec.resources.container", "is empty: write a name, or leave it out to mean all");
        }
        let resources = ResourcePolicy {
            cpu: raw.cpu.map(|raw| self.amounts("spec.resources.cpu", raw)).transpose()?,
            memory: raw.memory.map(|raw| self.amounts("spec.resources.memory", raw)).transpose()?,
            container: raw.container,
            apply: match raw.apply {
                None | Some(RawApply::InPlace) => Apply::InPlace,
                Some(RawApply::Rollout) => Apply::Rollout,
                Some(RawApply::Recommend) => Apply::Recommend,
            },
        };
        let judged = signals.iter().find(
            |signal| matches!(&signal.aim, Aim::Utilization { resource, .. } if resources.bounds(*resource).is_some()),
        );
        match judged {
            Some(signal) if resources.apply == Apply::Rollout => self.fail(
                "spec.resources.apply",
                &format!(
                    "Rollout writes the requests that {} is judged by, so that the two would drive each other: use \
                     InPlace, or a signal that reads no utilization",
                    signal.name
                ),
            ),
            _ => Ok(resources),
        }
    }

    fn amounts(&self, field: &str, raw: RawAmounts) -> Result<AmountBounds, DocumentError> {
        let positive = |name: &str, amount: Quantity| self.positive(&format!("{field}.{name}"), amount);
        let bounds = AmountBounds { min: positive("min", raw.min)?, max: positive("max", raw.max)? };
        if bounds.min > bounds.max {
            let message = format!("min {} is above max {}: lower min or raise max", raw.min, raw.max);
            return self.fail(field, &message);
        }
        Ok(bounds)
    }
}
