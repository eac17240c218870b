//! What a text has brought that is new, and stays because the scrape goes well: series get their handles, and what it says of
//! metrics is noted. Until then neither the store nor the report has heard of any of it, so that of a scrape that a limit fails
//! nothing has to be taken back there. Judges nothing.

use super::super::cache::{Cache, Kind};
use super::super::labels::stored_labels;
use super::super::report::kind_among;
use super::parts_of;
use super::taking::Taking;
use crate::series::{MetricMetadata, SeriesRef};

impl Taking<'_, '_> {
    /// Notes what the text says of a metric.
    pub fn note_metadata(&mut self, metric: &str, note: impl FnOnce(&mut MetricMetadata)) {
        let report = self.pass.report;
        let known =
            self.metadata.entry(metric.to_owned()).or_insert_with(|| report.metadata_of(metric).unwrap_or_default());
        note(known);
    }

    /// The type of the metric that a sample belongs to, empty if that is not known.
    pub(super) fn kind_of(&self, sample: &str) -> String {
        kind_among(&self.metadata, sample).unwrap_or_else(|| self.pass.report.kind_of(sample))
    }

    /// The scrape goes well.
    pub fn settle(&mut self) {
        for (metric, noted) in self.metadata.drain() {
            self.pass.report.note_metadata(&metric, noted);
        }
        if self.may_fail {
            self.resolve_new();
        }
    }

    /// Gives new series their handles, in the cache and in the batch. Their labels are found out again: as many as a text may
    /// have would take much memory meanwhile.
    fn resolve_new(&mut self) {
        let (pass, mut is_any) = (&mut *self.pass, false);
        for place in pass.cache.new_places() {
            let Kind::Series(coming) = pass.cache.kind(place) else { continue };
            if Cache::place_of_coming(coming).is_none() {
                continue;
            }
            is_any = true;
            let parts = parts_of(|name| pass.report.kind_of(name), pass.cache.key(place));
            let labels = parts.ok().and_then(|parts| stored_labels(pass.job, pass.target, parts).ok().flatten());
            match labels {
                Some(labels) => pass.cache.set_kind(place, Kind::Series(pass.store.resolve(&labels))),
                // It was kept because of what the text said of its metric only later.
                None => pass.cache.drop_series(place),
            }
        }
        if !is_any {
            return;
        }
        let handle = |series: SeriesRef| match Cache::place_of_coming(series).map(|place| pass.cache.kind(place)) {
            None => Some(series),
            Some(Kind::Series(series)) => Some(series),
            Some(_) => None,
        };
        pass.batch.renew(handle);
    }
}
