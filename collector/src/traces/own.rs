//! Says of every request how much of its time was spent in the service itself, whether its error was born there, and which
//! calls it made: the server's span minus the calls below it. Client spans are made by the same service as the server span
//! above them, so a service's part of a trace is enough. Pure: the time comes in.

use std::collections::VecDeque;

use foldhash::HashMap;

use super::pairing::{Connection, Pairing, peer};
use super::span::{Kind, Span, SpanId, Text, TraceId, Value};
use crate::blame::work::{Answer, ErrorKind, Outcall, PeerKind, Work, WorkKind};

/// Spans held until their request is settled, each request counting as one more: it takes as much. 5 s and a batch's second at
/// 35,000 spans a second, three to a request.
const SPANS_MAX: usize = 300_000;

/// Spans that a service makes for a request, as a rule: up to here no room is taken that is not used.
const PARTS_USUAL: usize = 4;

/// A trace that never rests is settled after so many times the wait.
const WAITS_MAX: i64 = 6;

/// Traces of which it is known through which front door they came: 20 s of 10,000 a second.
const ORIGINS_MAX: usize = 200_000;

/// A call that took less was not what its request waited for when it failed.
const CUT_SHORT_MIN_NS: u64 = 50_000_000;

/// A call that was given up ends with its request, this much apart at most.
const CUT_SHORT_APART_NS: u64 = 2_000_000;

/// What of a span matters here.
#[derive(Debug, Clone, PartialEq)]
struct Part {
    id: SpanId,
    parent: SpanId,
    start_ns: u64,
    end_ns: u64,
    kind: Kind,
    failed: bool,
    error: Option<ErrorKind>,
    name: Text,
    peer: Option<(Text, PeerKind)>,
    is_retry: bool,
}

impl Part {
    fn of(span: &Span) -> Self {
        let failed = span.is_fault();
        Self {
            id: span.id,
            parent: span.parent,
            start_ns: span.start_ns,
            end_ns: span.end_ns(),
            kind: span.kind,
            failed,
            error: failed.then(|| error_kind(span)),
            name: span.name.clone(),
            peer: if span.kind.calls() { peer(span).map(|(name, kind)| (name, peer_kind(kind))) } else { None },
            is_retry: span.kind.calls() && is_retry(span),
        }
    }
}

/// The version of the service that made a span, if it says.
fn version(span: &Span) -> Option<Text> {
    let attribute = span.process.attributes.iter().find(|attribute| *attribute.key == *"service.version")?;
    attribute.value.as_text().cloned()
}

fn peer_kind(connection: Connection) -> PeerKind {
    match connection {
        Connection::Database => PeerKind::Database,
        Connection::Messaging => PeerKind::Queue,
        Connection::Direct | Connection::Virtual => PeerKind::Service,
    }
}

/// OpenTelemetry counts how often a request was sent before.
pub fn is_retry(span: &Span) -> bool {
    let resent = |value: &Value| matches!(value, Value::Int(count) if *count > 0);
    span.attributes.iter().any(|a| *a.key == *"http.request.resend_count" && resent(&a.value))
}

/// How a failed span's error looks: by its status, else by `error.type` and what it says.
fn error_kind(span: &Span) -> ErrorKind {
    let find = |keys: [&str; 2]| span.attributes.iter().find(|a| keys.contains(&&*a.key)).map(|a| &a.value);
    if let Some(Value::Int(status)) = find(["http.response.status_code", "http.status_code"])
        && let Ok(status) = u16::try_from(*status)
    {
        return ErrorKind::Status(status);
    }
    let named = find(["error.type", "exception.type"]).and_then(Value::as_text);
    let said = span.detail.as_ref().and_then(|detail| detail.status_message.as_ref());
    let words: String = named.into_iter().chain(said).map(|text| text.to_lowercase() + " ").collect();
    let any = |marks: &[&str]| marks.iter().any(|mark| words.contains(mark));
    if any(&["timeout", "timed out", "deadline", "in time"]) {
        ErrorKind::TimedOut
    } else if any(&["refused", "reset", "connect", "unreachable", "dns", "resolve", "broken pipe", "closed"]) {
        ErrorKind::NoConnection
    } else {
        ErrorKind::Other
    }
}

#[derive(Debug, Default)]
struct Group {
    parts: Vec<Part>,
    version: Option<Text>,
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
    origins: HashMap<TraceId, (Text, Text)>,
    origins_in_order: VecDeque<(i64, TraceId)>,
}

impl Settling {
    /// Settles a request so long after its last span arrived.
    pub fn new(wait_ms: i64) -> Self {
        Self {
            wait_ms,
            groups: HashMap::default(),
            deadlines: VecDeque::new(),
            parts: 0,
            origins: HashMap::default(),
            origins_in_order: VecDeque::new(),
        }
    }

    /// Takes a span. `pairing` knows what the other side of a call said.
    pub fn observe(&mut self, trace: TraceId, span: &Span, now_ms: i64, pairing: &Pairing, settled: &mut Vec<Work>) {
        if span.parent == 0 && span.kind.serves() && self.origins.len() < ORIGINS_MAX {
            self.origins.insert(trace, (span.service().clone(), span.name.clone()));
            self.origins_in_order.push_back((now_ms, trace));
        }
        let key = (trace, span.service().clone());
        let group = self.groups.entry(key.clone()).or_insert_with(|| {
            self.deadlines.push_back((now_ms + self.wait_ms, key));
            Group { first_ms: now_ms, version: version(span), ..Group::default() }
        });
        group.last_ms = now_ms;
        if group.parts.len() < PARTS_USUAL {
            group.parts.reserve_exact(1);
        }
        group.parts.push(Part::of(span));
        self.parts += 1;
        while self.parts + self.groups.len() > SPANS_MAX {
            let Some((_, key)) = self.deadlines.pop_front() else { return };
            self.settle_group(&key, pairing, settled);
        }
    }

    /// Settles what has rested long enough.
    pub fn settle(&mut self, now_ms: i64, pairing: &Pairing, settled: &mut Vec<Work>) {
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
                self.settle_group(&key, pairing, settled);
            }
        }
        // The other services of a trace settle within a few waits of each other.
        while let Some((since_ms, _)) = self.origins_in_order.front()
            && now_ms - since_ms > self.wait_ms * WAITS_MAX / 2
        {
            let Some((_, trace)) = self.origins_in_order.pop_front() else { return };
            self.origins.remove(&trace);
        }
    }

    fn settle_group(&mut self, key: &(TraceId, Text), pairing: &Pairing, settled: &mut Vec<Work>) {
        if let Some(group) = self.groups.remove(key) {
            self.parts -= group.parts.len();
            let origin = self.origins.get(&key.0);
            let from = settled.len();
            works(&key.1, group.parts, origin, &|span| pairing.answer(key.0, span), settled);
            settled[from..].iter_mut().for_each(|work| work.version.clone_from(&group.version));
        }
    }
}

/// What one service did in one trace, request by request.
fn works(
    service: &Text,
    mut parts: Vec<Part>,
    origin: Option<&(Text, Text)>,
    answer: &dyn Fn(SpanId) -> (Answer, Option<u64>),
    settled: &mut Vec<Work>,
) {
    parts.sort_by_key(|part| (part.start_ns, part.id));
    let by_id: HashMap<SpanId, usize> = parts.iter().enumerate().map(|(at, part)| (part.id, at)).collect();
    // Calls of each request or job, in order of start; of nobody known last.
    let mut calls: HashMap<Option<usize>, Vec<usize>> = HashMap::default();
    for (at, _) in parts.iter().enumerate().filter(|(_, part)| part.kind.calls()) {
        calls.entry(owner(&parts, &by_id, at)).or_default().push(at);
    }
    let heads = parts.iter().enumerate().filter(|(_, part)| part.kind.serves() || part.parent == 0);
    for (at, part) in heads {
        let below = calls.get(&Some(at)).map_or(&[][..], Vec::as_slice);
        let kind = match (part.kind.serves(), part.parent) {
            (true, 0) => WorkKind::Entry,
            (true, _) => WorkKind::Request,
            (false, _) => WorkKind::Job,
        };
        let outcalls: Vec<Outcall> =
            below.iter().map(|call| outcall(&parts[*call], Some(part), answer(parts[*call].id))).collect();
        let below_failed = below.iter().any(|call| parts[*call].failed);
        settled.push(Work {
            service: service.clone(),
            operation: part.name.clone(),
            kind,
            origin: origin.cloned(),
            version: None,
            end_ns: part.end_ns,
            whole_ns: part.end_ns - part.start_ns,
            own_ns: (part.end_ns - part.start_ns) - covered_ns(part, below.iter().map(|call| &parts[*call])),
            failed: part.failed,
            own_failed: part.failed && !below_failed,
            error: part.error,
            calls: outcalls,
        });
    }
    if let Some(of_nobody) = calls.get(&None) {
        let last = of_nobody.iter().map(|call| parts[*call].end_ns).max().unwrap_or(0);
        settled.push(Work {
            service: service.clone(),
            operation: "".into(),
            kind: WorkKind::Fragment,
            origin: None,
            version: None,
            end_ns: last,
            whole_ns: 0,
            own_ns: 0,
            failed: false,
            own_failed: false,
            error: None,
            calls: of_nobody.iter().map(|call| outcall(&parts[*call], None, answer(parts[*call].id))).collect(),
        });
    }
}

fn outcall(call: &Part, head: Option<&Part>, (answer, gap_ns): (Answer, Option<u64>)) -> Outcall {
    let ns = call.end_ns - call.start_ns;
    let ends_together = |head: &Part| call.end_ns.abs_diff(head.end_ns) <= CUT_SHORT_APART_NS;
    let was_cut_short =
        !call.failed && ns >= CUT_SHORT_MIN_NS && head.is_some_and(|head| head.failed && ends_together(head));
    Outcall {
        peer: call.peer.clone(),
        ns,
        failed: call.failed,
        error: call.error,
        answer,
        gap_ns,
        is_retry: call.is_retry,
        was_cut_short,
    }
}

/// The nearest span above that serves a request or begins the trace; nothing in a broken or circular chain.
fn owner(parts: &[Part], by_id: &HashMap<SpanId, usize>, at: usize) -> Option<usize> {
    let mut parent = parts[at].parent;
    if parent == 0 {
        return Some(at);
    }
    for _ in 0..parts.len() {
        let above = *by_id.get(&parent)?;
        if parts[above].kind.serves() || parts[above].parent == 0 {
            return Some(above);
        }
        parent = parts[above].parent;
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
