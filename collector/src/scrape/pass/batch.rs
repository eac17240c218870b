//! Samples to be appended together: numbers, stale markers among them, native histograms, and the exemplars that came with them.

use crate::api::views::Exemplar;
use crate::series::{AppendError, HistogramSample, Ingest, Sample, SeriesRef, stale_nan};

/// Samples that are stored at once: the log is locked meanwhile, some milliseconds, and others wait.
const SAMPLES_AT_ONCE: usize = 10_000;

/// Samples to be appended together.
#[derive(Debug, Default)]
pub(in crate::scrape) struct Batch {
    pub samples: Vec<(SeriesRef, Sample)>,
    pub histograms: Vec<(SeriesRef, HistogramSample)>,
    pub exemplars: Vec<(SeriesRef, Exemplar)>,
}

impl Batch {
    pub fn clear(&mut self) {
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
    }

    /// Bytes of memory, without the histograms' own: those are the store's.
    pub fn bytes(&self) -> usize {
        self.samples.capacity() * size_of::<(SeriesRef, Sample)>()
            + self.histograms.capacity() * size_of::<(SeriesRef, HistogramSample)>()
            + self.exemplars.capacity() * size_of::<(SeriesRef, Exemplar)>()
    }

    /// Marks series as gone; what that is for one of histograms, the store knows.
    pub fn stale(&mut self, series: Vec<SeriesRef>, timestamp_ms: i64) {
        let marker = Sample { timestamp_ms, value: stale_nan() };
        self.samples.extend(series.into_iter().map(|series| (series, marker)));
    }

    /// Stores everything. Gives back the samples of series that the store no longer knows.
    ///
    /// # Errors
    /// If the store cannot.
    pub fn append(&self, store: &dyn Ingest) -> Result<Self, AppendError> {
        for (series, exemplar) in &self.exemplars {
            store.append_exemplar(*series, exemplar.clone());
        }
        let (mut lost, mut result) = (Self::default(), Ok(()));
        // Goes on after an error, so that what is lost is counted.
        let mut gone = Vec::new();
        for part in self.samples.chunks(SAMPLES_AT_ONCE) {
            result = result.and(store.append_resolved(part, &mut gone).map(|_| ()));
            lost.samples.extend(gone.drain(..).map(|position| part[position]));
        }
        for part in self.histograms.chunks(SAMPLES_AT_ONCE) {
            result = result.and(store.append_histograms(part, &mut gone).map(|_| ()));
            lost.histograms.extend(gone.drain(..).map(|position| part[position].clone()));
        }
        result.map(|()| lost)
    }

    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.histograms.is_empty()
    }

    /// The series of all samples.
    pub fn series(&self) -> impl Iterator<Item = SeriesRef> {
        let samples = self.samples.iter().map(|(series, _)| *series);
        samples.chain(self.histograms.iter().map(|(series, _)| *series))
    }

    /// The same for other series; what is of those without one goes.
    pub fn renew(&mut self, renewed: impl Fn(SeriesRef) -> Option<SeriesRef>) {
        self.samples.retain_mut(|(series, _)| renewed(*series).map(|new| *series = new).is_some());
        self.histograms.retain_mut(|(series, _)| renewed(*series).map(|new| *series = new).is_some());
        self.exemplars.retain_mut(|(series, _)| renewed(*series).map(|new| *series = new).is_some());
    }
}
