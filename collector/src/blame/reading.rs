//! What a window says of each service and of each pair of caller and called, beside what is usual. Judges nothing.
//! Pure. Start at `Reading::of`.

mod calls;

use std::collections::{BTreeMap, HashMap};

use super::memory::Memory;

/// Fewer requests say nothing about the usual share of errors.
const USUAL_MIN: f64 = 20.0;

/// However seldom something failed so far, this share may by chance.
const ERRORS_USUAL_MIN: f64 = 0.002;

/// What may be usual where nobody knows yet.
const ERRORS_UNKNOWN: f64 = 0.05;

/// Hits among some, what is usual, and the seconds of the window with hits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Count {
    /// How many of them.
    pub hits: f64,
    /// Of how many.
    pub of: f64,
    /// How many hits are usual.
    pub usual: f64,
    /// A bit a second, the window's first being the lowest.
    pub seconds: u64,
}

impl Count {
    fn add(&mut self, hits: f64, of: f64, usual_share: f64, second: u32) {
        self.hits += hits;
        self.of += of;
        self.usual += of * usual_share;
        if hits > 0.0 {
            self.seconds |= 1 << second.min(63);
        }
    }

    /// The share of hits.
    pub fn share(&self) -> f64 {
        if self.of > 0.0 { (self.hits / self.of).min(1.0) } else { 0.0 }
    }

    /// The usual share of hits.
    pub fn usual_share(&self) -> f64 {
        if self.of > 0.0 { self.usual / self.of } else { 0.0 }
    }

    /// In how many seconds there were hits.
    pub fn seconds_hit(&self) -> u32 {
        self.seconds.count_ones()
    }
}

/// One service or peer in a window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeReading {
    /// Requests; of a peer that sends no spans, calls.
    pub requests: f64,
    /// Errors born here, calls without an answer included.
    pub born: Count,
    /// Of them, those that do not say "not now".
    pub plain: Count,
    /// Of them, calls without an answer.
    pub missing: f64,
    /// Of them, calls of its own that came to nothing because of itself.
    pub unreached: f64,
    /// Failed requests, whoever is to blame.
    pub failed: Count,
    /// Requests whose own time is late.
    pub slow: Count,
    /// Calls to it, or by it, that waited until it took in the request, or the answer, where it is to blame.
    pub held: Count,
    /// Milliseconds lost by that.
    pub held_ms: f64,
    /// Whether those were answers.
    pub holds_answers: bool,
    /// Milliseconds lost by that.
    pub lost_ms: f64,
    own_us: f64,
    own_usual_us: f64,
    /// Requests that are late altogether.
    pub late: Count,
}

/// Calls of one service to another in a window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EdgeReading {
    /// Calls.
    pub calls: f64,
    /// Calls that so many requests of the client usually make.
    pub expected: f64,
    /// Failed ones.
    pub failed: Count,
    /// Of them, those that were not told "not now".
    pub plain: Count,
    /// Without an answer.
    pub missing: f64,
    /// Cut short.
    pub cut: f64,
    /// Repetitions.
    pub retries: f64,
    /// Late ones.
    pub late: Count,
    /// Without an answer, or without one in time.
    pub unreached: f64,
    /// Of them, those that found no connection.
    pub unconnected: f64,
    /// Those given up.
    timed_out: f64,
    /// Of them, those given up before they were late.
    given_up_soon: f64,
    /// Seconds of the window with calls that came to nothing.
    unreached_seconds: u64,
    /// Seconds of the window with calls without an answer.
    missing_seconds: u64,
    /// Seconds of the window with calls that were answered.
    answered_seconds: u64,
    /// Calls that took much longer than the one called says it took, and milliseconds lost by that.
    held: Count,
    held_ms: f64,
    lost_ms: f64,
    took_us: f64,
    took_usual_us: f64,
}

impl EdgeReading {
    /// Calls that are usually made and were not, and those cut short.
    pub fn given_up(&self) -> f64 {
        (self.expected - (self.calls - self.retries).max(0.0)).max(0.0) + self.cut
    }
}

impl NodeReading {
    /// Requests that it turned away: errors born here that say "not now".
    pub fn refused(&self) -> f64 {
        (self.born.hits - self.plain.hits).max(0.0)
    }

    /// How many times as much own time as usual requests take, on average.
    pub fn slowdown(&self) -> f64 {
        if self.own_usual_us > 0.0 { self.own_us / self.own_usual_us } else { 1.0 }
    }
}

/// A window.
#[derive(Debug, Default)]
pub struct Reading {
    /// By node.
    pub nodes: BTreeMap<u32, NodeReading>,
    /// By client and server.
    pub edges: BTreeMap<(u32, u32), EdgeReading>,
    /// Calls that are usually made, by client and server, also where none was made now.
    pub usual_edges: BTreeMap<(u32, u32), f64>,
    /// Requests of the front door, a second, by unit.
    pub entries: HashMap<u32, f64>,
}

fn share_of(hits: f64, count: f64) -> f64 {
    if count < USUAL_MIN { ERRORS_UNKNOWN } else { (hits / count).max(ERRORS_USUAL_MIN) }
}

impl Reading {
    /// Reads the seconds `from..to`.
    pub fn of(memory: &Memory, from: i64, to: i64) -> Self {
        let mut reading = Self::default();
        let mut counts: HashMap<u32, f64> = HashMap::new();
        for (second, number) in (from..to).zip(0u32..) {
            let Some(frame) = memory.frames.at(second) else { continue };
            for (unit, cell) in &frame.cells {
                *counts.entry(*unit).or_default() += f64::from(cell.count + cell.jobs);
                if cell.entries > 0 {
                    *reading.entries.entry(*unit).or_default() += f64::from(cell.entries) / (to - from) as f64;
                }
                reading.add_cell(memory, *unit, cell, number);
            }
            for (edge, cell) in &frame.edges {
                reading.add_edge(memory, *edge, cell, number);
            }
        }
        reading.expect_calls(memory, &counts);
        reading.add_unanswered(memory);
        reading.add_held();
        reading
    }

    fn add_cell(&mut self, memory: &Memory, unit: u32, cell: &super::frames::Cell, second: u32) {
        let Some(((node, _), usual)) = memory.units.get(unit) else { return };
        let sum = self.nodes.entry(*node).or_default();
        let count = f64::from(cell.count);
        sum.requests += count;
        let born_usually = share_of(usual.born, usual.count);
        sum.born.add(f64::from(cell.born), count, born_usually, second);
        sum.plain.add(f64::from(cell.born.saturating_sub(cell.refused)), count, born_usually, second);
        sum.failed.add(f64::from(cell.failed), count, share_of(usual.failed, usual.count), second);
        sum.own_us += cell.own_us as f64;
        sum.own_usual_us += if usual.count > 0.0 { usual.own_us / usual.count * count } else { cell.own_us as f64 };
        if let Some(own) = usual.own_late {
            sum.slow.add(cell.own.above(own.bucket), count, own.share, second);
            sum.lost_ms += cell.own.excess_ms(own.bucket, own.median_ms);
        }
        if let Some(whole) = usual.whole_late {
            sum.late.add(cell.whole.above(whole.bucket), count, whole.share, second);
        }
    }

    fn add_edge(&mut self, memory: &Memory, edge: u32, cell: &super::frames::EdgeCell, second: u32) {
        let Some(((unit, peer, _), usual)) = memory.edges.get(edge) else { return };
        let Some(((client, _), _)) = memory.units.get(*unit) else { return };
        let server = memory.resolve(*client, *peer);
        let sum = self.edges.entry((*client, server)).or_default();
        let calls = f64::from(cell.calls);
        sum.calls += calls;
        let failed_usually = share_of(usual.failed, usual.calls);
        sum.failed.add(f64::from(cell.failed), calls, failed_usually, second);
        sum.plain.add(f64::from(cell.failed.saturating_sub(cell.refused)), calls, failed_usually, second);
        sum.missing += f64::from(cell.missing);
        if cell.missing > 0 {
            sum.missing_seconds |= 1 << second.min(63);
        }
        sum.unreached += f64::from(cell.unreached);
        sum.unconnected += f64::from(cell.unconnected);
        sum.timed_out += f64::from(cell.timed_out);
        if cell.unreached > 0 {
            sum.unreached_seconds |= 1 << second.min(63);
        }
        let gave_up_ms = cell.timed_out_us as f64 / 1e3 / f64::from(cell.timed_out.max(1));
        if usual.late.is_some_and(|late| gave_up_ms < late.bound_ms) {
            sum.given_up_soon += f64::from(cell.timed_out);
        }
        if cell.calls > cell.missing {
            sum.answered_seconds |= 1 << second.min(63);
        }
        sum.cut += f64::from(cell.cut);
        sum.retries += f64::from(cell.retries);
        sum.took_us += cell.took_us as f64;
        sum.took_usual_us += if usual.calls > 0.0 { usual.took_us / usual.calls * calls } else { cell.took_us as f64 };
        if let Some(late) = usual.late {
            sum.late.add(cell.took.above(late.bucket), calls, late.share, second);
            sum.lost_ms += cell.took.excess_ms(late.bucket, late.median_ms);
        }
        if let Some(late) = usual.gap_late {
            sum.held.add(cell.gap.above(late.bucket), f64::from(cell.gaps), late.share, second);
            sum.held_ms += cell.gap.excess_ms(late.bucket, late.median_ms);
        }
    }

    /// How many calls the requests of the window would usually make.
    fn expect_calls(&mut self, memory: &Memory, counts: &HashMap<u32, f64>) {
        for (_, (unit, peer, _), usual) in memory.edges.iter() {
            let Some(((client, _), of)) = memory.units.get(*unit) else { continue };
            let server = memory.resolve(*client, *peer);
            if usual.calls > 0.0 {
                *self.usual_edges.entry((*client, server)).or_default() += usual.calls;
            }
            let made = of.count + of.jobs;
            if made < USUAL_MIN {
                continue;
            }
            let expected = usual.calls / made * counts.get(unit).copied().unwrap_or(0.0);
            if expected > 0.0 {
                self.edges.entry((*client, server)).or_default().expected += expected;
            }
        }
    }

    /// Errors that only the callers saw: of calls that were never answered, and of peers that send no spans.
    fn add_unanswered(&mut self, memory: &Memory) {
        let (blamed, impatient) = (self.clients_at_fault(memory), self.impatient());
        for ((client, server), edge) in &self.edges {
            let sends = memory.nodes.get(*server).is_some_and(|(_, node)| node.sends);
            if sends {
                let is_clients =
                    blamed.contains(client) || impatient.contains(client) || self.is_cut_off(*client, *server);
                let (node, hits, seconds) = match is_clients {
                    true => (*client, edge.unreached, edge.unreached_seconds),
                    false => (*server, edge.missing, edge.missing_seconds),
                };
                if hits > 0.0 {
                    let sum = self.nodes.entry(node).or_default();
                    *(if is_clients { &mut sum.unreached } else { &mut sum.missing }) += hits;
                    for count in [&mut sum.born, &mut sum.plain] {
                        count.hits += hits;
                        count.of += hits;
                        count.usual += hits * ERRORS_USUAL_MIN;
                        count.seconds |= seconds;
                    }
                }
                continue;
            }
            let sum = self.nodes.entry(*server).or_default();
            sum.requests += edge.calls;
            for (count, more) in [
                (&mut sum.born, edge.failed),
                (&mut sum.plain, edge.plain),
                (&mut sum.failed, edge.failed),
                (&mut sum.slow, edge.late),
            ] {
                count.hits += more.hits;
                count.of += more.of;
                count.usual += more.usual;
                count.seconds |= more.seconds;
            }
            sum.late = sum.slow;
            sum.lost_ms += edge.lost_ms;
            sum.own_us += edge.took_us;
            sum.own_usual_us += edge.took_usual_us;
            sum.missing += edge.failed.hits;
        }
    }
}
