//! The shop's manifests and policies, inside the binary, so that the demo needs no checkout; or a folder given instead.

use std::path::{Path, PathBuf};

use protocol::yaml::{Document, DocumentError, read_file, split};

/// A file of `k8s/shop` and its text.
type Embedded = (&'static str, &'static str);

macro_rules! embed {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../", $path)))),*]
    };
}

/// What `k8s/shop/base` holds; a test compares the two.
const SHOP: [Embedded; 12] = embed![
    "k8s/shop/base/namespace.yaml",
    "k8s/shop/base/config.yaml",
    "k8s/shop/base/gateway.yaml",
    "k8s/shop/base/user.yaml",
    "k8s/shop/base/product.yaml",
    "k8s/shop/base/inventory.yaml",
    "k8s/shop/base/search.yaml",
    "k8s/shop/base/order.yaml",
    "k8s/shop/base/payment.yaml",
    "k8s/shop/base/notification.yaml",
    "k8s/shop/base/review.yaml",
    "k8s/shop/base/recommendation.yaml",
];

/// The shop's scaling policies.
const POLICIES: [Embedded; 5] = embed![
    "k8s/shop/policies/gateway.yaml",
    "k8s/shop/policies/order.yaml",
    "k8s/shop/policies/product.yaml",
    "k8s/shop/policies/search.yaml",
    "k8s/shop/policies/user.yaml",
];

/// What the shop promises.
const OBJECTIVES: [Embedded; 1] = embed!["k8s/shop/objectives/shop.yaml"];

/// The documents of the shop's workloads, from the binary or from a folder: from its files, or from those of `base` in it.
pub fn shop(folder: Option<&Path>) -> Result<Vec<Document>, DocumentError> {
    let Some(folder) = folder else { return Ok(embedded(&SHOP)) };
    let base = folder.join("base");
    read_folder(if base.is_dir() { &base } else { folder })
}

/// The documents of the shop's policies: those in the binary, or those in `policies` below the folder.
pub fn policies(folder: Option<&Path>) -> Result<Vec<Document>, DocumentError> {
    folder.map_or_else(|| Ok(embedded(&POLICIES)), |folder| read_folder(&folder.join("policies")))
}

/// The documents of the shop's objectives: those in the binary, or those in `objectives` below the folder, where there is one.
pub fn objectives(folder: Option<&Path>) -> Result<Vec<Document>, DocumentError> {
    let Some(folder) = folder else { return Ok(embedded(&OBJECTIVES)) };
    let objectives = folder.join("objectives");
    if objectives.is_dir() { read_folder(&objectives) } else { Ok(Vec::new()) }
}

fn embedded(files: &[Embedded]) -> Vec<Document> {
    files.iter().flat_map(|(path, text)| split(Path::new(path), text)).collect()
}

/// All `*.yaml` and `*.yml` of a folder in order of name; `kustomization.yaml` is for kubectl.
fn read_folder(folder: &Path) -> Result<Vec<Document>, DocumentError> {
    let unreadable = |error: std::io::Error| DocumentError {
        file: folder.to_owned(),
        document: 0,
        field: String::new(),
        message: format!("cannot be listed: {error}"),
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
        let is_kustomization = path.file_stem().is_some_and(|s| s == "kustomization");
        if is_yaml && !is_kustomization {
            files.push(path);
        }
    }
    files.sort();
    let mut documents = Vec::new();
    for file in files {
        documents.extend(read_file(&file)?);
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn the_binary_holds_what_the_folder_holds() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s/shop");
        for (embedded, on_disk) in [
            (super::shop(None).unwrap(), super::shop(Some(&root)).unwrap()),
            (super::policies(None).unwrap(), super::policies(Some(&root)).unwrap()),
            (super::objectives(None).unwrap(), super::objectives(Some(&root)).unwrap()),
        ] {
            let names = |documents: &[protocol::yaml::Document]| -> BTreeSet<(std::ffi::OsString, usize)> {
                documents.iter().map(|d| (d.file.file_name().unwrap().to_owned(), d.number)).collect()
            };
            assert_eq!(names(&embedded), names(&on_disk));
        }
    }
}
