//! Decides which traces are kept on disk, once they rest: all with an error, all that were slow for their operation, and of
//! the rest a sample with known odds. Pure: the time comes in, and the same trace id always falls the same way.

use std::sync::Arc;

use foldhash::HashMap;

use super::latency::Percentiles;
use super::span::{Span, SpanId, Text, TraceId};

/// Why a trace is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// One of its spans failed.
    Error,
    /// It took longer than its operation does in 99 of 100 cases.
    Slow,
    /// The sample fell on it.
    Sample,
}

impl Because {
    /// As the tag `sampling.reason` has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Slow => "slow",
            Self::Sample => "sample",
        }
    }
}

/// That a trace is kept, and the odds of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Why.
    pub because: Because,
    /// How often the probability was halved, from 1.
    pub halvings: u8,
}

impl Kept {
    /// How probable it was that such a trace is kept: each stands for `1 / probability` of its kind.
    pub fn probability(self) -> f64 {
        0.5_f64.powi(i32::from(self.halvings))
    }
}

/// What was decided of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is kept.
    Kept(Kept),
    /// The sample did not fall on it.
    Dropped,
}

/// Spans of one trace that go to disk.
#[derive(Debug, Clone)]
pub struct Fragment {
    /// Whose they are.
    pub id: TraceId,
    /// Why they are kept.
    pub kept: Kept,
    /// Not always all of the trace: late ones follow in a fragment of their own.
    pub spans: Vec<Arc<Span>>,
}

/// Traces without error that are kept each second unless told otherwise. At ten spans of 50 bytes each that is 4 GB a day, less
/// than the bound by size lets stay; a hundred a second is more than anybody looks at.
pub const ORDINARY_PER_SECOND_DEFAULT: u32 = 100;

/// Operations whose usual duration is known; as many as have series. Traces that begin with others are never slow.
const OPERATIONS_MAX: usize = 2_000;

/// Durations by which an operation's 99th percentile means something.
const OBSERVED_MIN: u64 = 128;

/// Durations after which it is taken anew.
const REFRESH_EVERY: u64 = 128;

/// Durations after which each counts for half, so that what is usual can change.
const OBSERVED_MAX: u64 = 8_192;

/// The share of durations that is usual.
const USUAL_SHARE: f64 = 0.99;

/// Of 2^20 traces one: no collector of one machine sees more of them than so many times what it keeps.
const HALVINGS_MAX: u8 = 20;

/// Spans up to which the heads of a trace are found without a table.
const SMALL_TRACE: usize = 32;

/// An operation's durations, as heads of traces.
#[derive(Debug, Default)]
struct Usual {
    durations: Percentiles,
    since_refresh: u64,
    /// Longer is slow; nothing while too few are known.
    slow_above_ns: Option<u64>,
}

impl Usual {
    /// Whether this one is slow, by what was known before it.
    fn observe(&mut self, ns: u64) -> bool {
        let is_slow = self.slow_above_ns.is_some_and(|bound| ns > bound);
        self.durations.observe(ns);
        self.since_refresh += 1;
        if self.since_refresh >= REFRESH_EVERY {
            self.since_refresh = 0;
            if self.durations.count() > OBSERVED_MAX {
                self.durations.halve();
            }
            let known = self.durations.count() >= OBSERVED_MIN;
            self.slow_above_ns = if known { self.durations.bound_ns(USUAL_SHARE) } else { None };
        }
        is_slow
    }
}

/// Decides.
#[derive(Debug)]
pub struct Sampler {
    ordinary_per_second: u32,
    usual: HashMap<(Text, Text), Usual>,
    halvings: u8,
    second: i64,
    /// Ordinary traces of this second so far.
    ordinary: u32,
}

impl Sampler {
    /// Keeps about so many ordinary traces a second.
    pub fn new(ordinary_per_second: u32) -> Self {
        Self { ordinary_per_second, usual: HashMap::default(), halvings: 0, second: 0, ordinary: 0 }
    }

    /// Decides of a trace, and learns from it.
    pub fn decide(&mut self, id: TraceId, spans: &[Arc<Span>], now_ms: i64) -> Fate {
        self.advance(now_ms);
        let is_slow = self.observe(spans);
        if spans.iter().any(|span| span.failed()) {
            return Fate::Kept(Kept { because: Because::Error, halvings: 0 });
        }
        if is_slow {
            return Fate::Kept(Kept { because: Because::Slow, halvings: 0 });
        }
        self.ordinary = self.ordinary.saturating_add(1);
        if self.ordinary_per_second > 0 && falls_on(id, self.halvings) {
            Fate::Kept(Kept { because: Because::Sample, halvings: self.halvings })
        } else {
            Fate::Dropped
        }
    }

    /// At the end of a second: as many halvings as its traces would have needed; back by one at a time.
    fn advance(&mut self, now_ms: i64) {
        let second = now_ms.div_euclid(1_000);
        if second == self.second {
            return;
        }
        let elapsed = u32::try_from(second.saturating_sub(self.second)).unwrap_or(u32::MAX).max(1);
        let rate = self.ordinary / elapsed;
        let needed = halvings_for(rate, self.ordinary_per_second);
        self.halvings = needed.max(self.halvings.saturating_sub(1));
        self.second = second;
        self.ordinary = 0;
    }

    fn observe(&mut self, spans: &[Arc<Span>]) -> bool {
        let mut is_slow = false;
        for head in heads(spans) {
            let key = (head.service().clone(), head.name.clone());
            if self.usual.len() >= OPERATIONS_MAX && !self.usual.contains_key(&key) {
                continue;
            }
            is_slow |= self.usual.entry(key).or_default().observe(head.duration_ns);
        }
        is_slow
    }

    /// How probable it is now that an ordinary trace is kept.
    pub fn probability(&self) -> f64 {
        Kept { because: Because::Sample, halvings: self.halvings }.probability()
    }
}

/// Spans whose parent is not among them: usually one.
fn heads(spans: &[Arc<Span>]) -> Vec<&Arc<Span>> {
    if spans.len() <= SMALL_TRACE {
        let is_here = |id: SpanId| spans.iter().any(|span| span.id == id);
        return spans.iter().filter(|span| span.parent == 0 || !is_here(span.parent)).collect();
    }
    let ids: std::collections::HashSet<SpanId> = spans.iter().map(|span| span.id).collect();
    spans.iter().filter(|span| span.parent == 0 || !ids.contains(&span.parent)).collect()
}

fn halvings_for(rate: u32, wanted: u32) -> u8 {
    (0..HALVINGS_MAX).find(|halvings| rate >> halvings <= wanted).unwrap_or(HALVINGS_MAX)
}

/// Whether the sample falls on a trace: one that is kept after so many halvings is kept after fewer, too.
fn falls_on(id: TraceId, halvings: u8) -> bool {
    mixed((id as u64) ^ ((id >> 64) as u64).rotate_left(32)).leading_zeros() >= u32::from(halvings)
}

/// Bits that look like chance, as not every program makes its ids by chance: MurmurHash3's last step. Part of the format on disk.
pub(super) fn mixed(mut bits: u64) -> u64 {
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        bits = (bits ^ (bits >> 33)).wrapping_mul(factor);
    }
    bits ^ (bits >> 33)
}

#[cfg(test)]
mod tests;
