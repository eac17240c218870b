//! Judging without spans: turns counters of a service graph, which somebody else made of spans, into work that looks as if it had
//! been told one by one. Who calls whom, how often, how much of it fails and how long it takes is then right second by second;
//! which request made which call is not known, and nothing here says so. Pure: the time comes in. Start at `Counters::take`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::work::{Answer, Outcall, PeerKind, Text, Work, WorkKind};

/// Edges counted: as many as blame holds.
const EDGES_MAX: usize = 40_000;

/// What is counted at one moment arrives within so long, milliseconds: remote write sends a moment in several requests.
const SETTLE_MS: i64 = 5_000;

/// Intervals longer than this, milliseconds, are gaps: nothing is known of what happened when.
const INTERVAL_MAX_MS: i64 = 60_000;

/// Work made up for one service a second; shares stay right beyond.
const REQUESTS_MAX: f64 = 100.0;

/// Whom Tempo says to call a service that nobody who sends spans calls.
const OUTSIDE: &str = "user";

/// The operation of all that a service does: counters tell no operations.
const OPERATION: &str = "(all)";

/// How long calls took so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spent {
    /// All of them together, seconds.
    pub sum: f64,
    /// How many.
    pub count: f64,
    /// How many took at most so many seconds, by these bounds.
    pub buckets: Vec<(f64, f64)>,
}

/// What was counted so far of calls of one service to another.
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeCount {
    /// Who calls.
    pub client: Text,
    /// Who is called.
    pub server: Text,
    /// What is called, where only one side sends spans.
    pub kind: Option<PeerKind>,
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    /// Calls.
    pub calls: f64,
    /// Failed ones.
    pub failed: f64,
    /// As their clients saw it.
    pub client_spent: Spent,
    /// As their servers saw it.
    pub server_spent: Spent,
}

/// The counters of all edges.
#[derive(Debug, Default)]
pub struct Counters {
    last: HashMap<(Text, Text, Option<PeerKind>), EdgeCount>,
    pending: Vec<Interval>,
    /// The longest interval so far, milliseconds.
    interval_ms: i64,
    dropped: u64,
}

/// What was counted between two moments.
#[derive(Debug, Clone)]
struct Interval {
    from_ms: i64,
    edge: EdgeCount,
}

impl Counters {
    /// Takes what the counters stand at; gives the work of what has settled.
    pub fn take(&mut self, counts: Vec<EdgeCount>, now_ms: i64) -> Vec<Work> {
        for count in counts {
            let key = (count.client.clone(), count.server.clone(), count.kind);
            if self.last.len() >= EDGES_MAX && !self.last.contains_key(&key) {
                self.dropped += 1;
                continue;
            }
            if self.last.get(&key).is_some_and(|known| known.at_ms >= count.at_ms) {
                continue;
            }
            let Some(before) = self.last.insert(key, count.clone()) else { continue };
            let interval_ms = count.at_ms - before.at_ms;
            if (1..=INTERVAL_MAX_MS).contains(&interval_ms) {
                self.interval_ms = self.interval_ms.max(interval_ms);
                self.pending.push(Interval { from_ms: before.at_ms, edge: count.since(&before) });
            }
        }
        self.last.retain(|_, count| now_ms - count.at_ms <= 2 * INTERVAL_MAX_MS);
        let (due, pending): (Vec<Interval>, Vec<Interval>) =
            self.pending.drain(..).partition(|i| i.edge.at_ms <= now_ms - SETTLE_MS);
        self.pending = pending;
        works(&due)
    }

    /// How long after its end work is told, milliseconds.
    pub fn lag_ms(&self) -> i64 {
        self.interval_ms + SETTLE_MS + 1_000
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.last.is_empty() && self.pending.is_empty()
    }

    /// What found no room so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl EdgeCount {
    /// What was added; after a restart all of it.
    fn since(&self, before: &Self) -> Self {
        let is_reset = self.calls < before.calls;
        let more = |now: f64, before: f64| if is_reset { now } else { (now - before).max(0.0) };
        let spent = |now: &Spent, before: &Spent| Spent {
            sum: more(now.sum, before.sum),
            count: more(now.count, before.count),
            buckets: now
                .buckets
                .iter()
                .map(|(bound, count)| {
                    let known =
                        before.buckets.iter().find(|(known, _)| known == bound).map_or(0.0, |(_, count)| *count);
                    (*bound, more(*count, known))
                })
                .collect(),
        };
        Self {
            calls: more(self.calls, before.calls),
            failed: more(self.failed, before.failed),
            client_spent: spent(&self.client_spent, &before.client_spent),
            server_spent: spent(&self.server_spent, &before.server_spent),
            ..self.clone()
        }
    }

    /// How long the calls took, as their clients saw it if that is known.
    fn spent(&self) -> &Spent {
        if self.client_spent.count > 0.0 { &self.client_spent } else { &self.server_spent }
    }
}

impl Spent {
    /// The duration below which this share of the calls is, seconds.
    fn quantile(&self, share: f64) -> f64 {
        let mean = if self.count > 0.0 { self.sum / self.count } else { 0.0 };
        let Some((_, all)) = self.buckets.last().filter(|(_, all)| *all > 0.0) else { return mean };
        let rank = share * all;
        let mut below = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            if *count >= rank && *count > below.1 {
                // Beyond the last bound nothing is known but that it is longer.
                let bound = if bound.is_finite() { *bound } else { below.0 };
                return below.0 + (bound - below.0) * (rank - below.1) / (count - below.1);
            }
            below = (if bound.is_finite() { *bound } else { below.0 }, *count);
        }
        below.0
    }
}

/// One service in an interval.
#[derive(Debug, Default)]
struct Service<'i> {
    /// Calls to it.
    into: Vec<&'i EdgeCount>,
    /// Calls that it makes.
    out: Vec<&'i EdgeCount>,
    /// From and to, milliseconds.
    span_ms: Option<(i64, i64)>,
    is_entry: bool,
}

/// The work that these counts stand for.
fn works(due: &[Interval]) -> Vec<Work> {
    let sends: BTreeSet<&Text> = due
        .iter()
        .flat_map(|i| {
            let server = (i.edge.kind.is_none() || *i.edge.client == *OUTSIDE).then_some(&i.edge.server);
            server.into_iter().chain((*i.edge.client != *OUTSIDE).then_some(&i.edge.client))
        })
        .collect();
    let mut services: BTreeMap<&Text, Service<'_>> = BTreeMap::new();
    for interval in due {
        let edge = &interval.edge;
        for (name, is_client) in [(&edge.client, true), (&edge.server, false)] {
            if !sends.contains(name) || (edge.client == edge.server && !is_client) {
                continue;
            }
            let service = services.entry(name).or_default();
            let (from, to) = service.span_ms.unwrap_or((interval.from_ms, edge.at_ms));
            service.span_ms = Some((from.min(interval.from_ms), to.max(edge.at_ms)));
            if is_client {
                service.out.push(edge);
            } else {
                service.into.push(edge);
            }
            service.is_entry |= !is_client && *edge.client == *OUTSIDE;
        }
    }
    services.into_iter().flat_map(|(name, service)| service.works(name, &sends)).collect()
}

impl Service<'_> {
    fn works(&self, name: &Text, sends: &BTreeSet<&Text>) -> Vec<Work> {
        let Some((from_ms, to_ms)) = self.span_ms else { return Vec::new() };
        let is_entry = self.is_entry || self.into.is_empty();
        // Of a front door that nobody calls who sends spans, only what it asks others is known.
        let asked = if self.into.is_empty() { &self.out } else { &self.into };
        let requests: f64 = asked.iter().map(|edge| edge.calls).sum();
        let failed: f64 = asked.iter().map(|edge| edge.failed).sum();
        let spent: f64 = self.into.iter().map(|edge| edge.server_spent.sum).sum();
        let waited: f64 = self.out.iter().map(|edge| edge.spent().sum).sum();
        let own_s = ((spent - waited) / requests.max(1.0)).max(0.0);
        let seconds = ((to_ms - from_ms) / 1_000).max(1);
        let scale = (REQUESTS_MAX * seconds as f64 / requests.max(1.0)).min(1.0);
        let share = |whole: f64, at: i64| part(whole * scale, at, seconds);
        let mut works = Vec::new();
        for at in 0..seconds {
            let (count, bad) = (share(requests, at), share(failed, at));
            let mut of_second: Vec<Work> = (0..count)
                .map(|number| {
                    let whole_s = typical_s(asked, spread(number));
                    Work {
                        service: name.clone(),
                        operation: OPERATION.into(),
                        kind: if is_entry { WorkKind::Entry } else { WorkKind::Request },
                        origin: is_entry.then(|| (name.clone(), OPERATION.into())),
                        version: None,
                        end_ns: end_ns(from_ms + at * 1_000, number, count),
                        whole_ns: nanos(whole_s),
                        own_ns: nanos(own_s.min(whole_s)),
                        failed: number < bad,
                        own_failed: number < bad,
                        error: None,
                        calls: Vec::new(),
                    }
                })
                .collect();
            for edge in &self.out {
                let (calls, bad) = (share(edge.calls, at), share(edge.failed, at));
                for (number, outcall) in (0..calls).map(|number| (number, outcall(edge, number, bad, sends))) {
                    // The failed calls are of the failed requests.
                    let Some(place) = number.checked_rem(count) else { break };
                    if let Some(work) = of_second.get_mut(place as usize) {
                        work.own_failed &= !outcall.failed;
                        work.calls.push(outcall);
                    }
                }
            }
            works.extend(of_second);
        }
        works
    }
}

fn outcall(edge: &EdgeCount, number: u64, bad: u64, sends: &BTreeSet<&Text>) -> Outcall {
    let failed = number < bad;
    let answer = match (sends.contains(&edge.server), failed) {
        (false, _) => Answer::Unknown,
        (true, true) => Answer::Failed,
        (true, false) => Answer::Well,
    };
    Outcall {
        peer: Some((edge.server.clone(), edge.kind.unwrap_or(PeerKind::Service))),
        ns: nanos(edge.spent().quantile(spread(number))),
        failed,
        error: None,
        answer,
        gap_ns: None,
        is_retry: false,
        was_cut_short: false,
    }
}

/// The part of a whole number that falls into one of so many seconds.
fn part(whole: f64, at: i64, seconds: i64) -> u64 {
    let until = |at: i64| (whole * at as f64 / seconds as f64).round() as u64;
    until(at + 1).saturating_sub(until(at))
}

/// A quantile of the distribution of calls from several edges: of the edge that has most of them.
fn typical_s(edges: &[&EdgeCount], share: f64) -> f64 {
    let most = edges.iter().max_by(|a, b| a.calls.total_cmp(&b.calls).then_with(|| b.client.cmp(&a.client)));
    most.map_or(0.0, |edge| {
        let spent = if edge.server_spent.count > 0.0 { &edge.server_spent } else { &edge.client_spent };
        spent.quantile(share)
    })
}

/// Points between 0 and 1 that lie evenly however many there are: multiples of the golden ratio.
fn spread(number: u64) -> f64 {
    ((number as f64 + 0.5) * 0.618_033_988_749_895).fract()
}

fn nanos(seconds: f64) -> u64 {
    (seconds.clamp(0.0, 3_600.0) * 1e9) as u64
}

fn end_ns(second_ms: i64, number: u64, count: u64) -> u64 {
    let into_ns = (1_000_000_000 / count.max(1)).saturating_mul(number);
    u64::try_from(second_ms).unwrap_or(0).saturating_mul(1_000_000) + into_ns
}

#[cfg(test)]
mod tests;
