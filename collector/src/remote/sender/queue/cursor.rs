//! Remembers, across the end of the process, what every lane has sent and what it was sending. Two copies are written in turn, so that
//! one of them is always whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::LANES;

/// A place in a lane: the entry `index` of the record at `offset` of a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the segment.
    pub segment: u64,
    /// Where its record begins.
    pub offset: u64,
    /// Of the record's entries that are no definitions.
    pub index: u64,
}

/// How far a lane is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// What comes first that is not known to have arrived.
    pub acknowledged: Position,
    /// What comes first that was not on its way.
    pub sending: Position,
}

const SLOT_BYTES: usize = 4096;
const BODY_BYTES: usize = 8 + LANES * 48;

/// The file.
pub struct Cursor {
    file: File,
    generation: u64,
    /// How far each lane is.
    pub lanes: [Progress; LANES],
}

impl Cursor {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        let newest = (0..2).filter_map(|slot| read(&file, slot)).max_by_key(|(generation, _)| *generation);
        let (generation, lanes) = newest.unwrap_or_default();
        Ok(Self { file, generation, lanes })
    }

    /// Writes what is remembered.
    pub fn save(&mut self) -> io::Result<()> {
        self.generation += 1;
        let mut body = Vec::with_capacity(BODY_BYTES + 4);
        body.extend_from_slice(&self.generation.to_le_bytes());
        for lane in &self.lanes {
            for position in [lane.acknowledged, lane.sending] {
                for number in [position.segment, position.offset, position.index] {
                    body.extend_from_slice(&number.to_le_bytes());
                }
            }
        }
        let checksum = crc32fast::hash(&body);
        body.extend_from_slice(&checksum.to_le_bytes());
        self.file.write_all_at(&body, (self.generation % 2) * SLOT_BYTES as u64)
    }
}

fn read(file: &File, slot: u64) -> Option<(u64, [Progress; LANES])> {
    let mut bytes = [0; BODY_BYTES + 4];
    file.read_exact_at(&mut bytes, slot * SLOT_BYTES as u64).ok()?;
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (numbers, _) = body.as_chunks::<8>();
    let mut numbers = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes));
    let generation = numbers.next()?;
    let mut position = || {
        let mut next = || numbers.next().unwrap_or_default();
        Position { segment: next(), offset: next(), index: next() }
    };
    let lanes = std::array::from_fn(|_| Progress { acknowledged: position(), sending: position() });
    Some((generation, lanes))
}
