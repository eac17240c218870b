//! Files with a checksum for every 16 KiB, so that a reader of single pages notices damage in what it reads and in nothing
//! else. Knows nothing of what is in the files.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// Bytes under one checksum: about what a page of samples takes, so that little more is read than was asked for.
pub(super) const PIECE_BYTES: usize = 16 << 10;

/// Writes through, and sums up.
pub(super) struct CheckedWriter<W> {
    inner: W,
    hasher: crc32fast::Hasher,
    filled: usize,
    sums: Vec<u32>,
    bytes: u64,
}

/// What a file was when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Written {
    pub bytes: u64,
    /// CRC32 of each [`PIECE_BYTES`].
    pub sums: Vec<u32>,
}

impl<W: Write> CheckedWriter<W> {
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: crc32fast::Hasher::new(), filled: 0, sums: Vec::new(), bytes: 0 }
    }

    pub fn finish(mut self) -> (W, Written) {
        if self.filled > 0 {
            self.sums.push(self.hasher.finalize());
        }
        (self.inner, Written { bytes: self.bytes, sums: std::mem::take(&mut self.sums) })
    }

    fn sum_up(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(PIECE_BYTES - self.filled));
            self.hasher.update(now);
            self.filled += now.len();
            if self.filled == PIECE_BYTES {
                self.sums.push(std::mem::take(&mut self.hasher).finalize());
                self.filled = 0;
            }
            bytes = rest;
        }
    }
}

impl<W: Write> Write for CheckedWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let taken = self.inner.write(buf)?;
        self.sum_up(&buf[..taken]);
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A file that is read in places, by several threads at once, and compared with its checksums.
#[derive(Debug)]
pub(super) struct CheckedFile {
    file: File,
    written: Written,
}

impl CheckedFile {
    /// Opens a file that must be as long as when it was written.
    pub fn open(path: &Path, written: Written) -> io::Result<Self> {
        let file = File::open(path)?;
        let found = file.metadata()?.len();
        let wanted = written.bytes;
        if found != wanted || written.sums.len() as u64 != wanted.div_ceil(PIECE_BYTES as u64) {
            return Err(damaged(format!("it has {found} bytes and was written with {wanted}")));
        }
        Ok(Self { file, written })
    }

    fn piece(&self, number: usize, bytes: &[u8]) -> io::Result<()> {
        if self.written.sums.get(number) == Some(&crc32fast::hash(bytes)) {
            return Ok(());
        }
        Err(damaged(format!("the checksum of its bytes from {} on does not fit", number * PIECE_BYTES)))
    }

    /// Bytes of a place, checked.
    pub fn read(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.written.bytes);
        let (Some(end), Ok(from)) = (end, usize::try_from(start)) else {
            return Err(damaged(format!("it ends before byte {start} + {length}")));
        };
        if length == 0 {
            return Ok(Bytes::new());
        }
        let first = from / PIECE_BYTES;
        let aligned_start = (first * PIECE_BYTES) as u64;
        let aligned_end = end.next_multiple_of(PIECE_BYTES as u64).min(self.written.bytes);
        let size = usize::try_from(aligned_end - aligned_start).map_err(io::Error::other)?;
        let mut buffer = vec![0; size];
        self.file.read_exact_at(&mut buffer, aligned_start)?;
        for (i, bytes) in buffer.chunks(PIECE_BYTES).enumerate() {
            self.piece(first + i, bytes)?;
        }
        let skipped = from - first * PIECE_BYTES;
        Ok(Bytes::from(buffer).slice(skipped..skipped + length))
    }
}

fn damaged(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl Length for CheckedFile {
    fn len(&self) -> u64 {
        self.written.bytes
    }
}

impl ChunkReader for CheckedFile {
    type T = io::Cursor<Bytes>;

    /// The parquet crate asks for this only where it does not know the length, which is never for pages of ours.
    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let rest = usize::try_from(self.written.bytes.saturating_sub(start))?;
        Ok(io::Cursor::new(self.read(start, rest)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        Ok(self.read(start, length)?)
    }
}

/// Why a file of a block cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", path.display())]
pub struct BlockError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
    /// Whether the operating system failed, as with a full disk, and the file may be well.
    pub transient: bool,
}

impl BlockError {
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        let transient = !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof);
        Self { path: path.to_owned(), message: error.to_string(), transient }
    }

    pub(super) fn parquet(path: &Path, error: ParquetError) -> Self {
        match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(error) => Self::io(path, &error),
                Err(other) => Self::damaged(path, other.to_string()),
            },
            other => Self::damaged(path, other.to_string()),
        }
    }

    pub(crate) fn damaged(path: &Path, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), message: message.into(), transient: false }
    }
}

/// Reads a whole small file.
pub(super) fn read_whole(path: &Path, bytes_max: u64) -> Result<Vec<u8>, BlockError> {
    let failed = |error: io::Error| BlockError::io(path, &error);
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() > bytes_max {
        return Err(BlockError::damaged(path, "it is longer than any that was ever written"));
    }
    let mut content = Vec::new();
    file.take(bytes_max).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}
