//! The sentence where the collector names suspects: what broke and since when, whom it hurts, what is safe, in this order.
//! Pure; judges nothing anew.

use std::collections::BTreeMap;

use protocol::faults::{FaultKind, Faults, JourneyRole, Role, Suspect};

use crate::health::{ERRORS_DEGRADED, Health};
use crate::picture::JourneyMetrics;
use crate::roles;
use crate::text;
use crate::triage::Row;
use crate::verdict::{NAMES_MAX, Verdict, journey_health, journey_words};

/// The sentence. Journeys as customers count them tell more than the front door's operations, where they are known.
pub(super) fn verdict(faults: &Faults, journeys: Option<&BTreeMap<String, JourneyMetrics>>, rows: &[&Row]) -> Verdict {
    let mut clauses: Vec<String> = faults.suspects.first().map(broken).into_iter().collect();
    let others: Vec<String> = faults.suspects.iter().skip(1).map(|suspect| suspect.service.clone()).collect();
    if !others.is_empty() {
        clauses.push(format!("also suspected: {}", text::list(&others, NAMES_MAX)));
    }
    clauses.extend(failing_too(rows));
    let safe = match journeys.filter(|journeys| !journeys.is_empty()) {
        Some(journeys) => {
            let words = journey_words(journeys, rows, false);
            clauses.extend(words.failing.into_iter().chain(words.slow).chain(words.pending));
            words.well.into_iter().collect()
        }
        None => {
            clauses.extend(front_door(faults));
            unaffected(faults)
        }
    };
    clauses.extend(suffering(faults));
    clauses.extend(safe);
    let worst_journey = journeys.and_then(|journeys| journeys.values().map(journey_health).min());
    let is_slow = faults.suspects.iter().all(|suspect| suspect.fault == FaultKind::Slow);
    let fails = !is_slow || rows.iter().any(|row| row.assessment.health == Health::Failing);
    let own = if fails { Health::Failing } else { Health::Degraded };
    Verdict { health: worst_journey.map_or(own, |worst| worst.min(own)), text: clauses.join(" · ") }
}

/// `payment is failing since 14:02:10: 96 % of what fails ends here`. The evidence's figures stand below, with the suspects.
fn broken(suspect: &Suspect) -> String {
    let why = suspect.evidence.first().map(|evidence| evidence.text.as_str()).unwrap_or_default();
    let why = why.split(" (").next().unwrap_or_default();
    let why = why.split(": ").next().unwrap_or_default();
    let since =
        if why.contains("since ") { String::new() } else { format!(" since {}", text::clock(suspect.since_ms)) };
    let colon = if why.is_empty() { "" } else { ": " };
    format!("{} {}{since}{colon}{why}", suspect.service, roles::is_broken(suspect.fault))
}

/// Services that fail by their numbers without being blamed for it, such as those without a ready replica.
fn failing_too(rows: &[&Row]) -> Option<String> {
    let is_other = |row: &&&Row| row.assessment.health == Health::Failing && row.role != Some(Role::Culprit);
    let names: Vec<String> = rows.iter().filter(is_other).map(|row| row.name.clone()).collect();
    (!names.is_empty()).then(|| format!("{} {} failing too", text::list(&names, NAMES_MAX), text::are(&names)))
}

fn suffering(faults: &Faults) -> Vec<String> {
    let names = |role| roles::with(faults, role).map(|part| part.service.clone()).collect::<Vec<String>>();
    let (victims, isolated) = (names(Role::Victim), names(Role::Isolated));
    let mut clauses = Vec::new();
    if !victims.is_empty() {
        let verb = if victims.len() == 1 { "suffers" } else { "suffer" };
        clauses.push(format!("{} {verb}", text::list(&victims, NAMES_MAX)));
    }
    if !isolated.is_empty() {
        clauses.push(format!("{} {} isolated and well", text::list(&isolated, NAMES_MAX), text::are(&isolated)));
    }
    clauses
}

fn front_door(faults: &Faults) -> Option<String> {
    let words = |journey: &JourneyRole| match journey.error_ratio {
        errors if errors >= ERRORS_DEGRADED => format!("{} ({} fail)", journey.operation, text::percent(errors)),
        _ => format!("{} (slow)", journey.operation),
    };
    let hurt: Vec<String> = faults.journeys.iter().filter(|j| j.role == Role::Victim).map(words).collect();
    (!hurt.is_empty()).then(|| format!("customers notice: {}", text::list(&hurt, NAMES_MAX)))
}

fn unaffected(faults: &Faults) -> Vec<String> {
    let names: Vec<String> = roles::with(faults, Role::Unaffected).map(|part| part.service.clone()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    vec![format!("{} {} not affected", text::list(&names, NAMES_MAX), text::are(&names))]
}
