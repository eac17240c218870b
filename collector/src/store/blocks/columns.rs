//! Parquet as the blocks use it: properties, writing a column of a row group, and reading rows of a column by their places
//! while touching only the pages that hold them. Knows nothing of series.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::reader::ColumnReaderImpl;
use parquet::column::writer::{ColumnCloseResult, get_column_writer, get_typed_column_writer};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterPropertiesPtr};
use parquet::file::reader::SerializedPageReader;
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::{ColumnDescPtr, ColumnPath, TypePtr};

use super::file::{BlockError, CheckedFile, CheckedWriter, Written};

/// Rows of a page whose values take next to nothing each: a whole page must be read for one row.
pub(super) const ROWS_PER_THIN_PAGE: usize = 65_536;

/// Rows of a page of values. Of 5.5 million noisy samples, pages of 4,096, 16,384 and 65,536 rows took 1.73, 1.67 and 1.59
/// bytes a value.
pub(super) const ROWS_PER_PAGE: usize = 32_768;

/// What a file under construction writes to.
pub(super) type Sink = CheckedWriter<BufWriter<File>>;

/// zstd's level: 9 takes 3 % fewer bytes than its default of 3 for 30 ns more a sample; 19 takes 10 % fewer for a thousand.
const ZSTD_LEVEL: i32 = 9;

/// What all files have in common.
pub(super) fn properties() -> WriterPropertiesBuilder {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default();
    WriterProperties::builder()
        .set_created_by(concat!("plimsoll ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_data_page_row_count_limit(ROWS_PER_PAGE)
}

/// How one column is written.
pub(super) fn column(
    properties: WriterPropertiesBuilder,
    name: impl Into<ColumnPath>,
    encoding: Encoding,
    rows_per_page: usize,
    statistics: EnabledStatistics,
) -> WriterPropertiesBuilder {
    let name = name.into();
    properties
        .set_column_encoding(name.clone(), encoding)
        .set_column_data_page_row_count_limit(name.clone(), rows_per_page)
        .set_column_statistics_enabled(name, statistics)
}

/// A Parquet file under construction.
pub(super) struct ParquetWriter {
    path: PathBuf,
    writer: SerializedFileWriter<Sink>,
    groups: u64,
}

impl ParquetWriter {
    pub fn create(path: PathBuf, schema: TypePtr, properties: WriterProperties) -> Result<Self, BlockError> {
        let file = File::options().write(true).create_new(true).open(&path);
        let file = file.map_err(|error| BlockError::io(&path, &error))?;
        let sink = CheckedWriter::new(BufWriter::new(file));
        let writer = SerializedFileWriter::new(sink, schema, Arc::new(properties));
        let writer = writer.map_err(|error| BlockError::parquet(&path, error))?;
        Ok(Self { path, writer, groups: 0 })
    }

    /// Writes a row group: `columns` writes each column in turn.
    pub fn group(
        &mut self,
        columns: impl FnOnce(&mut SerializedRowGroupWriter<'_, Sink>) -> Result<(), ParquetError>,
    ) -> Result<(), BlockError> {
        let write = || {
            let mut group = self.writer.next_row_group()?;
            columns(&mut group)?;
            group.close().map(drop)
        };
        write().map_err(|error| BlockError::parquet(&self.path, error))?;
        self.groups += 1;
        Ok(())
    }

    /// A column of the file.
    pub fn column(&self, number: usize) -> Option<ColumnDescPtr> {
        self.writer.schema_descr().columns().get(number).cloned()
    }

    /// Writes the end of the file and brings it to the disk; tells what was written, and how many groups.
    pub fn finish(self) -> Result<(Written, u64), BlockError> {
        let path = self.path;
        let sink = self.writer.into_inner().map_err(|error| BlockError::parquet(&path, error))?;
        let (buffered, written) = sink.finish();
        let file = buffered.into_inner().map_err(|error| BlockError::io(&path, error.error()))?;
        file.sync_all().map_err(|error| BlockError::io(&path, &error))?;
        Ok((written, self.groups))
    }
}

/// Writes the next column of a row group in whichever of several ways takes the fewest bytes.
pub(super) fn write_smallest<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: &ColumnDescPtr,
    ways: &[WriterPropertiesPtr],
    values: &[T::T],
) -> Result<(), ParquetError> {
    let mut best: Option<(Vec<u8>, ColumnCloseResult)> = None;
    for way in ways {
        let mut buffer = TrackedWrite::new(Vec::new());
        let pages = Box::new(SerializedPageWriter::new(&mut buffer));
        let mut writer = get_typed_column_writer::<T>(get_column_writer(column.clone(), way.clone(), pages));
        writer.write_batch(values, None, None)?;
        let closed = writer.close()?;
        let bytes = buffer.into_inner()?;
        if best.as_ref().is_none_or(|(known, _)| bytes.len() < known.len()) {
            best = Some((bytes, closed));
        }
    }
    let (bytes, closed) = best.ok_or_else(|| ParquetError::General("there is no way to write".to_owned()))?;
    group.append_column(&Bytes::from(bytes), closed)
}

/// Writes the next column of a row group.
pub(super) fn write_column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<(&[i16], Option<&[i16]>)>,
) -> Result<(), ParquetError> {
    let no_column = || ParquetError::General("the schema has fewer columns".to_owned());
    let mut column = group.next_column()?.ok_or_else(no_column)?;
    let (defined, repeated) = levels.map_or((None, None), |(defined, repeated)| (Some(defined), repeated));
    column.typed::<T>().write_batch(values, defined, repeated)?;
    column.close()
}

/// A Parquet file that is read by the places of rows.
#[derive(Debug)]
pub(super) struct ParquetFile {
    pub path: PathBuf,
    file: Arc<CheckedFile>,
    metadata: ParquetMetaData,
    /// The first row of each group, and the number of all rows.
    starts: Vec<u64>,
}

/// The values of some rows with their levels.
pub(super) struct ColumnValues<T> {
    pub values: Vec<T>,
    pub defined: Vec<i16>,
    pub repeated: Vec<i16>,
}

impl ParquetFile {
    /// Opens a file and reads its end.
    pub fn open(path: &Path, written: Written) -> Result<Self, BlockError> {
        let file = CheckedFile::open(path, written).map_err(|error| BlockError::io(path, &error))?;
        Self::of(path, Arc::new(file))
    }

    /// Reads the end of a file, which says where everything is.
    pub fn of(path: &Path, file: Arc<CheckedFile>) -> Result<Self, BlockError> {
        let reader = ParquetMetaDataReader::new().with_offset_index_policy(PageIndexPolicy::Required);
        let metadata = reader.parse_and_finish(&*file).map_err(|error| BlockError::parquet(path, error))?;
        let mut starts = vec![0u64];
        for group in metadata.row_groups() {
            let rows = u64::try_from(group.num_rows()).unwrap_or(0);
            starts.push(starts.last().map_or(0, |start| start.saturating_add(rows)));
        }
        Ok(Self { path: path.to_owned(), file, metadata, starts })
    }

    pub fn rows(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    pub fn groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    /// Rows of a group.
    pub fn group_rows(&self, group: usize) -> u64 {
        self.starts[group + 1] - self.starts[group]
    }

    /// The number of the group with a row, and the rows of that group.
    pub fn group_of(&self, row: u64) -> (usize, Range<u64>) {
        let group = self.starts.partition_point(|start| *start <= row).saturating_sub(1);
        let at = |i: usize| self.starts.get(i).copied().unwrap_or(u64::MAX);
        (group, at(group)..at(group + 1))
    }

    /// Names of the columns, each as the path to it.
    pub fn columns(&self) -> Vec<Vec<String>> {
        let columns = self.metadata.file_metadata().schema_descr().columns();
        columns.iter().map(|column| column.path().parts().to_vec()).collect()
    }

    /// The values of a column in some rows of a group, which are given in ascending order.
    pub fn read<T: DataType>(
        &self,
        group: usize,
        column: usize,
        rows: &[Range<usize>],
    ) -> Result<ColumnValues<T::T>, BlockError> {
        self.read_column::<T>(group, column, rows).map_err(|error| BlockError::parquet(&self.path, error))
    }

    fn read_column<T: DataType>(
        &self,
        group: usize,
        column: usize,
        rows: &[Range<usize>],
    ) -> Result<ColumnValues<T::T>, ParquetError> {
        let described = self.metadata.row_group(group);
        let descriptor = described.schema_descr().columns().get(column);
        let descriptor = descriptor.filter(|found| found.physical_type() == T::get_physical_type());
        let descriptor =
            descriptor.ok_or_else(|| ParquetError::General(format!("column {column} is of no known type")))?;
        let pages = self.metadata.page_index_for_row_group(group).page_locations(column).cloned();
        let group_rows = usize::try_from(described.num_rows())?;
        let pages = SerializedPageReader::new(self.file.clone(), described.column(column), group_rows, pages)?;
        let mut reader = ColumnReaderImpl::<T>::new(descriptor.clone(), Box::new(pages));
        let count: usize = rows.iter().map(ExactSizeIterator::len).sum();
        let mut found = ColumnValues { values: Vec::with_capacity(count), defined: Vec::new(), repeated: Vec::new() };
        let mut at = 0;
        for range in rows {
            let is_there = reader.skip_records(range.start - at)? == range.start - at;
            let ColumnValues { values, defined, repeated } = &mut found;
            if !is_there || reader.read_records(range.len(), Some(defined), Some(repeated), values)?.0 != range.len() {
                return Err(ParquetError::EOF(format!("row group {group} ends before row {}", range.end)));
            }
            at = range.end;
        }
        Ok(found)
    }
}

/// Rows of several series, sorted by the group that they are in.
pub(super) struct Piece {
    /// Which of the series asked for.
    pub slot: usize,
    /// Rows within the group.
    pub rows: Range<usize>,
}

/// Splits rows, in ascending order, at the borders of groups.
pub(super) fn pieces(file: &ParquetFile, ranges: impl Iterator<Item = Range<u64>>) -> Vec<(usize, Vec<Piece>)> {
    let mut found: Vec<(usize, Vec<Piece>)> = Vec::new();
    for (slot, range) in ranges.enumerate() {
        let mut at = range.start;
        while at < range.end {
            let (group, rows) = file.group_of(at);
            let end = range.end.min(rows.end);
            let local = |row: u64| usize::try_from(row - rows.start).unwrap_or(usize::MAX);
            let piece = Piece { slot, rows: local(at)..local(end) };
            match found.last_mut() {
                Some((last, pieces)) if *last == group => pieces.push(piece),
                _ => found.push((group, vec![piece])),
            }
            at = end;
        }
    }
    found
}
