//! Says of every request how much of its time was spent in the service itself, and whether its error was born there:
//! the server's span minus the calls below it. Client spans are made by the same service as the server span above
//! them, so a service's part of a trace is enough. Pure: the time comes in.

use std::collections::{HashMap, VecDeque};

use super::span::{Kind, Span, SpanId, Text, TraceId};

/// Spans held until their request is settled: 10 s at 20,000 spans a second.
const SPANS_MAX: usize = 200_000;

/// A trace that never rests is settled after so many times the wait.
const WAITS_MAX: i64 = 6;

/// One request's own part.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// The service.
    pub service: Text,
    /// When the request ended, nanoseconds since the epoch.
    pub end_ns: u64,
    /// Nanoseconds in which no call below was under way.
    pub own_ns: u64,
    /// Whether the request failed.
    pub failed: bool,
    /// Whether the request failed although no call below it did.
    pub own_failed: bool,
}

/// What of a span matters here.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    id: SpanId,
    parent: SpanId,
    start_ns: u64,
    end_ns: u64,
    kind: Kind,
    failed: bool,
}

#[derive(Debug, Default)]
struct Group {
    parts: Vec<Part>,
    first_ms: i64,
    last_ms: i64,
}

/// Requests of which spans may still arrive.
#[derive(Debug)]
pub struct Settling {
    wait_ms: i64,
    groups: HashMap<(TraceId, Text), Group>,
    deadlines: VecDeque<(i64, (TraceId, Text))>,
    parts: usize,
}

impl Settling {
    /// Settles a request so long after its last span arrived.
    pub fn new(wait_ms: i64) -> Self {
        Self { wait_ms, groups: HashMap::new(), deadlines: VecDeque::new(), parts: 0 }
    }

    /// Takes a span.
    pub fn observe(&mut self, trace: TraceId, span: &Span, now_ms: i64, settled: &mut Vec<Own>) {
        let key = (trace, span.service().clone());
        let group = self.groups.entry(key.clone()).or_insert_with(|| {
            self.deadlines.push_back((now_ms + self.wait_ms, key));
            Group { first_ms: now_ms, ..Group::default() }
        });
        group.last_ms = now_ms;
        group.parts.push(Part {
            id: span.id,
            parent: span.parent,
            start_ns: span.start_ns,
            end_ns: span.end_ns(),
            kind: span.kind,
            failed: span.is_fault(),
        });
        self.parts += 1;
        while self.parts > SPANS_MAX {
            let Some((_, key)) = self.deadlines.pop_front() else { return };
            self.settle_group(&key, settled);
        }
    }

    /// Settles what has rested long enough.
    pub fn settle(&mut self, now_ms: i64, settled: &mut Vec<Own>) {
        while let Some((deadline, _)) = self.deadlines.front()
            && *deadline <= now_ms
        {
            let Some((_, key)) = self.deadlines.pop_front() else { return };
            let rests_at = self
                .groups
                .get(&key)
                .map_or(now_ms, |group| (group.last_ms + self.wait_ms).min(group.first_ms + self.wait_ms * WAITS_MAX));
            if rests_at > now_ms {
                // Deadlines are in order within one wait; that is exact enough.
                self.deadlines.push_back((rests_at, key));
            } else {
                self.settle_group(&key, settled);
            }
        }
    }

    fn settle_group(&mut self, key: &(TraceId, Text), settled: &mut Vec<Own>) {
        if let Some(group) = self.groups.remove(key) {
            self.parts -= group.parts.len();
            own_parts(&key.1, group.parts, settled);
        }
    }
}

/// The own part of every request among one service's spans of one trace.
fn own_parts(service: &Text, mut parts: Vec<Part>, settled: &mut Vec<Own>) {
    parts.sort_by_key(|part| (part.start_ns, part.id));
    let by_id: HashMap<SpanId, usize> = parts.iter().enumerate().map(|(at, part)| (part.id, at)).collect();
    // Calls of each server span, in order of start.
    let mut calls: HashMap<usize, Vec<usize>> = HashMap::new();
    for (at, part) in parts.iter().enumerate().filter(|(_, part)| part.kind.calls()) {
        if let Some(server) = serving_ancestor(&parts, &by_id, part) {
            calls.entry(server).or_default().push(at);
        }
    }
    for (at, part) in parts.iter().enumerate().filter(|(_, part)| part.kind.serves()) {
        let below = calls.get(&at).map_or(&[][..], Vec::as_slice);
        let below_failed = below.iter().any(|call| parts[*call].failed);
        settled.push(Own {
            service: service.clone(),
            end_ns: part.end_ns,
            own_ns: (part.end_ns - part.start_ns) - covered_ns(part, below.iter().map(|call| &parts[*call])),
            failed: part.failed,
            own_failed: part.failed && !below_failed,
        });
    }
}

/// The nearest span above that serves a request; nothing in a broken or circular chain.
fn serving_ancestor(parts: &[Part], by_id: &HashMap<SpanId, usize>, part: &Part) -> Option<usize> {
    let mut parent = part.parent;
    for _ in 0..parts.len() {
        let at = *by_id.get(&parent)?;
        if parts[at].kind.serves() {
            return Some(at);
        }
        parent = parts[at].parent;
    }
    None
}

/// Nanoseconds of `whole` in which at least one of the calls, in order of start, was under way.
fn covered_ns<'p>(whole: &Part, calls: impl Iterator<Item = &'p Part>) -> u64 {
    let mut covered = 0;
    let mut until = whole.start_ns;
    for call in calls {
        let (start, end) = (call.start_ns.max(until), call.end_ns.min(whole.end_ns));
        if end > start {
            covered += end - start;
            until = end;
        }
    }
    covered
}

#[cfg(test)]
mod tests;
