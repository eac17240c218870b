//! Whether a ResourceQuota leaves room for a resize of several pods: asked before the first is touched, so that none is resized
//! when not all can be. The API server has the last word. Pure.

use protocol::quantity::Quantity;

use super::plan::{Change, Part};
use crate::Resources;

/// A ResourceQuota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kubernetes) struct Quota {
    pub name: Box<str>,
    /// Counts only some pods; which, is left to the API server.
    pub scoped: bool,
    /// What it limits: name, limit, used.
    pub amounts: Vec<(Box<str>, Quantity, Quantity)>,
}

/// By how much requests and limits grow, in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::kubernetes) struct Growth {
    cpu_request: i64,
    cpu_limit: i64,
    memory_request: i64,
    memory_limit: i64,
}

impl Growth {
    /// Adds what the changes of one pod bring.
    pub fn add(&mut self, parts: &[Part], changes: &[Change]) {
        for change in changes {
            let Some(part) = parts.iter().find(|part| part.name == change.container) else { continue };
            let (before, after) = (&part.resources, &change.resources);
            let grown = |amount: fn(&Resources) -> Option<Quantity>| {
                let millis = |resources| amount(resources).unwrap_or_default().millis();
                millis(after).saturating_sub(millis(before))
            };
            self.cpu_request = self.cpu_request.saturating_add(grown(|r| r.cpu_request));
            self.cpu_limit = self.cpu_limit.saturating_add(grown(|r| r.cpu_limit));
            self.memory_request = self.memory_request.saturating_add(grown(|r| r.memory_request));
            self.memory_limit = self.memory_limit.saturating_add(grown(|r| r.memory_limit));
        }
    }

    fn of(&self, name: &str) -> i64 {
        match name {
            "cpu" | "requests.cpu" => self.cpu_request,
            "memory" | "requests.memory" => self.memory_request,
            "limits.cpu" => self.cpu_limit,
            "limits.memory" => self.memory_limit,
            _ => 0,
        }
    }
}

/// Why there is no room for the growth; `None` when there is.
pub(in crate::kubernetes) fn exceeded<'a>(quotas: impl Iterator<Item = &'a Quota>, growth: &Growth) -> Option<String> {
    quotas.filter(|quota| !quota.scoped).find_map(|quota| {
        quota.amounts.iter().find_map(|(name, hard, used)| {
            let grown = growth.of(name);
            let after = Quantity::from_millis(used.millis().saturating_add(grown));
            (grown > 0 && after > *hard)
                .then(|| format!("ResourceQuota {} allows {name} {hard}, and {after} would be used", quota.name))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::plan::Role;
    use super::*;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap()
    }

    fn resources(cpu: &str, memory: &str) -> Resources {
        let (cpu_request, memory_limit) = (Some(quantity(cpu)), Some(quantity(memory)));
        Resources { cpu_request, memory_limit, ..Resources::default() }
    }

    fn growth(pods: usize, cpu: &str) -> Growth {
        let (name, role) = (Box::<str>::from("a"), Role::Main);
        let before = resources("100m", "64Mi");
        let parts = [Part { name: name.clone(), role, resources: before, cpu_restarts: false, memory_restarts: false }];
        let changes = [Change { container: name, role, resources: resources(cpu, "64Mi") }];
        let mut growth = Growth::default();
        (0..pods).for_each(|_| growth.add(&parts, &changes));
        growth
    }

    #[test]
    fn all_pods_together_must_fit() {
        let amounts = vec![
            ("limits.memory".into(), quantity("1Mi"), quantity("2Mi")),
            ("requests.cpu".into(), quantity("1"), quantity("500m")),
        ];
        let quota = Quota { name: "small".into(), scoped: false, amounts };
        let quotas = [quota.clone()];
        assert_eq!(exceeded(quotas.iter(), &growth(5, "200m")), None);
        let said = exceeded(quotas.iter(), &growth(6, "200m")).unwrap();
        assert_eq!(said, "ResourceQuota small allows requests.cpu 1, and 1100m would be used");
        assert_eq!(exceeded(quotas.iter(), &growth(9, "50m")), None, "what shrinks is never refused");
        let scoped = [Quota { scoped: true, ..quota }];
        assert_eq!(exceeded(scoped.iter(), &growth(6, "200m")), None);
    }
}
