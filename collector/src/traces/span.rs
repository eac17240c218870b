//! A span as it is kept: small, its texts shared with other spans. Knows no wire format.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A text that spans share.
pub type Text = Arc<str>;

/// 16 bytes of a trace's id, big-endian.
pub type TraceId = u128;

/// 8 bytes of a span's id, big-endian; 0 stands for none.
pub type SpanId = u64;

/// OTLP's span kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Not said.
    Unspecified,
    /// Inside a service.
    Internal,
    /// Answers a request.
    Server,
    /// Makes a request.
    Client,
    /// Sends a message.
    Producer,
    /// Handles a message.
    Consumer,
}

impl Kind {
    /// OTLP's name, as the label `span_kind` has it.
    pub fn otlp_name(self) -> &'static str {
        match self {
            Self::Unspecified => "SPAN_KIND_UNSPECIFIED",
            Self::Internal => "SPAN_KIND_INTERNAL",
            Self::Server => "SPAN_KIND_SERVER",
            Self::Client => "SPAN_KIND_CLIENT",
            Self::Producer => "SPAN_KIND_PRODUCER",
            Self::Consumer => "SPAN_KIND_CONSUMER",
        }
    }

    /// Jaeger's name, as the tag `span.kind` has it; nothing if the kind is not said.
    pub fn jaeger_name(self) -> Option<&'static str> {
        match self {
            Self::Unspecified => None,
            Self::Internal => Some("internal"),
            Self::Server => Some("server"),
            Self::Client => Some("client"),
            Self::Producer => Some("producer"),
            Self::Consumer => Some("consumer"),
        }
    }

    /// Whether the span stands for work asked for by somebody else.
    pub fn serves(self) -> bool {
        matches!(self, Self::Server | Self::Consumer)
    }

    /// Whether the span stands for work asked of somebody else.
    pub fn calls(self) -> bool {
        matches!(self, Self::Client | Self::Producer)
    }
}

/// OTLP's status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Not said, which is well.
    Unset,
    /// Said to be well.
    Ok,
    /// Failed.
    Error,
}

impl Status {
    /// OTLP's name, as the label `status_code` has it.
    pub fn otlp_name(self) -> &'static str {
        match self {
            Self::Unset => "STATUS_CODE_UNSET",
            Self::Ok => "STATUS_CODE_OK",
            Self::Error => "STATUS_CODE_ERROR",
        }
    }

    /// Jaeger's name, as the tag `otel.status_code` has it; nothing if the status is not said.
    pub fn jaeger_name(self) -> Option<&'static str> {
        match self {
            Self::Unset => None,
            Self::Ok => Some("OK"),
            Self::Error => Some("ERROR"),
        }
    }
}

/// The value of an attribute.
#[derive(Debug, Clone)]
pub enum Value {
    /// A text.
    Text(Text),
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Raw bytes.
    Bytes(Arc<[u8]>),
    /// A list or map, written as JSON.
    Json(Text),
}

impl Value {
    /// Whether a search for this text finds the value.
    pub fn reads(&self, wanted: &str) -> bool {
        match self {
            Self::Text(text) | Self::Json(text) => **text == *wanted,
            Self::Bool(value) => wanted == if *value { "true" } else { "false" },
            Self::Int(value) => wanted.parse() == Ok(*value),
            Self::Double(value) => wanted.parse() == Ok(*value),
            Self::Bytes(_) => false,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&Text> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Bytes outside the value itself.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Bool(_) | Self::Int(_) | Self::Double(_) => 0,
        }
    }
}

impl PartialEq for Value {
    /// Bit for bit, so that equality and hash agree for every number.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) | (Self::Json(a), Self::Json(b)) => a == b,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Double(a), Self::Double(b)) => a.to_bits() == b.to_bits(),
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Text(text) | Self::Json(text) => text.hash(state),
            Self::Bool(value) => value.hash(state),
            Self::Int(value) => value.hash(state),
            Self::Double(value) => value.to_bits().hash(state),
            Self::Bytes(bytes) => bytes.hash(state),
        }
    }
}

/// A name with a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attribute {
    /// The name.
    pub key: Text,
    /// The value.
    pub value: Value,
}

/// Who made a span; shared by its spans.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// `service.name`.
    pub service: Text,
    /// The other attributes of the resource.
    pub attributes: Box<[Attribute]>,
}

/// The library that made a span; shared by its spans.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Its name.
    pub name: Text,
    /// Its version.
    pub version: Text,
}

/// Something that happened during a span.
#[derive(Debug, Clone)]
pub struct Event {
    /// Nanoseconds since the epoch.
    pub at_ns: u64,
    /// What.
    pub name: Text,
    /// In detail.
    pub attributes: Box<[Attribute]>,
}

/// A reference to a span that is not the parent.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Its trace.
    pub trace: TraceId,
    /// Its id.
    pub span: SpanId,
}

/// That a span's end is not after its start.
pub const ENDS_EARLY: &str = "the span ends before it starts; its duration is taken as 0";

/// That a span was larger than a span may be.
pub const CUT: &str = "attributes, events, links or text beyond the limits of a span were left out";

/// All that can be odd about a span; the disk knows them by their place, so new ones come last.
pub const WARNINGS: [&str; 2] = [ENDS_EARLY, CUT];

/// What few spans have.
#[derive(Debug, Clone, Default)]
pub struct Detail {
    /// Of the status.
    pub status_message: Option<Text>,
    /// W3C's `tracestate`.
    pub trace_state: Option<Text>,
    /// In order of arrival.
    pub events: Box<[Event]>,
    /// References to other spans.
    pub links: Box<[Link]>,
    /// What was odd about the span.
    pub warnings: Vec<&'static str>,
}

/// One span.
#[derive(Debug, Clone)]
pub struct Span {
    /// Unique in its trace.
    pub id: SpanId,
    /// The parent's id, 0 for none.
    pub parent: SpanId,
    /// Nanoseconds since the epoch.
    pub start_ns: u64,
    /// Nanoseconds.
    pub duration_ns: u64,
    /// Jaeger's operation.
    pub name: Text,
    /// Who made it.
    pub process: Arc<Process>,
    /// The library that made it.
    pub scope: Option<Arc<Scope>>,
    /// Its attributes.
    pub attributes: Box<[Attribute]>,
    /// What few spans have.
    pub detail: Option<Box<Detail>>,
    /// Its kind.
    pub kind: Kind,
    /// How it ended.
    pub status: Status,
}

impl Span {
    /// The service that made it.
    pub fn service(&self) -> &Text {
        &self.process.service
    }

    /// Nanoseconds since the epoch.
    pub fn end_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.duration_ns)
    }

    /// Whether it ended in an error, whoever is to blame.
    pub fn failed(&self) -> bool {
        self.status == Status::Error
    }

    /// Whether the server is to blame for the error. By OpenTelemetry's conventions a client's span fails on every 4xx,
    /// also when a sold-out article or a wrong password was answered as it should be; those are not faults. A server
    /// that has too much to do (429) or gives up waiting (408) is at fault.
    pub fn is_fault(&self) -> bool {
        self.failed() && !(self.kind.calls() && self.was_refused())
    }

    fn was_refused(&self) -> bool {
        const KEYS: [&str; 2] = ["http.response.status_code", "http.status_code"];
        self.attributes.iter().any(|attribute| {
            let refused = |code: &i64| (400..500).contains(code) && *code != 408 && *code != 429;
            KEYS.contains(&&*attribute.key) && matches!(&attribute.value, Value::Int(code) if refused(code))
        })
    }

    /// Roughly how much memory it takes; shared texts count in full, so the estimate is high rather than low.
    pub fn estimated_bytes(&self) -> usize {
        let detail = self.detail.as_ref().map_or(0, |detail| {
            let events: usize = detail.events.iter().map(|e| size_of::<Event>() + attribute_bytes(&e.attributes)).sum();
            let texts = [&detail.status_message, &detail.trace_state];
            let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
            size_of::<Detail>() + events + texts + detail.links.len() * size_of::<Link>()
        });
        let name = if self.name.len() > SHARED_KEY_BYTES_MAX { self.name.len() } else { 0 };
        SPAN_OVERHEAD_BYTES + size_of::<Self>() + name + attribute_bytes(&self.attributes) + detail
    }
}

/// Reference counts, the allocator's headers, a place in a trace, and shares of the indexes; measured.
const SPAN_OVERHEAD_BYTES: usize = 128;

/// A key or name longer than this is counted: it is hardly one that many spans share.
const SHARED_KEY_BYTES_MAX: usize = 64;

fn attribute_bytes(attributes: &[Attribute]) -> usize {
    let key_bytes = |key: &Text| if key.len() > SHARED_KEY_BYTES_MAX { key.len() } else { 0 };
    attributes.iter().map(|a| size_of::<Attribute>() + a.value.heap_bytes() + key_bytes(&a.key)).sum()
}
