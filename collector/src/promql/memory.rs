//! Series held in memory, for tests and scripts. Keeps no log and forgets nothing; the real store is `crate::store`.

use std::collections::BTreeMap;

use crate::series::{Labels, Matcher, Meter, Queryable, Sample, SelectError, SeriesSamples};

/// Series in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    series: BTreeMap<Labels, BTreeMap<i64, f64>>,
}

impl MemoryStore {
    /// Adds a sample; one at the same time is replaced.
    pub fn add(&mut self, labels: &Labels, sample: Sample) {
        if let Some(samples) = self.series.get_mut(labels) {
            samples.insert(sample.timestamp_ms, sample.value);
        } else {
            self.series.insert(labels.clone(), BTreeMap::from([(sample.timestamp_ms, sample.value)]));
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.series.clear();
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
        for (labels, samples) in fitting {
            let inside = || samples.range(start_ms..=end_ms);
            meter.take(inside().count())?;
            let samples = inside().map(|(timestamp_ms, value)| Sample { timestamp_ms: *timestamp_ms, value: *value });
            found.push(SeriesSamples::floats(labels.clone(), samples.collect()));
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
