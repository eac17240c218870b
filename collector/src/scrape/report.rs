//! What is known of targets and metrics, for the API: how each target's last scrape went, what was dropped, what the
//! metrics say of themselves. Starts nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use protocol::prometheus::{ActiveTarget, DroppedTarget, Targets};

use super::pass::Found;
use crate::api::views::{LastReload, TargetsView};
use crate::config::ScrapeJob;
use crate::discovery::kubernetes::WatchCounts;
use crate::discovery::target::{Origin, Target};
use crate::exposition::Problem;
use crate::remote::receiver::MetadataSink;
use crate::series::{Labels, MetricMetadata};

/// Metrics whose metadata is kept; a target that invents names must not fill the memory.
const METADATA_MAX: usize = 50_000;

/// Dropped targets of a job that are listed one by one, unless `keep_dropped_targets` says how many; all are counted.
const DROPPED_LISTED_MAX: usize = 1_000;

/// How a scrape ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Scraped {
    pub at_ms: i64,
    pub duration: Duration,
    /// Why it failed.
    pub error: Option<String>,
    pub body_bytes: u64,
    pub found: Shown,
}

/// The part of [`Found`] that is shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    pub samples: u64,
    pub problems: u64,
    pub first_problem: String,
    pub series: u64,
    pub shed: u64,
    pub first_shed: String,
}

impl From<&Found> for Shown {
    fn from(found: &Found) -> Self {
        let shown = |problem: &Option<Problem>| problem.as_ref().map(ToString::to_string).unwrap_or_default();
        Self {
            samples: found.scraped as u64,
            problems: found.problems as u64,
            first_problem: shown(&found.first_problem),
            series: found.series as u64,
            shed: found.shed as u64,
            first_shed: shown(&found.first_shed),
        }
    }
}

/// A target and how its last scrape went.
#[derive(Debug)]
pub struct TargetReport {
    job: Arc<ScrapeJob>,
    labels: Labels,
    url: String,
    interval: Duration,
    timeout: Duration,
    series_max: Option<usize>,
    origin: Mutex<Origin>,
    last: Mutex<Option<Scraped>>,
}

impl TargetReport {
    pub(super) fn new(job: Arc<ScrapeJob>, target: &Target) -> Self {
        Self {
            job,
            labels: target.labels.clone(),
            url: target.url.to_string(),
            interval: target.interval,
            timeout: target.timeout,
            series_max: target.series_max,
            origin: Mutex::new(target.origin.clone()),
            last: Mutex::new(None),
        }
    }

    pub(super) fn rediscovered(&self, origin: Origin) {
        *self.origin.lock() = origin;
    }

    pub(super) fn scraped(&self, scraped: Scraped) {
        *self.last.lock() = Some(scraped);
    }

    fn is_up(&self) -> bool {
        self.last.lock().as_ref().is_some_and(|last| last.error.is_none())
    }

    fn view(&self) -> ActiveTarget {
        let last = self.last.lock().clone();
        let health = match &last {
            None => "unknown",
            Some(last) if last.error.is_none() => "up",
            Some(_) => "down",
        };
        let last = last.unwrap_or_default();
        let limit = |max: Option<usize>| max.unwrap_or(0) as u64;
        ActiveTarget {
            discovered_labels: self.origin.lock().labels(&self.job),
            labels: self.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            scrape_pool: self.job.name.clone(),
            scrape_url: self.url.clone(),
            global_url: self.url.clone(),
            last_error: last.error.unwrap_or_default(),
            last_scrape: rfc3339(last.at_ms),
            last_scrape_duration: last.duration.as_secs_f64(),
            health: health.to_owned(),
            scrape_interval: protocol::duration::Display(self.interval).to_string(),
            scrape_timeout: protocol::duration::Display(self.timeout).to_string(),
            last_scrape_samples: last.found.samples,
            last_scrape_problems: last.found.problems,
            last_shed: self.explanation(&last.found),
            last_problem: last.found.first_problem,
            last_scrape_bytes: last.body_bytes,
            last_scrape_series: last.found.series,
            last_scrape_series_shed: last.found.shed,
            body_size_limit: limit(self.job.limits.body_bytes),
            sample_limit: limit(self.job.limits.samples),
            series_limit: limit(self.series_max),
        }
    }

    /// What series were shed for, and what to do about it.
    fn explanation(&self, found: &Shown) -> String {
        if found.shed == 0 {
            return String::new();
        }
        format!(
            "{} samples of new series were not stored, because the target's series_limit is {}; the first: {}. Have the target print \
             fewer, or the same ones each time, drop some with metric_relabel_configs, or raise series_limit.",
            found.shed,
            self.series_max.unwrap_or(0),
            found.first_shed
        )
    }
}

/// A time as Prometheus' API writes it; never is the year 1.
fn rfc3339(at_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(at_ms) {
        Ok(at) if at_ms != 0 => at.to_string(),
        _ => "0001-01-01T00:00:00Z".to_owned(),
    }
}

/// Counts over all targets since the start.
#[derive(Debug, Default)]
pub struct ScrapeCounts {
    /// Scrapes that gave samples.
    pub succeeded: AtomicU64,
    /// Scrapes that gave none.
    pub failed: AtomicU64,
    /// Lines that could not be read.
    pub problems: AtomicU64,
    /// Samples read.
    pub samples: AtomicU64,
    /// Samples that metric relabelling dropped.
    pub relabelled_away: AtomicU64,
    /// Samples of new series that a target's `series_limit` had no room for.
    pub shed: AtomicU64,
    /// Samples of series that had come before in the same text.
    pub repeated: AtomicU64,
    /// Samples with a time too far ahead.
    pub ahead: AtomicU64,
    /// Samples of scrapes that a limit failed.
    pub failed_samples: AtomicU64,
}

impl ScrapeCounts {
    /// Counts each sample that was read and does not go to the store, once.
    pub(super) fn add(&self, found: &Found, is_up: bool) {
        let add = |counter: &AtomicU64, n: usize| counter.fetch_add(n as u64, Ordering::Relaxed);
        add(if is_up { &self.succeeded } else { &self.failed }, 1);
        add(&self.problems, found.problems);
        add(&self.samples, found.scraped);
        add(&self.relabelled_away, found.scraped - found.kept - found.refused);
        if is_up {
            add(&self.shed, found.shed);
            add(&self.repeated, found.repeated);
            add(&self.ahead, found.ahead);
        } else {
            add(&self.failed_samples, found.kept + found.refused);
        }
    }
}

/// Why a listed target is not scraped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// A rule of the job dropped it.
    Relabelled,
    /// Another collector scrapes it.
    OtherShard,
    /// It has no address, or something else that is wrong.
    Invalid,
}

/// Reasons as they are shown and counted.
const REASONS: [(Reason, &str); 3] =
    [(Reason::Relabelled, "relabelling"), (Reason::OtherShard, "shard"), (Reason::Invalid, "invalid")];

/// Targets of a job that are not scraped: all are counted, the first are listed.
#[derive(Debug)]
pub(super) struct DroppedTargets {
    listed: Vec<(Origin, &'static str)>,
    listed_max: usize,
    counts: [u64; REASONS.len()],
}

impl DroppedTargets {
    /// None so far; `listed_max` is how many are to be listed, where somebody has said so.
    pub fn new(listed_max: Option<usize>) -> Self {
        let listed_max = listed_max.unwrap_or(DROPPED_LISTED_MAX);
        Self { listed: Vec::new(), listed_max, counts: Default::default() }
    }

    pub fn add(&mut self, origin: &Origin, reason: Reason) {
        let Some(place) = REASONS.iter().position(|(known, _)| *known == reason) else { return };
        self.counts[place] += 1;
        if self.listed.len() < self.listed_max {
            self.listed.push((origin.clone(), REASONS[place].1));
        }
    }
}

#[derive(Debug)]
struct PoolReport {
    job: Arc<ScrapeJob>,
    active: Vec<Arc<TargetReport>>,
    dropped: DroppedTargets,
}

impl PoolReport {
    fn dropped(&self) -> impl Iterator<Item = DroppedTarget> {
        self.dropped.listed.iter().map(|(origin, reason)| DroppedTarget {
            discovered_labels: origin.labels(&self.job),
            reason: (*reason).to_owned(),
        })
    }
}

/// All targets and metrics.
#[derive(Debug)]
pub struct ScrapeReport {
    pools: Mutex<BTreeMap<String, PoolReport>>,
    metadata: Mutex<HashMap<String, MetricMetadata>>,
    config_yaml: Mutex<String>,
    reload: Mutex<LastReload>,
    /// Counts over all targets.
    pub counts: ScrapeCounts,
    /// Counts over all watches of API servers.
    pub watch_counts: Arc<WatchCounts>,
}

impl ScrapeReport {
    /// A report that knows the configuration, in force from now, and nothing else yet.
    pub fn new(config_yaml: String, now_ms: i64) -> Self {
        Self {
            pools: Mutex::default(),
            metadata: Mutex::default(),
            config_yaml: Mutex::new(config_yaml),
            reload: Mutex::new(LastReload { successful: true, succeeded_ms: now_ms }),
            counts: ScrapeCounts::default(),
            watch_counts: Arc::default(),
        }
    }

    /// Another configuration is in force.
    pub fn set_config(&self, config_yaml: String, now_ms: i64) {
        *self.config_yaml.lock() = config_yaml;
        *self.reload.lock() = LastReload { successful: true, succeeded_ms: now_ms };
    }

    /// Another configuration was asked for and could not be read.
    pub fn reload_failed(&self) {
        self.reload.lock().successful = false;
    }

    pub(super) fn set_pool(&self, job: &Arc<ScrapeJob>, active: Vec<Arc<TargetReport>>, dropped: DroppedTargets) {
        self.pools.lock().insert(job.name.clone(), PoolReport { job: job.clone(), active, dropped });
    }

    pub(super) fn remove_pool(&self, name: &str) {
        self.pools.lock().remove(name);
    }

    /// How many listed targets are not scraped, by reason.
    pub fn dropped_counts(&self) -> Vec<(&'static str, u64)> {
        let pools = self.pools.lock();
        let count = |place: usize| pools.values().map(|pool| pool.dropped.counts[place]).sum();
        REASONS.iter().enumerate().map(|(place, (_, name))| (*name, count(place))).collect()
    }

    /// How many targets there are, and how many of them are up.
    pub fn target_counts(&self) -> (usize, usize) {
        let pools = self.pools.lock();
        let active = || pools.values().flat_map(|pool| &pool.active);
        (active().count(), active().filter(|target| target.is_up()).count())
    }

    /// What is known of a metric.
    pub(super) fn metadata_of(&self, metric: &str) -> Option<MetricMetadata> {
        self.metadata.lock().get(metric).cloned()
    }

    pub(super) fn note_metadata(&self, metric: &str, noted: MetricMetadata) {
        let mut metadata = self.metadata.lock();
        if metadata.len() < METADATA_MAX || metadata.contains_key(metric) {
            metadata.insert(metric.to_owned(), noted);
        }
    }

    /// The type of the metric that a sample belongs to, empty if that is not known.
    pub(super) fn kind_of(&self, sample: &str) -> String {
        kind_among(&self.metadata.lock(), sample).unwrap_or_default()
    }
}

/// The type of the metric that a sample belongs to, by its own name or without a histogram's suffix.
pub(super) fn kind_among(metadata: &HashMap<String, MetricMetadata>, sample: &str) -> Option<String> {
    let metric = metadata.get(sample).or_else(|| metadata.get(sample.strip_suffix("_bucket")?));
    metric.map(|metric| metric.kind.clone())
}

impl MetadataSink for ScrapeReport {
    fn note(&self, metric: &str, metadata: &MetricMetadata) {
        self.note_metadata(metric, metadata.clone());
    }
}

impl TargetsView for ScrapeReport {
    fn targets(&self) -> Targets {
        let pools = self.pools.lock();
        let mut active_targets: Vec<ActiveTarget> =
            pools.values().flat_map(|pool| &pool.active).map(|target| target.view()).collect();
        active_targets.sort_by(|a, b| (&a.scrape_pool, &a.scrape_url).cmp(&(&b.scrape_pool, &b.scrape_url)));
        Targets {
            active_targets,
            dropped_targets: pools.values().flat_map(PoolReport::dropped).collect(),
            dropped_target_counts: pools
                .iter()
                .map(|(n, pool)| (n.clone(), pool.dropped.counts.iter().sum()))
                .collect(),
        }
    }

    fn metadata(&self) -> Vec<(String, MetricMetadata)> {
        let mut metadata: Vec<(String, MetricMetadata)> =
            self.metadata.lock().iter().map(|(name, metadata)| (name.clone(), metadata.clone())).collect();
        metadata.sort_by(|a, b| a.0.cmp(&b.0));
        metadata
    }

    fn config_yaml(&self) -> String {
        self.config_yaml.lock().clone()
    }

    fn last_reload(&self) -> LastReload {
        *self.reload.lock()
    }
}
