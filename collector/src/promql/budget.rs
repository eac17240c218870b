//! What an evaluation may hold: its own limit of samples and series, and its share of what all evaluations may hold
//! together. Start at `Budget`, the meter of one evaluation; `Pool` is what they share.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::stop::Stop;
use crate::promql::{EngineOptions, QueryError};
use crate::series::{Meter, SelectError};

/// Samples between two looks at the clock: a few microseconds' work.
const SAMPLES_BETWEEN_LOOKS: usize = 1_024;

/// Samples that an evaluation may hold without asking the pool (1 MiB), and the least that it asks for: small queries
/// never wait for large ones.
const SLAB: usize = 65_536;

/// How long an evaluation waits for room before it looks whether it should give up.
const WAIT: Duration = Duration::from_millis(50);

/// Samples that all evaluations may hold together. Who finds no room waits; only the oldest may go on beyond the limit, so
/// that one always ends: at most `samples_max` and one evaluation's own limit are held, and what each thread that waits
/// has read under the store's lock: a series of the head.
#[derive(Debug)]
pub(super) struct Pool {
    samples_max: usize,
    state: Mutex<PoolState>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct PoolState {
    held: usize,
    /// Tickets of the evaluations that run; the lowest is the oldest.
    running: BTreeSet<u64>,
    next: u64,
}

impl Pool {
    pub fn new(samples_max: usize) -> Self {
        Self { samples_max, state: Mutex::default(), freed: Condvar::new() }
    }

    fn enter(&self) -> u64 {
        let mut state = self.state.lock();
        let ticket = state.next;
        state.next += 1;
        state.running.insert(ticket);
        ticket
    }
}

/// The meter of one evaluation.
#[derive(Debug)]
pub struct Budget<'a> {
    stop: &'a Stop,
    samples_max: usize,
    series_max: usize,
    /// Samples and values now in memory.
    held: AtomicUsize,
    /// Series read so far.
    series: AtomicUsize,
    pool: &'a Pool,
    ticket: u64,
    /// What the pool has let this evaluation hold.
    granted: AtomicUsize,
    refused: OnceLock<QueryError>,
}

impl<'a> Budget<'a> {
    pub(super) fn new(options: &EngineOptions, pool: &'a Pool, stop: &'a Stop) -> Self {
        Self {
            stop,
            samples_max: options.samples_max,
            series_max: options.series_max,
            held: AtomicUsize::new(0),
            series: AtomicUsize::new(0),
            pool,
            ticket: pool.enter(),
            granted: AtomicUsize::new(SLAB),
            refused: OnceLock::new(),
        }
    }

    /// What a selection's error means for the query.
    pub fn why(&self, error: &SelectError) -> QueryError {
        match error {
            SelectError::Refused => self.refused.get().cloned().unwrap_or(QueryError::Cancelled),
            SelectError::Block { .. } => QueryError::Storage(error.to_string()),
        }
    }

    /// Samples and values now in memory.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Counts what is about to be held, and waits until there is room for it.
    pub(super) fn charge(&self, samples: usize) -> Result<(), QueryError> {
        let held = self.count(samples)?;
        if held > self.granted.load(Ordering::Relaxed) { self.wait_for_room(held) } else { Ok(()) }
    }

    /// Counts what is about to be held within its own limits.
    fn count(&self, samples: usize) -> Result<usize, QueryError> {
        let before = self.held.fetch_add(samples, Ordering::Relaxed);
        let held = before.saturating_add(samples);
        if held > self.samples_max {
            return Err(QueryError::TooManySamples(self.samples_max));
        }
        if samples == 0 || before / SAMPLES_BETWEEN_LOOKS != held / SAMPLES_BETWEEN_LOOKS {
            self.stop.check()?;
        }
        Ok(held)
    }

    /// So much less is held.
    pub(super) fn give_back(&self, samples: usize) {
        self.held.fetch_sub(samples, Ordering::Relaxed);
    }

    /// So much is still held; the rest is given back.
    pub(super) fn release_to(&self, held: usize) {
        self.held.store(held, Ordering::Relaxed);
        let needed = held.next_multiple_of(SLAB).max(SLAB);
        if self.granted.load(Ordering::Relaxed) > needed {
            let mut state = self.pool.state.lock();
            state.held -= self.granted.swap(needed, Ordering::Relaxed) - needed;
            self.pool.freed.notify_all();
        }
    }

    fn wait_for_room(&self, held: usize) -> Result<(), QueryError> {
        let mut state = self.pool.state.lock();
        loop {
            let granted = self.granted.load(Ordering::Relaxed);
            if held <= granted {
                return Ok(());
            }
            let more = (held - granted).next_multiple_of(SLAB);
            let is_oldest = state.running.first() == Some(&self.ticket);
            if is_oldest || state.held.saturating_add(more) <= self.pool.samples_max {
                state.held += more;
                self.granted.store(granted + more, Ordering::Relaxed);
                return Ok(());
            }
            self.stop.check()?;
            self.pool.freed.wait_for(&mut state, WAIT);
        }
    }

    fn refuse(&self, error: QueryError) -> SelectError {
        // The first reason counts; other threads are refused because of it.
        let _ = self.refused.set(error);
        SelectError::Refused
    }
}

impl Meter for Budget<'_> {
    fn take(&self, samples: usize) -> Result<(), SelectError> {
        self.charge(samples).map_err(|error| self.refuse(error))
    }

    fn take_locked(&self, samples: usize) -> Result<(), SelectError> {
        self.count(samples).map(|_| ()).map_err(|error| self.refuse(error))
    }

    fn begin(&self, series: usize) -> Result<(), SelectError> {
        let read = self.series.fetch_add(series, Ordering::Relaxed).saturating_add(series);
        if read > self.series_max {
            return Err(self.refuse(QueryError::TooManySeries(self.series_max)));
        }
        self.take(0)
    }
}

impl Drop for Budget<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        state.held -= self.granted.load(Ordering::Relaxed) - SLAB;
        state.running.remove(&self.ticket);
        self.pool.freed.notify_all();
    }
}

#[cfg(test)]
mod tests;
