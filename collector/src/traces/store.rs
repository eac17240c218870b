//! Keeps spans by trace, within bounds; the trace that began to arrive first makes room. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::search::Search;
use super::span::{Span, Text, TraceId};

/// Spans of one trace; a larger one is a loop in an instrumented program rather than something to look at.
pub const TRACE_SPANS_MAX: usize = 10_000;

/// Services, and operations of one service, whose names are kept for the search form.
const NAMES_MAX: usize = 10_000;

/// What became of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is kept.
    Kept,
    /// The same span arrived before; exporters send a batch again when they saw no answer.
    Duplicate,
    /// Its trace is as large as a trace may be.
    TraceFull,
}

/// The spans of one trace.
#[derive(Debug, Default)]
pub struct StoredTrace {
    /// In order of arrival.
    pub spans: Vec<Arc<Span>>,
    start_ns: u64,
    last_start_ns: u64,
    bytes: usize,
}

impl StoredTrace {
    /// When the newest span began.
    pub fn last_start_ns(&self) -> u64 {
        self.last_start_ns
    }
}

/// Spans by trace.
#[derive(Debug)]
pub struct SpanStore {
    spans_max: usize,
    bytes_max: usize,
    traces: HashMap<TraceId, StoredTrace>,
    by_arrival: VecDeque<TraceId>,
    by_start: BTreeSet<(u64, TraceId)>,
    names: BTreeMap<Text, BTreeSet<(Text, Option<&'static str>)>>,
    spans: usize,
    bytes: usize,
    spans_evicted: u64,
}

impl SpanStore {
    /// Empty.
    pub fn new(spans_max: usize, bytes_max: usize) -> Self {
        Self {
            spans_max,
            bytes_max,
            traces: HashMap::new(),
            by_arrival: VecDeque::new(),
            by_start: BTreeSet::new(),
            names: BTreeMap::new(),
            spans: 0,
            bytes: 0,
            spans_evicted: 0,
        }
    }

    /// Keeps a span, unless it is known or its trace is full.
    pub fn insert(&mut self, id: TraceId, span: Arc<Span>) -> Stored {
        self.learn_names(&span);
        let trace = self.traces.entry(id).or_insert_with(|| {
            self.by_arrival.push_back(id);
            self.by_start.insert((span.start_ns, id));
            StoredTrace { start_ns: span.start_ns, ..StoredTrace::default() }
        });
        // A client and its server may share an id, as Zipkin's did.
        if trace.spans.iter().any(|known| known.id == span.id && known.kind == span.kind) {
            return Stored::Duplicate;
        }
        if trace.spans.len() >= TRACE_SPANS_MAX {
            return Stored::TraceFull;
        }
        if span.start_ns < trace.start_ns {
            self.by_start.remove(&(trace.start_ns, id));
            self.by_start.insert((span.start_ns, id));
            trace.start_ns = span.start_ns;
        }
        trace.last_start_ns = trace.last_start_ns.max(span.start_ns);
        let bytes = span.estimated_bytes();
        trace.bytes += bytes;
        trace.spans.push(span);
        self.bytes += bytes;
        self.spans += 1;
        self.make_room();
        Stored::Kept
    }

    fn make_room(&mut self) {
        while (self.spans > self.spans_max || self.bytes > self.bytes_max) && self.by_arrival.len() > 1 {
            let Some(oldest) = self.by_arrival.pop_front() else { return };
            if let Some(trace) = self.traces.remove(&oldest) {
                self.by_start.remove(&(trace.start_ns, oldest));
                self.spans -= trace.spans.len();
                self.bytes -= trace.bytes;
                self.spans_evicted += trace.spans.len() as u64;
            }
        }
    }

    fn learn_names(&mut self, span: &Span) {
        if !self.names.contains_key(span.service()) {
            if self.names.len() >= NAMES_MAX {
                return;
            }
            self.names.insert(span.service().clone(), BTreeSet::new());
        }
        if let Some(operations) = self.names.get_mut(span.service())
            && operations.len() < NAMES_MAX
        {
            let operation = (span.name.clone(), span.kind.jaeger_name());
            if !operations.contains(&operation) {
                operations.insert(operation);
            }
        }
    }

    /// A trace.
    pub fn trace(&self, id: TraceId) -> Option<&StoredTrace> {
        self.traces.get(&id)
    }

    /// Traces that fit, the one that started last first.
    pub fn search<'s>(&'s self, search: &'s Search) -> impl Iterator<Item = (TraceId, &'s StoredTrace)> {
        let newest = (search.end_ns, TraceId::MAX);
        let known = self.by_start.range(..=newest).rev();
        known
            .filter_map(|(_, id)| Some((*id, self.traces.get(id)?)))
            .filter(|(_, trace)| search.fits(trace))
            .take(search.limit)
    }

    /// Names of the services seen, sorted.
    pub fn services(&self) -> impl Iterator<Item = &Text> {
        self.names.keys()
    }

    /// Operations of a service with Jaeger's name of their kind, sorted.
    pub fn operations(&self, service: &str) -> impl Iterator<Item = (&Text, Option<&'static str>)> {
        self.names.get(service).into_iter().flatten().map(|(name, kind)| (name, *kind))
    }

    /// How many spans are kept.
    pub fn spans(&self) -> usize {
        self.spans
    }

    /// How many traces are kept.
    pub fn traces(&self) -> usize {
        self.traces.len()
    }

    /// Roughly how much memory the spans take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many spans made room for newer ones.
    pub fn spans_evicted(&self) -> u64 {
        self.spans_evicted
    }
}

#[cfg(test)]
mod tests;
