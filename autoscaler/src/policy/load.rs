//! From files to a checked set of policies. Reports the first mistake with file, document and field.

use std::collections::HashMap;
use std::path::PathBuf;

use protocol::yaml::{Document, DocumentError, read_file};

use super::check::check;
use super::{Policy, PolicySet};

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
    let mut policies: Vec<Policy> = Vec::with_capacity(documents.len());
    let mut names = HashMap::new();
    let mut targets = HashMap::new();
    for document in &documents {
        let policy = check(document)?;
        if let Some(first) = names.insert(policy.name.clone(), place(document)) {
            let name = format!("{}/{}", policy.name.namespace, policy.name.name);
            return Err(document.error("metadata.name", &format!("{name} is a policy of {first} already")));
        }
        if let Some(first) = targets.insert(policy.target.clone(), place(document)) {
            let message = format!("{} is steered by the policy of {first} already", policy.target);
            return Err(document.error("spec.target", &message));
        }
        policies.push(policy);
    }
    Ok(PolicySet { policies })
}

fn place(document: &Document) -> String {
    format!("{}: document {}", document.file.display(), document.number)
}
