//! `histograms.parquet`: a row for each native histogram, sorted by series, then by time. Buckets are two lists of one length,
//! `positive_index` and `positive_count` (and the same for `negative`); the index means what it does in Prometheus: bucket `i`
//! ends at `2^(i * 2^-schema)`, or at `custom_bounds[i]` where the schema is -53. A file only there if it has rows.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::Encoding;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::EnabledStatistics;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::columns::{
    ColumnValues, ParquetFile, ParquetWriter, ROWS_PER_THIN_PAGE, Sink, column, pieces, properties, write_column,
};
use super::file::{BlockError, Written};
use super::samples::in_time;
use crate::series::{CounterReset, Histogram, HistogramSample, Span};

/// The file's name.
pub(super) const HISTOGRAMS_FILE: &str = "histograms.parquet";

const SCHEMA: &str = "message histograms {
    required int64 series (INTEGER(64, false));
    required int64 timestamp_ms;
    required binary counter_reset (STRING);
    required int32 schema;
    required double zero_threshold;
    required double zero_count;
    required double count;
    required double sum;
    required group positive_index (LIST) { repeated group list { required int32 element; } }
    required group positive_count (LIST) { repeated group list { required double element; } }
    required group negative_index (LIST) { repeated group list { required int32 element; } }
    required group negative_count (LIST) { repeated group list { required double element; } }
    required group custom_bounds (LIST) { repeated group list { required double element; } }
}";

/// Rows of a row group, and buckets in all of them: what is held in memory while it is written, some 64 MiB.
const ROWS_PER_GROUP: usize = 65_536;
const BUCKETS_PER_GROUP: usize = 4 << 20;

/// Rows of a page: a histogram takes some twenty times what a number does.
const ROWS_PER_PAGE: usize = 1_024;

/// What `counter_reset` says for each kind.
const RESETS: [(CounterReset, &str); 4] = [
    (CounterReset::Unknown, "unknown"),
    (CounterReset::Reset, "reset"),
    (CounterReset::NotReset, "not_reset"),
    (CounterReset::Gauge, "gauge"),
];

/// Writes the file, holding one row group in memory.
pub(super) struct HistogramWriter {
    writer: ParquetWriter,
    rows: Vec<(i64, HistogramSample)>,
    buckets: usize,
}

impl HistogramWriter {
    pub fn create(folder: &Path) -> Result<Self, BlockError> {
        let path = folder.join(HISTOGRAMS_FILE);
        let schema = parse_message_type(SCHEMA).map_err(|error| BlockError::parquet(&path, error))?;
        let (delta, split) = (Encoding::DELTA_BINARY_PACKED, Encoding::BYTE_STREAM_SPLIT);
        let mut made = properties().set_data_page_row_count_limit(ROWS_PER_PAGE);
        for name in ["series", "timestamp_ms"] {
            made = column(made, name, delta, ROWS_PER_THIN_PAGE, EnabledStatistics::Page);
        }
        for name in ["counter_reset", "schema", "zero_threshold"] {
            made = made.set_column_dictionary_enabled(ColumnPath::from(name), true);
        }
        let list = |name: &str| ColumnPath::new([name, "list", "element"].map(str::to_owned).to_vec());
        for (path, encoding) in [
            (ColumnPath::from("zero_count"), split),
            (ColumnPath::from("count"), split),
            (ColumnPath::from("sum"), split),
            (list("positive_index"), delta),
            (list("positive_count"), split),
            (list("negative_index"), delta),
            (list("negative_count"), split),
        ] {
            made = column(made, path, encoding, ROWS_PER_PAGE, EnabledStatistics::None);
        }
        made = made.set_column_dictionary_enabled(list("custom_bounds"), true);
        let writer = ParquetWriter::create(path, Arc::new(schema), made.build())?;
        Ok(Self { writer, rows: Vec::new(), buckets: 0 })
    }

    /// Takes the histograms of the next series.
    pub fn push(&mut self, series: u64, histograms: &[HistogramSample]) -> Result<(), BlockError> {
        for sample in histograms {
            let histogram = &sample.histogram;
            self.buckets += histogram.positive_buckets.len() + histogram.negative_buckets.len();
            self.rows.push((i64::try_from(series).unwrap_or(i64::MAX), sample.clone()));
            if self.rows.len() == ROWS_PER_GROUP || self.buckets >= BUCKETS_PER_GROUP {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.writer.group(|group| write_group(group, &self.rows))?;
        self.rows.clear();
        self.buckets = 0;
        Ok(())
    }

    pub fn finish(mut self) -> Result<(Written, u64), BlockError> {
        self.flush()?;
        self.writer.finish()
    }
}

type Group<'a> = SerializedRowGroupWriter<'a, Sink>;

fn write_group(group: &mut Group<'_>, rows: &[(i64, HistogramSample)]) -> Result<(), ParquetError> {
    let each = || rows.iter().map(|(_, sample)| &*sample.histogram);
    let doubles = |of: fn(&Histogram) -> f64| each().map(of).collect::<Vec<f64>>();
    let longs = |of: fn(&(i64, HistogramSample)) -> i64| rows.iter().map(of).collect::<Vec<i64>>();
    write_column::<Int64Type, _>(group, &longs(|(series, _)| *series), None)?;
    write_column::<Int64Type, _>(group, &longs(|(_, sample)| sample.timestamp_ms), None)?;
    let resets: Vec<ByteArray> = each().map(|histogram| ByteArray::from(reset_name(histogram.reset))).collect();
    write_column::<ByteArrayType, _>(group, &resets, None)?;
    write_column::<Int32Type, _>(group, &each().map(|histogram| histogram.schema).collect::<Vec<i32>>(), None)?;
    let numbers: [fn(&Histogram) -> f64; 4] = [|h| h.zero_threshold, |h| h.zero_count, |h| h.count, |h| h.sum];
    for number in numbers {
        write_column::<DoubleType, _>(group, &doubles(number), None)?;
    }
    write_list::<Int32Type>(group, each().map(|h| indexes(&h.positive_spans, h.positive_buckets.len())))?;
    write_list::<DoubleType>(group, each().map(|h| h.positive_buckets.clone()))?;
    write_list::<Int32Type>(group, each().map(|h| indexes(&h.negative_spans, h.negative_buckets.len())))?;
    write_list::<DoubleType>(group, each().map(|h| h.negative_buckets.clone()))?;
    write_list::<DoubleType>(group, each().map(|h| h.custom_bounds.to_vec()))
}

fn write_list<T: DataType>(group: &mut Group<'_>, lists: impl Iterator<Item = Vec<T::T>>) -> Result<(), ParquetError> {
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for mut list in lists {
        let levels = list.len().max(1);
        defined.resize(defined.len() + levels, i16::from(!list.is_empty()));
        repeated.push(0);
        repeated.resize(defined.len(), 1);
        values.append(&mut list);
    }
    write_column::<T, _>(group, &values, Some((&defined, Some(&repeated))))
}

fn reset_name(reset: CounterReset) -> &'static str {
    RESETS.iter().find(|(known, _)| *known == reset).map_or("unknown", |(_, name)| name)
}

/// The index of each bucket.
fn indexes(spans: &[Span], buckets: usize) -> Vec<i32> {
    let (mut found, mut next) = (Vec::with_capacity(buckets), 0i32);
    for span in spans {
        next = next.wrapping_add(span.offset);
        for _ in 0..(span.length as usize).min(buckets - found.len()) {
            found.push(next);
            next = next.wrapping_add(1);
        }
    }
    found
}

/// The runs in which indexes follow each other.
fn spans(indexes: &[i32]) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    let mut next = 0i32;
    for index in indexes {
        match found.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => found.push(Span { offset: index.wrapping_sub(next), length: 1 }),
        }
        next = index.wrapping_add(1);
    }
    found
}

/// Reads the histograms of some series: `rows` are each one's, ascending, and `taken` is told how many are read before they
/// are. The answer has the same order.
pub(super) fn read<E: From<BlockError>>(
    file: &ParquetFile,
    rows: &[std::ops::Range<u64>],
    (start_ms, end_ms): (i64, i64),
    mut taken: impl FnMut(usize) -> Result<(), E>,
) -> Result<Vec<Vec<HistogramSample>>, E> {
    let mut found: Vec<Vec<HistogramSample>> = rows.iter().map(|_| Vec::new()).collect();
    for (group, pieces) in pieces(file, rows.iter().cloned()) {
        let all: Vec<_> = pieces.iter().map(|piece| piece.rows.clone()).collect();
        let times = file.read::<Int64Type>(group, 1, &all)?.values;
        let (wanted, kept) = in_time(pieces, &times, start_ms, end_ms);
        taken(kept.len())?;
        let places: Vec<_> = wanted.iter().map(|piece| piece.rows.clone()).collect();
        let histograms = read_group(file, group, &places)?;
        taken(histograms.iter().map(weight).sum())?;
        let (mut histograms, mut kept) = (histograms.into_iter(), kept.into_iter());
        for piece in wanted {
            let one = kept.by_ref().zip(histograms.by_ref()).take(piece.rows.len());
            found[piece.slot].extend(one.map(|(timestamp_ms, histogram)| HistogramSample { timestamp_ms, histogram }));
        }
    }
    Ok(found)
}

/// What a histogram weighs beyond a number.
fn weight(histogram: &Arc<Histogram>) -> usize {
    histogram.weight().saturating_sub(1)
}

fn read_group(
    file: &ParquetFile,
    group: usize,
    rows: &[std::ops::Range<usize>],
) -> Result<Vec<Arc<Histogram>>, BlockError> {
    let doubles = |column| file.read::<DoubleType>(group, column, rows).map(|found| found.values.into_iter());
    let bucket_indexes = |column| file.read::<Int32Type>(group, column, rows).map(lists);
    let counts = |column| file.read::<DoubleType>(group, column, rows).map(lists);
    let resets = file.read::<ByteArrayType>(group, 2, rows)?.values;
    let mut schemas = file.read::<Int32Type>(group, 3, rows)?.values.into_iter();
    let (mut thresholds, mut zeros, mut counted, mut sums) = (doubles(4)?, doubles(5)?, doubles(6)?, doubles(7)?);
    let (mut positive, mut positive_counts) = (bucket_indexes(8)?.into_iter(), counts(9)?.into_iter());
    let (mut negative, mut negative_counts) = (bucket_indexes(10)?.into_iter(), counts(11)?.into_iter());
    let mut bounds = counts(12)?.into_iter();
    let mut histograms = Vec::with_capacity(resets.len());
    let mut last_bounds: Arc<[f64]> = Arc::default();
    for reset in resets {
        let mut one = || {
            let custom_bounds = bounds.next()?;
            if *custom_bounds != *last_bounds {
                last_bounds = custom_bounds.into();
            }
            Some(Histogram {
                reset: RESETS.iter().find(|(_, name)| name.as_bytes() == reset.data())?.0,
                schema: schemas.next()?,
                zero_threshold: thresholds.next()?,
                zero_count: zeros.next()?,
                count: counted.next()?,
                sum: sums.next()?,
                positive_spans: spans(&positive.next()?),
                positive_buckets: positive_counts.next()?,
                negative_spans: spans(&negative.next()?),
                negative_buckets: negative_counts.next()?,
                custom_bounds: last_bounds.clone(),
            })
        };
        let histogram = one().ok_or_else(|| BlockError::damaged(&file.path, "a histogram lacks a column"))?;
        histograms.push(Arc::new(histogram));
    }
    Ok(histograms)
}

/// A list column as lists.
fn lists<T>(column: ColumnValues<T>) -> Vec<Vec<T>> {
    let mut values = column.values.into_iter();
    let mut found: Vec<Vec<T>> = Vec::new();
    for (defined, repeated) in column.defined.iter().zip(&column.repeated) {
        if *repeated == 0 {
            found.push(Vec::new());
        }
        if let (true, Some(list)) = (*defined > 0, found.last_mut()) {
            list.extend(values.next());
        }
    }
    found
}
