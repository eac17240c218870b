//! What blame is told: pieces of work that services did, with the calls they made. Knows no wire format.

use std::sync::Arc;

use super::span;

/// A text that is shared.
pub type Text = Arc<str>;

/// How an error looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// An HTTP status.
    Status(u16),
    /// No connection: refused, reset, no such name.
    NoConnection,
    /// No answer in time.
    TimedOut,
    /// The clock of who served it differs from everybody else's, by so many minutes: it is ahead, or behind if less than none.
    Clock(i32),
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// Whether it says "not now" rather than "I cannot": too many requests, no room, no time left. Services answer so that
    /// have more to do than they can, and so do broken ones.
    pub fn is_not_now(self) -> bool {
        matches!(self, Self::Status(408 | 429 | 503 | 504) | Self::TimedOut)
    }

    /// For people: `HTTP 500`.
    pub fn words(self) -> String {
        match self {
            Self::Status(status) => format!("HTTP {status}"),
            Self::NoConnection => "no connection".to_owned(),
            Self::TimedOut => "no answer in time".to_owned(),
            Self::Clock(minutes) => {
                let way = if minutes > 0 { "ahead" } else { "behind" };
                format!("a clock that is {} {way}", span(f64::from(minutes.abs()) * 60.0))
            }
            Self::Other => "an error without a status".to_owned(),
        }
    }
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerKind {
    /// A service; it may send spans or not.
    Service,
    /// A database.
    Database,
    /// A queue; who takes messages from it is not waited for.
    Queue,
}

/// What the one who was called said about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It sends no spans, or they were waited for too long ago.
    Unknown,
    /// Its span has not come although it is due.
    Missing,
    /// It served the call well.
    Well,
    /// It failed.
    Failed,
}

/// A call as its client saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcall {
    /// Whom the client says that it called; nothing if it does not.
    pub peer: Option<(Text, PeerKind)>,
    /// Nanoseconds.
    pub ns: u64,
    /// Whether it failed, and the one called is to blame.
    pub failed: bool,
    /// How the error looks, of a failed call.
    pub error: Option<ErrorKind>,
    /// What the other side said.
    pub answer: Answer,
    /// Nanoseconds beyond those that the other side says it took; nothing where it does not say.
    pub gap_ns: Option<u64>,
    /// It repeats an earlier one.
    pub is_retry: bool,
    /// It was still under way when the request that made it had failed.
    pub was_cut_short: bool,
}

/// Why work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkKind {
    /// A request of the front door: nothing above it is known.
    Entry,
    /// A request of a service.
    Request,
    /// Nobody waits for it.
    Job,
    /// Calls of which the work above is not known.
    Fragment,
}

/// One piece of work of one service.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// Who did it.
    pub service: Text,
    /// What it was.
    pub operation: Text,
    /// Why.
    pub kind: WorkKind,
    /// The front door's service and operation through which it came.
    pub origin: Option<(Text, Text)>,
    /// The version of the service that did it, if it says.
    pub version: Option<Text>,
    /// When it ended, nanoseconds since the epoch.
    pub end_ns: u64,
    /// Nanoseconds in all.
    pub whole_ns: u64,
    /// Nanoseconds in which no call below was under way.
    pub own_ns: u64,
    /// Whether it failed.
    pub failed: bool,
    /// Whether it failed although no call below it did.
    pub own_failed: bool,
    /// How the error looks, if it failed.
    pub error: Option<ErrorKind>,
    /// In order of start.
    pub calls: Vec<Outcall>,
}

/// A client's name for somebody, and who that turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Alias {
    /// Who called.
    pub client: Text,
    /// What it calls the other one.
    pub peer: Text,
    /// Who answered.
    pub server: Text,
}
