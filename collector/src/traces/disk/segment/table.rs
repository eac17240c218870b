//! The table of a segment: its blocks with their place, time and services, and the operations of each service. Pure.
//!
//! Bytes: texts; services (text, operations (text, kind)); blocks (offset, length, first start, last start minus first, services).
//! All numbers are LEB128, texts stand for their place in the list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::store::varint::{read_length, read_number, read_text, write_number, write_text};
use crate::traces::disk::codec::{self, KINDS};
use crate::traces::sampling::Fragment;
use crate::traces::span::{Kind, Text};

/// Operations that one segment names; what it has beyond is found, and not offered in the search form.
const OPERATIONS_MAX: usize = 20_000;

/// One block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::traces::disk) struct Entry {
    pub offset: u64,
    pub length: u32,
    /// When the first span began, and the last.
    pub from_ns: u64,
    pub until_ns: u64,
    /// Places in the table's list.
    services: Vec<u32>,
}

/// All blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::traces::disk) struct Table {
    pub entries: Vec<Entry>,
    services: Vec<Text>,
    places: BTreeMap<Text, u32>,
    operations: BTreeSet<(u32, Text, u8)>,
}

impl Table {
    /// Adds a block.
    pub fn add(&mut self, offset: u64, length: u32, fragments: &[Fragment]) {
        let (mut from_ns, mut until_ns, mut services) = (u64::MAX, 0, BTreeSet::new());
        for span in fragments.iter().flat_map(|fragment| &fragment.spans) {
            from_ns = from_ns.min(span.start_ns);
            until_ns = until_ns.max(span.start_ns);
            let place = self.place(span.service());
            services.insert(place);
            let operation = (place, span.name.clone(), codec::place(&KINDS, &span.kind));
            if self.operations.len() < OPERATIONS_MAX && !self.operations.contains(&operation) {
                self.operations.insert(operation);
            }
        }
        let services = services.into_iter().collect();
        self.entries.push(Entry { offset, length, from_ns: from_ns.min(until_ns), until_ns, services });
    }

    fn place(&mut self, service: &Text) -> u32 {
        if let Some(place) = self.places.get(service) {
            return *place;
        }
        let place = self.services.len() as u32;
        self.services.push(Arc::clone(service));
        self.places.insert(Arc::clone(service), place);
        place
    }

    /// Blocks that began to be written last first, with spans of a service in a time; of any service if it has no name.
    pub fn fitting<'t>(&'t self, service: &str, start_ns: u64, end_ns: u64) -> impl Iterator<Item = &'t Entry> {
        let place = self.places.get(service).copied();
        let (any, unknown) = (service.is_empty(), place.is_none() && !service.is_empty());
        self.entries.iter().rev().filter(move |entry| {
            let has_service = any || place.is_some_and(|place| entry.services.binary_search(&place).is_ok());
            !unknown && has_service && entry.until_ns >= start_ns && entry.from_ns <= end_ns
        })
    }

    /// The operations: service, name, kind.
    pub fn operations(&self) -> impl Iterator<Item = (&Text, &Text, Kind)> {
        let named = self.operations.iter();
        named.filter_map(|(service, name, kind)| {
            Some((self.services.get(*service as usize)?, name, *KINDS.get(usize::from(*kind))?))
        })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_number(&mut out, self.services.len() as u64);
        self.services.iter().for_each(|service| write_text(&mut out, service));
        write_number(&mut out, self.operations.len() as u64);
        for (service, name, kind) in &self.operations {
            write_number(&mut out, u64::from(*service));
            write_text(&mut out, name);
            out.push(*kind);
        }
        write_number(&mut out, self.entries.len() as u64);
        for entry in &self.entries {
            let numbers = [entry.offset, u64::from(entry.length), entry.from_ns, entry.until_ns - entry.from_ns];
            numbers.into_iter().for_each(|number| write_number(&mut out, number));
            write_number(&mut out, entry.services.len() as u64);
            entry.services.iter().for_each(|service| write_number(&mut out, u64::from(*service)));
        }
        out
    }

    pub fn from_bytes(mut rest: &[u8]) -> Option<Self> {
        let mut table = Self::default();
        let rest = &mut rest;
        for place in 0..read_length(rest)? {
            let service: Text = read_text(rest)?.into();
            table.services.push(Arc::clone(&service));
            table.places.insert(service, u32::try_from(place).ok()?);
        }
        for _ in 0..read_length(rest)? {
            let service = u32::try_from(read_number(rest)?).ok()?;
            let name = read_text(rest)?.into();
            let (kind, after) = rest.split_first()?;
            *rest = after;
            table.operations.insert((service, name, *kind));
        }
        for _ in 0..read_length(rest)? {
            let offset = read_number(rest)?;
            let length = u32::try_from(read_number(rest)?).ok()?;
            let from_ns = read_number(rest)?;
            let until_ns = from_ns.checked_add(read_number(rest)?)?;
            let mut services = Vec::new();
            for _ in 0..read_length(rest)? {
                services.push(u32::try_from(read_number(rest)?).ok()?);
            }
            table.entries.push(Entry { offset, length, from_ns, until_ns, services });
        }
        rest.is_empty().then_some(table)
    }
}
