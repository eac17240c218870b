//! Spans for tests, written short.

use std::sync::Arc;

use super::span::{Attribute, Kind, Process, Span, SpanId, Status, Value};

/// When the examples happen: nanoseconds since the epoch, a whole second.
pub const START_NS: u64 = 1_700_000_000_000_000_000;

/// The same in milliseconds.
pub const START_MS: i64 = 1_700_000_000_000;

/// A span that begins at [`START_NS`] and takes 10 ms.
pub fn span(service: &str, name: &str, kind: Kind, id: SpanId, parent: SpanId) -> Span {
    Span {
        id,
        parent,
        start_ns: START_NS,
        duration_ns: 10_000_000,
        name: name.into(),
        process: Arc::new(Process { service: service.into(), attributes: Box::default() }),
        scope: None,
        attributes: Box::default(),
        detail: None,
        kind,
        status: Status::Unset,
    }
}

impl Span {
    /// Failed.
    pub fn failing(mut self) -> Self {
        self.status = Status::Error;
        self
    }

    /// From and to, milliseconds after [`START_NS`].
    pub fn during(mut self, from_ms: u64, to_ms: u64) -> Self {
        self.start_ns = START_NS + from_ms * 1_000_000;
        self.duration_ns = (to_ms - from_ms) * 1_000_000;
        self
    }

    /// With one more attribute.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        let attribute = Attribute { key: key.into(), value: value.into() };
        self.attributes = self.attributes.into_iter().chain([attribute]).collect();
        self
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
