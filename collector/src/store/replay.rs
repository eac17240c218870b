//! Reading the log back when the store opens. A segment is read up to its first damaged record; in the newest one that is
//! the torn end a `kill -9` may leave, and it is cut off. Never refuses to start over damage: says what it left out. A file
//! that cannot be read, or is of another format, is left alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::head::{Head, MemSeries};
use super::log::{FILE_HEADER, MAGICS, RECORD_BYTES_MAX, RECORD_HEADER, Segment};
use super::record::{RecordReader, Version};
use crate::series::Point;

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

/// Reads all segments of `dir` into `head`; gives them, the next free number, and what was found.
pub(super) fn replay(dir: &Path, head: &Head) -> io::Result<(Vec<Segment>, u64, Replayed)> {
    let mut report = Replayed::default();
    let mut segments = Vec::new();
    let listed = listed(dir)?;
    let next_number = listed.last().map_or(1, |(number, _)| number.saturating_add(1));
    for (_, path) in listed {
        let (content, version) = match content(&path) {
            Ok(read) => read,
            Err(error) => {
                report.damaged_segments += 1;
                tracing::error!(segment = %path.display(), %error, "a segment of the write-ahead log is left alone");
                continue;
            }
        };
        let mut segment = Segment { path, bytes: content.len() as u64, newest_ms: i64::MIN };
        let good = read_segment(&content, version, head, &mut segment, &mut report);
        report.segments += 1;
        if good < content.len() {
            let lost = (content.len() - good) as u64;
            report.damaged_segments += 1;
            report.damaged_bytes += lost;
            tracing::warn!(
                segment = %segment.path.display(), offset = good, bytes = lost,
                "the write-ahead log is damaged from here on; the rest of this segment is left out"
            );
            OpenOptions::new().write(true).open(&segment.path)?.set_len(good as u64)?;
            segment.bytes = good as u64;
        }
        segments.push(segment);
    }
    Ok((segments, next_number, report))
}

/// A segment's bytes, and how they are written. One shorter than a header is the torn beginning that a `kill -9` may leave.
fn content(path: &Path) -> io::Result<(Vec<u8>, Version)> {
    let mut content = Vec::new();
    File::open(path)?.read_to_end(&mut content)?;
    if content.len() < FILE_HEADER {
        return Ok((content, Version::Two));
    }
    match MAGICS.iter().find(|(magic, _)| content.starts_with(*magic)) {
        Some((_, version)) => Ok((content, *version)),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "it is of another format")),
    }
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

/// Returns the length of the part that is whole.
fn read_segment(content: &[u8], version: Version, head: &Head, segment: &mut Segment, report: &mut Replayed) -> usize {
    if content.len() < FILE_HEADER {
        return 0;
    }
    let mut reader: RecordReader<Arc<MemSeries>> = RecordReader::new(version);
    let mut at = FILE_HEADER;
    while let Some(payload) = next_payload(&content[at..]) {
        let mut samples = 0;
        let read = reader.read(
            payload,
            |labels| head.resolve(&labels),
            |series, point| {
                samples += 1;
                segment.newest_ms = segment.newest_ms.max(point.timestamp_ms());
                let mut state = series.state.lock();
                match point {
                    Point::Float(sample) => _ = state.push(sample),
                    Point::Histogram(sample) => _ = state.push_histogram(sample),
                }
            },
        );
        if read.is_none() {
            break;
        }
        report.records += 1;
        report.samples += samples;
        at += RECORD_HEADER + payload.len();
    }
    at
}

/// The payload at the start of `bytes`, if it is whole and its checksum fits.
fn next_payload(bytes: &[u8]) -> Option<&[u8]> {
    let (header, rest) = bytes.split_at_checked(RECORD_HEADER)?;
    let length = u32::from_le_bytes(header[..4].try_into().ok()?) as usize;
    let crc = u32::from_le_bytes(header[4..].try_into().ok()?);
    if length > RECORD_BYTES_MAX {
        return None;
    }
    let payload = rest.get(..length)?;
    (crc32fast::hash(payload) == crc).then_some(payload)
}
