//! The folder in which one demo keeps everything: given and kept, or made for the run and removed after it.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Begins the name of every temporary folder.
const PREFIX: &str = "plimsoll-demo-";

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
        let path = given.map_or_else(|| temporary(&std::env::temp_dir()), Path::to_owned);
        let unusable = |source| DataDirError::Unusable { path: path.clone(), source };
        if is_temporary {
            // New and for this user alone: a folder that is there already is somebody else's.
            DirBuilder::new().mode(0o700).create(&path).map_err(unusable)?;
        } else {
            fs::create_dir_all(&path).map_err(unusable)?;
        }
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

    /// The folder, and whether it goes away with the run.
    pub fn describe(&self) -> String {
        let remark = if self.is_temporary { " (removed at the end)" } else { "" };
        format!("{}{remark}", self.path.display())
    }
}

/// A name that no other run uses, also when process ids come again; folders of runs that were killed are removed first.
fn temporary(parent: &Path) -> PathBuf {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            remove_if_left(&entry.path());
        }
    }
    parent.join(format!("{PREFIX}{}-{:08x}", std::process::id(), rand::random::<u32>()))
}

/// A folder without its lock, or whose lock somebody holds, is in use. Others' folders cannot be opened or removed.
fn remove_if_left(folder: &Path) {
    let Ok(lock) = File::options().write(true).open(folder.join("lock")) else { return };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
        let _ = fs::remove_dir_all(folder);
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

    #[test]
    fn temporary_folders_of_killed_runs_are_removed_and_those_in_use_are_not() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let folder = parent.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("lock"), "").unwrap();
            folder
        };
        let (left, used, foreign) = (make("plimsoll-demo-1-a"), make("plimsoll-demo-2-b"), make("other"));
        let in_use = DataDir::open(Some(&used)).unwrap();
        let new = super::temporary(parent.path());
        assert!(!left.exists() && used.exists() && foreign.exists() && !new.exists());
        drop(in_use);
    }
}
