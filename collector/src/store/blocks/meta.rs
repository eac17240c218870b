//! `meta.json` of a block: what is in it, from what it was made, and how long its files are. Field names are Prometheus' own
//! where it has the same thing.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::file::{BlockError, PIECE_BYTES, Written, read_whole};
use super::ulid::Ulid;

/// The file's name.
pub(super) const META_FILE: &str = "meta.json";

/// The file with the checksums of all others: CRC32 of each [`PIECE_BYTES`] of each file in the order of [`Meta::files`], of
/// the whole of [`META_FILE`], and of all these numbers; little-endian.
pub(super) const CHECKSUM_FILE: &str = "checksums";

/// The format that this code writes, and the only one it reads.
const VERSION: u32 = 1;

/// No `meta.json` is longer.
const META_BYTES_MAX: u64 = 16 << 20;

/// No file of checksums is longer: that of four terabytes.
const CHECKSUM_BYTES_MAX: u64 = 1 << 30;

/// A block, described.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    pub ulid: Ulid,
    /// No sample is older, milliseconds since the epoch.
    pub min_time: i64,
    /// All samples are older.
    pub max_time: i64,
    pub stats: BlockStats,
    pub compaction: Compaction,
    pub version: u32,
    /// All that the head held before this time is in this block or in older ones; absent if it holds late samples alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_until: Option<i64>,
    /// Bytes of each file, without this one and that of the checksums.
    pub files: BTreeMap<String, u64>,
}

/// How much is in a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockStats {
    pub num_samples: u64,
    pub num_float_samples: u64,
    pub num_histogram_samples: u64,
    pub num_series: u64,
    /// Row groups, which is what a block has instead of chunks.
    pub num_chunks: u64,
}

/// From what a block was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Compaction {
    /// 1 for a block made from the head, else one more than the highest of the parents.
    pub level: u32,
    /// Blocks of level 1 that went into it.
    pub sources: Vec<Ulid>,
    /// Blocks that it was made from and that it replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
}

/// A block that another one replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Parent {
    pub ulid: Ulid,
    pub min_time: i64,
    pub max_time: i64,
}

impl Meta {
    /// The description of a block in the making.
    pub fn new(ulid: Ulid, compaction: Compaction) -> Self {
        Self {
            ulid,
            min_time: i64::MAX,
            max_time: i64::MIN,
            stats: BlockStats::default(),
            compaction,
            version: VERSION,
            sealed_until: None,
            files: BTreeMap::new(),
        }
    }

    /// Reads a block's description, and the checksums of all its files.
    pub fn read(folder: &Path) -> Result<(Self, BTreeMap<String, Written>), BlockError> {
        let (path, sums_path) = (folder.join(META_FILE), folder.join(CHECKSUM_FILE));
        let content = read_whole(&path, META_BYTES_MAX)?;
        let sums = read_whole(&sums_path, CHECKSUM_BYTES_MAX)?;
        let sums_damaged = || BlockError::damaged(&sums_path, "it is not as it was written");
        let (sums, own) = sums.split_last_chunk().ok_or_else(sums_damaged)?;
        let (sums, described) = sums.split_last_chunk().ok_or_else(sums_damaged)?;
        if crc32fast::hash(&[sums, described].concat()) != u32::from_le_bytes(*own) {
            return Err(sums_damaged());
        }
        if crc32fast::hash(&content) != u32::from_le_bytes(*described) {
            return Err(BlockError::damaged(&path, "it is not as it was written"));
        }
        let meta: Self =
            serde_json::from_slice(&content).map_err(|error| BlockError::damaged(&path, error.to_string()))?;
        if meta.version != VERSION {
            let message = format!("the block is of format {}, and this program reads {VERSION}", meta.version);
            return Err(BlockError::damaged(&path, message));
        }
        let mut sums = sums.chunks_exact(4).map(|sum| u32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]));
        let one = |(name, bytes): (&String, &u64)| {
            let pieces = usize::try_from(bytes.div_ceil(PIECE_BYTES as u64)).unwrap_or(usize::MAX);
            (name.clone(), Written { bytes: *bytes, sums: sums.by_ref().take(pieces).collect() })
        };
        let written = meta.files.iter().map(one).collect();
        Ok((meta, written))
    }

    /// The content of [`META_FILE`] and of [`CHECKSUM_FILE`].
    pub fn to_files(&self, written: &BTreeMap<String, Written>) -> serde_json::Result<(Vec<u8>, Vec<u8>)> {
        let mut content = serde_json::to_vec_pretty(self)?;
        content.push(b'\n');
        let mut sums: Vec<u8> = written.values().flat_map(|w| &w.sums).flat_map(|sum| sum.to_le_bytes()).collect();
        sums.extend(crc32fast::hash(&content).to_le_bytes());
        sums.extend(crc32fast::hash(&sums).to_le_bytes());
        Ok((content, sums))
    }

    /// Bytes of all files, but for this small one.
    pub fn bytes(&self) -> u64 {
        let sums = |bytes: &u64| bytes.div_ceil(PIECE_BYTES as u64) * 4;
        self.files.values().map(|bytes| bytes + sums(bytes)).sum::<u64>() + 8
    }

    /// Of samples with one time that of the block with the lesser rank stays: what was in order, then what came late, each in
    /// the order of sealing.
    pub fn rank(&self) -> (bool, Ulid) {
        (self.sealed_until.is_none(), self.ulid)
    }

    /// Whether a sample of the block may be in `start_ms ..= end_ms`.
    pub fn overlaps(&self, start_ms: i64, end_ms: i64) -> bool {
        self.min_time <= end_ms && self.max_time > start_ms
    }
}
