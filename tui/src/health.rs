//! Judges services: failing, suffering from another one, degraded, idle, well; each with its reason in words. Pure.
//! Start at `judge`.

use std::collections::{BTreeMap, BTreeSet};

use crate::picture::{Breaker, ReplicaCount};
use crate::text;

/// From this share of errors on a service is failing. Source: Kiali's default tolerance for 5xx (failure 10 %).
pub const ERRORS_FAILING: f64 = 0.10;
/// From this share of errors on a service is degraded: ten times the shop's objective of 99.9 %. (Kiali degrades at any.)
pub const ERRORS_DEGRADED: f64 = 0.01;
/// Fewer requests in the window say nothing about a share: one failed probe is not an outage.
pub const REQUESTS_ENOUGH: f64 = 3.0;
/// Fewer requests in the window have no p99 worth the name.
pub const REQUESTS_ENOUGH_FOR_P99: f64 = 20.0;
/// From this p99 on a service is slow: four times the usual objective of 250 ms, where no policy states one.
pub const P99_SLOW_MS: f64 = 1_000.0;
/// From this p50 on a service or a journey is slow, however few are worse: twice the usual objective, for every second one.
pub const P50_SLOW_MS: f64 = 500.0;
/// A service whose own share of its errors is below this has them from elsewhere.
pub const OWN_SHARE_OF_VICTIM: f64 = 0.5;
/// Less than one request in this many seconds is no traffic.
pub const IDLE_BELOW_RATE: f64 = 0.02;

/// How a service is, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Breaks its callers by itself.
    Failing,
    /// Fails because a service that it calls fails.
    Victim,
    /// Not as it should be, and yet working.
    Degraded,
    /// There is no fresh data.
    Unknown,
    /// Works.
    Healthy,
    /// Nobody asks for anything.
    Idle,
}

impl Health {
    /// All, worst first.
    pub const ALL: [Self; 6] = [Self::Failing, Self::Victim, Self::Degraded, Self::Unknown, Self::Healthy, Self::Idle];

    /// The word on screen.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failing => "Failing",
            Self::Victim => "Victim",
            Self::Degraded => "Degraded",
            Self::Unknown => "Unknown",
            Self::Healthy => "Healthy",
            Self::Idle => "Idle",
        }
    }
}

/// What is known about a service.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Name.
    pub name: String,
    /// Requests in the window.
    pub requests: f64,
    /// Requests a second.
    pub rate: f64,
    /// Share of requests that failed.
    pub error_ratio: f64,
    /// Milliseconds.
    pub p50_ms: Option<f64>,
    /// Milliseconds.
    pub p99_ms: Option<f64>,
    /// Share of requests that failed here although no call below failed; `None` without traces.
    pub own_error_ratio: Option<f64>,
    /// Its requests fail, and the spans that will tell where the errors begin have not come yet.
    pub awaits_spans: bool,
    /// Whom it calls: name, calls a second, share of failed calls.
    pub callees: Vec<(String, f64, f64)>,
    /// Replicas, where they are known.
    pub replicas: Option<ReplicaCount>,
    /// Replicas that start and die again.
    pub crashing: usize,
    /// All its replicas were started moments ago, and it has not served yet.
    pub starting: bool,
    /// Nothing is known to call it: a workload that is watched with the others.
    pub is_bystander: bool,
    /// Peers whose calls its breakers refuse, or refused in the last seconds.
    pub refused: Vec<String>,
    /// What was known is too old to judge by.
    pub stale: bool,
}

/// How a service is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// How.
    pub health: Health,
    /// Why, in words; empty when it is well.
    pub why: String,
    /// The service that it suffers from or waits for; empty when there is none.
    pub because_of: String,
}

impl Assessment {
    fn new(health: Health, why: impl Into<String>) -> Self {
        Self { health, why: why.into(), because_of: String::new() }
    }
}

/// Why nothing is known yet of a service that has only just been started.
pub const STARTING: &str = "starting";

/// Judges all services together: blame goes along calls and breakers.
pub fn judge(facts: &[Facts], breakers: &[Breaker]) -> BTreeMap<String, Assessment> {
    let mut verdicts: BTreeMap<String, Assessment> =
        facts.iter().map(|fact| (fact.name.clone(), judge_alone(fact))).collect();
    blame_peers_behind_breakers(facts, breakers, &mut verdicts);
    find_victims(facts, breakers, &mut verdicts);
    find_waiting(facts, breakers, &mut verdicts);
    verdicts
}

/// What can be said without looking at the others.
fn judge_alone(fact: &Facts) -> Assessment {
    if fact.stale {
        return Assessment::new(Health::Unknown, "no fresh data");
    }
    if let Some(ReplicaCount { ready: 0, desired: desired @ 1.. }) = fact.replicas {
        if fact.starting && fact.crashing == 0 {
            return Assessment::new(Health::Unknown, STARTING);
        }
        let why = if fact.crashing > 0 { ", they keep crashing" } else { "" };
        if fact.is_bystander {
            let why = format!("no replica is ready (0 of {desired}){why}; nothing is known to call it");
            return Assessment::new(Health::Degraded, why);
        }
        return Assessment::new(Health::Failing, format!("no replica is ready (0 of {desired}){why}"));
    }
    let enough = fact.requests >= REQUESTS_ENOUGH;
    if enough && fact.error_ratio >= ERRORS_FAILING {
        return Assessment::new(Health::Failing, answers_errors(fact));
    }
    if fact.crashing > 0 {
        let (replicas, verb) = if fact.crashing == 1 { ("replica", "keeps") } else { ("replicas", "keep") };
        return Assessment::new(Health::Degraded, format!("{} {replicas} {verb} crashing", fact.crashing));
    }
    if enough && fact.error_ratio >= ERRORS_DEGRADED {
        return Assessment::new(Health::Degraded, answers_errors(fact));
    }
    if is_slow(fact) {
        let (quantile, value) = if has_slow_median(fact) { ("p50", fact.p50_ms) } else { ("p99", fact.p99_ms) };
        return Assessment::new(Health::Degraded, format!("slow: {quantile} {}", text::millis(value)));
    }
    if fact.rate < IDLE_BELOW_RATE {
        return Assessment::new(Health::Idle, "");
    }
    Assessment::new(Health::Healthy, "")
}

fn answers_errors(fact: &Facts) -> String {
    format!("{} of requests answer errors", text::percent(fact.error_ratio))
}

fn is_slow(fact: &Facts) -> bool {
    let has_slow_tail = fact.p99_ms.is_some_and(|p99| p99 >= P99_SLOW_MS);
    fact.requests >= REQUESTS_ENOUGH_FOR_P99 && (has_slow_tail || has_slow_median(fact))
}

fn has_slow_median(fact: &Facts) -> bool {
    fact.p50_ms.is_some_and(|p50| p50 >= P50_SLOW_MS)
}

/// A service behind an open breaker gets no requests, and so has no errors to show: the breaker speaks for it.
fn blame_peers_behind_breakers(facts: &[Facts], breakers: &[Breaker], verdicts: &mut BTreeMap<String, Assessment>) {
    for breaker in breakers {
        let Some(fact) = facts.iter().find(|f| f.name == breaker.peer && !f.stale) else { continue };
        let answers_well = fact.requests >= REQUESTS_ENOUGH && fact.error_ratio < ERRORS_DEGRADED && !is_slow(fact);
        let state = if breaker.half_open { "half open" } else { "open" };
        if let Some(verdict) = verdicts.get_mut(&breaker.peer)
            && verdict.health != Health::Failing
            && !answers_well
        {
            *verdict = Assessment::new(Health::Failing, format!("{}'s breaker is {state}", breaker.service));
        }
    }
}

/// A service whose errors come from below is a victim of the service at the end of the chain. What an open breaker refuses
/// leaves no call below and looks like an error of one's own: the peer behind it is the cause.
fn find_victims(facts: &[Facts], breakers: &[Breaker], verdicts: &mut BTreeMap<String, Assessment>) {
    let mut direct: BTreeMap<&str, &str> = BTreeMap::new();
    for fact in facts {
        let has_errors = fact.requests >= REQUESTS_ENOUGH && fact.error_ratio >= ERRORS_DEGRADED;
        let is_own = fact.own_error_ratio.is_some_and(|own| own >= fact.error_ratio * OWN_SHARE_OF_VICTIM);
        let health = |name: &str| verdicts.get(name).map_or(Health::Idle, |v| v.health);
        if fact.stale || !has_errors {
            continue;
        }
        let refused = fact.refused.iter().filter(|peer| **peer != fact.name);
        if let Some(peer) = refused.min_by_key(|peer| health(peer)) {
            direct.insert(&fact.name, peer);
            continue;
        }
        if is_own {
            continue;
        }
        let is_cause = |name: &str, errors: f64| match fact.own_error_ratio {
            Some(_) => errors >= ERRORS_DEGRADED && health(name) <= Health::Degraded,
            // Spans come seconds after metrics: until they tell where errors are born, a failing callee explains them.
            None => health(name) == Health::Failing,
        };
        let worst = fact
            .callees
            .iter()
            .filter(|(name, _, errors)| name != &fact.name && is_cause(name, *errors))
            .max_by(|a, b| (a.1 * a.2).total_cmp(&(b.1 * b.2)));
        if let Some((name, ..)) = worst {
            direct.insert(&fact.name, name);
        }
    }
    let is_unexplained = |f: &&Facts| !direct.contains_key(f.name.as_str()) && f.awaits_spans && !f.callees.is_empty();
    for fact in facts.iter().filter(is_unexplained) {
        if let Some(verdict) = verdicts.get_mut(&fact.name).filter(|v| v.why == answers_errors(fact)) {
            verdict.why.push_str(" (where they begin is not known yet)");
        }
    }
    for fact in facts.iter().filter(|f| direct.contains_key(f.name.as_str())) {
        let culprit = end_of_chain(&fact.name, &direct).to_owned();
        let is_refusing = breakers.iter().any(|b| b.service == fact.name && b.peer == culprit);
        let breaker = if is_refusing { " (its breaker is open)" } else { "" };
        let why = format!("victim of {culprit}{breaker}: {}", answers_errors(fact));
        verdicts.insert(fact.name.clone(), Assessment { health: Health::Victim, why, because_of: culprit });
    }
}

/// Follows "suffers from" to the service that suffers from nobody; a circle ends where it would begin again.
fn end_of_chain<'a>(name: &'a str, direct: &BTreeMap<&'a str, &'a str>) -> &'a str {
    let (mut current, mut seen) = (name, vec![name]);
    while let Some(next) = direct.get(current) {
        if seen.contains(next) {
            break;
        }
        seen.push(next);
        current = next;
    }
    current
}

/// A service that is well, or only slow, although it cannot reach a failing peer, waits for that peer.
fn find_waiting(facts: &[Facts], breakers: &[Breaker], verdicts: &mut BTreeMap<String, Assessment>) {
    let slow: BTreeSet<&str> = facts.iter().filter(|f| is_slow(f)).map(|f| f.name.as_str()).collect();
    for fact in facts.iter().filter(|f| !f.stale) {
        let is_failing = |name: &str| verdicts.get(name).is_some_and(|v| v.health == Health::Failing);
        let others = || fact.callees.iter().filter(|(name, ..)| name != &fact.name);
        let behind_breaker: Vec<String> =
            breakers.iter().filter(|b| b.service == fact.name).map(|b| b.peer.clone()).collect();
        let failing = others().find(|(name, _, errors)| *errors >= ERRORS_FAILING && is_failing(name));
        let waits = match (behind_breaker.first(), failing) {
            (Some(first), _) => {
                Some((first.clone(), format!("waits for {} (its breaker is open)", text::list(&behind_breaker, 3))))
            }
            (None, Some((name, _, errors))) => {
                Some((name.clone(), format!("waits for {name} ({} of its calls fail)", text::percent(*errors))))
            }
            (None, None) => None,
        };
        let slow_callee = others().map(|(name, ..)| name).find(|name| slow.contains(name.as_str())).cloned();
        let Some(verdict) = verdicts.get_mut(&fact.name) else { continue };
        let has_errors = fact.requests >= REQUESTS_ENOUGH && fact.error_ratio >= ERRORS_DEGRADED;
        if has_errors || matches!(verdict.health, Health::Failing | Health::Victim | Health::Unknown) {
            continue;
        }
        if let Some((because_of, why)) = waits {
            *verdict = Assessment { health: Health::Degraded, why, because_of };
        } else if let (Health::Degraded, Some(callee)) = (verdict.health, slow_callee) {
            verdict.why = format!("{}, waits for {callee}", verdict.why);
            verdict.because_of = callee;
        }
    }
}

#[cfg(test)]
mod tests;
