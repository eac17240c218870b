//! Where it is kept who is paused, so that neither a restart nor another leader forgets it: in the policy's object, or in a file of
//! the data folder. A pause counts once it is kept, and is answered then. Decides nothing.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster::kubernetes::policies::{PolicyStore, StoreError};
use parking_lot::Mutex;
use protocol::scaling::ObjectName;

use crate::state::State;

/// The file's name in the data folder.
const FILE: &str = "paused.json";

/// Where pauses are kept.
#[derive(Clone)]
pub enum Pauses {
    /// As an annotation of the policy's object, which its owner may set as well.
    Objects(Arc<dyn PolicyStore>),
    /// In a file.
    File(Arc<PauseFile>),
    /// Nowhere: they end with the process.
    Memory,
}

/// Why a pause is not known to be kept, and so does not count.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// The API server refused it, or did not say whether it took it; if it did, the watch tells.
    #[error("the API server did not confirm it: {0}")]
    Store(#[from] StoreError),
    /// The file was not written.
    #[error("{} was not written: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Pauses {
    /// Who is known to be paused before anything was read from a cluster.
    pub fn known(&self) -> BTreeSet<ObjectName> {
        match self {
            Self::File(file) => file.paused(),
            Self::Objects(_) | Self::Memory => BTreeSet::new(),
        }
    }

    /// Keeps it, and then tells the loop.
    ///
    /// # Errors
    /// When it was not kept; then it does not count either.
    pub async fn set(&self, state: &State, policy: &ObjectName, paused: bool) -> Result<(), PauseError> {
        match self {
            Self::Objects(store) => {
                let version = store.set_paused(&policy.namespace, &policy.name, paused).await?;
                state.pause_written(policy, paused, &version);
            }
            Self::File(file) => {
                let (file, name) = (Arc::clone(file), policy.clone());
                let path = file.path.clone();
                let kept = tokio::task::spawn_blocking(move || file.set(name, paused)).await;
                let kept = kept.unwrap_or_else(|error| Err(io::Error::other(error)));
                kept.map_err(|source| PauseError::File { path, source })?;
                state.pause(policy, paused);
            }
            Self::Memory => {
                tracing::warn!("this ends with the process: --data keeps who is paused");
                state.pause(policy, paused);
            }
        }
        Ok(())
    }
}

/// The names of all paused policies, as JSON.
#[derive(Debug)]
pub struct PauseFile {
    path: PathBuf,
    paused: Mutex<BTreeSet<ObjectName>>,
}

impl PauseFile {
    /// Reads the file of a folder that exists; without one nobody is paused.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        let paused = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                let words = format!("{}: {error}; mend it, or remove it to resume all policies", path.display());
                io::Error::new(io::ErrorKind::InvalidData, words)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, paused: Mutex::new(paused) })
    }

    /// Who is paused.
    pub fn paused(&self) -> BTreeSet<ObjectName> {
        self.paused.lock().clone()
    }

    /// Blocks until the disk has it.
    fn set(&self, policy: ObjectName, paused: bool) -> io::Result<()> {
        // Held while the file is written: of two writers the second one knows what the first one wrote.
        let mut known = self.paused.lock();
        let mut next = known.clone();
        let changed = if paused { next.insert(policy) } else { next.remove(&policy) };
        if changed {
            let draft = self.path.with_extension("json.new");
            let mut file = std::fs::File::create(&draft)?;
            serde_json::to_writer(&mut file, &next)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&draft, &self.path)?;
            if let Some(folder) = self.path.parent() {
                std::fs::File::open(folder)?.sync_all()?;
            }
            *known = next;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
