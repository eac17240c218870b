//! Pairs the span of a call's client with the span of its server, in whatever order they arrive, and says who called
//! whom. Pure: the time comes in. A client whose server never shows up has called a virtual peer.

use std::collections::VecDeque;

use foldhash::HashMap;

use super::own::is_retry;
use super::span::{Attribute, Kind, Span, SpanId, Text, TraceId};
use crate::blame::work::{Alias, Answer};

/// Half calls and finished ones kept for a second server; at 12 s and 4,000 calls a second.
const CALLS_MAX: usize = 50_000;

const MINUTE_NS: u64 = 60_000_000_000;

/// Clocks that differ by less are set apart by nothing but their drift, or a call that waited; tokens allow for a minute, as a rule.
const CLOCK_OFF_MIN_NS: u64 = MINUTE_NS;

/// What a call goes through or to; the label `connection_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Connection {
    /// To a service that sends spans.
    Direct,
    /// To a peer known only from its clients.
    Virtual,
    /// To a database.
    Database,
    /// Through a queue.
    Messaging,
}

impl Connection {
    /// The value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Direct => "",
            Self::Virtual => "virtual_node",
            Self::Database => "database",
            Self::Messaging => "messaging_system",
        }
    }
}

/// Somebody called somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Who called.
    pub client: Text,
    /// Who was called.
    pub server: Text,
    /// Through what.
    pub connection: Connection,
    /// As long as the client saw it, nanoseconds.
    pub client_ns: u64,
    /// As long as the server saw it, nanoseconds; nothing if it sends no spans.
    pub server_ns: Option<u64>,
    /// Whether either saw it fail, and the server is to blame.
    pub failed: bool,
    /// Whether it had been sent before.
    pub is_retry: bool,
    /// When the client saw it end, nanoseconds since the epoch.
    pub end_ns: u64,
    /// What the client calls a server that calls itself something else.
    pub alias: Option<Alias>,
    /// Whose clock differs from the other's.
    pub clock: Option<Clock>,
}

/// A clock that is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// Whose.
    pub service: Text,
    /// By how much it is ahead; less than none if it is behind.
    pub minutes: i32,
    /// When the call ended by the other's clock, nanoseconds since the epoch.
    pub end_ns: u64,
}

#[derive(Debug)]
struct ClientHalf {
    service: Text,
    peer: Option<(Text, Connection)>,
    duration_ns: u64,
    end_ns: u64,
    failed: bool,
    is_producer: bool,
    is_retry: bool,
    /// The server's, once it is known.
    answer: Option<Answered>,
}

/// What the server's side says; of several, the one that failed and the longest.
#[derive(Debug, Clone, Copy)]
struct Answered {
    failed: bool,
    duration_ns: u64,
}

impl Answered {
    fn and(self, other: Self) -> Self {
        Self { failed: self.failed || other.failed, duration_ns: self.duration_ns.max(other.duration_ns) }
    }
}

#[derive(Debug)]
struct ServerHalf {
    service: Text,
    start_ns: u64,
    duration_ns: u64,
    failed: bool,
}

/// One call: its client's span, or the servers' spans that wait for it.
#[derive(Debug)]
enum Half {
    Client(ClientHalf),
    Servers(Vec<ServerHalf>),
}

/// Calls of which a half may still arrive.
#[derive(Debug)]
pub struct Pairing {
    wait_ms: i64,
    halves: HashMap<(TraceId, SpanId), Half>,
    deadlines: VecDeque<(i64, (TraceId, SpanId))>,
    unpaired: u64,
    dropped: u64,
}

impl Pairing {
    /// Waits so long for the other half.
    pub fn new(wait_ms: i64) -> Self {
        Self { wait_ms, halves: HashMap::default(), deadlines: VecDeque::new(), unpaired: 0, dropped: 0 }
    }

    /// Takes a span and adds the calls that it completes.
    pub fn observe(&mut self, trace: TraceId, span: &Span, now_ms: i64, calls: &mut Vec<Call>) {
        if span.kind.calls() {
            self.observe_client(trace, span, now_ms, calls);
        } else if span.kind.serves() && span.parent != 0 {
            self.observe_server((trace, span.parent), span, now_ms, calls);
        }
        while self.halves.len() > CALLS_MAX {
            let Some((_, key)) = self.deadlines.pop_front() else { return };
            if self.give_up(key, calls) {
                self.dropped += 1;
            }
        }
    }

    fn observe_client(&mut self, trace: TraceId, span: &Span, now_ms: i64, calls: &mut Vec<Call>) {
        let mut client = ClientHalf {
            service: span.service().clone(),
            peer: peer(span),
            duration_ns: span.duration_ns,
            end_ns: span.end_ns(),
            failed: span.is_fault(),
            is_producer: span.kind == Kind::Producer,
            is_retry: is_retry(span),
            answer: None,
        };
        if matches!(client.peer, Some((_, Connection::Database))) {
            // Databases send no spans: there is nothing to wait for.
            calls.extend(client.unanswered());
            return;
        }
        let key = (trace, span.id);
        let waiting = match self.halves.get_mut(&key) {
            Some(Half::Servers(servers)) => std::mem::take(servers),
            Some(Half::Client(_)) => return,
            None => {
                self.deadlines.push_back((now_ms + self.wait_ms, key));
                Vec::new()
            }
        };
        client.answer = waiting.iter().map(ServerHalf::answer).reduce(Answered::and);
        calls.extend(waiting.iter().map(|server| client.answered_by(server, now_ms)));
        self.halves.insert(key, Half::Client(client));
    }

    fn observe_server(&mut self, key: (TraceId, SpanId), span: &Span, now_ms: i64, calls: &mut Vec<Call>) {
        let server = ServerHalf {
            service: span.service().clone(),
            start_ns: span.start_ns,
            duration_ns: span.duration_ns,
            failed: span.is_fault(),
        };
        match self.halves.get_mut(&key) {
            Some(Half::Client(client)) => {
                let answer = server.answer();
                client.answer = Some(client.answer.map_or(answer, |known| known.and(answer)));
                calls.push(client.answered_by(&server, now_ms));
            }
            Some(Half::Servers(servers)) => servers.push(server),
            None => {
                self.halves.insert(key, Half::Servers(vec![server]));
                self.deadlines.push_back((now_ms + self.wait_ms, key));
            }
        }
    }

    /// What is known by now of the server's side of a call, and how much longer the call took than the server says.
    pub fn answer(&self, trace: TraceId, client: SpanId) -> (Answer, Option<u64>) {
        let Some(Half::Client(half)) = self.halves.get(&(trace, client)) else { return (Answer::Unknown, None) };
        match half.answer {
            // Who takes messages from a queue takes its time.
            None if half.is_producer => (Answer::Unknown, None),
            None => (Answer::Missing, None),
            Some(Answered { failed, duration_ns }) => {
                let gap_ns = half.duration_ns.saturating_sub(duration_ns);
                (if failed { Answer::Failed } else { Answer::Well }, (!half.is_producer).then_some(gap_ns))
            }
        }
    }

    /// Gives up waiting where the time is over, and adds the calls to virtual peers that this makes known.
    pub fn expire(&mut self, now_ms: i64, calls: &mut Vec<Call>) {
        while let Some((deadline, key)) = self.deadlines.front().copied()
            && deadline <= now_ms
        {
            self.deadlines.pop_front();
            self.give_up(key, calls);
        }
    }

    /// Forgets a call; whether a half of it had found no other.
    fn give_up(&mut self, key: (TraceId, SpanId), calls: &mut Vec<Call>) -> bool {
        match self.halves.remove(&key) {
            Some(Half::Client(client)) if client.answer.is_none() => {
                let call = client.unanswered();
                self.unpaired += u64::from(call.is_none());
                calls.extend(call);
                true
            }
            Some(Half::Servers(servers)) => {
                self.unpaired += servers.len() as u64;
                true
            }
            Some(Half::Client(_)) | None => false,
        }
    }

    /// Spans of which the other half never came and whose peer is unknown.
    pub fn unpaired(&self) -> u64 {
        self.unpaired
    }

    /// Halves given up before their time, because too many waited.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl ServerHalf {
    fn answer(&self) -> Answered {
        Answered { failed: self.failed, duration_ns: self.duration_ns }
    }
}

impl ClientHalf {
    fn answered_by(&self, server: &ServerHalf, now_ms: i64) -> Call {
        Call {
            client: self.service.clone(),
            server: server.service.clone(),
            connection: if self.is_producer { Connection::Messaging } else { Connection::Direct },
            client_ns: self.duration_ns,
            server_ns: Some(server.duration_ns),
            failed: self.failed || server.failed,
            is_retry: self.is_retry,
            end_ns: self.end_ns,
            alias: self.alias_of(&server.service),
            clock: self.clock_off(server, now_ms),
        }
    }

    /// Whose clock is off, if the two differ by more than any network takes: the one's that is further from ours.
    fn clock_off(&self, server: &ServerHalf, now_ms: i64) -> Option<Clock> {
        let (client_end, server_end) = (self.end_ns, server.start_ns.saturating_add(server.duration_ns));
        let client_start = client_end.saturating_sub(self.duration_ns);
        if self.is_producer || client_start.abs_diff(server.start_ns) < CLOCK_OFF_MIN_NS {
            return None;
        }
        let now_ns = u64::try_from(now_ms).unwrap_or(0).saturating_mul(1_000_000);
        let is_clients = client_end.abs_diff(now_ns) > server_end.abs_diff(now_ns);
        let (service, off, right) = match is_clients {
            true => (&self.service, client_start, server.start_ns),
            false => (&server.service, server.start_ns, client_start),
        };
        let minutes = i32::try_from(off.abs_diff(right).saturating_add(MINUTE_NS / 2) / MINUTE_NS).unwrap_or(i32::MAX);
        let minutes = if off > right { minutes } else { -minutes };
        Some(Clock { service: service.clone(), minutes, end_ns: if is_clients { server_end } else { client_end } })
    }

    fn unanswered(&self) -> Option<Call> {
        let (server, connection) = self.peer.clone()?;
        Some(Call {
            client: self.service.clone(),
            server,
            connection,
            client_ns: self.duration_ns,
            server_ns: None,
            failed: self.failed,
            is_retry: self.is_retry,
            end_ns: self.end_ns,
            alias: None,
            clock: None,
        })
    }

    fn alias_of(&self, server: &Text) -> Option<Alias> {
        let (peer, connection) = self.peer.as_ref()?;
        (peer != server && *connection == Connection::Virtual).then(|| Alias {
            client: self.service.clone(),
            peer: peer.clone(),
            server: server.clone(),
        })
    }
}

/// Attributes that name a client's peer, by connection, the best first: OpenTelemetry's names and the older ones.
const PEER_KEYS: [&str; 3] = ["peer.service", "server.address", "net.peer.name"];
const DATABASE_KEYS: [&str; 6] =
    ["peer.service", "db.namespace", "db.name", "server.address", "db.system.name", "db.system"];
const DATABASE_MARKS: [&str; 2] = ["db.system.name", "db.system"];
const QUEUE_KEYS: [&str; 4] = ["peer.service", "messaging.destination.name", "server.address", "messaging.system"];
const QUEUE_MARK: &str = "messaging.system";

/// Whom a client's span says it calls, and through what.
pub fn peer(span: &Span) -> Option<(Text, Connection)> {
    let has = |wanted: &str| span.attributes.iter().any(|a| *a.key == *wanted);
    let (keys, connection): (&[&str], _) = if DATABASE_MARKS.into_iter().any(has) {
        (&DATABASE_KEYS, Connection::Database)
    } else if span.kind == Kind::Producer || has(QUEUE_MARK) {
        (&QUEUE_KEYS, Connection::Messaging)
    } else {
        (&PEER_KEYS, Connection::Virtual)
    };
    let text = |key: &&str| span.attributes.iter().find(|a| *a.key == **key).and_then(text_of);
    Some((keys.iter().find_map(text)?, connection))
}

fn text_of(attribute: &Attribute) -> Option<Text> {
    attribute.value.as_text().filter(|text| !text.is_empty()).cloned()
}

#[cfg(test)]
mod tests;
