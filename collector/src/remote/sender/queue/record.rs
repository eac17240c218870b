//! How a lane's segments are written: records with checksums, each with entries of some series. Pure.
//!
//! A record is `length, checksum, entries, time` and its payload; the checksum covers all that stands behind it. The payload is a row of
//! entries: a definition (number, labels as remote write 1.0 writes them), a number, a histogram (as both versions write it) or an
//! exemplar (as 1.0 writes it). Numbers of series count within their segment.

use std::ops::Range;

use crate::wire::{self, put, unzigzag};

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 20;

/// The longest record: a scrape of a million series that are all new.
pub const RECORD_BYTES_MAX: usize = 256 << 20;

const DEFINITION: u8 = 0;
const FLOAT: u8 = 1;
const HISTOGRAM: u8 = 2;
const EXEMPLAR: u8 = 3;

/// What is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind<B> {
    /// A number.
    Float(f64),
    /// A native histogram, encoded.
    Histogram(B),
    /// An exemplar, encoded.
    Exemplar(B),
}

/// A record while it is made.
#[derive(Debug)]
pub struct Draft {
    bytes: Vec<u8>,
    /// Entries that are no definitions.
    pub entries: u32,
}

impl Default for Draft {
    fn default() -> Self {
        Self { bytes: vec![0; HEADER_BYTES], entries: 0 }
    }
}

impl Draft {
    /// Says which labels a number stands for.
    pub fn define(&mut self, id: u32, labels: &[u8]) {
        self.bytes.push(DEFINITION);
        put::varint(&mut self.bytes, id.into());
        self.blob(labels);
    }

    /// Adds something of a series that the segment has defined.
    pub fn add(&mut self, id: u32, timestamp_ms: i64, kind: &Kind<&[u8]>) {
        self.entries += 1;
        self.bytes.push(match kind {
            Kind::Float(_) => FLOAT,
            Kind::Histogram(_) => HISTOGRAM,
            Kind::Exemplar(_) => EXEMPLAR,
        });
        put::varint(&mut self.bytes, id.into());
        put::varint(&mut self.bytes, put::zigzag(timestamp_ms));
        match kind {
            Kind::Float(value) => self.bytes.extend_from_slice(&value.to_le_bytes()),
            Kind::Histogram(blob) | Kind::Exemplar(blob) => self.blob(blob),
        }
    }

    fn blob(&mut self, blob: &[u8]) {
        put::varint(&mut self.bytes, blob.len() as u64);
        self.bytes.extend_from_slice(blob);
    }

    /// The record, to be written at a time.
    pub fn finish(&mut self, at_ms: i64) -> &[u8] {
        let length = u32::try_from(self.bytes.len() - HEADER_BYTES).unwrap_or(u32::MAX);
        self.bytes[8..12].copy_from_slice(&self.entries.to_le_bytes());
        self.bytes[12..20].copy_from_slice(&at_ms.to_le_bytes());
        let checksum = crc32fast::hash(&self.bytes[8..]);
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        &self.bytes
    }

    /// Empties it, and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.truncate(HEADER_BYTES);
        self.entries = 0;
    }
}

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the payload.
    pub length: usize,
    checksum: u32,
    /// Entries that are no definitions.
    pub entries: u32,
    /// When it was written.
    pub at_ms: i64,
}

impl Header {
    /// Reads a header; none if its length cannot be.
    pub fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let four = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let length = usize::try_from(four(0)).ok().filter(|length| *length <= RECORD_BYTES_MAX)?;
        let at_ms = i64::from_le_bytes(*bytes[12..].first_chunk()?);
        Some(Self { length, checksum: four(4), entries: four(8), at_ms })
    }

    /// Whether header and payload are as they were written.
    pub fn is_whole(&self, payload: &[u8]) -> bool {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.entries.to_le_bytes());
        hasher.update(&self.at_ms.to_le_bytes());
        hasher.update(payload);
        hasher.finalize() == self.checksum
    }
}

/// One entry of a payload; texts are ranges of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Labels of a number.
    Definition {
        /// The number.
        id: u32,
        /// Its labels.
        labels: Range<usize>,
    },
    /// Something of a series.
    Data {
        /// The series' number.
        id: u32,
        /// Milliseconds since the epoch.
        timestamp_ms: i64,
        /// What.
        kind: Kind<Range<usize>>,
    },
}

/// Takes the entry at `at` of a payload; none at its end, or if it makes no sense.
pub fn entry(payload: &[u8], at: &mut usize) -> Option<Entry> {
    let mut rest = payload.get(*at..)?;
    let (tag, after) = rest.split_first()?;
    rest = after;
    let id = u32::try_from(wire::varint(&mut rest).ok()?).ok()?;
    if *tag == DEFINITION {
        let labels = blob(payload, rest, at)?;
        return Some(Entry::Definition { id, labels });
    }
    let timestamp_ms = unzigzag(wire::varint(&mut rest).ok()?);
    let kind = match *tag {
        FLOAT => {
            let (value, after) = rest.split_first_chunk::<8>()?;
            *at = payload.len() - after.len();
            Kind::Float(f64::from_le_bytes(*value))
        }
        HISTOGRAM => Kind::Histogram(blob(payload, rest, at)?),
        EXEMPLAR => Kind::Exemplar(blob(payload, rest, at)?),
        _ => return None,
    };
    Some(Entry::Data { id, timestamp_ms, kind })
}

fn blob(payload: &[u8], mut rest: &[u8], at: &mut usize) -> Option<Range<usize>> {
    let length = usize::try_from(wire::varint(&mut rest).ok()?).ok()?;
    let start = payload.len() - rest.len();
    let end = start.checked_add(length).filter(|end| *end <= payload.len())?;
    *at = end;
    Some(start..end)
}
