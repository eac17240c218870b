//! The part of kustomize that the local runtime honours: `resources` and `namespace` of a `kustomization.yaml`. Any
//! other field is an error. Never fetches anything.

use std::path::{Path, PathBuf};

use protocol::yaml::{Document, DocumentError};

use super::{parse_strictly, raw, read_documents};

/// Directories may name directories; more levels than this are a circle.
const DEPTH_MAX: usize = 16;

/// Whether a file is a kustomization by its name.
pub(super) fn is_named_so(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "kustomization.yaml" || name == "kustomization.yml")
}

/// Reads all documents behind a path.
pub(super) fn collect(path: &Path, documents: &mut Vec<Document>, depth: usize) -> Result<(), DocumentError> {
    if depth > DEPTH_MAX {
        return Err(plain_error(path, format!("more than {DEPTH_MAX} levels of kustomizations: a circle?")));
    }
    if !path.is_dir() {
        return read_documents(path, documents);
    }
    for name in ["kustomization.yaml", "kustomization.yml"] {
        let file = path.join(name);
        if file.is_file() {
            return collect_kustomization(path, &file, documents, depth);
        }
    }
    for file in yaml_files(path)? {
        read_documents(&file, documents)?;
    }
    Ok(())
}

fn collect_kustomization(
    directory: &Path,
    file: &Path,
    documents: &mut Vec<Document>,
    depth: usize,
) -> Result<(), DocumentError> {
    let mut own = Vec::new();
    read_documents(file, &mut own)?;
    for document in own {
        let kustomization: raw::Kustomization = parse_strictly(&document)?;
        for (index, resource) in kustomization.resources.iter().enumerate() {
            let field = format!("resources[{index}]");
            if resource.0.contains("://") {
                return Err(document.error(&field, "only files and directories are read, nothing is fetched"));
            }
            let path = directory.join(&resource.0);
            if !path.exists() {
                return Err(document.error(&field, &format!("{} does not exist", path.display())));
            }
            collect(&path, documents, depth + 1)?;
        }
        documents.push(document);
    }
    Ok(())
}

fn yaml_files(directory: &Path) -> Result<Vec<PathBuf>, DocumentError> {
    let entries = std::fs::read_dir(directory)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| plain_error(directory, format!("cannot be read: {error}")))?;
    let mut files: Vec<PathBuf> = entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(plain_error(directory, "holds no .yaml file".to_owned()));
    }
    Ok(files)
}

fn plain_error(file: &Path, message: String) -> DocumentError {
    DocumentError { file: file.to_owned(), document: 0, field: String::new(), message }
}

/// Directory and namespace of every kustomization that sets one.
pub(super) fn namespaces(documents: &[Document]) -> Result<Vec<(PathBuf, String)>, DocumentError> {
    let mut namespaces = Vec::new();
    for document in documents.iter().filter(|document| is_named_so(&document.file)) {
        let kustomization: raw::Kustomization = parse_strictly(document)?;
        if let (Some(namespace), Some(directory)) = (kustomization.namespace, document.file.parent()) {
            namespaces.push((directory.to_owned(), namespace.0));
        }
    }
    // An outer kustomization has the last word, as in kustomize: the shortest directory comes first.
    namespaces.sort_by_key(|(directory, _)| directory.components().count());
    Ok(namespaces)
}

/// The namespace that a kustomization gives to the objects of a file.
pub(super) fn namespace_of<'a>(namespaces: &'a [(PathBuf, String)], file: &Path) -> Option<&'a str> {
    namespaces.iter().find(|(directory, _)| file.starts_with(directory)).map(|(_, namespace)| namespace.as_str())
}
