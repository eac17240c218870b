//! Strict reading of the YAML that people write: every error names file, document and field, and what was expected.
//! Multi-document files are split here, so that a position is always relative to a numbered document.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// One document of a YAML file, not yet typed.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file, or a made-up name such as `<inline>`.
    pub file: PathBuf,
    /// 1-based position of the document in its file.
    pub number: usize,
    /// Line of the file on which the document begins, 0-based: added to positions in errors.
    first_line: usize,
    text: String,
}

/// What is wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct DocumentError {
    /// The file.
    pub file: PathBuf,
    /// 1-based position of the document in its file; 0 when the file itself could not be read.
    pub document: usize,
    /// Path of the field inside the document, such as `spec.replicas`; empty when the whole document is meant.
    pub field: String,
    /// What was found and what was expected.
    pub message: String,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.document > 0 {
            write!(f, ": document {}", self.document)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Reads a file and splits it into its documents; documents of comments and blank lines only are left out.
pub fn read_file(file: &Path) -> Result<Vec<Document>, DocumentError> {
    let text = std::fs::read_to_string(file).map_err(|error| DocumentError {
        file: file.to_owned(),
        document: 0,
        field: String::new(),
        message: format!("cannot be read: {error}"),
    })?;
    Ok(split(file, &text))
}

/// Splits a text at its `---` lines.
pub fn split(file: &Path, text: &str) -> Vec<Document> {
    let mut documents = Vec::new();
    let mut current = String::new();
    let mut first_line = 0;
    for (line_number, line) in text.lines().enumerate() {
        let is_separator = line == "---" || line.starts_with("--- ");
        if is_separator {
            push(&mut documents, file, first_line, std::mem::take(&mut current));
            first_line = line_number + 1;
        } else {
            current.push_str(line);
            current.push('\n');
        }
    }
    push(&mut documents, file, first_line, current);
    documents
}

fn push(documents: &mut Vec<Document>, file: &Path, first_line: usize, text: String) {
    let has_content = text.lines().any(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    if has_content {
        documents.push(Document { file: file.to_owned(), number: documents.len() + 1, first_line, text });
    }
}

impl Document {
    /// Reads the document as a `T`. Make `T` refuse unknown fields (`#[serde(deny_unknown_fields)]`).
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, DocumentError> {
        let mut field = String::new();
        let result = serde_saphyr::with_deserializer_from_str(&self.text, |deserializer| {
            serde_path_to_error::deserialize::<_, T>(deserializer).map_err(|error| {
                field = error.path().to_string();
                error.into_inner()
            })
        });
        result.map_err(|error| {
            if field == "." || field == "?" {
                field.clear();
            }
            self.error(&field, &self.describe(&error))
        })
    }

    /// Refuses what says that it is another kind of object, or of another version, than is `expected`.
    ///
    /// # Errors
    /// The field that says so.
    pub fn is_kind(
        &self,
        (api_version, kind): (&str, &str),
        (version_expected, kind_expected): (&str, &str),
    ) -> Result<(), DocumentError> {
        let fields = [("apiVersion", api_version, version_expected), ("kind", kind, kind_expected)];
        match fields.into_iter().find(|(_, found, expected)| found != expected) {
            Some((field, found, expected)) => Err(self.error(field, &format!("found {found:?}, expected {expected}"))),
            None => Ok(()),
        }
    }

    /// An error about a field of this document.
    pub fn error(&self, field: &str, message: &str) -> DocumentError {
        DocumentError {
            file: self.file.clone(),
            document: self.number,
            field: field.to_owned(),
            message: message.to_owned(),
        }
    }

    fn describe(&self, error: &serde_saphyr::Error) -> String {
        let plain = error.without_snippet();
        let text = plain.to_string();
        let first = match text.lines().next().unwrap_or_default() {
            first if first.starts_with("invalid u32") => "expected a whole number, not negative and below 4294967296",
            first => first,
        };
        match plain.location() {
            Some(location) => {
                let line = self.first_line + usize::try_from(location.line()).unwrap_or(0);
                let bare = strip_position(first);
                format!("{bare} (line {line})")
            }
            None => first.to_owned(),
        }
    }
}

/// Drops the parser's own position, which counts from the start of the document and not of the file.
fn strip_position(message: &str) -> &str {
    let message = match message.split_once(": ") {
        Some((head, rest)) if head.starts_with("error: line ") => rest,
        _ => message,
    };
    message.split(" at line ").next().unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors matter here")]
    struct Outer {
        name: String,
        spec: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors matter here")]
    struct Inner {
        replicas: u32,
    }

    fn message_of(text: &str) -> String {
        let documents = split(Path::new("shop.yaml"), text);
        documents.iter().find_map(|d| d.parse::<Outer>().err()).map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn names_file_document_field_and_line() {
        let text = "# heading\n---\nname: a\n---\nname: b\nspec:\n  replicas: many\n";
        let message = message_of(text);
        assert!(message.starts_with("shop.yaml: document 2: spec.replicas: "), "{message}");
        assert!(message.ends_with("(line 7)"), "{message}");
    }

    #[test]
    fn refuses_unknown_fields_by_name() {
        let message = message_of("name: a\nspec:\n  replicaz: 1\n");
        assert!(message.contains("spec") && message.contains("replicaz"), "{message}");
    }

    #[test]
    fn splits_documents_and_skips_empty_ones() {
        assert_eq!(split(Path::new("x"), "---\n# only a comment\n---\na: 1\n--- \nb: 1\n").len(), 2);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,80}") {
            let _ = message_of(&text);
        }
    }
}
