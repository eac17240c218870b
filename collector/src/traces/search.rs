//! What a search for traces asks for, and whether a trace fits. Pure.

use std::sync::Arc;

use super::span::{Attribute, Span};

/// Traces of an answer unless the question says otherwise; Jaeger's default.
pub const LIMIT_DEFAULT: usize = 20;

/// Traces of one answer at most; Jaeger's screen offers up to 1,500.
pub const LIMIT_MAX: usize = 1_500;

/// What one span of a trace must be, so that the trace fits; empty fields ask for nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// `service.name`.
    pub service: String,
    /// Name of the span.
    pub operation: String,
    /// Attributes of the span, its resource or its events; also Jaeger's tags such as `error`.
    pub tags: Vec<(String, String)>,
    /// Shortest duration, nanoseconds.
    pub duration_min_ns: u64,
    /// Longest duration, nanoseconds.
    pub duration_max_ns: u64,
    /// Earliest start, nanoseconds since the epoch.
    pub start_ns: u64,
    /// Latest start, nanoseconds since the epoch.
    pub end_ns: u64,
    /// Traces at most.
    pub limit: usize,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            service: String::new(),
            operation: String::new(),
            tags: Vec::new(),
            duration_min_ns: 0,
            duration_max_ns: u64::MAX,
            start_ns: 0,
            end_ns: u64::MAX,
            limit: LIMIT_DEFAULT,
        }
    }
}

impl Search {
    /// Whether one of the spans is what is asked for.
    pub fn fits(&self, spans: &[Arc<Span>]) -> bool {
        spans.iter().any(|span| self.fits_span(span))
    }

    fn fits_span(&self, span: &Span) -> bool {
        (self.service.is_empty() || **span.service() == *self.service)
            && (self.operation.is_empty() || *span.name == *self.operation)
            && (self.duration_min_ns..=self.duration_max_ns).contains(&span.duration_ns)
            && (self.start_ns..=self.end_ns).contains(&span.start_ns)
            && self.tags.iter().all(|(key, value)| has_tag(span, key, value))
    }
}

fn has_tag(span: &Span, key: &str, value: &str) -> bool {
    let own = match key {
        "error" => Some(if span.failed() { "true" } else { "false" }),
        "span.kind" => span.kind.jaeger_name(),
        "otel.status_code" => span.status.jaeger_name(),
        "otel.scope.name" => span.scope.as_ref().map(|scope| &*scope.name),
        _ => None,
    };
    let events = span.detail.iter().flat_map(|detail| &detail.events);
    own == Some(value)
        || has_attribute(&span.attributes, key, value)
        || has_attribute(&span.process.attributes, key, value)
        || events.into_iter().any(|event| has_attribute(&event.attributes, key, value))
}

fn has_attribute(attributes: &[Attribute], key: &str, value: &str) -> bool {
    attributes.iter().any(|attribute| *attribute.key == *key && attribute.value.reads(value))
}
