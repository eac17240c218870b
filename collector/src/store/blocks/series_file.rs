//! `series.parquet`: a row for each series, in the order of their labels. Columns `series` (the row's number), `samples` and
//! `histograms` (its rows in the other files), `min_ms`, `max_ms`, and a struct `labels` with a text for each name of a label,
//! null where a series has none. A struct, as it takes a quarter less than a map, keeps names of labels apart from
//! those of columns, and is what Polars and DuckDB reach into with the least words.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Encoding, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::EnabledStatistics;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, Type};

use super::columns::{ParquetFile, ParquetWriter, Sink, properties, write_column};
use super::file::{BlockError, Written};
use super::table::{Row, Table};
use crate::series::METRIC_NAME;

/// The file's name.
pub(super) const SERIES_FILE: &str = "series.parquet";

const SCHEMA: &str = "message series {
    required int64 series (INTEGER(64, false));
    required int64 samples (INTEGER(64, false));
    required int64 histograms (INTEGER(64, false));
    required int64 min_ms;
    required int64 max_ms;
}";

/// Columns before the labels.
const FIXED: usize = 5;

/// Series of a row group: one column of them is held in memory.
const SERIES_PER_GROUP: usize = 131_072;

/// Bytes of a column's dictionary above which its values are written as they are; a page of the crate's own default.
const DICTIONARY_BYTES_MAX: usize = 1 << 20;

fn schema(names: &[&str]) -> Result<Type, ParquetError> {
    let text = |name: &&str| {
        let built = Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(Some(LogicalType::String))
            .build()?;
        Ok(Arc::new(built))
    };
    let labels = names.iter().map(text).collect::<Result<Vec<_>, ParquetError>>()?;
    let labels =
        Type::group_type_builder("labels").with_repetition(Repetition::REQUIRED).with_fields(labels).build()?;
    let mut fields = parse_message_type(SCHEMA)?.get_fields().to_vec();
    fields.push(Arc::new(labels));
    Type::group_type_builder("series").with_fields(fields).build()
}

/// Writes the file.
pub(super) fn write(folder: &Path, table: &Table) -> Result<Written, BlockError> {
    let path = folder.join(SERIES_FILE);
    let numbers = table.names();
    let mut names: Vec<&str> = numbers.iter().map(|number| &**table.text(*number)).collect();
    if names.is_empty() {
        // A struct without fields is none to most readers.
        names.push(METRIC_NAME);
    }
    let schema = schema(&names).map_err(|error| BlockError::parquet(&path, error))?;
    let mut made = properties()
        .set_dictionary_enabled(true)
        .set_column_index_truncate_length(Some(16))
        .set_statistics_truncate_length(Some(64))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for name in ["series", "samples", "histograms", "min_ms", "max_ms"] {
        let name = ColumnPath::from(name);
        made = made
            .set_column_dictionary_enabled(name.clone(), false)
            .set_column_encoding(name, Encoding::DELTA_BINARY_PACKED);
    }
    let mut writer = ParquetWriter::create(path, Arc::new(schema), made.build())?;
    let texts = Texts::new(table);
    for start in (0..table.len()).step_by(SERIES_PER_GROUP) {
        let rows = start..table.len().min(start + SERIES_PER_GROUP);
        writer.group(|group| {
            let mut fixed = |of: &dyn Fn(usize) -> i64| {
                let values: Vec<i64> = rows.clone().map(of).collect();
                write_column::<Int64Type, Sink>(group, &values, None)
            };
            let row = |i: usize| &table.rows[i];
            fixed(&|i| i as i64)?;
            fixed(&|i| row(i).samples as i64)?;
            fixed(&|i| row(i).histograms as i64)?;
            fixed(&|i| row(i).min_ms)?;
            fixed(&|i| row(i).max_ms)?;
            if numbers.is_empty() {
                return write_column::<ByteArrayType, _>(group, &[], Some((&vec![0; rows.len()], None)));
            }
            for name in &numbers {
                let (values, defined) = texts.column(table, *name, rows.clone());
                write_column::<ByteArrayType, _>(group, &values, Some((&defined, None)))?;
            }
            Ok(())
        })?;
    }
    writer.finish().map(|(written, _)| written)
}

/// Each text once, as the Parquet crate wants it.
struct Texts(Vec<ByteArray>);

impl Texts {
    fn new(table: &Table) -> Self {
        Self(table.texts().iter().map(|text| ByteArray::from(Bytes::copy_from_slice(text.as_bytes()))).collect())
    }

    fn column(&self, table: &Table, name: u32, rows: std::ops::Range<usize>) -> (Vec<ByteArray>, Vec<i16>) {
        let (mut values, mut defined) = (Vec::new(), Vec::with_capacity(rows.len()));
        for series in rows {
            let value = table.pairs(series).iter().find(|(known, _)| *known == name);
            defined.push(i16::from(value.is_some()));
            values.extend(value.map(|(_, value)| self.0[*value as usize].clone()));
        }
        (values, defined)
    }
}

/// Reads the whole file.
pub(super) fn read(file: &ParquetFile) -> Result<Table, BlockError> {
    let columns = file.columns();
    let mut table = Table::default();
    let names: Vec<u32> = columns.iter().skip(FIXED).map(|path| table.number(path.last().map_or("", |n| n))).collect();
    let in_group = |group: usize| -> Result<usize, BlockError> {
        let rows = file.group_rows(group);
        usize::try_from(rows).map_err(|error| BlockError::damaged(&file.path, error.to_string()))
    };
    for group in 0..file.groups() {
        let count = in_group(group)?;
        let everything = std::slice::from_ref(&(0..count)).to_vec();
        let fixed = |column: usize| file.read::<Int64Type>(group, column, &everything).map(|found| found.values);
        let counts = fixed(1)?.into_iter().zip(fixed(2)?);
        let times = fixed(3)?.into_iter().zip(fixed(4)?);
        let mut labels: Vec<std::vec::IntoIter<u32>> = Vec::with_capacity(names.len());
        for column in 0..names.len() {
            let found = file.read::<ByteArrayType>(group, FIXED + column, &everything)?;
            let values = numbered(&mut table, &found.values, &found.defined);
            let values = values.filter(|values| values.len() == count);
            labels.push(values.ok_or_else(|| BlockError::damaged(&file.path, "a label is no text"))?.into_iter());
        }
        for ((samples, histograms), (min_ms, max_ms)) in counts.zip(times) {
            for (name, values) in names.iter().zip(&mut labels) {
                if let Some(value) = values.next().filter(|value| *value != ABSENT) {
                    table.push_label(*name, value);
                }
            }
            let (samples, histograms) = (samples.unsigned_abs(), histograms.unsigned_abs());
            table.close_series(Row { samples, histograms, min_ms, max_ms });
        }
    }
    Ok(table)
}

/// Stands for a label that a series does not have.
const ABSENT: u32 = u32::MAX;

/// The numbers of a column's texts, [`ABSENT`] where there is none.
fn numbered(table: &mut Table, values: &[ByteArray], defined: &[i16]) -> Option<Vec<u32>> {
    let mut values = values.iter();
    let mut last: Option<(&[u8], u32)> = None;
    let mut number = |is_there: &i16| {
        if *is_there == 0 {
            return Some(ABSENT);
        }
        let bytes = values.next()?.data();
        if let Some((known, number)) = last
            && known == bytes
        {
            return Some(number);
        }
        let number = table.number(std::str::from_utf8(bytes).ok()?);
        last = Some((bytes, number));
        Some(number)
    };
    defined.iter().map(&mut number).collect()
}
