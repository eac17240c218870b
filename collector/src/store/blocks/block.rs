//! A sealed block, open for reading. Opening reads the ends of its files; which series it has is read when a query first asks,
//! and may be forgotten again. Many queries read at once. Changes nothing.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::columns::ParquetFile;
use super::file::{BlockError, CheckedFile};
use super::histograms::{self, HISTOGRAMS_FILE};
use super::meta::{META_FILE, Meta};
use super::samples::{self, SAMPLES_FILE};
use super::series_file::{self, SERIES_FILE};
use super::table::Index;
use crate::series::{HistogramSample, Labels, Matcher, Meter, Sample, SelectError, SeriesSamples};

/// Series of which samples are read together: what bounds the memory of a read beyond the answer.
const SERIES_PER_READ: usize = 4_096;

/// A block.
#[derive(Debug)]
pub(crate) struct Block {
    pub folder: PathBuf,
    pub meta: Meta,
    samples: ParquetFile,
    histograms: Option<ParquetFile>,
    /// Held open: whoever asks may do so after another block has replaced this one.
    series: Arc<CheckedFile>,
}

impl Block {
    /// Opens a block whose files are all there, as long as they were, and readable at their ends.
    pub fn open(folder: &Path) -> Result<Self, BlockError> {
        let (meta, mut written) = Meta::read(folder)?;
        let mut take = |name: &str| {
            let missing = || BlockError::damaged(&folder.join(META_FILE), format!("it names no {name}"));
            written.remove(name).ok_or_else(missing)
        };
        let samples = ParquetFile::open(&folder.join(SAMPLES_FILE), take(SAMPLES_FILE)?)?;
        let path = folder.join(SERIES_FILE);
        let series = CheckedFile::open(&path, take(SERIES_FILE)?).map_err(|error| BlockError::io(&path, &error))?;
        let series = Arc::new(series);
        let histograms = match take(HISTOGRAMS_FILE) {
            Ok(written) => Some(ParquetFile::open(&folder.join(HISTOGRAMS_FILE), written)?),
            Err(_) => None,
        };
        Ok(Self { folder: folder.to_owned(), meta, samples, histograms, series })
    }

    /// Reads which series there are.
    pub fn index(&self) -> Result<Index, BlockError> {
        let path = self.folder.join(SERIES_FILE);
        let table = series_file::read(&ParquetFile::of(&path, self.series.clone())?)?;
        let sum =
            |of: fn(&super::table::Row) -> u64| table.rows.iter().try_fold(0u64, |sum, row| sum.checked_add(of(row)));
        let histogram_rows = self.histograms.as_ref().map_or(0, ParquetFile::rows);
        if sum(|row| row.samples) != Some(self.samples.rows()) || sum(|row| row.histograms) != Some(histogram_rows) {
            return Err(BlockError::damaged(&path, "it does not count the rows of the other files"));
        }
        Ok(Index::new(table))
    }

    /// Series that fit all matchers and have samples in `start_ms ..= end_ms`, sorted by labels.
    pub fn select(
        &self,
        index: &Index,
        matchers: &[Matcher],
        (start_ms, end_ms): (i64, i64),
        meter: &dyn Meter,
    ) -> Result<Vec<SeriesSamples>, SelectError> {
        let matching = in_time(index, matchers, start_ms, end_ms);
        meter.begin(matching.len())?;
        let mut found = Vec::new();
        for series in matching.chunks(SERIES_PER_READ) {
            let read = self.read(index, series, (start_ms, end_ms), |samples| meter.take(samples))?;
            found.extend(read.into_iter().filter(|one| !one.is_empty()));
        }
        Ok(found)
    }

    /// The samples of some series, given by their numbers in ascending order; `taken` is told how many samples are read
    /// before they are, and may stop it.
    pub fn read<E: From<BlockError>>(
        &self,
        index: &Index,
        series: &[u32],
        times: (i64, i64),
        mut taken: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Vec<SeriesSamples>, E> {
        let places: Vec<(Range<u64>, Range<u64>)> = series.iter().map(|one| index.places(*one as usize)).collect();
        let rows: Vec<Range<u64>> = places.iter().map(|(samples, _)| samples.clone()).collect();
        let samples = samples::read(&self.samples, &rows, times, &mut taken)?;
        let histograms = match &self.histograms {
            Some(file) => {
                let rows: Vec<Range<u64>> = places.into_iter().map(|(_, histograms)| histograms).collect();
                histograms::read(file, &rows, times, &mut taken)?
            }
            None => vec![Vec::new(); series.len()],
        };
        let both = series.iter().zip(samples).zip(histograms);
        Ok(both
            .map(|((one, samples), histograms)| joined(index.table().labels(*one as usize), samples, histograms))
            .collect())
    }

    /// Labels of the series that fit all matchers and may have a sample in the range, sorted.
    pub fn series(index: &Index, matchers: &[Matcher], start_ms: i64, end_ms: i64) -> Vec<Labels> {
        let found = in_time(index, matchers, start_ms, end_ms);
        found.into_iter().map(|series| index.table().labels(series as usize)).collect()
    }
}

fn joined(labels: Labels, samples: Vec<Sample>, histograms: Vec<HistogramSample>) -> SeriesSamples {
    SeriesSamples { labels, samples, histograms }
}

fn in_time(index: &Index, matchers: &[Matcher], start_ms: i64, end_ms: i64) -> Vec<u32> {
    let mut found = index.matching(matchers);
    found.retain(|series| {
        let row = &index.table().rows[*series as usize];
        row.min_ms <= end_ms && row.max_ms >= start_ms
    });
    found
}
