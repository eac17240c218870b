//! Writes whose outcome is not known: nobody answered in time, or whoever asked went away. They may have been carried out, so their
//! objects are read before anything more is decided about them. Repeats no write.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::state::Key;
use super::steering::{Steering, WRITES_AT_ONCE};
use super::wire::{Deployed, List, Pod};
use super::writing::{Failure, Place};
use crate::{ClusterError, WorkloadRef};

/// Longest time for reading all that is in doubt: as long as a write may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// An object that may not be as it is known here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Doubt {
    Workload(WorkloadRef),
    Pod(Key),
}

/// All of them.
pub(super) type Doubts = Arc<Mutex<HashSet<Doubt>>>;

/// A write under way.
struct Open {
    doubts: Doubts,
    about: Option<Doubt>,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(doubt) = self.about.take() {
            self.doubts.lock().insert(doubt);
        }
    }
}

impl Steering {
    /// Makes a write; if its outcome does not become known, its object is in doubt.
    pub async fn doubted<T>(
        &self,
        about: Doubt,
        write: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut open = Open { doubts: Arc::clone(&self.doubts), about: Some(about) };
        let outcome = write.await;
        if !matches!(outcome, Err(Failure::Unknown { .. })) {
            open.about = None;
        }
        outcome
    }

    /// Reads what is in doubt.
    ///
    /// # Errors
    /// When it cannot be read: then nothing should be decided.
    pub async fn settle_doubts(&self) -> Result<(), ClusterError> {
        let doubts: Vec<Doubt> = self.doubts.lock().iter().cloned().collect();
        if doubts.is_empty() {
            return Ok(());
        }
        let count = doubts.len();
        let mut reads = stream::iter(doubts).map(|doubt| self.settle(doubt)).buffer_unordered(WRITES_AT_ONCE);
        let all = async {
            while let Some(read) = reads.next().await {
                read?;
            }
            Ok(())
        };
        let read = timeout(PATIENCE, all).await;
        let read = read.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
        read.map_err(|reason| {
            let reason = format!("what became of {count} writes is not known yet: {reason}");
            ClusterError::Unavailable { reason }
        })
    }

    async fn settle(&self, doubt: Doubt) -> Result<(), String> {
        let read = match &doubt {
            Doubt::Workload(workload) => {
                let read = self.writer.read::<Deployed>(Place::workload(workload)).await;
                read.map(|object| self.take_in(workload, &object))
            }
            Doubt::Pod(key) => {
                let read = self.writer.find::<List<Pod>>(Place::pod(key.namespace(), key.name())).await;
                read.map(|list| {
                    let found = list.items.into_iter().flatten().find(|pod| pod.metadata.name == key.name());
                    // One that is gone is the watch's to tell.
                    let changed = found.is_some_and(|pod| self.picture.state.lock().answered_pod(&pod));
                    self.picture.changed(changed);
                })
            }
        };
        match read {
            Ok(()) | Err(Failure::NotFound) => {
                self.doubts.lock().remove(&doubt);
                Ok(())
            }
            Err(failure) => Err(failure.reason()),
        }
    }
}
