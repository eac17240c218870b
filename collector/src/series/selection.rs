//! Series that were found but not read: whoever asked reads them one at a time, on as many threads as it likes, so that a
//! query over many series need not hold the samples of all of them at once.

use super::{HistogramSample, Labels, Meter, Sample, SelectError, SeriesSamples};

/// Series that fit, sorted by labels.
pub trait Selection: Send + Sync {
    /// How many there are. Some may turn out to have no sample in the range.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Labels of the series at an index below [`Selection::len`].
    fn labels(&self, index: usize) -> &Labels;

    /// Puts the samples of that series in the range into `into`, whose samples before are taken out; its labels stay as
    /// they are. The meter is told of the samples.
    ///
    /// # Errors
    /// What the meter said, or a block that cannot be read.
    fn read(&self, index: usize, into: &mut Scratch, meter: &dyn Meter) -> Result<(), SelectError>;
}

/// Memory that series are read into, one after the other.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Numbers in order of time, stale markers included.
    pub samples: Vec<Sample>,
    /// Native histograms in order of time.
    pub histograms: Vec<HistogramSample>,
}

impl Scratch {
    /// What a meter has been told of them.
    pub fn weight(&self) -> usize {
        self.samples.len() + self.histograms.iter().map(HistogramSample::weight).sum::<usize>()
    }
}

/// Series that have been read, and counted, already.
pub(super) struct Read(pub Vec<SeriesSamples>);

impl Selection for Read {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        &self.0[index].labels
    }

    fn read(&self, index: usize, into: &mut Scratch, meter: &dyn Meter) -> Result<(), SelectError> {
        let series = &self.0[index];
        into.samples.clone_from(&series.samples);
        into.histograms.clone_from(&series.histograms);
        meter.take(into.weight())
    }
}
