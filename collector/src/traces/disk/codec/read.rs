//! The reading half of the format of `codec`.

use std::sync::Arc;

use super::{
    BYTES, DOUBLE, FALSE, Fragment, HAS_DETAIL, HAS_SCOPE, INT, JSON, KINDS, REASONS, STATUSES, TEXT, TRUE, WARNINGS,
};
use crate::store::varint::{read_float, read_length, read_number, read_signed, read_text, take};
use crate::traces::sampling::Kept;
use crate::traces::span::{Attribute, Detail, Event, Link, Process, Scope, Span, SpanId, Text, Value};

/// What a block begins with, and the rest of it.
pub(super) struct Reader<'b> {
    texts: Vec<Text>,
    processes: Vec<Arc<Process>>,
    scopes: Vec<Arc<Scope>>,
    first_ns: u64,
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    /// Reads the lists.
    pub fn open(plain: &'b [u8]) -> Option<Self> {
        let mut reader =
            Self { texts: Vec::new(), processes: Vec::new(), scopes: Vec::new(), first_ns: 0, rest: plain };
        for _ in 0..read_length(&mut reader.rest)? {
            reader.texts.push(read_text(&mut reader.rest)?.into());
        }
        for _ in 0..read_length(&mut reader.rest)? {
            let service = reader.text()?;
            let attributes = reader.attributes()?;
            reader.processes.push(Arc::new(Process { service, attributes }));
        }
        for _ in 0..read_length(&mut reader.rest)? {
            let (name, version) = (reader.text()?, reader.text()?);
            reader.scopes.push(Arc::new(Scope { name, version }));
        }
        reader.first_ns = reader.word()?;
        Some(reader)
    }

    /// Reads what follows.
    pub fn fragments(mut self) -> Option<Vec<Fragment>> {
        let mut fragments = Vec::new();
        for _ in 0..read_length(&mut self.rest)? {
            fragments.push(self.fragment()?);
        }
        Some(fragments)
    }

    fn fragment(&mut self) -> Option<Fragment> {
        let id = u128::from_be_bytes(self.array()?);
        let because = *REASONS.get(usize::from(self.byte()?))?;
        let kept = Kept { because, halvings: self.byte()? };
        let mut spans = Vec::new();
        let mut parents = Vec::new();
        for _ in 0..read_length(&mut self.rest)? {
            let (span, parent) = self.span()?;
            spans.push(span);
            parents.push(parent);
        }
        let ids: Vec<SpanId> = spans.iter().map(|span| span.id).collect();
        let finished = spans.into_iter().zip(parents).map(|(span, parent)| {
            let parent = match parent {
                Parent::Id(id) => id,
                Parent::Place(at) => *ids.get(at)?,
            };
            Some(Arc::new(Span { parent, ..span }))
        });
        Some(Fragment { id, kept, spans: finished.collect::<Option<_>>()? })
    }

    fn span(&mut self) -> Option<(Span, Parent)> {
        let flags = self.byte()?;
        let id = self.word()?;
        let parent = match read_number(&mut self.rest)? {
            0 => Parent::Id(0),
            1 => Parent::Id(self.word()?),
            place => Parent::Place(usize::try_from(place - 2).ok()?),
        };
        let start_ns = self.first_ns.wrapping_add(read_signed(&mut self.rest)?.cast_unsigned());
        let duration_ns = read_number(&mut self.rest)?;
        let name = self.text()?;
        let process = Arc::clone(self.processes.get(usize::try_from(read_number(&mut self.rest)?).ok()?)?);
        let scope = if flags & HAS_SCOPE == 0 {
            None
        } else {
            Some(Arc::clone(self.scopes.get(usize::try_from(read_number(&mut self.rest)?).ok()?)?))
        };
        let attributes = self.attributes()?;
        let detail = if flags & HAS_DETAIL == 0 { None } else { Some(Box::new(self.detail(start_ns)?)) };
        let kind = *KINDS.get(usize::from(flags & 7))?;
        let status = *STATUSES.get(usize::from(flags >> 3 & 3))?;
        let span =
            Span { id, parent: 0, start_ns, duration_ns, name, process, scope, attributes, detail, kind, status };
        Some((span, parent))
    }

    fn attributes(&mut self) -> Option<Box<[Attribute]>> {
        let mut attributes = Vec::new();
        for _ in 0..read_length(&mut self.rest)? {
            let key = self.text()?;
            let value = match self.byte()? {
                TEXT => Value::Text(self.text()?),
                JSON => Value::Json(self.text()?),
                FALSE => Value::Bool(false),
                TRUE => Value::Bool(true),
                INT => Value::Int(read_signed(&mut self.rest)?),
                DOUBLE => Value::Double(read_float(&mut self.rest)?),
                BYTES => {
                    let length = read_length(&mut self.rest)?;
                    Value::Bytes(take(&mut self.rest, length)?.into())
                }
                _ => return None,
            };
            attributes.push(Attribute { key, value });
        }
        Some(attributes.into())
    }

    fn detail(&mut self, start_ns: u64) -> Option<Detail> {
        let (status_message, trace_state) = (self.optional_text()?, self.optional_text()?);
        let mut events = Vec::new();
        for _ in 0..read_length(&mut self.rest)? {
            let at_ns = start_ns.wrapping_add(read_signed(&mut self.rest)?.cast_unsigned());
            events.push(Event { at_ns, name: self.text()?, attributes: self.attributes()? });
        }
        let mut links = Vec::new();
        for _ in 0..read_length(&mut self.rest)? {
            links.push(Link { trace: u128::from_be_bytes(self.array()?), span: self.word()? });
        }
        let mut warnings = Vec::new();
        for _ in 0..read_length(&mut self.rest)? {
            warnings.push(*WARNINGS.get(usize::from(self.byte()?))?);
        }
        Some(Detail { status_message, trace_state, events: events.into(), links: links.into(), warnings })
    }

    fn text(&mut self) -> Option<Text> {
        let place = usize::try_from(read_number(&mut self.rest)?).ok()?;
        self.texts.get(place).map(Arc::clone)
    }

    /// A text behind one that is none.
    fn optional_text(&mut self) -> Option<Option<Text>> {
        match read_number(&mut self.rest)?.checked_sub(1) {
            None => Some(None),
            Some(place) => self.texts.get(usize::try_from(place).ok()?).map(|text| Some(Arc::clone(text))),
        }
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn word(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        take(&mut self.rest, N)?.try_into().ok()
    }
}

/// A parent by its id, or by its place in the fragment.
enum Parent {
    Id(SpanId),
    Place(usize),
}
