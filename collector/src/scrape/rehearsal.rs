//! A target whose texts the caller has: what a scrape makes of them, without a connection, a schedule or a store to append to.
//! For fuzzing and measuring; scraping itself is in `target_loop`.

use std::sync::Arc;

use super::cache::Cache;
use super::pass::{Batch, Pass};
use super::report::ScrapeReport;
use crate::config::ScrapeJob;
use crate::exposition::MediaType;
use crate::series::{HistogramSample, Ingest, Labels, Sample, SeriesRef};

/// A target, as far as its texts go.
pub struct Rehearsal {
    job: ScrapeJob,
    target: Labels,
    store: Arc<dyn Ingest>,
    report: ScrapeReport,
    cache: Cache,
    batch: Batch,
}

/// What a text comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rehearsed {
    /// What would be appended: the samples printed, then a stale marker for each series that is gone.
    pub samples: Vec<(SeriesRef, Sample)>,
    /// The native histograms that would be.
    pub histograms: Vec<(SeriesRef, HistogramSample)>,
    /// Lines or metrics that could not be read.
    pub problems: usize,
}

impl Rehearsal {
    /// A target that has printed nothing yet, with the labels that it puts on its series; `store` is asked for handles.
    pub fn new(job: ScrapeJob, target: Labels, store: Arc<dyn Ingest>) -> Self {
        let report = ScrapeReport::new(String::new(), 0);
        Self { job, target, store, report, cache: Cache::new(), batch: Batch::default() }
    }

    /// Reads the next text of the target.
    ///
    /// # Errors
    /// The limit that it exceeds, or the job's reason to refuse it.
    pub fn read(&mut self, body: &[u8], format: impl Into<MediaType>, at_ms: i64) -> Result<Rehearsed, String> {
        let Self { job, target, store, report, cache, batch } = self;
        let series_max = job.limits.series;
        let pass = Pass { job, target, series_max, store: store.as_ref(), report, cache, batch };
        let (found, read) = pass.read(body, format.into(), at_ms);
        read?;
        let (samples, histograms) = (self.batch.samples.clone(), self.batch.histograms.clone());
        Ok(Rehearsed { samples, histograms, problems: found.problems })
    }
}
