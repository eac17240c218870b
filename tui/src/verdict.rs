//! The sentence on top of every screen: what is failing and since when, who suffers, what customers notice, what is well.
//! Pure; made from the collector's verdict where it names suspects, else from rows and journeys alone.

mod blamed;

use std::collections::BTreeMap;

use crate::health::{self, ERRORS_DEGRADED, ERRORS_FAILING, Health, P50_SLOW_MS};
use crate::picture::{Freshness, JourneyMetrics, Picture};
use crate::roles;
use crate::since::Since;
use crate::text;
use crate::triage::{self, Row};

/// Names in one list of the sentence: as many as the shop has journeys; more do not fit into two lines of 80 columns.
const NAMES_MAX: usize = 5;

/// Said while something fails and the collector, which looks at whole seconds of spans, has not judged it yet.
const NO_CULPRIT_YET: &str = "the collector names no culprit yet";

/// The sentence and how bad it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The worst that it tells.
    pub health: Health,
    /// The sentence.
    pub text: String,
}

/// Says in a sentence how things are, of the rows that are listed.
pub fn verdict(picture: &Picture, rows: &[&Row], since: &Since, now_ms: i64) -> Verdict {
    match picture.metrics.freshness(now_ms) {
        Freshness::Waiting => return unknown("waiting for the first metrics".to_owned()),
        Freshness::Down | Freshness::Missing => {
            let reason = picture.metrics.trouble_text();
            return unknown(format!("no metrics yet: the collector does not answer ({reason}); asking again"));
        }
        Freshness::Stale(age) => {
            let reason = picture.metrics.trouble_text();
            let cause = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
            let age = text::age(age);
            return unknown(format!("metrics are {age} old{cause}: what follows is the last that was known"));
        }
        Freshness::Fresh(_) => {}
    }
    if rows.is_empty() {
        return unknown("the collector answers, but no service has served a request yet".to_owned());
    }
    let journeys = picture.metrics.data.as_ref().map(|m| &m.journeys);
    let faults = roles::in_force(picture, now_ms);
    if let Some(faults) = faults.filter(|faults| !faults.suspects.is_empty()) {
        return blamed::verdict(faults, journeys, rows);
    }
    let mut clauses = failing(rows, since);
    if faults.is_some() && !clauses.is_empty() {
        clauses.push(NO_CULPRIT_YET.to_owned());
    }
    let sufferers: Vec<String> = victims(rows).into_iter().chain(degraded(rows)).collect();
    let mut health = rows.iter().map(|r| r.assessment.health).min().unwrap_or(Health::Unknown);
    let is_well = clauses.is_empty() && sufferers.is_empty();
    if is_well {
        health = Health::Healthy;
    }
    // Customers who are not served come before services that are all well.
    let worst = journeys.and_then(|journeys| journeys.values().map(journey_health).min()).unwrap_or(Health::Idle);
    health = health.min(worst);
    if is_well && worst >= Health::Healthy {
        clauses.push(all_well(rows));
    }
    match journeys {
        Some(journeys) if !journeys.is_empty() => clauses.extend(journey_clauses(journeys, rows, is_well)),
        _ if !is_well => clauses.extend(others_well(rows)),
        _ => {}
    }
    if is_well && worst < Health::Healthy {
        clauses.push(all_well(rows));
    }
    // Last, as a narrow screen cuts the end, and these are in the table too.
    clauses.extend(sufferers);
    Verdict { health, text: clauses.join(" · ") }
}

fn unknown(text: String) -> Verdict {
    Verdict { health: Health::Unknown, text }
}

fn named<'a>(rows: &[&'a Row], health: Health) -> Vec<&'a Row> {
    rows.iter().copied().filter(|r| r.assessment.health == health).collect()
}

fn failing(rows: &[&Row], since: &Since) -> Vec<String> {
    let mut clauses = Vec::new();
    let mut failing = named(rows, Health::Failing);
    failing.sort_by(|a, b| (b.red.rate * b.red.error_ratio).total_cmp(&(a.red.rate * a.red.error_ratio)));
    for row in failing.iter().take(2) {
        let since = since.of(&row.key).map(|began| format!(" {}", began.words())).unwrap_or_default();
        let why = &row.assessment.why;
        clauses.push(match why.contains("breaker") {
            true => format!("{} is failing ({why}){since}", row.name),
            false => format!("{} is failing: {why}{since}", row.name),
        });
    }
    if failing.len() > 2 {
        let rest: Vec<String> = failing[2..].iter().map(|r| r.name.clone()).collect();
        clauses.push(format!("{} {} failing too", text::list(&rest, NAMES_MAX), text::are(&rest)));
    }
    clauses
}

fn victims(rows: &[&Row]) -> Vec<String> {
    let mut clauses = Vec::new();
    let mut victims: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in named(rows, Health::Victim) {
        victims.entry(&row.assessment.because_of).or_default().push(row.name.clone());
    }
    for (culprit, names) in victims {
        let verb = if names.len() == 1 { "suffers" } else { "suffer" };
        // A peer that is back is not used before the breaker closes.
        let is_back = rows.iter().any(|r| r.name == culprit && r.assessment.health >= Health::Healthy);
        let is_refused = |r: &&Row| r.assessment.because_of == culprit && r.assessment.why.contains("breaker");
        let why = match (is_back, rows.iter().any(is_refused)) {
            (false, _) => "",
            (true, true) => " (back, but a breaker is still open)",
            (true, false) => " (back just now)",
        };
        clauses.push(format!("{} {verb} from {culprit}{why}", text::list(&names, NAMES_MAX)));
    }
    clauses
}

fn degraded(rows: &[&Row]) -> Vec<String> {
    let mut degraded = named(rows, Health::Degraded);
    degraded.sort_by(|a, b| triage::worst_first(a, b));
    let clause = |row: &&Row| match row.assessment.why.strip_prefix("slow") {
        Some(how) => format!("{} is slow{how}", row.name),
        None => format!("{}: {}", row.name, row.assessment.why),
    };
    let mut clauses: Vec<String> = degraded.iter().take(2).map(clause).collect();
    if degraded.len() > 2 {
        clauses.push(format!("{} more degraded", degraded.len() - 2));
    }
    clauses
}

fn all_well(rows: &[&Row]) -> String {
    let unknown = rows.iter().filter(|r| r.assessment.health == Health::Unknown).count();
    let starting = rows.iter().filter(|r| r.assessment.why == health::STARTING).count();
    if starting > 0 && starting == unknown {
        return format!("{starting} of {} services are starting", rows.len());
    }
    if unknown > 0 {
        return format!("{} of {} services are well, {unknown} unknown", rows.len() - unknown, rows.len());
    }
    match rows.len() {
        1 => format!("{} is well", rows[0].name),
        count => format!("all {count} services are well"),
    }
}

fn others_well(rows: &[&Row]) -> Option<String> {
    let well: Vec<String> = rows
        .iter()
        .filter(|r| matches!(r.assessment.health, Health::Healthy | Health::Idle))
        .map(|r| r.name.clone())
        .collect();
    (!well.is_empty()).then(|| format!("{} {} well", text::list(&well, NAMES_MAX), text::are(&well)))
}

/// How a journey goes.
pub fn journey_health(journey: &JourneyMetrics) -> Health {
    match journey.error_ratio {
        _ if journey.rate <= 0.0 => Health::Idle,
        errors if errors >= ERRORS_FAILING => Health::Failing,
        errors if errors >= ERRORS_DEGRADED => Health::Degraded,
        _ if is_slow(journey) => Health::Degraded,
        _ => Health::Healthy,
    }
}

/// Whether every second customer waits too long.
pub fn is_slow(journey: &JourneyMetrics) -> bool {
    journey.p50_ms.is_some_and(|p50| p50 >= P50_SLOW_MS)
}

/// The service that keeps a journey's orders waiting: a failing one that another waits for.
fn waited_for<'a>(rows: &[&'a Row]) -> Option<&'a str> {
    let is_served = |health| matches!(health, Health::Degraded | Health::Victim);
    let waits = |r: &&&Row| is_served(r.assessment.health) && r.assessment.why.starts_with("waits for");
    rows.iter().find(waits).map(|r| r.assessment.because_of.as_str())
}

/// The journey that ends in an order, in the shop's words.
const ORDERING_JOURNEY: &str = "checkout";

/// Whether a journey's customers are served, but later than they should be.
pub fn is_waiting(name: &str, journey: &JourneyMetrics, rows: &[&Row]) -> bool {
    name.rsplit('/').next() == Some(ORDERING_JOURNEY)
        && journey_health(journey) == Health::Healthy
        && waited_for(rows).is_some()
}

/// What customers notice, in words.
struct JourneyWords {
    failing: Vec<String>,
    slow: Vec<String>,
    pending: Vec<String>,
    well: Option<String>,
}

fn journey_clauses(journeys: &BTreeMap<String, JourneyMetrics>, rows: &[&Row], is_well: bool) -> Vec<String> {
    let words = journey_words(journeys, rows, is_well);
    words.failing.into_iter().chain(words.slow).chain(words.well).chain(words.pending).collect()
}

fn journey_words(journeys: &BTreeMap<String, JourneyMetrics>, rows: &[&Row], is_well: bool) -> JourneyWords {
    let (mut failing, mut slow, mut pending, mut well) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (name, journey) in journeys {
        match journey_health(journey) {
            Health::Idle => {}
            Health::Healthy if is_waiting(name, journey, rows) => {
                pending.push(format!("{name}: orders wait for {} (pending)", waited_for(rows).unwrap_or_default()));
            }
            Health::Healthy => well.push(name.clone()),
            Health::Degraded if journey.error_ratio < ERRORS_DEGRADED => {
                slow.push(format!(
                    "{name} journeys are slow (half of them take {} or more)",
                    text::millis(journey.p50_ms)
                ));
            }
            _ => failing.push(format!("{} of {name} journeys fail", text::percent(journey.error_ratio))),
        }
    }
    let well = match well.len() {
        0 => None,
        all if all == journeys.len() && is_well => Some("every journey is well".to_owned()),
        _ => Some(format!("{} {} well", text::list(&well, NAMES_MAX), text::are(&well))),
    };
    JourneyWords { failing, slow, pending, well }
}

#[cfg(test)]
mod tests;
