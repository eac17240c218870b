//! From the collector's verdict to who suffers from whom. Pure. A victim counts only while the culprit that it is said to suffer from is
//! a suspect itself.

use std::collections::{BTreeSet, HashMap};

use protocol::faults::{Faults, Role, Watch};

use crate::planner::surroundings::Suffering;

/// The services among these that suffer, and from whom.
pub fn victims(faults: &Faults, services: &BTreeSet<&str>) -> HashMap<String, Suffering> {
    if faults.watch == Watch::Blind {
        return HashMap::new();
    }
    let suffering = faults.services.iter().filter(|known| known.role == Role::Victim).filter_map(|known| {
        let service = *services.get(&*known.service)?;
        let suspect = faults.suspects.iter().find(|suspect| suspect.service == known.because_of)?;
        let suffering = Suffering {
            culprit: suspect.service.clone(),
            fault: suspect.fault,
            score: suspect.score,
            since_ms: suspect.since_ms,
            at_ms: faults.at_ms,
        };
        Some((service.to_owned(), suffering))
    });
    suffering.collect()
}

#[cfg(test)]
mod tests {
    use protocol::faults::{BlastRadius, FaultKind, ServiceRole, Suspect};
    use protocol::graph::NodeKind;

    use super::*;

    fn role(service: &str, role: Role, because_of: &str) -> ServiceRole {
        ServiceRole {
            service: service.to_owned(),
            node: NodeKind::Service,
            role,
            because_of: because_of.to_owned(),
            why: String::new(),
            since_ms: None,
            breakers: Vec::new(),
        }
    }

    fn faults() -> Faults {
        let suspect = Suspect {
            service: "payment".to_owned(),
            node: NodeKind::Service,
            fault: FaultKind::Slow,
            score: 0.9,
            since_ms: 1_000,
            evidence: Vec::new(),
            blast_radius: BlastRadius::default(),
        };
        Faults {
            at_ms: 20_000,
            watch: Watch::Watching,
            suspects: vec![suspect],
            services: vec![
                role("cart", Role::Victim, "stock"),
                role("gateway", Role::Victim, "payment"),
                role("order", Role::Isolated, "payment"),
                role("payment", Role::Culprit, ""),
                role("user", Role::Unaffected, ""),
            ],
            ..Faults::default()
        }
    }

    #[test]
    fn who_suffers_from_a_suspect_is_a_victim_and_nobody_else() {
        let all = ["cart", "gateway", "order", "payment", "user", "nobody"].into();
        let known = victims(&faults(), &all);
        assert_eq!(known.keys().collect::<Vec<_>>(), ["gateway"], "stock is no suspect any more");
        let gateway = &known["gateway"];
        assert_eq!((gateway.culprit.as_str(), gateway.fault, gateway.since_ms), ("payment", FaultKind::Slow, 1_000));
        assert_eq!(gateway.at_ms, 20_000);
        assert!(victims(&faults(), &["user"].into()).is_empty());
        assert!(victims(&Faults { watch: Watch::Blind, ..faults() }, &all).is_empty());
    }
}
