//! From files to checked objectives. Reports the first mistake with file, document and field.

use std::collections::HashMap;
use std::path::PathBuf;

use protocol::yaml::{Document, DocumentError, read_file};

use crate::check::check;
use crate::objective::Objective;

/// The most objectives of all files together: their counters take 75 MiB.
pub const OBJECTIVES_MAX: usize = 10_000;

/// Reads files of objectives, each with one or more documents.
///
/// # Errors
/// The first file, document and field that is wrong, and what was expected.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Objective>, DocumentError> {
    let mut documents = Vec::new();
    for path in paths {
        documents.extend(read_file(path)?);
    }
    from_documents(&documents)
}

/// Reads objectives from documents that were split already.
///
/// # Errors
/// As [`load`].
pub fn from_documents(documents: &[Document]) -> Result<Vec<Objective>, DocumentError> {
    let (mut all, mut places) = (Vec::new(), HashMap::new());
    for document in documents {
        for objective in check(document)? {
            let place = format!("{}: document {}", document.file.display(), document.number);
            if let Some(first) = places.insert((objective.subject.clone(), objective.name.clone()), place) {
                let message = format!("{} has an objective {:?} in {first}", objective.subject, objective.name);
                return Err(document.error("spec.objectives", &message));
            }
            all.push(objective);
        }
        if all.len() > OBJECTIVES_MAX {
            let message = format!("found {} objectives, expected at most {OBJECTIVES_MAX}", all.len());
            return Err(document.error("spec.objectives", &message));
        }
    }
    Ok(all)
}
