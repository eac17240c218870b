//! Writing a block: series by series in the order of their labels, into a folder that gets its name only when all is on the
//! disk. Whatever ends it before leaves a folder that the next opening removes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::file::{BlockError, Written};
use super::histograms::{HISTOGRAMS_FILE, HistogramWriter};
use super::meta::{CHECKSUM_FILE, META_FILE, Meta};
use super::samples::{SAMPLES_FILE, SampleWriter};
use super::series_file::{self, SERIES_FILE};
use super::table::{Row, Table};
use crate::series::{HistogramSample, Labels, Sample};

/// The end of the name of a folder that is not yet a block.
pub(super) const UNFINISHED: &str = ".tmp";

/// A block under construction.
pub(crate) struct BlockWriter {
    home: PathBuf,
    folder: PathBuf,
    meta: Meta,
    table: Table,
    samples: Option<SampleWriter>,
    histograms: Option<HistogramWriter>,
    /// Whether the folder is to be removed.
    unfinished: bool,
}

impl BlockWriter {
    /// Begins a block in the folder of all blocks. Of `rows_per_group` samples some 32 bytes each are held in memory.
    pub fn create(home: &Path, meta: Meta, rows_per_group: usize) -> Result<Self, BlockError> {
        let folder = home.join(format!("{}{UNFINISHED}", meta.ulid));
        fs::create_dir(&folder).map_err(|error| BlockError::io(&folder, &error))?;
        let (home, table) = (home.to_owned(), Table::default());
        let mut writer = Self { home, folder, meta, table, samples: None, histograms: None, unfinished: true };
        // Always there, also without rows, as its readers know no better.
        writer.samples = Some(SampleWriter::create(&writer.folder, rows_per_group)?);
        Ok(writer)
    }

    /// Takes the next series with its samples in order of time; its labels must come after those of the one before. One
    /// without samples is left out.
    pub fn push(
        &mut self,
        labels: &Labels,
        samples: &[Sample],
        histograms: &[HistogramSample],
    ) -> Result<(), BlockError> {
        let times = [samples.first(), samples.last()].into_iter().flatten().map(|s| s.timestamp_ms);
        let times = times.chain([histograms.first(), histograms.last()].into_iter().flatten().map(|h| h.timestamp_ms));
        let (Some(min_ms), Some(max_ms)) = (times.clone().min(), times.max()) else { return Ok(()) };
        let series = self.table.len() as u64;
        if let Some(writer) = &mut self.samples {
            writer.push(series, samples)?;
        }
        if !histograms.is_empty() {
            let writer = match &mut self.histograms {
                Some(writer) => writer,
                None => self.histograms.insert(HistogramWriter::create(&self.folder)?),
            };
            writer.push(series, histograms)?;
        }
        let row = Row { samples: samples.len() as u64, histograms: histograms.len() as u64, min_ms, max_ms };
        self.table.push(labels, row);
        self.meta.min_time = self.meta.min_time.min(min_ms);
        self.meta.max_time = self.meta.max_time.max(max_ms.saturating_add(1));
        self.meta.stats.num_float_samples += row.samples;
        self.meta.stats.num_histogram_samples += row.histograms;
        Ok(())
    }

    /// Brings everything to the disk and gives the folder its name. `None` if there was nothing to write.
    pub fn finish(mut self) -> Result<Option<(PathBuf, Meta)>, BlockError> {
        let Some(samples) = self.samples.take().filter(|_| self.table.len() > 0) else { return Ok(None) };
        let (samples, mut groups) = samples.finish()?;
        let mut written = BTreeMap::from([(SAMPLES_FILE.to_owned(), samples)]);
        if let Some(histograms) = self.histograms.take() {
            let (histograms, histogram_groups) = histograms.finish()?;
            groups += histogram_groups;
            written.insert(HISTOGRAMS_FILE.to_owned(), histograms);
        }
        written.insert(SERIES_FILE.to_owned(), series_file::write(&self.folder, &self.table)?);
        let stats = &mut self.meta.stats;
        stats.num_series = self.table.len() as u64;
        stats.num_samples = stats.num_float_samples + stats.num_histogram_samples;
        stats.num_chunks = groups;
        self.describe(&written)?;
        let path = self.home.join(self.meta.ulid.to_string());
        sync_folder(&self.folder)?;
        fs::rename(&self.folder, &path).map_err(|error| BlockError::io(&path, &error))?;
        self.unfinished = false;
        sync_folder(&self.home)?;
        Ok(Some((path, self.meta.clone())))
    }

    /// Writes the description and the checksums.
    fn describe(&mut self, written: &BTreeMap<String, Written>) -> Result<(), BlockError> {
        self.meta.files = written.iter().map(|(name, written)| (name.clone(), written.bytes)).collect();
        let path = self.folder.join(META_FILE);
        let (content, sums) =
            self.meta.to_files(written).map_err(|error| BlockError::damaged(&path, error.to_string()))?;
        write_whole(&path, &content)?;
        write_whole(&self.folder.join(CHECKSUM_FILE), &sums)
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        if self.unfinished {
            // Best effort: what is left is removed when the store opens next.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn write_whole(path: &Path, content: &[u8]) -> Result<(), BlockError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error| BlockError::io(path, &error))
}

/// Brings the names in a folder to the disk.
pub(super) fn sync_folder(path: &Path) -> Result<(), BlockError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| BlockError::io(path, &error))
}
