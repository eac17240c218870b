//! The life of one target: a scrape at its place in each interval, until it is removed or the collector stops.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lifecycle::CancellationToken;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Scraping;
use super::apart::{BYTES_APART, apart};
use super::automatic::{self, Facts};
use super::buffers::Buffer;
use super::cache::Cache;
use super::fetch::{FetchError, fetch};
use super::legacy::{Legacy, Memory};
use super::pass::{Batch, Found, Pass};
use super::report::{Scraped, TargetReport};
use crate::config::ScrapeJob;
use crate::discovery::target::Target;
use crate::exposition::MediaType;
use crate::series::{Sample, SeriesRef};
use crate::transport::Transport;

/// Times this close to the schedule are moved onto it, so that they compress: Prometheus' `ScrapeTimestampTolerance`.
const ALIGNMENT_TOLERANCE_MS: i64 = 2;

/// What a task is to do.
pub(super) struct Assignment {
    pub job: Arc<ScrapeJob>,
    pub target: Arc<Target>,
    pub transport: Arc<Transport>,
    pub status: Arc<TargetReport>,
    /// How many targets the job has.
    pub targets: Arc<AtomicUsize>,
    /// Of the task that had the target before.
    pub before: Legacy,
    /// For the one that has it next.
    pub after: Legacy,
}

/// Scrapes one target.
pub struct TargetLoop {
    own: Assignment,
    scraping: Scraping,
    cache: Cache,
    automatic: Vec<SeriesRef>,
    /// The last time that lies on the schedule.
    scheduled_ms: Option<i64>,
    /// Whether the last scrape shed series.
    shedding: bool,
}

impl TargetLoop {
    pub(super) fn new(own: Assignment, scraping: Scraping) -> Self {
        let automatic = automatic::resolve(&own.job, &own.target, scraping.store.as_ref());
        let cache = Cache::new();
        Self { own, scraping, cache, automatic, scheduled_ms: None, shedding: false }
    }

    /// Scrapes until `removed`, which ends the target's series, or `replaced`, which does not: the collector stops, or another
    /// task goes on.
    pub(super) async fn run(mut self, removed: CancellationToken, replaced: CancellationToken) {
        let first = Instant::now() + self.first_delay();
        let mut ticks = interval_at(first, self.own.target.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let scraped = async {
                ticks.tick().await;
                self.scrape().await;
            };
            tokio::select! {
                biased;
                () = replaced.cancelled() => {
                    self.leave();
                    return;
                }
                () = removed.cancelled() => break,
                () = scraped => {}
            }
        }
        self.end();
    }

    /// Spreads targets over the interval, each always at the same place.
    fn first_delay(&self) -> Duration {
        let interval_ms = i64::try_from(self.own.target.interval.as_millis()).unwrap_or(i64::MAX).max(1);
        let mut hasher = DefaultHasher::new();
        (&self.own.target.labels, self.own.target.url.as_str()).hash(&mut hasher);
        let offset = i64::try_from(hasher.finish() >> 1).unwrap_or(0) % interval_ms;
        let now = self.scraping.clock.now_ms();
        Duration::from_millis(u64::try_from((offset - now).rem_euclid(interval_ms)).unwrap_or(0))
    }

    async fn scrape(&mut self) {
        let began = Instant::now();
        let at_ms = self.aligned(self.scraping.clock.now_ms());
        let mut buffer = self.scraping.buffers.take();
        let Buffer { body, compressed, .. } = &mut buffer;
        let fetched = match self.too_many_targets() {
            Some(reason) => Err(reason.into()),
            None => fetch(&self.own.transport, &self.own.job, &self.own.target, body, compressed).await,
        };
        if fetched.is_ok() && body.len() >= BYTES_APART {
            let places = self.scraping.places.clone();
            let _place = places.take().await;
            apart(|| self.take_in(&mut buffer, fetched, began, at_ms));
        } else {
            self.take_in(&mut buffer, fetched, began, at_ms);
        }
        self.scraping.buffers.give_back(buffer);
    }

    /// Why no target of the job is scraped, if it has more than it may: Prometheus' words.
    fn too_many_targets(&self) -> Option<String> {
        let (max, targets) = (self.own.job.limits.targets?, self.own.targets.load(Ordering::Relaxed));
        (targets > max).then(|| format!("target_limit exceeded (number of targets: {targets}, limit: {max})"))
    }

    /// Ends, and another goes on.
    fn leave(self) {
        let Assignment { job, before, after, .. } = self.own;
        let own = Memory { job, cache: self.cache, automatic: self.automatic };
        // Whoever has not scraped yet hands on what was left to it.
        after.leave(before.find().unwrap_or(own));
    }

    /// Goes on with what another task knew of the target; gives back what no longer holds.
    fn inherit(&mut self) -> Option<Memory> {
        let mut memory = self.own.before.find()?;
        if self.cache.series_known() == 0 && memory.holds_for(&self.own.job, self.own.target.series_max) {
            std::mem::swap(&mut self.cache, &mut memory.cache);
        }
        Some(memory)
    }

    /// Stores what was fetched, or that nothing was.
    fn take_in(&mut self, buffer: &mut Buffer, fetched: Result<MediaType, FetchError>, began: Instant, at_ms: i64) {
        let Buffer { body, batch, .. } = buffer;
        let body_bytes = match &fetched {
            Ok(_) => i64::try_from(body.len()).unwrap_or(i64::MAX),
            Err(FetchError::TooLong(_)) => -1,
            Err(FetchError::Failed(_)) => 0,
        };
        let left = self.inherit();
        let (found, result) = match fetched {
            Ok(media_type) => self.pass(batch).read(body, media_type, at_ms),
            Err(error) => {
                self.pass(batch).fail(at_ms);
                (Found::default(), Err(error.to_string()))
            }
        };
        let duration = began.elapsed();
        self.scraping.report.counts.add(&found, result.is_ok());
        let (job, target, is_up) = (&*self.own.job, &*self.own.target, result.is_ok());
        let facts = Facts { job, target, found: &found, is_up, duration, body_bytes };
        batch.samples.extend(self.automatic.iter().copied().zip(automatic::samples(&facts, at_ms)));
        if let Some(left) = left {
            let orphans = left.orphans(batch);
            batch.stale(orphans, at_ms);
        }
        let stored = self.append(batch);
        if is_up {
            self.note_shedding(&found);
        }
        let body_bytes = u64::try_from(body_bytes).unwrap_or(0);
        self.own.status.scraped(Scraped {
            at_ms,
            duration,
            error: stored.and(result).err(),
            body_bytes,
            found: (&found).into(),
        });
    }

    fn aligned(&mut self, now_ms: i64) -> i64 {
        let interval_ms = i64::try_from(self.own.target.interval.as_millis()).unwrap_or(i64::MAX).max(1);
        let scheduled = self.scheduled_ms.unwrap_or(now_ms);
        let scheduled = scheduled + (now_ms - scheduled).div_euclid(interval_ms) * interval_ms;
        self.scheduled_ms = Some(scheduled);
        let tolerance = ALIGNMENT_TOLERANCE_MS.min(interval_ms / 100);
        if now_ms - scheduled <= tolerance { scheduled } else { now_ms }
    }

    fn pass<'a>(&'a mut self, batch: &'a mut Batch) -> Pass<'a> {
        Pass {
            job: &self.own.job,
            target: &self.own.target.labels,
            series_max: self.own.target.series_max,
            store: self.scraping.store.as_ref(),
            report: &self.scraping.report,
            cache: &mut self.cache,
            batch,
        }
    }

    /// Stores the batch; what the store has forgotten meanwhile is looked up and stored again.
    fn append(&mut self, batch: &mut Batch) -> Result<(), String> {
        let (lost, mut error) = match batch.append(self.scraping.store.as_ref()) {
            Ok(lost) => (lost, None),
            Err(error) => (Batch::default(), Some(error)),
        };
        if !lost.is_empty() {
            let lost_samples = lost.samples.clone();
            let new = automatic::resolve(&self.own.job, &self.own.target, self.scraping.store.as_ref());
            let old = std::mem::replace(&mut self.automatic, new);
            self.pass(batch).again(lost);
            let renewed = |(series, sample): (SeriesRef, Sample)| {
                let which = old.iter().position(|known| *known == series)?;
                Some((self.automatic[which], sample))
            };
            batch.samples.extend(lost_samples.into_iter().filter_map(renewed));
            error = batch.append(self.scraping.store.as_ref()).err();
        }
        error.map_or(Ok(()), |error| Err(format!("the samples could not be stored: {error}")))
    }

    /// Logs when new series begin to be shed and when that ends: not every scrape in between.
    fn note_shedding(&mut self, found: &Found) {
        let shed_before = std::mem::replace(&mut self.shedding, found.shed > 0);
        let (url, limit, shed) = (&self.own.target.url, self.own.target.series_max.unwrap_or(0), found.shed);
        match &found.first_shed {
            Some(first) if !shed_before => {
                tracing::warn!(%url, limit, shed, %first, "a target is at its series_limit: new series are not stored");
            }
            None if shed_before => tracing::info!(%url, limit, "all series of a target are stored again"),
            _ => {}
        }
    }

    /// The target is gone: so are its series.
    fn end(&mut self) {
        let now_ms = self.scraping.clock.now_ms();
        let mut batch = Batch::default();
        let left = self.inherit();
        self.pass(&mut batch).fail(now_ms);
        batch.stale(self.automatic.clone(), now_ms);
        batch.stale(left.map(|left| left.orphans(&batch)).unwrap_or_default(), now_ms);
        // The store says that it failed; nobody asks how a target is that is gone.
        let _ = self.append(&mut batch);
    }
}
