//! Series held in memory, for tests and scripts. Keeps no log and forgets nothing; the real store is `crate::store`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::histogram;
use crate::series::{
    CounterReset, Histogram, HistogramSample, Labels, Matcher, Meter, Queryable, Sample, SelectError, SeriesSamples,
};

/// Series in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    series: BTreeMap<Labels, Stored>,
}

/// What is stored of a series, by time.
#[derive(Debug, Clone, Default)]
struct Stored {
    floats: BTreeMap<i64, f64>,
    histograms: BTreeMap<i64, Arc<Histogram>>,
}

impl MemoryStore {
    /// Adds a sample; one at the same time is replaced.
    pub fn add(&mut self, labels: &Labels, sample: Sample) {
        self.stored(labels).floats.insert(sample.timestamp_ms, sample.value);
    }

    /// Adds a native histogram. As Prometheus' store does, it says of a counter only that it was not reset, and this only
    /// if the sample before is a histogram of the same layout: other claims would not survive a gap in the data.
    pub fn add_histogram(&mut self, labels: &Labels, sample: HistogramSample) {
        let stored = self.stored(labels);
        let mut histogram = sample.histogram;
        if histogram.reset != CounterReset::Gauge {
            let before = stored.histograms.range(..sample.timestamp_ms).next_back();
            let float = stored.floats.range(..sample.timestamp_ms).next_back();
            let follows = before
                .filter(|(at, _)| float.is_none_or(|(float_at, _)| float_at < *at))
                .is_some_and(|(_, before)| histogram::continues(before, &histogram));
            let reset = if follows { CounterReset::NotReset } else { CounterReset::Unknown };
            if histogram.reset != reset {
                histogram = Arc::new(Histogram { reset, ..Histogram::clone(&histogram) });
            }
        }
        stored.histograms.insert(sample.timestamp_ms, histogram);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.series.clear();
    }

    fn stored(&mut self, labels: &Labels) -> &mut Stored {
        if !self.series.contains_key(labels) {
            self.series.insert(labels.clone(), Stored::default());
        }
        self.series.get_mut(labels).expect("inserted above")
    }
}

impl Queryable for MemoryStore {
    fn select(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<SeriesSamples>, SelectError> {
        if start_ms > end_ms {
            return Ok(Vec::new());
        }
        let fitting = self.series.iter().filter(|(labels, _)| matchers.iter().all(|matcher| matcher.fits(labels)));
        let mut found = Vec::new();
        for (labels, stored) in fitting {
            let floats = stored.floats.range(start_ms..=end_ms);
            let samples: Vec<Sample> =
                floats.map(|(timestamp_ms, value)| Sample { timestamp_ms: *timestamp_ms, value: *value }).collect();
            let histograms = stored.histograms.range(start_ms..=end_ms);
            let histograms: Vec<HistogramSample> = histograms
                .map(|(timestamp_ms, histogram)| HistogramSample {
                    timestamp_ms: *timestamp_ms,
                    histogram: Arc::clone(histogram),
                })
                .collect();
            meter.take(samples.len() + histograms.iter().map(|one| one.histogram.weight()).sum::<usize>())?;
            found.push(SeriesSamples { labels: labels.clone(), samples, histograms });
        }
        found.retain(|series| !series.is_empty());
        Ok(found)
    }

    fn series(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        meter: &dyn Meter,
    ) -> Result<Vec<Labels>, SelectError> {
        Ok(self.select(matchers, start_ms, end_ms, meter)?.into_iter().map(|series| series.labels).collect())
    }
}
