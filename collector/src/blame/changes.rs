//! What changed of late: replicas, resources, versions, restarts and circuit breakers, by comparing what is told at each look with
//! what was told before. Keeps the timeline. Pure: the time comes in. Start at `Changes::take`.

use std::collections::{BTreeMap, HashMap, VecDeque};

use protocol::faults::{Breaker, BreakerState, TimelineEvent, TimelineKind};

use super::work::Text;

/// Events kept: of an hour a change each few seconds.
const EVENTS_MAX: usize = 1_000;

/// Events are kept for so long, milliseconds.
const EVENTS_KEPT_MS: i64 = 3_600_000;

/// What is compared: ten thousand pods with requests, limits and restarts of a container each.
const SUBJECTS_MAX: usize = 50_000;

/// Values of one subject told apart: pods of as many versions.
const VALUES_MAX: usize = 16;

/// What is not told of for so long is forgotten, milliseconds: targets that do not answer for a while do not seem to change.
const FORGOTTEN_MS: i64 = 900_000;

/// A version that did no work for so long is gone, milliseconds; if it works again, it was brought back.
const VERSION_GONE_MS: i64 = 60_000;

/// What somebody is told to be like.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Replicas asked for.
    Replicas(Text),
    /// A request or limit: `cpu limit`, or `cpu limit of CONTAINER`, and how much.
    Resource(Text, Text),
    /// A container and what it runs.
    Image(Text, Text),
    /// A pod's container, and how often it was started again.
    Restarts(Text, u64),
    /// A peer, and whether calls to it pass.
    Breaker(Text, BreakerState),
}

/// What somebody is told to be like at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Which service, or workload.
    pub service: Text,
    /// What.
    pub what: What,
    /// Milliseconds since the epoch.
    pub at_ms: i64,
}

type Subject = (Text, TimelineKind, Text);

/// What is said of a subject, and since when.
type Values = BTreeMap<Text, i64>;

#[derive(Debug)]
struct Known {
    values: Values,
    told_ms: i64,
}

#[derive(Debug)]
struct BreakerKnown {
    state: BreakerState,
    since_ms: i64,
    told_ms: i64,
}

/// The versions that do a service's work.
#[derive(Debug)]
struct Versions {
    newest: Text,
    seen_ms: BTreeMap<Text, i64>,
}

/// What changed of late.
#[derive(Debug, Default)]
pub struct Changes {
    known: HashMap<Subject, Known>,
    /// By service, then peer.
    breakers: BTreeMap<Text, BTreeMap<Text, BreakerKnown>>,
    versions: HashMap<Text, Versions>,
    events: VecDeque<TimelineEvent>,
    /// Grows with each event, and when old ones go.
    revision: u64,
    dropped: u64,
}

impl Changes {
    /// Takes all that is told now.
    pub fn take(&mut self, facts: &[Fact], now_ms: i64) {
        // First: it may have been told nothing for longer than anything is remembered.
        self.forget(now_ms);
        let mut told: BTreeMap<Subject, Values> = BTreeMap::new();
        for fact in facts {
            let (kind, subject, value) = match &fact.what {
                What::Replicas(count) => (TimelineKind::Replicas, "".into(), count.clone()),
                What::Resource(name, amount) => (TimelineKind::Resources, name.clone(), amount.clone()),
                What::Image(container, image) => (TimelineKind::Version, container.clone(), image.clone()),
                What::Restarts(container, count) => {
                    (TimelineKind::Restart, container.clone(), count.to_string().into())
                }
                What::Breaker(..) => continue,
            };
            let values = told.entry((fact.service.clone(), kind, subject)).or_default();
            if values.len() < VALUES_MAX || values.contains_key(&value) {
                let since = values.entry(value).or_insert(fact.at_ms);
                *since = fact.at_ms.min(*since);
            }
        }
        for (subject, values) in told {
            self.compare(subject, values, now_ms);
        }
        self.take_breakers(facts, now_ms);
    }

    fn compare(&mut self, subject: Subject, values: Values, now_ms: i64) {
        if self.known.len() >= SUBJECTS_MAX && !self.known.contains_key(&subject) {
            self.dropped += 1;
            return;
        }
        let (service, kind, name) = &subject;
        let Some(known) = self.known.get_mut(&subject) else {
            self.known.insert(subject, Known { values, told_ms: now_ms });
            return;
        };
        let before = std::mem::replace(&mut known.values, values);
        known.told_ms = now_ms;
        // While pods are replaced one by one, both values are there: the change is when the new one appears.
        let new: Vec<(Text, i64)> =
            known.values.iter().filter(|(value, _)| !before.contains_key(*value)).map(owned).collect();
        let Some((from, _)) = before.iter().next_back().map(owned) else { return };
        let events: Vec<TimelineEvent> = new
            .into_iter()
            .filter(|(to, _)| *kind != TimelineKind::Restart || is_more(&from, to))
            .map(|(to, at_ms)| changed(service, *kind, name, (&from, &to), at_ms))
            .collect();
        events.into_iter().for_each(|event| self.push(event, now_ms));
    }

    fn take_breakers(&mut self, facts: &[Fact], now_ms: i64) {
        // Of several replicas the one that is furthest from closed counts.
        let mut told: BTreeMap<(&Text, &Text), (BreakerState, i64)> = BTreeMap::new();
        for fact in facts {
            if let What::Breaker(peer, state) = &fact.what {
                let worst = told.entry((&fact.service, peer)).or_insert((*state, fact.at_ms));
                *worst = (worst.0.max(*state), worst.1.max(fact.at_ms));
            }
        }
        let mut events = Vec::new();
        let mut count: usize = self.breakers.values().map(BTreeMap::len).sum();
        for ((service, peer), (state, at_ms)) in told {
            if let Some(known) = self.breakers.get_mut(service).and_then(|peers| peers.get_mut(peer)) {
                known.told_ms = now_ms;
                if known.state != state {
                    events.push(turned(service, peer, (known.state, state), at_ms));
                    (known.state, known.since_ms) = (state, at_ms);
                }
            } else if count < SUBJECTS_MAX {
                count += 1;
                let known = BreakerKnown { state, since_ms: at_ms, told_ms: now_ms };
                self.breakers.entry(service.clone()).or_default().insert(peer.clone(), known);
            } else {
                self.dropped += 1;
            }
        }
        events.into_iter().for_each(|event| self.push(event, now_ms));
    }

    /// Sees a version do a service's work.
    pub fn see_version(&mut self, service: &Text, version: &Text, at_ms: i64, now_ms: i64) {
        let Some(versions) = self.versions.get_mut(service) else {
            if self.versions.len() < SUBJECTS_MAX {
                let (newest, seen_ms) = (version.clone(), BTreeMap::from([(version.clone(), now_ms)]));
                self.versions.insert(service.clone(), Versions { newest, seen_ms });
            } else {
                self.dropped += 1;
            }
            return;
        };
        if let Some(seen_ms) = versions.seen_ms.get_mut(version)
            && now_ms - *seen_ms < VERSION_GONE_MS
        {
            *seen_ms = now_ms;
            return;
        }
        versions.seen_ms.retain(|_, seen_ms| now_ms - *seen_ms < VERSION_GONE_MS);
        if versions.seen_ms.len() >= VALUES_MAX {
            self.dropped += 1;
            return;
        }
        versions.seen_ms.insert(version.clone(), now_ms);
        let from = std::mem::replace(&mut versions.newest, version.clone());
        if from != *version {
            let event = changed(service, TimelineKind::Version, &"version".into(), (&from, version), at_ms);
            self.push(event, now_ms);
        }
    }

    /// Adds what happened, in its place.
    pub fn push(&mut self, event: TimelineEvent, now_ms: i64) {
        let at = self.events.iter().rposition(|known| known.at_ms <= event.at_ms).map_or(0, |at| at + 1);
        self.events.insert(at, event);
        self.revision += 1;
        while self.events.len() > EVENTS_MAX {
            self.events.pop_front();
            self.dropped += 1;
        }
        self.forget_events(now_ms);
    }

    fn forget_events(&mut self, now_ms: i64) {
        while self.events.front().is_some_and(|event| now_ms - event.at_ms > EVENTS_KEPT_MS) {
            self.events.pop_front();
            self.revision += 1;
        }
    }

    fn forget(&mut self, now_ms: i64) {
        self.forget_events(now_ms);
        self.known.retain(|_, known| now_ms - known.told_ms < FORGOTTEN_MS);
        self.versions.retain(|_, versions| versions.seen_ms.values().any(|seen_ms| now_ms - seen_ms < FORGOTTEN_MS));
        for peers in self.breakers.values_mut() {
            peers.retain(|_, known| now_ms - known.told_ms < FORGOTTEN_MS);
        }
        self.breakers.retain(|_, peers| !peers.is_empty());
    }

    /// What happened, oldest first, and a number that grows whenever that changes.
    pub fn events(&self) -> (impl DoubleEndedIterator<Item = &TimelineEvent>, u64) {
        (self.events.iter(), self.revision)
    }

    /// A service's breakers, by peer.
    pub fn breakers(&self, service: &str) -> Vec<Breaker> {
        let peers = self.breakers.get(service).into_iter().flatten();
        peers
            .map(|(peer, known)| Breaker { peer: peer.to_string(), state: known.state, since_ms: known.since_ms })
            .collect()
    }

    /// Who keeps away from a peer: the service, and its breaker.
    pub fn kept_from(&self, peer: &str) -> Vec<(&str, Breaker)> {
        let known = self.breakers.iter().filter_map(|(service, peers)| Some((service, peers.get(peer)?)));
        let away = known.filter(|(_, known)| known.state != BreakerState::Closed);
        away.map(|(service, known)| {
            (&**service, Breaker { peer: peer.to_owned(), state: known.state, since_ms: known.since_ms })
        })
        .collect()
    }

    /// What was not kept, because there was too much.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn owned((value, at_ms): (&Text, &i64)) -> (Text, i64) {
    (value.clone(), *at_ms)
}

fn is_more(from: &str, to: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    number(to) > number(from)
}

fn changed(service: &Text, kind: TimelineKind, name: &Text, (from, to): (&Text, &Text), at_ms: i64) -> TimelineEvent {
    let text = match kind {
        TimelineKind::Replicas => format!("replicas {from} -> {to}"),
        TimelineKind::Restart => format!("{name} was started again, restarts {from} -> {to}"),
        TimelineKind::Version if **name != *"version" => format!("image {from} -> {to}"),
        _ => format!("{name} {from} -> {to}"),
    };
    let (from, to) = (Some(from.to_string()), Some(to.to_string()));
    TimelineEvent { at_ms, kind, service: service.to_string(), text, from, to }
}

fn turned(service: &Text, peer: &Text, (from, to): (BreakerState, BreakerState), at_ms: i64) -> TimelineEvent {
    let text = match to {
        BreakerState::Open => format!("breaker to {peer} opened"),
        BreakerState::HalfOpen => format!("breaker to {peer} lets a call through to try"),
        BreakerState::Closed => format!("breaker to {peer} closed"),
    };
    let (from, to) = (Some(from.word().to_owned()), Some(to.word().to_owned()));
    TimelineEvent { at_ms, kind: TimelineKind::Breaker, service: service.to_string(), text, from, to }
}

#[cfg(test)]
mod tests;
