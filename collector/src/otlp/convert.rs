//! Turns decoded OTLP messages into spans. Pure; any message gives spans and a count of the spans that are none.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as WireValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event as WireEvent, Link as WireLink};
use opentelemetry_proto::tonic::trace::v1::{Span as WireSpan, Status as WireStatus};

use crate::traces::interner::Interner;
use crate::traces::span::{Attribute, Detail, Event, Kind, Link, Process, Scope, Span, Status, TraceId, Value};

/// Attributes of one span, event or resource; OpenTelemetry's SDKs keep 128 a span by default.
const ATTRIBUTES_MAX: usize = 128;

/// Bytes of one attribute's text; longer ones are cut.
const VALUE_BYTES_MAX: usize = 16 << 10;

/// Events and links of one span; OpenTelemetry's SDKs keep 128 of each by default.
const EVENTS_MAX: usize = 128;

/// The service of a resource without `service.name`, as OpenTelemetry's specification has it.
const SERVICE_UNKNOWN: &str = "unknown_service";

/// What a request holds.
#[derive(Default)]
pub struct Converted {
    /// Its spans.
    pub spans: Vec<(TraceId, Arc<Span>)>,
    /// Spans whose trace id or span id is missing or of the wrong length.
    pub invalid: u64,
}

/// Converts a request.
pub fn convert(request: ExportTraceServiceRequest, interner: &mut Interner) -> Converted {
    let mut converted = Converted::default();
    for resource_spans in request.resource_spans {
        let process = process(resource_spans.resource, interner);
        for scope_spans in resource_spans.scope_spans {
            let scope = scope(scope_spans.scope, interner);
            converted.spans.reserve(scope_spans.spans.len());
            for wire in scope_spans.spans {
                match span(wire, &process, scope.as_ref(), interner) {
                    Some(span) => converted.spans.push(span),
                    None => converted.invalid += 1,
                }
            }
        }
    }
    converted
}

fn process(resource: Option<Resource>, interner: &mut Interner) -> Arc<Process> {
    let mut found = attributes(resource.map(|r| r.attributes).unwrap_or_default(), interner).into_vec();
    let position = found.iter().position(|a| &*a.key == "service.name");
    let named = position.and_then(|at| found.remove(at).value.as_text().cloned()).filter(|name| !name.is_empty());
    let service = named.unwrap_or_else(|| interner.text(SERVICE_UNKNOWN));
    interner.process(Process { service, attributes: found.into() })
}

fn scope(scope: Option<InstrumentationScope>, interner: &mut Interner) -> Option<Arc<Scope>> {
    let scope = scope.filter(|s| !s.name.is_empty())?;
    let scope = Scope { name: interner.text(&scope.name), version: interner.text(&scope.version) };
    Some(interner.scope(scope))
}

fn span(
    wire: WireSpan,
    process: &Arc<Process>,
    scope: Option<&Arc<Scope>>,
    interner: &mut Interner,
) -> Option<(TraceId, Arc<Span>)> {
    let trace = trace_id(&wire.trace_id)?;
    let id = span_id(&wire.span_id)?;
    let ends_early = wire.end_time_unix_nano < wire.start_time_unix_nano;
    let status = wire.status.unwrap_or_default();
    let span = Span {
        id,
        parent: span_id(&wire.parent_span_id).unwrap_or(0),
        start_ns: wire.start_time_unix_nano,
        duration_ns: wire.end_time_unix_nano.saturating_sub(wire.start_time_unix_nano),
        name: interner.text(cut(&wire.name)),
        process: Arc::clone(process),
        scope: scope.map(Arc::clone),
        attributes: attributes(wire.attributes, interner),
        kind: kind(wire.kind),
        status: match status.code {
            1 => Status::Ok,
            2 => Status::Error,
            _ => Status::Unset,
        },
        detail: detail(&status, &wire.trace_state, wire.events, &wire.links, ends_early, interner),
    };
    Some((trace, Arc::new(span)))
}

fn kind(wire: i32) -> Kind {
    match wire {
        1 => Kind::Internal,
        2 => Kind::Server,
        3 => Kind::Client,
        4 => Kind::Producer,
        5 => Kind::Consumer,
        _ => Kind::Unspecified,
    }
}

fn detail(
    status: &WireStatus,
    trace_state: &str,
    events: Vec<WireEvent>,
    links: &[WireLink],
    ends_early: bool,
    interner: &mut Interner,
) -> Option<Box<Detail>> {
    if status.message.is_empty() && trace_state.is_empty() && events.is_empty() && links.is_empty() && !ends_early {
        return None;
    }
    let events = events.into_iter().take(EVENTS_MAX).map(|event| Event {
        at_ns: event.time_unix_nano,
        name: interner.text(cut(&event.name)),
        attributes: attributes(event.attributes, interner),
    });
    let events = events.collect();
    let links = links.iter().take(EVENTS_MAX);
    let links = links.filter_map(|l| Some(Link { trace: trace_id(&l.trace_id)?, span: span_id(&l.span_id)? }));
    let mut shared = |text: &str| (!text.is_empty()).then(|| interner.text(cut(text)));
    Some(Box::new(Detail {
        status_message: shared(&status.message),
        trace_state: shared(trace_state),
        events,
        links: links.collect(),
        warnings: if ends_early { vec!["the span ends before it starts; its duration is taken as 0"] } else { vec![] },
    }))
}

fn attributes(wire: Vec<KeyValue>, interner: &mut Interner) -> Box<[Attribute]> {
    let kept = wire.into_iter().take(ATTRIBUTES_MAX);
    kept.map(|pair| Attribute { key: interner.text(cut(&pair.key)), value: value(pair.value, interner) }).collect()
}

fn value(wire: Option<AnyValue>, interner: &mut Interner) -> Value {
    match wire.and_then(|v| v.value) {
        Some(WireValue::StringValue(text)) => Value::Text(interner.text(cut(&text))),
        Some(WireValue::BoolValue(value)) => Value::Bool(value),
        Some(WireValue::IntValue(value)) => Value::Int(value),
        Some(WireValue::DoubleValue(value)) => Value::Double(value),
        Some(WireValue::BytesValue(bytes)) => Value::Bytes(bytes[..bytes.len().min(VALUE_BYTES_MAX)].into()),
        Some(nested @ (WireValue::ArrayValue(_) | WireValue::KvlistValue(_))) => {
            Value::Json(interner.text(cut(&json(Some(&nested)).to_string())))
        }
        // An index into the string table of profiles; spans have no such table.
        Some(WireValue::StringValueStrindex(_)) | None => Value::Text(interner.text("")),
    }
}

/// Nested values as JSON; the decoders bound the depth of nesting.
fn json(wire: Option<&WireValue>) -> serde_json::Value {
    match wire {
        Some(WireValue::StringValue(text)) => text.as_str().into(),
        Some(WireValue::BoolValue(value)) => (*value).into(),
        Some(WireValue::IntValue(value)) => (*value).into(),
        Some(WireValue::DoubleValue(value)) => (*value).into(),
        Some(WireValue::BytesValue(bytes)) => hex(bytes).into(),
        Some(WireValue::ArrayValue(array)) => array.values.iter().map(|v| json(v.value.as_ref())).collect(),
        Some(WireValue::KvlistValue(list)) => {
            let pairs = list.values.iter();
            let pairs = pairs.map(|p| (p.key.clone(), json(p.value.as_ref().and_then(|v| v.value.as_ref()))));
            serde_json::Value::Object(pairs.collect())
        }
        Some(WireValue::StringValueStrindex(_)) | None => serde_json::Value::Null,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn trace_id(bytes: &[u8]) -> Option<TraceId> {
    bytes.try_into().ok().map(u128::from_be_bytes).filter(|id| *id != 0)
}

fn span_id(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes).filter(|id| *id != 0)
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(VALUE_BYTES_MAX)]
}

#[cfg(test)]
mod tests;
