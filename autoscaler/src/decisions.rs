//! The decisions made so far: a bounded ring in memory, and a bounded pair of JSON-lines files where a data folder is given.
//! Never decides, never loses a record silently: what could not be written is counted by the caller.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use protocol::scaling::DecisionRecord;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;

/// Records kept in memory: 28 minutes of ten policies at a tick of 2 s, about 12 MB.
pub const RECORDS_MAX: usize = 10_000;

/// Size at which the file is set aside; with the one set aside before, the log takes at most twice this.
pub const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The ring.
#[derive(Debug, Default)]
pub struct Ring {
    records: Mutex<VecDeque<Arc<DecisionRecord>>>,
}

impl Ring {
    /// Adds a record and forgets the oldest beyond the limit.
    pub fn push(&self, record: Arc<DecisionRecord>) {
        let mut records = self.records.lock();
        if records.len() == RECORDS_MAX {
            records.pop_front();
        }
        records.push_back(record);
    }

    /// The newest records first: of one workload by name, with a sequence above `since`, at most `limit`.
    pub fn newest(&self, workload: Option<&str>, since: Option<u64>, limit: usize) -> Vec<Arc<DecisionRecord>> {
        let records = self.records.lock();
        let newer = records.iter().rev().take_while(|r| since.is_none_or(|since| r.sequence > since));
        newer.filter(|r| workload.is_none_or(|name| r.workload.name == name)).take(limit).cloned().collect()
    }
}

/// The file.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Journal {
    /// Opens `decisions.jsonl` in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// If the folder or the file cannot be made.
    pub async fn open(folder: &std::path::Path) -> io::Result<Self> {
        fs::create_dir_all(folder).await?;
        let path = folder.join("decisions.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(&path).await?;
        let bytes = file.metadata().await?.len();
        Ok(Self { path, file, bytes })
    }

    /// Appends records, one line each, and sets the file aside when it is full.
    ///
    /// # Errors
    /// If they cannot be written.
    pub async fn append(&mut self, records: &[Arc<DecisionRecord>]) -> io::Result<()> {
        let mut lines = Vec::with_capacity(records.len() * 1024);
        for record in records {
            serde_json::to_writer(&mut lines, record.as_ref())?;
            lines.push(b'\n');
        }
        self.file.write_all(&lines).await?;
        self.file.flush().await?;
        self.bytes += lines.len() as u64;
        if self.bytes >= FILE_BYTES_MAX {
            fs::rename(&self.path, self.path.with_extension("1.jsonl")).await?;
            self.file = OpenOptions::new().create(true).append(true).open(&self.path).await?;
            self.bytes = 0;
        }
        Ok(())
    }
}
