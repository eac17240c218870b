//! Fragments of traces as bytes and back: each text once, ids as they are, times as differences, all of it through snappy. Pure;
//! reading gives `None` where the bytes are something else, and never panics.
//!
//! A block, before snappy: texts; processes (service, attributes); scopes (name, version); fragments. Numbers are LEB128, texts
//! stand for their place in the list. Fragment: trace id (16 bytes, big-endian), reason (1), halvings (1), spans. Span: flags (kind,
//! status << 3, detail << 5, scope << 6), id (8, little-endian), parent (0 none, 1 and 8 bytes, or 2 + its place in the fragment),
//! start after the block's first (signed), duration, name, process, [scope], attributes, [detail].

mod read;

use std::collections::HashMap;
use std::sync::Arc;

use self::read::Reader;
use crate::store::varint::{write_float, write_number, write_signed, write_text};
use crate::traces::sampling::{Because, Fragment};
use crate::traces::span::{Attribute, Detail, Kind, Process, Scope, Span, SpanId, Status, Text, Value, WARNINGS};

/// Bytes of a block before snappy at which it is written: large enough that texts are shared, small enough to be read for one trace.
pub(super) const BLOCK_BYTES: usize = 256 << 10;

/// No block is larger before snappy: the last span of one that is closed at [`BLOCK_BYTES`] is bounded when it comes in.
pub(super) const BLOCK_BYTES_MAX: usize = 4 << 20;

/// The same packed: what does not pack grows by a sixth at most.
pub(super) const PACKED_BYTES_MAX: usize = BLOCK_BYTES_MAX + BLOCK_BYTES_MAX / 6 + 32;

/// All kinds; the disk knows them by their place.
pub(super) const KINDS: [Kind; 6] =
    [Kind::Unspecified, Kind::Internal, Kind::Server, Kind::Client, Kind::Producer, Kind::Consumer];

const STATUSES: [Status; 3] = [Status::Unset, Status::Ok, Status::Error];

const REASONS: [Because; 3] = [Because::Error, Because::Slow, Because::Sample];

const HAS_DETAIL: u8 = 1 << 5;
const HAS_SCOPE: u8 = 1 << 6;

const TEXT: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const DOUBLE: u8 = 4;
const BYTES: u8 = 5;
const JSON: u8 = 6;

pub(super) fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|known| known == one).map_or(0, |at| at as u8)
}

/// Texts, each once.
#[derive(Debug, Default)]
struct Texts {
    places: HashMap<Text, u64>,
    bytes: Vec<u8>,
}

impl Texts {
    fn place(&mut self, text: &Text) -> u64 {
        if let Some(known) = self.places.get(text) {
            return *known;
        }
        let place = self.places.len() as u64;
        write_text(&mut self.bytes, text);
        self.places.insert(Arc::clone(text), place);
        place
    }
}

/// A block that is being put together.
#[derive(Debug, Default)]
pub(super) struct BlockWriter {
    texts: Texts,
    processes: HashMap<Arc<Process>, u64>,
    process_bytes: Vec<u8>,
    scopes: HashMap<Arc<Scope>, u64>,
    scope_bytes: Vec<u8>,
    fragments: u64,
    body: Vec<u8>,
    first_ns: Option<u64>,
}

impl BlockWriter {
    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.texts.bytes.len() + self.process_bytes.len() + self.scope_bytes.len() + self.body.len()
    }

    /// Adds as many of the fragment's spans as there is room for, one at least, and says how many.
    pub fn add(&mut self, fragment: &Fragment, from: usize) -> usize {
        let spans = &fragment.spans[from..];
        let first_ns = *self.first_ns.get_or_insert(spans.first().map_or(0, |span| span.start_ns));
        let (written, mut bytes) = self.spans(spans, first_ns, BLOCK_BYTES);
        if written < spans.len() {
            // Parents among those that are cut off have no place in this block: they are written by their ids.
            (_, bytes) = self.spans(&spans[..written], first_ns, usize::MAX);
        }
        self.body.extend_from_slice(&fragment.id.to_be_bytes());
        self.body.push(place(&REASONS, &fragment.kept.because));
        self.body.push(fragment.kept.halvings);
        write_number(&mut self.body, written as u64);
        self.body.extend_from_slice(&bytes);
        self.fragments += 1;
        written
    }

    /// Writes spans until the block is so large, one at least, and says how many.
    fn spans(&mut self, spans: &[Arc<Span>], first_ns: u64, bytes_max: usize) -> (usize, Vec<u8>) {
        let places: HashMap<SpanId, u64> = spans.iter().zip(0..).map(|(span, at)| (span.id, at)).collect();
        let (mut written, mut bytes) = (0, Vec::new());
        for span in spans {
            self.span(span, first_ns, &places, &mut bytes);
            written += 1;
            if self.bytes() + bytes.len() >= bytes_max {
                break;
            }
        }
        (written, bytes)
    }

    fn span(&mut self, span: &Span, first_ns: u64, places: &HashMap<SpanId, u64>, out: &mut Vec<u8>) {
        let flags = place(&KINDS, &span.kind)
            | place(&STATUSES, &span.status) << 3
            | if span.detail.is_some() { HAS_DETAIL } else { 0 }
            | if span.scope.is_some() { HAS_SCOPE } else { 0 };
        out.push(flags);
        out.extend_from_slice(&span.id.to_le_bytes());
        match (span.parent, places.get(&span.parent)) {
            (0, _) => write_number(out, 0),
            (_, Some(place)) => write_number(out, place + 2),
            (parent, None) => {
                write_number(out, 1);
                out.extend_from_slice(&parent.to_le_bytes());
            }
        }
        write_signed(out, span.start_ns.wrapping_sub(first_ns).cast_signed());
        write_number(out, span.duration_ns);
        write_number(out, self.texts.place(&span.name));
        write_number(out, self.process(&span.process));
        if let Some(scope) = &span.scope {
            write_number(out, self.scope(scope));
        }
        self.attributes(&span.attributes, out);
        if let Some(detail) = &span.detail {
            self.detail(detail, span.start_ns, out);
        }
    }

    fn process(&mut self, process: &Arc<Process>) -> u64 {
        if let Some(known) = self.processes.get(process) {
            return *known;
        }
        let place = self.processes.len() as u64;
        let mut bytes = std::mem::take(&mut self.process_bytes);
        write_number(&mut bytes, self.texts.place(&process.service));
        self.attributes(&process.attributes, &mut bytes);
        self.process_bytes = bytes;
        self.processes.insert(Arc::clone(process), place);
        place
    }

    fn scope(&mut self, scope: &Arc<Scope>) -> u64 {
        if let Some(known) = self.scopes.get(scope) {
            return *known;
        }
        let place = self.scopes.len() as u64;
        write_number(&mut self.scope_bytes, self.texts.place(&scope.name));
        write_number(&mut self.scope_bytes, self.texts.place(&scope.version));
        self.scopes.insert(Arc::clone(scope), place);
        place
    }

    fn attributes(&mut self, attributes: &[Attribute], out: &mut Vec<u8>) {
        write_number(out, attributes.len() as u64);
        for attribute in attributes {
            write_number(out, self.texts.place(&attribute.key));
            match &attribute.value {
                Value::Text(text) => {
                    out.push(TEXT);
                    write_number(out, self.texts.place(text));
                }
                Value::Json(text) => {
                    out.push(JSON);
                    write_number(out, self.texts.place(text));
                }
                Value::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
                Value::Int(value) => {
                    out.push(INT);
                    write_signed(out, *value);
                }
                Value::Double(value) => {
                    out.push(DOUBLE);
                    write_float(out, *value);
                }
                Value::Bytes(bytes) => {
                    out.push(BYTES);
                    write_number(out, bytes.len() as u64);
                    out.extend_from_slice(bytes);
                }
            }
        }
    }

    fn detail(&mut self, detail: &Detail, start_ns: u64, out: &mut Vec<u8>) {
        for text in [&detail.status_message, &detail.trace_state] {
            let place = text.as_ref().map_or(0, |text| self.texts.place(text) + 1);
            write_number(out, place);
        }
        write_number(out, detail.events.len() as u64);
        for event in &detail.events {
            write_signed(out, event.at_ns.wrapping_sub(start_ns).cast_signed());
            write_number(out, self.texts.place(&event.name));
            self.attributes(&event.attributes, out);
        }
        write_number(out, detail.links.len() as u64);
        for link in &detail.links {
            out.extend_from_slice(&link.trace.to_be_bytes());
            out.extend_from_slice(&link.span.to_le_bytes());
        }
        write_number(out, detail.warnings.len() as u64);
        detail.warnings.iter().for_each(|warning| out.push(place(&WARNINGS, warning)));
    }

    /// The block's bytes, packed.
    pub fn finish(self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(self.bytes() + 64);
        let lists = [
            (self.texts.places.len() as u64, &self.texts.bytes),
            (self.processes.len() as u64, &self.process_bytes),
            (self.scopes.len() as u64, &self.scope_bytes),
        ];
        for (length, bytes) in lists {
            write_number(&mut plain, length);
            plain.extend_from_slice(bytes);
        }
        plain.extend_from_slice(&self.first_ns.unwrap_or(0).to_le_bytes());
        write_number(&mut plain, self.fragments);
        plain.extend_from_slice(&self.body);
        snap::raw::Encoder::new().compress_vec(&plain).expect("a block is far below the 4 GiB that snappy takes")
    }
}

/// The fragments of a block.
pub(super) fn read(packed: &[u8]) -> Option<Vec<Fragment>> {
    let bytes = snap::raw::decompress_len(packed).ok()?;
    if bytes > BLOCK_BYTES_MAX {
        return None;
    }
    let plain = snap::raw::Decoder::new().decompress_vec(packed).ok()?;
    Reader::open(&plain)?.fragments()
}

#[cfg(test)]
mod tests;
