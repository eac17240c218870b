//! Turns kept spans into Jaeger's JSON, with the tags that Jaeger itself makes of OTLP's fields. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use protocol::jaeger::{Log, Process as JaegerProcess, Reference, Span as JaegerSpan, Tag, Trace};
use serde_json::Value as Json;

use crate::traces::lookup::Whole;
use crate::traces::sampling::Kept;
use crate::traces::span::{Attribute, Process, Span, SpanId, TraceId, Value};

/// A trace with its spans in order of start. Where one is kept as a sample, the spans that it begins with say at what odds, so that
/// whoever counts can weigh it.
pub(in crate::traces) fn trace(whole: Whole) -> Trace {
    let Whole { id, mut spans, kept } = whole;
    spans.sort_by_key(|span| (span.start_ns, span.id));
    let ids: HashSet<SpanId> = spans.iter().map(|span| span.id).collect();
    let mut keys: HashMap<Arc<Process>, String> = HashMap::new();
    let mut processes = BTreeMap::new();
    let mut shaped = Vec::with_capacity(spans.len());
    for span in &spans {
        let next = keys.len() + 1;
        let key = keys.entry(Arc::clone(&span.process)).or_insert_with(|| format!("p{next}"));
        processes.entry(key.clone()).or_insert_with(|| process(&span.process));
        let mut shape = self::span(id, span, key);
        if let Some(kept) = kept.filter(|_| !ids.contains(&span.parent)) {
            shape.tags.extend(sampling_tags(kept));
        }
        shaped.push(shape);
    }
    Trace { trace_id: trace_text(id), spans: shaped, processes, warnings: None }
}

fn sampling_tags(kept: Kept) -> [Tag; 2] {
    let probability =
        Tag { key: "sampling.probability".to_owned(), kind: "float64".to_owned(), value: number(kept.probability()) };
    [probability, text_tag("sampling.reason", kept.because.word())]
}

fn trace_text(id: TraceId) -> String {
    format!("{id:032x}")
}

fn span_text(id: SpanId) -> String {
    format!("{id:016x}")
}

fn process(process: &Process) -> JaegerProcess {
    JaegerProcess { service_name: process.service.to_string(), tags: tags(&process.attributes).collect() }
}

fn span(trace: TraceId, span: &Span, process: &str) -> JaegerSpan {
    let parent = (span.parent != 0).then(|| reference("CHILD_OF", trace, span.parent));
    let detail = span.detail.as_deref();
    let links = detail.iter().flat_map(|detail| &detail.links);
    let links = links.map(|link| reference("FOLLOWS_FROM", link.trace, link.span));
    let warnings = detail.filter(|detail| !detail.warnings.is_empty());
    JaegerSpan {
        trace_id: trace_text(trace),
        span_id: span_text(span.id),
        operation_name: span.name.to_string(),
        references: parent.into_iter().chain(links).collect(),
        start_time: span.start_ns / 1_000,
        duration: span.duration_ns / 1_000,
        tags: tags(&span.attributes).chain(made_tags(span)).collect(),
        logs: detail.iter().flat_map(|detail| &detail.events).map(log).collect(),
        process_id: process.to_owned(),
        warnings: warnings.map(|detail| detail.warnings.iter().map(ToString::to_string).collect()),
    }
}

fn reference(kind: &str, trace: TraceId, span: SpanId) -> Reference {
    Reference { ref_type: kind.to_owned(), trace_id: trace_text(trace), span_id: span_text(span) }
}

fn log(event: &crate::traces::span::Event) -> Log {
    let name = text_tag("event", &event.name);
    Log { timestamp: event.at_ns / 1_000, fields: std::iter::once(name).chain(tags(&event.attributes)).collect() }
}

/// The tags that stand for OTLP's fields.
fn made_tags(span: &Span) -> impl Iterator<Item = Tag> {
    let detail = span.detail.as_deref();
    let scope = span.scope.as_deref();
    let is_set = |text: &&str| !text.is_empty();
    let texts = [
        ("otel.scope.name", scope.map(|scope| &*scope.name)),
        ("otel.scope.version", scope.map(|scope| &*scope.version).filter(is_set)),
        ("span.kind", span.kind.jaeger_name()),
        ("otel.status_code", span.status.jaeger_name()),
        ("otel.status_description", detail.and_then(|detail| detail.status_message.as_deref())),
        ("w3c.tracestate", detail.and_then(|detail| detail.trace_state.as_deref())),
    ];
    let texts: Vec<Tag> = texts.into_iter().filter_map(|(key, text)| Some(text_tag(key, text?))).collect();
    let error =
        span.failed().then(|| Tag { key: "error".to_owned(), kind: "bool".to_owned(), value: Json::Bool(true) });
    texts.into_iter().chain(error)
}

fn text_tag(key: &str, text: &str) -> Tag {
    Tag { key: key.to_owned(), kind: "string".to_owned(), value: text.into() }
}

fn tags(attributes: &[Attribute]) -> impl Iterator<Item = Tag> {
    attributes.iter().map(|attribute| {
        let (kind, value) = match &attribute.value {
            Value::Text(text) | Value::Json(text) => ("string", Json::from(&**text)),
            Value::Bool(value) => ("bool", Json::from(*value)),
            Value::Int(value) => ("int64", Json::from(*value)),
            Value::Double(value) => ("float64", number(*value)),
            Value::Bytes(bytes) => {
                ("binary", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
            }
        };
        Tag { key: attribute.key.to_string(), kind: kind.to_owned(), value }
    })
}

/// JSON has no NaN and no infinities; those are written as texts.
fn number(value: f64) -> Json {
    serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Json::Number)
}
