//! When an evaluation has to give up: its deadline has passed, or nobody waits for it. The evaluator asks between series.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::promql::QueryError;
use crate::series::{Meter, SelectError};

/// A deadline and a flag that another thread may raise.
#[derive(Debug, Clone)]
pub struct Stop {
    deadline: Option<Instant>,
    cancelled: Arc<AtomicBool>,
}

impl Stop {
    /// Gives up this long from now.
    pub fn after(timeout: Duration) -> Self {
        Self { deadline: Instant::now().checked_add(timeout), cancelled: Arc::default() }
    }

    /// Gives up only once its guard is dropped.
    pub fn when_dropped() -> Self {
        Self { deadline: None, cancelled: Arc::default() }
    }

    /// Gives up when this one does, and this long from now at the latest.
    #[must_use]
    pub fn within(&self, timeout: Duration) -> Self {
        let deadline = Instant::now().checked_add(timeout);
        let deadline = self.deadline.into_iter().chain(deadline).min();
        Self { deadline, cancelled: Arc::clone(&self.cancelled) }
    }

    /// Gives up once the guard is dropped, too: held by whoever waits for the answer.
    pub fn guard(&self) -> StopGuard {
        StopGuard(Arc::clone(&self.cancelled))
    }

    /// An error once it is time to give up.
    pub fn check(&self) -> Result<(), QueryError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(QueryError::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(QueryError::Timeout),
            _ => Ok(()),
        }
    }
}

impl Meter for Stop {
    fn take(&self, _: usize) -> Result<(), SelectError> {
        self.check().map_err(|_| SelectError::Refused)
    }
}

/// Cancels the evaluation when dropped.
#[derive(Debug)]
pub struct StopGuard(Arc<AtomicBool>);

impl Drop for StopGuard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
