//! The task that appends the series learnt from spans. Decides nothing: the learner says what the series stand at.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{CancellationToken, Clock};
use tokio::time::MissedTickBehavior;

use super::Core;
use crate::series::Appendable;

/// Appends the series learnt from spans.
pub struct Generator {
    core: Arc<Core>,
}

impl Generator {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Appends each `interval` until shutdown. A batch that cannot be stored is said so; since the series only grow,
    /// the next one makes up for it.
    pub async fn run(
        self,
        appendable: Arc<dyn Appendable>,
        interval: Duration,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Result<(), Infallible> {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = ticks.tick() => self.append(&*appendable, clock.now_ms()),
            }
        }
    }

    fn append(&self, appendable: &dyn Appendable, now_ms: i64) {
        let samples = self.core.learner.lock().samples(now_ms);
        // The store counts what it cannot take, and says so when it begins and ends; the next samples hold the same counts.
        let _ = appendable.append(&samples);
    }
}
