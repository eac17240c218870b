//! The life of one target: a scrape at its place in each interval, until it is removed or the collector stops.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lifecycle::CancellationToken;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Scraping;
use super::buffers::Buffer;
use super::cache::Cache;
use super::fetch::fetch;
use super::pass::{Batch, Found, Pass};
use super::report::{Scraped, TargetReport};
use crate::config::ScrapeJob;
use crate::discovery::target::Target;
use crate::series::{AppendError, Ingest, Labels, METRIC_NAME, Sample, SeriesRef};
use crate::transport::Transport;

/// Times this close to the schedule are moved onto it, so that they compress: Prometheus' `ScrapeTimestampTolerance`.
const ALIGNMENT_TOLERANCE_MS: i64 = 2;

/// The series that every target has, besides what it prints.
const AUTOMATIC: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// Scrapes one target.
pub struct TargetLoop {
    job: Arc<ScrapeJob>,
    target: Arc<Target>,
    transport: Arc<Transport>,
    scraping: Scraping,
    status: Arc<TargetReport>,
    cache: Cache,
    automatic: [SeriesRef; AUTOMATIC.len()],
    /// The last time that lies on the schedule.
    scheduled_ms: Option<i64>,
    /// Whether the last batch could not be stored.
    store_failed: bool,
}

impl TargetLoop {
    pub(super) fn new(
        job: Arc<ScrapeJob>,
        target: Arc<Target>,
        transport: Arc<Transport>,
        scraping: Scraping,
        status: Arc<TargetReport>,
    ) -> Self {
        let automatic = resolve_automatic(&target, scraping.store.as_ref());
        Self {
            job,
            target,
            transport,
            scraping,
            status,
            cache: Cache::new(),
            automatic,
            scheduled_ms: None,
            store_failed: false,
        }
    }

    /// Scrapes until `removed`, which ends the target's series, or `replaced`, which does not: the collector stops, or another
    /// task goes on.
    pub(super) async fn run(mut self, removed: CancellationToken, replaced: CancellationToken) {
        let first = Instant::now() + self.first_delay();
        let mut ticks = interval_at(first, self.target.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let scraped = async {
                ticks.tick().await;
                self.scrape().await;
            };
            tokio::select! {
                biased;
                () = replaced.cancelled() => return,
                () = removed.cancelled() => break,
                () = scraped => {}
            }
        }
        self.end();
    }

    /// Spreads targets over the interval, each always at the same place.
    fn first_delay(&self) -> Duration {
        let interval_ms = i64::try_from(self.target.interval.as_millis()).unwrap_or(i64::MAX).max(1);
        let mut hasher = DefaultHasher::new();
        (&self.target.labels, self.target.url.as_str()).hash(&mut hasher);
        let offset = i64::try_from(hasher.finish() >> 1).unwrap_or(0) % interval_ms;
        let now = self.scraping.clock.now_ms();
        Duration::from_millis(u64::try_from((offset - now).rem_euclid(interval_ms)).unwrap_or(0))
    }

    async fn scrape(&mut self) {
        let began = Instant::now();
        let at_ms = self.aligned(self.scraping.clock.now_ms());
        let mut buffer = self.scraping.buffers.take();
        let Buffer { body, compressed, batch } = &mut buffer;
        let result = match fetch(&self.transport, &self.job, &self.target, body, compressed).await {
            Ok(format) => self.pass(batch).read(body, format, at_ms),
            Err(reason) => {
                self.pass(batch).fail(at_ms);
                Err(reason)
            }
        };
        let duration = began.elapsed();
        match &result {
            Ok(found) => self.scraping.report.counts.add(found),
            Err(_) => _ = self.scraping.report.counts.failed.fetch_add(1, Ordering::Relaxed),
        }
        self.automatic_samples(batch, &result, duration, at_ms);
        let stored = self.append(batch, at_ms);
        self.scraping.buffers.give_back(buffer);
        let shown = result.as_ref().map(Into::into).unwrap_or_default();
        let error = stored.and(result.map(|_| ())).err();
        self.status.scraped(Scraped { at_ms, duration, error, found: shown });
    }

    fn aligned(&mut self, now_ms: i64) -> i64 {
        let interval_ms = i64::try_from(self.target.interval.as_millis()).unwrap_or(i64::MAX).max(1);
        let scheduled = self.scheduled_ms.unwrap_or(now_ms);
        let scheduled = scheduled + (now_ms - scheduled).div_euclid(interval_ms) * interval_ms;
        self.scheduled_ms = Some(scheduled);
        let tolerance = ALIGNMENT_TOLERANCE_MS.min(interval_ms / 100);
        if now_ms - scheduled <= tolerance { scheduled } else { now_ms }
    }

    fn pass<'a>(&'a mut self, batch: &'a mut Batch) -> Pass<'a> {
        Pass {
            job: &self.job,
            target: &self.target.labels,
            store: self.scraping.store.as_ref(),
            report: &self.scraping.report,
            cache: &mut self.cache,
            batch,
        }
    }

    fn automatic_samples(
        &self,
        batch: &mut Batch,
        result: &Result<Found, String>,
        duration: Duration,
        timestamp_ms: i64,
    ) {
        let none = Found::default();
        let found = result.as_ref().unwrap_or(&none);
        let up = if result.is_ok() { 1.0 } else { 0.0 };
        let values = [up, duration.as_secs_f64(), found.scraped as f64, found.kept as f64, found.added as f64];
        let samples = values.map(|value| Sample { timestamp_ms, value });
        batch.samples.extend(self.automatic.into_iter().zip(samples));
    }

    /// Stores the batch; what the store has forgotten meanwhile is looked up and stored again.
    fn append(&mut self, batch: &mut Batch, at_ms: i64) -> Result<(), String> {
        let mut gone = Vec::new();
        let mut result = self.scraping.store.append_resolved(&batch.samples, &mut gone).map(|_| ());
        if !gone.is_empty() && result.is_ok() {
            let lost: Vec<(SeriesRef, Sample)> = gone.iter().map(|position| batch.samples[*position]).collect();
            let old = self.automatic;
            self.automatic = resolve_automatic(&self.target, self.scraping.store.as_ref());
            self.pass(batch).again(&gone);
            let renewed = |(series, sample): (SeriesRef, Sample)| {
                let which = old.iter().position(|known| *known == series)?;
                Some((self.automatic[which], sample))
            };
            batch.samples.extend(lost.into_iter().filter_map(renewed));
            result = self.scraping.store.append_resolved(&batch.samples, &mut Vec::new()).map(|_| ());
        }
        self.note(result.as_ref().err(), at_ms);
        result.map_err(|error| format!("the samples could not be stored: {error}"))
    }

    /// Logs the first failure, and the first success after it: not every scrape while a disk is full.
    fn note(&mut self, error: Option<&AppendError>, at_ms: i64) {
        let failed_before = std::mem::replace(&mut self.store_failed, error.is_some());
        let url = &self.target.url;
        match error {
            Some(error) if !failed_before => {
                tracing::error!(%error, %url, at_ms, "the samples of a scrape could not be stored");
            }
            None if failed_before => tracing::info!(%url, at_ms, "samples are stored again"),
            _ => {}
        }
    }

    /// The target is gone: so are its series.
    fn end(&mut self) {
        let now_ms = self.scraping.clock.now_ms();
        let mut batch = Batch::default();
        self.pass(&mut batch).fail(now_ms);
        batch.stale(self.automatic.to_vec(), now_ms);
        // Logged; nobody asks how a target is that is gone.
        let _ = self.append(&mut batch, now_ms);
    }
}

fn resolve_automatic(target: &Target, store: &dyn Ingest) -> [SeriesRef; AUTOMATIC.len()] {
    AUTOMATIC.map(|name| {
        let own = target.labels.iter().chain(std::iter::once((METRIC_NAME, name)));
        store.resolve(&Labels::new(own))
    })
}
