//! `samples.parquet`: a row for each number, sorted by series, then by time. Columns `series` (the row of `series.parquet`),
//! `timestamp_ms` and `value`.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::Encoding;
use parquet::data_type::{DoubleType, Int64Type};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterPropertiesPtr};
use parquet::schema::parser::parse_message_type;

use super::columns::{
    ParquetFile, ParquetWriter, Piece, ROWS_PER_PAGE, ROWS_PER_THIN_PAGE, column, pieces, properties, write_column,
    write_smallest,
};
use super::file::{BlockError, Written};
use crate::series::Sample;

/// The file's name.
pub(super) const SAMPLES_FILE: &str = "samples.parquet";

const SCHEMA: &str = "message samples {
    required int64 series (INTEGER(64, false));
    required int64 timestamp_ms;
    required double value;
}";

/// Bytes of a dictionary of values above which there is none: half the values of a row group are different then.
const DICTIONARY_BYTES_MAX: usize = 256 << 10;

const TIMES: usize = 1;
const VALUES: usize = 2;

/// Writes the file, holding one row group in memory.
pub(super) struct SampleWriter {
    writer: ParquetWriter,
    /// How values may be written: as they are, or each different one once.
    ways: [WriterPropertiesPtr; 2],
    rows_per_group: usize,
    series: Vec<i64>,
    times: Vec<i64>,
    values: Vec<f64>,
}

impl SampleWriter {
    pub fn create(folder: &Path, rows_per_group: usize) -> Result<Self, BlockError> {
        let path = folder.join(SAMPLES_FILE);
        let schema = parse_message_type(SCHEMA).map_err(|error| BlockError::parquet(&path, error))?;
        let sorted = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
        let (delta, statistics) = (Encoding::DELTA_BINARY_PACKED, EnabledStatistics::Page);
        let made = column(properties(), "series", delta, ROWS_PER_THIN_PAGE, statistics);
        let made = column(made, "timestamp_ms", delta, ROWS_PER_THIN_PAGE, statistics);
        let split = Encoding::BYTE_STREAM_SPLIT;
        let made = column(made, "value", split, ROWS_PER_PAGE, EnabledStatistics::None);
        let made = made.set_sorting_columns(Some(vec![sorted(0), sorted(1)]));
        let with_dictionary = made.clone().set_column_dictionary_enabled("value".into(), true);
        let with_dictionary = with_dictionary.set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX).build();
        let made = made.build();
        let ways = [Arc::new(made.clone()), Arc::new(with_dictionary)];
        let writer = ParquetWriter::create(path, Arc::new(schema), made)?;
        Ok(Self { writer, ways, rows_per_group, series: Vec::new(), times: Vec::new(), values: Vec::new() })
    }

    /// Takes the samples of the next series.
    pub fn push(&mut self, series: u64, samples: &[Sample]) -> Result<(), BlockError> {
        let mut left = samples;
        while !left.is_empty() {
            let (now, rest) = left.split_at(left.len().min(self.rows_per_group - self.times.len()));
            let number = i64::try_from(series).unwrap_or(i64::MAX);
            self.series.resize(self.series.len() + now.len(), number);
            self.times.extend(now.iter().map(|sample| sample.timestamp_ms));
            self.values.extend(now.iter().map(|sample| sample.value));
            left = rest;
            if self.times.len() == self.rows_per_group {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        if self.times.is_empty() {
            return Ok(());
        }
        let column = self.writer.column(VALUES).expect("the schema has three columns");
        self.writer.group(|group| {
            write_column::<Int64Type, _>(group, &self.series, None)?;
            write_column::<Int64Type, _>(group, &self.times, None)?;
            write_smallest::<DoubleType, _>(group, &column, &self.ways, &self.values)
        })?;
        self.series.clear();
        self.times.clear();
        self.values.clear();
        Ok(())
    }

    pub fn finish(mut self) -> Result<(Written, u64), BlockError> {
        self.flush()?;
        self.writer.finish()
    }
}

/// Reads the samples of some series: `rows` are each one's, ascending, and `taken` is told how many samples are read before
/// they are. The answer has the same order.
pub(super) fn read<E: From<BlockError>>(
    file: &ParquetFile,
    rows: &[std::ops::Range<u64>],
    (start_ms, end_ms): (i64, i64),
    mut taken: impl FnMut(usize) -> Result<(), E>,
) -> Result<Vec<Vec<Sample>>, E> {
    let mut found: Vec<Vec<Sample>> = rows.iter().map(|_| Vec::new()).collect();
    for (group, pieces) in pieces(file, rows.iter().cloned()) {
        let all: Vec<_> = pieces.iter().map(|piece| piece.rows.clone()).collect();
        let times = file.read::<Int64Type>(group, TIMES, &all)?.values;
        let (wanted, kept) = in_time(pieces, &times, start_ms, end_ms);
        taken(kept.len())?;
        let places: Vec<_> = wanted.iter().map(|piece| piece.rows.clone()).collect();
        let values = file.read::<DoubleType>(group, VALUES, &places)?.values;
        let mut samples = kept.into_iter().zip(values);
        for piece in wanted {
            let one = samples.by_ref().take(piece.rows.len());
            found[piece.slot].extend(one.map(|(timestamp_ms, value)| Sample { timestamp_ms, value }));
        }
    }
    Ok(found)
}

/// The rows of each piece whose time is in the range, with those times.
pub(super) fn in_time(pieces: Vec<Piece>, times: &[i64], start_ms: i64, end_ms: i64) -> (Vec<Piece>, Vec<i64>) {
    let (mut wanted, mut kept) = (Vec::with_capacity(pieces.len()), Vec::new());
    let mut at = 0;
    for piece in pieces {
        let own = &times[at..at + piece.rows.len()];
        at += own.len();
        let from = own.partition_point(|time| *time < start_ms);
        let until = from + own[from..].partition_point(|time| *time <= end_ms);
        if from < until {
            kept.extend_from_slice(&own[from..until]);
            wanted.push(Piece { slot: piece.slot, rows: piece.rows.start + from..piece.rows.start + until });
        }
    }
    (wanted, kept)
}
