//! Keeps recent spans by trace, within bounds; the trace that began to arrive first makes room. Where there is a disk, a trace
//! that rests is decided upon first, and what arrives later follows that decision. Pure: the time comes in.

mod fates;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use foldhash::HashMap;

use self::fates::Fates;
use super::sampling::{Fate, Fragment, Kept, Sampler};
use super::search::Search;
use super::span::{Kind, Span, Text, TraceId};

/// Spans of one trace; a larger one is a loop in an instrumented program rather than something to look at.
pub const TRACE_SPANS_MAX: usize = 10_000;

/// Services, and operations of one service, whose names are kept for the search form.
const NAMES_MAX: usize = 10_000;

/// Operations of all services together whose names are kept: 5 MB, and more than anybody scrolls through.
const OPERATION_NAMES_MAX: usize = 50_000;

/// How long after its last span a trace rests: exporters send every 5 s, and a second may pass on the way.
const REST_MS: i64 = 6_000;

/// A trace that never rests is decided upon after so long.
const OPEN_MAX_MS: i64 = 30_000;

/// Estimated bytes of spans that wait to be written: what the disk is behind by at most.
pub const WAITING_BYTES_MAX: usize = 16 << 20;

/// What became of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is kept.
    Kept,
    /// The same span arrived before; exporters send a batch again when they saw no answer.
    Duplicate,
    /// Its trace is as large as a trace may be.
    TraceFull,
    /// It came after its trace had been decided against.
    Late,
}

/// The spans of one trace.
#[derive(Debug, Default)]
pub struct StoredTrace {
    /// In order of arrival.
    pub spans: Vec<Arc<Span>>,
    start_ns: u64,
    bytes: usize,
    first_ms: i64,
    last_ms: i64,
    fate: Option<Fate>,
}

impl StoredTrace {
    /// When its first span began, of those that are here.
    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// Why it is kept on disk, if it is.
    pub fn kept(&self) -> Option<Kept> {
        if let Some(Fate::Kept(kept)) = self.fate { Some(kept) } else { None }
    }
}

/// What waits to be written, and who decides what does.
#[derive(Debug)]
struct Keeping {
    sampler: Sampler,
    fates: Fates,
    waiting: Vec<Fragment>,
    waiting_bytes: usize,
    /// Spans of traces that were decided against.
    sampled_out: u64,
    /// Spans that found no room to wait.
    behind: u64,
}

/// A trace that is not decided upon.
#[derive(Debug, Clone, Copy)]
struct Open {
    due_ms: i64,
    first_ms: i64,
    id: TraceId,
}

/// Spans by trace.
#[derive(Debug)]
pub struct SpanStore {
    spans_max: usize,
    bytes_max: usize,
    traces: HashMap<TraceId, StoredTrace>,
    /// Traces not decided upon, by when to look at them; without a disk all of them, in order of arrival.
    open: VecDeque<Open>,
    /// Traces decided upon, in that order: the first to make room.
    decided: VecDeque<TraceId>,
    by_start: BTreeSet<(u64, TraceId)>,
    names: BTreeMap<Text, BTreeSet<(Text, Option<&'static str>)>>,
    operation_names: usize,
    spans: usize,
    bytes: usize,
    spans_evicted: u64,
    keeping: Option<Keeping>,
}

impl SpanStore {
    /// Empty.
    pub fn new(spans_max: usize, bytes_max: usize) -> Self {
        Self {
            spans_max,
            bytes_max,
            traces: HashMap::default(),
            open: VecDeque::new(),
            decided: VecDeque::new(),
            by_start: BTreeSet::new(),
            names: BTreeMap::new(),
            operation_names: 0,
            spans: 0,
            bytes: 0,
            spans_evicted: 0,
            keeping: None,
        }
    }

    /// Has what this one decides for handed out, to be written.
    pub fn keep_with(&mut self, sampler: Sampler) {
        self.keeping = Some(Keeping {
            sampler,
            fates: Fates::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            sampled_out: 0,
            behind: 0,
        });
    }

    /// Keeps a span, unless it is known or its trace is full.
    pub fn insert(&mut self, id: TraceId, span: Arc<Span>, now_ms: i64) -> Stored {
        self.learn_name(span.service(), &span.name, span.kind);
        let trace = match self.traces.entry(id) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let fate = self.keeping.as_ref().and_then(|keeping| keeping.fates.of(id));
                match fate {
                    Some(_) => self.decided.push_back(id),
                    None => self.open.push_back(Open { due_ms: now_ms + REST_MS, first_ms: now_ms, id }),
                }
                self.by_start.insert((span.start_ns, id));
                new.insert(StoredTrace { start_ns: span.start_ns, first_ms: now_ms, fate, ..StoredTrace::default() })
            }
        };
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
        let bytes = span.estimated_bytes();
        let fate = trace.fate;
        trace.last_ms = now_ms;
        trace.bytes += bytes;
        trace.spans.push(Arc::clone(&span));
        self.bytes += bytes;
        self.spans += 1;
        let stored = match (&mut self.keeping, fate) {
            (Some(keeping), Some(Fate::Kept(kept))) => {
                keeping.wait(Fragment { id, kept, spans: vec![span] }, bytes);
                Stored::Kept
            }
            (Some(_), Some(Fate::Dropped)) => Stored::Late,
            _ => Stored::Kept,
        };
        self.make_room(now_ms);
        stored
    }

    fn make_room(&mut self, now_ms: i64) {
        while (self.spans > self.spans_max || self.bytes > self.bytes_max) && self.traces.len() > 1 {
            let oldest = self.decided.pop_front().or_else(|| {
                let first = self.open.pop_front()?;
                self.decide(first.id, now_ms);
                Some(first.id)
            });
            let Some(oldest) = oldest else { return };
            if let Some(trace) = self.traces.remove(&oldest) {
                self.by_start.remove(&(trace.start_ns, oldest));
                self.spans -= trace.spans.len();
                self.bytes -= trace.bytes;
                self.spans_evicted += trace.spans.len() as u64;
                if let (Some(keeping), Some(fate)) = (&mut self.keeping, trace.fate) {
                    keeping.fates.remember(oldest, fate);
                }
            }
        }
    }

    /// Decides upon a trace as it is now.
    fn decide(&mut self, id: TraceId, now_ms: i64) {
        let (Some(keeping), Some(trace)) = (&mut self.keeping, self.traces.get_mut(&id)) else { return };
        let fate = keeping.sampler.decide(id, &trace.spans, now_ms);
        trace.fate = Some(fate);
        match fate {
            Fate::Kept(kept) => keeping.wait(Fragment { id, kept, spans: trace.spans.clone() }, trace.bytes),
            Fate::Dropped => keeping.sampled_out += trace.spans.len() as u64,
        }
    }

    /// Decides upon the traces that rest. Without a disk there is nothing to decide.
    pub fn settle(&mut self, now_ms: i64) {
        if self.keeping.is_none() {
            return;
        }
        while let Some(open) = self.open.pop_front_if(|open| open.due_ms <= now_ms) {
            let id = open.id;
            let Some(trace) = self.traces.get(&id) else { continue };
            let rests_at = (trace.last_ms + REST_MS).min(trace.first_ms + OPEN_MAX_MS);
            if rests_at > now_ms {
                // Deadlines are in order within one rest; that is exact enough.
                self.open.push_back(Open { due_ms: rests_at, ..open });
            } else {
                self.decide(id, now_ms);
                self.decided.push_back(id);
            }
        }
    }

    /// What is to be written, once.
    pub fn take_waiting(&mut self) -> Vec<Fragment> {
        self.keeping.as_mut().map_or_else(Vec::new, |keeping| {
            keeping.waiting_bytes = 0;
            std::mem::take(&mut keeping.waiting)
        })
    }

    /// Has what could not be written wait for another attempt, as far as there is room.
    pub fn give_back(&mut self, fragments: Vec<Fragment>) {
        if let Some(keeping) = &mut self.keeping {
            for fragment in fragments {
                let bytes = fragment.spans.iter().map(|span| span.estimated_bytes()).sum();
                keeping.wait(fragment, bytes);
            }
        }
    }

    /// Estimated bytes of what waits to be written.
    pub fn waiting_bytes(&self) -> usize {
        self.keeping.as_ref().map_or(0, |keeping| keeping.waiting_bytes)
    }

    /// Spans lost so far: because the sample did not fall on their trace, and because the disk was behind.
    pub fn lost(&self) -> (u64, u64) {
        self.keeping.as_ref().map_or((0, 0), |keeping| (keeping.sampled_out, keeping.behind))
    }

    /// How probable it is now that an ordinary trace is kept on disk.
    pub fn probability(&self) -> f64 {
        self.keeping.as_ref().map_or(1.0, |keeping| keeping.sampler.probability())
    }

    /// When the oldest trace that is not decided upon began to arrive.
    pub fn oldest_open_ms(&self) -> Option<i64> {
        self.open.iter().map(|open| open.first_ms).min()
    }

    /// Knows an operation from now on.
    pub fn learn_name(&mut self, service: &Text, name: &Text, kind: Kind) {
        if !self.names.contains_key(service) {
            if self.names.len() >= NAMES_MAX {
                return;
            }
            self.names.insert(service.clone(), BTreeSet::new());
        }
        if let Some(operations) = self.names.get_mut(service)
            && operations.len() < NAMES_MAX
            && self.operation_names < OPERATION_NAMES_MAX
        {
            let operation = (name.clone(), kind.jaeger_name());
            if !operations.contains(&operation) {
                operations.insert(operation);
                self.operation_names += 1;
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
            .filter(|(_, trace)| search.fits(&trace.spans))
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

impl Keeping {
    fn wait(&mut self, fragment: Fragment, bytes: usize) {
        if self.waiting_bytes + bytes > WAITING_BYTES_MAX {
            self.behind += fragment.spans.len() as u64;
            return;
        }
        self.waiting_bytes += bytes;
        self.waiting.push(fragment);
    }
}

#[cfg(test)]
mod tests;
