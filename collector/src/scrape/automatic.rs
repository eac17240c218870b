//! The series that each target has besides what it prints: how its scrapes go, and how near it is to its limits. Scrapes nothing.

use std::time::Duration;

use super::pass::Found;
use crate::config::ScrapeJob;
use crate::discovery::target::Target;
use crate::series::{Ingest, Labels, METRIC_NAME, Sample, SeriesRef};

/// What there is to say of a scrape.
pub(super) struct Facts<'a> {
    pub job: &'a ScrapeJob,
    pub target: &'a Target,
    pub found: &'a Found,
    pub is_up: bool,
    pub duration: Duration,
    /// Of the text; -1 if it was longer than it may be, 0 if there was none for another reason.
    pub body_bytes: i64,
}

/// A series' name, and what it says.
type Automatic = (&'static str, fn(&Facts<'_>) -> f64);

/// What every target has.
static ALWAYS: [Automatic; 5] = [
    ("up", |facts| if facts.is_up { 1.0 } else { 0.0 }),
    ("scrape_duration_seconds", |facts| facts.duration.as_secs_f64()),
    ("scrape_samples_scraped", |facts| facts.found.scraped as f64),
    ("scrape_samples_post_metric_relabeling", |facts| facts.found.kept as f64),
    ("scrape_series_added", |facts| facts.found.added as f64),
];

/// With `extra_scrape_metrics`: Prometheus' names.
static EXTRA: [Automatic; 3] = [
    ("scrape_timeout_seconds", |facts| facts.target.timeout.as_secs_f64()),
    ("scrape_sample_limit", |facts| facts.job.limits.samples.unwrap_or(0) as f64),
    ("scrape_body_size_bytes", |facts| facts.body_bytes as f64),
];

/// With a `series_limit`: vmagent's names.
static WITH_SERIES_LIMIT: [Automatic; 3] = [
    ("scrape_series_limit", |facts| facts.target.series_max.unwrap_or(0) as f64),
    ("scrape_series_current", |facts| facts.found.series as f64),
    ("scrape_series_limit_samples_dropped", |facts| facts.found.shed as f64),
];

fn all(job: &ScrapeJob, target: &Target) -> impl Iterator<Item = &'static Automatic> {
    let extra = job.extra_scrape_metrics.then_some(&EXTRA);
    let limit = target.series_max.map(|_| &WITH_SERIES_LIMIT);
    ALWAYS.iter().chain(extra.into_iter().flatten()).chain(limit.into_iter().flatten())
}

/// The handles of a target's automatic series.
pub(super) fn resolve(job: &ScrapeJob, target: &Target, store: &dyn Ingest) -> Vec<SeriesRef> {
    let series = |(name, _): &Automatic| {
        let own = target.labels.iter().chain(std::iter::once((METRIC_NAME, *name)));
        store.resolve(&Labels::new(own))
    };
    all(job, target).map(series).collect()
}

/// What they say, in the order of their handles.
pub(super) fn samples(facts: &Facts<'_>, timestamp_ms: i64) -> impl Iterator<Item = Sample> {
    all(facts.job, facts.target).map(move |(_, value)| Sample { timestamp_ms, value: value(facts) })
}
