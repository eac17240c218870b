//! Work over large texts, done so that it holds up nobody: on a thread that the runtime makes up for, and by fewer targets at
//! once than there are cores. Starts no task.

use std::thread::available_parallelism;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes of a text from which on it is large: some 2,500 lines, a millisecond's work where they are known and ten times that
/// where they are new. Targets are scraped on time to a few milliseconds, and others wait meanwhile.
pub(super) const BYTES_APART: usize = 256 << 10;

/// Does what takes long on this thread, while another takes over the tasks that were to follow on it. A runtime of one thread
/// has none: there it is done as anything else.
pub(super) fn apart<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Places for those that work over large texts.
#[derive(Debug)]
pub(super) struct Places(Semaphore);

impl Default for Places {
    /// All cores but one: that one is for the small texts, which are most.
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self(Semaphore::new(cores.saturating_sub(1).max(1)))
    }
}

impl Places {
    /// Waits for a place, which is given back when it is dropped.
    pub async fn take(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed, so never without.
        self.0.acquire().await.ok()
    }
}
