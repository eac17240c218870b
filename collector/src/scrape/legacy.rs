//! What a target's task leaves to the one that goes on with the target under another configuration: without it all series would
//! be new, and those that are no longer wanted would not end.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::cache::Cache;
use super::pass::Batch;
use crate::config::ScrapeJob;
use crate::series::SeriesRef;

/// A task's memory of its target.
#[derive(Debug)]
pub(super) struct Memory {
    /// By which it came to be.
    pub job: Arc<ScrapeJob>,
    pub cache: Cache,
    pub automatic: Vec<SeriesRef>,
}

impl Memory {
    /// Whether lines still mean what they meant, and are no more than may be.
    pub fn holds_for(&self, job: &ScrapeJob, series_max: Option<usize>) -> bool {
        let labels = |job: &ScrapeJob| {
            let limits = job.limits;
            (job.honor_labels, limits.labels, limits.label_name_length, limits.label_value_length)
        };
        labels(&self.job) == labels(job)
            && self.job.metric_relabel == job.metric_relabel
            && self.job.histograms.forms == job.histograms.forms
            && series_max.is_none_or(|max| self.cache.series_known() <= max)
    }

    /// Series that are not in the batch, which is all that there is now.
    pub fn orphans(mut self, batch: &Batch) -> Vec<SeriesRef> {
        let present: HashSet<SeriesRef> = batch.series().collect();
        let mut orphans = self.cache.all_live();
        orphans.append(&mut self.automatic);
        orphans.retain(|series| !present.contains(series));
        orphans
    }
}

/// Where one task leaves its memory and the next finds it.
#[derive(Debug, Clone, Default)]
pub(super) struct Legacy(Arc<Mutex<Option<Memory>>>);

impl Legacy {
    pub fn leave(&self, memory: Memory) {
        *self.0.lock() = Some(memory);
    }

    /// Nothing if the other task has not ended yet.
    pub fn find(&self) -> Option<Memory> {
        self.0.lock().take()
    }
}
