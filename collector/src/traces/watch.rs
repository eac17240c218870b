//! The task that asks `blame` each second what is broken, and keeps its answers for `/api/v1/faults`, its timeline, its stream,
//! and the metrics. Judges nothing itself.

mod edges;
mod facts;
pub(super) mod stream;
pub(super) mod timeline;
mod watched;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use lifecycle::CancellationToken;
use protocol::faults::{Faults, Source};
use tokio::time::MissedTickBehavior;

use self::watched::Look;
pub(super) use self::watched::Watched;
use super::Core;
use crate::blame::changes::Fact;
use crate::blame::counters::Counters;
use crate::blame::work::Work;
use crate::series::Queryable;

/// How often it is looked: an answer is at most so old.
const INTERVAL: Duration = Duration::from_secs(1);

/// Of so many looks one reads series: they are scraped once a second at most.
const LOOKS_A_READING: u64 = 2;

/// If no spans came for so long, milliseconds, counters are judged instead: as long as series made of spans live on.
const SPANS_GONE_MS: i64 = 900_000;

pub(super) async fn get(State(core): State<Arc<Core>>) -> Json<Faults> {
    Json(Faults::clone(&core.watched.faults.load()))
}

/// Looks each second whether something is broken.
#[derive(Clone)]
pub struct Watchman {
    core: Arc<Core>,
    series: Option<Arc<dyn Queryable>>,
    looks: u64,
}

impl Watchman {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, series: None, looks: 0 }
    }

    /// Reads there of workloads and breakers, and without spans of calls.
    #[must_use]
    pub fn with_series(self, series: Arc<dyn Queryable>) -> Self {
        Self { series: Some(series), ..self }
    }

    /// Looks until shutdown.
    ///
    /// # Errors
    /// If a look ends in a panic.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), String> {
        let _streams = self.core.watched.channel.ends_with();
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            // With a thousand services it takes a good part of a second.
            let own = self.clone();
            tokio::task::spawn_blocking(move || own.look()).await.map_err(|error| error.to_string())?;
            self.looks += 1;
        }
    }

    /// Where series are read, if it is time.
    fn due(&self) -> Option<&dyn Queryable> {
        self.series.as_deref().filter(|_| self.looks.is_multiple_of(LOOKS_A_READING))
    }

    /// What is known of workloads and breakers.
    fn facts(&self, now_ms: i64) -> Option<Vec<Fact>> {
        self.core.watched.read(facts::read(self.due()?, now_ms))
    }

    /// The work that somebody else's counters stand for; nothing if there are none.
    fn counted(&self, counters: &mut Counters, now_ms: i64) -> Option<Vec<Work>> {
        let counts = self.due().and_then(|series| self.core.watched.read(edges::read(series, now_ms)));
        let works = counters.take(counts.unwrap_or_default(), now_ms);
        (!counters.is_empty()).then_some(works)
    }

    pub(super) fn look(&self) {
        let core = &*self.core;
        let now_ms = core.clock.now_ms();
        let mut learner = core.learner.lock();
        learner.advance(now_ms);
        let lessons = learner.lessons();
        drop(learner);
        let facts = self.facts(now_ms);
        let began = Instant::now();
        let (mut by_spans, mut fallback) = (core.blame.lock(), core.watched.fallback.lock());
        by_spans.learn(&lessons.aliases, now_ms);
        by_spans.observe(&lessons.works, now_ms);
        let is_told = by_spans.last_ms().is_some_and(|last_ms| now_ms - last_ms <= SPANS_GONE_MS);
        let counted = if is_told { None } else { self.counted(&mut fallback.counters, now_ms) };
        let (blame, source) = if let Some(works) = counted {
            let lag_ms = fallback.counters.lag_ms();
            fallback.blame.lags_by(lag_ms);
            fallback.blame.observe(&works, now_ms);
            (&mut fallback.blame, Source::Metrics)
        } else {
            (&mut *by_spans, Source::Spans)
        };
        if let Some(facts) = facts {
            blame.take(&facts, now_ms);
        }
        let faults = blame.judge(now_ms);
        core.watched.copy_timeline(blame, source);
        let (known, mut drops) = (blame.known(), blame.drops());
        drops.too_many += fallback.counters.dropped();
        let named = by_spans.named() + fallback.blame.named();
        drop((by_spans, fallback));
        let not_asked_for = lessons.dropped;
        core.watched.tally(&Look { took: began.elapsed(), named, known, drops, not_asked_for });
        core.watched.show(faults);
    }
}

#[cfg(test)]
mod tests;
