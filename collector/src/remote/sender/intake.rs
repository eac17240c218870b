//! Puts what the store took in into a receiver's queue: adds external labels, relabels, finds each series its lane. One batch is one
//! record a lane, written before the call returns.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::batch::{encode_histogram, encode_labels};
use super::counts::{Counts, add};
use super::queue::{Draft, Kind, LANES, Queue};
use crate::api::views::Exemplar;
use crate::config::remote_write::RemoteWrite;
use crate::discovery::relabel::{LabelSet, relabel};
use crate::series::{HistogramSample, Labels, Sample, SeriesRef};

/// Series without samples for so long are forgotten here; they cost a look at their labels when they come again.
const IDLE_MAX_MS: i64 = 3_600_000;

/// What is remembered of a series.
struct Slot {
    lane: usize,
    /// The segment in which it is defined, and its number there.
    defined: (u64, u32),
    newest_ms: i64,
    is_dropped: bool,
}

/// What is being written of one lane.
#[derive(Default)]
struct Writing {
    draft: Draft,
    segment: u64,
    /// The next series' number in the segment.
    next_id: u32,
    /// Whether this call wrote to it.
    is_open: bool,
}

struct State {
    slots: HashMap<SeriesRef, Slot>,
    lanes: [Writing; LANES],
    is_failing: bool,
}

/// The way into one queue.
pub struct Intake {
    config: RemoteWrite,
    external: Labels,
    queue: Arc<Queue>,
    counts: Arc<Counts>,
    state: Mutex<State>,
}

/// What is put in.
#[derive(Clone, Copy)]
pub enum Things<'b> {
    /// Numbers.
    Floats(&'b [(SeriesRef, Sample)]),
    /// Native histograms.
    Histograms(&'b [(SeriesRef, HistogramSample)]),
    /// Exemplars.
    Exemplars(&'b [(SeriesRef, Exemplar)]),
}

impl Intake {
    /// Fills a queue, which nobody else may fill any longer.
    pub fn new(config: RemoteWrite, external: Labels, queue: Arc<Queue>, counts: Arc<Counts>) -> Self {
        // Numbers of series that somebody else gave are not known here.
        queue.close_segments();
        let state =
            State { slots: HashMap::new(), lanes: std::array::from_fn(|_| Writing::default()), is_failing: false };
        Self { config, external, queue, counts, state: Mutex::new(state) }
    }

    /// Puts things in; `labels` tells those of a series.
    pub fn put(&self, things: Things<'_>, now_ms: i64, labels: &dyn Fn(SeriesRef) -> Option<Labels>) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut blob = Vec::new();
        match things {
            Things::Floats(batch) => {
                for (series, sample) in batch {
                    let kind = Kind::Float(sample.value);
                    self.one(state, *series, sample.timestamp_ms, &kind, now_ms, labels);
                }
            }
            Things::Histograms(batch) if self.config.send_native_histograms => {
                for (series, sample) in batch {
                    blob.clear();
                    encode_histogram(sample.timestamp_ms, &sample.histogram, &mut blob);
                    let kind = Kind::Histogram(&blob[..]);
                    self.one(state, *series, sample.timestamp_ms, &kind, now_ms, labels);
                }
            }
            Things::Exemplars(batch) if self.config.send_exemplars => {
                for (series, exemplar) in batch {
                    blob.clear();
                    encode_exemplar(exemplar, &mut blob);
                    let kind = Kind::Exemplar(&blob[..]);
                    self.one(state, *series, exemplar.timestamp_ms, &kind, now_ms, labels);
                }
            }
            Things::Histograms(_) | Things::Exemplars(_) => {}
        }
        self.write(state, now_ms);
        if self.queue.is_too_long() {
            self.shrink(now_ms);
        }
    }

    fn one(
        &self,
        state: &mut State,
        series: SeriesRef,
        timestamp_ms: i64,
        kind: &Kind<&[u8]>,
        now_ms: i64,
        labels: &dyn Fn(SeriesRef) -> Option<Labels>,
    ) {
        let slot = match state.slots.entry(series) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let Some(known) = labels(series) else { return };
                let lane = self.sent_labels(&known).map(|encoded| lane_of(&encoded));
                let (lane, is_dropped) = (lane.unwrap_or(0), lane.is_none());
                new.insert(Slot { lane, defined: (0, 0), newest_ms: i64::MIN, is_dropped })
            }
        };
        let is_exemplar = matches!(kind, Kind::Exemplar(_));
        let is_new = is_exemplar || timestamp_ms > slot.newest_ms;
        if !is_exemplar && is_new {
            slot.newest_ms = timestamp_ms;
        }
        if slot.is_dropped {
            return add(&self.counts.dropped_by_relabelling, 1);
        }
        if !is_new {
            // The store keeps it, but receivers refuse what is not in order, and some refuse all of the request with it.
            return add(&self.counts.dropped_out_of_order, 1);
        }
        let writing = &mut state.lanes[slot.lane];
        if !writing.is_open {
            let mut lane = self.queue.lane(slot.lane);
            // What cannot be made room for cannot be written either: it is counted there.
            let _ = lane.prepare(now_ms);
            if lane.current() != writing.segment {
                (writing.segment, writing.next_id) = (lane.current(), 0);
            }
            writing.is_open = true;
        }
        if slot.defined.0 != writing.segment {
            let encoded = labels(series).and_then(|known| self.sent_labels(&known));
            let Some(encoded) = encoded else { return };
            slot.defined = (writing.segment, writing.next_id);
            writing.next_id += 1;
            writing.draft.define(slot.defined.1, &encoded);
        }
        writing.draft.add(slot.defined.1, timestamp_ms, kind);
        self.counts.enqueued(kind, timestamp_ms);
    }

    fn write(&self, state: &mut State, now_ms: i64) {
        for number in 0..LANES {
            let writing = &mut state.lanes[number];
            if !std::mem::take(&mut writing.is_open) {
                continue;
            }
            let written = self.queue.append(&mut self.queue.lane(number), &mut writing.draft, now_ms);
            let entries = writing.draft.entries;
            writing.draft.clear();
            match written {
                Ok(()) if state.is_failing => {
                    state.is_failing = false;
                    tracing::info!(receiver = self.config.name, "the queue can be written again");
                }
                Ok(()) => {}
                Err(error) => {
                    // What this segment has defined is not to be relied on.
                    writing.segment = 0;
                    add(&self.counts.dropped_unwritten, entries.into());
                    if !std::mem::replace(&mut state.is_failing, true) {
                        tracing::error!(receiver = self.config.name, %error, "the queue cannot be written; samples are lost to it");
                    }
                }
            }
        }
    }

    /// Drops what the queue must not hold any longer.
    pub fn shrink(&self, now_ms: i64) {
        let lost = self.queue.shrink(now_ms);
        add(&self.counts.dropped_too_long, lost);
        if lost > 0 && !self.counts.is_losing.swap(true, Ordering::Relaxed) {
            tracing::warn!(receiver = self.config.name, lost, "the queue is full; the oldest samples are lost to it");
        }
    }

    /// Forgets series that have ended.
    pub fn forget_idle(&self, now_ms: i64) {
        self.state.lock().slots.retain(|_, slot| slot.newest_ms >= now_ms - IDLE_MAX_MS);
    }

    /// A series' labels as they are sent; none if relabelling drops it.
    fn sent_labels(&self, labels: &Labels) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        if self.external.is_empty() && self.config.relabel.is_empty() {
            encode_labels(labels.iter(), &mut out);
            return Some(out);
        }
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut set: LabelSet = self.external.iter().map(owned).collect();
        set.extend(labels.iter().map(owned));
        let is_kept = relabel(&self.config.relabel, &mut set);
        encode_labels(set.iter().map(|(name, value)| (name.as_str(), value.as_str())), &mut out);
        (is_kept && !out.is_empty()).then_some(out)
    }
}

/// Always the same for the same labels, also after a restart.
fn lane_of(encoded: &[u8]) -> usize {
    usize::try_from(crc32fast::hash(encoded)).unwrap_or_default() % LANES
}

/// As 1.0 writes it.
fn encode_exemplar(exemplar: &Exemplar, out: &mut Vec<u8>) {
    use crate::wire::put;
    encode_labels(exemplar.labels.iter(), out);
    put::double(out, 2, exemplar.value);
    put::int64(out, 3, exemplar.timestamp_ms);
}
