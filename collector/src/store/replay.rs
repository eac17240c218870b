//! Reading the log back when the store opens. A segment is read up to its first damaged record; in the newest one that is
//! the torn end a `kill -9` may leave, and it is cut off. Never refuses to start over damage: says what it left out. A file
//! that cannot be read, or is of another format, is left alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::log::{FILE_HEADER, MAGICS, RECORD_BYTES_MAX, RECORD_HEADER, Segment};
use super::record::{RecordReader, Version};
use crate::series::{Labels, Point};

/// What was found in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Segments read.
    pub segments: usize,
    /// Records read.
    pub records: u64,
    /// Samples read.
    pub samples: u64,
    /// Segments that ended in a damaged record, or were left alone.
    pub damaged_segments: usize,
    /// Bytes left out because of damage.
    pub damaged_bytes: u64,
}

impl Replayed {
    pub(super) fn add(&mut self, other: &Self) {
        self.segments += other.segments;
        self.records += other.records;
        self.samples += other.samples;
        self.damaged_segments += other.damaged_segments;
        self.damaged_bytes += other.damaged_bytes;
    }
}

/// Reads all segments of `dir`, which is made if need be: `declare` is told of series, `take` of samples. Gives the segments,
/// the next free number, and what was found.
pub(super) fn replay<S>(
    dir: &Path,
    mut declare: impl FnMut(Labels) -> S,
    mut take: impl FnMut(&S, Point),
) -> io::Result<(Vec<Segment>, u64, Replayed)> {
    fs::create_dir_all(dir)?;
    let mut report = Replayed::default();
    let mut segments = Vec::new();
    let listed = listed(dir)?;
    let next_number = listed.last().map_or(1, |(number, _)| number.saturating_add(1));
    for (_, path) in listed {
        match read_segment(&path, (&mut declare, &mut take), &mut report) {
            Ok(segment) => segments.push(segment),
            Err(error) => {
                report.damaged_segments += 1;
                tracing::error!(segment = %path.display(), %error, "a segment of the write-ahead log is left alone");
            }
        }
    }
    Ok((segments, next_number, report))
}

/// Segment files in order of number.
fn listed(dir: &Path) -> io::Result<Vec<(u64, std::path::PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|e| e == "wal");
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (true, Some(number)) = (is_segment, number) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Reads a segment record by record, so that memory holds one of them and not the file; cuts off what is damaged.
fn read_segment<S>(
    path: &Path,
    (declare, take): (&mut impl FnMut(Labels) -> S, &mut impl FnMut(&S, Point)),
    report: &mut Replayed,
) -> io::Result<Segment> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut segment = Segment { path: path.to_owned(), bytes, newest_ms: i64::MIN };
    let mut content = BufReader::new(file);
    let good = match version(&mut content, bytes)? {
        Some(version) => read_records(&mut content, version, (declare, take), &mut segment, report)?,
        None => 0,
    };
    report.segments += 1;
    if good < bytes {
        report.damaged_segments += 1;
        report.damaged_bytes += bytes - good;
        tracing::warn!(
            segment = %path.display(), offset = good, bytes = bytes - good,
            "the write-ahead log is damaged from here on; the rest of this segment is left out"
        );
        OpenOptions::new().write(true).open(path)?.set_len(good)?;
        segment.bytes = good;
    }
    Ok(segment)
}

/// How a segment is written. One shorter than a header is the torn beginning that a `kill -9` may leave.
fn version(content: &mut impl Read, bytes: u64) -> io::Result<Option<Version>> {
    if bytes < FILE_HEADER as u64 {
        return Ok(None);
    }
    let mut header = [0; FILE_HEADER];
    content.read_exact(&mut header)?;
    match MAGICS.iter().find(|(magic, _)| header.starts_with(*magic)) {
        Some((_, version)) => Ok(Some(*version)),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "it is of another format")),
    }
}

/// Returns the length of the part that is whole.
fn read_records<S>(
    content: &mut impl Read,
    version: Version,
    (declare, take): (&mut impl FnMut(Labels) -> S, &mut impl FnMut(&S, Point)),
    segment: &mut Segment,
    report: &mut Replayed,
) -> io::Result<u64> {
    let mut reader: RecordReader<S> = RecordReader::new(version);
    let mut good = FILE_HEADER as u64;
    let mut payload = Vec::new();
    while next_payload(content, &mut payload)? {
        let mut samples = 0;
        let read = reader.read(&payload, &mut *declare, |series, point| {
            samples += 1;
            segment.newest_ms = segment.newest_ms.max(point.timestamp_ms());
            take(series, point);
        });
        if read.is_none() {
            break;
        }
        report.records += 1;
        report.samples += samples;
        good += (RECORD_HEADER + payload.len()) as u64;
    }
    Ok(good)
}

/// Reads the next payload; says whether there is one, it is whole and its checksum fits.
fn next_payload(content: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<bool> {
    payload.clear();
    content.by_ref().take(RECORD_HEADER as u64).read_to_end(payload)?;
    let Some((length, crc)) =
        payload.first_chunk().zip(payload.last_chunk()).filter(|_| payload.len() == RECORD_HEADER)
    else {
        return Ok(false);
    };
    let (length, crc) = (u32::from_le_bytes(*length) as usize, u32::from_le_bytes(*crc));
    if length > RECORD_BYTES_MAX {
        return Ok(false);
    }
    payload.clear();
    // Takes memory as bytes come: a damaged length costs none.
    content.by_ref().take(length as u64).read_to_end(payload)?;
    Ok(payload.len() == length && crc32fast::hash(payload) == crc)
}
