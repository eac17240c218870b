//! Writes down what the collector says is broken while a demo runs: everybody's part whenever somebody's changes. Judges no
//! service; whether a journey is hurt the shoppers themselves say.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lifecycle::{Clock, SystemClock};
use protocol::faults::{Faults, FaultsClient, Role};
use tokio::time::{Instant, timeout};
use url::Url;

use super::report::SuspectReport;

/// How often the collector is asked; it judges as often.
const INTERVAL: Duration = Duration::from_secs(1);

/// The collector answers at once; a beat of the demo must not wait longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Seconds of the journeys' counts that are kept: as far back as a fault is said to have begun, and as long before it.
const COUNTS_KEPT: usize = 180;

/// Share of a journey's customers from which on it is hurt, how many at least, and how many times the share before.
const HURT_SHARE: f64 = 0.02;
const HURT_MIN: u64 = 2;
const HURT_TIMES: f64 = 3.0;

/// Entries of the report: a fault a minute for an hour, a dozen changes each, everybody's part in each.
const ENTRIES_MAX: usize = 20_000;

/// Requests and errors so far, by journey.
pub type Counts = BTreeMap<String, (u64, u64)>;

/// Asks the collector, and keeps the record.
pub struct Witness {
    faults: FaultsClient,
    next: Instant,
    record: Record,
}

impl Witness {
    /// Sees from now on.
    pub fn new(collector: &Url) -> Self {
        let faults = FaultsClient::new(collector.clone());
        Self { faults, next: Instant::now(), record: Record::new(SystemClock.now_ms()) }
    }

    /// Looks, if it is time.
    pub async fn look(&mut self, counts: impl FnOnce() -> Counts) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + INTERVAL;
        let now_ms = SystemClock.now_ms();
        self.record.count(counts(), now_ms);
        if let Ok(Ok(faults)) = timeout(PATIENCE, self.faults.faults()).await {
            self.record.take(&faults, now_ms);
        }
    }

    /// What it saw.
    pub fn seen(&self) -> Vec<SuspectReport> {
        self.record.seen.clone()
    }
}

/// What was seen so far.
struct Record {
    started_ms: i64,
    counts: VecDeque<(i64, Counts)>,
    parts: BTreeMap<(&'static str, String), Role>,
    seen: Vec<SuspectReport>,
    is_full: bool,
}

impl Record {
    fn new(started_ms: i64) -> Self {
        Self { started_ms, counts: VecDeque::new(), parts: BTreeMap::new(), seen: Vec::new(), is_full: false }
    }

    fn count(&mut self, counts: Counts, now_ms: i64) {
        self.counts.push_back((now_ms, counts));
        if self.counts.len() > COUNTS_KEPT {
            self.counts.pop_front();
        }
    }

    fn take(&mut self, faults: &Faults, now_ms: i64) {
        let at = (now_ms - self.started_ms).max(0) as f64 / 1_000.0;
        let entries = self.entries(faults, at);
        let parts: BTreeMap<_, _> = entries.iter().map(|e| ((e.kind, e.service.clone()), e.role)).collect();
        let is_told = !faults.suspects.is_empty() || self.parts.values().any(|role| *role == Role::Culprit);
        if is_told && parts != self.parts {
            self.tell(entries);
        }
        self.parts = parts;
    }

    fn tell(&mut self, entries: Vec<SuspectReport>) {
        if self.seen.len() + entries.len() <= ENTRIES_MAX {
            self.seen.extend(entries);
        } else if !self.is_full {
            self.is_full = true;
            tracing::warn!(entries = ENTRIES_MAX, "the report's list of suspects is full; later ones are not in it");
        }
    }

    /// Everybody's part, the culprits first.
    fn entries(&self, faults: &Faults, at: f64) -> Vec<SuspectReport> {
        let of = |service: &str, role: Role, score: f64, evidence: Vec<String>| {
            let service = service.to_owned();
            SuspectReport { at, service, kind: "service", role, score, evidence }
        };
        let mut entries: Vec<SuspectReport> = faults
            .suspects
            .iter()
            .map(|suspect| {
                let evidence = suspect.evidence.iter().map(|evidence| evidence.text.clone()).collect();
                of(&suspect.service, Role::Culprit, suspect.score, evidence)
            })
            .collect();
        let mut others: Vec<_> = faults.services.iter().filter(|service| service.role != Role::Culprit).collect();
        others.sort_by_key(|service| service.role);
        entries.extend(others.into_iter().map(|service| {
            let why = Some(service.why.clone()).filter(|why| !why.is_empty());
            of(&service.service, service.role, 0.0, why.into_iter().collect())
        }));
        let since_ms = faults.suspects.iter().map(|suspect| suspect.since_ms).min().unwrap_or(faults.at_ms);
        entries.extend(self.journeys(since_ms, at));
        entries
    }

    fn journeys(&self, since_ms: i64, at: f64) -> Vec<SuspectReport> {
        let (Some((_, first)), Some((_, now))) = (self.counts.front(), self.counts.back()) else { return Vec::new() };
        let before = self.counts.iter().rev().find(|(at_ms, _)| *at_ms <= since_ms).map_or(first, |(_, counts)| counts);
        let journey = |name: &String| {
            let (errors_before, requests_before) = between(first, before, name);
            let (errors, requests) = between(before, now, name);
            let share = |errors: u64, requests: u64| errors as f64 / requests.max(1) as f64;
            let usual = share(errors_before, requests_before);
            let is_hurt = errors >= HURT_MIN && share(errors, requests) >= HURT_SHARE.max(HURT_TIMES * usual);
            let text = format!(
                "{errors} of {requests} {name} journeys have failed since, {errors_before} of {requests_before} before"
            );
            SuspectReport {
                at,
                service: name.clone(),
                kind: "journey",
                role: if is_hurt { Role::Victim } else { Role::Unaffected },
                score: 0.0,
                evidence: vec![text],
            }
        };
        now.keys().map(journey).collect()
    }
}

/// Errors and requests of a journey between two counts.
fn between(from: &Counts, to: &Counts, journey: &str) -> (u64, u64) {
    let of = |counts: &Counts| counts.get(journey).copied().unwrap_or((0, 0));
    let ((requests_from, errors_from), (requests_to, errors_to)) = (of(from), of(to));
    (errors_to.saturating_sub(errors_from), requests_to.saturating_sub(requests_from))
}

#[cfg(test)]
mod tests;
