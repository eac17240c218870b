//! Which faults are tried at which services, and in which order: follows from the seed alone. Runs nothing.

use anyhow::bail;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// One fault at one service, as the demo's port takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub seed: u64,
    pub kind: &'static str,
    /// The culprit: whoever has the fault.
    pub service: &'static str,
    pub value: &'static str,
}

impl Case {
    /// `SERVICE:KIND[=VALUE]`.
    pub fn fault(&self) -> String {
        let value = if self.value.is_empty() { String::new() } else { format!("={}", self.value) };
        format!("{}:{}{value}", self.service, self.kind)
    }

    /// Whether its calls are what is wrong, so that whoever it calls may be where it shows.
    pub fn is_of_calls(&self) -> bool {
        matches!(self.kind, "unreachable" | "retry-storm")
    }
}

/// Kinds with services and values; each seed takes the next. Strong enough for customers to notice at fifteen journeys a
/// second. Calls that find nobody are tried where others reach the same service, so that there is a right answer.
const VARIANTS: [(&str, [(&str, &str); 3]); 20] = [
    ("error", [("payment", "1"), ("product", "0.5"), ("order", "0.4")]),
    ("latency", [("search", "400ms"), ("payment", "600ms"), ("user", "400ms")]),
    ("tail-latency", [("product", "1s"), ("inventory", "1s"), ("order", "2s")]),
    ("cpu", [("product", "2"), ("order", "2"), ("search", "2")]),
    ("leak", [("product", "8Mi"), ("inventory", "8Mi"), ("order", "8Mi")]),
    ("pause", [("product", "800ms"), ("order", "1s"), ("gateway", "800ms")]),
    ("lock", [("product", "100ms"), ("payment", "500ms"), ("search", "300ms")]),
    ("pool", [("payment", "4"), ("user", "4"), ("product", "4")]),
    ("slow-store", [("order", "200ms"), ("product", "200ms"), ("inventory", "300ms")]),
    ("store-down", [("payment", ""), ("product", ""), ("user", "")]),
    ("queue-lag", [("notification", "500ms"), ("recommendation", "900ms"), ("notification", "400ms")]),
    ("poison", [("notification", "0.5"), ("recommendation", "0.6"), ("notification", "0.3")]),
    ("stampede", [("product", "300ms"), ("search", "500ms"), ("order", "500ms")]),
    ("retry-storm", [("gateway", "8ms"), ("order", "8ms"), ("gateway", "12ms")]),
    ("unreachable", [("order", "product"), ("order", "inventory"), ("gateway", "inventory")]),
    ("clock-skew", [("user", "-5h"), ("gateway", "5h"), ("user", "-1d")]),
    ("bad-deploy", [("payment", "9.9.9"), ("product", "9.9.9"), ("user", "9.9.9")]),
    ("zone", [("product", "0.5"), ("order", "0.5"), ("inventory", "1")]),
    ("crash", [("payment", ""), ("search", ""), ("product", "")]),
    ("hang", [("order", ""), ("inventory", ""), ("user", "")]),
];

/// The cases of one seed, in its own order; those of these kinds, or of all when none is named.
pub fn of_seed(seed: u64, kinds: &[String]) -> Vec<Case> {
    let turn = usize::try_from(seed.saturating_sub(1) % 3).unwrap_or(0);
    let wanted = |kind: &str| kinds.is_empty() || kinds.iter().any(|name| name == kind);
    let chosen = VARIANTS.iter().filter(|(kind, _)| wanted(kind));
    let mut cases: Vec<Case> = chosen
        .map(|(kind, variants)| Case { seed, kind, service: variants[turn].0, value: variants[turn].1 })
        .collect();
    cases.shuffle(&mut StdRng::seed_from_u64(seed));
    cases
}

/// That there are such kinds.
pub fn check(kinds: &[String]) -> anyhow::Result<()> {
    let known = || VARIANTS.iter().map(|(kind, _)| *kind);
    match kinds.iter().find(|name| known().all(|kind| kind != name.as_str())) {
        Some(name) => bail!("--kinds: there is no fault {name:?}; expected {}", known().collect::<Vec<_>>().join(", ")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn three_seeds_try_each_kind_of_the_readme_in_three_ways() {
        let cases: Vec<Case> = (1..=3).flat_map(|seed| of_seed(seed, &[])).collect();
        assert!(cases.len() >= 48, "{}", cases.len());
        let different: BTreeSet<String> = cases.iter().map(Case::fault).collect();
        assert_eq!(different.len(), cases.len());
        let readme = include_str!("../../../../README.md");
        let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '=']).next());
        let documented: BTreeSet<&str> = rows.collect();
        for (kind, _) in VARIANTS {
            assert!(documented.contains(kind), "README.md has no row for {kind}");
        }
    }

    #[test]
    fn a_seed_has_an_order_of_its_own_and_kinds_can_be_chosen() {
        assert_eq!(of_seed(2, &[]), of_seed(2, &[]));
        let order = |seed| of_seed(seed, &[]).iter().map(|case| case.kind).collect::<Vec<_>>();
        assert_ne!(order(1), order(4));
        let chosen = of_seed(1, &["error".to_owned(), "leak".to_owned()]);
        assert_eq!(chosen.iter().map(|case| case.kind).collect::<BTreeSet<_>>(), BTreeSet::from(["error", "leak"]));
        let message = check(&["fire".to_owned()]).unwrap_err().to_string();
        assert!(message.starts_with("--kinds: there is no fault \"fire\"; expected error, "), "{message}");
    }
}
