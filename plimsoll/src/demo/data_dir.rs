//! The folder in which one demo keeps everything: given and kept, or made for the run and removed after it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The folder, locked against a second demo.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    is_temporary: bool,
    _lock: File,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made or written to.
    #[error("cannot use the data folder {path}: {source}; choose another with --data")]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Another demo uses it.
    #[error("the data folder {path} is in use by another demo; choose another with --data")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

impl DataDir {
    /// Opens the folder given, or one of its own in the system's folder for temporary files.
    pub fn open(given: Option<&Path>) -> Result<Self, DataDirError> {
        let is_temporary = given.is_none();
        let path = given
            .map_or_else(|| std::env::temp_dir().join(format!("plimsoll-demo-{}", std::process::id())), Path::to_owned);
        let unusable = |source| DataDirError::Unusable { path: path.clone(), source };
        fs::create_dir_all(&path).map_err(unusable)?;
        let path = path.canonicalize().map_err(unusable)?;
        let unusable = |source| DataDirError::Unusable { path: path.clone(), source };
        let lock = File::create(path.join("lock")).map_err(unusable)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| DataDirError::InUse { path: path.clone() })?;
        Ok(Self { path, is_temporary, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes away with the run.
    pub fn is_temporary(&self) -> bool {
        self.is_temporary
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if self.is_temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the temporary data folder stays behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DataDir;

    #[test]
    fn a_second_demo_on_the_same_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::open(Some(folder.path())).unwrap();
        let message = DataDir::open(Some(folder.path())).unwrap_err().to_string();
        assert!(message.contains("in use by another demo"), "{message}");
        drop(first);
        assert!(DataDir::open(Some(folder.path())).is_ok());
    }
}
