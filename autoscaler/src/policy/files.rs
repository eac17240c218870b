//! Policies of files and folders: which files those are, and what they say now. A folder stands for the YAML files that are in it at
//! the moment. Follows nothing: who reads again, and when, is `reload`.

use std::io;
use std::path::{Path, PathBuf};

use protocol::yaml::DocumentError;

use super::{PolicySet, load};

/// Files and folders with policies.
#[derive(Debug, Clone)]
pub struct PolicyFiles {
    paths: Vec<PathBuf>,
}

impl PolicyFiles {
    /// Files and folders; they are not looked at.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths }
    }

    /// Reads and checks all of them.
    ///
    /// # Errors
    /// What is wrong first; then none of them is of use.
    pub fn load(&self) -> Result<PolicySet, DocumentError> {
        load(&files_in(&self.paths)?)
    }
}

/// The files, and those of the folders.
///
/// # Errors
/// A folder that cannot be read, or has no YAML file.
pub fn files_in(paths: &[PathBuf]) -> Result<Vec<PathBuf>, DocumentError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(files_of(path)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// The YAML files of a folder, at least one.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, DocumentError> {
    let wrong = |message: String| DocumentError { file: folder.to_owned(), document: 0, field: String::new(), message };
    let unreadable = |error: io::Error| wrong(format!("cannot be read: {error}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(wrong("no .yaml file in it; name a folder with some, or a file".to_owned()));
    }
    files.sort();
    Ok(files)
}
