//! Reads spans from an `ExportTraceServiceRequest` as it is on the wire, without making its messages first: they would take many times
//! the memory of their bytes, and most of the time. Pure; a message gives spans, and counts of those that are none or were cut.

mod value;

use std::borrow::Cow;
use std::sync::Arc;

use self::value::Room;
use crate::traces::interner::Interner;
use crate::traces::span::{CUT, Detail, ENDS_EARLY, Event, Kind, Link, Process, Scope, Span, Status, Text, TraceId};
use crate::wire::{Field, Fields, Malformed, Value as Wire};

/// Bytes of one text; longer ones are cut.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// Bytes of the name of a span or service; longer ones are cut. Requests that wait to be settled keep theirs, 300,000 of them: what is
/// longer is a statement or an id, and no operation.
const NAME_BYTES_MAX: usize = 256;

/// Events and links of one span; OpenTelemetry's SDKs keep 128 of each by default.
const EVENTS_MAX: usize = 128;

/// The service of a resource without `service.name`, as OpenTelemetry's specification has it.
const SERVICE_UNKNOWN: &str = "unknown_service";

/// What a request holds.
#[derive(Debug, Default)]
pub struct Converted {
    /// Its spans.
    pub spans: Vec<(TraceId, Arc<Span>)>,
    /// Spans whose trace id or span id is missing or of the wrong length.
    pub invalid: u64,
    /// Spans of which something was left out, as they were too large.
    pub cut: u64,
}

/// Converts a request.
///
/// # Errors
/// If it is no such message; nothing of it counts then.
pub fn convert(request: &[u8], interner: &mut Interner) -> Result<Converted, Malformed> {
    let mut converted = Converted::default();
    for field in Fields(request) {
        let field = field?;
        if field.number == 1 {
            resource_spans(field.bytes()?, &mut converted, interner)?;
        }
    }
    Ok(converted)
}

fn resource_spans(message: &[u8], converted: &mut Converted, interner: &mut Interner) -> Result<(), Malformed> {
    // Writers may put the resource behind its spans.
    let resource = resource(part(message, 1)?, interner)?;
    for field in Fields(message) {
        let field = field?;
        if field.number == 2 {
            scope_spans(field.bytes()?, &resource, converted, interner)?;
        }
    }
    Ok(())
}

fn scope_spans(
    message: &[u8],
    resource: &Resource,
    converted: &mut Converted,
    interner: &mut Interner,
) -> Result<(), Malformed> {
    let scope = scope(part(message, 1)?, interner)?;
    for field in Fields(message) {
        let field = field?;
        if field.number != 2 {
            continue;
        }
        let raw = Raw::read(field.bytes()?)?;
        match raw.span(resource, scope.as_ref(), interner)? {
            Some((trace, span, is_cut)) => {
                converted.cut += u64::from(is_cut);
                converted.spans.push((trace, Arc::new(span)));
            }
            None => converted.invalid += 1,
        }
    }
    Ok(())
}

/// The embedded message with this number; the last one counts.
fn part(message: &[u8], number: u32) -> Result<&[u8], Malformed> {
    let mut found: &[u8] = &[];
    for field in Fields(message) {
        let field = field?;
        if field.number == number {
            found = field.bytes()?;
        }
    }
    Ok(found)
}

/// What the spans of a resource share.
struct Resource {
    process: Arc<Process>,
    /// Whether something of it was left out, and so of each of its spans.
    is_cut: bool,
}

fn resource(message: &[u8], interner: &mut Interner) -> Result<Resource, Malformed> {
    let mut room = Room::default();
    let mut attributes = room.attributes(message, (1, 0), interner)?.into_vec();
    let position = attributes.iter().position(|a| &*a.key == "service.name");
    let named = position.and_then(|at| attributes.remove(at).value.as_text().cloned()).filter(|name| !name.is_empty());
    let service = named.unwrap_or_else(|| interner.text(SERVICE_UNKNOWN));
    let is_long = service.len() > NAME_BYTES_MAX;
    let service = if is_long { interner.text(cut_to(&service, NAME_BYTES_MAX)) } else { service };
    let process = interner.process(Process { service, attributes: attributes.into() });
    Ok(Resource { process, is_cut: room.is_cut || is_long })
}

fn scope(message: &[u8], interner: &mut Interner) -> Result<Option<Arc<Scope>>, Malformed> {
    let (mut name, mut version) = (Cow::default(), Cow::default());
    for field in Fields(message) {
        let field = field?;
        match field.number {
            1 => name = text(&field)?,
            2 => version = text(&field)?,
            _ => {}
        }
    }
    if name.is_empty() {
        return Ok(None);
    }
    let scope = Scope { name: interner.text(cut(&name)), version: interner.text(cut(&version)) };
    Ok(Some(interner.scope(scope)))
}

/// A span's fields that stand alone; the repeated ones are read from the message again.
#[derive(Default)]
struct Raw<'m> {
    message: &'m [u8],
    trace_id: &'m [u8],
    id: &'m [u8],
    parent: &'m [u8],
    trace_state: Cow<'m, str>,
    name: Cow<'m, str>,
    kind: u32,
    start_ns: u64,
    end_ns: u64,
    status: &'m [u8],
    attributes: usize,
    has_more: bool,
}

impl<'m> Raw<'m> {
    fn read(message: &'m [u8]) -> Result<Self, Malformed> {
        let mut raw = Self { message, ..Self::default() };
        for field in Fields(message) {
            let field = field?;
            match field.number {
                1 => raw.trace_id = field.bytes()?,
                2 => raw.id = field.bytes()?,
                3 => raw.trace_state = text(&field)?,
                4 => raw.parent = field.bytes()?,
                5 => raw.name = text(&field)?,
                6 => raw.kind = field.uint32()?,
                7 => raw.start_ns = fixed64(&field)?,
                8 => raw.end_ns = fixed64(&field)?,
                9 => raw.attributes += 1,
                11 | 13 => raw.has_more = true,
                15 => raw.status = field.bytes()?,
                _ => {}
            }
        }
        Ok(raw)
    }

    /// The span, and whether something of it was left out; nothing if it has no ids.
    fn span(
        &self,
        resource: &Resource,
        scope: Option<&Arc<Scope>>,
        interner: &mut Interner,
    ) -> Result<Option<(TraceId, Span, bool)>, Malformed> {
        let (Some(trace), Some(id)) = (trace_id(self.trace_id), span_id(self.id)) else { return Ok(None) };
        let mut room = Room::default();
        let attributes = room.attributes(self.message, (9, self.attributes), interner)?;
        let (code, message) = status(self.status)?;
        let mut detail = self.detail(&message, &mut room, interner)?;
        room.is_cut |= resource.is_cut;
        room.is_cut |= [&self.trace_state, &message].iter().any(|text| text.len() > TEXT_BYTES_MAX);
        room.is_cut |= self.name.len() > NAME_BYTES_MAX;
        let mut warn = |warning| detail.get_or_insert_with(Box::default).warnings.push(warning);
        if self.end_ns < self.start_ns {
            warn(ENDS_EARLY);
        }
        if room.is_cut {
            warn(CUT);
        }
        let span = Span {
            id,
            parent: span_id(self.parent).unwrap_or(0),
            start_ns: self.start_ns,
            duration_ns: self.end_ns.saturating_sub(self.start_ns),
            name: interner.text(cut_to(&self.name, NAME_BYTES_MAX)),
            process: Arc::clone(&resource.process),
            scope: scope.map(Arc::clone),
            attributes,
            detail,
            kind: kind(self.kind),
            status: code,
        };
        Ok(Some((trace, span, room.is_cut)))
    }

    /// What few spans have.
    fn detail(
        &self,
        status_message: &str,
        room: &mut Room,
        interner: &mut Interner,
    ) -> Result<Option<Box<Detail>>, Malformed> {
        if !self.has_more && status_message.is_empty() && self.trace_state.is_empty() {
            return Ok(None);
        }
        let (mut events, mut links) = (Vec::new(), Vec::new());
        for field in Fields(self.message) {
            let field = field?;
            match field.number {
                11 if events.len() < EVENTS_MAX => events.push(event(field.bytes()?, room, interner)?),
                13 if links.len() < EVENTS_MAX => links.extend(link(field.bytes()?)?),
                11 | 13 => room.is_cut = true,
                _ => {}
            }
        }
        let mut shared = |text: &str| -> Option<Text> { (!text.is_empty()).then(|| interner.text(cut(text))) };
        Ok(Some(Box::new(Detail {
            status_message: shared(status_message),
            trace_state: shared(&self.trace_state),
            events: events.into(),
            links: links.into(),
            warnings: Vec::new(),
        })))
    }
}

fn status(message: &[u8]) -> Result<(Status, Cow<'_, str>), Malformed> {
    let (mut code, mut words) = (Status::Unset, Cow::default());
    for field in Fields(message) {
        let field = field?;
        match field.number {
            2 => words = text(&field)?,
            3 => {
                code = match field.uint32()? {
                    1 => Status::Ok,
                    2 => Status::Error,
                    _ => Status::Unset,
                }
            }
            _ => {}
        }
    }
    Ok((code, words))
}

fn event(message: &[u8], room: &mut Room, interner: &mut Interner) -> Result<Event, Malformed> {
    let (mut at_ns, mut name) = (0, Cow::default());
    for field in Fields(message) {
        let field = field?;
        match field.number {
            1 => at_ns = fixed64(&field)?,
            2 => name = text(&field)?,
            _ => {}
        }
    }
    let name = if room.take(name.len()) { interner.text(cut(&name)) } else { interner.text("") };
    Ok(Event { at_ns, name, attributes: room.attributes(message, (3, 0), interner)? })
}

fn link(message: &[u8]) -> Result<Option<Link>, Malformed> {
    let (mut trace, mut span) = (None, None);
    for field in Fields(message) {
        let field = field?;
        match field.number {
            1 => trace = trace_id(field.bytes()?),
            2 => span = span_id(field.bytes()?),
            _ => {}
        }
    }
    Ok(trace.zip(span).map(|(trace, span)| Link { trace, span }))
}

fn kind(wire: u32) -> Kind {
    match wire {
        1 => Kind::Internal,
        2 => Kind::Server,
        3 => Kind::Client,
        4 => Kind::Producer,
        5 => Kind::Consumer,
        _ => Kind::Unspecified,
    }
}

fn fixed64(field: &Field<'_>) -> Result<u64, Malformed> {
    if let Wire::Fixed64(value) = field.value { Ok(value) } else { Err(Malformed::Type(field.number)) }
}

/// A text; where a careless program wrote something else than UTF-8 its spans are still worth having.
fn text<'m>(field: &Field<'m>) -> Result<Cow<'m, str>, Malformed> {
    let bytes = field.bytes()?;
    // Nearly all are well, which is seen many bytes at a time; the lossy reading looks at each.
    Ok(std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed))
}

fn trace_id(bytes: &[u8]) -> Option<TraceId> {
    bytes.try_into().ok().map(u128::from_be_bytes).filter(|id| *id != 0)
}

fn span_id(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes).filter(|id| *id != 0)
}

fn cut(text: &str) -> &str {
    cut_to(text, TEXT_BYTES_MAX)
}

fn cut_to(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests;
