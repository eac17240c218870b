//! The collector's verdict laid over the screen's own judgement: who is culprit, victim, isolated or unaffected, and why.
//! Pure; fetches nothing, and changes nothing without a verdict that is fresh. Start at `in_force` and `apply`.

use protocol::faults::{FaultKind, Faults, Role, ServiceRole, Suspect, Watch};

use crate::health::{Assessment, Health};
use crate::picture::{Freshness, Picture};
use crate::triage::Row;

/// The collector's verdict, if it has one that counts now.
pub fn in_force(picture: &Picture, now_ms: i64) -> Option<&Faults> {
    let is_fresh = matches!(picture.faults.freshness(now_ms), Freshness::Fresh(_));
    picture.faults.data.as_deref().filter(|faults| is_fresh && faults.watch != Watch::Blind)
}

/// A service's part.
pub fn part<'a>(faults: &'a Faults, service: &str) -> Option<&'a ServiceRole> {
    let at = faults.services.binary_search_by(|part| part.service.as_str().cmp(service)).ok()?;
    faults.services.get(at)
}

/// A service as suspect.
pub fn suspect<'a>(faults: &'a Faults, service: &str) -> Option<&'a Suspect> {
    faults.suspects.iter().find(|suspect| suspect.service == service)
}

/// Those who have a role, by name.
pub fn with(faults: &Faults, role: Role) -> impl Iterator<Item = &ServiceRole> {
    faults.services.iter().filter(move |part| part.role == role)
}

/// How a fault is told: `is failing`.
pub fn is_broken(fault: FaultKind) -> &'static str {
    match fault {
        FaultKind::Errors => "is failing",
        FaultKind::NoAnswer => "gives no answer",
        FaultKind::Slow => "is slow",
    }
}

/// The same in a word or two, for rows.
pub fn broken(fault: FaultKind) -> &'static str {
    match fault {
        FaultKind::Errors => "failing",
        FaultKind::NoAnswer => "no answer",
        FaultKind::Slow => "slow",
    }
}

/// Lays the verdict over rows, which are by key. Where nobody is suspected, nobody has a role to tell.
pub fn apply(rows: &mut [Row], faults: &Faults) {
    if faults.suspects.is_empty() {
        return;
    }
    for of_a_name in rows.chunk_by_mut(|a, b| a.key.name == b.key.name) {
        let Some(part) = of_a_name.first().and_then(|row| part(faults, &row.key.name)) else { continue };
        // Spans tell no namespace: of several services of one name, the part is that of the worst.
        let worst = of_a_name.iter().map(|row| row.assessment.health).min();
        for row in of_a_name.iter_mut().filter(|row| Some(row.assessment.health) == worst) {
            lay(row, part, suspect(faults, &part.service));
        }
    }
}

fn is_unwell(health: Health) -> bool {
    matches!(health, Health::Failing | Health::Victim | Health::Degraded)
}

fn lay(row: &mut Row, part: &ServiceRole, suspect: Option<&Suspect>) {
    row.role = Some(part.role);
    let own = &row.assessment;
    let because_of = part.because_of.clone();
    // Who waits behind a breaker knows better what it waits for.
    let waits = own.health == Health::Degraded && own.why.starts_with("waits for");
    let assessment = match part.role {
        Role::Culprit => {
            let is_slow = suspect.is_some_and(|suspect| suspect.fault == FaultKind::Slow);
            let least = if is_slow { Health::Degraded } else { Health::Failing };
            let tells = own.because_of.is_empty() && is_unwell(own.health) && !own.why.is_empty();
            let why = if tells { own.why.clone() } else { part.why.clone() };
            let health = if own.health == Health::Failing { own.health } else { least };
            Assessment { health, why, because_of: String::new() }
        }
        Role::Victim => {
            let why = if waits { own.why.clone() } else { format!("victim of {because_of}: {}", part.why) };
            Assessment { health: Health::Victim, why, because_of }
        }
        Role::Isolated => {
            let health = if own.health < Health::Degraded { Health::Degraded } else { own.health };
            let why = if waits { own.why.clone() } else { format!("isolated from {because_of}: {}", part.why) };
            Assessment { health, why, because_of }
        }
        Role::Unaffected if own.health == Health::Victim => {
            let numbers = own.why.rsplit_once(": ").map_or(own.why.as_str(), |(_, numbers)| numbers);
            Assessment { health: Health::Degraded, why: numbers.to_owned(), because_of: String::new() }
        }
        Role::Unaffected => return,
    };
    row.assessment = assessment;
}

#[cfg(test)]
mod tests;
