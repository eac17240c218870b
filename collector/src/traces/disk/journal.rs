//! What was received and is not decided upon yet: the requests as they came, handed to the operating system before they are
//! acknowledged, so that `kill -9` loses no trace that has not rested. A file is deleted when all that was in it is decided upon.
//!
//! File: [`MAGIC`], creation time (milliseconds, i64), records: length (u32), CRC32 (u32), `ExportTraceServiceRequest` as protobuf.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// First bytes of a file; the digits are the version of the format.
const MAGIC: &[u8; 8] = b"plmspj01";

const HEADER_BYTES: usize = 16;

const RECORD_HEADER_BYTES: usize = 8;

/// Age at which a new file is begun: traces rest for six seconds.
const FILE_AGE_MAX_MS: i64 = 4_000;

/// Size at which a new file is begun.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// All files together: what is decided upon is gone after half a minute, so that only requests that are mostly refused, or a
/// decision that is not taken, lead there. The oldest file goes then, before its time.
const BYTES_MAX: u64 = 512 << 20;

/// What is being received may be in a file before it is in memory.
const SLACK_MS: i64 = 2_000;

#[derive(Debug)]
struct Closed {
    path: PathBuf,
    bytes: u64,
    /// When it was written last.
    written_ms: i64,
}

#[derive(Debug, Default)]
struct State {
    closed: VecDeque<Closed>,
    open: Option<(File, PathBuf)>,
    open_bytes: u64,
    opened_ms: i64,
    /// When the open file was written last.
    last_ms: i64,
    last_number: u64,
}

/// The files.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    state: Mutex<State>,
    /// Of all files, for who must not wait until a request is written.
    bytes: AtomicU64,
    failing: AtomicBool,
    /// Requests that could not be written.
    unwritten: AtomicU64,
}

/// What was read back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Replayed {
    pub requests: u64,
    pub damaged_bytes: u64,
}

impl Journal {
    /// Opens the folder, and hands out what is in it, in order.
    pub fn open(dir: PathBuf, now_ms: i64, mut each: impl FnMut(&[u8])) -> io::Result<(Self, Replayed)> {
        fs::create_dir_all(&dir)?;
        let mut paths: Vec<PathBuf> = fs::read_dir(&dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        paths.sort();
        let (mut state, mut replayed) = (State::default(), Replayed::default());
        for path in paths {
            let bytes = fs::read(&path)?;
            replay(&path, &bytes, &mut replayed, &mut each);
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).unwrap_or(0);
            state.last_number = state.last_number.max(number);
            state.closed.push_back(Closed { path, bytes: bytes.len() as u64, written_ms: now_ms });
        }
        let bytes = AtomicU64::new(state.bytes());
        let (failing, unwritten) = (AtomicBool::default(), AtomicU64::default());
        Ok((Self { dir, state: Mutex::new(state), bytes, failing, unwritten }, replayed))
    }

    /// Writes a request. If that fails it is taken in all the same, counted, and said once.
    pub fn append(&self, request: &[u8], now_ms: i64) {
        match self.write(request, now_ms) {
            Ok(()) => {
                if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the journal of spans is written again");
                }
            }
            Err(error) => {
                self.unwritten.fetch_add(1, Ordering::Relaxed);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    let folder = self.dir.display();
                    tracing::error!(%error, %folder, "the journal of spans cannot be written: what comes in does not survive a kill");
                }
            }
        }
    }

    fn write(&self, request: &[u8], now_ms: i64) -> io::Result<()> {
        let length = u32::try_from(request.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let mut header = [0; RECORD_HEADER_BYTES];
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[4..].copy_from_slice(&crc32fast::hash(request).to_le_bytes());
        let mut state = self.state.lock();
        state.prepare(&self.dir, now_ms)?;
        let bytes = state.open_bytes;
        let Some((file, _)) = &mut state.open else { return Err(io::Error::from(io::ErrorKind::NotFound)) };
        if let Err(error) = write_both(file, &header, request) {
            // Reading stops at a torn record: what follows goes into another file.
            let _ = file.set_len(bytes);
            state.close();
            return Err(error);
        }
        state.open_bytes += (RECORD_HEADER_BYTES + request.len()) as u64;
        state.last_ms = now_ms;
        self.bytes.store(state.bytes(), Ordering::Relaxed);
        Ok(())
    }

    /// Deletes files in which nothing is that came since then.
    pub fn forget(&self, before_ms: i64) {
        let mut state = self.state.lock();
        if state.last_ms + SLACK_MS < before_ms {
            state.close();
        }
        let mut all = state.bytes() - state.open_bytes;
        while let Some(first) = state.closed.front()
            && (first.written_ms + SLACK_MS < before_ms || all > BYTES_MAX)
        {
            if let Err(error) = fs::remove_file(&first.path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, file = %first.path.display(), "a file of the journal of spans cannot be deleted");
                break;
            }
            all -= first.bytes;
            state.closed.pop_front();
        }
        self.bytes.store(state.bytes(), Ordering::Relaxed);
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Requests that could not be written.
    pub fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }
}

impl State {
    fn bytes(&self) -> u64 {
        self.closed.iter().map(|closed| closed.bytes).sum::<u64>() + self.open_bytes
    }

    fn prepare(&mut self, dir: &Path, now_ms: i64) -> io::Result<()> {
        let is_young = now_ms.saturating_sub(self.opened_ms) < FILE_AGE_MAX_MS;
        if self.open.is_some() && self.open_bytes < FILE_BYTES_MAX && is_young {
            return Ok(());
        }
        self.close();
        let path = dir.join(format!("{:08}.log", self.last_number + 1));
        let mut file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        self.last_number += 1;
        if let Err(error) = file.write_all(&[&MAGIC[..], &now_ms.to_le_bytes()].concat()) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        (self.open, self.open_bytes) = (Some((file, path)), HEADER_BYTES as u64);
        (self.opened_ms, self.last_ms) = (now_ms, now_ms);
        Ok(())
    }

    fn close(&mut self) {
        if let Some((_, path)) = self.open.take() {
            self.closed.push_back(Closed { path, bytes: self.open_bytes, written_ms: self.last_ms });
            self.open_bytes = 0;
        }
    }
}

/// Both in one call of the system, as a rule, without putting them together first.
fn write_both(file: &mut File, header: &[u8], request: &[u8]) -> io::Result<()> {
    let written = file.write_vectored(&[IoSlice::new(header), IoSlice::new(request)])?;
    match written.checked_sub(header.len()) {
        Some(of_request) => file.write_all(&request[of_request..]),
        None => {
            file.write_all(&header[written..])?;
            file.write_all(request)
        }
    }
}

fn replay(path: &Path, bytes: &[u8], replayed: &mut Replayed, each: &mut impl FnMut(&[u8])) {
    let mut at = HEADER_BYTES;
    if !bytes.starts_with(MAGIC) {
        at = 0;
    }
    while at > 0
        && let Some(header) = bytes.get(at..at + RECORD_HEADER_BYTES)
    {
        let length = u32::from_le_bytes(header[..4].try_into().expect("four bytes")) as usize;
        let from = at + RECORD_HEADER_BYTES;
        let Some(request) = bytes.get(from..from + length) else { break };
        if crc32fast::hash(request).to_le_bytes() != header[4..] {
            break;
        }
        each(request);
        replayed.requests += 1;
        at = from + length;
    }
    let damaged = bytes.len().saturating_sub(at);
    if damaged > 0 {
        replayed.damaged_bytes += damaged as u64;
        tracing::warn!(
            file = %path.display(), offset = at, bytes = damaged,
            "a file of the journal of spans ends in what is no request; it is left out"
        );
    }
}

#[cfg(test)]
mod tests;
