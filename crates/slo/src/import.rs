//! Objectives from other tools' files: OpenSLO v1 and Sloth's `prometheus/v1`. What has no equal here is refused with its place, or taken
//! in another way and said so; nothing is left out in silence. Start at `import`.

mod openslo;
mod sloth;

use std::collections::BTreeSet;
use std::fmt;

use protocol::yaml::{Document, DocumentError};
use serde::Deserialize;

use crate::objective::Objective;

/// What was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Imported {
    /// The objectives.
    pub objectives: Vec<Objective>,
    /// What was taken in another way than it was written, or not taken.
    pub notes: Vec<Note>,
}

/// Something that was not taken as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    place: String,
    text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

impl Imported {
    fn note(&mut self, document: &Document, field: &str, text: &str) {
        let place = format!("{}: document {}: {field}", document.file.display(), document.number);
        self.notes.push(Note { place, text: text.to_owned() });
    }
}

/// Enough of a document to know whose it is.
#[derive(Debug, Deserialize)]
struct Head {
    #[serde(rename = "apiVersion")]
    api_version: Option<String>,
    version: Option<String>,
}

/// Reads documents of OpenSLO and Sloth, in any mixture. References between OpenSLO's documents are followed among them. Services are
/// put into `namespace`, as neither tool knows one.
///
/// # Errors
/// The first field that is wrong or has no equal.
pub fn import(documents: &[Document], namespace: &str) -> Result<Imported, DocumentError> {
    let (mut imported, mut openslo) = (Imported::default(), Vec::new());
    for document in documents {
        let head: Head = document.parse()?;
        match (head.api_version.as_deref(), head.version.as_deref()) {
            (Some(openslo::VERSION), _) => openslo.push(document),
            (_, Some(sloth::VERSION)) => sloth::import(document, namespace, &mut imported)?,
            (Some(other), _) => {
                let expected = format!("found {other:?}, expected {} or a Sloth file", openslo::VERSION);
                return Err(document.error("apiVersion", &expected));
            }
            (None, Some(other)) => {
                return Err(document.error("version", &format!("found {other:?}, expected {}", sloth::VERSION)));
            }
            (None, None) => {
                let expected = format!("expected apiVersion {} or version {}", openslo::VERSION, sloth::VERSION);
                return Err(document.error("", &expected));
            }
        }
    }
    openslo::import(&openslo, namespace, &mut imported)?;
    let mut seen = BTreeSet::new();
    let twice = imported.objectives.iter().find(|o| !seen.insert((o.subject.clone(), o.name.clone())));
    if let (Some(objective), Some(document)) = (twice, documents.first()) {
        let message = format!("{} has two objectives {:?}", objective.subject, objective.name);
        return Err(DocumentError { document: 0, ..document.error("", &message) });
    }
    Ok(imported)
}

#[cfg(test)]
mod tests;
