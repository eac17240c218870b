//! What happened in each of the last minutes' seconds, by service and by edge; any window of them can be summed up.
//! Pure: the time comes in.

use std::collections::{BTreeMap, VecDeque};

use foldhash::HashMap;

use super::latency::Percentiles;
use super::pairing::{Call, Connection};
use super::span::{Span, Text};
use crate::blame::work::{Work, WorkKind};

/// Seconds that are kept: the longest window, a quarter of an hour.
pub const SECONDS_KEPT: usize = 900;

/// Seconds that are open ahead of our clock, for machines whose clocks are ahead of it.
const SECONDS_AHEAD: usize = 5;

/// Services and edges of one second; more is not a graph that anybody reads.
const NODES_MAX: usize = 1_000;
const EDGES_MAX: usize = 5_000;

/// Requests as somebody saw them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Requests {
    /// How long they took, and how many.
    pub durations: Percentiles,
    /// How long they took together, nanoseconds.
    pub duration_ns: u128,
    /// How many failed.
    pub errors: u64,
    /// How many had been sent before; of a service's own requests only its callers know.
    pub retries: u64,
}

impl Requests {
    fn observe(&mut self, ns: u64, failed: bool) {
        self.durations.observe(ns);
        self.duration_ns += u128::from(ns);
        self.errors += u64::from(failed);
    }

    /// Counts what the other one counted.
    pub fn merge(&mut self, other: &Self) {
        self.durations.merge(&other.durations);
        self.duration_ns += other.duration_ns;
        self.errors += other.errors;
        self.retries += other.retries;
    }
}

/// The settled requests' own parts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OwnSum {
    /// Requests settled.
    pub count: u64,
    /// Their own time.
    pub own_ns: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that failed because of the service itself.
    pub own_errors: u64,
}

/// One service's requests.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeTally {
    /// As it saw them.
    pub requests: Requests,
    /// What of them was its own.
    pub own: OwnSum,
}

/// Client, server, connection.
pub type EdgeKey = (Text, Text, Connection);

/// What happened in a window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// By service.
    pub nodes: BTreeMap<Text, NodeTally>,
    /// By edge.
    pub edges: BTreeMap<EdgeKey, Requests>,
}

#[derive(Debug, Default)]
struct Second {
    nodes: HashMap<Text, NodeTally>,
    edges: HashMap<EdgeKey, Requests>,
}

/// The last seconds.
#[derive(Debug, Default)]
pub struct Window {
    seconds: VecDeque<Second>,
    /// The epoch's second that the first entry stands for.
    first: i64,
    /// Services that made spans, and the second in which they last did.
    services: BTreeMap<Text, i64>,
    /// The earliest second in which anything was counted.
    earliest: Option<i64>,
    dropped: u64,
}

impl Window {
    /// Opens the seconds up to now and a little ahead, and forgets the oldest. Begins anew if the clock was set.
    pub fn advance(&mut self, now_ms: i64) {
        let now = now_ms.div_euclid(1_000);
        if self.seconds.is_empty() || now < self.first || now - self.first >= 2 * SECONDS_KEPT as i64 {
            self.seconds.clear();
            self.earliest = None;
            self.first = now + 1 - SECONDS_KEPT as i64;
        }
        while self.first + (self.seconds.len() as i64) <= now + SECONDS_AHEAD as i64 {
            self.seconds.push_back(Second::default());
        }
        while self.seconds.len() > SECONDS_KEPT + SECONDS_AHEAD {
            self.seconds.pop_front();
            self.first += 1;
        }
        self.services.retain(|_, last| *last >= self.first);
    }

    fn second(&mut self, end_ns: u64) -> Option<&mut Second> {
        let second = i64::try_from(end_ns / 1_000_000_000).unwrap_or(i64::MAX);
        let at = usize::try_from(second.checked_sub(self.first)?).ok()?;
        let found = self.seconds.get_mut(at)?;
        self.earliest = Some(self.earliest.map_or(second, |earliest| earliest.min(second)));
        Some(found)
    }

    /// When the first thing happened that was counted, milliseconds since the epoch.
    pub fn earliest_ms(&self) -> Option<i64> {
        self.earliest.map(|second| second * 1_000)
    }

    fn node(&mut self, end_ns: u64, service: &Text) -> Option<&mut NodeTally> {
        let nodes = &mut self.second(end_ns)?.nodes;
        if nodes.len() >= NODES_MAX && !nodes.contains_key(service) {
            return None;
        }
        Some(nodes.entry(service.clone()).or_default())
    }

    /// Counts a span.
    pub fn observe_span(&mut self, span: &Span, now_ms: i64) {
        let now = now_ms.div_euclid(1_000);
        if let Some(last) = self.services.get_mut(span.service()) {
            *last = now;
        } else if self.services.len() < NODES_MAX {
            self.services.insert(span.service().clone(), now);
        }
        if span.kind.serves() {
            match self.node(span.end_ns(), span.service()) {
                Some(node) => node.requests.observe(span.duration_ns, span.failed()),
                None => self.dropped += 1,
            }
        }
    }

    /// Counts a call.
    pub fn observe_call(&mut self, call: &Call) {
        let Some(second) = self.second(call.end_ns) else {
            self.dropped += 1;
            return;
        };
        let key = (call.client.clone(), call.server.clone(), call.connection);
        if second.edges.len() >= EDGES_MAX && !second.edges.contains_key(&key) {
            self.dropped += 1;
            return;
        }
        let edge = second.edges.entry(key).or_default();
        edge.observe(call.client_ns, call.failed);
        edge.retries += u64::from(call.is_retry);
    }

    /// Counts a request's own part.
    pub fn observe_own(&mut self, own: &Work) {
        if !matches!(own.kind, WorkKind::Entry | WorkKind::Request) {
            return;
        }
        if let Some(node) = self.node(own.end_ns, &own.service) {
            node.own.count += 1;
            node.own.own_ns += own.own_ns;
            node.own.errors += u64::from(own.failed);
            node.own.own_errors += u64::from(own.own_failed);
        }
    }

    /// Sums up the seconds in `from_ms .. to_ms`, in whole seconds. Services without a request in them are there too.
    pub fn sum(&self, from_ms: i64, to_ms: i64) -> Tally {
        let position =
            |ms: i64| usize::try_from(ms.div_euclid(1_000) - self.first).unwrap_or(0).min(self.seconds.len());
        let (from, to) = (position(from_ms), position(to_ms));
        let mut tally = Tally::default();
        for service in self.services.keys() {
            tally.nodes.insert(service.clone(), NodeTally::default());
        }
        for second in self.seconds.range(from..to.max(from)) {
            for (service, node) in &second.nodes {
                let sum = tally.nodes.entry(service.clone()).or_default();
                sum.requests.merge(&node.requests);
                sum.own.count += node.own.count;
                sum.own.own_ns += node.own.own_ns;
                sum.own.errors += node.own.errors;
                sum.own.own_errors += node.own.own_errors;
            }
            for (key, requests) in &second.edges {
                tally.edges.entry(key.clone()).or_default().merge(requests);
            }
        }
        tally
    }

    /// Requests and calls that were too old, too far ahead or too many to be counted here.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests;
