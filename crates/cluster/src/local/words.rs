//! What a replica wrote: all of it to a bounded log file, the last lines kept in memory as its last words.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Lines kept as last words: enough for a panic with its backtrace.
const LINES_MAX: usize = 50;

/// Bytes of a line kept as last words; the log file has it whole.
const LINE_BYTES_MAX: usize = 2048;

/// Size at which a log file is set aside as `POD.log.1`; the one set aside before is dropped, so that a replica's logs
/// never take more than twice this.
const LOG_BYTES_MAX: u64 = 4 << 20;

/// Read at once from a pipe: what a Linux pipe holds by default is 64 KiB.
const CHUNK: usize = 16 << 10;

/// Collects what one replica writes, over all its runs.
#[derive(Debug, Clone)]
pub(super) struct Words(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: Option<File>,
    written: u64,
    lines: VecDeque<String>,
    partial: Vec<u8>,
}

impl Words {
    /// Appends to the file at `path`; without it, words are kept in memory only.
    pub fn new(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let written = file.as_ref().ok().and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len());
        if let Err(error) = &file {
            tracing::warn!(path = %path.display(), %error, "a replica's log file cannot be opened");
        }
        let (lines, partial) = (VecDeque::new(), Vec::new());
        Self(Arc::new(Mutex::new(Inner { path: path.to_owned(), file: file.ok(), written, lines, partial })))
    }

    /// Reads a pipe to its end.
    pub async fn listen(self, mut pipe: impl AsyncRead + Unpin) {
        let mut chunk = vec![0; CHUNK];
        while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
            self.0.lock().take(&chunk[..length]);
        }
    }

    /// Forgets the words of an earlier run.
    pub fn begin_run(&self) {
        let mut inner = self.0.lock();
        inner.lines.clear();
        inner.partial.clear();
    }

    /// The last `count` lines.
    pub fn last(&self, count: usize) -> String {
        let mut inner = self.0.lock();
        inner.finish_line();
        let skipped = inner.lines.len().saturating_sub(count);
        inner.lines.iter().skip(skipped).map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Inner {
    fn take(&mut self, chunk: &[u8]) {
        self.write(chunk);
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            let space = LINE_BYTES_MAX.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(&piece[..piece.len().min(space)]);
            if piece.ends_with(b"\n") {
                self.finish_line();
            }
        }
    }

    fn finish_line(&mut self) {
        let line = String::from_utf8_lossy(&self.partial).trim_end().to_owned();
        self.partial.clear();
        if !line.is_empty() {
            if self.lines.len() == LINES_MAX {
                self.lines.pop_front();
            }
            self.lines.push_back(line);
        }
    }

    fn write(&mut self, chunk: &[u8]) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.write_all(chunk) {
            tracing::warn!(path = %self.path.display(), %error, "a replica's log file cannot be written; it ends here");
            self.file = None;
            return;
        }
        self.written += chunk.len() as u64;
        if self.written >= LOG_BYTES_MAX {
            let aside = self.path.with_extension("log.1");
            let renamed = std::fs::rename(&self.path, aside);
            self.file = renamed.and_then(|()| OpenOptions::new().create(true).append(true).open(&self.path)).ok();
            self.written = 0;
        }
    }
}

/// Log files kept in all: those of the replicas that run and of the last ones that ran.
const FILES_MAX: usize = 200;

/// Removes the oldest log files beyond `FILES_MAX`.
pub(super) fn prune(logs: &Path) {
    let entries = std::fs::read_dir(logs).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some((entry.metadata().and_then(|metadata| metadata.modified()).ok()?, entry.path())))
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(FILES_MAX);
    for (_, path) in files.into_iter().take(surplus) {
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "an old log file could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_and_the_unfinished_one() {
        let folder = tempfile::tempdir().unwrap();
        let words = Words::new(&folder.path().join("a.log"));
        for number in 0..200 {
            words.0.lock().take(format!("line {number}\n").as_bytes());
        }
        words.0.lock().take(b"no newline");
        assert_eq!(words.last(2), "line 199\nno newline");
        assert_eq!(words.last(1000).lines().count(), LINES_MAX);
        words.begin_run();
        assert_eq!(words.last(5), "");
    }

    #[test]
    fn the_oldest_logs_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let epoch = std::time::SystemTime::UNIX_EPOCH;
        for number in 0..FILES_MAX + 3 {
            let file = File::create(folder.path().join(number.to_string())).unwrap();
            file.set_modified(epoch + std::time::Duration::from_secs(number as u64)).unwrap();
        }
        prune(folder.path());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), FILES_MAX);
        assert!(!folder.path().join("2").exists() && folder.path().join("3").exists());
    }

    #[test]
    fn the_log_never_grows_past_twice_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let words = Words::new(&path);
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            words.0.lock().take(&chunk);
        }
        let total: u64 =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(total <= 2 * LOG_BYTES_MAX, "{total}");
    }
}
