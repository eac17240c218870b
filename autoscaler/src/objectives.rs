//! How the service level objectives are: reads the events of each minute over PromQL, counts them over every window, and says what the
//! state of every objective and workload is. Decides nothing: see `planner::budget`. Start at `Watcher`.

mod reading;
mod standing;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{CancellationToken, Clock};
use protocol::prometheus::PrometheusClient;
use slo::Objective;
use slo::counters::{Counters, Events, STEP, grids};

use self::reading::{Batch, Range, batches, read};
pub use self::standing::Budgets;
use crate::counts::{Failure, Instruments};
use crate::state::State;

/// Between two looks whether a minute has ended, or whether a server that did not answer does.
const PAUSE: Duration = Duration::from_secs(5);

/// A server's history is asked for so often before counting begins without it: a server may have limits that it is beyond.
const HISTORY_TRIES: u32 = 3;

/// Windows of readings that a minute is read over at the least, so that a rate has samples enough.
const RATE_WINDOWS: u32 = 2;

/// What a watcher works with.
pub struct Tools {
    /// Any Prometheus-compatible server.
    pub client: PrometheusClient,
    /// A window in which a rate exists; two scrapes at least.
    pub rate_window: Duration,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where it is published.
    pub state: Arc<State>,
    /// What counts.
    pub instruments: Instruments,
}

/// Follows the objectives.
pub struct Watcher {
    objectives: Arc<[Objective]>,
    counters: Vec<Counters>,
    batches: Vec<Batch>,
    tools: Tools,
    /// Tries left to read the server's history.
    history: u32,
    /// What failed in the latest pass: logged when it begins and when it ends.
    ailing: bool,
}

impl Watcher {
    /// Knows nothing yet, and publishes that.
    pub fn new(objectives: Vec<Objective>, tools: Tools) -> Self {
        let counters = objectives.iter().map(|objective| Counters::new(objective.window)).collect();
        let batches = batches(&objectives);
        let objectives: Arc<[Objective]> = objectives.into();
        let watcher = Self { objectives, counters, batches, tools, history: HISTORY_TRIES, ailing: false };
        watcher.publish();
        watcher
    }

    /// Looks until shutdown.
    ///
    /// # Errors
    /// Never: what cannot be read is counted and logged, and asked for again.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Infallible> {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = self.pass() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Counts what has ended since the last time, if a minute has.
    pub async fn pass(&mut self) {
        let newest_ms = aligned(self.tools.clock.now_ms(), STEP);
        if self.counters.iter().all(|counters| counters.until_ms().is_some_and(|until_ms| until_ms >= newest_ms)) {
            return;
        }
        let outcome = self.count(newest_ms).await;
        if let Err(reason) = &outcome {
            self.tools.instruments.failed(Failure::Objectives);
            if !self.ailing {
                tracing::warn!(reason, "the objectives cannot be read");
            }
        } else if self.ailing {
            tracing::info!("the objectives can be read again");
        }
        self.ailing = outcome.is_err();
        self.publish();
    }

    async fn count(&mut self, newest_ms: i64) -> Result<(), String> {
        if self.history > 0 {
            let filled = self.fill(newest_ms).await;
            self.history = if filled.is_ok() { 0 } else { self.history - 1 };
            if self.history > 0 {
                return filled;
            }
        }
        for place in 0..self.batches.len() {
            self.follow(place, newest_ms).await?;
        }
        Ok(())
    }

    /// Takes the coarse grids from the server's history, so that a new process knows the budgets of the last 30 days.
    async fn fill(&mut self, newest_ms: i64) -> Result<(), String> {
        let mut found = Vec::new();
        for batch in &self.batches {
            for (index, grid) in grids(batch.window).into_iter().enumerate().take(2) {
                let end_ms = aligned(newest_ms, grid.step);
                let range = Range { end_ms, step: grid.step, points: grid.slots, window: grid.step };
                found.push((index, read(&self.tools.client, &self.objectives, batch, range).await?));
            }
        }
        for (index, readings) in found {
            for reading in readings {
                let counters = &mut self.counters[reading.objective];
                reading.points.into_iter().for_each(|(at_ms, events)| counters.fill(index, at_ms, events));
            }
        }
        Ok(())
    }

    /// Counts the minutes that have ended since the last one counted: one as a rule, more after a pause, six hours at the start.
    async fn follow(&mut self, place: usize, newest_ms: i64) -> Result<(), String> {
        let batch = &self.batches[place];
        let [.., fine] = grids(batch.window);
        let until_ms = batch.objectives.iter().filter_map(|index| self.counters[*index].until_ms()).min();
        let missing = until_ms.map_or(i64::MAX, |until_ms| (newest_ms - until_ms) / millis(STEP));
        let points = usize::try_from(missing).unwrap_or(fine.slots).min(fine.slots);
        if points == 0 {
            return Ok(());
        }
        let window = STEP.max(whole_steps(self.tools.rate_window * RATE_WINDOWS));
        let range = Range { end_ms: newest_ms, step: STEP, points, window };
        for reading in read(&self.tools.client, &self.objectives, batch, range).await? {
            // A longer window is read where scrapes are rarer; a minute gets its part of it.
            let part = STEP.as_secs_f64() / window.as_secs_f64();
            let counters = &mut self.counters[reading.objective];
            for (at_ms, Events { bad, total }) in reading.points {
                counters.add(at_ms, Events { bad: bad * part, total: total * part });
            }
        }
        Ok(())
    }

    fn publish(&self) {
        let budgets = Budgets::judge(&self.objectives, &self.counters);
        budgets.statuses(self.tools.clock.now_ms()).iter().for_each(|status| self.tools.instruments.objective(status));
        self.tools.state.publish_budgets(budgets);
    }
}

fn aligned(at_ms: i64, step: Duration) -> i64 {
    at_ms.div_euclid(millis(step)) * millis(step)
}

/// Rounded up to whole minutes.
fn whole_steps(duration: Duration) -> Duration {
    STEP * u32::try_from(duration.as_millis().div_ceil(STEP.as_millis())).unwrap_or(u32::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests;
