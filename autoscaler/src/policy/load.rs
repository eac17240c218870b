//! From files to a checked set of policies. Reports the first mistake with file, document and field.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use protocol::yaml::{Document, DocumentError, read_file};

use super::PolicySet;
use super::check::check;

/// Reads policy files, each with one or more documents.
///
/// # Errors
/// The first file, document and field that is wrong, and what was expected.
pub fn load(paths: &[PathBuf]) -> Result<PolicySet, DocumentError> {
    let mut documents = Vec::new();
    for path in paths {
        documents.extend(read_file(path)?);
    }
    from_documents(documents)
}

/// Reads policies from documents that were split already.
///
/// # Errors
/// As [`load`].
#[expect(clippy::needless_pass_by_value, reason = "documents are read once and of no use afterwards")]
pub fn from_documents(documents: Vec<Document>) -> Result<PolicySet, DocumentError> {
    let mut set = PolicySet::default();
    let mut places = HashMap::new();
    for document in &documents {
        let policy = check(document)?;
        let (name, target) = (policy.name.clone(), policy.target.clone());
        if let Err(other) = set.add(Arc::new(policy)) {
            let first = places.get(&other.name).cloned().unwrap_or_default();
            return Err(if other.name == name {
                let name = format!("{}/{}", name.namespace, name.name);
                document.error("metadata.name", &format!("{name} is a policy of {first} already"))
            } else {
                document.error("spec.target", &format!("{target} is steered by the policy of {first} already"))
            });
        }
        places.insert(name, place(document));
    }
    Ok(set)
}

fn place(document: &Document) -> String {
    format!("{}: document {}", document.file.display(), document.number)
}
