//! Native histograms of a target: made no finer than its job allows, and taken into the batch with their exemplars. Reads nothing.

use std::sync::Arc;

use super::super::cache::Kind;
use super::taking::Taking;
use crate::api::views::Exemplar;
use crate::config::protocols::HistogramOptions;
use crate::series::layout::coarsen;
use crate::series::{Histogram, HistogramSample, SCHEMA_CUSTOM, SCHEMA_MIN};

impl Taking<'_, '_> {
    /// Takes the histogram of a series, which is made only if it is stored. The outer error fails the scrape, the inner one is a
    /// problem of this histogram.
    pub fn take_histogram(
        &mut self,
        place: u32,
        timestamp_ms: Option<i64>,
        make: impl FnOnce() -> Result<Histogram, &'static str>,
    ) -> Result<Result<(), &'static str>, String> {
        let histogram = match self.pass.cache.kind(place) {
            Kind::Series(_) => match make() {
                Ok(histogram) => Some(limited(histogram, &self.pass.job.histograms)?),
                Err(reason) => return Ok(Err(reason)),
            },
            _ => None,
        };
        match (self.admit(place, timestamp_ms), histogram) {
            (Ok(Some((series, timestamp_ms))), Some(histogram)) => {
                let sample = HistogramSample { timestamp_ms, histogram: Arc::new(histogram) };
                self.pass.batch.histograms.push((series, sample));
                Ok(Ok(()))
            }
            (Ok(_), _) => Ok(Ok(())),
            (Err(reason), _) => Ok(Err(reason)),
        }
    }

    /// Keeps those of a histogram's exemplars that are newer than all that were kept before.
    pub fn take_exemplars(&mut self, place: u32, mut exemplars: Vec<Exemplar>) {
        let Kind::Series(series) = self.pass.cache.kind(place) else { return };
        let Some(newest_ms) = exemplars.iter().map(|exemplar| exemplar.timestamp_ms).max() else { return };
        let mark = self.pass.cache.note_exemplars_until(place, newest_ms);
        exemplars.retain(|exemplar| mark.is_before(exemplar.timestamp_ms));
        exemplars.sort_by_key(|exemplar| exemplar.timestamp_ms);
        self.pass.batch.exemplars.extend(exemplars.into_iter().map(|exemplar| (series, exemplar)));
    }
}

/// The histogram with as many buckets as it may have: as coarse as that takes.
fn limited(mut histogram: Histogram, options: &HistogramOptions) -> Result<Histogram, String> {
    coarsen(&mut histogram, options.schema_max);
    let Some(max) = options.buckets_max else { return Ok(histogram) };
    while filled(&histogram) > max {
        if histogram.schema == SCHEMA_CUSTOM || histogram.schema <= SCHEMA_MIN {
            return Err(format!("a histogram has more buckets than native_histogram_bucket_limit ({max})"));
        }
        let coarser = histogram.schema - 1;
        coarsen(&mut histogram, coarser);
    }
    Ok(histogram)
}

/// Buckets that hold something.
fn filled(histogram: &Histogram) -> usize {
    let buckets = histogram.positive_buckets.iter().chain(&histogram.negative_buckets);
    buckets.filter(|count| **count != 0.0).count()
}
